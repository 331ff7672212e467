"""Training: honest forecasts out of sample by walk-forward, then one model fitted to everything known."""

from dataclasses import dataclass

import numpy as np

from domain.forecast import LEVELS
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from features import labels
from models import family, splits
from models.contract import Dataset, Model
from models.splits import Fold

#: Share of a fold's newest rows that early stopping watches.
VALID_SHARE = 0.15


@dataclass(frozen=True)
class Trained:
    """A fitted model and what models like it forecast for rows that they had not seen."""

    model: Model
    forecasts: FloatArray
    """[T, S, Q] log-return quantiles of the fold in whose test part the row lies, NaN elsewhere."""
    folds: list[Fold]
    rounds: tuple[int, ...]
    """Best round of each fold; the final model takes their median."""


def train(dataset: Dataset, params: Params, market: Market) -> Trained:
    """Forecast every fold's test rows, then fit the final model to all rows whose label is known.

    Raises DataError or ModelError when there is too little to learn from.
    """
    folds = split(dataset, params, market)
    forecasts, rounds = walk(dataset, params, market, folds)
    steps = int(np.median(rounds)) or None
    model = family.create(params.training, market.horizon, rounds=steps)
    known = np.arange(dataset.bars, dtype=np.int64)
    model.fit(dataset, known, known[:0])
    return Trained(model, forecasts, folds, rounds)


def split(dataset: Dataset, params: Params, market: Market) -> list[Fold]:
    """Return the folds that these parameters mean for this dataset: always the same ones."""
    chosen = params.training
    purge = labels.known_after(market.horizon)
    return splits.walk_forward(dataset.bars, chosen.folds, chosen.train_fraction, purge, chosen.embargo_bars)


def walk(
    dataset: Dataset, params: Params, market: Market, folds: list[Fold], *, name: str | None = None
) -> tuple[FloatArray, tuple[int, ...]]:
    """Return [T, S, Q] out-of-sample forecasts of family `name` (by default the one trained) and each fold's best round."""
    forecasts = np.full((*dataset.forward.shape, len(LEVELS)), np.nan)
    rounds = []
    for fold in folds:
        model = family.create(params.training, market.horizon, family=name)
        inner = splits.tail(fold.train, VALID_SHARE, labels.known_after(market.horizon), params.training.embargo_bars)
        model.fit(dataset, inner.train, inner.test)
        forecasts[fold.test] = model.predict(dataset.features[fold.test], dataset.scale[fold.test])
        rounds.append(model.rounds)
    return forecasts, tuple(rounds)
