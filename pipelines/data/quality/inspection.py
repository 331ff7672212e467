"""Inspection: look at incoming bars, set the impossible ones apart, flag the suspicious ones, repair nothing."""

import tempfile
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from domain.bar import BAR_SCHEMA, IMPOSSIBLE, Defect
from domain.error import DataError
from domain.market import Market
from domain.params import Quality
from pipelines.data.quality import calendars, coverage, jumps, prices, profile, promises, reasons, rows, suite, volumes
from pipelines.data.quality import docs as data_docs
from pipelines.data.quality.profile import Profile

#: What a profile says of a bar.
UNLIKELY = ("unlikely", "least_measure", "least_p")
DEFECTS = tuple(defect for defect in Defect if defect is not Defect.NONE)


@dataclass(frozen=True)
class Inspection:
    """What was found in one batch of bars."""

    kept: pl.DataFrame
    """BAR_SCHEMA, in the order of the source, `flags` set to the sum of the suspicious defects."""
    quarantined: pl.DataFrame
    """BAR_SCHEMA with `flags` set, plus `reason`: each impossible defect, what was found and what was expected."""
    summary: pl.DataFrame
    """One row a defect: `defect`, `rows`, `share` of all rows, `severity` (critical or warning)."""
    success: bool
    """Whether no row was impossible."""
    docs: Path | None
    """index.html of the Data Docs, if they were asked for."""


@dataclass(frozen=True)
class Knowledge:
    """What bars are judged by beside themselves, where it is at hand."""

    profile: Profile | None = None
    """Learned before the bars were known: it flags what is unlikely."""
    actions: pl.DataFrame | None = None
    """Rows of the table `actions`: they tell jumps that are small or have no history."""


NOTHING = Knowledge()


def inspect(
    bars: pl.DataFrame, market: Market, limits: Quality, *, docs: Path | None = None, known: Knowledge = NOTHING
) -> Inspection:
    """Inspect a batch of bars of one market: BAR_SCHEMA rows in the source's own order, which is itself looked at.

    Impossible rows (domain.bar.IMPOSSIBLE) leave the batch with a reason; suspicious ones stay and carry flags. Nothing is
    repaired or filled in. The checkpoint of Great Expectations runs over the raw batch; with `docs` its Data Docs are
    written to that folder. Raises DataError when columns are missing. Flags look at both neighbours of a bar, so they
    say what is known after the batch, not what was known at the bar: a feature must not read them.
    """
    if missing := [name for name in BAR_SCHEMA if name not in bars.columns]:
        raise DataError(f"bars to inspect need the columns {', '.join(BAR_SCHEMA)}; {', '.join(missing)} missing")
    table = examine(bars.select(list(BAR_SCHEMA)).cast(pl.Schema(BAR_SCHEMA)), market, limits, known)
    found = pl.sum_horizontal(pl.col(column(defect)).cast(pl.Int64) * int(defect) for defect in DEFECTS)
    table = table.with_columns(flags=found)
    wrong = (pl.col("flags") & int(IMPOSSIBLE)) != 0
    quarantined = reasons.explain(table.filter(wrong), reasons.IMPOSSIBLE).select(*BAR_SCHEMA, "reason")
    kept = table.filter(~wrong).select(list(BAR_SCHEMA))
    summary = _summary(table)
    with tempfile.TemporaryDirectory() as site:
        name = f"{market.name}.{market.timeframe}"
        built = None if docs is None else Path(site)
        success = suite.checkpoint(promises.batch(table), "bars", name, promises.expectations(), built)
        index = None if docs is None else data_docs.publish(Path(site), docs, _page(table, market, summary, quarantined))
    return Inspection(kept, quarantined, summary, success, index)


def examine(bars: pl.DataFrame, market: Market, limits: Quality, known: Knowledge = NOTHING) -> pl.DataFrame:
    """Return the bars in their own order with `row`, one boolean column a defect, and what the reasons quote.

    Prices and volumes are judged against neighbours that exist once and have a price: rows that are missing_price,
    nonpositive_price, duplicate_key or market_closed neither are judged nor judge.
    """
    table = rows.single(rows.keys(rows.order(bars.with_row_index("row"))))
    table = calendars.hours(table, market).sort("symbol", "opened_at", "known_at", "row")
    table = calendars.gaps(table, market, limits.gap_sessions)
    sound = ~pl.any_horizontal("missing_price", "nonpositive_price", "duplicate_key", "market_closed")
    series = prices.shifts(table.filter(sound), market)
    shifted = series.filter("decimal_shift").select("row", "decimal_shift", "near")
    judged = prices.spikes(prices.measured(series.filter(~pl.col("decimal_shift")), market.bar), limits)
    judged = jumps.jumps(volumes.breaks(judged, market.bar, limits), market, limits)
    if known.actions is not None:
        judged = jumps.announced(judged, table.filter(sound), known.actions)
    judged = _unlikely(judged, market, limits, known.profile)
    judged = judged.with_columns(pl.col("previous").exp().round_sig_figs(6))
    judged = judged.select("row", "near", "previous", "price_spike", "price_jump", "volume_break", "volume_ratio", *UNLIKELY)
    table = table.join(pl.concat([judged, shifted], how="diagonal"), on="row", how="left")
    flags = ["decimal_shift", "price_spike", "volume_break", "price_jump", "unlikely"]
    return table.with_columns(pl.col(flags).fill_null(False)).sort("row")


def _unlikely(judged: pl.DataFrame, market: Market, limits: Quality, learned: Profile | None) -> pl.DataFrame:
    """Add UNLIKELY: whether the profile expects less than `false_alarms` of bars to be so, by which measure, and how many it does.

    A bar has several measures: each may take its share of the false alarms.
    """
    newest = judged["known_at"].max()
    if learned is None or not isinstance(newest, datetime) or newest <= learned.known_at:
        nothing = zip(UNLIKELY, (pl.Boolean, pl.String, pl.Float64), strict=True)
        return judged.with_columns(pl.lit(None, kind).alias(name) for name, kind in nothing)
    found = profile.judge(learned, judged.select(list(BAR_SCHEMA)), market).sort("p")
    least = found.group_by("symbol", "opened_at", maintain_order=True).agg(
        least_measure=pl.col("measure").first(), least_p=pl.col("p").first()
    )
    least = least.with_columns(unlikely=pl.col("least_p") < limits.false_alarms / len(learned.tails))
    return judged.join(least, on=["symbol", "opened_at"], how="left", maintain_order="left")


def _page(table: pl.DataFrame, market: Market, summary: pl.DataFrame, quarantined: pl.DataFrame) -> data_docs.Page:
    said = pl.DataFrame({"defect": [column(d) for d in promises.PROMISES], "promise": list(promises.PROMISES.values())})
    kept = table.filter((pl.col("flags") & int(IMPOSSIBLE)) == 0)
    # Prices first, then volumes, then gaps, which are many and harmless.
    order = pl.when(pl.any_horizontal("price_spike", "price_jump")).then(0).when("volume_break").then(1).otherwise(2)
    kept = kept.with_columns(order=order).sort("order", "symbol", "opened_at")
    return data_docs.Page(
        title=f"{market.name}, {market.timeframe}",
        suite="bars",
        rows=len(table),
        summary=summary.join(said, on="defect", how="left", maintain_order="left"),
        quarantined=quarantined,
        flagged=reasons.explain(kept, reasons.SUSPICIOUS).filter(pl.col("reason").is_not_null()),
        coverage=coverage.coverage(table),
    )


def column(defect: Defect) -> str:
    """Return the name of the boolean column of one defect."""
    return str(defect.name).lower()


def severity(defect: Defect) -> str:
    """Return "critical" for what cannot be true, "warning" for what is only suspicious."""
    return "critical" if defect & IMPOSSIBLE else "warning"


def _summary(table: pl.DataFrame) -> pl.DataFrame:
    counts = table.select(pl.col(column(defect)).sum() for defect in DEFECTS).row(0)
    return pl.DataFrame(
        {
            "defect": [column(defect) for defect in DEFECTS],
            "rows": list(counts),
            "share": [count / max(len(table), 1) for count in counts],
            "severity": [severity(defect) for defect in DEFECTS],
        },
        schema={"defect": pl.String, "rows": pl.Int64, "share": pl.Float64, "severity": pl.String},
    )
