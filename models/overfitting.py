"""Overfitting: how often the configuration that was best on one half of history is below the middle on the other half."""

import itertools
import math
from dataclasses import dataclass

import numpy as np

from domain.error import DataError
from domain.panel import FloatArray
from models.contract import BoolArray, IntArray

#: Variation below this share of the mean square is rounding: a series that never varies has a Sharpe ratio of 0.
VARIED_MIN = 1e-12


@dataclass(frozen=True)
class Overfitting:
    """What combinatorially symmetric cross-validation found, a choice of half the blocks at a time."""

    pbo: float
    """Probability of backtest overfitting: share of choices whose best configuration ranks at or below the middle elsewhere."""
    logits: FloatArray
    """[C] log(w / (1 - w)), w the rank elsewhere, over N + 1, of the configuration best inside; at most 0 is overfitted."""
    inside: FloatArray
    """[C] Sharpe ratio of one row, on the blocks chosen, of the configuration that was best there."""
    outside: FloatArray
    """[C] Sharpe ratio of the same configuration on the other blocks."""
    slope: float
    """Of `outside` on `inside` by least squares: performance kept for each unit of performance selected; NaN for equal ones."""
    loss: float
    """Probability of loss: share of choices with a negative Sharpe ratio outside."""


def symmetric(returns: FloatArray, blocks: int = 16) -> Overfitting:
    """Return how returns [T, N] of N configurations overfit, by all C(blocks, blocks / 2) halves of `blocks` contiguous blocks.

    The statistic is `metrics.sharpe` of a row. Rows where any configuration's return is unknown are dropped, so that all are ranked
    on the same ones. The Sharpe ratio of any union of blocks follows from their counts, sums and sums of squares; arrays of [C, N]
    are held, 12 870 choices for 16 blocks.

    Raises DataError for an odd number of blocks, fewer than two configurations, or blocks of fewer than two rows.
    Bailey, Borwein, Lopez de Prado and Zhu 2017, The Probability of Backtest Overfitting, J. Computational Finance 20(4).
    """
    known = returns[np.isfinite(returns).all(axis=1)]
    _refuse(known, blocks)
    starts = np.linspace(0, len(known), blocks + 1).astype(np.int64)
    chosen = _halves(blocks)
    measured = _sharpe(known, starts, chosen), _sharpe(known, starts, ~chosen)
    best = measured[0].argmax(axis=1)[:, None]
    inside, outside = (np.take_along_axis(each, best, axis=1)[:, 0] for each in measured)
    share = _rank(measured[1], outside) / (known.shape[1] + 1.0)
    logits = np.log(share / (1.0 - share))
    return Overfitting(
        float(np.mean(logits <= 0.0)), logits, inside, outside, _slope(inside, outside), float(np.mean(outside < 0.0))
    )


def _refuse(known: FloatArray, blocks: int) -> None:
    rows, configurations = known.shape
    if blocks < 2 or blocks % 2:
        raise DataError(f"overfitting was asked of {blocks} blocks, but halves need an even number of two or more")
    if configurations < 2:
        raise DataError(f"overfitting was asked of {configurations} configurations, but a choice needs two or more")
    if rows < 2 * blocks:
        raise DataError(f"overfitting in {blocks} blocks needs {2 * blocks} rows known to all configurations, but {rows} are")


def _halves(blocks: int) -> BoolArray:
    """Return [C, blocks] true for the blocks of each choice of half of them."""
    choices = np.array(list(itertools.combinations(range(blocks), blocks // 2)), dtype=np.int64)
    chosen = np.zeros((len(choices), blocks), dtype=np.bool_)
    np.put_along_axis(chosen, choices, values=True, axis=1)
    return chosen


def _sharpe(returns: FloatArray, starts: IntArray, chosen: BoolArray) -> FloatArray:
    """Return [C, N] the Sharpe ratio of each configuration over each union of chosen blocks; 0 where nothing varies."""
    weight = chosen.astype(np.float64)
    rows = (weight @ np.diff(starts))[:, None]
    mean, square = (weight @ np.add.reduceat(each, starts[:-1], axis=0) / rows for each in (returns, returns**2))
    variance = square - mean**2
    varied = variance > VARIED_MIN * square
    deviation = np.sqrt(np.where(varied, variance * rows / (rows - 1.0), 1.0))
    return np.where(varied, mean / deviation, 0.0)


def _rank(values: FloatArray, picked: FloatArray) -> FloatArray:
    """Return [C] the rank of `picked` among `values` [C, N], 1 the lowest, ties getting their mean."""
    below, equal = ((compare(values, picked[:, None])).sum(axis=1) for compare in (np.less, np.equal))
    return np.asarray(below + (equal + 1.0) / 2.0)


def _slope(first: FloatArray, second: FloatArray) -> float:
    centred = first - first.mean()
    total = float(centred @ centred)
    return float(centred @ second) / total if total > 0.0 else math.nan
