"""Tickets: the exchange's orders, what happens to them and what they lead to. All immutable: a change makes a new one."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Self

from domain.order import TERMINAL, OrderKind, OrderState, TimeInForce
from domain.venue import Ask, Side

ZERO = Decimal(0)
#: How long a good-till-cancelled order works ("Orders at Alpaca", aged orders).
GTC_LIFE = timedelta(days=90)


class Event(StrEnum):
    """What an update tells of; the words are those of Alpaca's trade updates."""

    NEW = "new"
    ACCEPTED = "accepted"
    HELD = "held"
    PARTIAL_FILL = "partial_fill"
    FILL = "fill"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"
    REJECTED = "rejected"


@dataclass(frozen=True)
class Ticket:
    """An order as it stands at the exchange."""

    id: str
    client_order_id: str
    ask: Ask
    quantity: Decimal
    """Unsigned: a notional is turned into a quantity when it fills, until then it is estimated."""
    state: OrderState
    sequence: int
    """Its place among all orders: time priority."""
    created_at: datetime
    updated_at: datetime
    filled: Decimal = ZERO
    average: Decimal | None = None
    """Average price of what is filled."""
    filled_at: datetime | None = None
    ended_at: datetime | None = None
    """When it was cancelled, expired, was replaced or rejected."""
    replaced_by: str | None = None
    replaces: str | None = None
    parent: str | None = None
    legs: tuple[str, ...] = ()
    closes: bool = False
    """Whether a position of the other side was held when it was placed."""
    triggered: bool = False
    """A stop that was reached."""
    high_water: Decimal | None = None
    """Best price since a trailing stop was placed: the highest for a sell, the lowest for a buy."""

    @property
    def open(self) -> bool:
        """Whether anything can still come of it."""
        return self.state not in TERMINAL

    @property
    def expires_at(self) -> datetime | None:
        """When a good-till-cancelled order is cancelled for its age; None for the others, which end with their session."""
        return self.created_at + GTC_LIFE if self.ask.time_in_force == TimeInForce.GTC else None

    @property
    def left(self) -> Decimal:
        """Unsigned quantity that is not filled."""
        return self.quantity - self.filled

    @property
    def family(self) -> str:
        """The name of the orders that leave one position, of which one cancels the other: that of their parent."""
        return self.parent or self.id

    @property
    def sign(self) -> int:
        """1 for a buy, -1 for a sell."""
        return 1 if self.ask.side == Side.BUY else -1

    @property
    def stop_price(self) -> Decimal | None:
        """The price at which it is triggered: a trailing stop's follows its high-water mark."""
        ask = self.ask
        if ask.kind != OrderKind.TRAILING_STOP or self.high_water is None:
            return ask.stop_price
        distance = ask.trail_price if ask.trail_price is not None else self.high_water * (ask.trail_percent or ZERO) / 100
        return self.high_water + self.sign * distance

    def become(self, state: OrderState, at: datetime, **changes: Any) -> Self:
        """Return it in another state."""
        ended = at if state in TERMINAL - {OrderState.FILLED} else self.ended_at
        return replace(self, state=state, updated_at=at, ended_at=ended, **changes)


@dataclass(frozen=True)
class Execution:
    """One fill."""

    id: str
    order_id: str
    symbol: str
    side: Side
    quantity: Decimal
    """Unsigned."""
    price: Decimal
    fee: Decimal
    cumulative: Decimal
    leaves: Decimal
    at: datetime

    @property
    def signed(self) -> Decimal:
        """The change of the position."""
        return self.quantity if self.side == Side.BUY else -self.quantity


@dataclass(frozen=True)
class Update:
    """Something happened to an order."""

    sequence: int
    event: Event
    ticket: Ticket
    at: datetime
    execution: Execution | None = None
    position: Decimal = ZERO
    """Signed holding of the symbol after it."""


@dataclass(frozen=True)
class Activity:
    """Money or shares that came or went: Alpaca's account activities other than fills."""

    sequence: int
    kind: str
    """Alpaca's word: FEE, CFEE, DIV, SPLIT, INT and the like."""
    at: datetime
    amount: Decimal
    """What cash changed by."""
    symbol: str = ""
    quantity: Decimal = ZERO
    """What the holding changed by."""
    description: str = ""
