"""Health: what the store holds of one market, and whether it is whole, fresh, sound and what it used to be.

Everything is looked up, nothing is changed. Flags and quarantine tell of all that is stored; drift, regimes of volume and what a
profile finds unlikely are told of the newest bars.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from domain import session
from domain.bar import IMPOSSIBLE, Defect
from domain.error import NoData
from domain.market import Market
from domain.params import Params
from pipelines.data import ingest
from pipelines.data.quality import drifting, freshness, inspection, profile, profiles
from pipelines.data.quality.inspection import Knowledge
from pipelines.data.quality.profile import JUDGED_SCHEMA, Profile
from pipelines.data.quality.reconciliation import Reconciliation
from pipelines.data.quality.tables import actions as effective
from pipelines.store import Store

#: Columns of the picture of coverage, and of defects over time.
PERIODS = 48
#: Bars of the newest stretch that is looked at closely: what fits a gibibyte.
ROWS_MAX = 3_000_000
#: Share of a stretch's bars that may be missing before coverage is said to have holes.
WHOLE = 0.98
#: Rows of quarantine that are shown for each reason.
EXAMPLES = 3
#: Defects that are facts of the calendar and no fault.
FACTS = Defect.EXTENDED_HOURS | Defect.AFTER_GAP


@dataclass(frozen=True)
class Health:
    """What was found of one market."""

    market: str
    timeframe: str
    at: datetime
    bars: int
    symbols: int
    first: datetime
    last: datetime
    coverage: pl.DataFrame
    """`symbol`, `period` (its first moment), `expected` bars by the calendar, `present`, `hole`: one row a symbol and period."""
    fresh: pl.DataFrame
    """`quality.freshness.SCHEMA`: one row a symbol."""
    rhythm: pl.DataFrame
    """What comes without a calendar, headlines and series: `symbol`, `last`, `silent_s`, `usual_s`, `status`."""
    defects: pl.DataFrame
    """`period`, `defect`, `rows`: flags of stored bars and what went to quarantine, over time."""
    quarantine: pl.DataFrame
    """`table`, `defect`, `rows`, `examples` (a list of sentences): by reason."""
    unlikely: pl.DataFrame
    """JUDGED_SCHEMA of bars that the profile expects less often than `quality.false_alarms`."""
    learned: Profile | None
    drift: pl.DataFrame
    """`quality.drifting.SCHEMA`."""
    regimes: pl.DataFrame
    """`quality.drifting.regimes`."""
    unexplained: pl.DataFrame
    """Jumps that no action explains: `symbol`, `opened_at`, `move`, `likely`."""
    reconciled: dict[str, Any] | None
    """What the newest reconciliation said (`reconciled`), None if there was none."""

    def problems(self) -> list[str]:
        """Return what is wrong, a sentence each; empty when all is well."""
        late = self.fresh.filter(pl.col("status").is_in(["late", "stalled"]))
        found = [
            (len(late), f"{len(late)} of {self.symbols} symbols lack bars that should be there: {_named(late)}"),
            *((1, f"{row['symbol']} is silent for longer than ever") for row in self._silent().iter_rows(named=True)),
            (self.holes, f"{self.holes} of {self.symbols} symbols have holes in their history"),
            (int(self.drift["drifted"].sum()), f"{int(self.drift['drifted'].sum())} distributions have drifted"),
            (len(self.regimes.filter("shared")), "the volume of most symbols changed its scale together"),
        ]
        return [sentence for count, sentence in found if count]

    @property
    def holes(self) -> int:
        """Symbols that lack a fiftieth of their bars in some period, and `quality.gap_sessions` of them at least."""
        return self.coverage.filter("hole")["symbol"].n_unique()

    def _silent(self) -> pl.DataFrame:
        return self.rhythm.filter(pl.col("status") == "late")


def examine(store: Store, market: Market, params: Params, now: datetime, home: Path) -> Health:
    """Return the health of a market's stored bars at a moment, with the profiles and reconciliations that lie under `home`.

    Raises NoData while no bar is stored.
    """
    stored = ingest.at_rest(market)
    if said := ingest.lacking(market, store):
        raise NoData(said)
    opened = store.opened(stored.name, stored.timeframe)
    first, last = opened.select(first=pl.col("opened_at").min(), last=pl.col("opened_at").max()).row(0)
    newest = _newest(store, stored, opened, params)
    actions = _read(store, "actions", market.name)
    learned = profiles.load(_profiles(store, home), stored, before=newest["known_at"].max())  # type: ignore[arg-type]
    close = inspection.examine(newest, stored, params.quality, Knowledge(actions=actions))
    delay = timedelta(seconds=params.store.publication_delay_s)
    apart = _read(store, "quarantine", market.name)
    return Health(
        market.name, stored.timeframe, now, len(opened), opened["symbol"].n_unique(), first, last,
        coverage(opened, stored, last, params.quality.gap_sessions), freshness.bars(opened, stored, now, delay),
        _rhythm(store, market, now),
        _defects(store, stored, apart, first, last), _apart(apart), _unlikely(learned, newest, stored, params), learned,
        drifting.drift(newest, params.quality), drifting.regimes(close), effective.unexplained(close, actions),
        told(home, market.name),
    )  # fmt: skip


def learn(store: Store, market: Market, params: Params, home: Path, known_at: datetime | None = None) -> Profile:
    """Learn the profile of a market from its stored bars known by a moment, by default before its newest sessions, and keep it.

    What is left out are the `drift_sessions` newest sessions: the profile is there to judge them. Raises NoData without history.
    """
    stored = ingest.at_rest(market)
    if said := ingest.lacking(market, store):
        raise NoData(said)
    bars = _newest(store, stored, store.opened(stored.name, stored.timeframe), params)
    learned = profile.learn(bars, stored, params.quality, known_at or _before(bars, params))
    profiles.save(learned, _profiles(store, home))
    return learned


def coverage(opened: pl.DataFrame, market: Market, last: datetime, missing_max: int) -> pl.DataFrame:
    """Return how many bars each symbol has in each of up to PERIODS stretches, and how many the calendar expects of it.

    `symbol`, `period`, `expected`, `present`, and `hole`: `missing_max` bars are missing and more than 1 - WHOLE of them. A
    symbol's first and last period count from its first and to its last bar: what is missing after that is late, not a hole.
    """
    grid = session.grid(market, opened["opened_at"].min(), last)  # type: ignore[arg-type]
    edges = np.unique(np.linspace(0, len(grid), PERIODS + 1).astype(np.int64))
    spans = opened.group_by("symbol").agg(first=pl.col("opened_at").min(), last=pl.col("opened_at").max()).sort("symbol")
    since, until = (session.naive(spans[name])[:, None] for name in ("first", "last"))
    begins, ends = np.searchsorted(grid, since, side="left"), np.searchsorted(grid, until, side="right")
    expected = np.clip(np.minimum(ends, edges[1:]) - np.maximum(begins, edges[:-1]), 0, None)
    periods = pl.Series(grid[edges[:-1]]).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    wanted = pl.DataFrame(
        {
            "symbol": np.repeat(spans["symbol"].to_numpy(), len(periods)),
            "period": pl.concat([periods] * len(spans)) if len(spans) else periods,
            "expected": expected.ravel().astype(np.int64),
        }
    )
    regular = opened.filter(
        pl.col("opened_at").is_in(pl.Series(grid).cast(pl.Datetime("us")).dt.replace_time_zone("UTC").implode())
    )
    placed = (
        regular.unique().sort("opened_at").join_asof(periods.alias("period").to_frame(), left_on="opened_at", right_on="period")
    )
    present = placed.group_by("symbol", "period").agg(present=pl.len().cast(pl.Int64))
    rows = wanted.filter(pl.col("expected") > 0).join(present, on=["symbol", "period"], how="left")
    rows = rows.with_columns(pl.col("present").fill_null(0)).sort("symbol", "period")
    missing = pl.col("expected") - pl.col("present")
    return rows.with_columns(hole=(missing >= missing_max) & (pl.col("present") < WHOLE * pl.col("expected")))


def keep(found: Reconciliation, market: str, home: Path, at: datetime) -> Path:
    """Keep what a reconciliation said as JSON, for the report, with its differences beside it as parquet; return the JSON."""
    folder = home / "reconciliations" / market
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{at:%Y%m%dT%H%M%S}.json"
    found.differences.write_parquet(path.with_suffix(".parquet"))
    told_ = {
        "left": found.left, "right": found.right, "at": at.isoformat(), "summary": found.summary.to_dicts(),
        "symbols": found.symbols.to_dicts(), "steps": found.steps.to_dicts(),
    }  # fmt: skip
    path.write_text(json.dumps(told_, default=str, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    return path


def told(home: Path, market: str) -> dict[str, Any] | None:
    """Return what the newest reconciliation of a market said, as `keep` wrote it, or None."""
    files = sorted((home / "reconciliations" / market).glob("*.json"))
    found: dict[str, Any] | None = json.loads(files[-1].read_text(encoding="utf-8")) if files else None
    return found


def _profiles(store: Store, home: Path) -> Path:
    """Return where profiles lie: beside the store, and in the home where that is no folder."""
    return profiles.beside(store) or home / "profiles"


def _named(late: pl.DataFrame) -> str:
    """Return the first symbols and since when they are late; of a source that stopped, only that."""
    if (late["status"] == "stalled").any():
        newest = late.select(pl.col("last").max().dt.strftime("%Y-%m-%d %H:%M")).item()
        return f"the source has stopped, the newest bar is of {newest}"
    names = late["symbol"].head(5).to_list()
    return ", ".join(names) + (" and others" if len(late) > len(names) else "")


def _newest(store: Store, market: Market, opened: pl.DataFrame, params: Params) -> pl.DataFrame:
    """Return the newest bars: what drift compares, or as many as fit."""
    last: datetime = opened["opened_at"].max()  # type: ignore[assignment]
    days = opened["opened_at"].dt.date().unique().sort()
    since = days[-min(len(days), params.quality.drift_sessions * (drifting.REFERENCE + 1))]
    rows = len(opened.filter(pl.col("opened_at").dt.date() >= since))
    start = datetime.combine(since, datetime.min.time(), last.tzinfo)
    if rows > ROWS_MAX:
        start = last - (last - start) * (ROWS_MAX / rows)
    return store.bars(market.name, market.timeframe, since=start)


def _before(bars: pl.DataFrame, params: Params) -> datetime:
    """Return the last moment before the newest sessions."""
    days = bars["opened_at"].dt.date().unique().sort()
    since = days[-min(len(days), params.quality.drift_sessions)]
    known = bars.filter(pl.col("opened_at").dt.date() < since)["known_at"].max()
    return known if isinstance(known, datetime) else bars["known_at"].min()  # type: ignore[return-value]


def _read(store: Store, table: str, market: str) -> pl.DataFrame | None:
    try:
        return store.read(table, where={"market": market})
    except NoData:
        return None


def _rhythm(store: Store, market: Market, now: datetime) -> pl.DataFrame:
    """Return the rhythm of the market's headlines by source, and of the series of the whole economy."""
    parts = [pl.DataFrame(schema={"symbol": pl.String, "event_at": pl.Datetime("us", "UTC")})]
    headlines = _read(store, "news", market.name)
    if headlines is not None:
        parts.append(headlines.select(pl.format("news: {}", pl.col("source").fill_null("?")).alias("symbol"), "event_at"))
    try:
        series = store.read("macro")
        parts.append(series.select(pl.format("macro: {}", "series").alias("symbol"), "event_at"))
    except NoData:
        pass
    return freshness.rhythm(pl.concat(parts), now)


def _defects(store: Store, market: Market, apart: pl.DataFrame | None, first: datetime, last: datetime) -> pl.DataFrame:
    """Return flags and quarantined bars over time, extended hours and gaps left out."""
    width = max((last - first) / PERIODS, timedelta(seconds=1))
    step = (pl.col("opened_at") - pl.lit(first)).dt.total_microseconds() // int(width / timedelta(microseconds=1))
    period = pl.lit(first) + pl.duration(microseconds=step * int(width / timedelta(microseconds=1)))
    rows = [pl.DataFrame(schema={"opened_at": pl.Datetime("us", "UTC"), "defect": pl.String})]
    for batch in store.batches(market.name, market.timeframe):
        flagged = batch.filter((pl.col("flags") & ~int(FACTS)) != 0)
        for defect in Defect:
            if defect & ~(FACTS | IMPOSSIBLE):
                hit = flagged.filter((pl.col("flags") & int(defect)) != 0)
                rows.append(hit.select("opened_at", defect=pl.lit(str(defect.name).lower())))
    if apart is not None:
        rows.append(_reasons(apart.filter(pl.col("timeframe") == market.timeframe)).select("opened_at", "defect"))
    counted = pl.concat(rows).drop_nulls().with_columns(period=period)
    return counted.group_by("period", "defect").agg(rows=pl.len()).sort("period", "defect")


def _reasons(apart: pl.DataFrame) -> pl.DataFrame:
    """Return one row a reason of each row in quarantine, with its name as `defect` and its sentence."""
    split = apart.with_columns(said=pl.col("reason").str.split(" | ")).explode("said")
    return split.with_columns(defect=pl.col("said").str.split(": ").list.first())


def _apart(apart: pl.DataFrame | None) -> pl.DataFrame:
    """Return quarantine by table and reason, with examples."""
    if apart is None or apart.is_empty():
        return pl.DataFrame(schema={"table": pl.String, "defect": pl.String, "rows": pl.UInt32, "examples": pl.List(pl.String)})
    named = pl.when(pl.col("row").is_null()).then(pl.format("bars {}", "timeframe")).otherwise("timeframe")
    rows = _reasons(apart).with_columns(table=named, said=pl.format("{}: {}", pl.col("symbol").fill_null("?"), "said"))
    found = rows.group_by("table", "defect").agg(rows=pl.len(), examples=pl.col("said").sort().head(EXAMPLES))
    return found.sort("rows", "table", "defect", descending=[True, False, False])


def _unlikely(learned: Profile | None, newest: pl.DataFrame, market: Market, params: Params) -> pl.DataFrame:
    if learned is None:
        return pl.DataFrame(schema=JUDGED_SCHEMA)
    found = profile.judge(learned, newest, market)
    return found.filter(pl.col("p") < params.quality.false_alarms / max(len(learned.tails), 1)).sort("p")


def answer(found: Health) -> Mapping[str, Any]:
    """Return what a program is told: flat facts, and the problems."""
    return {
        "market": found.market, "timeframe": found.timeframe, "at": found.at.isoformat(), "bars": found.bars,
        "symbols": found.symbols, "first": found.first.isoformat(), "last": found.last.isoformat(),
        "late": len(found.fresh.filter(pl.col("status").is_in(["late", "stalled"]))),
        "ended": len(found.fresh.filter(pl.col("status") == "ended")), "holes": found.holes,
        "flagged": int(found.defects["rows"].sum()), "quarantined": int(found.quarantine["rows"].sum()),
        "unlikely": len(found.unlikely), "drifted": int(found.drift["drifted"].sum()),
        "regimes": len(found.regimes), "unexplained": len(found.unexplained), "problems": found.problems(),
    }  # fmt: skip
