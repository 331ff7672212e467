"""Ledger: the exchange's own truth, an append-only SQLite file of what it was asked and of what came of it.

It is written by other code than any trader's journal, so that the two can be compared. The exchange is deterministic: what it was
asked, asked again in the same order, makes the same orders, fills and cash. So a ledger holds every call that changed anything, and
behind each the updates and activities that it led to. An exchange that is opened on a ledger lives through its calls again and is
held to what was answered. A call and what came of it are one durable transaction, and nobody hears of them before: what was
answered or told survives the death of the process and of the machine.
"""

import json
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from domain.error import ConfigurationError, DiskFull, ResourceError, TradingError
from domain.market import AssetClass
from domain.order import TimeInForce
from domain.venue import Ask, Refused
from pipelines.execution.matching.account import Asset, Terms
from pipelines.execution.matching.exchange import Exchange
from pipelines.execution.matching.prices import Bar, Quote
from pipelines.execution.matching.tickets import ZERO, Activity, Ticket, Update

SCHEMA = "CREATE TABLE records (sequence INTEGER PRIMARY KEY, kind TEXT NOT NULL, payload TEXT NOT NULL) STRICT"
AFTER = "SELECT sequence, kind, payload FROM records WHERE sequence > ? ORDER BY sequence LIMIT ?"
BATCH = 1000


@dataclass(frozen=True)
class Opened:
    """The first record: what the exchange trades, and for whom."""

    assets: tuple[Asset, ...]
    terms: Terms
    at: datetime


@dataclass(frozen=True)
class Submit:
    """A call of `Exchange.submit`."""

    ask: Ask

    def apply(self, exchange: Exchange) -> Ticket:
        """Make the call."""
        return Exchange.submit(exchange, self.ask)


@dataclass(frozen=True)
class Cancel:
    """A call of `Exchange.cancel`."""

    order_id: str

    def apply(self, exchange: Exchange) -> None:
        """Make the call."""
        Exchange.cancel(exchange, self.order_id)


@dataclass(frozen=True)
class Replace:
    """A call of `Exchange.replace`; None leaves a price as it is."""

    order_id: str
    client_order_id: str | None = None
    quantity: Decimal | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce | None = None

    def apply(self, exchange: Exchange) -> Ticket:
        """Make the call."""
        names = ("limit_price", "stop_price", "trail_price", "trail_percent", "time_in_force")
        changes: dict[str, Any] = {name: value for name in names if (value := getattr(self, name)) is not None}
        return Exchange.replace(exchange, self.order_id, client_order_id=self.client_order_id, quantity=self.quantity, **changes)


@dataclass(frozen=True)
class OnBar:
    """A call of `Exchange.on_bar`."""

    bar: Bar

    def apply(self, exchange: Exchange) -> None:
        """Make the call."""
        Exchange.on_bar(exchange, self.bar)


@dataclass(frozen=True)
class OnQuote:
    """A call of `Exchange.on_quote`."""

    quote: Quote

    def apply(self, exchange: Exchange) -> None:
        """Make the call."""
        Exchange.on_quote(exchange, self.quote)


@dataclass(frozen=True)
class CloseSession:
    """A call of `Exchange.close_session`."""

    ended: AssetClass

    def apply(self, exchange: Exchange) -> None:
        """Make the call."""
        Exchange.close_session(exchange, self.ended)


@dataclass(frozen=True)
class Charge:
    """A call of `Exchange.charge`."""

    kind: str
    amount: Decimal
    symbol: str
    quantity: Decimal
    description: str

    def apply(self, exchange: Exchange) -> Activity:
        """Make the call."""
        about = {"symbol": self.symbol, "description": self.description}
        return Exchange.charge(exchange, self.kind, self.amount, quantity=self.quantity, **about)


@dataclass(frozen=True)
class Split:
    """A call of `Exchange.split`."""

    symbol: str
    ratio: Decimal

    def apply(self, exchange: Exchange) -> None:
        """Make the call."""
        Exchange.split(exchange, self.symbol, self.ratio)


@dataclass(frozen=True)
class Dividend:
    """A call of `Exchange.dividend`."""

    symbol: str
    per_share: Decimal

    def apply(self, exchange: Exchange) -> None:
        """Make the call."""
        Exchange.dividend(exchange, self.symbol, self.per_share)


@dataclass(frozen=True)
class Delist:
    """A call of `Exchange.delist`."""

    symbol: str
    price: Decimal | None

    def apply(self, exchange: Exchange) -> None:
        """Make the call."""
        Exchange.delist(exchange, self.symbol, self.price)


@dataclass(frozen=True)
class Rename:
    """A call of `Exchange.rename`."""

    symbol: str
    other: str

    def apply(self, exchange: Exchange) -> None:
        """Make the call."""
        Exchange.rename(exchange, self.symbol, self.other)


@dataclass(frozen=True)
class Halt:
    """A call of `Exchange.halt`."""

    symbol: str
    halted: bool

    def apply(self, exchange: Exchange) -> None:
        """Make the call."""
        Exchange.halt(exchange, self.symbol, halted=self.halted)


Call = Submit | Cancel | Replace | OnBar | OnQuote | CloseSession | Charge | Split | Dividend | Delist | Rename | Halt
Outcome = Update | Activity
Record = Opened | Call | Outcome
RECORDS: tuple[Any, ...] = (
    Opened, Submit, Cancel, Replace, OnBar, OnQuote, CloseSession, Charge, Split, Dividend, Delist, Rename, Halt, Update, Activity,
)  # fmt: skip
#: How each kind of record becomes text, decimals as text too, and is read again.
TEXT: dict[str, TypeAdapter[Any]] = {kind.__name__: TypeAdapter(kind) for kind in RECORDS}


class Ledger:
    """The file. `append` writes, `records` reads from the beginning."""

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            for pragma in ("journal_mode = WAL", "synchronous = FULL"):
                self._connection.execute(f"PRAGMA {pragma}")
            if not self._connection.execute("SELECT 1 FROM sqlite_schema").fetchall():
                self._connection.execute(SCHEMA)
        except (sqlite3.Error, OSError) as problem:
            raise self._explained(problem) from problem

    def append(self, records: Iterable[Record]) -> None:
        """Write records in one durable transaction; raise DiskFull, with everything before intact, when there is no room."""
        rows = [(type(each).__name__, written(each)) for each in records]
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._connection.executemany("INSERT INTO records (kind, payload) VALUES (?, ?)", rows)
            self._connection.execute("COMMIT")
        except sqlite3.Error as problem:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise self._explained(problem) from problem

    def records(self) -> Iterator[Record]:
        """Yield every record, oldest first; raise TradingError for one that cannot be read."""
        newest = 0
        while rows := self._after(newest):
            for sequence, kind, payload in rows:
                yield self._read(sequence, kind, payload)
            newest = rows[-1][0]

    @property
    def opened(self) -> Opened | None:
        """What the account was opened with, nothing before it is."""
        first = next(self.records(), None)
        return first if isinstance(first, Opened) else None

    def close(self) -> None:
        """Let the file go."""
        self._connection.close()

    def _after(self, sequence: int) -> list[tuple[int, str, str]]:
        try:
            return self._connection.execute(AFTER, (sequence, BATCH)).fetchall()
        except sqlite3.Error as problem:
            raise self._explained(problem) from problem

    def _read(self, sequence: int, kind: str, payload: str) -> Record:
        try:
            record: Record = TEXT[kind].validate_python(json.loads(payload))
        except (KeyError, ValueError) as problem:
            text = f"record {sequence} of the exchange's ledger {self.path} cannot be read: restore the file, or begin a new one"
            raise TradingError(text) from problem
        return record

    def _explained(self, problem: Exception) -> ResourceError:
        if getattr(problem, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL:
            return DiskFull(f"the exchange's ledger {self.path} is full: free some space, everything before is intact")
        return ResourceError(f"the exchange's ledger {self.path} could not be used: {problem}")


def written(record: Record) -> str:
    """Return a record as one line of JSON: decimals and times as text, floats by their shortest digits."""
    return json.dumps(TEXT[type(record).__name__].dump_python(record, mode="json"), separators=(",", ":"))


class Recorded(Exchange):
    """An exchange whose every change is in its ledger before anybody hears of it.

    Listen to it, then call `recover` before anything else: it lives through what the ledger holds and tells of it again.
    """

    def __init__(self, assets: Iterable[Asset], terms: Terms, now: datetime, ledger: Ledger) -> None:
        self._ledger, self._calls, self._broken = ledger, 0, False
        self._heard: list[Outcome] = []
        super().__init__(assets, terms, now)
        self._opened = Opened(tuple(self.assets.values()), terms, now)

    def recover(self) -> None:
        """Become what the ledger tells of; an empty one begins here.

        Raises ConfigurationError where it is of another exchange, TradingError where its calls do not lead to what they led to.
        """
        records = self._ledger.records()
        first = next(records, None)
        if first is None:
            self._ledger.append([self._opened])
            return
        if not isinstance(first, Opened) or (first.assets, first.terms) != (self._opened.assets, self._opened.terms):
            raise ConfigurationError(
                f"the ledger {self._ledger.path} is of other assets or terms than those asked for: name another"
            )
        self.now = first.at
        for call, outcomes in _grouped(records):
            self._again(call)
            if [written(each) for each in self._heard] != [written(each) for each in outcomes]:
                raise TradingError(f"the ledger {self._ledger.path} does not lead to what was answered: it is of another version")
            self._forward()

    def submit(self, ask: Ask) -> Ticket:
        """Take an order and its legs; raise Refused."""
        ticket: Ticket = self._record(Submit(ask))
        return ticket

    def cancel(self, order_id: str) -> None:
        """Cancel an order; raise Refused."""
        self._record(Cancel(order_id))

    def replace(
        self, order_id: str, *, client_order_id: str | None = None, quantity: Decimal | None = None, **changes: Any
    ) -> Ticket:
        """Put another order in the place of one; raise Refused."""
        ticket: Ticket = self._record(Replace(order_id, client_order_id, quantity, **changes))
        return ticket

    def on_bar(self, bar: Bar) -> None:
        """Live through one symbol's bar."""
        self._record(OnBar(bar))

    def on_quote(self, quote: Quote) -> None:
        """Let a symbol's open orders take what a quote offers."""
        self._record(OnQuote(quote))

    def close_session(self, ended: AssetClass) -> None:
        """End a session of a class of assets."""
        self._record(CloseSession(ended))

    def charge(self, kind: str, amount: Decimal, *, symbol: str = "", quantity: Decimal = ZERO, description: str = "") -> Activity:
        """Move money without a trade."""
        activity: Activity = self._record(Charge(kind, amount, symbol, quantity, description))
        return activity

    def split(self, symbol: str, ratio: Decimal) -> None:
        """Make `ratio` shares of each."""
        self._record(Split(symbol, ratio))

    def dividend(self, symbol: str, per_share: Decimal) -> None:
        """Pay a dividend on what is held."""
        self._record(Dividend(symbol, per_share))

    def delist(self, symbol: str, price: Decimal | None = None) -> None:
        """End a symbol and pay what is held of it."""
        self._record(Delist(symbol, price))

    def rename(self, symbol: str, other: str) -> None:
        """Call a symbol by another; raise Refused."""
        self._record(Rename(symbol, other))

    def halt(self, symbol: str, *, halted: bool) -> None:
        """Halt a symbol, or let it trade again."""
        self._record(Halt(symbol, halted))

    def _again(self, call: Call) -> None:
        self._calls = 1
        try:
            call.apply(self)
        finally:
            self._calls = 0

    def _record(self, call: Call) -> Any:
        """Make a call and keep it with what came of it; a call that another one makes is a part of that one."""
        if self._calls:
            return call.apply(self)
        if self._broken:
            raise TradingError("the exchange stopped because a call broke off: open it again on its ledger")
        self._calls, self._broken = 1, True
        try:
            answer = call.apply(self)
            self._ledger.append([call, *self._heard])
        except Refused:
            # Nothing has changed, and nothing is kept; if anything has all the same, the exchange stays closed.
            self._broken = bool(self._heard)
            raise
        finally:
            self._calls = 0
        self._broken = False
        self._forward()
        return answer

    def _forward(self) -> None:
        heard, self._heard = self._heard, []
        for each in heard:
            super()._emit(each)

    def _emit(self, told: Outcome) -> None:
        """Keep what happened until it is written."""
        self._heard.append(told)


def _grouped(records: Iterator[Record]) -> Iterator[tuple[Call, list[Outcome]]]:
    """Yield each call with what came of it."""
    call: Call | None = None
    outcomes: list[Outcome] = []
    for record in records:
        if isinstance(record, Update | Activity):
            outcomes.append(record)
        elif not isinstance(record, Opened):
            if call is not None:
                yield call, outcomes
            call, outcomes = record, []
    if call is not None:
        yield call, outcomes
