"""Paths: the same model judged on many histories made of the one there is, by combinatorial purged cross-validation.

Every path forecasts each row once, by a model that had not seen it, but that may have learned from what came later: paths tell how
much of a result is the luck of one history, not what could have been earned. How often the best of several configurations is below
the middle on rows that did not choose it is the probability of backtest overfitting.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from domain.forecast import LEVELS
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from features import labels
from models import metrics, overfitting, splits
from models.contract import Dataset
from pipelines.model import evaluation, training

#: Blocks of rows, half of which choose; 252 choices.
BLOCKS = 10


@dataclass(frozen=True)
class Paths:
    """What came of every path."""

    forecasts: FloatArray
    """[P, T, S, Q] out-of-sample quantiles of log returns."""
    rank_ic: FloatArray
    """[P] mean rank IC."""
    rank_ic_t: FloatArray
    """[P] its HAC t."""


def walk(dataset: Dataset, params: Params, market: Market, name: str) -> Paths:
    """Forecast every row on every path by family `name`; raise DataError for too little history.

    All C(groups, held) choices of `params.evaluation.held` of `groups` contiguous groups are tested once, by a model fitted to the
    rest, purged and embargoed on both sides: C(groups - 1, held - 1) paths. Lopez de Prado 2018, AFML, ch. 12.
    """
    chosen = params.evaluation
    purge = labels.known_after(market.horizon)
    made = splits.combinatorial(dataset.bars, chosen.groups, chosen.held, purge, params.training.embargo_bars)
    parts = [training.walk(dataset, params, market, [fold], name)[0] for fold in made.folds]
    forecasts = np.full((len(made.paths), *dataset.forward.shape, len(LEVELS)), math.nan)
    for path, suppliers in enumerate(made.paths):
        for group, fold in enumerate(suppliers):
            rows = slice(made.edges[group], made.edges[group + 1])
            forecasts[path, rows] = parts[fold][rows]
    series = [evaluation.ranking(each, dataset) for each in forecasts]
    return Paths(
        forecasts,
        np.array([metrics.mean(each) for each in series]),
        np.array([metrics.overlap_t(each, dataset.horizon) for each in series]),
    )


def overfitted(dataset: Dataset, candidates: Mapping[str, FloatArray]) -> tuple[float, int]:
    """Return the probability of backtest overfitting in choosing among candidates by their rank IC, and how many there were.

    `candidates` are [T, S, Q] forecasts by name; those that rank nothing are none. NaN where fewer than two are left, or too few
    rows. Bailey, Borwein, Lopez de Prado and Zhu 2017, J. Computational Finance 20(4).
    """
    series = [evaluation.ranking(each, dataset) for each in candidates.values()]
    held = [each for each in series if np.isfinite(each).any()]
    if len(held) < 2:
        return math.nan, len(held)
    stacked = np.stack(held, axis=1)
    if np.isfinite(stacked).all(axis=1).sum() < 2 * BLOCKS:
        return math.nan, len(held)
    return overfitting.symmetric(stacked, BLOCKS).pbo, len(held)
