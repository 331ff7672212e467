"""Zero, drift, momentum: what every other model must beat before anyone believes it."""

import json
from pathlib import Path
from typing import Any, Self

import numpy as np

from domain.error import ModelError
from domain.forecast import LEVELS
from domain.panel import FloatArray
from domain.params import Training
from models import calibration, contract
from models.contract import Dataset, Float32Array, IntArray

#: The feature that momentum extrapolates: a past log return.
PAST_RETURN = "return_20"


class Baseline:
    """A forecast that is one line in one feature: `quantiles + slope * feature`, in volatilities of the horizon."""

    family = ""
    context_bars = 1
    rounds = 0

    def __init__(self, horizon: int) -> None:
        self.horizon = horizon
        self.quantiles: FloatArray = np.zeros(len(LEVELS))
        self.slope = 0.0
        self.column = -1
        self.name = ""

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return an unfitted baseline; it takes nothing from the parameters."""
        return cls(horizon)

    def fit(self, dataset: Dataset, train: IntArray, valid: IntArray, checkpoint: Path | None = None) -> None:
        """Fit to the rows of both arguments: nothing here stops early."""
        rows = np.concatenate([train, valid])
        features, label = dataset.samples(rows)
        if not len(label):
            raise ModelError(f"'{self.family}' was asked to fit {len(rows)} rows, but none of them has a known label")
        self._learn(dataset.names, features, label)

    def fine_tune(self, dataset: Dataset, rows: IntArray, rounds: int) -> None:
        """Fit anew to `rows`: a baseline keeps no memory worth going on from."""
        self.fit(dataset, rows, rows[:0])

    def recalibrate(self, forecasts: FloatArray, outcome: FloatArray) -> None:
        """Refit the quantiles; the slope stays."""
        self.quantiles = calibration.refitted(self.quantiles, forecasts, outcome, self.horizon)

    def predict(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, Q] quantiles; see the contract."""
        location = self.slope * self._signal(features) if self.column >= 0 else np.zeros(scale.shape)
        return contract.unscale(location[..., None] + self.quantiles, features, scale, self.horizon)

    def importance(self) -> dict[str, float]:
        """Return the one feature used, if there is one."""
        return {self.name: 1.0} if self.name else {}

    def save(self, folder: Path) -> None:
        """Write model.json."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"family": self.family, "horizon": self.horizon, "quantiles": self.quantiles.tolist()}
        kept |= {"slope": self.slope, "column": self.column, "name": self.name}
        (folder / "model.json").write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read model.json."""
        kept: dict[str, Any] = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        model = cls(int(kept["horizon"]))
        model.quantiles = np.array(kept["quantiles"], dtype=np.float64)
        model.slope, model.column, model.name = float(kept["slope"]), int(kept["column"]), str(kept["name"])
        return model

    def _learn(self, names: tuple[str, ...], features: Float32Array, label: FloatArray) -> None:
        raise NotImplementedError

    def _signal(self, features: Float32Array) -> FloatArray:
        return np.nan_to_num(features[..., self.column].astype(np.float64))


class Zero(Baseline):
    """Nothing moves on average: quantiles symmetric around zero, as wide as the label was."""

    family = "zero"

    def recalibrate(self, forecasts: FloatArray, outcome: FloatArray) -> None:
        """Refit how wide the quantiles are; they stay symmetric around zero."""
        super().recalibrate(forecasts, outcome)
        self.quantiles = 0.5 * (self.quantiles - self.quantiles[::-1])

    def _learn(self, names: tuple[str, ...], features: Float32Array, label: FloatArray) -> None:
        side = np.round(2.0 * np.array(LEVELS) - 1.0, 12)  # so that opposite levels are opposites to the last bit
        self.quantiles = np.sign(side) * np.quantile(np.abs(label), np.abs(side))


class Drift(Baseline):
    """What history did: the label's own quantiles, its mean drift and its skew included."""

    family = "drift"

    def _learn(self, names: tuple[str, ...], features: Float32Array, label: FloatArray) -> None:
        self.quantiles = np.quantile(label, LEVELS)


class Momentum(Baseline):
    """What rose goes on rising: the label regressed on the past return, with the quantiles of what is left."""

    family = "momentum"

    def _learn(self, names: tuple[str, ...], features: Float32Array, label: FloatArray) -> None:
        if PAST_RETURN not in names:
            raise ModelError(f"'momentum' needs the feature '{PAST_RETURN}', but only these were measured: {', '.join(names)}")
        self.column, self.name = names.index(PAST_RETURN), PAST_RETURN
        signal = self._signal(features)
        power = float(np.sum(signal * signal))
        self.slope = float(np.sum(signal * label)) / power if power > 0.0 else 0.0
        self.quantiles = np.quantile(label - self.slope * signal, LEVELS)
