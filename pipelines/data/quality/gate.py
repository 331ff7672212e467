"""Gate: rows of trades, quotes, headlines, macro series, actions and listings on their way into the store, through their suite."""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from domain.clock import Clock, SystemClock
from domain.error import NoData
from domain.market import Market
from domain.params import Quality
from pipelines.data.quality import profiles, tables
from pipelines.data.quality.inspection import Knowledge
from pipelines.data.quality.tables import Around, Rows
from pipelines.store import TABLES, Store

#: Series of the whole economy belong to no market; their quarantine and their counts are kept under this name.
NO_MARKET = "macro"
#: Bars before an ex-date that are read with it: a close, over holidays.
BEFORE = timedelta(days=14)
#: Stored headlines and observations that judge new ones: a month of repetitions, what says how a series moves.
HISTORY = {"news": timedelta(days=30), "macro": timedelta(days=3660)}


@dataclass(frozen=True)
class Kept:
    """What became of one batch."""

    table: str
    rows: int
    kept: int
    """Rows stored, the suspicious ones included."""
    flagged: int
    quarantined: int
    version: int
    """Version of the table after; -1 while nothing was ever stored in it."""
    defects: dict[str, int]
    """Rows by rule, those that nothing broke left out; a row may break several."""


def keep(
    table: str, frame: pl.DataFrame, market: Market | None, limits: Quality, store: Store, *,
    source: str, docs: Path | None = None, clock: Clock | None = None,
) -> Kept:  # fmt: skip
    """Inspect rows of a table and store them: the possible ones as they are, the impossible ones in quarantine with the reason.

    Nothing is repaired. What each rule found is counted in the table `quality`, under the table's name as its timeframe. Giving the
    same rows again changes neither table nor quarantine. Raises DataError, DiskFull and ResourceError as the store does, and
    DataError for a table without a suite. An empty frame stores nothing.
    """
    now = clock or SystemClock()
    if frame.is_empty():
        return Kept(table, 0, 0, 0, 0, _version(store, table), {})
    around = surroundings(table, frame, market, limits, store, now.now())
    found = tables.inspect(table, frame, around, docs_in=docs)
    # Quarantine first: should the disk fill up in between, no row is missing from both tables unseen.
    if not found.quarantined.is_empty():
        store.upsert("quarantine", apart(found, market, source))
    counted = found.summary.filter(pl.col("rows") > 0)
    if not counted.is_empty():
        named = {"market": _name(market), "timeframe": table, "checked_at": now.now()}
        store.upsert("quality", counted.with_columns(**{name: pl.lit(value) for name, value in named.items()}))
    version = _version(store, table) if found.kept.is_empty() else store.upsert(table, found.kept)
    defects = dict(counted.select("defect", "rows").iter_rows())
    return Kept(table, len(frame), len(found.kept), len(found.flagged), len(found.quarantined), version, defects)


def knowledge(store: Store, market: Market) -> Knowledge:
    """Return what a store knows that bars of a market are judged by: the newest profile that lies beside it, and actions."""
    folder = profiles.beside(store)
    learned = None if folder is None else profiles.load(folder, market)
    try:
        actions = store.read("actions", where={"market": market.name})
    except NoData:
        return Knowledge(learned)
    return Knowledge(learned, None if actions.is_empty() or market.timeframe != "1d" else actions)


def apart(found: Rows, market: Market | None, source: str) -> pl.DataFrame:
    """Return what left a batch as rows of the table `quarantine`: its times, the reason, and all of the row as JSON."""
    schema, rows = TABLES["quarantine"].schema, found.quarantined
    own = TABLES[found.table].schema.names()
    named = "symbol" if "symbol" in own else "series"
    filled = {
        "market": pl.lit(_name(market)),
        "timeframe": pl.lit(found.table),
        "symbol": pl.col(named),
        "opened_at": pl.col("event_at"),
        "event_at": pl.col("event_at"),
        "known_at": pl.col("known_at"),
        "reason": pl.col("reason"),
        "source": pl.lit(source),
        "row": pl.struct(own).struct.json_encode(),
    }
    return rows.select(filled.get(name, pl.lit(None)).cast(kind).alias(name) for name, kind in schema.items())


def surroundings(
    table: str, frame: pl.DataFrame, market: Market | None, limits: Quality, store: Store, now: datetime | None
) -> Around:
    """Return what the store knows that a batch is judged by."""
    around = Around(limits, market, now=now)
    if table in HISTORY:
        around = replace(around, stored=_stored(table, frame, store))
    if market is not None and table == "trades":
        around = replace(around, quotes=_quotes(frame, market, store))
    if market is not None and table in {"actions", "listings"} and market.timeframe == "1d":
        around = replace(around, bars=_bars(table, frame, market, store))
    return around


def _stored(table: str, frame: pl.DataFrame, store: Store) -> pl.DataFrame | None:
    """Return what is stored of a table around the batch, less what the batch has itself."""
    laid, first, last = TABLES[table], frame["event_at"].min(), frame["event_at"].max()
    if not isinstance(first, datetime) or not isinstance(last, datetime):
        return None
    try:
        found = [
            store.read(table, where={part: value}, since=first - HISTORY[table], until=last + HISTORY[table])
            for part in laid.partition
            for value in frame[part].drop_nulls().unique().sort()
        ]
    except NoData:
        return None
    return pl.concat(found).join(frame, on=list(laid.key), how="anti", nulls_equal=True) if found else None


def _quotes(frame: pl.DataFrame, market: Market, store: Store) -> pl.DataFrame | None:
    span = frame.select(first=pl.col("event_at").min() - timedelta(minutes=1), last=pl.col("event_at").max() + timedelta(minutes=1))
    first, last = span.row(0)
    try:
        return store.read("quotes", where={"market": market.name}, since=first, until=last)
    except NoData:
        return None


def _bars(table: str, frame: pl.DataFrame, market: Market, store: Store) -> pl.DataFrame | None:
    """Return the bars of the batch's symbols: all for listings, else those around the ex-dates."""
    first, last = frame.select(first=pl.col("event_at").min() - BEFORE, last=pl.col("event_at").max() + BEFORE).row(0)
    symbols = frame["symbol"].drop_nulls().unique().sort().to_list()
    try:
        since, until = (None, None) if table == "listings" else (first, last)
        return store.bars(market.name, market.timeframe, symbols=symbols, since=since, until=until)
    except NoData:
        return None


def _version(store: Store, table: str) -> int:
    try:
        return store.version(table)
    except NoData:
        return -1


def _name(market: Market | None) -> str:
    return NO_MARKET if market is None else market.name
