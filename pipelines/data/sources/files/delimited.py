"""Delimited text: finds the separator and the header, or knows a headerless file by its shape, and splits every line."""

import csv
import io
import re
from dataclasses import dataclass, replace
from pathlib import PurePath

import polars as pl

from domain.error import UnreadableFile
from pipelines.data.sources.files import columns, table
from pipelines.data.sources.files.columns import PRICES, SIDES, Companion, NotBars
from pipelines.data.sources.files.table import EST, UTC, Layout, Table

SEPARATORS = ",;\t|"
SHOWN = 80
#: Lines above the header that are searched through: a title, "sep=;", a web address.
PREAMBLE = 10
#: Fields that blanks alone must part before they are taken for separators.
WORDS_MIN = 5
#: A field that no header has: a number, or something that begins like a date or a time of day.
VALUE = re.compile(
    r"\s*([-+]?[\d.,]+([eE][-+]?\d+)?|\d{1,4}[-./]\d.*|\d{8}[ T].*|\d\d?:\d\d.*|[-+]?nan|unnamed: \d+|)\s*", re.IGNORECASE
)

#: What a server answers instead of a file.
PAGE = re.compile(r"\s*<(!doctype|html|\?xml)", re.IGNORECASE)

NEEDED = "needed is a table of bars as parquet, feather, JSON or delimited text"

CANDLE = ("stamp", *PRICES, "volume")
KLINE = (*CANDLE, "close_time", "quote_volume", "trades", "taker_volume", "taker_quote_volume", "ignore")
BAR = (*PRICES, "volume")

DAY = r"\d{4}[-./]?\d\d[-./]?\d\d|\d\d?[-./]\d\d?[-./]\d{4}"
CLOCK = r"\d\d?:\d\d(:\d\d(\.\d+)?)?"
MOMENT = rf"({DAY})([T ]{CLOCK})?"
TICKER = r"(?=.*[A-Za-z])[\w^][\w^./=-]*"


NOTHING_FIXED = Layout()


@dataclass(frozen=True)
class Shape:
    """A headerless layout, told by its width and by how its first fields look."""

    first: tuple[str, ...]
    names: tuple[str, ...]
    layout: Layout = NOTHING_FIXED


SHAPES = (
    # Binance klines; HistData ticks and minutes; TrueFX ticks; MetaTrader history; Kraken candles; trades; plain candles.
    Shape((r"\d{10,19}",), KLINE, Layout(UTC, opens=True)),
    Shape((r"\d{8} \d{9}",), ("stamp", "bid", "ask", "volume"), Layout(EST, opens=True)),
    Shape((r"\d{8} \d{6}",), CANDLE, Layout(EST, opens=True)),
    Shape((r"[A-Z]{3}/[A-Z]{3}", r"\d{8} [\d:.]+"), ("symbol", "stamp", "bid", "ask"), Layout(UTC, opens=True)),
    Shape((r"\d{4}\.\d\d\.\d\d", CLOCK), ("date", "time", *BAR), Layout(terminal=True)),
    Shape((r"\d{10}",), (*CANDLE, "trades"), Layout(UTC, opens=True)),
    Shape((r"\d{9,19}(\.\d+)?",), ("stamp", "price", "size"), Layout(UTC, opens=True)),
    Shape((r"\d{10,19}",), CANDLE, Layout(UTC, opens=True)),
    # What vendors of stocks write: date and time together or apart, perhaps a symbol before them.
    Shape((DAY, CLOCK), ("date", "time", *BAR)),
    Shape((DAY, CLOCK), ("date", "time", *PRICES)),
    Shape((MOMENT,), ("datetime", *BAR)),
    Shape((MOMENT,), ("datetime", *PRICES)),
    Shape((TICKER, DAY, CLOCK), ("symbol", "date", "time", *BAR)),
    Shape((TICKER, MOMENT), ("symbol", "datetime", *BAR)),
)


def read(path: PurePath, data: bytes) -> Table:
    """Read one text file, with or without lines above its header.

    Raises NotBars for text about something else, UnreadableFile naming file, line and field for text that is damaged.
    """
    lines = split(path, data)
    shape = _shape(_names(lines[0][1]))
    if shape is None:
        lines = lines[_begin(lines) :]
    separator = _separator(lines[0][1])
    names = [name or f"unnamed: {i}" if name or i else "" for i, name in enumerate(_names(lines[0][1]))]
    if separator == " ":
        lines, separator = [(number, "\t".join(line.split())) for number, line in lines], "\t"
    if shape is not None:
        layout = replace(shape.layout, comma=separator == ";")
        return table.assemble(path, *fields(path, lines, shape.names, separator), layout)
    if names[0] == "Price" and len(lines) > 2 and lines[1][1].startswith("Ticker"):
        return _three_headers(path, lines, names, separator)
    _refuse_unknown(path, names)
    return table.assemble(path, *fields(path, lines[1:], names, separator), Layout(comma=separator == ";"))


def _begin(lines: list[tuple[int, str]]) -> int:
    """Return the place of the line that names the columns of bars: the first if none of the first few does."""
    return next((i for i, (_, line) in enumerate(lines[:PREAMBLE]) if columns.header(_names(line))), 0)


def _separator(line: str) -> str:
    found = max(SEPARATORS, key=line.count)
    return " " if found not in line and len(line.split()) >= WORDS_MIN else found


def _names(line: str) -> list[str]:
    separator = _separator(line)
    try:
        return line.split() if separator == " " else next(csv.reader([line], delimiter=separator))
    except csv.Error:  # a field beyond the reader's limit is the name of nothing
        return [line]


def _refuse_unknown(path: PurePath, names: list[str]) -> None:
    if PAGE.match(names[0]):
        raise UnreadableFile(
            f"{path} was to be read as bars, but it is a page of a website or XML that begins with '{names[0][:SHOWN]}': needed is "
            "a table with a date or time, open, high, low and close"
        )
    if all(VALUE.fullmatch(name) for name in names):
        # Numbers that could be bars are not left out of an archive.
        raise (UnreadableFile if len(names) > len(PRICES) else NotBars)(
            f"{path} was to be read as bars, but it has no header and its {len(names)} columns ({', '.join(names)[:SHOWN]} …) are "
            "no known shape: needed is a header that names a date or time, open, high, low and close"
        )
    try:
        columns.kind(names, columns.roles(names), path)
    except NotBars as problem:
        raise (Companion if _prose(path, names) else NotBars)(str(problem)) from None


def _prose(path: PurePath, names: list[str]) -> bool:
    """Say whether a text names no price in its first line: a licence, a list of symbols."""
    return path.suffix.lower() == ".txt" and not {*PRICES, *SIDES, "price"} & set(columns.roles(names))


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
    text = _decoded(path, data)
    if "\0" in text:
        raise UnreadableFile(f"{path} is neither a known format nor text, it holds a zero byte at {text.index(chr(0))}: {NEEDED}")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    lines = [(number, line) for number, line in enumerate(text.split("\n"), 1) if line.strip()]
    if not lines:
        raise UnreadableFile(f"{path} was to be read as bars, but it is empty")
    return lines


def _decoded(path: PurePath, data: bytes) -> str:
    """Return the text of UTF-8, UTF-16 with its mark, or, where it is neither, of Windows in western Europe."""
    encoding = "utf-16" if data[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as problem:
        refused = UnreadableFile(f"{path} is neither a known format nor text, its byte {problem.start} is no UTF-8: {NEEDED}")
    # Any bytes are letters to Windows: only a text of lines without a byte that steers a terminal is taken for one.
    if encoding == "utf-16" or any(byte < 0x20 and byte not in b"\t\n\r" for byte in data):
        raise refused
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        raise refused from None


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
    text = io.StringIO("\n".join(line for _, line in lines))
    return pl.read_csv(
        text, has_header=False, infer_schema=False, separator=separator, quote_char=None, new_columns=unique
    ), numbers


def _quoted(path: PurePath, number: int, line: str, separator: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=separator, strict=True))
    except csv.Error as problem:
        raise UnreadableFile(f"{path}, line {number}: the quotes do not match ({problem}) in '{line.strip()[:SHOWN]}'") from None


def _even(path: PurePath, lines: list[tuple[int, str]], widths: list[int], width: int) -> None:
    for (number, line), found in zip(lines, widths, strict=True):
        if found != width:
            where = f"{path}, line {number}"
            raise UnreadableFile(f"{where}: {found} fields were found where {width} are needed, in '{line.strip()[:SHOWN]}'")


def _shape(first: list[str]) -> Shape | None:
    return next((shape for shape in SHAPES if len(shape.names) == len(first) and _fits(shape, first)), None)


def _fits(shape: Shape, first: list[str]) -> bool:
    return all(re.fullmatch(pattern, field.strip()) for pattern, field in zip(shape.first, first, strict=False))
