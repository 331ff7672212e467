"""Training: honest forecasts out of sample by walk-forward, one model fitted to everything known, and several as one ensemble."""

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domain.forecast import LEVELS
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from features import labels
from models import ensemble, family, splits
from models.conformal import Offsets
from models.contract import Dataset, Model
from models.ensemble import Ensemble
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


def train(
    dataset: Dataset, params: Params, market: Market, name: str, workshop: Path | None = None, fresh: int | None = None
) -> Trained:
    """Forecast every fold's test rows by family `name`, then fit the final model to all rows whose label is known.

    With `fresh` the rows from there on are forecast by a model of their own, fitted to everything before them: the newest fold's
    may be much older than the model that is going to be served. `workshop` is a folder that keeps what is finished, and what a fit
    needs to go on, until all is done: whoever was killed begins where they were. It belongs to this dataset and these parameters.
    Raises DataError or ModelError when there is too little to learn from.
    """
    folds = split(dataset, params, market)
    forecasts, rounds = walk(dataset, params, market, folds, name, workshop)
    if fresh is not None:
        last = fresh - labels.known_after(market.horizon) - params.training.embargo_bars
        newest = Fold(np.arange(last, dtype=np.int64), np.arange(fresh, dataset.bars, dtype=np.int64))
        again, _ = walk(dataset, params, market, [newest], name, workshop / "fresh" if workshop is not None else None)
        forecasts[newest.test] = again[newest.test]
    steps = int(np.median(rounds)) or None
    model = family.create(params.training, market.horizon, family=name, rounds=steps)
    known = np.arange(dataset.bars, dtype=np.int64)
    model.fit(dataset, known, known[:0], workshop / "final" if workshop is not None else None)
    return Trained(model, forecasts, folds, rounds)


def join(dataset: Dataset, members: Sequence[Trained], params: Params, market: Market) -> Trained:
    """Return the ensemble of trained members: weighed and calibrated, row by row, by what was known before the row.

    In each fold the weights are those of the rows that its models could have learned from; the final ones are those of all rows.
    """
    folds = split(dataset, params, market)
    made, horizon = np.stack([member.forecasts for member in members]), market.horizon
    forecasts = np.full_like(made[0], np.nan)
    for fold in folds:
        weights = ensemble.weigh(made[:, fold.train], dataset.forward[fold.train], horizon)
        forecasts[fold.test] = ensemble.blend(made[:, fold.test], weights)
    forecasts, offsets = Offsets().followed(forecasts, dataset.forward, labels.known_after(horizon))
    weights = ensemble.weigh(made, dataset.forward, horizon)
    model = Ensemble([member.model for member in members], weights.tolist(), offsets)
    return Trained(model, forecasts, folds, tuple(round_ for member in members for round_ in member.rounds))


def split(dataset: Dataset, params: Params, market: Market) -> list[Fold]:
    """Return the folds that these parameters mean for this dataset: always the same ones."""
    chosen = params.training
    purge = labels.known_after(market.horizon)
    return splits.walk_forward(dataset.bars, chosen.folds, chosen.train_fraction, purge, chosen.embargo_bars)


def walk(
    dataset: Dataset, params: Params, market: Market, folds: list[Fold], name: str, workshop: Path | None = None
) -> tuple[FloatArray, tuple[int, ...]]:
    """Return [T, S, Q] out-of-sample forecasts of family `name` and each fold's best round."""
    forecasts = np.full((*dataset.forward.shape, len(LEVELS)), np.nan)
    rounds = []
    for number, fold in enumerate(folds):
        place = workshop / str(number) if workshop is not None else None
        done = _done(place)
        if done is None:
            done = _forecast(dataset, params, market, fold, name, place)
        forecasts[fold.test] = done["forecasts"]
        rounds.append(int(done["rounds"]))
    return forecasts, tuple(rounds)


def fitted(dataset: Dataset, params: Params, market: Market, fold: Fold, name: str, checkpoint: Path | None = None) -> Model:
    """Return a model of family `name` fitted to a fold, which ends early by the newest of its training rows."""
    model = family.create(params.training, market.horizon, family=name)
    inner = splits.tail(fold.train, VALID_SHARE, labels.known_after(market.horizon), params.training.embargo_bars)
    model.fit(dataset, inner.train, inner.test, checkpoint)
    return model


def _forecast(
    dataset: Dataset, params: Params, market: Market, fold: Fold, name: str, place: Path | None
) -> Mapping[str, np.ndarray]:
    """Fit to a fold, forecast its test rows, and keep both numbers in `place`, whole or not at all."""
    model = fitted(dataset, params, market, fold, name, place / "fit" if place is not None else None)
    first = max(int(fold.test[0]) - model.context_bars + 1, 0)
    rows = slice(first, int(fold.test[-1]) + 1)
    made = {"forecasts": model.predict(dataset.features[rows], dataset.scale[rows])[fold.test - first]}
    done = made | {"rounds": np.array(model.rounds)}
    if place is not None:
        place.mkdir(parents=True, exist_ok=True)
        with (place / "half.npz").open("wb") as half:
            np.savez(half, **done)
        (place / "half.npz").rename(place / "done.npz")
        shutil.rmtree(place / "fit", ignore_errors=True)
    return done


def _done(place: Path | None) -> Mapping[str, np.ndarray] | None:
    """Return what an earlier run finished of a fold, or None."""
    if place is None or not (place / "done.npz").exists():
        return None
    with np.load(place / "done.npz", allow_pickle=False) as kept:
        return {name: kept[name] for name in kept.files}
