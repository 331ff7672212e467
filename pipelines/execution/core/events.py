"""Events: everything that can happen to a trader, and in which words a broker speaks of its orders."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, NamedTuple

from domain.factors import Actions
from domain.order import NEXT_OPEN, OrderState, Terms
from domain.panel import FloatArray, Panel
from domain.params import Params

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Moment(NamedTuple):
    """When an event reached us."""

    ns: int
    """Nanoseconds since 1970 UTC; may jump."""
    monotonic_ns: int
    """Nanoseconds that never run backwards within a process: durations are measured by these."""

    @property
    def time(self) -> datetime:
        """Return the moment as an aware datetime."""
        return EPOCH + timedelta(microseconds=self.ns // 1000)


@dataclass(frozen=True)
class Report:
    """What a broker says of one order, by whatever channel."""

    client_order_id: str
    broker_id: str
    symbol: str
    quantity: Decimal
    """Signed: what was ordered."""
    state: OrderState
    filled: Decimal
    """Unsigned, all executions so far."""
    notional: Decimal = Decimal(0)
    """Signed, in account currency: what was ordered where that is a value; its quantity is then what was filled of it."""


@dataclass(frozen=True)
class Execution:
    """One execution. The same one comes by several channels, and each knows it by (order, cumulative)."""

    client_order_id: str
    symbol: str
    quantity: Decimal
    """Signed, this execution only."""
    price: Decimal
    fee: Decimal
    cumulative: Decimal
    """Unsigned quantity of the order filled so far, this execution included."""
    event_at_ns: int


@dataclass(frozen=True)
class Charge:
    """Money that came or went otherwise than by a trade: fees settled later, borrow, dividends."""

    identity: str
    amount: Decimal
    """Signed: what cash changed by."""
    kind: str
    event_at_ns: int
    symbol: str = ""
    quantity: Decimal = Decimal(0)
    """What the holding of the symbol changed by, at no price: a split."""


class Answer(StrEnum):
    """What became of a request, as far as its answer proves it."""

    ACKED = "acked"
    REFUSED = "refused"  # the broker says that there is no such order and why
    UNKNOWN = "unknown"  # it may have been done: a timeout, a reset, an answer that nobody understands


class Channel(StrEnum):
    """What a live trader listens to."""

    ORDERS = "orders"
    BARS = "bars"


@dataclass(frozen=True)
class BarClosed:
    """A bar has closed, and the model has spoken."""

    bar: Panel
    """One row, as it was printed: orders are filled at such prices."""
    forecast: FloatArray
    """[S, Q] quantiles of the log return; NaN where nothing is known."""
    scale: FloatArray
    """[S] one-bar volatility."""
    day: float = 0.0
    """Number of the bar's session: a new one begins the day's loss anew."""
    closing: float = math.inf
    """The gross, of equity, that may be held while the market is closed, infinite where that is not soon."""
    terms: Terms = NEXT_OPEN
    """How an order that is sent now comes to trade at the next bar's open."""
    open: bool = True
    """The session is one in which positions may be opened."""
    model_valid: bool = True
    """The model is verified, not expired, and within its bounds."""
    due_ns: int = 0
    """When the next bar is to close, nanoseconds since 1970; 0 where nobody knows."""
    heard_ns: int = 0
    """Monotonic time at which the bar reached this process; 0 where nobody waited for it."""
    facts: tuple[tuple[str, dict[str, Any]], ...] = ()
    """(kind, payload) of what whoever spoke of the bar wants written down with it."""
    actions: Actions | None = None
    """What splits and dividends have done since the bar before, nothing where they did nothing."""


@dataclass(frozen=True)
class Answered:
    """The answer to a submission."""

    client_order_id: str
    answer: Answer
    report: Report | None = None
    """The order as the broker has it, when it was accepted."""
    reason: str = ""


@dataclass(frozen=True)
class CancelRefused:
    """A broker would not cancel: the order has ended, or is not known. What is true will be read."""

    client_order_id: str
    reason: str


@dataclass(frozen=True)
class Heard:
    """The order stream said something."""

    report: Report
    execution: Execution | None = None


@dataclass(frozen=True)
class Found:
    """The answer to a look for one order; nothing where the broker does not know it."""

    client_order_id: str
    report: Report | None
    asked_ns: int
    """When the look was begun, as the request says."""


@dataclass(frozen=True)
class Unread:
    """The account was asked for, and what came was nothing, or cannot be read."""

    reason: str
    asked_ns: int
    """As in `Found`."""


class Power(NamedTuple):
    """What a broker lets an account spend, beside what its open orders hold; in account currency."""

    marginable: Decimal
    """On what it lends on."""
    cash: Decimal
    """On the rest, such as crypto."""


@dataclass(frozen=True)
class Synced:
    """The account as the broker tells it: read while orders may have been moving."""

    orders: tuple[Report, ...]
    """Every open order, and the ones asked for by name."""
    executions: tuple[Execution, ...]
    """Since the cursor that was asked for, oldest first."""
    charges: tuple[Charge, ...]
    """Since the same cursor."""
    positions: Mapping[str, Decimal]
    """Signed; flat symbols left out."""
    cash: Decimal
    cursor: str
    """Where the next reading of executions may begin."""
    asked_ns: int
    """When the reading was begun, as the request says."""
    clock_ns: int | None = None
    """The broker's own time at the end of the reading, nanoseconds since 1970; None where it tells none."""
    power: Power | None = None
    """None where it does not say what may be spent."""


@dataclass(frozen=True)
class Listed:
    """What the broker does not trade now: halted, paused, or no longer listed."""

    untradable: frozenset[str]


@dataclass(frozen=True)
class TookOver:
    """Another model trades a market from the next bar on, or the same one by other settings."""

    market: str
    version: str
    params: Params
    """With the settings that the model brings."""


@dataclass(frozen=True)
class Joined:
    """A channel is connected: what was said meanwhile is lost."""

    channel: Channel


@dataclass(frozen=True)
class Lost:
    """A channel is gone."""

    channel: Channel


@dataclass(frozen=True)
class Ticked:
    """Time has passed."""


@dataclass(frozen=True)
class Began:
    """A process has begun to trade the account."""

    code: str = ""
    """Which version of the house it runs."""


@dataclass(frozen=True)
class Ended:
    """The process ends as it was told to."""


@dataclass(frozen=True)
class Commanded:
    """A person halts trading, or lets it go on."""

    identity: str
    """A command is honoured once, however often it comes."""
    halt: bool
    actor: str
    reason: str


@dataclass(frozen=True)
class Asked:
    """A person asks for an order."""

    identity: str
    """As of `Commanded`."""
    actor: str
    reason: str
    symbol: str
    quantity: Decimal
    """Signed."""
    terms: Terms
    age_s: float = 0.0
    """Seconds since it was asked for: what has waited for long may not be wanted any more."""


@dataclass(frozen=True)
class Decided:
    """A person answers a proposal."""

    identity: str
    actor: str
    reason: str
    proposal: str
    """Client order id of what was proposed."""
    quantity: Decimal | None
    """Signed, as proposed or changed; None rejects it."""
    age_s: float = 0.0


@dataclass(frozen=True)
class Withdrawn:
    """A person wants an order cancelled."""

    identity: str
    actor: str
    reason: str
    client_order_id: str


@dataclass(frozen=True)
class Corrected:
    """A person has found the broker right where the account differs: a trade was taken back there, say, or shares were moved."""

    identity: str
    actor: str
    reason: str


@dataclass(frozen=True)
class Garbled:
    """A person said something that cannot be understood."""

    identity: str
    actor: str
    reason: str
    """Why not."""


#: What people say.
Word = Commanded | Asked | Decided | Withdrawn | Corrected | Garbled
Happening = Began | Ended | Joined | Lost | Ticked | Listed | TookOver
Event = BarClosed | Answered | CancelRefused | Heard | Found | Synced | Unread | Happening | Word
