"""Recording: Binance's market data as hftbacktest's collector writes it, a message a line after the nanosecond of its receipt.

Trades carry the exchange's time, best quotes (`bookTicker`) do not: theirs is the receiver's, put right by what the trades beside
them say of its clock. Order book depth is left alone.
"""

import gzip
import io
import json
import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import PurePath
from typing import Any

import polars as pl

from domain.bar import UTC_MICROSECONDS
from domain.error import UnreadableFile

LINE = re.compile(rb"\d{19} \{")
GZIP = b"\x1f\x8b"


def recognise(data: bytes) -> bool:
    """Say whether a file, packed or not, begins as a recording does."""
    if not data.startswith(GZIP):
        return LINE.match(data) is not None
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(data)) as packed:
            return LINE.match(packed.read(32)) is not None
    except (OSError, EOFError):
        return False


def read(path: PurePath, data: bytes) -> list[pl.DataFrame]:
    """Return the trades and the quotes of a recording, each with symbol, event_at, received and its own columns.

    Raises UnreadableFile, naming the line, for what is no message.
    """
    try:
        text = gzip.decompress(data) if data.startswith(GZIP) else data
    except (OSError, EOFError) as problem:
        raise UnreadableFile(f"{path} is a damaged gzip file of {len(data)} bytes: {problem}") from None
    messages = list(_messages(path, text))
    trades = [_trade(received, told) for received, stream, told in messages if stream.endswith("@trade")]
    quotes = [_quote(received, told) for received, stream, told in messages if stream.endswith("@bookTicker")]
    tables = [_table(rows) for rows in (trades, quotes) if rows]
    if len(tables) < 2:
        return tables
    behind: timedelta = (tables[0]["event_at"] - tables[0]["received"]).max()  # type: ignore[assignment]
    return [tables[0], tables[1].with_columns(pl.col("event_at", "received") + max(behind, timedelta(0)))]


def _messages(path: PurePath, text: bytes) -> Iterator[tuple[int, str, dict[str, Any]]]:
    for number, line in enumerate(text.splitlines(), 1):
        received, _, message = line.partition(b" ")
        try:
            told = json.loads(message)
            yield int(received), str(told.get("stream", "")), told.get("data", {})
        except (ValueError, AttributeError):
            raise UnreadableFile(f"{path}, line {number}: {line[:80]!r} is not a time and a message") from None


def _trade(received: int, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": told["s"], "event_at": told["T"] * 1000, "received": received // 1000, "price": float(told["p"]),
        "size": float(told["q"]), "side": "sell" if told["m"] else "buy", "trade_id": str(told["t"]),
    }  # fmt: skip


def _quote(received: int, told: dict[str, Any]) -> dict[str, Any]:
    return {
        "symbol": told["s"], "event_at": received // 1000, "received": received // 1000, "sequence": told["u"],
        "bid": float(told["b"]), "bid_size": float(told["B"]), "ask": float(told["a"]), "ask_size": float(told["A"]),
    }  # fmt: skip


def _table(rows: list[dict[str, Any]]) -> pl.DataFrame:
    moments = pl.col("event_at", "received").cast(pl.Datetime("us")).dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS)
    return pl.DataFrame(rows).with_columns(moments)
