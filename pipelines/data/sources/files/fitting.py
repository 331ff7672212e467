"""Fitting: brings a file's rows to the market's bar length and to the bar table's columns."""

import functools
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import PurePath

import numpy as np
import polars as pl

from domain import bar as bar_table
from domain import session
from domain.bar import UTC_MICROSECONDS
from domain.error import UnreadableFile
from domain.market import Market
from pipelines.data.sources.files import clocks, numbers, symbols, timing
from pipelines.data.sources.files.columns import PRICES
from pipelines.data.sources.files.table import UTC, Table
from pipelines.data.sources.files.timing import DAY

#: What a tick lasts.
INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Part:
    """What one file brings to a market: bars of its length, or finer rows and the bars that they belong to."""

    path: PurePath
    rows: pl.DataFrame
    """A Timed's rows; finer ones in order of time with `bucket`, the first moment (UTC us) of the market's bar that holds them."""
    bar: timedelta
    """Length of the file's bars; zero for ticks."""


def understand(table: Table, market: Market) -> Part:
    """Return a table's rows in the market's time.

    Raises NotBars, and UnreadableFile when the file's bars are longer than the market's, do not divide them or lie outside all
    sessions.
    """
    named = table.rows.with_columns(pl.col("symbol").fill_null(symbols.of(table.path, market)))
    table = replace(table, rows=numbers.decimals(named, market))
    timed = timing.understand(table, market)
    if timed.bar == market.bar:
        return Part(table.path, timed.rows, timed.bar)
    if timed.bar > market.bar or (timed.bar and market.bar % timed.bar):
        raise UnreadableFile(
            f"{table.path} holds {_spoken(timed.bar)} bars, and market '{market.name}' takes {market.timeframe} bars, which cannot "
            "be made of them"
        )
    # Of rows of one moment, as ticks often are, the file's order says which came first.
    at = timed.rows["opened_at"]
    rows = timed.rows.reverse() if at.is_sorted(descending=True) and not at.is_sorted() else timed.rows
    rows = _by_session(rows, market, timed.bar) if market.timeframe == "1d" else _by_bar(rows, market)
    if rows.is_empty():
        raise UnreadableFile(
            f"{table.path} was to be summed up to daily bars, but none of its rows lies in a session of '{market.calendar}'"
        )
    return Part(table.path, rows.sort("opened_at", maintain_order=True), timed.bar)


def bars(parts: list[Part], market: Market, publication_delay_s: float) -> pl.DataFrame:
    """Return the rows of files as bars of the market, in the files' order unless they had to be put together from finer ones.

    A bar that files of several lengths hold is taken from the longest, which needed the least putting together. `known_at` is
    the close plus the delay. Nothing is repaired: null, NaN and negative prices stay. Raises UnreadableFile.
    """
    frames: list[pl.DataFrame] = []
    for bar in sorted({part.bar for part in parts}, reverse=True):
        same = [part for part in parts if part.bar == bar]
        rows = pl.concat(part.rows for part in same) if bar == market.bar else together(_pooled(same, market))
        rows = _finish(rows, market, publication_delay_s)
        frames.append(functools.reduce(_without, frames, rows))
    return pl.concat(frames)


def _without(rows: pl.DataFrame, others: pl.DataFrame) -> pl.DataFrame:
    return rows.join(others, on=["symbol", "opened_at"], how="anti", maintain_order="left")


def _pooled(parts: list[Part], market: Market) -> pl.DataFrame:
    """Return the rows of files of one bar length, a bar that is repeated once.

    Ticks may well be alike, so that only those are repetitions which another file has already, as overlapping downloads do.
    """
    rows = pl.concat(part.rows.with_columns(file=pl.lit(i)) for i, part in enumerate(parts))
    content = [name for name in rows.columns if name != "file"]
    if parts[0].bar:
        rows = rows.unique(content, keep="first", maintain_order=True)
        _refuse_doubles(rows, parts, market)
    elif len(parts) > 1:
        rows = rows.filter(pl.col("file") == pl.col("file").min().over(content))
    return rows


def _refuse_doubles(rows: pl.DataFrame, parts: list[Part], market: Market) -> None:
    """Refuse to sum up bars of which two claim the same moment: the sum would hide what quality must see."""
    doubled = rows.filter(rows.select("symbol", "opened_at").is_duplicated())
    if doubled.is_empty():
        return
    symbol, moment = doubled.select("symbol", "opened_at").row(0)
    places = doubled.filter(symbol=symbol, opened_at=moment)["file"].unique(maintain_order=True)
    raise UnreadableFile(
        f"{' and '.join(str(parts[place].path) for place in places)} has more than one bar of {symbol} at {moment:%Y-%m-%d %H:%M}, "
        f"so its {_spoken(parts[0].bar)} bars cannot be summed up to {market.timeframe}: import it into a market of its own bar "
        "length, or remove one"
    )


def _by_bar(rows: pl.DataFrame, market: Market) -> pl.DataFrame:
    opened = timing.floor(session.naive(rows["opened_at"]), market, market.bar)
    return rows.with_columns(pl.Series(opened).dt.replace_time_zone(UTC).alias("bucket"))


def _by_session(rows: pl.DataFrame, market: Market, bar: timedelta) -> pl.DataFrame:
    """Keep what a regular session has a part in: a daily bar is the session's, extended hours are no part of it.

    LEAN's first hour of New York is stamped 09:00 and holds what traded from 09:30 on.
    """
    at = session.naive(rows["opened_at"])
    table = clocks.sessions(market, rows["opened_at"])
    opened, closed = table["opened_at"], table["closed_at"]
    place = np.searchsorted(session.naive(closed), at, side="right")
    inside = session.naive(opened)[place] < at + np.timedelta64(max(bar, INSTANT))
    return rows.with_columns(opened.gather(place).alias("bucket"), closed.gather(place).alias("closed_at")).filter(
        pl.Series(inside)
    )


def together(buckets: pl.DataFrame) -> pl.DataFrame:
    """Sum up the rows of each symbol and bucket in time: first, highest, lowest, last, and the sum of volume and trades.

    A missing price makes what it goes into NaN. vwap is weighted by volume where every part has one. Rows of one moment keep
    their order.
    """
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
    event_at = rows["closed_at"]
    if event_at.has_nulls():
        closes = session.closes(market, session.naive(rows["opened_at"]))
        event_at = event_at.zip_with(event_at.is_not_null(), pl.Series(closes).cast(pl.Datetime("us")).dt.replace_time_zone(UTC))
    rows = rows.with_columns(
        market=pl.lit(market.name),
        timeframe=pl.lit(market.timeframe),
        event_at=event_at.cast(UTC_MICROSECONDS),
        flags=pl.lit(0, pl.Int64()),
    )
    rows = rows.with_columns(known_at=pl.col("event_at") + timedelta(seconds=publication_delay_s))
    return bar_table.conform(rows)


def _spoken(bar: timedelta) -> str:
    if bar == DAY:
        return "daily"
    minutes, seconds = divmod(int(bar.total_seconds()), 60)
    if seconds:
        return f"{minutes * 60 + seconds}-second"
    return f"{minutes}-minute" if minutes % 60 else f"{minutes // 60}-hour"
