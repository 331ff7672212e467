"""What the market's calendar says about a bar: closed, extended hours, or the first after a hole."""

from datetime import timedelta

import polars as pl

from domain import session
from domain.market import Market

#: A session that is closed at most this long: the next one may have opened before the last one's extended hours ended.
DAY = timedelta(days=1)


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


def gaps(series: pl.DataFrame, market: Market, sessions_max: int) -> pl.DataFrame:
    """Add after_gap: the bar before it is `sessions_max` sessions or more away, on continuous markets that many bars.

    Time when the market is closed does not count. Rows sorted by symbol, then `opened_at`; a symbol's first row is after no gap.
    """
    if market.calendar in {session.CONTINUOUS, session.FX_WEEK}:
        missing = pl.col("elapsed").diff().over("symbol") / pl.lit(market.bar) - 1
    else:
        missing = pl.col("ordinal").diff().over("symbol") - 1
    return series.with_columns(after_gap=(missing >= sessions_max).fill_null(False), missing=missing.cast(pl.Float64))
