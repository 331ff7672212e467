"""Reading: what features, labels and simulation see of a market's stored bars.

Stored is what was printed. On the way out a company's bars come under one name (`universe.named`), hours that the market leaves out
are left out, prices become total returns (`adjustment`), finer bars are summed up (`resampling`), and bars of symbols that were no
members are taken out (`universe.Membership`). All of it follows from what was known by each bar, in one call or stretch by stretch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Self

import numpy as np
import polars as pl

from domain import bar, session
from domain.bar import Defect
from domain.error import NoData
from domain.market import Market
from domain.panel import TimeArray
from pipelines.data import adjustment, resampling, universe
from pipelines.data.adjustment import Adjustment
from pipelines.data.universe import Membership
from pipelines.store import Store

#: Tables that say how bars are read.
RULES = ("actions", "listings")


@dataclass
class Reading:
    """One market's bars on their way out of the store, from the oldest to the newest, and what the next ones need."""

    market: Market
    asked: tuple[str, ...]
    """Symbols that were asked for by name; none asks for all."""
    known_at: datetime | None
    changes: pl.DataFrame
    """Rows of the table `actions`, under the symbols that they were told of."""
    listings: pl.DataFrame
    laid: Adjustment | None
    """None for a market without actions."""
    members: Membership | None
    """None for a market without rules."""
    held: pl.DataFrame
    """Finer bars of bars that are not whole yet."""

    @classmethod
    def of(cls, store: Store, market: Market, symbols: Sequence[str] = (), known_at: datetime | None = None) -> Self:
        """Return the reading of a market before its first bar, by what was known; raise DataError for impossible actions."""
        asked = tuple(symbols) or market.symbols
        changes = adjustment.actions(store, market, known_at)
        renamed = universe.named(changes, changes, asked, time="event_at")
        laid = None if renamed.is_empty() else Adjustment.of(renamed, session.zone(market.calendar))
        members = Membership.of(market.universe) if market.universe.chooses else None
        told = universe.listings(store, market, known_at)
        return cls(market, asked, known_at, changes, told, laid, members, bar.empty_bars())

    @property
    def at_rest(self) -> Market:
        """Return the market of the bars that are stored."""
        return replace(self.market, timeframe=self.market.stored or self.market.timeframe, stored=None)

    @property
    def sought(self) -> list[str] | None:
        """Return the symbols that must be asked of the store, None for all."""
        return universe.names(self.changes, self.asked) if self.asked else None

    def advance(self, raw: pl.DataFrame, until: datetime | None = None) -> pl.DataFrame:
        """Return the market's bars that the next stored ones make, sorted by symbol and time; possibly none.

        `raw` are BAR_SCHEMA rows as `store.bars` returns them, no moment of which is split between calls. Bars of the market's
        length show once `until` has passed their close, by default the newest close among the rows. Columns `adjustment`,
        `shares` and `traded` (money) come along where the market has actions or rules.
        """
        bars = universe.named(raw, self.changes, self.asked).sort("symbol", "opened_at") if self.changes.height else raw
        if self.market.hours == "regular":
            bars = bars.filter((pl.col("flags") & int(Defect.EXTENDED_HOURS)) == 0)
        if self.members is not None:
            bars = bars.with_columns(traded=pl.coalesce("vwap", "close") * pl.col("volume"))
        if self.laid is not None:
            bars = self.laid.advance(bars)
        if self.market.stored is not None:
            bars = pl.concat([self.held, bars], how="diagonal")
            self.held = resampling.unfinished(bars, self.market, until)
            bars = resampling.resampled(bars, self.market, until)
        return bars if self.members is None or bars.is_empty() else self._chosen(self.members, bars)

    def _chosen(self, members: Membership, bars: pl.DataFrame) -> pl.DataFrame:
        """Take out the bars of symbols that are no members then."""
        members.know(bars["symbol"].unique().to_list())
        opened = bars["opened_at"].unique().sort()
        times = session.naive(opened)
        row = np.searchsorted(times, session.naive(bars["opened_at"]))
        column = np.searchsorted(np.array(members.symbols), bars["symbol"].to_numpy())
        traded, close = np.full((2, len(times), len(members.symbols)), np.nan)
        factor = bars["adjustment"] if "adjustment" in bars.columns else 1.0
        traded[row, column], close[row, column] = bars["traded"].to_numpy(), (bars["close"] / factor).to_numpy()
        gone = universe.delisted(self.listings, members.symbols, times)
        return bars.filter(pl.Series(members.advance(traded, close, self._sessions(members, times), gone)[row, column]))

    def _sessions(self, members: Membership, times: TimeArray) -> universe.Counts:
        members.since = members.since or times[0].astype("datetime64[D]").item()
        return session.ordinals(self.market, times, members.since)


@dataclass
class Following:
    """A market's bars as the store learns of them, each told once: what was read before is not read again."""

    store: Store
    market: Market
    symbols: Sequence[str] = ()
    _reading: Reading | None = None
    _rules: dict[str, int] = field(default_factory=dict)
    """Versions of the tables that the reading's actions and listings came from."""
    _newest: datetime | None = None
    """When the newest bar that was told opened."""

    def news(self) -> pl.DataFrame:
        """Return what `bars` would return, of bars that opened after the newest one told before; possibly none.

        All of them again where actions or listings have changed. Raises DataError.
        """
        rules = {table: version for table, version in self.store.versions().items() if table in RULES}
        if self._reading is None or rules != self._rules:
            self._reading, self._rules, self._newest = Reading.of(self.store, self.market, self.symbols), rules, None
        where = self._reading.at_rest
        since = None if self._newest is None else self._newest + timedelta(microseconds=1)
        try:
            raw = self.store.bars(where.name, where.timeframe, symbols=self._reading.sought, since=since)
        except NoData:
            return bar.empty_bars()
        told = self._reading.advance(raw)
        self._newest = raw["opened_at"].max()  # type: ignore[assignment]
        return told


def bars(store: Store, market: Market, *, symbols: Sequence[str] = (), known_at: datetime | None = None) -> pl.DataFrame:
    """Return the market's bars as they were known by `known_at`, at once. Raises NoData, DataError."""
    reading = Reading.of(store, market, symbols, known_at)
    where = reading.at_rest
    return reading.advance(store.bars(where.name, where.timeframe, symbols=reading.sought, known_at=known_at), known_at)


def batches(
    store: Store, market: Market, *, symbols: Sequence[str] = (), known_at: datetime | None = None, rows: int
) -> Iterator[pl.DataFrame]:
    """Yield what `bars` returns in stretches made of about `rows` stored bars; one may be empty. Raises as `bars`."""
    reading = Reading.of(store, market, symbols, known_at)
    where = reading.at_rest
    for raw in store.batches(where.name, where.timeframe, symbols=reading.sought, known_at=known_at, rows=rows):
        yield reading.advance(raw)
    if known_at is not None and not reading.held.is_empty():
        yield reading.advance(reading.held.clear(), known_at)


def names(store: Store, market: Market, known_at: datetime | None = None) -> tuple[str, ...]:
    """Return every symbol that `bars` may return of all that are stored, sorted. Raises NoData, DataError."""
    reading = Reading.of(store, market, (), known_at)
    stored = store.symbols(market.name, reading.at_rest.timeframe)
    return tuple(sorted({*stored, *universe.labels(reading.changes)}))
