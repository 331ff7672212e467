"""Importance: what a model's ranking loses, out of sample, when it is not told the truth about a group of features.

A group is permuted as one, since features that say the same stand in for each other: among the symbols of each row, or over time
where rows are too narrow to rank. Breiman 2001, Machine Learning 45(1); of groups, Gregorutti, Michel and Saint-Pierre 2015,
Computational Statistics and Data Analysis 90.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from domain.forecast import LEVELS
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from features import catalog
from models import metrics
from models.contract import Dataset, Float32Array, IntArray
from pipelines.model import evaluation, training

SCHEMA = {"group": pl.String, "features": pl.Int64, "drop": pl.Float64, "error": pl.Float64}


def families(names: Sequence[str]) -> dict[str, list[int]]:
    """Return the columns of each family of the catalogue, in the catalogue's order."""
    known = {feature.name: feature.family for feature in catalog.CATALOG}
    groups: dict[str, list[int]] = {}
    for column, name in enumerate(names):
        groups.setdefault(known.get(name, name), []).append(column)
    return groups


def permuted(dataset: Dataset, params: Params, market: Market, name: str, groups: Mapping[str, list[int]]) -> pl.DataFrame:
    """Return a row a group: by how much the rank IC falls without it, and the HAC standard error of that; the largest first.

    Family `name` is fitted once, to the newest fold, and forecasts that fold's test rows with each group permuted.
    """
    fold = training.split(dataset, params, market)[-1]
    model = training.fitted(dataset, params, market, fold, name)
    first = max(int(fold.test[0]) - model.context_bars + 1, 0)
    rows = np.arange(first, int(fold.test[-1]) + 1)
    held = dataset.features[rows]

    def ranked(features: Float32Array) -> FloatArray:
        forecasts = np.full((*dataset.forward.shape, len(LEVELS)), math.nan)
        forecasts[fold.test] = model.predict(features, dataset.scale[rows])[fold.test - first]
        return evaluation.ranking(forecasts, dataset)[fold.test]

    whole = ranked(held)
    chance = np.random.default_rng(params.training.seed)
    lost = {group: whole - ranked(_shuffled(held, columns, chance)) for group, columns in groups.items()}
    table = [(group, len(groups[group]), metrics.mean(each), _error(each, dataset.horizon)) for group, each in lost.items()]
    return pl.DataFrame(table, schema=SCHEMA, orient="row").sort("drop", "group", descending=[True, False], nulls_last=True)


def _shuffled(features: Float32Array, columns: Sequence[int], chance: np.random.Generator) -> Float32Array:
    """Return [T, S, F] with some columns, together, of another symbol of the row, or of another row where there is only one."""
    moved, (bars, symbols) = features.copy(), features.shape[:2]
    wide = symbols >= metrics.NAMES_MIN
    order = np.argsort(chance.random((bars, symbols)), axis=1 if wide else 0)
    places: IntArray = order[..., None]
    moved[..., list(columns)] = np.take_along_axis(features[..., list(columns)], places, axis=1 if wide else 0)
    return moved


def _error(series: FloatArray, horizon: int) -> float:
    known = series[np.isfinite(series)]
    variance = metrics.hac_variance(known, metrics.OVERLAP_LAGS * horizon) if len(known) > 1 else math.nan
    return math.sqrt(variance / len(known)) if variance >= 0.0 else math.nan
