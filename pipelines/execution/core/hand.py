"""Hand: what people ask of a running trader: orders, cancels, and answers to its proposals.

The gate judges an order by hand as it does any other, between two bars as at one; the journal names who asked.
"""

import math
from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from domain.decision import Outcome, Reason, Rule
from domain.error import nearest
from domain.order import Order
from pipelines.execution import facts, risk
from pipelines.execution.core import events
from pipelines.execution.core.desk import Desk
from pipelines.execution.core.plan import Plan
from pipelines.execution.core.proposals import Proposal, Proposals
from pipelines.execution.core.seat import Seat
from pipelines.execution.risk import Verdict

#: Whose orders a person's are, where a model's name would stand.
HAND = "hand"
#: Seconds after which a person's word has waited for too long.
ANSWER_S = 30.0


class Account(Protocol):
    """What a hand is laid on: the core, as far as people are concerned."""

    flips: bool
    desk: Desk
    proposals: Proposals

    @property
    def halted(self) -> bool:
        """Whether the kill latch is shut."""
        ...

    @property
    def equity(self) -> float:
        """What the account is worth by the newest prices."""
        ...

    def may_send(self, symbol: str, quantity: Decimal) -> bool:
        """Say whether an order may be sent now."""
        ...

    def seat_of(self, symbol: str) -> Seat | None:
        """Return the seat of a symbol's market, nothing for one that is not traded here."""
        ...

    def tell(self, seat: Seat, plan: Plan, silent_since_ns: int, model_valid: bool) -> None:
        """Tell the gate of a market what is known of the world now."""
        ...

    def heard_before(self, said: events.Word) -> bool:
        """Say whether a word of a person has been honoured; from now on it has."""
        ...


class Hand:
    """A person's hand on one core."""

    def __init__(self, core: Account) -> None:
        self._core = core

    def asked(self, said: events.Asked, plan: Plan) -> None:
        """Judge an order by hand, and send what the gate leaves of it."""
        if self._core.heard_before(said):
            return
        seat = self._core.seat_of(said.symbol)
        if seat is None:
            self._answer(
                said, plan, f"'{said.symbol}' is not traded by this account: {nearest(said.symbol, self._core.desk.places)}"
            )
        elif refusal := self._unfit(seat, said.symbol, said.quantity, said.age_s):
            self._answer(said, plan, refusal)
        else:
            market, mark = seat.market.name, float(seat.trader.book.mark[seat.places[said.symbol]])
            name = f"{market}:{HAND}:{said.identity.removesuffix('.json')}"
            order = Order(name, market, said.symbol, float(said.quantity), plan.at.time, HAND, mark, said.terms)
            self._send(said, seat, order, said.quantity, plan, Reason.HAND)

    def decided(self, said: events.Decided, plan: Plan) -> None:
        """Send what was proposed, or what a person made of it, once the gate has judged it again; or let it be."""
        if self._core.heard_before(said):
            return
        proposals = self._core.proposals
        found = proposals.open.get(said.proposal)
        seat = None if found is None else self._core.seat_of(found.order.symbol)
        if found is None or seat is None:
            self._answer(said, plan, f"no proposal {said.proposal} is open")
        elif refusal := self._unlike(said, seat, found):
            self._answer(said, plan, refusal)
        elif said.quantity is None:
            proposals.end(said.proposal, "rejected", plan, said.actor)
            self._answer(said, plan)
        else:
            proposals.end(said.proposal, "accepted", plan, said.actor)
            self._send(said, seat, found.order, said.quantity, plan, Reason.FORECAST)

    def withdrawn(self, said: events.Withdrawn, plan: Plan) -> None:
        """Have an order cancelled, as soon as it can be."""
        if self._core.heard_before(said):
            return
        working = self._core.desk.orders.get(said.client_order_id)
        if working is None or working.foreign:
            self._answer(said, plan, f"no order {said.client_order_id} of ours is open")
        else:
            working.unwanted = True
            self._answer(said, plan, cancel=said.client_order_id)

    def garbled(self, said: events.Garbled, plan: Plan) -> None:
        """Say that a word was not understood."""
        if not self._core.heard_before(said):
            self._answer(said, plan, said.reason)

    def _send(
        self, said: events.Asked | events.Decided, seat: Seat, order: Order, quantity: Decimal, plan: Plan, reason: Reason
    ) -> None:
        """Let the gate judge an order of a person's between two bars, and send what it leaves."""
        core = self._core
        core.tell(seat, plan, seat.outlook.due_ns, reason == Reason.HAND or seat.outlook.model_valid)
        verdict = self._verdict(seat, order, float(quantity))
        exact = seat.exact(verdict.quantity)
        order = order._replace(quantity=float(exact))
        told = facts.asked(order, float(quantity), verdict, reason)
        # A halt lets nothing but reductions pass, and they are what it wants.
        plan.write("intent", said.actor, {**told, "orders": core.desk.intend([(order, exact, core.halted)], plan)})
        judged = {name: told[name][0] for name in ("symbol", "asked", "outcome", "rule", "found", "limit")}
        self._answer(said, plan, order=order.client_order_id, quantity=f"{exact.normalize():f}", **judged)

    def _unlike(self, said: events.Decided, seat: Seat, found: Proposal) -> str:
        """Return why an answer does not fit its proposal, which then stays open; nothing if it does."""
        if said.quantity is None:
            return ""
        if said.quantity * found.quantity <= 0:
            return f"{found.quantity} was proposed and {said.quantity} accepted: the side may not be changed"
        return self._unfit(seat, found.order.symbol, said.quantity, said.age_s)

    def _unfit(self, seat: Seat, symbol: str, quantity: Decimal, age_s: float) -> str:
        """Return why an order does not even come before the gate, nothing if it may."""
        busy = next((each for each in self._core.desk.orders.values() if each.order.symbol == symbol), None)
        if not quantity.is_finite() or quantity == 0 or seat.exact(float(quantity)) != quantity:
            return f"{quantity} of {symbol} was asked for: give a number of whole lots of {seat.lot}, other than 0"
        if age_s > ANSWER_S:
            return f"it was asked for {age_s:.0f} s ago, more than the {ANSWER_S:.0f} s after which nobody may want it any more"
        if busy is not None:
            return f"order {busy.order.client_order_id} of {symbol} is open: cancel it first, a symbol has one at a time"
        known = self._core.may_send(symbol, quantity)
        return "" if known else "the account is not known to be what the broker holds: nothing but reductions is sent until it is"

    def _verdict(self, seat: Seat, order: Order, quantity: float) -> Verdict:
        """Ask the gate about one order; what it would force out by itself is let out, and never more than was asked for."""
        who, place = seat.trader, seat.places[order.symbol]
        close = np.where(seat.outlook.ages == 0.0, who.book.mark, math.nan)
        price = order.terms.limit_price or order.terms.stop_price or math.nan
        said = risk.judge(
            who.limits, place, quantity, price, close, who.gate.volume, who.book, self._core.equity, who.conditions, who.gate
        )  # fmt: skip
        if said.outcome == Outcome.FORCED:
            left = math.copysign(min(abs(quantity), abs(said.quantity)), quantity) if said.quantity * quantity > 0.0 else 0.0
            said = said._replace(quantity=left, outcome=Outcome.REDUCED if left else Outcome.DENIED)
        held = float(who.book.quantity[place])
        if not self._core.flips and held * (held + said.quantity) < 0.0:
            said = said._replace(quantity=-held, outcome=Outcome.REDUCED, rule=Rule.FLIP, found=abs(said.quantity), limit=abs(held))
        return said

    def _answer(self, said: events.Word, plan: Plan, refusal: str = "", **told: Any) -> None:
        """Write what became of a person's word; they wait for it."""
        plan.write("verdict", said.actor, {"command": said.identity, "reason": said.reason, "refusal": refusal, **told})
