"""Ticks: the single trades and quotes of files, as rows of the tables `trades` and `quotes`.

A file is understood as bars are (`contents`), so that every format and clock that is known there is known here; what bars have no
use for is read beside it: who started a trade, its id, the sizes of a quote, and when it was received.

A receiver cannot hear a print before it happened. Where its clock says so, it runs behind the exchange's, and the whole recording
is moved forward by as much as the print that seems earliest; `known_at` is then never before `event_at`.
"""

import os
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path, PurePath

import polars as pl

from domain.bar import UTC_MICROSECONDS
from domain.error import UnreadableFile
from domain.market import Market
from pipelines.data.sources.files import columns, contents, numbers, recording, stamps, symbols, timing
from pipelines.data.sources.files.columns import NotBars
from pipelines.data.sources.files.table import Table
from pipelines.store import TABLES

#: Names of columns once lowered and stripped of everything but letters and digits; the first that a file has is taken.
NAMES: dict[str, tuple[str, ...]] = {
    "received": ("recvts", "receivedat", "localtimestamp", "localts", "receivets"),
    "trade_id": ("tradeid", "id", "tid", "aggtradeid"),
    "side": ("side", "aggressor", "takerside", "isbuyermaker"),
    "sequence": ("updateid", "sequence", "seq"),
    "bid_size": ("bidsize", "bidqty", "bidamount", "bidvolume"),
    "ask_size": ("asksize", "askqty", "askamount", "askvolume"),
    "exchange": ("exchange", "venue"),
    "conditions": ("conditions", "condition"),
}
#: How files write who started a trade; Binance says whether the buyer was waiting.
SIDES = {"buy": "buy", "b": "buy", "bid": "buy", "false": "buy", "sell": "sell", "s": "sell", "ask": "sell", "true": "sell"}
#: The tables' columns: a data room may ask the store for them.
KINDS = {name: TABLES[name].schema for name in ("trades", "quotes")}


@dataclass(frozen=True)
class Ticks:
    """What files hold of a market's ticks."""

    trades: pl.DataFrame
    """Rows of the table `trades`, in the files' order; possibly none."""
    quotes: pl.DataFrame
    """Rows of the table `quotes`, likewise."""


def read(path: Path, market: Market, publication_delay_s: float = 0.0) -> Ticks | None:
    """Return the ticks of one file, or of all files of a folder; None when it holds none, or the first of them holds bars.

    `known_at` is when a print was received, else its time plus the delay. Prints without an id get one from their time and their
    place in it, so that a file that is read again, or overlaps another, names the same print. Raises UnreadableFile.
    """
    # The folders above may name the symbol.
    path = Path(os.path.abspath(path))  # noqa: PTH100  # resolving would follow links to files of other names
    files = sorted(file for file in path.rglob("*") if file.is_file() and contents.wanted(file.relative_to(path)))
    parts: list[pl.DataFrame] = []
    for file in files if path.is_dir() else [path]:
        found = _file(file, market, publication_delay_s)
        # A folder of bars is not read to its end to learn that it has no ticks.
        if found == [] and not parts:
            return None
        parts += found or []
    if not parts:
        return None
    trades = [part for part in parts if "price" in part.columns]
    quotes = [part for part in parts if "bid" in part.columns]
    return Ticks(_joined(trades, market, "trades"), _joined(quotes, market, "quotes"))


def _file(path: Path, market: Market, publication_delay_s: float) -> list[pl.DataFrame] | None:
    """Return the tables of ticks of one file, none where it holds bars, None where it holds neither."""
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise UnreadableFile(f"{path} was to be read as ticks, but the system says: {problem.strerror}") from None
    if recording.recognise(data):
        return [_known(rows, publication_delay_s) for rows in recording.read(path, data)]
    try:
        tables = contents.read(path, data, market)
    except NotBars:
        return None
    return [_known(_rows(table, market), publication_delay_s) for table in tables if table.ticks]


def _rows(table: Table, market: Market) -> pl.DataFrame:
    """Return symbol, event_at, received, and what the file has of the columns of `trades` or `quotes`."""
    told = table.told
    assert told is not None  # noqa: S101  # ticks have it
    named = table.rows.with_columns(pl.col("symbol").fill_null(symbols.of(table.path, market)))
    timed = timing.understand(replace(table, rows=numbers.decimals(named, market)), market).rows
    lines = "row " + pl.int_range(1, told.height + 1, eager=True).cast(pl.String)
    part = columns.roles(told.columns)
    known = {columns.plain(name): name for name in reversed(told.columns)}
    found = {role: next((known[alias] for alias in aliases if alias in known), None) for role, aliases in NAMES.items()}
    extra = [_read(role, told[name], table.path, lines) for role, name in found.items() if name is not None]
    if "price" in part and "size" in part:
        prices = [timed["close"].alias("price"), timed["volume"].alias("size")]
    else:
        prices = _quoted(table, [told[part[side]] for side in ("bid", "ask")], timed["close"], lines)
    rows = pl.DataFrame([timed["symbol"], timed["opened_at"].alias("event_at"), *prices, *extra])
    return rows if "received" in rows.columns else rows.with_columns(received=pl.lit(None, UTC_MICROSECONDS))


def _quoted(table: Table, sides: list[pl.Series], middle: pl.Series, lines: pl.Series) -> list[pl.Series]:
    """Return bid and ask in the unit of the middle: LEAN writes stocks in ten-thousandths of a dollar, brokers points."""
    comma = numbers.decimal_comma(sides, usual=table.layout.comma)
    bid, ask = (numbers.parse(side, table.path, lines, comma=comma) for side in sides)
    unit = ((bid + ask) / 2 / middle).round().fill_nan(1.0).fill_null(1.0)
    return [(bid / unit).alias("bid"), (ask / unit).alias("ask")]


def _read(role: str, column: pl.Series, path: PurePath, lines: pl.Series) -> pl.Series:
    """Return one of the columns that only ticks have."""
    if role == "received":
        parsed = stamps.parse(column, path, lines)
        moments = parsed["utc"] if "utc" in parsed.columns else parsed["wall"].dt.replace_time_zone("UTC")
        return moments.alias(role)
    if role == "side":
        text = column.cast(pl.String).str.strip_chars().str.to_lowercase()
        return text.replace_strict(SIDES, default=None, return_dtype=pl.String).alias(role)
    if role == "sequence":
        return column.cast(pl.Int64, strict=False).alias(role)
    if role in {"bid_size", "ask_size"}:
        return numbers.parse(column, path, lines).alias(role)
    return column.cast(pl.String).str.strip_chars().alias(role)


def _known(rows: pl.DataFrame, publication_delay_s: float) -> pl.DataFrame:
    """Add known_at: the receiver's clock, put right where it runs behind."""
    behind = (pl.col("event_at") - pl.col("received")).max().clip(lower_bound=timedelta(0)).fill_null(timedelta(0))
    published = pl.col("event_at") + timedelta(seconds=publication_delay_s)
    return rows.with_columns(known_at=pl.coalesce(pl.col("received") + behind, published)).drop("received")


def _joined(parts: list[pl.DataFrame], market: Market, table: str) -> pl.DataFrame:
    """Return parts as rows of a table, each with a name of its own: its id, or its place among those of its moment."""
    schema = {name: kind for name, kind in KINDS[table].items() if name != "market"}
    empty = pl.DataFrame(schema=schema)
    full = [
        pl.concat([empty, part.select(name for name in schema if name in part.columns)], how="diagonal_relaxed") for part in parts
    ]
    place = pl.int_range(pl.len()).over("symbol", "event_at")
    own = {"trades": pl.format("#{}", place.cast(pl.String).str.zfill(4)), "quotes": place}[table]
    name = {"trades": "trade_id", "quotes": "sequence"}[table]
    rows = pl.concat([empty, *(part.with_columns(pl.coalesce(name, own).alias(name)) for part in full)], how="vertical_relaxed")
    rows = rows.unique(["symbol", "event_at", name, "known_at"], keep="first", maintain_order=True)
    return rows.with_columns(market=pl.lit(market.name)).select(KINDS[table].names()).cast(KINDS[table])
