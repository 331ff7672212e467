"""Order and fill: what is sent, what comes back, and the only legal moves between an order's states."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple, Self


class OrderState(StrEnum):
    """Where an order stands. The first two are ours, the others are Alpaca's words."""

    INTENT = "intent"  # durable here, not yet sent
    UNKNOWN = "unknown"  # sent, outcome not proven: its exposure still counts
    PENDING_NEW = "pending_new"  # received, not yet checked by the venue
    ACCEPTED = "accepted"  # checked, waits to be routed: outside the session it stays here
    ACCEPTED_FOR_BIDDING = "accepted_for_bidding"
    PENDING_REVIEW = "pending_review"
    HELD = "held"  # a leg that waits for its parent's fill
    NEW = "new"  # works at the venue
    SUSPENDED = "suspended"  # may not trade for now
    PARTIALLY_FILLED = "partially_filled"
    STOPPED = "stopped"  # its execution is promised, its fill still to come
    CALCULATED = "calculated"  # done for the day, settlement still to come
    DONE_FOR_DAY = "done_for_day"  # works again next session, unless it expires
    PENDING_CANCEL = "pending_cancel"
    PENDING_REPLACE = "pending_replace"
    FILLED = "filled"
    CANCELED = "canceled"
    EXPIRED = "expired"
    REPLACED = "replaced"  # another order has taken its place
    REJECTED = "rejected"

    # As of any word: an enumeration's own is written in Python, and states are looked up with every order at every event.
    __hash__ = str.__hash__


TERMINAL = frozenset({
    OrderState.FILLED, OrderState.CANCELED, OrderState.EXPIRED, OrderState.REPLACED, OrderState.REJECTED,
})  # fmt: skip

#: What may follow once an order can trade.
_ENDS = TERMINAL - {OrderState.REJECTED}
_WORKING = frozenset({
    OrderState.PARTIALLY_FILLED, OrderState.STOPPED, OrderState.SUSPENDED, OrderState.CALCULATED, OrderState.DONE_FOR_DAY,
    OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE, *_ENDS,
})  # fmt: skip
#: What may follow before: a cancel is possible, a replace is not.
_WAITING = frozenset({
    OrderState.NEW, OrderState.PARTIALLY_FILLED, OrderState.SUSPENDED, OrderState.PENDING_CANCEL, OrderState.FILLED,
    OrderState.CANCELED, OrderState.EXPIRED, OrderState.REJECTED,
})  # fmt: skip
#: Where an order may wait before it works.
_BEFORE = frozenset({
    OrderState.ACCEPTED, OrderState.ACCEPTED_FOR_BIDDING, OrderState.PENDING_REVIEW, OrderState.HELD,
})  # fmt: skip
#: Anything that a broker may say of an order that it had not spoken of.
_ARRIVED = frozenset(OrderState) - {OrderState.INTENT, OrderState.UNKNOWN}

#: state -> the states it may become. A terminal state has none, and nothing leads back to an intent.
MOVES: dict[OrderState, frozenset[OrderState]] = {
    OrderState.INTENT: _ARRIVED | {OrderState.UNKNOWN},
    OrderState.UNKNOWN: _ARRIVED,
    OrderState.PENDING_NEW: _WAITING | _BEFORE,
    OrderState.ACCEPTED: _WAITING | _BEFORE - {OrderState.ACCEPTED},
    OrderState.ACCEPTED_FOR_BIDDING: _WAITING,
    OrderState.PENDING_REVIEW: _WAITING | {OrderState.ACCEPTED},
    OrderState.HELD: _WAITING | {OrderState.ACCEPTED},
    OrderState.NEW: _WORKING | {OrderState.REJECTED},
    OrderState.SUSPENDED: _WORKING | {OrderState.NEW, OrderState.REJECTED},
    OrderState.PARTIALLY_FILLED: _WORKING,
    OrderState.STOPPED: _WORKING,
    OrderState.CALCULATED: _WORKING,
    OrderState.DONE_FOR_DAY: _WORKING | {OrderState.NEW},
    # Either request may be refused, after which the order works on.
    OrderState.PENDING_CANCEL: _WORKING - {OrderState.PENDING_CANCEL} | {OrderState.NEW, OrderState.ACCEPTED, OrderState.HELD},
    OrderState.PENDING_REPLACE: _WORKING - {OrderState.PENDING_REPLACE} | {OrderState.NEW},
    OrderState.FILLED: frozenset(),
    OrderState.CANCELED: frozenset(),
    OrderState.EXPIRED: frozenset(),
    OrderState.REPLACED: frozenset(),
    OrderState.REJECTED: frozenset(),
}  # fmt: skip


class OrderKind(StrEnum):
    """How an order finds its price; the words are Alpaca's."""

    MARKET = "market"
    LIMIT = "limit"
    STOP = "stop"
    STOP_LIMIT = "stop_limit"
    TRAILING_STOP = "trailing_stop"


class TimeInForce(StrEnum):
    """How long an order works; the words are Alpaca's."""

    DAY = "day"
    GTC = "gtc"  # until it is cancelled
    IOC = "ioc"  # at once, and what does not fill is cancelled
    FOK = "fok"  # at once and in full, or not at all
    OPG = "opg"  # in the opening auction only
    CLS = "cls"  # in the closing auction only


class OrderClass(StrEnum):
    """Which orders belong together; the words are Alpaca's."""

    SIMPLE = "simple"
    BRACKET = "bracket"  # an entry, and once it is filled a target and a stop, of which one cancels the other
    OCO = "oco"  # a target and a stop on what is held already
    OTO = "oto"  # an entry, and once it is filled one of both


@dataclass(frozen=True)
class Terms:
    """How an order wants to be executed; prices in the currency of the symbol's price, None where the kind has none."""

    kind: OrderKind = OrderKind.MARKET
    time_in_force: TimeInForce = TimeInForce.IOC
    limit_price: float | None = None
    stop_price: float | None = None
    trail_price: float | None = None
    """Distance of a trailing stop in currency; or else `trail_percent`."""
    trail_percent: float | None = None
    """Distance of a trailing stop in percent of the price."""
    extended_hours: bool = False
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit: float | None = None
    """Limit price of the target leg."""
    stop_loss: float | None = None
    """Stop price of the stop leg."""
    stop_loss_limit: float | None = None
    """Limit price of the stop leg once it is triggered; None sells it at the market."""

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Self:
        """Return terms from the JSON of their fields; raise ValueError for a word, and TypeError for a field, that is none."""
        known: dict[str, Any] = dict(told)
        for name, words in (("kind", OrderKind), ("time_in_force", TimeInForce), ("order_class", OrderClass)):
            if name in known:
                known[name] = words(known[name])
        return cls(**known)


#: At the market when the next bar opens; what does not fill there is cancelled. What decisions are traded by.
NEXT_OPEN = Terms()


class Order(NamedTuple):
    """One order: how much of what, decided when, by whom and on which terms."""

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
    terms: Terms = NEXT_OPEN


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
