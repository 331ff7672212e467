"""Ingest: bars from a source through quality into the store, with what was wrong with them."""

from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from domain.bar import BAR_KEY, NULLABLE
from domain.clock import Clock, SystemClock
from domain.error import ConfigurationError, DataError, NoData
from domain.market import Market
from domain.params import Params
from pipelines.data import quality
from pipelines.data.quality import Inspection
from pipelines.data.sources.contract import Source
from pipelines.data.sources.simulated import Simulated
from pipelines.data.sources.yahoo import Yahoo
from pipelines.store import Store

#: Stored bars that a source is asked for again: quality judges the new ones by them.
CONTEXT_BARS = 150
VALUES = ["event_at", "open", "high", "low", "close", "volume", *NULLABLE]


@dataclass(frozen=True)
class Ingested:
    """What became of one batch."""

    market: str
    timeframe: str
    source: str
    rows: int
    """Rows that the source gave and the store did not have."""
    kept: int
    """Rows stored as bars, the flagged ones included."""
    flagged: int
    quarantined: int
    version: int
    """Version of the table `bars` after."""
    symbols: int
    first: datetime | None
    """First `opened_at` of the rows."""
    last: datetime | None
    defects: dict[str, int]
    """Rows of the inspected batch by defect; a row may have several."""
    docs: str | None
    """index.html of the Data Docs."""


def ingest(
    frame: pl.DataFrame,
    market: Market,
    params: Params,
    store: Store,
    *,
    source: str,
    docs: Path | None = None,
    clock: Clock | None = None,
) -> Ingested:
    """Inspect bars and store them: the possible ones as bars with their flags, the impossible ones in quarantine with the reason.

    Nothing is repaired or dropped. Giving the same bars again changes neither table. Raises NoData for an empty frame, DataError
    when no row is possible (they are in quarantine then), DiskFull with every table at its version before or after.
    """
    if frame.is_empty():
        raise NoData(f"bars of market '{market.name}' were to be stored, but {source} has none")
    found = quality.inspect(frame, market, params.quality, docs=docs)
    return _keep(found, len(frame), market, store, source, clock or SystemClock())


def from_source(
    market: Market, params: Params, store: Store, since: datetime | None = None, until: datetime | None = None, *,
    docs: Path | None = None, clock: Clock | None = None, source: Source | None = None,
) -> Ingested:  # fmt: skip
    """Ask `source`, by default the market's own, for bars opened from `since` to `until` and ingest what the store does not have.

    Without `since` the source is asked from the last stored bar on, and for everything if it has rewritten a symbol's history
    meanwhile (a split). Headlines and corporate actions come along where the source has them. Raises ConfigurationError for a
    market that is fed from files or whose store holds another simulated world, and what the source and `ingest` raise.
    """
    now = clock or SystemClock()
    source = source or _source(market, params, now)
    stored = _stored(store, market)
    if isinstance(source, Simulated):
        _refuse_another_world(source, market, store)
    asked = since if since is not None or stored is None else _context(market, stored["opened_at"].max())
    frame = source.bars(market, asked, until)
    if since is None and stored is not None and _rewritten(frame, stored):
        asked, frame = None, source.bars(market, None, until)
    _companions(source, market, store, asked, until)
    if stored is None:
        return ingest(frame, market, params, store, source=market.source, docs=docs, clock=now)
    new = _new(frame, stored)
    if new.is_empty():
        return _nothing(market, store)
    found = quality.inspect(frame, market, params.quality, docs=docs)
    return _keep(_only(found, new), len(new), market, store, market.source, now)


def lacking(market: Market, store: Store) -> str | None:
    """Return one sentence while no bar of the market is stored, with the command that brings some; None once there are any."""
    if store.holds(market.name, market.timeframe):
        return None
    done, words = ("imported", "import PATH") if market.source == "files" else ("ingested", "ingest")
    return f"no {market.timeframe} bars of market '{market.name}' were {done} yet: nightshift {words} --market {market.name}"


def told(ingested: Ingested) -> dict[str, object]:
    """Return what a person or a program is told of a batch: its fields, defects that were not found left out."""
    return {**asdict(ingested), "defects": {name: rows for name, rows in ingested.defects.items() if rows}}


def _keep(found: Inspection, rows: int, market: Market, store: Store, source: str, clock: Clock) -> Ingested:
    # Quarantine first: should the disk fill up in between, no row is missing from both tables unseen.
    if not found.quarantined.is_empty():
        quarantined = found.quarantined.with_columns(
            source=pl.lit(source), market=pl.lit(market.name), timeframe=pl.lit(market.timeframe)
        )
        store.upsert("quarantine", quarantined)
    checked = {"market": market.name, "timeframe": market.timeframe, "checked_at": clock.now()}
    store.upsert("quality", found.summary.with_columns(**{name: pl.lit(value) for name, value in checked.items()}))
    if found.kept.is_empty() and rows:
        raise DataError(
            f"none of {rows:,} rows from {source} is possible: {_worst(found)}; they are in quarantine with their reasons"
        )
    version = store.upsert("bars", found.kept)
    return _ingested(found, rows, market, source, version)


def _ingested(found: Inspection, rows: int, market: Market, source: str, version: int) -> Ingested:
    kept = found.kept
    span = kept.select(first=pl.col("opened_at").min(), last=pl.col("opened_at").max()).row(0)
    return Ingested(
        market.name, market.timeframe, source, rows, len(kept), len(kept.filter(pl.col("flags") != 0)), len(found.quarantined),
        version, kept["symbol"].n_unique(), span[0], span[1],
        dict(zip(found.summary["defect"], found.summary["rows"], strict=True)), None if found.docs is None else str(found.docs),
    )  # fmt: skip


def _nothing(market: Market, store: Store) -> Ingested:
    return Ingested(market.name, market.timeframe, market.source, 0, 0, 0, 0, store.version("bars"), 0, None, None, {}, None)


def _worst(found: Inspection) -> str:
    name, rows = found.summary.sort("rows", descending=True).select("defect", "rows").row(0)
    return f"{rows:,} have {name}"


def _source(market: Market, params: Params, clock: Clock) -> Source:
    delay = params.store.publication_delay_s
    if market.source == "simulated":
        return Simulated(params.sources.simulated, delay)
    if market.source == "yahoo":
        return Yahoo(params.sources.yahoo, publication_delay_s=delay, clock=clock)
    raise ConfigurationError(
        f"market '{market.name}' has no source to ask, it is fed from {market.source}: "
        f"nightshift import PATH --market {market.name}"
    )


def _companions(source: Source, market: Market, store: Store, since: datetime | None, until: datetime | None) -> None:
    if isinstance(source, Simulated):
        store.upsert("news", source.news(market, since, until))
    if isinstance(source, Yahoo):
        store.upsert("actions", source.actions(market, since, until))


def _stored(store: Store, market: Market) -> pl.DataFrame | None:
    """Return the newest stored bars of the market's symbols, or None when one of them must be asked for from its beginning."""
    try:
        bars = store.bars(market.name, market.timeframe, symbols=list(market.symbols) or None)
    except NoData:
        return None
    return None if set(market.symbols) - set(bars["symbol"].unique()) else bars


def _refuse_another_world(source: Simulated, market: Market, store: Store) -> None:
    """Raise ConfigurationError when bars or headlines are stored that the simulated market does not have.

    Replacing them would be easy and wrong: this home's champion was trained in the stored world, its paper account holds positions
    at that world's prices, and both would go on in the new one as if the market had moved there overnight. A world that only became
    longer or shorter is the same world.
    """
    made = source.bars(market, None, None)
    strange = _strange(_rows(store, "bars", market), made, ["symbol", "opened_at", *VALUES], "opened_at")
    if not strange:
        news = source.news(market, None, None).filter(pl.col("event_at") <= made["event_at"].max())
        strange = _strange(_rows(store, "news", market), news, ["symbol", "event_at", "headline"], "event_at")
    if strange:
        asked = source.parameters
        raise ConfigurationError(
            f"market '{market.name}' was to be simulated with seed {asked.seed}, {made['symbol'].n_unique()} symbols and edge "
            f"{asked.edge:g}, but {strange:,} stored rows are of another world, to which this home's models and accounts belong: "
            "set sources.simulated back, or name another home with NIGHTSHIFT_HOME"
        )


def _rows(store: Store, table: str, market: Market) -> pl.DataFrame | None:
    try:
        return store.read(table, where={"market": market.name})
    except NoData:
        return None


def _strange(stored: pl.DataFrame | None, made: pl.DataFrame, columns: list[str], time: str) -> int:
    """Count the stored rows that a world which reaches as far does not have."""
    if stored is None or made.is_empty():
        return 0
    reached = stored.filter(pl.col(time) <= made[time].max())
    return reached.join(made, on=columns, how="anti", nulls_equal=True).height


def _context(market: Market, last: object) -> datetime:
    """Return the last stored bar's open less the context, generously turned from bars into calendar days."""
    assert isinstance(last, datetime)  # noqa: S101  # the newest of a column of times
    return last - timedelta(days=4 + 1.5 * 365 * CONTEXT_BARS / market.bars_a_year)


def _new(frame: pl.DataFrame, stored: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `frame` that the store lacks or has with other values; flags are quality's, not the source's."""
    return frame.join(stored, on=[*BAR_KEY, *VALUES], how="anti", nulls_equal=True, maintain_order="left")


def _rewritten(frame: pl.DataFrame, stored: pl.DataFrame) -> bool:
    """Say whether the source now contradicts all of several stored bars of a symbol."""
    both = frame.join(stored, on=BAR_KEY, how="semi")
    agreed = both.join(stored, on=[*BAR_KEY, *VALUES], how="semi", nulls_equal=True)
    counts = both["symbol"].value_counts().join(agreed["symbol"].value_counts(name="agreed"), on="symbol", how="left")
    return not counts.filter((pl.col("count") > 1) & pl.col("agreed").is_null()).is_empty()


def _only(found: Inspection, new: pl.DataFrame) -> Inspection:
    """Keep of an inspection what it says of new rows; the others were only there to judge them by."""
    kept = found.kept.join(new, on=BAR_KEY, how="semi", nulls_equal=True, maintain_order="left")
    quarantined = found.quarantined.join(new, on=BAR_KEY, how="semi", nulls_equal=True, maintain_order="left")
    return Inspection(kept, quarantined, found.summary, found.success, found.docs)
