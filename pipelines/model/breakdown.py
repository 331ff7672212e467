"""Breakdown: what out-of-sample forecasts and an account were worth in each kind of market, and how widely that may spread.

A regime is named by what was known at its row: the market's trend by the mean return of all symbols over the newest outcomes that
had been seen, its wildness by the mean volatility against the median of all rows before.
"""

import math

import numpy as np
import polars as pl

from domain.forecast import LEVELS
from domain.panel import FloatArray
from features import labels
from models import bootstrap, metrics
from models.contract import BoolArray, Dataset

#: Rows whose outcomes tell the trend.
TREND_BARS = 60
#: Fewer rows than this have no figure of their own.
ROWS_MIN = 30
SCHEMA = {
    "regime": pl.String,
    "rows": pl.Int64,
    "rank_ic": pl.Float64,
    "rank_ic_t": pl.Float64,
    "pinball": pl.Float64,
    "sharpe": pl.Float64,
    "return": pl.Float64,
}


def regimes(dataset: Dataset) -> dict[str, BoolArray]:
    """Return [T] the rows of each regime, trend by wildness, then each calendar year; rows before both are known are of none."""
    up, wild = _trend(dataset), _wildness(dataset)
    told = {
        f"{direction}, {mood}": (up * side > 0) & (wild * weather > 0)
        for direction, side in (("rising", 1.0), ("falling", -1.0))
        for mood, weather in (("calm", -1.0), ("wild", 1.0))
    }
    years = dataset.event_at.astype("datetime64[Y]")
    return told | {str(year): years == year for year in np.unique(years)}


def table(dataset: Dataset, ranked: FloatArray, forecasts: FloatArray, returns: FloatArray, bars_a_year: float) -> pl.DataFrame:
    """Return a row a regime that has ROWS_MIN judged rows or more.

    `ranked` [T] rank IC, `forecasts` [T, S, Q], `returns` [T] simple return of the account in each bar, NaN before it was opened.
    `sharpe` is a year's, `return` compounded over the regime's bars.
    """
    loss = metrics.pinball_rows(forecasts, dataset.forward, LEVELS)
    judged = np.isfinite(loss)
    rows = [
        (name, int((held & judged).sum()), *_figures(held & judged, ranked, loss, returns, dataset.horizon, bars_a_year))
        for name, held in regimes(dataset).items()
        if (held & judged).sum() >= ROWS_MIN
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def intervals(ranked: FloatArray, returns: FloatArray, bars_a_year: float, confidence: float, seed: int) -> dict[str, float]:
    """Return stationary-bootstrap intervals: of the mean rank IC, and of the account's yearly Sharpe ratio and compound return.

    Politis and Romano 1994, JASA 89(428); NaN where there are too few rows.
    """
    asked = {
        "rank_ic": (ranked, lambda each: float(np.mean(each))),
        "sharpe": (returns, lambda each: metrics.sharpe(each, bars_a_year)),
        "return": (returns, lambda each: float(np.prod(1.0 + each) - 1.0)),
    }
    found: dict[str, float] = {}
    for name, (series, statistic) in asked.items():
        low, high = math.nan, math.nan
        if np.isfinite(series).sum() >= bootstrap.ROWS_MIN:
            made = bootstrap.interval(series, statistic, confidence=confidence, seed=seed)
            low, high = made.low, made.high
        found |= {f"{name}_boot_low": low, f"{name}_boot_high": high}
    return found


def _figures(
    held: BoolArray, ranked: FloatArray, loss: FloatArray, returns: FloatArray, horizon: int, bars_a_year: float
) -> tuple[float, ...]:
    series, earned = np.where(held, ranked, math.nan), returns[held & np.isfinite(returns)]
    compound = float(np.prod(1.0 + earned) - 1.0) if len(earned) else math.nan
    sharpe = metrics.sharpe(earned, bars_a_year) if len(earned) > 1 else math.nan
    return metrics.mean(series), metrics.overlap_t(series, horizon), metrics.mean(loss[held]), sharpe, compound


def _trend(dataset: Dataset) -> FloatArray:
    """Return [T] the sum of the market's mean forward returns over TREND_BARS rows whose outcome is known; NaN before that."""
    market = np.nan_to_num(metrics.row_mean(dataset.forward))
    total = np.concatenate(([0.0], np.cumsum(market)))
    last = np.arange(dataset.bars) - labels.known_after(dataset.horizon) + 1
    known = last >= TREND_BARS
    return np.where(known, total[np.maximum(last, 0)] - total[np.maximum(last - TREND_BARS, 0)], math.nan)


def _wildness(dataset: Dataset) -> FloatArray:
    """Return [T] how much the market's mean volatility exceeds the median of all rows before; NaN for the first TREND_BARS."""
    volatility = metrics.row_mean(dataset.scale)
    before = pl.Series(volatility).fill_nan(None).shift(1).rolling_median(dataset.bars, min_samples=TREND_BARS).to_numpy()
    return np.asarray(volatility - before, dtype=np.float64)
