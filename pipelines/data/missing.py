"""Missing: what a source must be asked for, because neither is it stored nor has the source said that it has none."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import groupby, pairwise

import numpy as np
import numpy.typing as npt
import polars as pl

from domain import session
from domain.error import NoData
from domain.market import Market
from domain.panel import TimeArray
from domain.params import Ask
from pipelines.store import TABLES, Store

#: Bars before the first missing one that are asked for again: quality judges the new ones by them, and corrections show.
CONTEXT_BARS = 150
#: Where a question without a beginning begins, in the table `answered`.
BEGINNING = datetime(1900, 1, 1, tzinfo=UTC)
#: Whom a question without symbols is for.
EVERYONE = ""
DAY = timedelta(days=1)
#: First and last moment of what is missing, oldest first; None for no bound.
Stretches = list[tuple[datetime | None, datetime | None]]
ANSWERED = TABLES["answered"].schema


@dataclass(frozen=True)
class Question:
    """What a source is asked for at once."""

    symbols: tuple[str, ...]
    """Empty for all that the source has."""
    since: datetime | None
    """First moment that may be missing; None for the beginning."""
    until: datetime | None
    context: datetime | None = None
    """From where on the source is asked, so that what is new is seen beside what is known; None for `since`."""

    @property
    def first(self) -> datetime | None:
        """Where the answer has to begin."""
        return self.since if self.context is None else self.context

    def told(self) -> str:
        """Return the question in words."""
        names = ", ".join(self.symbols[:5]) + (f" and {len(self.symbols) - 5} more" if len(self.symbols) > 5 else "")
        first = "the beginning" if self.since is None else f"{self.since:%Y-%m-%d %H:%M}"
        return f"{names or 'all symbols'} from {first} to {'now' if self.until is None else f'{self.until:%Y-%m-%d %H:%M}'}"


@dataclass(frozen=True)
class Asked:
    """What a person or a schedule asks for."""

    since: datetime | None
    until: datetime | None
    now: datetime

    @property
    def last(self) -> datetime:
        """The last moment that can have happened."""
        return self.now if self.until is None else min(self.until, self.now)


def answered(store: Store, market: Market, table: str) -> pl.DataFrame:
    """Return the stretches that the market's source has answered for, possibly none."""
    try:
        where = {"market": market.name, "timeframe": market.timeframe, "table": table}
        return store.read("answered", where=where)
    except NoData:
        return pl.DataFrame(schema=ANSWERED)


def remember(store: Store, market: Market, table: str, question: Question, until: datetime | None) -> None:
    """Note that a question was answered up to `until`, joined to the stretch of before that it continues; None notes nothing."""
    since = question.first or BEGINNING
    if until is None or until < since:
        return
    known = answered(store, market, table)
    rows = [_joined(known, market, table, symbol, since, until) for symbol in question.symbols or (EVERYONE,)]
    store.upsert("answered", pl.DataFrame(rows, schema=ANSWERED, orient="row"))


def bars(store: Store, market: Market, asked: Asked, ask: Ask) -> list[Question]:
    """Return the questions that complete the market's bars: what was never asked, holes, and what came since.

    Holes are bars that the calendar expects between a symbol's first stored bar (or `since`) and its last, unless the source has
    answered for that time already; who names `since` asks for those once more. Symbols that lack the same are asked for together,
    long stretches in pieces, oldest first.
    """
    if not market.symbols:
        newest = store.newest(market.name, market.timeframe)
        return list(_pieces(market, asked, ask, (), [_rest(newest, asked, ask)]))
    known = answered(store, market, "bars")
    spans: dict[str, Stretches] = {}
    for at in range(0, len(market.symbols), ask.symbols):
        block = market.symbols[at : at + ask.symbols]
        stored = store.opened(market.name, market.timeframe, symbols=block)
        times = {str(name): session.naive(rows["opened_at"].sort()) for (name,), rows in stored.group_by("symbol")}
        spans |= {symbol: _stretches(market, symbol, times.get(symbol), known, asked, ask) for symbol in block}
    return [
        question
        for stretches, symbols in _alike(spans, ask.symbols)
        for question in _pieces(market, asked, ask, symbols, stretches)
    ]


def companions(store: Store, market: Market, table: str, asked: Asked, ask: Ask) -> list[Question]:
    """Return the questions that complete a table beside the bars; ticks are asked for a day at a time."""
    known, ticks = answered(store, market, table), table in {"trades", "quotes"}
    spans = {symbol: [(_reach(known, symbol, asked, ask), asked.until)] for symbol in market.symbols or (EVERYONE,)}
    found = [
        Question(symbols if market.symbols else (), since, until)
        for stretches, symbols in _alike(spans, ask.symbols)
        for since, until in stretches
    ]
    if ticks:
        return [day for question in found for day in _days(question, asked)]
    return [Question(q.symbols, q.since, q.until, None if q.since is None else _context(market, q.since)) for q in found]


def _stretches(market: Market, symbol: str, have: TimeArray | None, known: pl.DataFrame, asked: Asked, ask: Ask) -> Stretches:
    """Return what one symbol lacks, oldest first; the last stretch is what came since its newest bar."""
    first = asked.since or _beginning(ask)
    if have is None or not len(have):
        return [(first, asked.until)]
    newest = min(_aware(have[-1]), asked.last)
    start = first or _aware(have[0])
    holes: Stretches = []
    if start < newest:
        expected = np.setdiff1d(session.grid(market, start, newest), have, assume_unique=True)
        if asked.since is None:
            expected = expected[~_within(expected, known.filter(pl.col("symbol") == symbol))]
        holes = [(_aware(a), _aware(b)) for a, b in _runs(expected, market)]
    return [*holes, (newest, asked.until)]


def _runs(missing: TimeArray, market: Market) -> list[tuple[np.datetime64, np.datetime64]]:
    """Return first and last of the runs of missing bars; runs that one context would join are one."""
    if not len(missing):
        return []
    near = np.timedelta64(context_length(market))
    breaks = np.flatnonzero(np.diff(missing) > near) + 1
    edges = [0, *breaks.tolist(), len(missing)]
    return [(missing[a], missing[b - 1]) for a, b in pairwise(edges)]


def _within(times: TimeArray, known: pl.DataFrame) -> npt.NDArray[np.bool_]:
    inside = np.zeros(len(times), dtype=bool)
    for since, until in zip(session.naive(known["since"]), session.naive(known["until"]), strict=True):
        inside |= (times >= since) & (times <= until)
    return inside


def late(frame: pl.DataFrame, known: pl.DataFrame) -> pl.Series:
    """Return which bars lie where the source had answered before that it has none."""
    opened = session.naive(frame["opened_at"])
    inside = np.zeros(len(opened), dtype=bool)
    for (symbol,), stretches in known.group_by("symbol"):
        whose = np.ones(len(opened), dtype=bool) if symbol == EVERYONE else (frame["symbol"] == symbol).to_numpy()
        inside |= whose & _within(opened, stretches)
    return pl.Series("late", inside)


def _alike(spans: dict[str, Stretches], symbols_max: int) -> Iterator[tuple[Stretches, tuple[str, ...]]]:
    """Yield blocks of symbols that lack the same stretches."""
    by_stretches = sorted(spans, key=lambda symbol: repr(spans[symbol]))
    for _, group in groupby(by_stretches, key=lambda symbol: repr(spans[symbol])):
        names = sorted(group)
        for at in range(0, len(names), symbols_max):
            block = tuple(names[at : at + symbols_max])
            yield spans[block[0]], block


def _pieces(
    market: Market, asked: Asked, ask: Ask, symbols: tuple[str, ...], stretches: Iterable[tuple[datetime | None, datetime | None]]
) -> Iterator[Question]:
    """Yield the stretches in pieces of no more bars than may be asked for at once."""
    for since, until in stretches:
        if since is None:
            yield Question(symbols, None, until)
            continue
        edges = session.grid(market, since, asked.last if until is None else min(until, asked.last))[:: ask.bars].tolist()
        starts: list[datetime] = [since, *(at.replace(tzinfo=UTC) for at in edges[1:])]
        ends: list[datetime | None] = [*(at - timedelta(microseconds=1) for at in starts[1:]), until]
        for first, last in zip(starts, ends, strict=True):
            yield Question(symbols, first, last, _context(market, first))


def _rest(newest: datetime | None, asked: Asked, ask: Ask) -> tuple[datetime | None, datetime | None]:
    """Return what came since the newest bar of a market whose symbols its source names."""
    stored = None if newest is None else min(newest, asked.last)
    return (asked.since or stored or _beginning(ask), asked.until)


def _reach(known: pl.DataFrame, symbol: str, asked: Asked, ask: Ask) -> datetime | None:
    """Return up to where a table was answered for without a gap, from its beginning or from `since` on."""
    first = asked.since or _beginning(ask)
    start = first or BEGINNING
    mine = known.filter((pl.col("symbol") == symbol) & (pl.col("since") <= start) & (pl.col("until") >= start))
    reached = mine["until"].max()
    return reached if isinstance(reached, datetime) else first


def _days(question: Question, asked: Asked) -> Iterator[Question]:
    """Yield a question day by day; without a beginning it is the last day alone, since ticks have no small history."""
    until = asked.last if question.until is None else question.until
    at = question.since or until - DAY
    while at <= until:
        last = min(at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + DAY - timedelta(microseconds=1), until)
        yield Question(question.symbols, at, last)
        at = last + timedelta(microseconds=1)


def _joined(known: pl.DataFrame, market: Market, table: str, symbol: str, since: datetime, until: datetime) -> Sequence[object]:
    touching = known.filter((pl.col("symbol") == symbol) & (pl.col("since") <= until) & (pl.col("until") >= since))
    firsts, lasts = [since, *touching["since"].to_list()], [until, *touching["until"].to_list()]
    return (market.name, market.timeframe, table, symbol, min(firsts), max(lasts))


def _beginning(ask: Ask) -> datetime | None:
    return None if ask.since is None else datetime.combine(ask.since, datetime.min.time(), UTC)


def context_length(market: Market) -> timedelta:
    """Return the context, generously turned from bars into calendar days."""
    return timedelta(days=4 + 1.5 * 365 * CONTEXT_BARS / market.bars_a_year)


def _context(market: Market, first: datetime) -> datetime:
    return first - context_length(market)


def _aware(at: np.datetime64) -> datetime:
    found: datetime = at.astype("datetime64[us]").item()
    return found.replace(tzinfo=UTC)
