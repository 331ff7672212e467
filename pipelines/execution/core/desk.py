"""The desk: every order that may still change the account, and the account itself to the last digit.

Orders end by proof alone: a report that says so, a refusal, or absence, which is proven by a look that was begun `horizon_ns` after
the order was sent. Executions are booked once each, whichever channel brings them and in whatever order.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

import numpy as np

from domain import account
from domain.order import Order, OrderState
from domain.panel import FloatArray
from pipelines.execution import fills
from pipelines.execution.core import remembered
from pipelines.execution.core.events import EPOCH, Answer, Answered, Charge, Corrected, Execution, Found, Report, Synced
from pipelines.execution.core.plan import Cancel, Find, Plan, Submit
from pipelines.execution.core.working import ZERO, Working
from pipelines.execution.fills import Book
from pipelines.execution.guards import Sent

SECOND = 1_000_000_000
#: The finest quantity that a broker knows.
SMALLEST = Decimal("1e-9")
#: The kind of a charge by which a person lets the account be what the broker holds.
CORRECTION = "correction"
#: The kind of a fee of crypto in Alpaca's words, and of one that was taken in coins and not told of yet.
FEE, IN_KIND = "CFEE", "fee_in_kind"
#: Orders of which nobody knows what became of them yet.
UNRESOLVED = frozenset({OrderState.INTENT, OrderState.UNKNOWN})


class Place(NamedTuple):
    """Where a symbol lies in the compiled books."""

    book: Book
    row: int


class Patience(NamedTuple):
    """How long to wait for what; nanoseconds."""

    looks_ns: tuple[int, ...] = (0, 2 * SECOND, 5 * SECOND, 15 * SECOND, 30 * SECOND)
    """After sending, when to look for an order of which nothing is known; from the last one on, every so often again."""
    horizon_ns: int = 30 * SECOND
    """After sending, when not being known means not being there."""
    answer_ns: int = 10 * SECOND
    """After sending, when an answer that has not come counts as lost."""
    cancel_ns: int = 2 * SECOND
    """Between two requests to cancel the same order."""
    again_ns: int = SECOND
    """After a reading failed, when the next one is begun; twice as long after each that fails as well, up to `answer_ns`."""
    sync_ns: int = 60 * SECOND
    """Between two readings of the whole account."""
    busy_sync_ns: int = 5 * SECOND
    """The same while orders are open."""
    unread_ns: int = 20 * SECOND
    """How long readings must have failed before somebody is told."""
    quiet_ns: int = 10 * SECOND
    """How long a difference must stand before it is believed: a broker's positions may lag its orders."""
    keep_ns: int = 3600 * SECOND
    """How long an ended order is remembered at least, so that what is said of it again is not taken for news."""
    late_ns: int = 300 * SECOND
    """Age of a closed bar above which nothing new is opened on it."""
    early_ns: int = 5 * SECOND
    """How far ahead of our clock a bar may have closed."""
    starts_ns: int = 600 * SECOND
    """How long a start is counted, unless its process ended as it was told to."""
    starts_max: int = 5
    """Starts within that time after which something must be wrong: the account is halted."""


@dataclass
class Desk:
    """Orders, holdings and cash. The compiled books, one a market, are kept equal to them."""

    purse: FloatArray
    """[1] the cash as every book reads it."""
    patience: Patience
    cash: Decimal
    places: dict[str, Place] = field(default_factory=dict)
    """Of the symbols that are traded here."""
    holdings: dict[str, Decimal] = field(default_factory=dict)
    """Signed; flat symbols left out."""
    orders: dict[str, Working] = field(default_factory=dict)
    """Those that may still change the account, by client order id."""
    ended: dict[str, Working] = field(default_factory=dict)
    """Those that ended not long ago."""
    unresolved: dict[str, Working] = field(default_factory=dict)
    """Those of which nothing is known, beside some of which something is by now: looking lets go of them."""
    charged: set[str] = field(default_factory=set)
    """Charges that are in the cash, of those that a reading may bring again."""
    paid: dict[str, tuple[float, int]] = field(default_factory=dict)
    """Price and time of each symbol's newest execution since its newest bar, as far as this process knows."""
    prepaid: dict[str, Decimal] = field(default_factory=dict)
    """What was booked as fees in coins of which the broker has not told yet, by symbol."""
    sent: deque[Sent] = field(default_factory=deque)
    """What was sent within `sent_ns`, oldest first; after a restart what is remembered counts as sent then."""
    sent_ns: int = 0
    """The longest window in which orders are counted."""
    sequence: int = 0
    """The journal's, of the newest record that is durable."""
    oldest: int = 0
    """Sequence after which all that is written of the remembered orders lies."""
    _told: dict[str, str] = field(default_factory=dict)
    """The holdings as they are written."""

    def begin(self, said: Synced, plan: Plan) -> None:
        """Begin with the cash that a reading tells of; whatever led to it is known now, so that none books it again."""
        self.cash, self.charged = said.cash, {charge.identity for charge in said.charges}
        self.purse[0] = float(self.cash)
        for done in said.executions:
            order = Order(done.client_order_id, "", done.symbol, float(done.quantity), EPOCH, "", 0.0)
            working = self.ended.get(done.client_order_id) or Working(order, done.quantity, OrderState.FILLED, foreign=True)
            working.quantity = max(done.cumulative, abs(working.quantity)).copy_sign(done.quantity)
            working.book(done)
            working.ended_ns = plan.at.monotonic_ns
            self.ended[done.client_order_id] = working
        for working in self.ended.values():
            plan.write("order", "broker", remembered.adoption(working))

    def known(self, client_order_id: str) -> Working | None:
        """Return an order that works or that ended not long ago."""
        return self.orders.get(client_order_id) or self.ended.get(client_order_id)

    def busy(self) -> set[str]:
        """Return the symbols with an order that may still change the account."""
        return {each.order.symbol for each in self.orders.values()}

    def intend(self, wanted: Iterable[tuple[Order, Decimal, bool]], plan: Plan) -> dict[str, Any]:
        """Take on orders of ours, each with what of it is sent and whether the gate forces it, and return what is written of them.

        From now on they count, and they may be sent once the plan is written. Less than a lot is none.
        """
        now_ns = plan.at.monotonic_ns
        made = [
            Working(order, quantity, forced=forced, since_ns=now_ns, since=self.sequence)
            for order, quantity, forced in wanted if quantity != ZERO
        ]  # fmt: skip
        for working in made:
            self.orders[working.order.client_order_id] = self.unresolved[working.order.client_order_id] = working
            self.sent.append(Sent(now_ns, working.order.symbol, float(working.quantity)))
            plan.requests.append(Submit(working.order, working.quantity))
        return remembered.told(made)

    def answered(self, said: Answered, plan: Plan) -> None:
        """Take in the answer to a submission."""
        working = self.known(said.client_order_id)
        if working is None or working.state not in UNRESOLVED:
            return
        if said.answer == Answer.ACKED and said.report is not None:
            self.report(said.report, plan)
        elif said.answer == Answer.REFUSED:
            working.end(OrderState.REJECTED, plan.at.monotonic_ns)
            self._file(working)
            self._note(working, plan, said.reason)
        elif working.state == OrderState.INTENT:
            working.state = OrderState.UNKNOWN
            self._note(working, plan, said.reason)

    def report(self, said: Report, plan: Plan) -> Working:
        """Take in what a broker says of an order, whoever sent it."""
        working = self.known(said.client_order_id) or self._adopt(said, plan)
        back, before = working.absent, working.quantity
        if working.report(said, plan.at.monotonic_ns):
            self._note(working, plan, "")
        if working.quantity != before:
            plan.alert(f"the broker has made {working.quantity} of order {said.client_order_id}, which was {before}")
        self._file(working)
        if back:
            plan.alert(f"order {said.client_order_id} was given up as unknown to the broker, which now reports it {said.state}")
        return working

    def execute(self, execution: Execution, plan: Plan) -> str:
        """Book an execution unless it is booked; return what is wrong with one that cannot be."""
        working = self.known(execution.client_order_id)
        if working is None:
            return f"an execution of order {execution.client_order_id}, which is not known here"
        if working.knows(execution):
            return ""
        fault = working.fault(execution)
        if fault:
            return f"an execution of order {execution.client_order_id} cannot be: {fault}"
        working.book(execution)
        self._file(working)
        self._settle(execution, plan)
        return ""

    def charge(self, charge: Charge, plan: Plan) -> bool:
        """Book money that came or went otherwise than by a trade, once; return whether it was news."""
        if charge.identity in self.charged:
            return False
        self.charged.add(charge.identity)
        self.cash += charge.amount
        self.purse[0] = float(self.cash)
        change = self._still_owed(charge)
        if change:
            self._resize(charge.symbol, change)
        told = {"identity": charge.identity, "amount": str(charge.amount), "kind": charge.kind}
        plan.write("charge", "broker", {**told, "symbol": charge.symbol, "quantity": str(change)})
        return True

    def pay_in_kind(self, symbol: str, theirs: Decimal, plan: Plan) -> None:
        """Book what a broker has taken of a position as its fee before it says so: what is held has cost the same."""
        change = theirs - self.holdings[symbol]
        self.prepaid[symbol] = self.prepaid.get(symbol, ZERO) - change
        self._resize(symbol, change)
        told = {"identity": f"{IN_KIND}:{symbol}:{plan.at.ns}", "amount": "0", "kind": IN_KIND}
        plan.write("charge", "core", {**told, "symbol": symbol, "quantity": str(change)})

    def correct(self, symbol: str, theirs: Decimal, said: Corrected, plan: Plan, *, at_no_price: bool = False) -> None:
        """Hold what the broker holds of a symbol: what is too much goes at what it cost, what was missing comes at its price.

        After a split it comes and goes at none.
        """
        held, place = self.holdings.get(symbol, ZERO), self.places.get(symbol)
        change, cost = theirs - held, 0.0
        if at_no_price:
            self._resize(symbol, change)
            self._note_correction(symbol, ZERO, change, said, plan)
            return
        if place is not None:
            cost, mark = float(place.book.average[place.row]), float(place.book.mark[place.row])
            price = mark if mark > 0.0 and held * change >= ZERO else cost
            _, cost, _ = account.book(float(held), cost, float(change), price)
        self._hold(symbol, theirs, cost)
        self._note_correction(symbol, ZERO, change, said, plan)

    def correct_cash(self, theirs: Decimal, said: Corrected, plan: Plan) -> None:
        """Hold the cash that the broker holds."""
        amount, self.cash = theirs - self.cash, theirs
        self.purse[0] = float(self.cash)
        self._note_correction("", amount, ZERO, said, plan)

    def found(self, said: Found, plan: Plan) -> None:
        """Take in the answer to a look; one that is older than memory may be of an order that is forgotten, and says nothing."""
        working = self.known(said.client_order_id)
        if working is None and plan.at.monotonic_ns - said.asked_ns > self.patience.keep_ns:
            return
        if said.report is not None:
            self.report(said.report, plan)
            return
        if working is not None and working.state == OrderState.UNKNOWN and self._proves_absence(working, said.asked_ns):
            working.end(OrderState.REJECTED, plan.at.monotonic_ns, absent=True)
            self._file(working)
            self._note(working, plan, "the broker does not know it")

    def look(self, plan: Plan) -> None:
        """Ask for the orders of which nothing is known, when it is time to, and stop counting what was sent long ago."""
        while self.sent and plan.at.monotonic_ns - self.sent[0].at_ns > self.sent_ns:
            self.sent.popleft()
        # Most of them were sent a moment ago, and their answers are on the way.
        expected_ns = plan.at.monotonic_ns - self.patience.answer_ns
        for working in [
            each for each in self.unresolved.values() if each.since_ns <= expected_ns or each.state is not OrderState.INTENT
        ]:  # fmt: skip
            self._look_for(working, plan)

    def cancel(self, working: Working, plan: Plan) -> None:
        """Ask for a cancel, unless that was asked a moment ago, or nothing can be asked yet."""
        again_ns = working.cancelled_ns + self.patience.cancel_ns
        if working.ended or working.foreign or not working.broker_id or (working.cancelled_ns and plan.at.monotonic_ns < again_ns):
            return
        working.cancelled_ns = plan.at.monotonic_ns
        plan.requests.append(Cancel(working.order.client_order_id, working.broker_id))

    def forget(self, said: Synced) -> None:
        """Let go of what had ended long before a reading was begun, once it speaks of it no more: none that follows will.

        Age alone is no reason. A reading begins a little before the newest execution, however long ago that was, and would be
        taken for news by who has forgotten it. Nor is a reading that was begun before and comes only now, after a suspension: of
        what ended meanwhile the next one tells.
        """
        told = {each.client_order_id for each in said.executions}
        old = [name for name, each in self.ended.items() if said.asked_ns - each.ended_ns > self.patience.keep_ns]
        for name in old:
            if name not in told:
                del self.ended[name]
        self.charged &= {each.identity for each in said.charges}
        self.oldest = min((each.since for each in (*self.orders.values(), *self.ended.values())), default=self.sequence)

    def packed(self) -> dict[str, Any]:
        """Return what a restart needs beside the orders, which the journal tells of."""
        prepaid = {"prepaid": {symbol: str(size) for symbol, size in self.prepaid.items()}} if self.prepaid else {}
        return {"cash": str(self.cash), "holdings": self._told, "charged": sorted(self.charged), "oldest": self.oldest, **prepaid}

    def restore(self, kept: dict[str, Any], found: dict[str, Working], now_ns: int) -> None:
        """Put back what `packed` kept, and the orders that the journal tells of."""
        self.cash, self.charged, self.oldest = Decimal(kept["cash"]), set(kept["charged"]), kept["oldest"]
        self.prepaid = {symbol: Decimal(size) for symbol, size in kept.get("prepaid", {}).items()}
        self.holdings, self._told = {}, {}
        for symbol, held in kept["holdings"].items():
            self._put(symbol, Decimal(held))
        self.orders, self.ended, self.unresolved = {}, {}, {}
        for working in found.values():
            self._file(working)
        ours = [each for each in found.values() if not each.foreign]
        self.sent = deque(Sent(now_ns, each.order.symbol, float(each.quantity)) for each in ours)

    def _still_owed(self, charge: Charge) -> Decimal:
        """Return what a charge changes a holding by, less what of it was booked before the broker said so."""
        known = min(self.prepaid.get(charge.symbol, ZERO), -charge.quantity) if charge.kind == FEE else ZERO
        if known <= ZERO:
            return charge.quantity
        self.prepaid[charge.symbol] -= known
        if not self.prepaid[charge.symbol]:
            del self.prepaid[charge.symbol]
        return charge.quantity + known

    def _file(self, working: Working) -> None:
        """Keep an order among those that work or those that have ended."""
        name = working.order.client_order_id
        here, there = (self.ended, self.orders) if working.settled else (self.orders, self.ended)
        there.pop(name, None)
        here[name] = working
        if working.state in UNRESOLVED:
            self.unresolved[name] = working

    def _adopt(self, said: Report, plan: Plan) -> Working:
        quantity = self._bought_by(said) if said.notional else said.quantity
        order = Order(said.client_order_id, "", said.symbol, float(quantity), plan.at.time, "", 0.0)
        working = Working(
            order, quantity, OrderState.UNKNOWN, foreign=True, by_value=bool(said.notional), since_ns=plan.at.monotonic_ns,
            since=self.sequence,
        )  # fmt: skip
        self._file(working)
        plan.write("order", "broker", remembered.adoption(working))
        size = f"{said.notional} worth" if said.notional else f"{quantity}"
        plan.alert(f"the broker holds order {said.client_order_id} for {size} of {said.symbol}, which was not sent from here")
        return working

    def _bought_by(self, said: Report) -> Decimal:
        """Return what an order's value buys at the newest price; where none is known a unit counts for one of the currency."""
        place = self.places.get(said.symbol)
        mark = float("nan") if place is None else float(place.book.mark[place.row])
        return (said.notional / (Decimal(mark) if mark > 0.0 else 1)).quantize(SMALLEST)

    def _settle(self, execution: Execution, plan: Plan) -> None:
        """Book an execution: exactly here, and by the compiled function in the book, which then follows what is exact."""
        symbol, quantity = execution.symbol, execution.quantity
        numbers = float(quantity), float(execution.price), float(execution.fee)
        held = self.holdings.get(symbol, ZERO) + quantity
        self._put(symbol, held)
        self.cash -= quantity * execution.price + execution.fee
        realised = self._book(symbol, float(held), *numbers)
        self.paid[symbol] = numbers[1], execution.event_at_ns
        plan.write("fill", "broker", {
            "client_order_id": [execution.client_order_id], "symbol": [symbol], "quantity": [numbers[0]], "price": [numbers[1]],
            "fee": [numbers[2]], "realised": [realised], "cumulative": [str(execution.cumulative)], "size": [str(abs(quantity))],
        })  # fmt: skip

    def _book(self, symbol: str, held: float, quantity: float, price: float, fee: float) -> float:
        """Put a fill into the compiled book and return what it realised; the book must not drift from what is exact."""
        self.purse[0] = float(self.cash)
        place = self.places.get(symbol)
        if place is None:
            return 0.0
        book, row = place
        realised = float(fills.settle_one(book, row, quantity, price, fee))
        book.quantity[row], self.purse[0] = held, float(self.cash)
        if held == 0.0:
            book.average[row] = 0.0
        if held == quantity or np.isnan(book.mark[row]):
            book.mark[row] = price  # the newest that is known of it: a mark may be of the shares before a split
        return realised

    def _resize(self, symbol: str, change: Decimal) -> None:
        """Change a holding at no price: what it cost in all stays what it was."""
        held, place = self.holdings.get(symbol, ZERO), self.places.get(symbol)
        after = held + change
        cost = 0.0 if place is None or after == ZERO else float(place.book.average[place.row]) * float(held / after)
        self._hold(symbol, after, cost)

    def _hold(self, symbol: str, quantity: Decimal, average: float) -> None:
        """Hold a quantity of a symbol that cost so much a unit."""
        self._put(symbol, quantity)
        place = self.places.get(symbol)
        if place is not None:
            place.book.quantity[place.row], place.book.average[place.row] = float(quantity), average if quantity else 0.0

    def _put(self, symbol: str, held: Decimal) -> None:
        """Keep a holding, and its digits beside it: hundreds of them are written with every record."""
        self.holdings.pop(symbol, None)
        self._told.pop(symbol, None)
        if held != ZERO:
            self.holdings[symbol], self._told[symbol] = held, str(held)

    def _look_for(self, working: Working, plan: Plan) -> None:
        """Ask for an order if nothing is known of it still, and it is time to."""
        now_ns = plan.at.monotonic_ns
        if working.state == OrderState.INTENT:
            working.state = OrderState.UNKNOWN
            self._note(working, plan, "no answer came")
        if working.state != OrderState.UNKNOWN:
            del self.unresolved[working.order.client_order_id]
        elif now_ns >= self._next_look_ns(working):
            working.looked_ns = now_ns
            plan.requests.append(Find(working.order.client_order_id, now_ns))

    def _proves_absence(self, working: Working, asked_ns: int) -> bool:
        return asked_ns - working.since_ns >= self.patience.horizon_ns

    def _next_look_ns(self, working: Working) -> int:
        """Return when to look next; the times count from sending, so that looking cannot put the end off."""
        if not working.looked_ns:
            return working.since_ns + self.patience.looks_ns[0]
        times = [working.since_ns + after for after in self.patience.looks_ns]
        later = [at for at in times if at > working.looked_ns]
        return later[0] if later else working.looked_ns + self.patience.looks_ns[-1]

    def _note_correction(self, symbol: str, amount: Decimal, change: Decimal, said: Corrected, plan: Plan) -> None:
        told = {"identity": f"{said.identity}:{symbol}", "amount": str(amount), "kind": CORRECTION}
        plan.write("charge", said.actor, {**told, "symbol": symbol, "quantity": str(change)})

    def _note(self, working: Working, plan: Plan, reason: str) -> None:
        plan.write("order", "broker", remembered.move(working, reason))
