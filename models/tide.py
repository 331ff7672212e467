"""Tide: the market's own move, which a ranking of its symbols cannot see.

The mean return of a row is regressed on the mean past return of the row. A market has few independent moves, so the slope is shrunk
toward zero by its own uncertainty, to nothing where its HAC t is below 1.
"""

import numpy as np

from domain.panel import FloatArray
from models import metrics
from models.baseline import PAST_RETURN
from models.contract import BoolArray, Float32Array

PAST_BARS = 20
#: Past moves beyond this many volatilities say no more than this.
CLIP_SIGMA = 3.0


def past(features: Float32Array, names: tuple[str, ...], scale: FloatArray) -> FloatArray:
    """Return [T] the row's mean past return in volatilities of its median symbol; 0 where nothing of it is known."""
    if PAST_RETURN not in names:
        return np.zeros(len(scale))
    moved = features[..., names.index(PAST_RETURN)].astype(np.float64)
    known = np.isfinite(moved) & (scale > 0.0)
    count = known.sum(axis=1)
    total = np.where(known, moved, 0.0).sum(axis=1)
    middle = metrics.row_median(np.where(known, scale, np.nan))
    mean = np.divide(total, count * middle * np.sqrt(PAST_BARS), out=np.zeros(len(scale)), where=count > 0)
    clipped: FloatArray = np.clip(mean, -CLIP_SIGMA, CLIP_SIGMA)
    return clipped


def slope(past_moves: FloatArray, outcome: FloatArray, known: BoolArray, horizon: int) -> float:
    """Return the shrunk slope of the row mean of `outcome` [T, S] on `past_moves` [T]; 0 where too little is known."""
    rows = known.any(axis=1) & (past_moves != 0.0)
    if rows.sum() <= 2 * horizon:
        return 0.0
    moves = np.where(known, outcome, 0.0).sum(axis=1)[rows] / known.sum(axis=1)[rows]
    products = past_moves[rows] * moves
    return metrics.certainty(products, horizon) * float(products.sum() / (past_moves[rows] ** 2).sum())
