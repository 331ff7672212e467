"""Effects: what prices should do on the ex-date of an action, and what they did."""

import math

import polars as pl

from domain import action
from domain.action import CASH

#: An action whose price moved by less than this share of what it should have is not in the prices.
SEEN = 1 / 2


def priced(actions: pl.DataFrame, bars: pl.DataFrame) -> pl.DataFrame:
    """Return the actions with `close_before`, `gap` (log open over it, null without a bar on the ex-date), and `expected`.

    `expected` is the log move that follows from all that the symbol hands out on that day together; infinite or NaN where that has
    no factor. Bars as printed. Splits without a bar before them are judged against a close of 1, which they do not need.
    """
    days = bars.sort("opened_at").select("symbol", "opened_at", "open", "close")
    before = days.select("symbol", "close", close_at="opened_at").rename({"close": "close_before"})
    rows = actions.sort("event_at")
    rows = rows.join_asof(
        before, left_on="event_at", right_on="close_at", by="symbol", allow_exact_matches=False, check_sortedness=False
    )
    ex = days.select("symbol", "open", ex_at="opened_at")
    rows = rows.join_asof(
        ex, left_on="event_at", right_on="ex_at", by="symbol", strategy="forward", tolerance="16h", check_sortedness=False
    )
    cash = pl.when(pl.col("kind").is_in([str(kind) for kind in CASH])).then("value").otherwise(0.0)
    shares = (
        pl.when(pl.col("kind") == "split")
        .then("value")
        .when(pl.col("kind") == "stock_dividend")
        .then(1 + pl.col("value"))
        .otherwise(1.0)
    )
    rows = rows.with_columns(cash=cash.sum().over("symbol", "event_at"), shares=shares.product().over("symbol", "event_at"))
    told = [-_log(action.factor(*row)) for row in rows.select("cash", "shares", pl.col("close_before").fill_null(1.0)).iter_rows()]
    return rows.with_columns(gap=(pl.col("open") / pl.col("close_before")).log(), expected=pl.Series(told, dtype=pl.Float64))


def _log(factor: float) -> float:
    return math.log(factor) if 0 < factor < math.inf else math.nan
