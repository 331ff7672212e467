"""Jumps that stayed: splits, spin-offs and special dividends that prices were not adjusted for, redenominations, and shocks."""

import math

import polars as pl

from domain import session
from domain.market import Market
from domain.params import Quality

#: After a lone close a move is the way back when less than this share of it leads away from the level before.
STAYED = 1 / 2
#: A corporate action takes this much (log) at least: less is a dividend like any other.
ACTION_MIN = 0.05
#: The day gives back or adds at most this share of an action, and the next close too.
HELD = 1 / 3
#: Money traded, over what is usual, that an action leaves behind at most; news multiplies it by 6 and more (AMD 2016-04-22: 24).
TURNOVER_MAX = 4.0


def jumps(series: pl.DataFrame, market: Market, limits: Quality) -> pl.DataFrame:
    """Add price_jump to rows that `prices` and `volumes` have judged: a move of `jump_log`, or a corporate action not adjusted for.

    A fall is as large as a rise that changes the price by the same percentage. Nothing says of a large move alone whether it is
    news or an action, so that both are flagged for a look. A symbol's first bar moves from its own open: listings do (ETHFI
    opened at 0.23 on 2024-03-18 and closed at 3.62).
    """
    move = pl.col("x") - pl.col("previous").fill_null(pl.col("open").log())
    change = (move.exp() - 1).abs()
    returned = ((pl.col("x") - pl.col("before")) / move < STAYED).fill_null(False)
    back = pl.col("lone_close").shift(1, fill_value=False).over("symbol") & returned
    jumped = (change >= math.expm1(limits.jump_log)) | _action(market, limits)
    return series.with_columns(price_jump=(jumped & ~back & ~pl.col("price_spike")).fill_null(False))


def _action(market: Market, limits: Quality) -> pl.Expr:
    """Return where a price fell or rose overnight by `spike_sigma` deviations and stayed, while trade went on as usual.

    News moves the price and draws a crowd; a split, a spin-off (YUM 2016-11-01) or a special dividend (TDG 2014-06-12) only
    moves the price. Known only where sessions end and volume does.
    """
    if market.calendar in {session.CONTINUOUS, session.FX_WEEK}:
        return pl.lit(False)
    gap = pl.col("open").log() - pl.col("previous")
    first = pl.col("night").is_not_null() if market.timeframe != "1d" else pl.lit(True)
    far = gap.abs() > pl.max_horizontal(pl.lit(ACTION_MIN), limits.spike_sigma * pl.max_horizontal("motion", "night"))
    still = (pl.col("x") - pl.col("open").log()).abs() <= HELD * gap.abs()
    held = (pl.col("following").fill_null(pl.col("x")) - pl.col("previous")) * gap.sign() >= (1 - HELD) * gap.abs()
    return first & ~pl.col("after_gap") & far & still & held & (pl.col("volume_ratio") * gap.exp() < TURNOVER_MAX)
