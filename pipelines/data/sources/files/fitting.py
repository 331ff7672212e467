"""Fitting: brings a file's rows to the market's bar length and to the bar table's columns."""

from datetime import timedelta
from pathlib import PurePath

import numpy as np
import polars as pl

from domain import session
from domain.bar import BAR_SCHEMA, UTC_MICROSECONDS
from domain.error import UnreadableFile
from domain.market import Market
from pipelines.data.sources.files import clocks, numbers, symbols, timing
from pipelines.data.sources.files.columns import PRICES
from pipelines.data.sources.files.table import UTC, Table
from pipelines.data.sources.files.timing import DAY, Timed


def bars(table: Table, market: Market, publication_delay_s: float) -> pl.DataFrame:
    """Return a table's rows as bars of the market, in the file's order unless they had to be put together from finer ones.

    `known_at` is the close plus the delay. Nothing is repaired: null, NaN and negative prices stay. Raises UnreadableFile when
    the file's bars are longer than the market's or do not divide them.
    """
    named = table.rows.with_columns(pl.col("symbol").fill_null(symbols.of(table.path, market)))
    table = Table(table.path, numbers.decimals(named, market), table.layout, table.ticks)
    timed = timing.understand(table, market)
    return _finish(_fit(timed, market, table.path), market, publication_delay_s)


def _fit(timed: Timed, market: Market, path: PurePath) -> pl.DataFrame:
    if timed.bar == market.bar:
        return timed.rows
    if timed.bar > market.bar or (timed.bar and market.bar % timed.bar):
        raise UnreadableFile(
            f"{path} holds {_spoken(timed.bar)} bars, and market '{market.name}' takes {market.timeframe} bars, which cannot be "
            "made of them"
        )
    _refuse_doubles(timed, market, path)
    buckets = _by_session(timed.rows, market) if market.timeframe == "1d" else _by_bar(timed.rows, market)
    if buckets.is_empty():
        raise UnreadableFile(
            f"{path} was to be summed up to daily bars, but none of its rows lies in a session of '{market.calendar}'"
        )
    return together(buckets)


def _refuse_doubles(timed: Timed, market: Market, path: PurePath) -> None:
    """Refuse to sum up bars of which two claim the same moment: the sum would hide what quality must see."""
    if timed.bar and timed.rows.select("symbol", "opened_at").is_duplicated().any():
        row = timed.rows.filter(timed.rows.select("symbol", "opened_at").is_duplicated()).row(0, named=True)
        moment = f"{row['opened_at']:%Y-%m-%d %H:%M}"
        raise UnreadableFile(
            f"{path} has more than one bar of {row['symbol']} at {moment}, so its {_spoken(timed.bar)} bars cannot be summed up to "
            f"{market.timeframe}: import it into a market of its own bar length, or remove one"
        )


def _by_bar(rows: pl.DataFrame, market: Market) -> pl.DataFrame:
    opened = timing.floor(session.naive(rows["opened_at"]), market, market.bar)
    return rows.with_columns(pl.Series(opened).dt.replace_time_zone(UTC).alias("bucket"))


def _by_session(rows: pl.DataFrame, market: Market) -> pl.DataFrame:
    """Keep what lies in a regular session: a daily bar is the session's, extended hours are no part of it."""
    at = session.naive(rows["opened_at"])
    table = clocks.sessions(market, rows["opened_at"])
    opened, closed = table["opened_at"], table["closed_at"]
    place = np.searchsorted(session.naive(opened), at, side="right") - 1
    inside = at < session.naive(closed)[place]
    return rows.with_columns(opened.gather(place).alias("bucket"), closed.gather(place).alias("closed_at")).filter(
        pl.Series(inside)
    )


def together(buckets: pl.DataFrame) -> pl.DataFrame:
    """Sum up the rows of each symbol and bucket in time: first, highest, lowest, last, and the sum of volume and trades.

    A missing price makes what it goes into NaN. vwap is weighted by volume where every part has one. Rows of one moment, as
    ticks often are, keep the file's order, turned round when the file descends.
    """
    if buckets["opened_at"].is_sorted(descending=True):
        buckets = buckets.reverse()
    buckets = buckets.with_columns(pl.col(*PRICES).fill_null(float("nan"))).sort("opened_at", maintain_order=True)
    known = pl.col("volume").is_not_null().any()
    return buckets.group_by("symbol", "bucket", maintain_order=True).agg(
        open=pl.col("open").first(),
        high=pl.col("high").nan_max(),
        low=pl.col("low").nan_min(),
        close=pl.col("close").last(),
        vwap=(pl.col("vwap") * pl.col("volume")).sum() / pl.when(pl.col("vwap").is_not_null().all()).then(pl.col("volume").sum()),
        volume=pl.when(known).then(pl.col("volume").sum()),
        trades=pl.when(pl.col("trades").is_not_null().all()).then(pl.col("trades").sum()),
        closed_at=pl.col("closed_at").first(),
    ).rename({"bucket": "opened_at"}).sort("symbol", "opened_at")  # fmt: skip


def _finish(rows: pl.DataFrame, market: Market, publication_delay_s: float) -> pl.DataFrame:
    closes = session.closes(market, session.naive(rows["opened_at"]))
    event_at = pl.coalesce("closed_at", pl.Series(closes).cast(pl.Datetime("us")).dt.replace_time_zone(UTC))
    rows = rows.with_columns(
        market=pl.lit(market.name),
        timeframe=pl.lit(market.timeframe),
        event_at=event_at.cast(UTC_MICROSECONDS),
        flags=pl.lit(0, pl.Int64()),
    )
    rows = rows.with_columns(known_at=pl.col("event_at") + timedelta(seconds=publication_delay_s))
    return rows.select(pl.col(name).cast(kind) for name, kind in BAR_SCHEMA.items())


def _spoken(bar: timedelta) -> str:
    if bar == DAY:
        return "daily"
    minutes, seconds = divmod(int(bar.total_seconds()), 60)
    if seconds:
        return f"{minutes * 60 + seconds}-second"
    return f"{minutes}-minute" if minutes % 60 else f"{minutes // 60}-hour"
