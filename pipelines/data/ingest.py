"""Ingest: bars from a source through quality into the store, with what was wrong with them."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from domain.bar import BAR_KEY, BAR_SCHEMA, empty_bars
from domain.clock import Clock, SystemClock
from domain.error import ConfigurationError, DataError, DiskFull, NightshiftError, NoData, ResourceError
from domain.market import Market
from domain.params import Params
from pipelines.data import missing, quality
from pipelines.data.missing import Asked, Question
from pipelines.data.quality import Inspection
from pipelines.data.sources import makers
from pipelines.data.sources.contract import ActionSource, ListingSource, NewsSource, RepairSource, Source, TickSource
from pipelines.data.sources.simulated import Simulated
from pipelines.store import TABLES, Store

#: What makes a bar another one; flags are quality's, not the source's.
VALUES = [name for name in BAR_SCHEMA if name not in {*BAR_KEY, "flags"}]
IDENTITY = ["symbol", "opened_at"]
#: After this long nothing is published any more: an answer without a bar means that there is none.
SETTLED = timedelta(days=3)
#: What is asked for beside the bars: the protocol that a source must keep to have it.
COMPANIONS: Mapping[str, type] = {
    "actions": ActionSource, "news": NewsSource, "trades": TickSource, "quotes": TickSource, "listings": ListingSource,
}  # fmt: skip


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
    market = at_rest(market)
    found = quality.inspect(frame, market, params.quality, docs=docs, known=quality.knowledge(store, market))
    return _keep(found, len(frame), market, store, source, clock or SystemClock())


def from_source(
    market: Market, params: Params, store: Store, since: datetime | None = None, until: datetime | None = None, *,
    docs: Path | None = None, clock: Clock | None = None, source: Source | None = None, answers: Path | None = None,
) -> Ingested:  # fmt: skip
    """Ask `source`, by default the market's own, for what the store lacks up to `until`, and ingest it, answer by answer.

    That is all of a symbol which was never asked for, what came since its newest bar, and holes of its history that the source has
    not been asked about; with `since`, everything from then on that is not stored. What the source says otherwise than before is a
    correction, and what it has now and had not when it was asked before is late: both are known from now on. A first delivery of
    old history is known as the source says. Headlines, actions and other tables come along where the source has them and
    `sources.ask` names them. `answers` is a folder where the source may keep what it was told of days long closed.

    Each answer is stored before the next question. When some questions fail the rest is stored all the same, and one error says
    what is missing: the same call asks for that again. Raises ConfigurationError for a market that is fed from files or whose store
    holds another simulated world, and what the source and `ingest` raise.
    """
    now, market = clock or SystemClock(), at_rest(market)
    source = source or makers.make(market, params, now, answers)
    if isinstance(source, Simulated):
        _refuse_another_world(source, market, store)
    visit = _Visit(source, market, params, store, docs, now)
    asked = Asked(since, until, now.now())
    done = [answer for question in missing.bars(store, market, asked, params.sources.ask) for answer in visit.bars(question)]
    for table in params.sources.ask.companions:
        if isinstance(source, COMPANIONS[table]):
            for question in missing.companions(store, market, table, asked, params.sources.ask):
                visit.companion(table, question)
    visit.conclude(len(done))
    return _together(done, market, store)


def at_rest(market: Market) -> Market:
    """Return the market with the bars that it stores, where those are finer than the ones it trades on."""
    return market if market.stored is None else replace(market, timeframe=market.stored, stored=None)


def lacking(market: Market, store: Store) -> str | None:
    """Return one sentence while no bar of the market is stored, with the command that brings some; None once there are any."""
    market = at_rest(market)
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


def _worst(found: Inspection) -> str:
    name, rows = found.summary.sort("rows", descending=True).select("defect", "rows").row(0)
    return f"{rows:,} have {name}"


@dataclass(frozen=True)
class _Gap:
    """A question that was not answered."""

    what: str
    question: Question
    problem: NightshiftError


class _Visit:
    """One round of questions to a source."""

    def __init__(self, source: Source, market: Market, params: Params, store: Store, docs: Path | None, clock: Clock) -> None:
        self._source, self._market, self._params, self._store = source, market, params, store
        self._docs, self._clock, self._gaps = docs, clock, list[_Gap]()
        self._known = quality.knowledge(store, market)

    def bars(self, question: Question) -> Iterator[Ingested]:
        """Ask for bars and store them, yielding what was new; one symbol that a source does not know keeps no other from it."""
        frame = self._answer("bars", question, self._source.bars)
        if frame is None:
            for symbol in question.symbols if len(question.symbols) > 1 and self._refused() else ():
                yield from self.bars(replace(question, symbols=(symbol,)))
            return
        stored = _near(self._store, self._market, question)
        rewritten = _rewritten(frame, stored) if question.since is not None else []
        if rewritten:
            yield from self.bars(Question(tuple(rewritten) if question.symbols else (), None, question.until))
            frame = frame.filter(~pl.col("symbol").is_in(rewritten))
        known = missing.answered(self._store, self._market, "bars")
        stamped = _stamped(frame, stored, known, self._clock.now())
        yield from self._kept(stamped, stored, question)
        if self._repaired(question):
            missing.remember(self._store, self._market, "bars", question, self._settled(question, frame))

    def companion(self, table: str, question: Question) -> None:
        """Ask for a table beside the bars and store what came."""
        asking: Callable[..., pl.DataFrame] = getattr(self._source, table)
        frame = self._answer(table, question, asking)
        if frame is not None:
            source, limits = self._market.source, self._params.quality
            quality.keep(table, frame, self._market, limits, self._store, source=source, clock=self._clock)
            until = min(question.until or self._clock.now(), self._clock.now())
            missing.remember(self._store, self._market, table, question, until)

    def conclude(self, answered: int) -> None:
        """Raise one sentence that says what is missing, if anything is."""
        if not self._gaps:
            return
        if len(self._gaps) == 1 and not answered:
            raise self._gaps[0].problem
        first = self._gaps[0]
        others = f", and {len(self._gaps) - 1} more questions" if len(self._gaps) > 1 else ""
        passing = any(isinstance(gap.problem, ResourceError) for gap in self._gaps)
        raise (ResourceError if passing else DataError)(
            f"market '{self._market.name}' was ingested in part: missing are {first.what} of {first.question.told()} "
            f"({first.problem}){others}; the rest is stored, run it again to complete it"
        )

    def _answer(self, what: str, question: Question, asking: Callable[..., pl.DataFrame]) -> pl.DataFrame | None:
        """Return the source's answer, no rows where it has none for that time, or None after a failure, which is noted."""
        try:
            return asking(replace(self._market, symbols=question.symbols), question.first, question.until)
        except DiskFull:
            raise
        except (DataError, ResourceError) as problem:
            if isinstance(problem, NoData) and question.since is not None:
                return pl.DataFrame(schema=TABLES.get(what, TABLES["quarantine"]).schema)
            self._gaps.append(_Gap(what, question, problem))
            return None

    def _refused(self) -> bool:
        """Say whether the last failure may be one symbol's, and forget it then: its symbols are asked for one by one."""
        if isinstance(self._gaps[-1].problem, DataError):
            self._gaps.pop()
            return True
        return False

    def _kept(self, stamped: pl.DataFrame, stored: pl.DataFrame, question: Question) -> Iterator[Ingested]:
        new = _new(stamped, stored, _set_apart(self._store, self._market, question))
        if new.is_empty():
            return
        found = quality.inspect(stamped, self._market, self._params.quality, docs=self._docs, known=self._known)
        try:
            yield _keep(_only(found, new), len(new), self._market, self._store, self._market.source, self._clock)
        except DataError as problem:
            self._gaps.append(_Gap("bars", question, problem))

    def _repaired(self, question: Question) -> bool:
        """Set apart what the source had before it repaired its answer, and say whether that is known."""
        if not isinstance(self._source, RepairSource):
            return True
        before = self._answer("repairs", question, self._source.repairs)
        if before is not None:
            self._store.upsert("quarantine", before)
        return before is not None

    def _settled(self, question: Question, frame: pl.DataFrame) -> datetime | None:
        """Return up to when the answer is final: the newest bar that it has, or all of it once that is long past."""
        if question.until is not None and question.until + self._market.bar + SETTLED <= self._clock.now():
            return question.until
        newest = frame["opened_at"].max()
        return newest if isinstance(newest, datetime) else None


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


def _near(store: Store, market: Market, question: Question) -> pl.DataFrame:
    """Return the stored bars that an answer could meet, as they are known now."""
    try:
        return store.bars(
            market.name, market.timeframe, symbols=question.symbols or None, since=question.first, until=question.until
        )
    except NoData:
        return empty_bars()


def _set_apart(store: Store, market: Market, question: Question) -> pl.DataFrame:
    """Return the bars of a question's time that are in quarantine already."""
    try:
        where = {"market": market.name, "timeframe": market.timeframe}
        return store.read("quarantine", where=where, since=question.first, until=question.until)
    except NoData:
        return empty_bars()


def _stamped(frame: pl.DataFrame, stored: pl.DataFrame, known: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return the answer with the moment from which each bar was known to us.

    A bar that is stored as it is keeps its own. A correction, and a bar that the source did not have when it was asked before, are
    known now; a first delivery is known as the source says.
    """
    before = stored.select(*IDENTITY, was=pl.col("known_at"), same=pl.struct(VALUES))
    rows = frame.with_columns(missing.late(frame, known)).join(before, on=IDENTITY, how="left", maintain_order="left")
    unchanged = pl.col("was").is_not_null() & pl.struct(VALUES).eq_missing(pl.col("same"))
    received = pl.max_horizontal(pl.lit(now).cast(pl.Datetime("us", "UTC")), "known_at")
    at = pl.when(unchanged).then("was").when(pl.col("was").is_not_null() | pl.col("late")).then(received).otherwise("known_at")
    return rows.with_columns(known_at=at).select(frame.columns)


def _new(frame: pl.DataFrame, stored: pl.DataFrame, apart: pl.DataFrame) -> pl.DataFrame:
    """Return the rows of `frame` that the store lacks or has with other values."""
    lacking_ = frame.join(stored, on=[*BAR_KEY, *VALUES], how="anti", nulls_equal=True, maintain_order="left")
    return lacking_.join(apart, on=[*IDENTITY, *VALUES], how="anti", nulls_equal=True, maintain_order="left")


def _rewritten(frame: pl.DataFrame, stored: pl.DataFrame) -> list[str]:
    """Return the symbols of which the source now contradicts all of several stored bars."""
    both = frame.join(stored, on=IDENTITY, how="semi")
    agreed = both.join(stored, on=[*IDENTITY, *VALUES], how="semi", nulls_equal=True)
    counts = both["symbol"].value_counts().join(agreed["symbol"].value_counts(name="agreed"), on="symbol", how="left")
    return sorted(counts.filter((pl.col("count") > 1) & pl.col("agreed").is_null())["symbol"])


def _only(found: Inspection, new: pl.DataFrame) -> Inspection:
    """Keep of an inspection what it says of new rows; the others were only there to judge them by."""
    kept = found.kept.join(new, on=BAR_KEY, how="semi", nulls_equal=True, maintain_order="left")
    quarantined = found.quarantined.join(new, on=BAR_KEY, how="semi", nulls_equal=True, maintain_order="left")
    return Inspection(kept, quarantined, found.summary, found.success, found.docs)


def _together(done: list[Ingested], market: Market, store: Store) -> Ingested:
    """Return what became of several answers as one."""
    if not done:
        return Ingested(market.name, market.timeframe, market.source, 0, 0, 0, 0, store.version("bars"), 0, None, None, {}, None)

    def summed(name: str) -> int:
        return sum(getattr(one, name) for one in done)

    return replace(
        done[-1],
        rows=summed("rows"),
        kept=summed("kept"),
        flagged=summed("flagged"),
        quarantined=summed("quarantined"),
        symbols=max(one.symbols for one in done),
        first=min((one.first for one in done if one.first), default=None),
        last=max((one.last for one in done if one.last), default=None),
        defects={name: sum(one.defects[name] for one in done) for name in done[0].defects},
    )
