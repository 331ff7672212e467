"""The machine: `(state, event) -> (state, plan)` for one account, of one market or of several.

It is ready to open positions only once it has read the account and found it to be what the journal says; it is not ready again from
the moment that a channel is lost or a difference stands. Not being ready takes nothing away: orders are followed, executions are
booked, cancels are sent, and bars are lived through without a forecast.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Self

import numpy as np

from domain.decision import Mode
from domain.error import TradingError
from domain.factors import Actions
from domain.order import TERMINAL
from pipelines.execution import facts, fills, orders, risk, trader
from pipelines.execution.conditions import BUYING_POWER, CLOSING, OTHER_BOUGHT, OTHER_GROSS, OTHER_NET, OTHER_SOLD
from pipelines.execution.core import events, remembered
from pipelines.execution.core.desk import SECOND, Desk, Patience
from pipelines.execution.core.events import Charge, Event, Moment, Power
from pipelines.execution.core.hand import HAND, Hand
from pipelines.execution.core.plan import Find, Plan, Sync
from pipelines.execution.core.proposals import Proposals
from pipelines.execution.core.readiness import Readiness
from pipelines.execution.core.seat import Seat, Traded
from pipelines.execution.core.working import ZERO, Working
from pipelines.journal import Stored

#: What `packed` keeps; another number for whatever an older version could not read.
FORM = 3
#: Kinds of charges that are money paid in or out, in Alpaca's words: they are neither gain nor loss.
PAID = frozenset({"CSD", "CSW", "TRANS", "JNLC", "ACATC"})
#: The kind of a charge that makes more shares, or fewer, of what is held, in Alpaca's words.
SPLIT = "SPLIT"
#: Commands remembered, so that one that comes twice is honoured once.
REMEMBERED = 1000


class Core:
    """One account's trader. `step` is the only way in; what it returns must be written before it is sent."""

    def __init__(
        self, traded: Sequence[Traded], capital: Decimal, patience: Patience | None = None, *,
        flips: bool = True, proposals: Proposals | None = None,
    ) -> None:  # fmt: skip
        """Begin with cash alone; `flips` says whether the broker lets one order close a position and open the opposite one.

        `proposals` says who decides: by default the models alone. Raises ConfigurationError where two markets want the same symbol.
        """
        purse = np.array([float(capital)])
        self.desk = Desk(purse, patience or Patience(), capital)
        self.seats = Seat.all(traded, purse, self.desk)
        self._owners = {symbol: seat for seat in self.seats.values() for symbol in seat.symbols}
        windows = [max(seat.rules.orders_window_s, seat.rules.repeats_window_s) for seat in self.seats.values()]
        self.desk.sent_ns = round(max(windows) * SECOND)
        coins = frozenset(symbol for seat in self.seats.values() if seat.pays_in_kind for symbol in seat.symbols)
        self.flips, self.cursor, self.readiness = flips, "", Readiness(self.desk, coins)
        self.commands: dict[str, None] = {}
        self.power: Power | None = None
        """What the broker said that may be spent, nothing while it has not; `cash_read` is what the account held then."""
        self.cash_read = capital
        self.proposals = proposals or Proposals()
        self.starts: list[int] = []
        """When processes began of late, nanoseconds since 1970: those of which none has ended as it was told to since."""
        hand = Hand(self)
        self._handlers: dict[type, Callable[[Any, Plan], None]] = {
            events.BarClosed: self._bar,
            events.Answered: self.desk.answered,
            events.CancelRefused: self._cancel_refused,
            events.Heard: self._heard,
            events.Found: self.desk.found,
            events.Synced: self._synced,
            events.Unread: self.readiness.unread,
            events.Listed: self._listed,
            events.TookOver: self._took_over,
            events.Joined: self._joined,
            events.Lost: self._lost,
            events.Commanded: self._commanded,
            events.Asked: hand.asked,
            events.Decided: hand.decided,
            events.Withdrawn: hand.withdrawn,
            events.Corrected: self._corrected,
            events.Garbled: hand.garbled,
            events.Began: self._began,
            events.Ended: self._ended,
            events.Ticked: lambda said, plan: None,
        }

    @property
    def ready(self) -> bool:
        """Whether new positions may be opened."""
        return self.readiness.ready

    @property
    def halted(self) -> bool:
        """Whether the kill latch is shut: it is one for all markets."""
        return any(risk.halted(seat.trader.gate) for seat in self.seats.values())

    def may_send(self, symbol: str, quantity: Decimal) -> bool:
        """Say whether an order may be sent now: any while the account is ready, else one that reduces a position that is known."""
        held = self.desk.holdings.get(symbol, ZERO)
        return self.ready or (held * quantity < ZERO and abs(quantity) <= abs(held) and self.readiness.knows(symbol))

    def wants(self, client_order_id: str) -> bool:
        """Say whether an order of ours should still be at work: a halt leaves only those that the gate itself asked for."""
        working = self.desk.known(client_order_id)
        return working is not None and not working.unwanted and (working.forced or not self.halted)

    def seat_of(self, symbol: str) -> Seat | None:
        """Return the seat of a symbol's market, nothing for one that is not traded here."""
        return self._owners.get(symbol)

    def open(self, said: events.Synced, at: Moment) -> Plan:
        """Begin a new account with the cash that the broker says it holds, and return what is to be written with its beginning.

        Raises TradingError where it holds anything else.
        """
        held = [f"{size} of {symbol}" for symbol, size in sorted(said.positions.items())]
        held += [f"order {report.client_order_id}" for report in said.orders if report.state not in TERMINAL]
        if held:
            raise TradingError(
                f"a new account was to begin with cash alone, and the broker holds {', '.join(held)}: close these before"
            )
        plan = Plan(at)
        self.desk.begin(said, plan)
        self.cursor = said.cursor
        return plan

    def start(self, at: Moment, code: str = "") -> Plan:
        """Return what a new process asks for first: the account. `code` is the version of the house that it runs."""
        return self.step(events.Began(code), at)

    def step(self, event: Event, at: Moment) -> Plan:
        """Take in one event and return what follows; the time of `at` is the only time there is."""
        plan = Plan(at)
        # Whoever was suspended wakes up to a bar: what has become true meanwhile is true before it.
        self.readiness.believe(plan)
        self._handlers[type(event)](event, plan)
        self._tend(plan)
        return plan

    def packed(self) -> bytes:
        """Return everything that a new process needs to go on."""
        return trader.packed([seat.trader for seat in self.seats.values()], {
            "form": FORM, "cursor": self.cursor, "commands": list(self.commands)[-REMEMBERED:], "starts": self.starts,
            "proposals": self.proposals.packed(), "seats": {name: seat.packed() for name, seat in self.seats.items()},
            **self.desk.packed(),
        })  # fmt: skip

    def noted(self, sequence: int) -> None:
        """Take note that everything written so far is durable, up to a sequence of the journal."""
        self.desk.sequence = sequence

    def restore(self, raw: bytes, records: Iterable[Stored], at: Moment) -> Self:
        """Put back what `packed` kept, in a process that starts at `at`: not ready, and whatever was sent is unknown.

        `records` are those of the journal after sequence `oldest(raw)`, up to the one that `raw` was kept with.
        """
        kept = trader.restore([seat.trader for seat in self.seats.values()], raw)
        self.cursor, self.commands = kept["cursor"], dict.fromkeys(kept["commands"])
        for name, seat in self.seats.items():
            seat.restore(kept["seats"][name])
        self.proposals.restore(kept["proposals"])
        self.starts = kept.get("starts", [])
        self.desk.restore(kept, remembered.rebuilt(records, at.monotonic_ns), at.monotonic_ns)
        return self

    def _tend(self, plan: Plan) -> None:
        """Do what the state alone asks for, at whatever event: look, cancel, read the account."""
        desk, now_ns = self.desk, plan.at.monotonic_ns
        desk.look(plan)
        self.readiness.believe(plan)
        self.proposals.lapse(plan)
        for name, seat in self.seats.items():
            if late_s := seat.outlook.misses(plan.at.ns):
                plan.alert(f"no bar of {name} has come, {late_s:.0f} s after one should have closed: nothing is decided meanwhile")
        halted = self.halted
        for working in desk.orders.values():
            if working.unwanted or (halted and not working.forced):
                desk.cancel(working, plan)
        if self.readiness.due(now_ns):
            self.readiness.asked_ns = now_ns
            plan.requests.append(Sync(self.cursor, tuple(desk.orders), now_ns))

    def _listed(self, said: events.Listed, plan: Plan) -> None:
        for seat in self.seats.values():
            seat.outlook.listed(said.untradable)

    def _took_over(self, said: events.TookOver, plan: Plan) -> None:
        self.seats[said.market].take_over(said)

    def _heard(self, said: events.Heard, plan: Plan) -> None:
        """Take in news of an order; of one that is not known here only a reading tells whether it is new or long forgotten.

        News may be late by any time, that of a suspension for one: what ended before memory begins would be booked once more.
        """
        if self.desk.known(said.report.client_order_id) is None:
            self.readiness.urged_ns = plan.at.monotonic_ns
            return
        self.desk.report(said.report, plan)
        if said.execution is not None:
            self._execute(said.execution, plan)

    def _execute(self, execution: events.Execution, plan: Plan) -> None:
        fault = self.desk.execute(execution, plan)
        if fault and self.halted:
            plan.alert(f"{fault}: it was not booked")
        elif fault:
            self._halt(f"{fault}: it was not booked", plan)

    def _cancel_refused(self, said: events.CancelRefused, plan: Plan) -> None:
        """Read the account: the order has moved on without our knowing how."""
        self.readiness.urged_ns = plan.at.monotonic_ns

    def _joined(self, said: events.Joined, plan: Plan) -> None:
        self.readiness.joined(said.channel)

    def _lost(self, said: events.Lost, plan: Plan) -> None:
        self.readiness.lost.add(said.channel)

    def _synced(self, said: events.Synced, plan: Plan) -> None:
        """Take in a reading of the account, and be ready if it is what we hold."""
        if not self.readiness.admits(said, plan.at.monotonic_ns):
            return
        for report in said.orders:
            self.desk.report(report, plan)
        strangers = {name for name in (each.client_order_id for each in said.executions) if self.desk.known(name) is None}
        for execution in said.executions:
            if execution.client_order_id not in strangers:
                self._execute(execution, plan)
        self._charge(said.charges, plan)
        plan.requests += [Find(name, plan.at.monotonic_ns) for name in sorted(strangers)]
        # What cannot be booked before its order is known is read again.
        self.cursor = self.cursor if strangers else said.cursor
        self.desk.forget(said)
        # A reading that was begun before a channel came back knows nothing of what was said meanwhile.
        if said.asked_ns == self.readiness.asked_ns:
            self.cash_read = self.desk.cash
            self.power = None if said.power is None else self._power(said.power)
            self.readiness.judge(said, len(strangers), plan)
            for seat in self.seats.values():
                seat.splits.agree(self.readiness.knows, said.asked_ns)

    def _charge(self, charges: Iterable[Charge], plan: Plan) -> None:
        """Book what moved money or shares without a trade, and let prices follow where there are more or fewer shares now."""
        before, resized = dict(self.desk.holdings), dict[str, int]()
        for charge in charges:
            if self.desk.charge(charge, plan):
                resized |= {charge.symbol: charge.event_at_ns} if charge.kind == SPLIT else {}
                if charge.kind in PAID:
                    self._paid(float(charge.amount))
        for symbol in sorted(resized.keys() & self._owners.keys()):
            ratio = self.desk.holdings.get(symbol, ZERO) / before[symbol] if symbol in before else ZERO
            price, at_ns = self.desk.paid.get(symbol, (math.nan, 0))
            self._owners[symbol].splits.book(symbol, float(ratio), price if at_ns >= resized[symbol] else math.nan)

    def _paid(self, amount: float) -> None:
        """Measure losses from what the account is worth with money that was paid in or out: that is neither gain nor loss."""
        for seat in self.seats.values():
            risk.pay(seat.trader.gate, amount)

    def _power(self, said: Power) -> Power:
        """Return what the broker lets the account spend before the orders that work, which it has taken off already."""
        pending = Decimal(sum(seat.worst().pending for seat in self.seats.values()))
        return said if not pending.is_finite() else Power(said.marginable + pending, said.cash + pending)

    def heard_before(self, said: events.Word) -> bool:
        """Say whether a word of a person has been honoured; from now on it has."""
        before = said.identity in self.commands
        self.commands[said.identity] = None
        return before

    def _commanded(self, said: events.Commanded, plan: Plan) -> None:
        if self.heard_before(said):
            return
        equity = self.equity
        for seat in self.seats.values():
            risk.halt(seat.trader.gate) if said.halt else risk.resume(seat.trader.gate, equity)
        plan.write("halt" if said.halt else "resume", said.actor, {"command": said.identity, "reason": said.reason})

    def tell(self, seat: Seat, plan: Plan, silent_since_ns: int, model_valid: bool, heard_ns: int = 0) -> None:
        """Tell the gate of a market what is known of the world now, and what the account's other markets have under way."""
        state, account = self.readiness, seat.trader.conditions.account
        others = [each.worst() for each in self.seats.values() if each is not seat]
        account[OTHER_GROSS], account[OTHER_NET] = sum(each.gross for each in others), sum(each.net for each in others)
        account[OTHER_BOUGHT], account[OTHER_SOLD] = sum(each.bought for each in others), sum(each.sold for each in others)
        account[BUYING_POWER] = self._spendable(seat, sum(each.pending for each in others))
        seat.outlook.tell(
            seat.trader, plan.at, synced_ns=state.synced_ns, offset_s=state.offset_s, silent_since_ns=silent_since_ns,
            heard_ns=heard_ns, model_valid=model_valid,
        )  # fmt: skip

    def _spendable(self, seat: Seat, pending: float) -> float:
        """Return what is left of the power that was read, for a market: less what was paid since and what others have under way."""
        if self.power is None:
            return math.inf
        power = self.power.cash if seat.pays_in_kind else self.power.marginable
        return float(power) - max(float(self.cash_read - self.desk.cash), 0.0) - pending

    def _corrected(self, said: events.Corrected, plan: Plan) -> None:
        if self.heard_before(said):
            return
        waiting = {symbol: seat.splits for seat in self.seats.values() for symbol in seat.splits.told}
        for symbol in self.readiness.correct(said, plan, waiting) & waiting.keys():
            waiting[symbol].book(symbol, waiting[symbol].owed(symbol))

    def _began(self, said: events.Began, plan: Plan) -> None:
        """Halt where processes begin over and over: whatever ends them, none has looked at it."""
        patience = self.desk.patience
        self.starts = [*(at_ns for at_ns in self.starts if abs(plan.at.ns - at_ns) < patience.starts_ns), plan.at.ns]
        plan.write("start", "core", {"code": said.code})
        if len(self.starts) > patience.starts_max and not self.halted:
            span = f"{patience.starts_ns // SECOND} s"
            self._halt(f"{len(self.starts)} processes have begun within {span}, and none of them ended as it was told to", plan)

    def _ended(self, said: events.Ended, plan: Plan) -> None:
        self.starts = []
        plan.write("stop", "core", {})

    def _halt(self, reason: str, plan: Plan, actor: str = "core") -> None:
        """Shut the kill latch of every market."""
        for seat in self.seats.values():
            risk.halt(seat.trader.gate)
        plan.write("halt", actor, {"command": "", "reason": reason})

    @property
    def equity(self) -> float:
        """What the account is worth by the newest prices."""
        return self._worth()[0]

    def _worth(self) -> tuple[float, float]:
        """Return equity and gross."""
        worths = [fills.worth(seat.trader.book) for seat in self.seats.values()]
        return float(self.desk.purse[0] + sum(value for value, _, _ in worths)), float(sum(gross for _, gross, _ in worths))

    def _bar(self, said: events.BarClosed, plan: Plan) -> None:
        """Live through a bar once: mark, think, and send what the gate allows."""
        seat = self.seats[said.bar.market]
        # What the mind says of a bar stands, whatever becomes of it here.
        for kind, payload in said.facts:
            plan.write(kind, "mind", {"market": seat.market.name, **payload})
        closed_us = orders.microseconds(said.bar.event_at[0])
        if closed_us <= seat.last_us:
            return
        age_ns = plan.at.ns - closed_us * 1000
        if age_ns < -self.desk.patience.early_ns:
            plan.alert(f"a bar that closes at {said.bar.event_at[0]} was heard at {plan.at.time}: one of both clocks is wrong")
            return
        self._split(seat, said.actions, plan)
        bar, was_halted = seat.live(said), self.halted
        equity, gross = self._worth()
        timely = self.ready and age_ns <= self.desk.patience.late_ns and not self._must_go(seat, said, equity)
        forecast = said.forecast if timely else np.full_like(said.forecast, np.nan)
        self.proposals.replace(seat.market.name, plan)
        self.tell(seat, plan, closed_us * 1000, said.model_valid, said.heard_ns)
        seat.trader.conditions.account[CLOSING] = said.closing
        trader.think(seat.trader, forecast, bar.close[0], bar.volume[0], said.scale, equity, said.day)
        self._send(seat, said, plan)
        if risk.halted(seat.trader.gate) and not was_halted:
            self._halt(f"equity of {equity:.2f} has fallen more than {seat.rules.drawdown_max} below its peak", plan, "risk")
        told = facts.bar(bar, trader.Worth(equity, gross, 0.0, []), float(self.desk.cash))
        plan.write("bar", "core", {"market": seat.market.name, **told})

    def _split(self, seat: Seat, actions: Actions | None, plan: Plan) -> None:
        """Take in what was done to a market's symbols; read the account where bars and books are of other shares."""
        if actions is not None:
            seat.splits.tell(actions, plan.at.monotonic_ns)
        for symbol in seat.splits.hide():
            self.readiness.urged_ns = plan.at.monotonic_ns
            known = "bars tell" if symbol in seat.splits.told else "the broker's books tell"
            plan.alert(f"{symbol} was split, as {known} and the other side does not yet: it has no price here until both do")

    def _must_go(self, seat: Seat, said: events.BarClosed, equity: float) -> bool:
        """Say whether a market is about to close on more than may be held: then no person is asked, who may not answer in time."""
        return self.proposals.mode != Mode.AUTONOMOUS and fills.worth(seat.trader.book)[1] > said.closing * max(equity, 0.0)

    def _send(self, seat: Seat, heard: events.BarClosed, plan: Plan) -> None:
        """Take on the orders of a bar, but none for a symbol that still has one: that one is cancelled first."""
        busy, closing = self.desk.busy(), seat.forced()
        for working in self.desk.orders.values():
            if working.order.symbol in seat.places and working.order.model_version != HAND:
                self.desk.cancel(working, plan)
            elif working.order.symbol in closing:
                self._clear(working, plan)
        seat.hold_back(busy, self.readiness.knows, ready=self.ready, flips=self.flips)
        kept_back = seat.for_person(self.proposals.mode)
        intents, forced = seat.intents(), seat.forced()
        made = seat.orders(heard, seat.trader.verdicts.order)
        sent = self.desk.intend(((each, seat.exact(each.quantity), each.symbol in forced) for each in made), plan)
        if intents:
            plan.write("intent", "core", {**intents, "orders": sent})
        if self.proposals.mode == Mode.ASSISTED:
            for order in seat.orders(heard, kept_back):
                self.proposals.make(order, seat.exact(order.quantity), plan)

    def _clear(self, working: Working, plan: Plan) -> None:
        """Take a person's order out of the way of one by which the gate closes the position."""
        if not working.unwanted and not working.ended:
            working.unwanted, name = True, working.order.client_order_id
            plan.write("verdict", "risk", {"command": "", "reason": "its position must be closed", "refusal": "", "cancel": name})
            plan.alert(f"order {name} is cancelled: it stands in the way of closing {working.order.symbol}")


def oldest(raw: bytes) -> int:
    """Return the sequence of the journal after which lies all that `restore` needs beside a kept state."""
    return int(progress(raw)["oldest"])


def progress(raw: bytes) -> dict[str, Any]:
    """Return what a kept state says beside a trader's own; raise TradingError where another version of this house kept it."""
    kept = trader.progress(raw)
    if kept.get("form") != FORM:
        raise TradingError(
            f"the account's state was kept in form {kept.get('form')}, this version keeps form {FORM}: close its positions at the "
            "broker, move its folder away, and begin another account"
        )
    return kept
