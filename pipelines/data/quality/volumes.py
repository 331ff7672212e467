"""Where the scale of volume changed: another feed, a single venue, another unit."""

import math
from datetime import timedelta

import polars as pl

from domain.params import Quality

#: Sessions on each side whose median is the scale before and after: a month, which news does not fill.
SIDE = 20
#: A regime needs this many sessions on each side: fewer say nothing of what lasts.
LASTING = 5
#: Sessions around one with which a lone session is compared.
WINDOW = 21
#: Bars that a session needs before it says something alone: a daily bar never does.
BARS_MIN = 10
#: The change must also be this many robust deviations of ordinary session-to-session changes: thin symbols swing by themselves.
NOISE = 4.0
#: Where this share of several symbols collapsed in one session the feed did, and a fall by SHARED_RATIO is no quiet day either:
#: news may have multiplied the volume of which a single venue is left.
SHARED, SHARED_MIN, SHARED_RATIO = 0.5, 3, 2.0
#: Median of the absolute difference of two normal variables of deviation one.
DIFFERENCE = 0.6745 * math.sqrt(2)


def breaks(series: pl.DataFrame, bar: timedelta, limits: Quality) -> pl.DataFrame:
    """Add volume_break and `volume_ratio`, the session's volume over what was usual before it (null if unknown).

    A session counts by the volume of its regular bars over the time from the first to the last of them, so that neither
    a missing quiet bar nor a day that ends early looks like another scale. Flagged are the regular bars of the first
    session of a scale `volume_break_ratio` times larger or smaller than the one before; and, where a session has many
    bars, those of one that collapsed by that ratio: news multiplies the volume of a day, but nothing divides it so. In a session
    in which most symbols collapsed, half the usual volume is enough.
    """
    regular = ~pl.col("extended_hours")
    span = pl.col("opened_at").max() - pl.col("opened_at").min() + bar
    typical = (
        series.filter(regular & (pl.col("volume") > 0))
        .group_by("symbol", "session", maintain_order=True)
        .agg(size=(pl.col("volume").sum() / (span / bar)).log(), bars=pl.len())
        .sort("symbol", "session")
    )
    typical = typical.with_columns(
        noise=pl.col("size").diff().abs().rolling_median(WINDOW, center=True, min_samples=1).over("symbol") / DIFFERENCE
    )
    found = _stepped(typical, limits).with_columns(collapsed=_collapsed(limits))
    found = found.select("symbol", "session", "volume_ratio", broken=pl.col("stepped") | pl.col("collapsed"))
    series = series.join(found, on=["symbol", "session"], how="left", maintain_order="left")
    return series.with_columns(volume_break=pl.col("broken").fill_null(False) & regular).drop("broken")


def _stepped(typical: pl.DataFrame, limits: Quality) -> pl.DataFrame:
    """Add `before`, `volume_ratio` and `stepped`: where the sizes before and after differ, the session that crosses over.

    If several cross the middle between the two scales, it is the one with the largest change.
    """
    size = pl.col("size")
    typical = typical.with_columns(
        before=size.shift(1).rolling_median(SIDE, min_samples=LASTING).over("symbol"),
        after=size.reverse().rolling_median(SIDE, min_samples=LASTING).reverse().over("symbol"),
    )
    step = pl.col("after") - pl.col("before")
    large = (step.abs() >= math.log(limits.volume_break_ratio)) & (step.abs() >= NOISE * pl.col("noise"))
    over = (size - (pl.col("before") + pl.col("after")) / 2) * step.sign()
    change = (size - size.shift(1)) * step.sign()
    change = pl.when(large & (over > 0) & (change > over)).then(change).over("symbol")
    typical = typical.with_columns(change=change, volume_ratio=(size - pl.col("before")).exp())
    largest = pl.col("change").rolling_max(2 * SIDE + 1, center=True, min_samples=1).over("symbol")
    return typical.with_columns(stepped=(pl.col("change") == largest).fill_null(False))


def _collapsed(limits: Quality) -> pl.Expr:
    """Return whether a session lies far below the median of those around it and of those before it."""
    usual = pl.col("size").rolling_median(WINDOW, center=True, min_samples=LASTING).over("symbol")
    fall = pl.min_horizontal(usual, "before") - pl.col("size")
    far = (fall >= math.log(limits.volume_break_ratio)) & (fall >= NOISE * pl.col("noise"))
    known = pl.col("before").is_not_null() & (pl.col("bars") >= BARS_MIN)
    alone = (far & known).fill_null(False)
    shared = (alone.mean().over("session") > SHARED) & (pl.len().over("session") >= SHARED_MIN)
    return alone | (shared & known & (fall >= math.log(SHARED_RATIO))).fill_null(False)
