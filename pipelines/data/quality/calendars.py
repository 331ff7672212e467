"""What the market's calendar says about a bar: closed, extended hours, or the first after a hole."""

import math
from datetime import timedelta

import polars as pl

from domain import session
from domain.market import Market

#: A session that is closed at most this long: the next one may have opened before the last one's extended hours ended.
DAY = timedelta(days=1)
#: Bars around a gap by which it is told what the symbol misses anyway: a year and a half of days, a week of 5-minute bars.
GAP_WINDOW = 401
#: A symbol that misses more than this share of its sessions trades seldom, and one missing session says nothing.
THIN_SHARE = 0.01
#: Probability below which missing bars are no chance: one bar in a week of 5-minute bars that lack no other.
CHANCE = 0.002


def hours(table: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Add market_closed, extended_hours, the date of the session (`session`, null when closed) and its number (`ordinal`).

    Sorted by `opened_at` on return; a daily bar belongs to the session in which it opened.
    """
    table = table.sort("opened_at", "row")
    if table.is_empty():
        return table.with_columns(
            market_closed=pl.lit(False),
            extended_hours=pl.lit(False),
            session=pl.lit(None, pl.Date),
            ordinal=pl.lit(None, pl.Int64),
            elapsed=pl.lit(None, pl.Duration("us")),
        )
    opened = table["opened_at"]
    sessions = session.sessions(market.calendar, opened[0].date() - DAY, opened[-1].date() + DAY)
    length = pl.col("closed_at") - pl.col("opened_at")
    sessions = sessions.with_columns(ordinal=pl.int_range(pl.len()).cast(pl.Int64), before=length.cum_sum() - length)
    sessions = sessions.rename({"opened_at": "session_opened_at"}).sort("pre_opened_at")
    table = table.join_asof(sessions, left_on="opened_at", right_on="pre_opened_at", strategy="backward")
    at = pl.col("opened_at")
    table = table.with_columns(market_closed=(at >= pl.col("post_closed_at")).fill_null(True))
    inside = pl.min_horizontal(pl.max_horizontal(at, "session_opened_at"), "closed_at") - pl.col("session_opened_at")
    return table.with_columns(
        extended_hours=~pl.col("market_closed") & ((at < pl.col("session_opened_at")) | (at >= pl.col("closed_at"))),
        session=pl.when(~pl.col("market_closed")).then("session"),
        elapsed=pl.col("before") + inside,
    ).drop("pre_opened_at", "post_closed_at", "session_opened_at", "closed_at", "before")


def gaps(table: pl.DataFrame, market: Market, missing_max: int) -> pl.DataFrame:
    """Add after_gap: bars are missing before this one that the calendar expects, more than the symbol misses anyway.

    That is `missing_max` sessions in a row (bars, on continuous markets); or a daily bar where its symbol has nearly all; or bars
    within a day so many that their absence is no chance at the rate at which others are missing around them: many feeds leave
    out bars without trades. Time when the market is closed does not count, nor do hours before and after the session. Rows
    sorted by symbol, then `opened_at`; a symbol's first row is after no gap, and rows outside the market's hours are none.
    """
    opened = table.filter(~pl.col("market_closed"))
    sessions = pl.col("ordinal").diff().over("symbol") - 1
    bars = sessions if market.timeframe == "1d" else (pl.col("elapsed").diff().over("symbol") / pl.lit(market.bar)).round() - 1
    counted = bars if market.calendar in {session.CONTINUOUS, session.FX_WEEK} else sessions
    opened = opened.with_columns(missing=bars.fill_null(0).clip(lower_bound=0).cast(pl.Float64), counted=counted.fill_null(0))
    opened = opened.with_columns(after_gap=(pl.col("counted") >= missing_max) | _unusual(market))
    found = opened.select("row", "after_gap", "missing")
    return table.join(found, on="row", how="left", maintain_order="left").with_columns(pl.col("after_gap").fill_null(False))


def _unusual(market: Market) -> pl.Expr:
    """Return where `missing` bars are more than the share of missing bars around would leave out by chance."""
    present = pl.len().over("symbol").clip(upper_bound=GAP_WINDOW)
    around = pl.col("missing").rolling_sum(GAP_WINDOW, center=True, min_samples=1).over("symbol") - pl.col("missing")
    if market.timeframe == "1d":
        return (pl.col("missing") >= 1) & (around <= THIN_SHARE * (around + present))
    share = (around + 0.5) / (around + present)
    return (pl.col("missing") >= 1) & (pl.col("missing") * share.log() < math.log(CHANCE))
