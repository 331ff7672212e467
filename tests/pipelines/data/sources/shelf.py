"""The shelf: markets to import into, and the real files that stand on it."""

import os
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market

FREE = Cost(fee_bps=0, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)
ROOT = Path(__file__).parents[4]


def market(asset_class: str, calendar: str, timeframe: str, symbols: tuple[str, ...] = ()) -> Market:
    """Return a market of that class, calendar and bar length."""
    return Market("shelf", AssetClass(asset_class), calendar, timeframe, "files", 1, FREE, Instrument(), symbols)


def equity(timeframe: str, calendar: str = "XNYS") -> Market:
    """Return a stock market."""
    return market("equity", calendar, timeframe)


def extended(timeframe: str) -> Market:
    """Return a stock market with its pre-market and post-market."""
    return replace(equity(timeframe), hours="extended")


def fx(timeframe: str) -> Market:
    """Return a currency market."""
    return market("fx", "24/5", timeframe)


def crypto(timeframe: str) -> Market:
    """Return a market around the clock."""
    return market("crypto", "24/7", timeframe)


def real(name: str) -> Path:
    """Return a file or folder of the shared data; skip the test when it is not there."""
    path = Path(os.environ.get("NIGHTSHIFT_DATA", ROOT / "../shared/data")) / name
    if not path.exists():
        pytest.skip(f"the real data ({name}) is not on this machine: set NIGHTSHIFT_DATA")
    return path


def at(text: str) -> datetime:
    """Return a moment written in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bar(bars: pl.DataFrame, row: int) -> tuple[object, ...]:
    """Return symbol, open and close time, prices and volume of one row, as the tests write them down."""
    return bars.select("symbol", "opened_at", "event_at", "open", "high", "low", "close", "volume").row(row)
