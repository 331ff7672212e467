"""Qlib's baseline: LightGBM on the Alpha158 features, with the settings of Qlib's published benchmark.

The features are this house's Alpha158 family, which reimplements Qlib's published formulas. As in Qlib's
`workflow_config_lightgbm_Alpha158.yaml` the label is normalised across symbols in each row, the loss is the squared error, and
training stops when the newest rows have not improved for 50 rounds.
"""

import lightgbm
import numpy as np

from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from models.contract import Dataset, believable
from models.metrics import row_demean
from models.splits import Fold, tail

SETTINGS = {
    "objective": "mse",
    "colsample_bytree": 0.8879,
    "learning_rate": 0.2,
    "subsample": 0.8789,
    "lambda_l1": 205.6999,
    "lambda_l2": 580.9768,
    "max_depth": 8,
    "num_leaves": 210,
    "num_threads": 1,
    "verbosity": -1,
    "seed": 7,
    "deterministic": True,
}
ROUNDS, STOP = 1000, 50
VALID_SHARE = 0.15


def walk(dataset: Dataset, folds: list[Fold], gap: tuple[int, int]) -> FloatArray:
    """Return [T, S, Q] forecasts of each fold's test rows: the score in every quantile, for it says nothing of the width.

    The score is in standard deviations of the row; times the symbol's volatility it is taken for a return.
    """
    forecasts = np.full((*dataset.forward.shape, len(LEVELS)), np.nan)
    target = _normalised(dataset.forward)
    for fold in folds:
        inner = tail(fold.train, VALID_SHARE, *gap)
        train, valid = (_samples(dataset, target, rows) for rows in (inner.train, inner.test))
        data = lightgbm.Dataset(train[0], train[1])
        stop = lightgbm.early_stopping(STOP, verbose=False)
        booster = lightgbm.train(SETTINGS, data, ROUNDS, valid_sets=[data.create_valid(valid[0], valid[1])], callbacks=[stop])
        rows = dataset.features[fold.test]
        score = np.asarray(booster.predict(rows.reshape(-1, rows.shape[-1]))).reshape(rows.shape[:2])
        known = believable(rows, dataset.scale[fold.test])
        forecasts[fold.test] = np.where(known, score * dataset.scale[fold.test] * np.sqrt(dataset.horizon), np.nan)[..., None]
    return forecasts


def _normalised(forward: FloatArray) -> FloatArray:
    centred = row_demean(forward)
    with np.errstate(invalid="ignore"):
        return np.asarray(centred / np.nanstd(np.where(np.isfinite(forward).any(axis=1)[:, None], centred, 0.0), axis=1)[:, None])


def _samples(dataset: Dataset, target: FloatArray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    features, label = dataset.features[rows], target[rows]
    known = believable(features, dataset.scale[rows]) & np.isfinite(label)
    return features[known], label[known]


def spread(forecasts: FloatArray, width: FloatArray) -> FloatArray:
    """Return [T, S, Q] the scores with another forecast's distances between quantiles, so that both can be traded alike."""
    return np.asarray(forecasts[..., MEDIAN, None] + width - width[..., MEDIAN, None])
