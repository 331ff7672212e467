"""Arrays: JSON as exchanges serve it, rows of numbers without names or records with them."""

import json
from pathlib import PurePath
from typing import Any

import polars as pl

from domain.error import UnreadableFile
from pipelines.data.sources.files import table
from pipelines.data.sources.files.columns import PRICES, NotBars
from pipelines.data.sources.files.delimited import KLINE
from pipelines.data.sources.files.table import UTC, Layout, Table

CANDLE = ("stamp", *PRICES, "volume")
#: Bitfinex puts the close second.
CLOSE_FIRST = ("stamp", "open", "close", "high", "low", "volume")
#: freqtrade's trades; a funding time or a type may be null.
TRADE = ("stamp", "id", "type", "side", "price", "amount", "cost")

INT64_MAX = 2**63 - 1

WIDTHS: dict[int, tuple[str, ...]] = {len(CANDLE): CANDLE, len(TRADE): TRADE, len(KLINE): KLINE}


def parse(data: bytes) -> Any:
    """Parse JSON, or a list written as one record a line; raise ValueError for what is neither."""
    try:
        return json.loads(data)
    except json.JSONDecodeError as problem:
        if problem.msg != "Extra data":
            raise
        return [json.loads(line) for line in data.splitlines() if line.strip()]


def read(path: PurePath, content: Any) -> Table:
    """Read parsed JSON: a list of candles, of trades or of klines, or a list of records.

    Six numbers a row are time, open, high, low, close, volume (freqtrade, ccxt) or time, open, close, high, low, volume
    (Bitfinex): the order under which fewer rows have a high below or a low above their other prices. Raises NotBars or
    UnreadableFile.
    """
    if not isinstance(content, list):
        raise NotBars(
            f"{path} was to be read as bars, but it is a JSON {type(content).__name__} {_keys(content)}: needed is a list of bars"
        )
    if not content:
        raise UnreadableFile(f"{path} was to be read as bars, but its list is empty")
    frame = _records(path, content) if isinstance(content[0], dict) else _rows(path, content)
    lines = pl.Series([f"row {i}" for i in range(1, frame.height + 1)], dtype=pl.String())
    return table.assemble(path, frame, lines, Layout(None if isinstance(content[0], dict) else UTC, opens=True))


def _rows(path: PurePath, content: list[Any]) -> pl.DataFrame:
    width = len(content[0]) if isinstance(content[0], list) else 0
    names = WIDTHS.get(width)
    if names is None:
        raise NotBars(
            f"{path} was to be read as bars, but its rows look like {str(content[0])[:80]}: needed are time, open, high, low, "
            "close and volume, or trades of time, id, type, side, price, amount and cost"
        )
    for i, row in enumerate(content, 1):
        if not isinstance(row, list) or len(row) != width:
            raise UnreadableFile(f"{path}, row {i}: {str(row)[:80]} is not a row of {width} values as the first is")
    if names is CANDLE:
        names = _order(content)
    chosen = [(i, name) for i, name in enumerate(names) if name not in {"type", "ignore"}]
    return pl.DataFrame([_column(path, name, [row[i] for row in content]) for i, name in chosen])


def _records(path: PurePath, content: list[Any]) -> pl.DataFrame:
    for i, row in enumerate(content, 1):
        if not isinstance(row, dict):
            raise UnreadableFile(f"{path}, row {i}: {str(row)[:80]} is not a record as the first is")
    names = dict.fromkeys(name for row in content for name in row)
    return pl.DataFrame([_column(path, name, [row.get(name) for row in content]) for name in names])


def _column(path: PurePath, name: str, values: list[Any]) -> pl.Series:
    """Keep numbers as numbers; anything mixed becomes text, for the parser of fields to judge."""
    kinds = {type(value) for value in values}
    if kinds == {int} and max(map(abs, values)) <= INT64_MAX:
        return pl.Series(name, values, dtype=pl.Int64)
    if kinds <= {int, float, type(None)}:
        return pl.Series(name, values, dtype=pl.Float64, strict=False)
    return pl.Series(name, [None if value is None else str(value) for value in values], dtype=pl.String())


def _order(content: list[Any]) -> tuple[str, ...]:
    return min((CANDLE, CLOSE_FIRST), key=lambda names: sum(_broken(dict(zip(names, row, strict=True))) for row in content))


def _broken(bar: dict[str, Any]) -> bool:
    prices = [bar[name] for name in PRICES]
    if not all(isinstance(price, (int, float)) for price in prices):
        return False
    return bool(bar["high"] < max(prices) or bar["low"] > min(prices))


def _keys(content: Any) -> str:
    return "with " + ", ".join(repr(key) for key in list(content)[:8]) if isinstance(content, dict) else ""
