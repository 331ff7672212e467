"""Clean ticks to plant defects into: a seeded walk of quotes and trades between them, with nothing wrong."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from pipelines.store import TABLES

START = datetime(2024, 8, 8, 12, tzinfo=UTC)


def rows(table: str, **columns: object) -> pl.DataFrame:
    """Return rows of a table, of a market and a symbol, columns that are not given null."""
    schema = TABLES[table].schema
    frame = pl.DataFrame(columns)
    constant = {"market": "crypto", "symbol": "BTCUSDT"}
    absent = [pl.lit(constant.get(name), kind).alias(name) for name, kind in schema.items() if name not in frame.columns]
    return frame.with_columns(absent).select(schema.names()).cast(schema)


def quotes(count: int = 400, seed: int = 3) -> pl.DataFrame:
    """Return quotes a second apart, with spreads of one to three ticks."""
    random = np.random.default_rng(seed)
    at = [START + timedelta(seconds=place) for place in range(count)]
    middle = 60_000 + np.cumsum(random.normal(0, 2, count)).round(1)
    spread = random.integers(1, 4, count) * 0.1
    return rows(
        "quotes", event_at=at, known_at=at, sequence=range(count), bid=middle - spread, ask=middle + spread,
        bid_size=random.lognormal(0, 1, count), ask_size=random.lognormal(0, 1, count),
    )  # fmt: skip


def trades(quoted: pl.DataFrame, seed: int = 4) -> pl.DataFrame:
    """Return a trade at bid or ask of each quote, half a second after it."""
    random = np.random.default_rng(seed)
    bought = random.random(len(quoted)) < 0.5
    price = np.where(bought, quoted["ask"].to_numpy(), quoted["bid"].to_numpy())
    at = (quoted["event_at"] + timedelta(milliseconds=500)).to_list()
    return rows(
        "trades", event_at=at, known_at=at, price=price, size=random.lognormal(0, 1, len(quoted)),
        side=np.where(bought, "buy", "sell"), trade_id=[str(place) for place in range(len(quoted))],
    )  # fmt: skip


def change(frame: pl.DataFrame, row: int, **values: object) -> pl.DataFrame:
    """Return the frame with other values in one row."""
    here = pl.int_range(pl.len()) == row
    return frame.with_columns(
        pl.when(here).then(pl.lit(value, frame.schema[name])).otherwise(name).alias(name) for name, value in values.items()
    )
