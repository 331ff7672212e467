"""Labels: what came after a bar. The only file of the house that looks forward.

A forecast made at the close of row t trades at the open of row t + 1, so every label of row t begins there.
"""

import math

import numpy as np

from domain import cost as costs
from domain.compiled import money, money_routine
from domain.cost import Cost, Rates
from domain.panel import FloatArray, Panel

#: Share of a bar's volume that a labelled trade is assumed to take: what its market impact is priced at.
SHARE = 0.01


def known_after(horizon: int) -> int:
    """Return the rows after t at whose open the label of row t is known."""
    return horizon + 1


def forward(panel: Panel, horizon: int) -> FloatArray:
    """Return log(open[t + 1 + horizon] / open[t + 1]), [T, S]; NaN where either open is missing or still to come."""
    label = np.full(panel.open.shape, np.nan)
    ahead = known_after(horizon)
    if panel.bars > ahead:
        label[:-ahead] = np.log(panel.open[ahead:] / panel.open[1 : panel.bars - horizon])
    return label


def scaled(forward: FloatArray, scale: FloatArray, horizon: int) -> FloatArray:
    """Return the forward return in volatilities of the horizon, [T, S]; NaN where the scale is missing or not positive."""
    sigma = np.where(scale > 0.0, scale, np.nan) * math.sqrt(horizon)
    return np.asarray(forward / sigma, dtype=np.float64)


def net(forward: FloatArray, cost: Cost, scale: FloatArray) -> FloatArray:
    """Return the forward return less a round trip's cost, never past zero: what the better side would have kept, [T, S].

    `scale` is the one-bar volatility that prices market impact, for a trade of SHARE of a bar's volume.
    """
    return _net(forward, scale, cost.rates())


@money_routine
def _net(forward: FloatArray, scale: FloatArray, rates: Rates) -> FloatArray:
    label = np.empty_like(forward)
    for t in range(forward.shape[0]):
        for s in range(forward.shape[1]):
            kept = abs(forward[t, s]) - 2.0 * costs.one_way(rates, SHARE, scale[t, s])
            label[t, s] = math.copysign(kept, forward[t, s]) if kept > 0.0 else 0.0 * kept
    return label


def barrier(panel: Panel, horizon: int, scale: FloatArray, sigma: float) -> FloatArray:
    """Return the log return from open[t + 1] to the first close beyond +-sigma * scale[t] * sqrt(horizon), [T, S].

    Closes of the `horizon` bars from t + 1 on are looked at; where none touches, the label is the forward return
    (triple barrier: Lopez de Prado 2018, Advances in Financial Machine Learning, 3.3). NaN where the entry, the scale or the
    horizon's open is missing, and in the last rows, whose horizon is still to come.
    """
    return _barrier(panel.open, panel.close, scale, horizon, sigma * math.sqrt(horizon))


@money_routine
def _barrier(opening: FloatArray, close: FloatArray, scale: FloatArray, horizon: int, width: float) -> FloatArray:
    label = np.full_like(opening, np.nan)
    for t in range(opening.shape[0] - horizon - 1):
        for s in range(opening.shape[1]):
            if scale[t, s] > 0.0:
                label[t, s] = _touch(opening[:, s], close[:, s], t, horizon, width * scale[t, s])
    return label


@money
def _touch(opening: FloatArray, close: FloatArray, t: int, horizon: int, reach: float) -> float:
    entry = opening[t + 1]
    for bar in range(t + 1, t + 1 + horizon):
        moved = math.log(close[bar] / entry)
        if abs(moved) >= reach:
            return moved
    return math.log(opening[t + 1 + horizon] / entry)
