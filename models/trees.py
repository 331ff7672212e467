"""XGBoost trees behind the one contract: some learn where a symbol ranks in its row, others how widely that misses.

`models.shape` makes quantiles of the two. Five sets of `reg:quantileerror` trees were tried first: slower tenfold and worse at both
ends, see LOG.md.

XGBoost grows the trees and `models.walker` answers with them: a process that only serves never imports XGBoost. Sorting values into
bins is half of a fit, so a fit does it once: rows that early stopping watches lie in the same matrix and weigh nothing meanwhile.
"""

import json
import os
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from domain.error import ModelError
from domain.panel import FloatArray
from domain.params import Training
from models.contract import Dataset, Float32Array, IntArray
from models.inputs import clocks
from models.shape import MISS_SIGMA_MIN, Lesson, Shape
from models.walker import Forest

if TYPE_CHECKING:
    from xgboost import QuantileDMatrix

#: How widely a forecast misses is plain to see beside where it lies: its trees may be deeper and take larger steps.
SPREAD_ROUNDS = 40
SPREAD: dict[str, Any] = {"eta": 0.1, "max_depth": 4, "colsample_bytree": 0.7, "min_child_weight": 50.0}
STOP_ROUNDS = 30
#: Thresholds a feature that trees choose from. Four times as many rank no better and take a fifth longer.
BINS = 64
#: Thresholds are the quantiles of so many samples, drawn from those that a fit is handed: all of them would take half of the fit.
DRAWN_SAMPLES = 16_384


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

    def booster(self, **special: Any) -> dict[str, Any]:
        """Return XGBoost's parameters, `special` ones last."""
        chosen: dict[str, Any] = {"tree_method": "hist", "device": "cpu", "objective": "reg:squarederror", "verbosity": 0}
        chosen |= {"max_bin": BINS}
        chosen |= {"max_depth": self.depth, "eta": self.eta, "subsample": self.subsample, "colsample_bytree": self.colsample}
        chosen |= {"min_child_weight": self.min_child_weight, "reg_lambda": self.reg_lambda, "seed": self.seed}
        return chosen | special


class Trees:
    """Location and spread trees behind the one contract; see the module."""

    family = "trees"
    context_bars = 1

    def __init__(self, settings: Settings, horizon: int, threads: int = 1) -> None:
        self.settings = settings
        self.horizon = horizon
        self.threads = threads  # how long a fit takes, never what it gives: not saved
        self.rounds = 0
        self.names: tuple[str, ...] = ()
        self._location: Forest | None = None
        self._spread: Forest | None = None
        self._shape = Shape(0.0, 0.0, 0.0)

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return unfitted trees."""
        settings = Settings(**training.trees.model_dump(), seed=training.seed)
        return cls(replace(settings, rounds=rounds or settings.rounds), horizon, training.threads)

    def fit(self, dataset: Dataset, train: IntArray, valid: IntArray, checkpoint: Path | None = None) -> None:
        """Choose the rounds by stopping early on `valid`, then grow everything on the rows of both; `checkpoint` is left empty."""
        self.names = dataset.names
        lesson = Lesson.of(dataset, np.concatenate([train, valid]), len(train))
        known, features, target = lesson.known, _samples(lesson), lesson.target()
        matrix, learned = self._matrix(features, target[known]), int(known[: len(train)].sum())
        self.rounds = self._best_rounds(matrix, learned) if learned < len(features) else self.settings.rounds
        self._location = self._grow(matrix, self.rounds, base_score=0.0)
        score, width = np.zeros(known.shape), np.zeros(known.shape)
        score[known] = self._location.predict(features)
        shape = Shape.fit(lesson)
        spread = np.log(np.abs(shape.miss(lesson, score)[known]) + MISS_SIGMA_MIN)
        matrix.set_label(spread)
        self._spread = self._grow(matrix, SPREAD_ROUNDS, base_score=float(spread.mean()), **SPREAD)
        width[known] = self._spread.predict(features)
        self._shape = shape.closed(lesson, score, width)

    def fine_tune(self, dataset: Dataset, rows: IntArray, rounds: int) -> None:
        """Add `rounds` trees to the location, fitted to `rows`; spread and quantiles stay."""
        lesson = Lesson.of(dataset, rows)
        matrix = self._matrix(_samples(lesson), lesson.target()[lesson.known])
        # As bytes: handed over as a booster, XGBoost goes on with the process's random state instead of the seed's.
        grown = bytearray(self._fitted()[0].raw)
        self._location = self._grow(matrix, rounds, grown=grown, seed=self.settings.seed + self.rounds)
        self.rounds += rounds

    def recalibrate(self, forecasts: FloatArray, outcome: FloatArray) -> None:
        """Refit the quantiles of the miss; the trees, their worth and the tide stay."""
        self._shape = self._shape.recalibrated(forecasts, outcome, self.horizon)

    def predict(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, Q] quantiles; see the contract. A row's median volatility is taken over the symbols handed in."""
        rows = np.ascontiguousarray(features.reshape(-1, features.shape[-1]), dtype=np.float32)
        score, width = (forest.predict(rows).reshape(scale.shape).astype(np.float64) for forest in self._fitted())
        return self._shape.forecast(score, width, features, scale, self.names, self.horizon)

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the location's total gain."""
        booster = _xgboost().Booster(model_file=bytearray(self._fitted()[0].raw))
        score = booster.get_score(importance_type="total_gain")
        gain = {name: float(np.sum(score.get(f"f{i}", 0.0))) for i, name in enumerate(self.names)}
        total = sum(gain.values())
        return {name: value / total for name, value in gain.items()} if total else {}

    def save(self, folder: Path) -> None:
        """Write model.json, location.ubj and spread.ubj."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"family": self.family, "horizon": self.horizon, "rounds": self.rounds, "names": self.names}
        kept |= {"settings": asdict(self.settings), "shape": asdict(self._shape)}
        (folder / "model.json").write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")
        for name, forest in zip(("location", "spread"), self._fitted(), strict=True):
            (folder / f"{name}.ubj").write_bytes(forest.raw)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        kept = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        model = cls(Settings(**kept["settings"]), int(kept["horizon"]))
        model.rounds, model.names = int(kept["rounds"]), tuple(kept["names"])
        model._shape = Shape.told(kept["shape"])
        model._location, model._spread = (Forest.read((folder / f"{name}.ubj").read_bytes()) for name in ("location", "spread"))
        return model

    def _best_rounds(self, matrix: "QuantileDMatrix", learned: int) -> int:
        """Return how many rounds on the first `learned` samples miss the others least."""
        xgboost = _xgboost()
        answer = matrix.get_label()[learned:]
        weight = np.ones(matrix.num_row(), dtype=np.float32)
        weight[learned:] = 0.0

        def missed(forecast: Float32Array, _: "QuantileDMatrix") -> tuple[str, float]:
            # A sum, since XGBoost reads six decimals of it.
            return "missed", float(np.sum(np.square(forecast[learned:] - answer), dtype=np.float64))

        matrix.set_weight(weight)
        settings = self.settings.booster(nthread=self.threads, base_score=0.0, disable_default_eval_metric=True)
        stop = xgboost.callback.EarlyStopping(rounds=STOP_ROUNDS)
        watch: dict[str, Any] = {"evals": [(matrix, "valid")], "custom_metric": missed, "callbacks": [stop], "verbose_eval": False}
        grown = xgboost.train(settings, matrix, num_boost_round=self.settings.rounds, **watch)
        matrix.set_weight(np.ones_like(weight))
        return int(grown.best_iteration) + 1

    def _matrix(self, features: Float32Array, label: FloatArray) -> "QuantileDMatrix":
        """Return samples sorted into bins between quantiles of some of them."""
        build = partial(_xgboost().QuantileDMatrix, max_bin=BINS, nthread=self.threads)
        drawn = np.random.default_rng(self.settings.seed).permutation(len(features))[:DRAWN_SAMPLES]
        matrix: QuantileDMatrix = build(features, label=label, ref=build(features[drawn]))
        return matrix

    def _grow(self, matrix: "QuantileDMatrix", rounds: int, *, grown: bytearray | None = None, **special: Any) -> Forest:
        settings = self.settings.booster(nthread=self.threads, **special)
        booster = _xgboost().train(settings, matrix, num_boost_round=rounds, xgb_model=grown)
        return Forest.read(bytes(booster.save_raw("ubj")))

    def _fitted(self) -> tuple[Forest, Forest]:
        if self._location is None or self._spread is None:
            raise ModelError("trees were asked before they were fitted: call fit or load first")
        return self._location, self._spread


def _samples(lesson: Lesson) -> Float32Array:
    """Return [N, F] the features of what is known of a lesson; those that tell the date are missing."""
    samples = np.ascontiguousarray(lesson.features[lesson.known])
    samples[:, clocks(lesson.features)] = np.nan
    return samples


def _xgboost() -> Any:
    """Return the library, told to let waiting threads sleep: spinning ones took 31 s instead of 1 s on a busy machine."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import xgboost

    return xgboost
