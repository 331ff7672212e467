"""The bar table: its columns, their types, and the defects that a row may carry."""

from enum import IntFlag

import polars as pl

UTC_MICROSECONDS = pl.Datetime("us", "UTC")

#: One row a bar. `opened_at` is the bar's first moment, `event_at` its close, `known_at` the first moment it could be read.
BAR_SCHEMA: dict[str, pl.DataType] = {
    "market": pl.String(),
    "symbol": pl.String(),
    "timeframe": pl.String(),
    "opened_at": UTC_MICROSECONDS,
    "event_at": UTC_MICROSECONDS,
    "known_at": UTC_MICROSECONDS,
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "vwap": pl.Float64(),
    "trades": pl.Int64(),
    "buy_volume": pl.Float64(),
    "spread": pl.Float64(),
    "flags": pl.Int64(),
}

#: What a source may not know: null, and the column may be left out where `conform` completes it.
NULLABLE = ("vwap", "trades", "buy_volume", "spread")

#: What makes two rows the same bar as it was known at one moment.
BAR_KEY = ["market", "timeframe", "symbol", "opened_at", "known_at"]


class Defect(IntFlag):
    """What quality found in a bar. IMPOSSIBLE ones go to quarantine, the others are flagged and stay."""

    NONE = 0
    MISSING_PRICE = 1  # a price is null, NaN or infinite
    NONPOSITIVE_PRICE = 2
    RANGE_BROKEN = 4  # high below low, or open or close outside [low, high]
    NEGATIVE_VOLUME = 8
    DUPLICATE_KEY = 16
    TIME_BACKWARDS = 32  # the source's rows run backwards in time
    MARKET_CLOSED = 64  # outside every session, extended hours included
    DECIMAL_SHIFT = 128  # prices off by a power of ten against their neighbours
    EXTENDED_HOURS = 256  # inside pre or post market: real, but not the regular session
    PRICE_SPIKE = 512  # a lone print, reversed at once
    VOLUME_BREAK = 1024  # the scale of volume changed and stayed changed
    AFTER_GAP = 2048  # the first bar after sessions without any
    PRICE_JUMP = 4096  # a jump that stayed: split, spin-off or news
    UNLIKELY = 8192  # by what history taught of its symbol


IMPOSSIBLE = (
    Defect.MISSING_PRICE
    | Defect.NONPOSITIVE_PRICE
    | Defect.RANGE_BROKEN
    | Defect.NEGATIVE_VOLUME
    | Defect.DUPLICATE_KEY
    | Defect.TIME_BACKWARDS
    | Defect.MARKET_CLOSED
    | Defect.DECIMAL_SHIFT
)


def conform(frame: pl.DataFrame) -> pl.DataFrame:
    """Return the rows with exactly the columns and types of BAR_SCHEMA; NULLABLE ones that are missing are null.

    Raises polars' own errors where another column is missing or a type cannot be had.
    """
    missing = [pl.lit(None, BAR_SCHEMA[name]).alias(name) for name in NULLABLE if name not in frame.columns]
    return frame.with_columns(missing).select(list(BAR_SCHEMA)).cast(pl.Schema(BAR_SCHEMA))


def empty_bars() -> pl.DataFrame:
    """Return a bar table without rows."""
    return pl.DataFrame(schema=BAR_SCHEMA)
