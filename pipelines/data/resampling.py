"""Resampling: bars of a market's length from finer stored ones, while they are read.

Bars begin where the market's calendar has them begin (`session.holding`): at an exchange's open, at midnight UTC for coins, at
17:00 New York for currencies. A bar that may still grow is not shown.
"""

from datetime import datetime

import polars as pl

from domain import bar, session
from domain.market import Market

UTC = "UTC"


def resampled(bars: pl.DataFrame, market: Market, until: datetime | None = None) -> pl.DataFrame:
    """Return bars of the market's timeframe made of finer ones, by symbol and time.

    Columns are BAR_SCHEMA, and `adjustment`, `shares`, `traded` where the finer ones have them. First open, highest high, lowest
    low, last close; sums of volume, trades, buy_volume and money `traded`; vwap by volume, spread as the mean, both null where a
    part lacks it; flags of all parts; factors of the last. A bar is known when the last of its parts is, never before its close,
    and is shown if it has closed by `until`, by default by the newest close of any part. Bars outside the market's hours are part
    of none.
    """
    table = _placed(bars, market).filter(pl.col("ends") <= (until or bars["event_at"].max())).sort("symbol", "opened_at")
    made = table.group_by("symbol", "bucket", maintain_order=True).agg(*_parts(table.columns)).rename({"bucket": "opened_at"})
    made = made.with_columns(pl.max_horizontal("known_at", "event_at").alias("known_at"), timeframe=pl.lit(market.timeframe))
    extra = [name for name in ("adjustment", "shares", "traded") if name in bars.columns]
    return pl.concat([bar.conform(made), made.select(extra)], how="horizontal").sort("symbol", "opened_at")


def unfinished(bars: pl.DataFrame, market: Market, until: datetime | None = None) -> pl.DataFrame:
    """Return the rows that `resampled` leaves for a bar that is not whole yet."""
    return _placed(bars, market).filter(pl.col("ends") > (until or bars["event_at"].max())).drop("bucket", "ends")


def _placed(bars: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Return the rows that are part of a bar, with its open as `bucket` and its close as `ends`."""
    opened, closed = session.holding(market, session.naive(bars["opened_at"]))
    times = {"bucket": opened, "ends": closed}
    table = bars.with_columns(
        pl.Series(name, values, pl.Datetime("us")).dt.replace_time_zone(UTC) for name, values in times.items()
    )
    return table.filter(pl.col("bucket").is_not_null())


def _parts(columns: list[str]) -> list[pl.Expr]:
    """Return how each column of a bar follows from its parts."""
    volume = pl.col("volume")
    told = {name: pl.col(name).is_not_null().all() for name in bar.NULLABLE}
    told["vwap"] = (pl.col("vwap").is_not_null() | (volume == 0)).all()
    sums: dict[str, pl.Expr] = {name: pl.when(told[name]).then(pl.col(name).sum()) for name in ("trades", "buy_volume")}
    known: dict[str, pl.Expr] = {name: pl.col(name).last() for name in ("close", "adjustment", "shares") if name in columns}
    known |= {name: pl.col(name).sum() for name in ("volume", "traded") if name in columns}
    return [
        pl.col("market").first(), pl.col("ends").first().alias("event_at"), pl.col("known_at").max(),
        pl.col("open").first(), pl.col("high").max(), pl.col("low").min(), pl.col("flags").bitwise_or(),
        pl.when(told["vwap"] & (volume.sum() > 0)).then((pl.col("vwap") * volume).sum() / volume.sum()).alias("vwap"),
        pl.when(told["spread"]).then(pl.col("spread").mean()).alias("spread"),
        *(value.alias(name) for name, value in {**sums, **known}.items()),
    ]  # fmt: skip
