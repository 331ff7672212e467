"""Jumps that stayed: splits, spin-offs and special dividends that prices were not adjusted for, redenominations, and shocks."""

import math

import polars as pl

from domain import session
from domain.action import CASH, SHARES
from domain.market import Market
from domain.params import Quality
from pipelines.data.quality import effects

#: After a lone close a move is the way back when less than this share of it leads away from the level before.
STAYED = 1 / 2
#: A corporate action takes this much (log) at least: less is a dividend like any other.
ACTION_MIN = 0.05
#: A way back is at most this much longer than the way out: MS 2008-10-13 rose by 87% after a fall of 22%.
BACK_MAX = 2.0
#: The day gives back or adds at most this share of an action, and the next close too.
HELD = 1 / 3
#: Money traded, over what is usual, that an action leaves behind at most; news multiplies it by 6 and more (AMD 2016-04-22: 24).
TURNOVER_MAX = 4.0
#: What a company hands out lowers its price: for a fall in which less than this is traded, this share of the deviations is enough.
QUIET, QUIET_SHARE = 2.5, 3 / 4


def jumps(series: pl.DataFrame, market: Market, limits: Quality) -> pl.DataFrame:
    """Add price_jump to rows that `prices` and `volumes` have judged: a move of `jump_log`, or a corporate action not adjusted for.

    A fall is as large as a rise that changes the price by the same percentage. Nothing says of a large move alone whether it is
    news or an action, so that both are flagged for a look. A symbol's first bar moves from its own open: listings do (ETHFI
    opened at 0.23 on 2024-03-18 and closed at 3.62).
    """
    move = pl.col("x") - pl.col("previous").fill_null(pl.col("open").log())
    change = (move.exp() - 1).abs()
    out = (pl.col("previous") - pl.col("previous").shift(1).over("symbol")).abs()
    returned = ((pl.col("x") - pl.col("before")) / move < STAYED) & (move.abs() <= BACK_MAX * out)
    returned = returned.fill_null(False)
    back = pl.col("lone_close").shift(1, fill_value=False).over("symbol") & returned
    jumped = (change >= math.expm1(limits.jump_log)) | _action(market, limits)
    return series.with_columns(price_jump=(jumped & ~back & ~pl.col("price_spike")).fill_null(False))


def announced(series: pl.DataFrame, bars: pl.DataFrame, actions: pl.DataFrame) -> pl.DataFrame:
    """Add to price_jump the ex-dates of known actions that the prices were not adjusted for, however small their deviations.

    An action counts from ACTION_MIN on, where the overnight move is the one that follows from it.
    """
    handed_out = [str(kind) for kind in (*CASH, *SHARES)]
    told = effects.priced(actions.filter(pl.col("kind").is_in(handed_out)), bars)
    near = (pl.col("gap") - pl.col("expected")).abs() <= effects.SEEN * pl.col("expected").abs()
    told = told.filter(near & (pl.col("expected").abs() >= ACTION_MIN)).select("symbol", opened_at="ex_at", told=pl.lit(value=True))
    series = series.join(told.unique(), on=["symbol", "opened_at"], how="left", maintain_order="left")
    return series.with_columns(price_jump=pl.col("price_jump") | pl.col("told").fill_null(value=False)).drop("told")


def _action(market: Market, limits: Quality) -> pl.Expr:
    """Return where a price fell or rose overnight by `spike_sigma` deviations and stayed, while trade went on as usual.

    News moves the price and draws a crowd; a split, a spin-off (YUM 2016-11-01) or a special dividend (TDG 2014-06-12) only
    moves the price. Known only where sessions end and volume does.
    """
    if market.calendar in {session.CONTINUOUS, session.FX_WEEK}:
        return pl.lit(False)
    gap = pl.col("open").log() - pl.col("previous")
    first = pl.col("night").is_not_null() if market.timeframe != "1d" else pl.lit(True)
    turnover = pl.col("volume_ratio") * gap.exp()
    deviations = pl.when((gap < 0) & (turnover < QUIET)).then(limits.spike_sigma * QUIET_SHARE).otherwise(limits.spike_sigma)
    far = gap.abs() > pl.max_horizontal(pl.lit(ACTION_MIN), deviations * pl.max_horizontal("motion", "night"))
    still = (pl.col("x") - pl.col("open").log()).abs() <= HELD * gap.abs()
    held = (pl.col("following").fill_null(pl.col("x")) - pl.col("previous")) * gap.sign() >= (1 - HELD) * gap.abs()
    return first & ~pl.col("after_gap") & far & still & held & (turnover < TURNOVER_MAX)
