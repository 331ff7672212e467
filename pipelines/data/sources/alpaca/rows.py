"""Rows: Alpaca's answers as rows of the store's tables."""

import html
import re
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from domain import bar as bar_table
from domain import session
from domain.action import Kind
from domain.bar import UTC_MICROSECONDS
from domain.error import DataError
from domain.market import Market
from domain.panel import TimeArray
from pipelines.data.sources.alpaca.asking import Question, unreadable
from pipelines.data.sources.files import fitting
from pipelines.store import TABLES

DAY = timedelta(days=1)
NEW_YORK = "America/New_York"
VENDOR = "alpaca"
SIDES = {"B": "buy", "S": "sell"}
#: What history says of prints that were taken back, or corrected into another one.
TAKEN_BACK = ("canceled", "incorrect")
TAG = re.compile(r"</?[A-Za-z][^<>]*>")


def bars(table: pl.DataFrame, market: Market, asked: timedelta) -> pl.DataFrame:
    """Return BAR_SCHEMA rows of bars that were `asked` for by their length; finer ones than the market's are put together.

    `known_at` is the close. What trades while the exchange is closed keeps its own moment, for quality to see.
    """
    named = table.select(
        "symbol", opened_at=pl.col("t").cast(UTC_MICROSECONDS), open="o", high="h", low="l", close="c", volume="v", vwap="vw",
        trades="n",
    )  # fmt: skip
    if asked == DAY:
        named = named.with_columns(_session_opens(named["opened_at"], market).alias("opened_at"))
    if asked != market.bar:
        first, last = placed(market, session.naive(named["opened_at"]))
        finer = named.with_columns(_aware(first, "bucket"), _aware(last, "closed_at"))
        named = fitting.together(finer).rename({"closed_at": "event_at"})
    else:
        named = named.with_columns(_aware(session.closes(market, session.naive(named["opened_at"])), "event_at"))
    constant = {"market": market.name, "timeframe": market.timeframe, "flags": 0}
    return bar_table.conform(named.with_columns(known_at="event_at", **{name: pl.lit(value) for name, value in constant.items()}))


def placed(market: Market, moments: TimeArray) -> tuple[TimeArray, TimeArray]:
    """Return open and close of the market's bar that holds each moment, pre-market and post-market included.

    A moment that no bar holds is the first of one of its own. Alpaca's own longer bars begin on the hour or at a midnight, ours
    at the session's open.
    """
    first, last = session.holding(replace(market, hours="extended"), moments)
    alone = np.isnat(first)
    return np.where(alone, moments, first), np.where(alone, moments + np.timedelta64(market.bar), last)


def trades(table: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Return rows of the store's table `trades` with `known_at` when they happened; a print that was taken back has size 0.

    Prints are numbered by each exchange by itself: `trade_id` is exchange and number.
    """
    return table.select(
        pl.lit(market.name).alias("market"),
        "symbol",
        event_at=pl.col("t").cast(UTC_MICROSECONDS),
        known_at=pl.col("t").cast(UTC_MICROSECONDS),
        price="p",
        size=pl.when(pl.col("u").is_in(TAKEN_BACK)).then(0.0).otherwise("s"),
        side=pl.col("tks").replace_strict(SIDES, default=None, return_dtype=pl.String()),
        trade_id=pl.concat_str(pl.col("x") + ":", "i", ignore_nulls=True),
        exchange="x",
        conditions="c",
    )


def quotes(table: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Return rows of the store's table `quotes` with `known_at` when they happened; a side that nobody quotes is null.

    `sequence` counts those of one symbol and moment, in Alpaca's order.
    """
    at = table.with_columns(pl.col("t").cast(UTC_MICROSECONDS))
    sides = {
        ours: pl.when(pl.col(price) > 0.0).then(theirs)
        for ours, theirs, price in (("bid", "bp", "bp"), ("bid_size", "bs", "bp"), ("ask", "ap", "ap"), ("ask_size", "as", "ap"))
    }
    exchange = pl.when(pl.col("bx") == pl.col("ax")).then("bx").otherwise(pl.concat_str("bx", pl.lit("/"), "ax"))
    return at.select(
        pl.lit(market.name).alias("market"),
        "symbol",
        event_at="t",
        known_at="t",
        sequence=pl.int_range(pl.len()).over("symbol", "t"),
        **sides,
        exchange=exchange,
    )


class Articles:
    """Reads the pages of an answer with headlines: one row a symbol asked for, `known_at` when the wording was last changed.

    History holds an article as it reads now. What it said before it was updated is not to be had, and what it says now could
    not be read before.
    """

    def __init__(self, question: Question, market: Market) -> None:
        self.question, self.market, self.seen = question, market, set[tuple[int, str]]()
        self.asked = {written(symbol): symbol for symbol in question.symbols}

    def __call__(self, rows: Any) -> pl.DataFrame:
        """Return the page; raises DataError, after which the same page may be read again."""
        try:
            identities = [(row["id"], row["updated_at"]) for row in rows or ()]
            told = [each for row in rows or () for each in self._rows(row)]
        except (KeyError, TypeError, ValueError, AttributeError) as problem:
            raise unreadable(self.question, f"its rows are no {self.question.what}: {type(problem).__name__}") from None
        if self.seen.intersection(identities) or len(set(identities)) < len(identities):
            raise DataError(f"Alpaca was asked for {self.question} and tells an article twice: run it again in some minutes")
        self.seen.update(identities)
        return pl.DataFrame(told, schema=TABLES["news"].schema, orient="row")

    def _rows(self, row: dict[str, Any]) -> list[tuple[object, ...]]:
        created, updated = (datetime.fromisoformat(row[name]) for name in ("created_at", "updated_at"))
        symbols = [self.asked[name] for name in dict.fromkeys(row["symbols"]) if name in self.asked]
        if not symbols or created > self.question.until:
            raise DataError(
                f"Alpaca was asked for {self.question} and answers with article {row['id']} of {row['created_at']} about "
                f"{', '.join(row['symbols']) or 'nothing'}: none of the answer was taken, run it again in some minutes"
            )
        line = headline(row["headline"])
        known = max(created, updated)
        source = row.get("source") or VENDOR
        return [(self.market.name, symbol, created, known, line, source, None) for symbol in symbols] if line else []


def headline(text: str) -> str:
    """Return a headline as plain text on one line: tags gone, entities read, also those that were written twice over.

    >>> headline("AT&amp;amp;T &lt;b&gt;up&lt;/b&gt; 3%")
    'AT&T up 3%'
    """
    while (read := html.unescape(text)) != text:
        text = read
    return " ".join(TAG.sub(" ", text).split())


def written(symbol: str) -> str:
    """Return a symbol as news have it: BTC/USD is BTCUSD there."""
    return symbol.replace("/", "")


@dataclass(frozen=True)
class Event:
    """One corporate action as Alpaca tells it."""

    symbol: str
    day: date
    """Ex-date, or the day of a change."""
    kind: Kind
    value: float | None
    other: str | None = None
    """The symbol that a change leads to, or the new company of a spin-off, of which `value` then counts the shares."""


class Events:
    """Reads the pages of an answer with corporate actions, at the open of the ex-date and known from then on.

    Alpaca does not say when an action was announced.
    """

    def __init__(self, question: Question, market: Market) -> None:
        self.question, self.market, self.seen = question, market, set[str]()

    def __call__(self, kinds: Any) -> pl.DataFrame:
        """Return the page; raises DataError, after which the same page may be read again."""
        try:
            rows = [(name.removesuffix("s"), row) for name, of in (kinds or {}).items() for row in of]
            identities = [str(row["id"]) for _, row in rows]
            told = [EVENTS[name](row) for name, row in rows]
        except (KeyError, TypeError, ValueError, AttributeError, ZeroDivisionError) as problem:
            raise unreadable(self.question, f"its rows are no {self.question.what}: {type(problem).__name__}") from None
        if self.seen.intersection(identities) or len(set(identities)) < len(identities):
            raise DataError(f"Alpaca was asked for {self.question} and tells an action twice: run it again in some minutes")
        self._require_asked(told)
        self.seen.update(identities)
        return self._table([event for event in told if event.symbol in self.question.symbols])

    def _require_asked(self, told: list[Event]) -> None:
        strange = [event.symbol for event in told if not {event.symbol, event.other} & set(self.question.symbols)]
        if strange:
            raise DataError(
                f"Alpaca was asked for {self.question} and answers with an action of {strange[0]}: none of the answer was taken, "
                "run it again in some minutes"
            )

    def _table(self, told: list[Event]) -> pl.DataFrame:
        schema = {"symbol": pl.String, "day": pl.Date, "kind": pl.String, "value": pl.Float64, "other": pl.String}
        table = pl.DataFrame([astuple(event) for event in told], schema=schema, orient="row")
        midnights = table["day"].cast(pl.Datetime("us")).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
        opened = _session_opens(midnights, self.market)
        times = {"event_at": opened, "known_at": opened}
        return table.with_columns(market=pl.lit(self.market.name), **times).select(TABLES["actions"].schema.names())


def no_events() -> pl.DataFrame:
    """Return the table `actions` without a row."""
    return pl.DataFrame(schema=TABLES["actions"].schema)


def merged(events: pl.DataFrame) -> pl.DataFrame:
    """Return one row a symbol, moment and kind: two dividends of one day are added, two splits multiplied."""
    value = pl.when(pl.col("kind").first() == Kind.SPLIT).then(pl.col("value").product()).otherwise(pl.col("value").sum())
    change = pl.col("kind").first() == Kind.SYMBOL_CHANGE
    columns = {"value": pl.when(~change).then(value), "other": pl.when(change).then(pl.col("other").first())}
    one = events.group_by("market", "symbol", "event_at", "known_at", "kind", maintain_order=True).agg(**columns)
    return one.sort("event_at", "symbol", "kind")


def _dividend(row: dict[str, Any]) -> Event:
    return _ex(row, Kind.SPECIAL_DIVIDEND if row.get("special") else Kind.DIVIDEND, row["rate"])


def _ex(row: dict[str, Any], kind: Kind, value: float) -> Event:
    return Event(row["symbol"], date.fromisoformat(row["ex_date"]), kind, float(value))


def _split(row: dict[str, Any]) -> Event:
    return _ex(row, Kind.SPLIT, row["new_rate"] / row["old_rate"])


def _spinoff(row: dict[str, Any]) -> Event:
    shares = row["new_rate"] / row["source_rate"]
    return Event(row["source_symbol"], date.fromisoformat(row["ex_date"]), Kind.SPINOFF, shares, row["new_symbol"])


def _change(row: dict[str, Any]) -> Event:
    return Event(row["old_symbol"], date.fromisoformat(row["process_date"]), Kind.SYMBOL_CHANGE, None, row["new_symbol"])


#: What is asked for, by Alpaca's words, and how each is read.
EVENTS: dict[str, Callable[[dict[str, Any]], Event]] = {
    "cash_dividend": _dividend,
    "forward_split": _split,
    "reverse_split": _split,
    "stock_dividend": lambda row: _ex(row, Kind.STOCK_DIVIDEND, row["rate"]),
    "spin_off": _spinoff,
    "name_change": _change,
}


def delayed(table: pl.DataFrame, delay: timedelta) -> pl.DataFrame:
    """Return the rows known later by `delay`."""
    return table.with_columns(pl.col("known_at") + delay)


def between(tables: Iterable[pl.DataFrame], column: str, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    """Return all rows whose `column` is from `since` to `until`, both included."""
    bounds = [pl.lit(value=True)]
    bounds += [] if since is None else [pl.col(column) >= since]
    bounds += [] if until is None else [pl.col(column) <= until]
    return pl.concat(tables).filter(*bounds)


def _session_opens(stamps: pl.Series, market: Market) -> pl.Series:
    """Return the session's open for stamps of New York's midnights; a day without a session keeps its own, for quality to see."""
    if stamps.is_empty():
        return stamps
    days = stamps.dt.convert_time_zone(NEW_YORK).dt.date()
    first, last = days.min(), days.max()
    table = session.sessions(market.calendar, first, last)  # type: ignore[arg-type]  # the ends of a column of dates
    dated = pl.DataFrame({"session": days, "stamp": stamps})
    return dated.join(table, on="session", how="left", maintain_order="left").select(pl.coalesce("opened_at", "stamp"))["opened_at"]


def _aware(times: Any, name: str) -> pl.Series:
    return pl.Series(name, times).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
