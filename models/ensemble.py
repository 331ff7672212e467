"""Ensemble: several families that forecast together, weighted by what they showed, and calibrated as outcomes come in.

Quantiles are averaged level by level (Vincent 1912; Lichtendahl, Grushka-Cockayne and Winkler 2013, Management Science 59(7)), so
that members that agree on nothing but the shape keep it. Estimated weights rarely beat equal ones (Smith and Wallis 2009, OBES
71(3)), so that they are believed only as far as what they gain on one half of the rows holds on the other.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from scipy import optimize

from domain.forecast import LEVELS
from domain.panel import FloatArray
from domain.params import Training
from models import family, metrics
from models.conformal import Offsets
from models.contract import Dataset, Float32Array, IntArray, Model

#: Fewer rows than this on either half say nothing about who is better.
ROWS_MIN = 30


class Ensemble:
    """Members, their weights, and the offsets of their common quantiles, behind the one contract."""

    family = "ensemble"

    def __init__(self, members: Sequence[Model], weights: Sequence[float], offsets: Offsets = Offsets()) -> None:  # noqa: B008
        self.members, self.weights, self.offsets = tuple(members), tuple(weights), offsets
        self.horizon = self.members[0].horizon

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return an ensemble of unfitted members, each an equal."""
        members = [family.create(training, horizon, family=name, rounds=rounds) for name in training.families]
        return cls(members, equal(len(members)))

    @property
    def context_bars(self) -> int:
        """Rows that the member with the longest memory reads."""
        return max(member.context_bars for member in self.members)

    @property
    def rounds(self) -> int:
        """Steps of the member that took most."""
        return max(member.rounds for member in self.members)

    def fit(self, dataset: Dataset, train: IntArray, valid: IntArray, checkpoint: Path | None = None) -> None:
        """Fit every member, then weigh them by `valid`; without it they stay equals."""
        for member in self.members:
            member.fit(dataset, train, valid, checkpoint / member.family if checkpoint is not None else None)
        forecasts = np.stack([member.predict(dataset.features, dataset.scale)[valid] for member in self.members])
        self.weights = tuple(weigh(forecasts, dataset.forward[valid], self.horizon).tolist())

    def fine_tune(self, dataset: Dataset, rows: IntArray, rounds: int) -> None:
        """Let every member go on from what it learned; weights and offsets stay."""
        for member in self.members:
            member.fine_tune(dataset, rows, rounds)

    def recalibrate(self, forecasts: FloatArray, outcome: FloatArray) -> None:
        """Refit the offsets; the members and their weights stay."""
        self.offsets = self.offsets.refitted(forecasts, outcome, self.horizon)

    def predict(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, Q] quantiles; see the contract."""
        before, quantiles = self.context_bars - 1, np.full((*scale.shape, len(LEVELS)), np.nan)
        told = []
        for member in self.members:
            # What lies before its own context in the ensemble's is nothing to a member.
            rows = slice(self.context_bars - member.context_bars, None)
            told.append(member.predict(features[rows], scale[rows])[member.context_bars - 1 :])
        quantiles[before:] = self.offsets.apply(blend(np.stack(told), np.array(self.weights)))
        return quantiles

    def importance(self) -> dict[str, float]:
        """Return the weighted mean of what the members tell, of those that tell."""
        told = [(weight, member.importance()) for weight, member in zip(self.weights, self.members, strict=True)]
        total = sum(weight for weight, shares in told if shares)
        names = {name for _, shares in told for name in shares}
        return (
            {name: sum(weight * shares.get(name, 0.0) for weight, shares in told) / total for name in sorted(names)}
            if total
            else {}
        )

    def save(self, folder: Path) -> None:
        """Write model.json, and each member into a folder named after its family."""
        folder.mkdir(parents=True, exist_ok=True)
        names = [member.family for member in self.members]
        kept = {"family": self.family, "horizon": self.horizon, "members": names}
        kept |= {"weights": self.weights, "offsets": self.offsets.values}
        (folder / "model.json").write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")
        for name, member in zip(names, self.members, strict=True):
            member.save(folder / name)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        kept: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        members = [family.load(folder / name) for name in kept["members"]]
        return cls(members, tuple(map(float, kept["weights"])), Offsets(tuple(map(float, kept["offsets"]))))


def equal(count: int) -> tuple[float, ...]:
    """Return the weights of equals."""
    return (1.0 / count,) * count


def blend(forecasts: FloatArray, weights: FloatArray) -> FloatArray:
    """Return [T, S, Q] the weighted mean of forecasts [M, T, S, Q]; NaN where any member has none, so that all are of one model."""
    return np.asarray(np.tensordot(weights, forecasts, axes=1))


def weigh(forecasts: FloatArray, outcome: FloatArray, horizon: int) -> FloatArray:
    """Return [M] weights for members from forecasts [M, T, S, Q] of rows that they had not seen and what came, [T, S].

    The weights of least pinball loss, shrunk toward equal ones: by the certainty of what the best weights of the older half of the
    rows gain over equal ones on the newer half. Equal ones where too little is known.
    """
    count = len(forecasts)
    equals = np.array(equal(count))
    known = np.flatnonzero(np.isfinite(blend(forecasts, equals)[..., 0] + outcome).any(axis=1))
    if count == 1 or len(known) < 2 * ROWS_MIN:
        return equals
    older, newer = known[: len(known) // 2], known[len(known) // 2 :]
    early = _best(forecasts[:, older], outcome[older])
    gain = _loss_rows(forecasts[:, newer], outcome[newer], equals) - _loss_rows(forecasts[:, newer], outcome[newer], early)
    believed = metrics.certainty(gain, horizon) if metrics.mean(gain) > 0.0 else 0.0
    return (1.0 - believed) * equals + believed * _best(forecasts[:, known], outcome[known])


def _loss_rows(forecasts: FloatArray, outcome: FloatArray, weights: FloatArray) -> FloatArray:
    return metrics.pinball_rows(blend(forecasts, weights), outcome, LEVELS)


def _best(forecasts: FloatArray, outcome: FloatArray) -> FloatArray:
    """Return [M] the weights, none negative and 1 together, of the least pinball loss: a convex problem."""
    count = len(forecasts)
    pairs = np.isfinite(blend(forecasts, np.array(equal(count)))[..., 0] + outcome)
    made, came = forecasts[:, pairs], outcome[pairs]
    size = float(np.abs(came).mean()) or 1.0

    def loss(weights: FloatArray) -> tuple[float, FloatArray]:
        error = (came[:, None] - np.tensordot(weights, made, axes=1)) / size
        slope = np.where(error > 0.0, np.array(LEVELS), np.array(LEVELS) - 1.0)
        return float((slope * error).mean()), -np.asarray((slope * made / size).mean(axis=(1, 2)))

    found = optimize.minimize(
        loss,
        np.array(equal(count)),
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * count,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1.0, "jac": lambda weights: np.ones(count)},
    )
    clipped = np.clip(found.x, 0.0, 1.0)
    return np.asarray(clipped / clipped.sum())
