"""Bars for tests of the store."""

from datetime import UTC, datetime, timedelta

import polars as pl

from domain.bar import BAR_SCHEMA

START = datetime(2024, 1, 1, tzinfo=UTC)
HOUR = timedelta(hours=1)


def bar(symbol: str, hour: int, close: float | None = 1.0, late: int = 0, market: str = "m", **others: object) -> dict[str, object]:
    """Return one hourly bar, known `late` hours after its close."""
    opened, closed = START + hour * HOUR, START + (hour + 1) * HOUR
    prices = {"open": close, "high": close, "low": close, "close": close, "volume": 5.0, "vwap": None, "trades": None, "flags": 0}
    row = {"market": market, "symbol": symbol, "timeframe": "1h", "opened_at": opened, "event_at": closed}
    return {**row, "known_at": closed + late * HOUR, **prices, **others}


def table(*rows: dict[str, object]) -> pl.DataFrame:
    """Return bars as a frame."""
    return pl.DataFrame(list(rows), schema=BAR_SCHEMA)


def many(count: int) -> pl.DataFrame:
    """Return that many bars of ten symbols."""
    return table(*(bar(f"S{i % 10}", i // 10, 1.0 + i) for i in range(count)))
