"""Table: what one file holds once its columns are understood and before its times are."""

from dataclasses import dataclass
from pathlib import PurePath

import polars as pl

from domain.error import UnreadableFile
from pipelines.data.sources.files import columns, numbers, stamps
from pipelines.data.sources.files.columns import PRICES, Companion

UTC = "UTC"
#: Eastern standard time all year: HistData and FXCM never move their clocks.
EST = "Etc/GMT+5"

ABSENT = {
    "symbol": pl.lit(None, dtype=pl.String()),
    "volume": pl.lit(0.0),
    "vwap": pl.lit(None, dtype=pl.Float64()),
    "trades": pl.lit(None, dtype=pl.Int64()),
}


@dataclass(frozen=True)
class Layout:
    """What a format fixes about the times of its rows; by default nothing."""

    zone: str | None = None
    """Zone of readings without an offset; None when it must be inferred."""
    opens: bool = False
    """Stamps are known to be opens."""
    terminal: bool = False
    """Volume is a count of ticks, as MetaTrader's is."""
    clocks: tuple[str, ...] = ()
    """Zones that the vendor stamps other countries' exchanges in."""
    comma: bool = False
    """A comma before three digits, where nothing else in the file tells, is a decimal comma."""


@dataclass(frozen=True)
class Table:
    """Bars, or ticks as bars of no length, in the file's own order."""

    path: PurePath
    """Names the file in sentences; inside an archive, the archive's path and the member's name."""
    rows: pl.DataFrame
    """symbol (String, null: ask the file's name), wall (naive Datetime us), open, high, low, close, volume, vwap (Float64),
    trades (Int64); and utc (Datetime us UTC) when the stamps name moments rather than readings of a clock."""
    layout: Layout = Layout()
    ticks: bool = False
    """Rows are trades or quotes."""
    dated: bool = False
    """Stamps are days without a time of day."""
    told: pl.DataFrame | None = None
    """Of ticks: all columns of the file, row by row beside `rows`."""


def assemble(path: PurePath, frame: pl.DataFrame, lines: pl.Series, layout: Layout = Layout()) -> Table:
    """Make a Table of named columns, text or typed; `lines` names each row in sentences ("line 7").

    A trade becomes a bar of no length; so does a quote, at the middle of bid and ask, and a bar of quotes takes the middle of
    both. Quotes have no volume: 0, as for files without that column. Raises NotBars or UnreadableFile.
    """
    part = columns.roles(frame.columns)
    kind = columns.kind(frame.columns, part, path)
    if frame.is_empty():
        raise UnreadableFile(f"{path} was to be read as bars, but it has columns and no rows")
    stamp = _stamp(frame, part)
    rows = stamps.parse(stamp, path, lines, day_first=columns.day_first(frame.columns))
    if "symbol" in part:
        rows = rows.with_columns(_symbols(frame[part["symbol"]], frame.columns))
    wanted = [role for role in (*columns.KINDS[kind], *columns.OPTIONAL[kind]) if role in part]
    comma = numbers.decimal_comma([frame[part[role]] for role in wanted], usual=layout.comma)
    rows = rows.with_columns(numbers.parse(frame[part[role]], path, lines, comma=comma).alias(role) for role in wanted)
    _refuse_rates(rows, kind, path)
    opens = layout.opens or columns.plain(part["stamp"]) in columns.OPENING
    terminal = layout.terminal or columns.plain(part.get("volume", "")).startswith("tickvol")
    zone = layout.zone or columns.ZONES.get(columns.plain(part["stamp"]))
    fixed = Layout(zone, opens, terminal, ("Europe/Warsaw",) if columns.stooq(frame.columns) else ())
    ticks = kind in {"trades", "quotes"}
    return Table(path, _complete(_bars(rows, kind, path)), fixed, ticks, stamps.dated(stamp), frame if ticks else None)


def _stamp(frame: pl.DataFrame, part: dict[str, str]) -> pl.Series:
    stamp = frame[part["stamp"]]
    clock = columns.clock(frame.columns, part)
    if clock is None:
        return stamp
    return (stamp.cast(pl.String).str.strip_chars() + " " + _padded(frame[clock])).alias(stamp.name)


def _padded(clock: pl.Series) -> pl.Series:
    """Give 930 and 93000, times of day written as numbers, the digits of 0930 and 093000."""
    text = clock.cast(pl.String).str.strip_chars()
    width = 4 if text.str.len_chars().max() <= 4 else 6  # type: ignore[operator]
    return text.str.zfill(width).zip_with(text.str.contains(r"^\d+$").fill_null(value=False), text)


def _symbols(column: pl.Series, names: list[str]) -> pl.Series:
    """Return the symbols, null where there is none; Stooq's AAPL.US is the AAPL of its file's name."""
    text = column.cast(pl.String).str.strip_chars().alias("symbol")
    if columns.stooq(names):
        text = text.str.replace(r"\.[A-Z]{2}$", "")
    return text.set(text == "", None)


def _bars(rows: pl.DataFrame, kind: str, path: PurePath) -> pl.DataFrame:
    if kind == "bars":
        return rows
    if kind == "quote bars":
        return rows.with_columns(((pl.col(f"bid_{price}") + pl.col(f"ask_{price}")) / 2).alias(price) for price in PRICES)
    if kind == "trades":
        price, size = pl.col("price"), pl.col("size")
        return rows.with_columns(*(price.alias(name) for name in PRICES), volume=size, vwap=price, trades=pl.lit(1, pl.Int64()))
    one_sided = rows.filter((pl.col("bid") == 0) != (pl.col("ask") == 0)).height
    if one_sided:
        raise UnreadableFile(f"{path} has {one_sided} quotes of one side only, and the middle needs both bid and ask in every row")
    return rows.with_columns(((pl.col("bid") + pl.col("ask")) / 2).alias(name) for name in PRICES)


def _refuse_rates(rows: pl.DataFrame, kind: str, path: PurePath) -> None:
    """Refuse a series of rates in the dress of bars: freqtrade keeps funding rates as an open beside zeros."""
    if kind == "bars" and rows.select(pl.all_horizontal((pl.col("high", "low", "close").fill_null(1.0) == 0).all())).item():
        raise Companion(
            f"{path} was to be read as bars, but its high, low and close are 0 in every row (perhaps a funding rate): "
            "needed are prices"
        )


def _complete(rows: pl.DataFrame) -> pl.DataFrame:
    rows = rows.with_columns(**{name: value for name, value in ABSENT.items() if name not in rows.columns})
    moments = ["wall", "utc"] if "utc" in rows.columns else ["wall"]
    return rows.select("symbol", *moments, *PRICES, "volume", "vwap", pl.col("trades").cast(pl.Int64))
