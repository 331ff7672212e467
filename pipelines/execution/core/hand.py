"""Hand: what people ask of a running trader: orders, cancels, and answers to its proposals.

The gate judges an order by hand as it does any other, between two bars as at one; the journal names who asked.
"""

import math
from dataclasses import replace
from decimal import Decimal
from typing import Any, Protocol

import numpy as np

from domain.decision import Outcome, Reason, Rule
from domain.error import nearest
from domain.market import Market
from domain.order import Order
from pipelines.execution import facts, risk
from pipelines.execution.core import events
from pipelines.execution.core.desk import Desk
from pipelines.execution.core.outlook import Outlook
from pipelines.execution.core.plan import Plan
from pipelines.execution.core.proposals import Proposal, Proposals
from pipelines.execution.risk import Verdict
from pipelines.execution.trader import Trader

#: Whose orders a person's are, where a model's name would stand.
HAND = "hand"
#: Seconds after which a person's word has waited for too long.
ANSWER_S = 30.0


class Account(Protocol):
    """What a hand is laid on: the core, as far as people are concerned."""

    market: Market
    symbols: tuple[str, ...]
    flips: bool
    lot: Decimal
    trader: Trader
    desk: Desk
    outlook: Outlook
    proposals: Proposals

    @property
    def ready(self) -> bool:
        """Whether anything may be sent."""
        ...

    @property
    def halted(self) -> bool:
        """Whether the kill latch is shut."""
        ...

    @property
    def equity(self) -> float:
        """What the account is worth by the newest prices."""
        ...

    def exact(self, quantity: float) -> Decimal:
        """Return a quantity in whole lots, as it goes over the wire."""
        ...

    def tell(self, plan: Plan, silent_since_ns: int, model_valid: bool) -> None:
        """Tell the gate what is known of the world now."""
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
        place = self._core.desk.places.get(said.symbol)
        mark = math.nan if place is None else float(self._core.trader.book.mark[place])
        name = f"{self._core.market.name}:{HAND}:{said.identity.removesuffix('.json')}"
        order = Order(name, self._core.market.name, said.symbol, float(said.quantity), plan.at.time, HAND, mark, said.terms)
        if refusal := self._unfit(said.symbol, said.quantity, said.age_s):
            self._answer(said, plan, refusal)
        else:
            self._send(said, order, said.quantity, plan, Reason.HAND)

    def decided(self, said: events.Decided, plan: Plan) -> None:
        """Send what was proposed, or what a person made of it, once the gate has judged it again; or let it be."""
        if self._core.heard_before(said):
            return
        proposals = self._core.proposals
        found = proposals.open.get(said.proposal)
        refusal = f"no proposal {said.proposal} is open" if found is None else self._unlike(said, found)
        if refusal or found is None:
            self._answer(said, plan, refusal)
        elif said.quantity is None:
            proposals.end(said.proposal, "rejected", plan, said.actor)
            self._answer(said, plan)
        else:
            proposals.end(said.proposal, "accepted", plan, said.actor)
            self._send(said, found.order, said.quantity, plan, Reason.FORECAST)

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

    def _send(self, said: events.Asked | events.Decided, order: Order, quantity: Decimal, plan: Plan, reason: Reason) -> None:
        """Let the gate judge an order of a person's between two bars, and send what it leaves."""
        core = self._core
        core.tell(plan, core.outlook.due_ns, reason == Reason.HAND or core.outlook.model_valid)
        verdict = self._verdict(order, float(quantity))
        exact = core.exact(verdict.quantity)
        order = replace(order, quantity=float(exact))
        told = facts.asked(order, float(quantity), verdict, reason)
        # A halt lets nothing but reductions pass, and they are what it wants.
        plan.write("intent", said.actor, {**told, "orders": core.desk.intend([(order, exact, core.halted)], plan)})
        judged = {name: told[name][0] for name in ("symbol", "asked", "outcome", "rule", "found", "limit")}
        self._answer(said, plan, order=order.client_order_id, quantity=f"{exact.normalize():f}", **judged)

    def _unlike(self, said: events.Decided, found: Proposal) -> str:
        """Return why an answer does not fit its proposal, which then stays open; nothing if it does."""
        if said.quantity is None:
            return ""
        if said.quantity * found.quantity <= 0:
            return f"{found.quantity} was proposed and {said.quantity} accepted: the side may not be changed"
        return self._unfit(found.order.symbol, said.quantity, said.age_s)

    def _unfit(self, symbol: str, quantity: Decimal, age_s: float) -> str:
        """Return why an order does not even come before the gate, nothing if it may."""
        busy = next((each for each in self._core.desk.orders.values() if each.order.symbol == symbol), None)
        if symbol not in self._core.desk.places:
            return f"'{symbol}' is not traded by this account: {nearest(symbol, self._core.symbols)}"
        if not quantity.is_finite() or quantity == 0 or self._core.exact(float(quantity)) != quantity:
            return f"{quantity} of {symbol} was asked for: give a number of whole lots of {self._core.lot}, other than 0"
        if age_s > ANSWER_S:
            return f"it was asked for {age_s:.0f} s ago, more than the {ANSWER_S:.0f} s after which nobody may want it any more"
        if busy is not None:
            return f"order {busy.order.client_order_id} of {symbol} is open: cancel it first, a symbol has one at a time"
        return "" if self._core.ready else "the account is not known to be what the broker holds: nothing is sent until it is"

    def _verdict(self, order: Order, quantity: float) -> Verdict:
        """Ask the gate about one order; what it would force out by itself is let out, and never more than was asked for."""
        who, place = self._core.trader, self._core.desk.places[order.symbol]
        close = np.where(self._core.outlook.ages == 0.0, who.book.mark, math.nan)
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

    def _answer(self, said: events.Asked | events.Decided | events.Withdrawn, plan: Plan, refusal: str = "", **told: Any) -> None:
        """Write what became of a person's word; they wait for it."""
        plan.write("verdict", said.actor, {"command": said.identity, "reason": said.reason, "refusal": refusal, **told})
