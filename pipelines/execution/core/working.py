"""Working: one of our orders as it stands, what it may still do to the account, and which executions of it are booked.

What an order reserves is not kept anywhere: it follows from what was ordered, what was booked and whether it has ended, so that it
can be released neither twice nor never.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from functools import cache

from domain.order import MOVES, TERMINAL, Order, OrderState
from pipelines.execution.core.events import Execution, Report

ZERO = Decimal(0)


@cache
def reachable(state: OrderState) -> frozenset[OrderState]:
    """Return every state that an order in `state` can still come to, over any number of moves."""
    found, fresh = frozenset[OrderState](), MOVES[state]
    while fresh:
        found |= fresh
        fresh = frozenset().union(*(MOVES[each] for each in fresh)) - found
    return found


def moved(before: OrderState, said: OrderState) -> OrderState:
    """Return where an order stands after a report; a state that cannot follow is old news and changes nothing."""
    return said if said in reachable(before) else before


def _possible(booked: dict[Decimal, Decimal]) -> bool:
    """Return whether executions can be of one order: up to each, no more was filled than its count says; some may be missing."""
    total = ZERO
    for cumulative in sorted(booked):
        total += booked[cumulative]
        if total > cumulative:
            return False
    return True


@dataclass(slots=True)
class Working:
    """An order that we sent or found, until nothing more can come of it."""

    order: Order
    quantity: Decimal
    """Signed: what was ordered, by the broker's word of it: after a split it is of the new shares."""
    state: OrderState = OrderState.INTENT
    broker_id: str = ""
    foreign: bool = False
    """Found at the broker, not sent by us."""
    by_value: bool = False
    """Ordered as a value: `quantity` is what that would buy, and its executions may come to a little more."""
    forced: bool = False
    """Asked for by the gate itself, to close a position: a halt leaves it at work."""
    unwanted: bool = False
    """A person wants it cancelled."""
    resized: bool = False
    """The broker has made another quantity of it than was ordered."""
    absent: bool = False
    """Ended because the broker, long after it was sent, knew nothing of it."""
    reported: Decimal = ZERO
    """Unsigned quantity that the broker says was filled."""
    booked: dict[Decimal, Decimal] = field(default_factory=dict)
    """Executions that are in the account: cumulative -> quantity, unsigned."""
    since_ns: int = 0
    """Monotonic time of sending, or of the start of this process if that was later."""
    looked_ns: int = 0
    """When the broker was last asked whether it knows the order; 0 for never."""
    cancelled_ns: int = 0
    """When a cancel was last asked for; 0 for never."""
    ended_ns: int = 0
    since: int = 0
    """Sequence in the journal after which all that is written of it lies."""

    @property
    def filled(self) -> Decimal:
        """Unsigned quantity that is booked."""
        return sum(self.booked.values(), ZERO)

    @property
    def ended(self) -> bool:
        """Whether the broker will do nothing more with it."""
        return self.state in TERMINAL

    @property
    def settled(self) -> bool:
        """Whether it has ended and every execution that the broker speaks of is booked."""
        return self.ended and self.filled >= self.reported

    @property
    def reserved(self) -> Decimal:
        """Unsigned quantity that may still be added to the position: all that is not booked, until the order has ended."""
        return max((self.reported if self.ended else abs(self.quantity)) - self.filled, ZERO)

    def report(self, said: Report, now_ns: int) -> bool:
        """Take in a report; return whether anything changed. Filled quantities never fall, and no state goes back."""
        before = (self.state, self.reported, self.broker_id, self.absent, self.quantity)
        if self.absent:
            self.state, self.absent = OrderState.UNKNOWN, False
        # A split makes more of an order, or ends it: whatever says less is old news.
        if said.quantity * self.quantity > ZERO and abs(said.quantity) > abs(self.quantity) and not self.by_value:
            self.quantity, self.resized = said.quantity, True
        self.state = moved(self.state, said.state)
        self.reported = max(self.reported, said.filled)
        self.broker_id = said.broker_id or self.broker_id
        self._note_end(now_ns)
        return before != (self.state, self.reported, self.broker_id, self.absent, self.quantity)

    def end(self, state: OrderState, now_ns: int, *, absent: bool = False) -> None:
        """End an order by what is proven otherwise than by a report: a refusal, or its absence."""
        self.state, self.absent = state, absent
        self._note_end(now_ns)

    def knows(self, execution: Execution) -> bool:
        """Return whether an execution is booked already."""
        return execution.cumulative in self.booked

    def fault(self, execution: Execution) -> str:
        """Return what is wrong with an execution, nothing if it may be booked."""
        size = abs(execution.quantity)
        if not (execution.quantity.is_finite() and execution.price.is_finite() and size > 0 and execution.price > 0):
            return f"it is {execution.quantity} at {execution.price}"
        if execution.symbol != self.order.symbol or (execution.quantity > 0) != (self.quantity > 0):
            return f"it is {execution.quantity} of {execution.symbol}"
        after = {**self.booked, execution.cumulative: size}
        if (execution.cumulative > abs(self.quantity) and not self.by_value) or not _possible(after):
            return (
                f"it brings what is filled to {self.filled + size} of {abs(self.quantity)}, {execution.cumulative} by its own count"
            )
        return ""

    def book(self, execution: Execution) -> None:
        """Note that an execution is in the account."""
        self.count(execution.cumulative, abs(execution.quantity))

    def count(self, cumulative: Decimal, size: Decimal) -> None:
        """Note that an unsigned quantity is in the account, which brought the broker's count to `cumulative`."""
        self.booked[cumulative] = size
        self.reported = max(self.reported, cumulative)

    def put(
        self, state: OrderState, reported: Decimal, broker_id: str, now_ns: int, *, absent: bool, quantity: Decimal | None = None
    ) -> None:  # fmt: skip
        """Put an order where the journal says it stood; a quantity is one that the broker made of it."""
        self.state, self.absent, self.broker_id = state, absent, broker_id
        self.quantity, self.resized = (self.quantity, self.resized) if quantity is None else (quantity, True)
        self.reported = max(self.reported, reported)
        self._note_end(now_ns)

    def _note_end(self, now_ns: int) -> None:
        if self.ended and not self.ended_ns:
            self.ended_ns = now_ns
        elif not self.ended:
            self.ended_ns = 0
