"""What a price shows against its neighbours: shifted by powers of ten, or a lone print.

Everything is measured in logarithms and against medians, per symbol, over rows sorted by symbol and time.
"""

import math
from datetime import timedelta

import polars as pl

from domain.market import AssetClass, Market
from domain.params import Quality
from pipelines.data.quality.rows import PRICES

DECADE = math.log(10)

#: Bars of the window around a row in which its ordinary motion is measured: two months of days, a morning of 5-minute bars.
WINDOW = 41
#: Bars on each side whose median says where the price was and where it went: one bad neighbour does not move it.
SIDE = 5

#: A shifted price must fall this close (log) to its neighbours once the shift is undone, plus four times the ordinary
#: motion; never more than a factor of two, since a factor of three is already half a decade.
DECADE_ROOM, DECADE_MOTION, DECADE_ROOM_MAX = 0.1, 4.0, 0.75
#: Where more than this share of a window is shifted nobody can tell which unit is the right one: all of it is.
SHIFTED_SHARE_MAX = 1 / 3

#: Median of |x| of a normal variable, and mean range of a Brownian bar (Parkinson 1980), over the deviation.
MEDIAN, RANGE = 0.6745, 1.6
#: With fewer moves than this in the window there is nothing to measure; a percent a bar is then assumed.
MOVES_MIN, MOTION_ASSUMED = 4, 0.01
#: Ordinary motion is at least two basis points a bar: the tick of a liquid price.
MOTION_MIN = 2e-4
#: A print is reversed when the price afterwards is back within this share of its distance.
REVERSED = 1 / 3
#: A bar reached far at this share of `spike_sigma`. Where so many other symbols, and so large a share of them, reached far at
#: the same moment, the market moved: 86% of coins on 2024-06-07, 9% of stocks on 2015-08-24, 2% at other moments.
REACHED, OTHERS_MIN, OTHERS_SHARE = 1 / 3, 3, 0.05


def measured(series: pl.DataFrame, bar: timedelta) -> pl.DataFrame:
    """Add what a close is judged by, in logarithms: `x`, the close itself, `previous` and `following`, the closes beside it.

    Also `before` and `after`, the medians of up to SIDE closes on each side, `motion`, the deviation of one bar, and `night`,
    that of the time between two sessions on a session's first bar (null elsewhere and for daily bars).
    """
    series = _sides(series.with_columns(x=pl.col("close").log()), "x")
    series = series.with_columns(previous=pl.col("x").shift(1).over("symbol"), following=pl.col("x").shift(-1).over("symbol"))
    return series.with_columns(
        motion=_motion().over("symbol"), night=_night(bar), near=((pl.col("before") + pl.col("after")) / 2).exp()
    )


def shifts(series: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Add decimal_shift: a price is a power of ten away from the closes on both of its sides, and only that.

    A permanent step of a power of ten (a split) has one side only and is none. Nor, for crypto, is a high or a low alone: no
    exchange halts a book that runs empty there (BTC traded at 13 on 2013-04-26, between 127 and 134), so that such a print may
    be genuine and is left to price_spike. Also adds `near`, the close that the neighbours suggest. Prices must be positive.
    """
    series = series.with_columns(x=pl.col("close").log())
    step = pl.col("x").diff()
    series = series.with_columns(room=_room(step).over("symbol"))
    decades = (step / DECADE).round()
    exact = (step - decades * DECADE).abs() <= pl.col("room")
    series = series.with_columns(level=pl.when(exact).then(decades).otherwise(0).fill_null(0).cum_sum().over("symbol"))
    series = series.with_columns(excess=_excess("level"))
    series = series.with_columns(unshifted=pl.col("x") - pl.col("excess") * DECADE)
    series = _sides(series, "unshifted")
    telling = ("open", "close") if market.asset_class is AssetClass.CRYPTO else PRICES
    shifted = pl.any_horizontal(pl.col("excess") != 0, *(_decades_away(name) for name in telling)).fill_null(False)
    series = series.with_columns(decimal_shift=shifted)
    crowded = pl.col("decimal_shift").cast(pl.Float64).rolling_mean(WINDOW, center=True, min_samples=1).over("symbol")
    return series.with_columns(
        decimal_shift=pl.col("decimal_shift") | (crowded > SHIFTED_SHARE_MAX),
        near=((pl.col("before") + pl.col("after")) / 2).exp(),
    ).drop("x", "room", "level", "excess", "unshifted", "before", "after")


def _room(step: pl.Expr) -> pl.Expr:
    motion = pl.max_horizontal(_median(step.abs()), _median((pl.col("high") / pl.col("low")).log().abs()))
    return (DECADE_ROOM + DECADE_MOTION * motion.fill_null(0)).clip(DECADE_ROOM, DECADE_ROOM_MAX)


def _median(values: pl.Expr) -> pl.Expr:
    return values.rolling_median(WINDOW, center=True, min_samples=1)


def _excess(level: str) -> pl.Expr:
    """Return how many decades a row is off the level around it, zero unless both sides of its run agree on that level."""
    here = pl.col(level)
    usual = here.rolling_median(WINDOW, center=True, min_samples=1)
    entered = pl.when(here != here.shift(1)).then(here.shift(1)).forward_fill()
    left = pl.when(here != here.shift(-1)).then(here.shift(-1)).backward_fill()
    return pl.when((here != usual) & (entered == usual) & (left == usual)).then(here - usual).otherwise(0.0).over("symbol")


def _sides(series: pl.DataFrame, column: str) -> pl.DataFrame:
    """Add `before` and `after`: the medians of up to SIDE rows on each side, null where there is none."""
    values = pl.col(column)
    return series.with_columns(
        before=values.shift(1).rolling_median(SIDE, min_samples=1).over("symbol"),
        after=values.reverse().shift(1).rolling_median(SIDE, min_samples=1).reverse().over("symbol"),
    )


def _decades_away(name: str) -> pl.Expr:
    price = pl.col(name).log()
    decades = ((price - pl.col("before")) / DECADE).round()
    fits = [(price - pl.col(side) - decades * DECADE).abs() <= pl.col("room") for side in ("before", "after")]
    return (decades != 0) & fits[0] & fits[1]


def spikes(series: pl.DataFrame, limits: Quality) -> pl.DataFrame:
    """Add price_spike to `measured` rows, and `lone_close`, a spike by its close.

    A spike is a close `spike_sigma` deviations from the medians on both sides, which agree; or an open, high or low that far
    beyond everything its own bar and the closes beside it reached. Beyond `jump_log` no unrest of the market excuses it. Close
    and open of a session's first bar are measured against ordinary nights. A high or low that many other symbols show at the
    same moment is the market's and no spike, unless it lies beyond `jump_log`.
    """
    far = _far(pl.col("motion"), limits)
    far_over_night = _far(pl.max_horizontal("motion", "night"), limits)
    series = series.with_columns(reached=_beyond() > limits.spike_sigma * REACHED * pl.col("motion"))
    wick = (_wick() > far) & ((_wick() > limits.jump_log) | ~_shared())
    series = series.with_columns(lone_close=(_lone() > far_over_night).fill_null(False))
    lone = pl.col("lone_close") | (_gap() > far_over_night) | wick
    return series.with_columns(price_spike=lone.fill_null(False)).drop("reached")


def _far(motion: pl.Expr, limits: Quality) -> pl.Expr:
    """Return how far is too far: `spike_sigma` deviations, or `jump_log` where that is less but still REACHED of them."""
    return pl.min_horizontal(
        limits.spike_sigma * motion, pl.max_horizontal(pl.lit(limits.jump_log), limits.spike_sigma * REACHED * motion)
    )


def _motion() -> pl.Expr:
    """Return the one-bar deviation: medians of the moves and ranges that are not zero, which say nothing of their size."""
    move = pl.col("x").diff().abs()
    reach = (pl.col("high") / pl.col("low")).log()
    moved, reached = pl.when(move > 0).then(move), pl.when(reach > 0).then(reach)
    moves = (move > 0).cast(pl.Int64).rolling_sum(WINDOW, center=True, min_samples=1)
    assumed = pl.when(moves < MOVES_MIN).then(MOTION_ASSUMED)
    return pl.max_horizontal(_median(moved) / MEDIAN, _median(reached) / RANGE, assumed, pl.lit(MOTION_MIN))


def _night(bar: timedelta) -> pl.Expr:
    """Return the deviation of moves over the time between two sessions, null for every other bar and for daily ones."""
    rested = (pl.col("session") != pl.col("session").shift(1)) & (pl.col("opened_at").diff() > bar)
    if bar >= timedelta(days=1):
        return pl.lit(None, pl.Float64)
    night = pl.when(rested.over("symbol")).then((pl.col("x") - pl.col("previous")).abs())
    return pl.when(night.is_not_null()).then(night.median().over("symbol") / MEDIAN)


def _lone() -> pl.Expr:
    """Return the distance of the close from both sides, zero where they do not agree within REVERSED of it."""
    up, down = pl.col("x") - pl.col("before"), pl.col("x") - pl.col("after")
    distance = pl.min_horizontal(up.abs(), down.abs())
    apart = (pl.col("before") - pl.col("after")).abs()
    return pl.when((up * down > 0) & (apart <= REVERSED * distance)).then(distance).otherwise(0.0)


def _gap() -> pl.Expr:
    """Return how far the open lies beyond the closes before, of and after its bar, null without one before."""
    opened, beside = pl.col("open").log(), ["previous", "x", "following"]
    beyond = pl.max_horizontal(opened - pl.max_horizontal(beside), pl.min_horizontal(beside) - opened)
    return pl.when(pl.col("previous").is_not_null()).then(beyond)


def _wick() -> pl.Expr:
    """Return how far high or low went beyond open and close and the closes beside them, null without one before."""
    return _beyond(pl.col("open").log())


def _beyond(*others: pl.Expr) -> pl.Expr:
    """Return how far high or low went beyond the closes before, of and after their bar and `others`, null without one before."""
    beside = ["previous", "x", "following", *others]
    beyond = pl.max_horizontal(pl.col("high").log() - pl.max_horizontal(beside), pl.min_horizontal(beside) - pl.col("low").log())
    return pl.when(pl.col("previous").is_not_null()).then(beyond)


def _shared() -> pl.Expr:
    """Return whether enough other symbols reached far beyond their closes at the same moment."""
    here = pl.col("reached").fill_null(False).cast(pl.Int64)
    others = here.sum().over("opened_at") - here
    return (others >= OTHERS_MIN) & (others >= OTHERS_SHARE * (pl.len().over("opened_at") - 1))
