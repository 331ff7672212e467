"""XGBoost quantile trees: where the return lies, then how it spreads around that."""

import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from domain.error import ModelError
from domain.forecast import LEVELS
from domain.panel import FloatArray
from domain.params import Training
from models import contract
from models.contract import Dataset, Float32Array, IntArray

if TYPE_CHECKING:
    from xgboost import Booster, QuantileDMatrix

#: Labels beyond this many volatilities of the horizon move the location no further.
CLIP_SIGMA = 3.0
#: The spread learns faster and for fewer rounds: it is plainer to see than the location.
SPREAD_ROUNDS = 24
SPREAD_ETA = 0.2
SAMPLES_MIN = 200
STOP_ROUNDS = 30


@dataclass(frozen=True)
class Settings:
    """What decides the fitted trees, apart from the data."""

    rounds: int
    depth: int
    eta: float
    subsample: float
    colsample: float
    min_child_weight: float
    reg_lambda: float
    seed: int
    threads: int
    """Changes how long a fit takes, never what it gives."""

    def booster(self, **special: Any) -> dict[str, Any]:
        """Return XGBoost's parameters, `special` ones last."""
        chosen: dict[str, Any] = {"tree_method": "hist", "device": "cpu", "verbosity": 0, "seed": self.seed}
        chosen |= {"nthread": self.threads, "max_depth": self.depth, "eta": self.eta, "subsample": self.subsample}
        chosen |= {"colsample_bytree": self.colsample, "min_child_weight": self.min_child_weight, "reg_lambda": self.reg_lambda}
        return chosen | special


class Trees:
    """Location trees (squared error) plus spread trees (`reg:quantileerror`) on what the location leaves."""

    family = "trees"
    context_bars = 1

    def __init__(self, settings: Settings, horizon: int) -> None:
        self.settings = settings
        self.horizon = horizon
        self.rounds = 0
        self.names: tuple[str, ...] = ()
        self._location: Booster | None = None
        self._spread: Booster | None = None

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return unfitted trees."""
        chosen = training.trees.model_dump()
        settings = Settings(**chosen, seed=training.seed, threads=training.threads)
        return cls(replace(settings, rounds=rounds or settings.rounds), horizon)

    def fit(self, dataset: Dataset, train: IntArray, valid: IntArray) -> None:
        """Grow the location, stopping early on `valid`, then the spread of what is left."""
        self.names = dataset.names
        features, label = self._samples(dataset, train)
        matrix = self._matrix(features, np.clip(label, -CLIP_SIGMA, CLIP_SIGMA))
        self._location = self._grow_location(matrix, *dataset.samples(valid))
        residual = label - _predict(self._location, features)[:, 0]
        matrix.set_label(residual)
        self._spread = self._grow_spread(matrix, SPREAD_ROUNDS)

    def fine_tune(self, dataset: Dataset, rows: IntArray, rounds: int) -> None:
        """Add `rounds` trees to the location, fitted to `rows`; the spread stays."""
        import xgboost

        features, label = self._samples(dataset, rows)
        matrix = self._matrix(features, np.clip(label, -CLIP_SIGMA, CLIP_SIGMA))
        objective = self.settings.booster(objective="reg:squarederror")
        self._location = xgboost.train(objective, matrix, num_boost_round=rounds, xgb_model=self._fitted()[0])
        self.rounds += rounds

    def predict(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, Q] quantiles; see the contract."""
        location, spread = self._fitted()
        rows = np.ascontiguousarray(features.reshape(-1, features.shape[-1]), dtype=np.float32)
        values = (_predict(location, rows) + _predict(spread, rows)).astype(np.float64)
        return contract.unscale(values.reshape(*scale.shape, len(LEVELS)), features, scale, self.horizon)

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the location's total gain."""
        score = self._fitted()[0].get_score(importance_type="total_gain")
        gain = {name: float(np.sum(score.get(f"f{i}", 0.0))) for i, name in enumerate(self.names)}
        total = sum(gain.values())
        return {name: value / total for name, value in gain.items()} if total else {}

    def save(self, folder: Path) -> None:
        """Write model.json, location.ubj and spread.ubj."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"family": self.family, "horizon": self.horizon, "rounds": self.rounds, "names": self.names}
        kept["settings"] = asdict(self.settings)
        (folder / "model.json").write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")
        for name, booster in zip(("location", "spread"), self._fitted(), strict=True):
            (folder / f"{name}.ubj").write_bytes(bytes(booster.save_raw("ubj")))

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        kept = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        model = cls(Settings(**kept["settings"]), int(kept["horizon"]))
        model.rounds, model.names = int(kept["rounds"]), tuple(kept["names"])
        model._location, model._spread = (_read(folder / f"{name}.ubj") for name in ("location", "spread"))
        return model

    def _samples(self, dataset: Dataset, rows: IntArray) -> tuple[Float32Array, FloatArray]:
        features, label = dataset.samples(rows)
        if len(label) < SAMPLES_MIN:
            asked = f"trees were asked to fit {len(rows)} bars of {len(dataset.symbols)} symbols"
            raise ModelError(f"{asked}, but only {len(label)} labels are known there and at least {SAMPLES_MIN} are needed")
        return features, label

    def _matrix(self, features: Float32Array, label: FloatArray) -> "QuantileDMatrix":
        from xgboost import QuantileDMatrix

        return QuantileDMatrix(features, label=label, nthread=self.settings.threads)

    def _grow_location(self, matrix: "QuantileDMatrix", features: Float32Array, label: FloatArray) -> "Booster":
        import xgboost

        objective = self.settings.booster(objective="reg:squarederror")
        if not len(label):
            self.rounds = self.settings.rounds
            return xgboost.train(objective, matrix, num_boost_round=self.rounds)
        clipped = np.clip(label, -CLIP_SIGMA, CLIP_SIGMA)
        valid = xgboost.QuantileDMatrix(features, label=clipped, ref=matrix, nthread=self.settings.threads)
        stop = xgboost.callback.EarlyStopping(STOP_ROUNDS)
        grown = xgboost.train(
            objective, matrix, num_boost_round=self.settings.rounds, evals=[(valid, "valid")], callbacks=[stop], verbose_eval=False
        )
        self.rounds = grown.best_iteration + 1
        return grown[: self.rounds]

    def _grow_spread(self, matrix: "QuantileDMatrix", rounds: int) -> "Booster":
        import xgboost

        objective = self.settings.booster(objective="reg:quantileerror", quantile_alpha=np.array(LEVELS), eta=SPREAD_ETA)
        return xgboost.train(objective, matrix, num_boost_round=rounds)

    def _fitted(self) -> tuple["Booster", "Booster"]:
        if self._location is None or self._spread is None:
            raise ModelError("trees were asked before they were fitted: call fit or load first")
        return self._location, self._spread


def _predict(booster: "Booster", rows: Float32Array) -> Float32Array:
    """Return [N, K] predictions on one thread, so that a batch's size never changes a bit nor the latency."""
    booster.set_param({"nthread": 1})
    values: Float32Array = booster.inplace_predict(rows, validate_features=False)
    return values.reshape(len(rows), -1)


def _read(path: Path) -> "Booster":
    from xgboost import Booster

    return Booster({"nthread": 1}, model_file=str(path))
