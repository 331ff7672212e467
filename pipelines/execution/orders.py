"""Orders: what is sent, under names that make sending twice the same as sending once."""

import hashlib
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl

from domain.order import NEXT_OPEN, Order, Terms
from domain.panel import FloatArray
from pipelines.execution import fills

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
#: What the digest covers, in this order. Everything else about an order follows from it.
CANONICAL = ("decided_at", "symbol", "quantity", "reference_price")


def moment(at: np.datetime64) -> datetime:
    """Return a panel's time as an aware datetime."""
    return EPOCH + timedelta(microseconds=microseconds(at))


def microseconds(at: np.datetime64) -> int:
    """Return a panel's time as microseconds since 1970 UTC."""
    return int(at.astype("datetime64[us]").astype(np.int64))


def prefix(market: str, model_version: str, decided_at: np.datetime64) -> str:
    """Return what the client order ids of one decision have in common: market, model version and the close that was seen."""
    return f"{market}:{model_version}:{moment(decided_at):%Y-%m-%dT%H:%M:%S}:"


def intents(
    market: str, model_version: str, decided_at: np.datetime64, symbols: Sequence[str], quantity: FloatArray, mark: FloatArray,
    terms: Terms = NEXT_OPEN,
) -> list[Order]:  # fmt: skip
    """Return the orders of one bar, in the order of the symbols; `quantity` and `mark` are [S], 0 sends nothing."""
    start, at, rows = prefix(market, model_version, decided_at), moment(decided_at), np.flatnonzero(quantity)
    return [
        Order(start + symbols[s], market, symbols[s], size, at, model_version, price, terms)
        for s, size, price in zip(rows.tolist(), quantity[rows].tolist(), mark[rows].tolist(), strict=True)
    ]


def exact(quantity: float, lot: Decimal) -> Decimal:
    """Return a signed quantity in whole lots, as it goes over the wire: 0.30000000000000004 of lots of 0.1 is 0.3."""
    unit = float(lot)
    return Decimal(round(fills.whole_lots(quantity, unit) / unit)) * lot


def digest(table: pl.DataFrame) -> str:
    """Return the SHA-256 over the orders sent, one line each in the order decided; equal only if every bit is.

    `table` has the columns of CANONICAL at least, sorted by decision time and symbol; rows of quantity 0 were never sent.
    """
    sent = table.filter(pl.col("quantity") != 0.0).select(CANONICAL)
    times = sent["decided_at"].dt.timestamp("us").to_list()
    rows = zip(times, *(sent[name].to_list() for name in CANONICAL[1:]), strict=True)
    lines = [f"{at} {symbol} {quantity.hex()} {price.hex()}\n" for at, symbol, quantity, price in rows]
    return hashlib.sha256("".join(lines).encode()).hexdigest()
