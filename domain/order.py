"""Order and fill: what is sent, what comes back, and the only legal moves between an order's states."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class OrderState(StrEnum):
    """Where an order stands. The words are Alpaca's where Alpaca has one."""

    INTENT = "intent"  # durable here, not yet sent
    UNKNOWN = "unknown"  # sent, outcome not proven: its exposure still counts
    ACCEPTED = "accepted"
    PARTIALLY_FILLED = "partially_filled"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REJECTED = "rejected"


TERMINAL = frozenset({OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED})

#: state -> the states it may become. A terminal state has none.
MOVES: dict[OrderState, frozenset[OrderState]] = {
    OrderState.INTENT: frozenset({OrderState.UNKNOWN, OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED, *TERMINAL}),
    OrderState.UNKNOWN: frozenset({OrderState.ACCEPTED, OrderState.PARTIALLY_FILLED, *TERMINAL}),
    OrderState.ACCEPTED: frozenset({OrderState.PARTIALLY_FILLED, *TERMINAL}),
    OrderState.PARTIALLY_FILLED: frozenset({OrderState.PARTIALLY_FILLED, *TERMINAL - {OrderState.REJECTED}}),
    OrderState.FILLED: frozenset(),
    OrderState.CANCELED: frozenset(),
    OrderState.EXPIRED: frozenset(),
    OrderState.REJECTED: frozenset(),
}


@dataclass(frozen=True)
class Order:
    """A market order for the next bar's open; what does not fill there expires."""

    client_order_id: str
    """Ours, deterministic in (market, model version, decision time, symbol): sending it twice is sending it once."""
    market: str
    symbol: str
    quantity: float
    """Signed: positive buys, negative sells."""
    decided_at: datetime
    """Close of the bar that the decision saw."""
    model_version: str
    reference_price: float
    """The close at which the gate judged it."""


@dataclass(frozen=True)
class Fill:
    """One execution. Exactly-once key: (client_order_id, cumulative)."""

    client_order_id: str
    symbol: str
    quantity: float
    """Signed, this execution only."""
    price: float
    fee: float
    cumulative: float
    """Signed quantity of the order filled so far, this execution included."""
    event_at: datetime
