"""Panels for the tests of features: random ones, and the real one where it is at hand."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain.panel import COVARIATES, FloatArray, Panel

DATA = Path(os.environ.get("NIGHTSHIFT_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


def from_prices(prices: dict[str, FloatArray]) -> Panel:
    """Return a daily panel over the five columns."""
    bars, symbols = prices["close"].shape
    at = np.datetime64("2015-01-02T14:30", "us") + np.arange(bars) * np.timedelta64(1, "D")
    names = tuple(f"S{i:03d}" for i in range(symbols))
    columns = {name: np.ascontiguousarray(values, dtype=np.float64) for name, values in prices.items()}
    return Panel("test", "1d", names, at, at + np.timedelta64(390, "m"), **columns)


def random(bars: int, symbols: int, seed: int = 0, gaps: float = 0.0) -> Panel:
    """Return random walks; a share `gaps` of all bars is missing, some symbols begin late and some end early."""
    draw = np.random.default_rng(seed)
    shape = (bars, symbols)
    close = 50.0 * np.exp(np.cumsum(draw.normal(0.0, 0.02, shape), axis=0))
    opening = close * np.exp(draw.normal(0.0, 0.01, shape))
    high = np.maximum(opening, close) * np.exp(np.abs(draw.normal(0.0, 0.01, shape)))
    low = np.minimum(opening, close) * np.exp(-np.abs(draw.normal(0.0, 0.01, shape)))
    volume = np.round(np.exp(draw.normal(9.0, 1.0, shape)))
    missing = draw.random(shape) < gaps
    if gaps:
        for s in range(0, symbols, 3):
            missing[: draw.integers(0, bars // 2), s] = True
        for s in range(1, symbols, 4):
            missing[draw.integers(bars // 2, bars) :, s] = True
    prices = {"open": opening, "high": high, "low": low, "close": close, "volume": volume}
    for values in prices.values():
        values[missing] = np.nan
    return from_prices(prices)


def covered(panel: Panel, seed: int = 0) -> Panel:
    """Return the panel with random positive values for every covariate, sessions of one bar, missing where the bar is."""
    draw = np.random.default_rng(seed)
    values = {name: np.exp(draw.normal(0.0, 0.5, panel.close.shape)) for name in COVARIATES}
    values |= {"since_open": np.full(panel.close.shape, 390.0), "until_close": np.zeros(panel.close.shape)}
    missing = {name: np.where(panel.present, column, np.nan) for name, column in values.items()}
    return replace(panel, covariates=missing)


def real(symbols: int, bars: int | None = None) -> Panel:
    """Return real daily stocks, those with the most gaps first; skip the test where the data is not at hand."""
    path = DATA / "equities_daily_sp500.parquet"
    if not path.exists():
        pytest.skip(f"real data is not at hand: {path} does not exist (set NIGHTSHIFT_DATA)")
    table = pl.read_parquet(path).drop_nulls(["open", "high", "low", "close", "volume"]).sort("ts", "symbol")
    kept = table.group_by("symbol").len().sort("len", "symbol")["symbol"].to_list()
    chosen = sorted(kept[: symbols // 2] + kept[len(kept) - (symbols - symbols // 2) :])
    days = table["ts"].unique().sort().to_list()
    row, column = {day: i for i, day in enumerate(days)}, {name: i for i, name in enumerate(chosen)}
    prices = {name: np.full((len(days), len(chosen)), np.nan) for name in ("open", "high", "low", "close", "volume")}
    part = table.filter(pl.col("symbol").is_in(chosen))
    rows = [row[day] for day in part["ts"].to_list()]
    columns = [column[name] for name in part["symbol"].to_list()]
    for name, values in prices.items():
        values[rows, columns] = part[name].to_numpy()
    return from_prices({name: values[:bars] for name, values in prices.items()})


def mask(panel: Panel, missing: np.ndarray) -> Panel:
    """Return the panel without the bars that `missing` marks."""
    prices = {name: np.where(missing, np.nan, getattr(panel, name)) for name in ("open", "high", "low", "close", "volume")}
    return from_prices(prices)


def columns(panel: Panel, chosen: slice) -> Panel:
    """Return some symbols of the panel."""
    return from_prices({name: getattr(panel, name)[:, chosen] for name in ("open", "high", "low", "close", "volume")})
