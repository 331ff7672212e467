"""Freshness: which bars should be there by now and are not, and which source has gone silent."""

import math
from datetime import datetime, timedelta

import numpy as np
import polars as pl

from domain import session
from domain.bar import UTC_MICROSECONDS
from domain.market import Market
from domain.panel import TimeArray
from pipelines.data.quality.calendars import CHANCE

#: How far back a symbol's own habit of missing bars is looked up: a year of days, a month of 5-minute bars.
HABIT = timedelta(days=400)
#: Share of the symbols that trade which must be late together for the source, and not they, to be the reason.
STALLED = 1 / 2
#: A silence is unusual when it is this much longer than all but the longest hundredth of those before.
SILENCE, USUAL, GAPS_MIN = 1.5, 0.99, 20

SCHEMA = pl.Schema(
    {
        "symbol": pl.String(),
        "last": UTC_MICROSECONDS,
        "expected": UTC_MICROSECONDS,
        "missing": pl.Int64(),
        "late_s": pl.Float64(),
        "status": pl.String(),
    }
)


def bars(opened: pl.DataFrame, market: Market, now: datetime, delay: timedelta = timedelta(0)) -> pl.DataFrame:
    """Return one row a symbol of SCHEMA, the latest first: its last bar, the last that should be there, and what that means.

    `opened` has `symbol` and `opened_at` of the stored bars of the market's own length. A bar is expected once it has closed and
    `delay` has passed; half days, holidays and nights count as the calendar says. `status` is "fresh"; "late", when the bars that
    are missing are no chance for a symbol that misses as many as it does; "ended", when it has been silent for the grace of the
    universe while others traded; "stalled" instead of late, when most symbols are: then it is the source that has stopped.
    """
    if opened.is_empty():
        return pl.DataFrame(schema=SCHEMA)
    recent = opened.filter(pl.col("opened_at") >= pl.lit(now - HABIT).cast(pl.Datetime("us", "UTC")))
    recent = opened if recent.is_empty() else recent
    first = recent.select(pl.col("opened_at").min()).item()
    grid = session.grid(market, first, now)
    grid = grid[session.closes(market, grid) + np.timedelta64(delay) <= session.moment(now)]
    spans = opened.group_by("symbol").agg(last=pl.col("opened_at").max())
    habits = recent.group_by("symbol").agg(first=pl.col("opened_at").min(), bars=pl.col("opened_at").n_unique())
    rows = spans.join(habits, on="symbol", how="left").with_columns(pl.col("bars").fill_null(0))
    return _judged(_placed(rows, grid), market)


def _placed(rows: pl.DataFrame, grid: TimeArray) -> pl.DataFrame:
    """Add `expected`, `missing` bars since the last one, and `habit`, the share that the symbol missed before it."""
    expected = grid[-1] if len(grid) else session.NEVER
    after = len(grid) - np.searchsorted(grid, session.naive(rows["last"]), side="right")
    before = np.searchsorted(grid, session.naive(rows["last"]), side="right") - np.searchsorted(
        grid, session.naive(rows["first"].fill_null(rows["last"])), side="left"
    )
    rows = rows.with_columns(
        expected=pl.lit(expected).cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        missing=pl.Series(after.astype(np.int64)),
        held=pl.Series(before.astype(np.int64)),
    )
    missed = (pl.col("held") - pl.col("bars")).clip(lower_bound=0) + 0.5
    return rows.with_columns(habit=(missed / (pl.col("held") + 1)).clip(upper_bound=0.999))


def _judged(rows: pl.DataFrame, market: Market) -> pl.DataFrame:
    sessions = market.universe.grace_sessions
    grace = sessions * timedelta(days=1) * (7 / 5 if market.calendar != session.CONTINUOUS else 1.0)
    newest = rows["last"].max()
    chance = pl.col("missing") * pl.col("habit").log()
    late = (pl.col("missing") >= 1) & (chance < math.log(CHANCE) if market.timeframe != "1d" else pl.lit(True))
    ended = (pl.lit(newest) - pl.col("last")) > grace
    status = pl.when(ended).then(pl.lit("ended")).when(late).then(pl.lit("late")).otherwise(pl.lit("fresh"))
    rows = rows.with_columns(status=status, late_s=(pl.col("expected") - pl.col("last")).dt.total_seconds().clip(lower_bound=0.0))
    active = rows.filter(pl.col("status") != "ended")
    if len(active) and (active["status"] == "late").mean() > STALLED:  # type: ignore[operator]
        rows = rows.with_columns(status=pl.col("status").replace("late", "stalled"))
    return rows.select(SCHEMA.names()).cast(SCHEMA).sort("late_s", "symbol", descending=[True, False])


def rhythm(events: pl.DataFrame, now: datetime) -> pl.DataFrame:
    """Return one row a name of what comes without a calendar: `symbol` (the name), `last`, `silent_s`, `usual_s`, `status`.

    `events` has `symbol`, a source of headlines or a series, and `event_at`. `usual_s` is the silence that all but the longest
    hundredth of those before stayed under, weekends among them; "late" is half as long again, "fresh" everything less, and
    "unknown" what has fewer than GAPS_MIN silences to compare with.
    """
    times = events.select("symbol", "event_at").unique().sort("symbol", "event_at")
    gap = pl.col("event_at").diff().dt.total_seconds()
    rows = times.group_by("symbol", maintain_order=True).agg(
        last=pl.col("event_at").max(), usual_s=gap.quantile(USUAL, "higher").cast(pl.Float64), gaps=gap.count()
    )
    rows = rows.with_columns(silent_s=(pl.lit(now) - pl.col("last")).dt.total_seconds().cast(pl.Float64))
    late = pl.col("silent_s") > SILENCE * pl.col("usual_s")
    status = pl.when(pl.col("gaps") < GAPS_MIN).then(pl.lit("unknown")).when(late).then(pl.lit("late")).otherwise(pl.lit("fresh"))
    rows = rows.with_columns(status=status).select("symbol", "last", "silent_s", "usual_s", "status")
    return rows.sort("silent_s", "symbol", descending=[True, False])
