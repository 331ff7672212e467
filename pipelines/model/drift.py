"""Drift: how far the newest bars have moved from those that the model learned from.

The population stability index is sum (q - p) ln(q / p) over ten quantile bins of the reference, and one more for what is missing,
so that a feature which stops arriving drifts too. Slow features differ between any two windows: a feature has drifted only when its
index is above the limit plus what windows of the same length inside the reference usually show.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from scipy import stats

from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from features import labels
from models import metrics
from pipelines.model import alarms
from pipelines.model.alarms import Alarm

BINS = 10
#: An empty bin counts as this share: the index stays finite.
SHARE_MIN = 1e-4
#: Of the windows inside the reference, the share that may move further without a feature having drifted.
USUAL = 0.95
SAMPLE = 100_000
FEATURE, FORECAST, RESIDUAL = "feature", "forecast", "residual"
SCHEMA = {
    "series": pl.String,
    "kind": pl.String,
    "psi": pl.Float64,
    "psi_usual": pl.Float64,
    "ks": pl.Float64,
    "ks_p": pl.Float64,
    "missing": pl.Float64,
    "drifted": pl.Boolean,
}

Values = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Drift:
    """What has moved, and what it cost."""

    table: pl.DataFrame
    """One row a series: series, kind, psi, psi_usual, ks, ks_p, missing, drifted; the worst first."""
    share: float
    """Share of features that drifted."""
    skill_reference: float
    """Mean rank IC over the reference, NaN when there was no forecast."""
    skill_recent: float
    skill_p: float
    """One-sided p value of skill not having fallen, HAC; NaN when it cannot be told."""
    alarms: tuple[Alarm, ...] = ()
    """What online detectors raised about the recent bars."""

    def drifted(self, kind: str) -> list[str]:
        """Return the names of the drifted series of one kind, the worst first."""
        return self.table.filter(pl.col("drifted") & (pl.col("kind") == kind))["series"].to_list()


def measure(
    features: npt.NDArray[np.float32],
    names: tuple[str, ...],
    forecasts: FloatArray,
    forward: FloatArray,
    recent_bars: int,
    psi_max: float,
    horizon: int,
) -> Drift:
    """Compare the last `recent_bars` rows with all rows before them.

    `features` [T, S, F]; `forecasts` [T, S, Q], NaN where there was none; `forward` [T, S] realised log returns, NaN where unknown.
    A series starts at its first known value; one with less than `recent_bars` rows of reference has no row in the table.
    """
    median = forecasts[..., MEDIAN]
    # The last outcomes are not known yet, which is not drift.
    known = np.flatnonzero(np.isfinite(forward).any(axis=1))
    residual = (forward - median)[: int(known[-1]) + 1 if len(known) else 0]
    series: list[tuple[str, str, Values]] = [(name, FEATURE, features[..., place]) for place, name in enumerate(names)]
    series += [("median", FORECAST, median), ("outcome minus median", RESIDUAL, residual)]
    started = [(name, kind, _started(values)) for name, kind, values in series]
    rows = [_row(name, kind, values, recent_bars, psi_max) for name, kind, values in started if len(values) >= 2 * recent_bars]
    table = pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("psi", "series", descending=[True, False], nulls_last=True)
    moved = table.filter(pl.col("kind") == FEATURE)["drifted"]
    found = alarms.raised(_record(forecasts, forward), recent_bars, labels.known_after(horizon))
    return Drift(table, float(moved.mean() or 0.0), *_skill(median, forward, recent_bars, horizon), found)  # type: ignore[arg-type]


def _record(forecasts: FloatArray, forward: FloatArray) -> dict[str, FloatArray]:
    """Return [T] what the forecasts were worth, more being worse: rank IC turned around, and pinball loss of the forecast's width.

    The width is that between the outermost quantiles: a market that has become wilder is no error of a forecast that said so.
    """
    width = metrics.row_mean(forecasts[..., -1] - forecasts[..., 0])
    with np.errstate(invalid="ignore", divide="ignore"):
        loss = metrics.pinball_rows(forecasts, forward, LEVELS) / width
    return {alarms.SKILL: -metrics.rank_ic(forecasts[..., MEDIAN], forward), alarms.LOSS: loss}


def _started(values: Values) -> Values:
    """Return the rows from the first that knows anything; warming up is not drift."""
    known = np.isfinite(values).any(axis=1)
    return values[int(np.argmax(known)) :] if known.any() else values[:0]


def _row(name: str, kind: str, values: Values, recent_bars: int, psi_max: float) -> tuple[object, ...]:
    reference, recent = values[:-recent_bars], values[-recent_bars:]
    counts = histogram(values, edges(reference))
    index = psi(counts[:-recent_bars].sum(axis=0), counts[-recent_bars:].sum(axis=0))
    usual = _usual(counts[:-recent_bars], recent_bars)
    distance, chance = ks(reference, recent)
    missing = float(np.isnan(recent).mean()) if recent.size else math.nan
    return name, kind, index, usual, distance, chance, missing, index - usual > psi_max


def edges(reference: Values) -> FloatArray:
    """Return the inner quantile edges of the reference's known values, at most BINS - 1, fewer where values repeat."""
    known = reference[np.isfinite(reference)]
    return np.unique(np.quantile(known, np.linspace(0, 1, BINS + 1)[1:-1])) if len(known) else np.empty(0)


def histogram(values: Values, inner: FloatArray) -> npt.NDArray[np.int64]:
    """Return [T, bins + 1] counts of each row of [T, S] values, the last column counting what is missing."""
    bins = len(inner) + 2
    place = np.where(np.isnan(values), bins - 1, np.searchsorted(inner, values, side="left"))
    flat = place + np.arange(len(values))[:, None] * bins
    return np.bincount(flat.ravel(), minlength=len(values) * bins).reshape(len(values), bins)


def psi(reference: npt.NDArray[np.int64], recent: npt.NDArray[np.int64]) -> float:
    """Return the population stability index of two histograms over the same bins; NaN when either is empty.

    sum (q - p) ln(q / p), the symmetric Kullback-Leibler divergence of Jeffreys 1946; bins under SHARE_MIN count as SHARE_MIN.
    """
    if not reference.sum() or not recent.sum():
        return math.nan
    p, q = (np.maximum(counts / counts.sum(), SHARE_MIN) for counts in (reference, recent))
    return float(np.sum((q - p) * np.log(q / p)))


def ks(reference: Values, recent: Values) -> tuple[float, float]:
    """Return the two-sample Kolmogorov-Smirnov distance and its asymptotic p value; NaN when a side knows fewer than two values.

    Values of one window depend on each other, so the p value is optimistic: it ranks, it does not decide. Long samples are thinned
    evenly to about SAMPLE values.
    """
    samples = [_thinned(values[np.isfinite(values)]) for values in (reference, recent)]
    if min(len(sample) for sample in samples) < 2:
        return math.nan, math.nan
    result = stats.ks_2samp(*samples, method="asymp")
    return float(result.statistic), float(result.pvalue)


def _thinned(values: Values) -> Values:
    return values[:: max(len(values) // SAMPLE, 1)]


def _usual(counts: npt.NDArray[np.int64], recent_bars: int) -> float:
    """Return the index that windows inside the reference exceed with probability 1 - USUAL, each against all the others."""
    total = counts.sum(axis=0)
    windows = [counts[first : first + recent_bars].sum(axis=0) for first in range(0, len(counts) - recent_bars + 1, recent_bars)]
    found = [psi(total - window, window) for window in windows]
    known = [value for value in found if math.isfinite(value)]
    return float(np.quantile(known, USUAL)) if known else 0.0


def _skill(median: FloatArray, forward: FloatArray, recent_bars: int, horizon: int) -> tuple[float, float, float]:
    """Return mean rank IC before and within the recent bars, and the p value of it not having fallen."""
    series = metrics.rank_ic(median, forward)
    parts = [part[np.isfinite(part)] for part in (series[:-recent_bars], series[-recent_bars:])]
    before, now = (metrics.mean(part) for part in parts)
    if min(len(part) for part in parts) < 2:
        return before, now, math.nan
    error = math.sqrt(sum(metrics.hac_variance(part, horizon) / len(part) for part in parts))
    return before, now, float(stats.norm.sf((before - now) / error)) if error > 0 else math.nan
