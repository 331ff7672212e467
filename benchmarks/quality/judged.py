"""Which alarms that are not on record are false: rules on raw bars, written apart from the detectors."""

import numpy as np
import polars as pl

#: Bars on each side that could confirm a price, and share of its distance that one of them must have reached.
BESIDE, CONFIRMED = 10, 0.5
#: Sessions on each side whose median volume is compared, and the least ratio of another scale.
SESSIONS, SCALE = 10, 5.0


def lone(table: pl.DataFrame) -> pl.Series:
    """Return the places in the table of rows with a price that no bar within BESIDE reached half the way to.

    The way is measured from the median close of those bars. Before and after hours no close must have been there: bad prints
    come in batches then (SPY at 625.82 in four minutes of 2025-07-11, while it closed at 622.9 in every one).
    """
    table = table.with_row_index("place").sort("symbol", "opened_at").filter(pl.col("low") > 0)
    lags = [lag for lag in range(-BESIDE, BESIDE + 1) if lag]
    high, low = (pl.when("extended_hours").then("close").otherwise(name) for name in ("high", "low"))
    table = table.with_columns(
        top=pl.max_horizontal(high.shift(lag).over("symbol") for lag in lags),
        bottom=pl.min_horizontal(low.shift(lag).over("symbol") for lag in lags),
        middle=pl.concat_list(pl.col("close").shift(lag).over("symbol") for lag in lags).list.median(),
    )
    highest, lowest = pl.max_horizontal("open", "high", "close"), pl.min_horizontal("open", "low", "close")
    above = (pl.col("top") / pl.col("middle")).log() < CONFIRMED * (highest / pl.col("middle")).log()
    below = (pl.col("middle") / pl.col("bottom")).log() < CONFIRMED * (pl.col("middle") / lowest).log()
    return table.filter((above | below).fill_null(False))["place"]


def rescaled(table: pl.DataFrame) -> pl.DataFrame:
    """Return the `symbol` and `session` whose volume is a fifth of the sessions around, or after which it changed by five."""
    days = table.filter(~pl.col("extended_hours") & pl.col("session").is_not_null()).group_by("symbol", "session")
    days = days.agg(volume=pl.col("volume").sum()).sort("symbol", "session")
    volume = pl.col("volume")
    before = volume.shift(1).rolling_median(SESSIONS, min_samples=3).over("symbol")
    after = volume.reverse().rolling_median(SESSIONS, min_samples=3).reverse().over("symbol")
    changed = (after / before).log().abs() > np.log(SCALE)
    low = volume * SCALE < before
    return days.filter((changed | low).fill_null(False)).select("symbol", "session")
