"""Made-up markets that features are measured on."""

import numpy as np

from domain.panel import COVARIATES, PRICES, Panel

SYMBOLS, BARS = 500, 2520
SEED = 5


def market(bars: int = BARS, symbols: int = SYMBOLS, seed: int = 1) -> Panel:
    """Return a random walk without gaps."""
    random = np.random.default_rng(seed)
    close = 100.0 * np.exp(np.cumsum(random.normal(0.0, 0.015, (bars, symbols)), axis=0))
    opening = close * np.exp(random.normal(0.0, 0.005, close.shape))
    high = np.maximum(opening, close) * np.exp(np.abs(random.normal(0.0, 0.006, close.shape)))
    low = np.minimum(opening, close) * np.exp(-np.abs(random.normal(0.0, 0.006, close.shape)))
    volume = np.round(np.exp(random.normal(13.0, 0.6, close.shape)))
    at = np.datetime64("2015-01-02T14:30", "us") + np.arange(bars) * np.timedelta64(1, "D")
    names = tuple(f"S{i:03d}" for i in range(symbols))
    return Panel("benchmark", "1d", names, at, at + np.timedelta64(390, "m"), opening, high, low, close, volume)


def known(made: Panel) -> Panel:
    """Return the panel with every covariate drawn at random where it has none, a tenth of them unknown."""
    draw = np.random.default_rng(SEED)
    shape = made.close.shape
    drawn = {name: np.where(draw.random(shape) < 0.1, np.nan, draw.random(shape)) for name in COVARIATES}
    drawn |= {"sector": np.tile(draw.integers(0, 5, shape[1]).astype(float), (shape[0], 1)), "vwap": made.close * 1.001}
    columns = {name: np.ascontiguousarray(getattr(made, name)) for name in PRICES}
    return Panel(
        made.market, made.timeframe, made.symbols, made.opened_at, made.event_at, **columns, covariates=drawn | {**made.covariates}
    )


def gappy(made: Panel, share: float) -> Panel:
    """Return the panel without a share of its bars, drawn at random; every third symbol begins late, every fourth ends early."""
    draw = np.random.default_rng(SEED)
    missing = draw.random(made.close.shape) < share
    half = made.bars // 2
    for s in range(0, len(made.symbols), 3):
        missing[: draw.integers(1, half), s] = True
    for s in range(1, len(made.symbols), 4):
        missing[draw.integers(half, made.bars) :, s] = True
    columns = {name: np.where(missing, np.nan, getattr(made, name)) for name in PRICES}
    covariates = {name: np.where(missing, np.nan, values) for name, values in made.covariates.items()}
    return Panel(made.market, made.timeframe, made.symbols, made.opened_at, made.event_at, **columns, covariates=covariates)
