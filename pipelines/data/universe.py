"""Universe: which symbols belonged to a market at a moment, by what was known then.

A symbol exists from its first bar on. It is gone when the table `listings` told so, or when it has missed a number of sessions:
nobody may know earlier that a silence is the last one. A company that changes its symbol keeps its history, under the newest name.
The rules of `params.yaml` (`markets.<m>.universe`) choose among those that exist, every bar anew by what was known at the close
before: a backtest holds what a trader could have chosen, and what later was delisted.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Self

import numpy as np
import numpy.typing as npt
import polars as pl

from domain import session
from domain.action import Kind
from domain.compiled import money_routine
from domain.error import NoData
from domain.market import Market, Universe
from domain.panel import FloatArray, TimeArray
from pipelines.store import TABLES, Store

Mask = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
NEVER = -(1 << 40)
"""A session before all sessions."""


def listings(store: Store, market: Market, known_at: datetime | None = None) -> pl.DataFrame:
    """Return the rows of the table `listings` that were known; none for a market that nobody told of or that has no rules."""
    if not market.universe.chooses:
        return pl.DataFrame(schema=TABLES["listings"].schema)
    try:
        told = store.read("listings", where={"market": market.name})
    except NoData:
        return pl.DataFrame(schema=TABLES["listings"].schema)
    return told if known_at is None else told.filter(pl.col("known_at") <= known_at)


def at(bars: pl.DataFrame, told: pl.DataFrame, market: Market, known_at: datetime) -> tuple[str, ...]:
    """Return the symbols that existed at a moment, sorted, by the bars and the rows of `listings` that were known by then."""
    last = bars.filter(pl.col("known_at") <= known_at).group_by("symbol").agg(pl.col("opened_at").max()).sort("symbol")
    if last.is_empty():
        return ()
    opened = session.naive(last["opened_at"])
    since = opened.min().astype("datetime64[D]").item()
    traded = session.ordinals(market, opened, since)
    now = session.ordinals(market, np.array([session.moment(known_at)]), since, "closed_at")[0]
    trading = now - traded < market.universe.grace_sessions
    gone = _gone(told.filter(pl.col("known_at") <= known_at), known_at)
    return tuple(symbol for symbol, alive in zip(last["symbol"], trading, strict=True) if alive and symbol not in gone)


def _gone(told: pl.DataFrame, at: datetime) -> set[str]:
    """Return the symbols whose newest word by a moment is that they were delisted."""
    words = told.filter((pl.col("event_at") <= at) & pl.col("kind").is_in(["listed", "delisted"]))
    newest = words.sort("event_at", "known_at").unique("symbol", keep="last", maintain_order=True)
    return set(newest.filter(pl.col("kind") == "delisted")["symbol"])


def named(bars: pl.DataFrame, actions: pl.DataFrame, asked: Sequence[str] = (), *, time: str = "opened_at") -> pl.DataFrame:
    """Return rows with the symbols that their companies have now, or have among `asked`: a live trader's columns keep their names.

    `actions` are those known, of which symbol changes count. What another company did under the new symbol before the change is
    told apart by the day of the change: META@2022-06-09. `time` is the column that says which side of a change a row is on.
    """
    changes = actions.filter(pl.col("kind") == Kind.SYMBOL_CHANGE).sort("event_at")
    for old, new, change in changes.select("symbol", "other", "event_at").iter_rows():
        symbol, before = pl.col("symbol"), pl.col(time) < change
        keep, give = (old, new) if old in asked and new not in asked else (new, old)
        if keep == new and bars.filter((symbol == old) & before).is_empty():
            continue
        moved = (symbol == give) & (before if keep == new else ~before)
        other = (symbol == keep) & (before if keep == new else ~before)
        renamed = pl.when(moved).then(pl.lit(keep)).when(other).then(pl.lit(f"{keep}@{change:%Y-%m-%d}")).otherwise(symbol)
        bars = bars.with_columns(symbol=renamed)
    return bars


def labels(actions: pl.DataFrame) -> list[str]:
    """Return the names that `named` may give beside the symbols that were there."""
    changes = actions.filter(pl.col("kind") == Kind.SYMBOL_CHANGE).select("other", "event_at").rows()
    return [name for new, change in changes for name in (new, f"{new}@{change:%Y-%m-%d}")]


def names(actions: pl.DataFrame, asked: Sequence[str]) -> list[str]:
    """Return the symbols that must be read to have the whole histories of those that were asked for."""
    found = set(asked)
    changes = actions.filter(pl.col("kind") == Kind.SYMBOL_CHANGE).select("symbol", "other").rows()
    while more := {name for pair in changes if found & set(pair) for name in pair} - found:
        found |= more
    return sorted(found)


@dataclass
class Membership:
    """Chooses the members of each bar by the bars before it, and remembers what the next bars need."""

    rules: Universe
    symbols: tuple[str, ...]
    """[S] those that had a bar, sorted."""
    ring: FloatArray
    """[W, S] money traded in each of a symbol's last bars."""
    count: Counts
    """[S] bars that a symbol has had."""
    close: FloatArray
    """[S] last raw close."""
    seen: Counts
    """[S] the session of the last bar."""
    since: date | None = None
    """The day from which sessions are counted: that of the first bar."""

    @classmethod
    def of(cls, rules: Universe, symbols: Sequence[str] = ()) -> Self:
        """Return the rules before the first bar."""
        made = cls(
            rules, (), np.zeros((rules.window_bars, 0)), np.zeros(0, dtype=np.int64), np.zeros(0), np.zeros(0, dtype=np.int64)
        )
        made.know(symbols)
        return made

    def know(self, symbols: Sequence[str]) -> None:
        """Make room for symbols that are new; the columns stay sorted."""
        new = sorted(set(symbols) - set(self.symbols))
        names = [*self.symbols, *new]
        order = np.argsort(np.array(names)) if names else np.zeros(0, dtype=np.int64)
        room = len(new)
        self.ring = np.hstack([self.ring, np.zeros((len(self.ring), room))])[:, order].copy()
        self.count = np.append(self.count, np.zeros(room, dtype=np.int64))[order]
        self.close = np.append(self.close, np.full(room, np.nan))[order]
        self.seen = np.append(self.seen, np.full(room, NEVER))[order]
        self.symbols = tuple(names[i] for i in order)

    def advance(self, traded: FloatArray, close: FloatArray, ordinal: Counts, gone: Mask) -> Mask:
        """Return [T, S] who is a member in each bar, known at the close of the bar before.

        `traded` is money and `close` the raw price, both [T, S] with NaN where there is no bar; `ordinal` [T] is the number of each
        bar's session and `gone` [T, S] who was known to be delisted when it opened. Equal volumes go to the first symbol.
        """
        out = np.zeros(traded.shape, dtype=np.bool_)
        top = traded.shape[1] if self.rules.top is None else self.rules.top
        _choose(
            traded, close, ordinal, gone, top, self.rules.price_min, self.rules.grace_sessions, self.ring, self.count, self.close,
            self.seen, out,
        )  # fmt: skip
        return out


def delisted(told: pl.DataFrame, symbols: Sequence[str], opened_at: TimeArray) -> Mask:
    """Return [T, S] who was known to be delisted when each bar opened."""
    out = np.zeros((len(opened_at), len(symbols)), dtype=np.bool_)
    words = told.filter(pl.col("kind").is_in(["listed", "delisted"]) & pl.col("symbol").is_in(list(symbols)))
    place = {symbol: s for s, symbol in enumerate(symbols)}
    heard = words.with_columns(at=pl.max_horizontal("event_at", "known_at")).sort("at", "event_at")
    for symbol, kind, moment in heard.select("symbol", "kind", "at").iter_rows():
        out[np.searchsorted(opened_at, session.moment(moment)) :, place[symbol]] = kind == "delisted"
    return out


@money_routine
def _choose(
    traded: FloatArray, close: FloatArray, ordinal: Counts, gone: Mask, top: int, price_min: float, grace: int, ring: FloatArray,
    count: Counts, last: FloatArray, seen: Counts, out: Mask,
) -> None:  # fmt: skip
    bars, symbols = traded.shape
    window = len(ring)
    size = np.empty(symbols)
    for t in range(bars):
        for s in range(symbols):
            whole = count[s] >= window and ordinal[t] - seen[s] <= grace and last[s] >= price_min and not gone[t, s]
            size[s] = ring[:, s].sum() if whole else -1.0
        order = np.argsort(-size, kind="mergesort")
        for s in order[:top]:
            out[t, s] = size[s] >= 0.0
        for s in range(symbols):
            if not np.isnan(close[t, s]):
                ring[count[s] % window, s] = 0.0 if np.isnan(traded[t, s]) else traded[t, s]
                count[s] += 1
                last[s], seen[s] = close[t, s], ordinal[t]
