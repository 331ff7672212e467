"""Delimited text: finds the separator and the header, or knows a headerless file by its shape, and splits every line."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import PurePath

import polars as pl

from domain.error import UnreadableFile
from pipelines.data.sources.files import table
from pipelines.data.sources.files.columns import PRICES, NotBars
from pipelines.data.sources.files.table import EST, UTC, Layout, Table

SEPARATORS = ",;\t|"
SHOWN = 80
#: A field that no header has: a number, or something that begins like a date.
VALUE = re.compile(r"\s*([-+]?[\d.,]+([eE][-+]?\d+)?|\d{2,4}[-./]\d.*|\d{8}[ T].*|[-+]?nan|)\s*", re.IGNORECASE)

CANDLE = ("stamp", *PRICES, "volume")
KLINE = (*CANDLE, "close_time", "quote_volume", "trades", "taker_volume", "taker_quote_volume", "ignore")


@dataclass(frozen=True)
class Shape:
    """A headerless layout, told by its width and by how its first field looks."""

    first: str
    names: tuple[str, ...]
    layout: Layout


#: Binance klines; HistData ticks and minutes; MetaTrader history with date and time apart; Kraken candles; trades; plain candles.
SHAPES = (
    Shape(r"\d{10,19}", KLINE, Layout(UTC, opens=True)),
    Shape(r"\d{8} \d{9}", ("stamp", "bid", "ask", "volume"), Layout(EST, opens=True)),
    Shape(r"\d{8} \d{6}", CANDLE, Layout(EST, opens=True)),
    Shape(r"\d{4}[.-]\d\d[.-]\d\d", ("date", "time", *PRICES, "volume"), Layout()),
    Shape(r"\d{10}", (*CANDLE, "trades"), Layout(UTC, opens=True)),
    Shape(r"\d{9,19}(\.\d+)?", ("stamp", "price", "size"), Layout(UTC, opens=True)),
    Shape(r"\d{10,19}", CANDLE, Layout(UTC, opens=True)),
)


def read(path: PurePath, data: bytes) -> Table:
    """Read one text file.

    Raises NotBars for text about something else, UnreadableFile naming file, line and field for text that is damaged.
    """
    lines = split(path, data)
    separator = max(SEPARATORS, key=lines[0][1].count)
    header = _quoted(path, *lines[0], separator)
    if all(VALUE.fullmatch(field) for field in header):
        shape = _shape(path, header)
        return table.assemble(path, *fields(path, lines, shape.names, separator), shape.layout)
    names = [name or f"unnamed: {i}" if name or i else "" for i, name in enumerate(header)]
    if header[0] == "Price" and len(lines) > 2 and lines[1][1].startswith("Ticker"):
        return _three_headers(path, lines, names, separator)
    return table.assemble(path, *fields(path, lines[1:], names, separator))


def _three_headers(path: PurePath, lines: list[tuple[int, str]], names: list[str], separator: str) -> Table:
    """Read what yfinance writes since 2025: the columns, the ticker under each, and a line with the name of the index."""
    tickers = set(_quoted(path, *lines[1], separator)[1:])
    if len(tickers) != 1:
        raise UnreadableFile(
            f"{path} has columns of {len(tickers)} tickers side by side, and bars need one table a ticker or a symbol column"
        )
    frame, places = fields(path, lines[3:], ["Date", *names[1:]], separator)
    return table.assemble(path, frame.with_columns(pl.lit(tickers.pop()).alias("Ticker")), places)


def split(path: PurePath, data: bytes) -> list[tuple[int, str]]:
    """Return the lines that are not blank with their numbers; raise UnreadableFile for what is no text, or empty."""
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as problem:
        raise UnreadableFile(f"{path} is neither a known format nor text: its byte {problem.start} is no UTF-8") from None
    if "\0" in text:
        raise UnreadableFile(f"{path} is neither a known format nor text: it holds a zero byte at {text.index(chr(0))}")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UnreadableFile(f"{path} was to be read as bars, but it is empty")
    return lines


def fields(
    path: PurePath, lines: list[tuple[int, str]], names: tuple[str, ...] | list[str], separator: str = ","
) -> tuple[pl.DataFrame, pl.Series]:
    """Return the fields as text columns and the name of each line; raise UnreadableFile for a line of another width."""
    unique = [name if name not in names[:i] else f"{name} {i}" for i, name in enumerate(names)]
    numbers = pl.Series([f"line {number}" for number, _ in lines], dtype=pl.String())
    if any('"' in line for _, line in lines):
        rows = [_quoted(path, number, line, separator) for number, line in lines]
        _even(path, lines, [len(row) for row in rows], len(names))
        return pl.DataFrame(rows, schema=dict.fromkeys(unique, pl.String()), orient="row"), numbers
    _even(path, lines, [line.count(separator) + 1 for _, line in lines], len(names))
    if not lines:
        return pl.DataFrame(schema=dict.fromkeys(unique, pl.String())), numbers
    text = io.StringIO("\n".join(line.rstrip("\r") for _, line in lines))
    return pl.read_csv(
        text, has_header=False, infer_schema=False, separator=separator, quote_char=None, new_columns=unique
    ), numbers


def _quoted(path: PurePath, number: int, line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line.rstrip("\r")], delimiter=separator, strict=True))
    except csv.Error as problem:
        raise UnreadableFile(f"{path}, line {number}: the quotes do not match ({problem}) in '{line.strip()[:SHOWN]}'") from None


def _even(path: PurePath, lines: list[tuple[int, str]], widths: list[int], width: int) -> None:
    for (number, line), found in zip(lines, widths, strict=True):
        if found != width:
            where = f"{path}, line {number}"
            raise UnreadableFile(f"{where}: {found} fields were found where {width} are needed, in '{line.strip()[:SHOWN]}'")


def _shape(path: PurePath, first: list[str]) -> Shape:
    for shape in SHAPES:
        if len(shape.names) == len(first) and re.fullmatch(shape.first, first[0].strip()):
            return shape
    raise NotBars(
        f"{path} was to be read as bars, but it has no header and its {len(first)} columns ({', '.join(first)[:SHOWN]} …) are no "
        "known shape: needed is a header that names a date or time, open, high, low and close"
    )
