"""XGBoost trees behind the one contract: some learn where a symbol ranks in its row, others how widely that misses.

`models.shape` makes quantiles of the two. Five sets of `reg:quantileerror` trees were tried first: slower tenfold and worse at both
ends, see LOG.md.

XGBoost grows the trees (`models.forest`) and `models.walker` answers with them: a process that only serves never imports XGBoost.
Sorting values into bins is half of a fit, so a fit does it once.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from domain.error import ModelError
from domain.panel import FloatArray
from domain.params import Training
from models import forest
from models.contract import Dataset, Float32Array, IntArray
from models.forest import Alone, Ground, Plan
from models.inputs import clocks
from models.shape import MISS_SIGMA_MIN, Lesson, Shape
from models.walker import Forest

if TYPE_CHECKING:
    from xgboost import QuantileDMatrix

#: How widely a forecast misses is plain to see beside where it lies: its trees may be deeper and take larger steps.
SPREAD_ROUNDS = 40
SPREAD: dict[str, Any] = {"eta": 0.1, "max_depth": 4, "colsample_bytree": 0.7, "min_child_weight": 50.0}


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
        chosen |= {"max_bin": forest.BINS}
        chosen |= {"max_depth": self.depth, "eta": self.eta, "subsample": self.subsample, "colsample_bytree": self.colsample}
        chosen |= {"min_child_weight": self.min_child_weight, "reg_lambda": self.reg_lambda, "seed": self.seed}
        return chosen | special


class Trees:
    """Location and spread trees behind the one contract; see the module."""

    family = "trees"
    context_bars = 1

    def __init__(self, settings: Settings, horizon: int, threads: int = 1, workers: int = 1) -> None:
        self.settings = settings
        self.horizon = horizon
        self.threads = threads  # how long a fit takes, never what it gives: not saved
        self.workers = workers  # where it is fitted: not saved
        self.rounds = 0
        self.names: tuple[str, ...] = ()
        self._location: Forest | None = None
        self._spread: Forest | None = None
        self._shape = Shape(0.0, 0.0, 0.0)

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return unfitted trees."""
        settings = Settings(**training.trees.model_dump(), seed=training.seed)
        return cls(replace(settings, rounds=rounds or settings.rounds), horizon, training.threads, training.hardware.workers)

    def fit(self, dataset: Dataset, train: IntArray, valid: IntArray, checkpoint: Path | None = None) -> None:
        """Choose the rounds by stopping early on `valid`, then grow everything on the rows of both; `checkpoint` is left empty."""
        lesson = Lesson.of(dataset, np.concatenate([train, valid]), len(train))
        known, features, target = lesson.known, _samples(lesson), lesson.target()[lesson.known]
        score, width = np.zeros(known.shape), np.zeros(known.shape)
        shape = Shape.fit(lesson)
        with self._ground(features, target, known.sum(axis=1)) as ground:
            rounds = self._best_rounds(ground, target, int(known[: len(train)].sum()))
            location = self._grow(ground, target, rounds, base_score=0.0)
            score[known] = location.predict(features)
            miss = np.log(np.abs(shape.miss(lesson, score)[known]) + MISS_SIGMA_MIN)
            spread = self._grow(ground, miss, SPREAD_ROUNDS, base_score=float(miss.mean()), **SPREAD)
        width[known] = spread.predict(features)
        # All at once: a fit that fails leaves what was fitted before.
        self.names, self.rounds, self._location, self._spread = dataset.names, rounds, location, spread
        self._shape = shape.closed(lesson, score, width)

    def fine_tune(self, dataset: Dataset, rows: IntArray, rounds: int) -> None:
        """Add `rounds` trees to the location, fitted to `rows`; spread and quantiles stay."""
        lesson = Lesson.of(dataset, rows)
        target, before = lesson.target()[lesson.known], self._fitted()[0].raw
        with self._ground(_samples(lesson), target, lesson.known.sum(axis=1)) as ground:
            self._location = self._grow(ground, target, rounds, grown=before, seed=self.settings.seed + self.rounds)
        self.rounds += rounds

    def recalibrate(self, forecasts: FloatArray, outcome: FloatArray) -> None:
        """Refit the quantiles of the miss; the trees, their worth and the tide stay."""
        self._shape = self._shape.recalibrated(forecasts, outcome, self.horizon)

    def predict(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, Q] quantiles; see the contract. A row's median volatility is taken over the symbols handed in."""
        rows = np.ascontiguousarray(features.reshape(-1, features.shape[-1]), dtype=np.float32)
        score, width = (each.predict(rows).reshape(scale.shape).astype(np.float64) for each in self._fitted())
        return self._shape.forecast(score, width, features, scale, self.names, self.horizon)

    def importance(self) -> dict[str, float]:
        """Return each feature's share of the location's total gain."""
        booster = forest.xgboost().Booster(model_file=bytearray(self._fitted()[0].raw))
        score = booster.get_score(importance_type="total_gain")
        gain = {name: float(np.sum(score.get(f"f{i}", 0.0))) for i, name in enumerate(self.names)}
        total = sum(gain.values())
        return {name: value / total for name, value in gain.items()} if total else {}

    def contributions(self, features: Float32Array) -> dict[str, float]:
        """Return each feature's share of the mean absolute SHAP value of the location over rows [T, S, F]; {} if none moves it.

        They are exact for trees, and sum to the forecast. Lundberg, Erion and Lee 2018, arXiv:1802.03888.
        """
        library = forest.xgboost()
        booster = library.Booster(model_file=bytearray(self._fitted()[0].raw))
        rows = features.reshape(-1, features.shape[-1])
        rows = rows[np.isfinite(rows).any(axis=1)]
        moved = np.abs(booster.predict(library.DMatrix(rows), pred_contribs=True)[:, :-1]).sum(axis=0)
        total = float(moved.sum())
        return dict(zip(self.names, (moved / total).tolist(), strict=True)) if total else {}

    def save(self, folder: Path) -> None:
        """Write model.json, location.ubj and spread.ubj."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"family": self.family, "horizon": self.horizon, "rounds": self.rounds, "names": self.names}
        kept |= {"settings": asdict(self.settings), "shape": asdict(self._shape)}
        (folder / "model.json").write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")
        for name, grown in zip(("location", "spread"), self._fitted(), strict=True):
            (folder / f"{name}.ubj").write_bytes(grown.raw)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        kept = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        model = cls(Settings(**kept["settings"]), int(kept["horizon"]))
        model.rounds, model.names = int(kept["rounds"]), tuple(kept["names"])
        model._shape = Shape.told(kept["shape"])
        model._location, model._spread = (Forest.read((folder / f"{name}.ubj").read_bytes()) for name in ("location", "spread"))
        return model

    @contextmanager
    def _ground(self, features: Float32Array, label: FloatArray, bars: IntArray) -> Iterator[Ground]:
        """Sort samples into bins, in this process or with the workers of a cluster."""
        if self.workers == 1:
            yield Alone(self._matrix(features, label))
            return
        with forest.shared(features, bars, self.settings.seed, workers=self.workers, threads=self.threads) as ground:
            yield ground

    def _matrix(self, features: Float32Array, label: FloatArray) -> "QuantileDMatrix":
        """Return samples sorted into bins between quantiles of some of them."""
        return forest.sort(features, label, forest.drawn(features, self.settings.seed), self.threads)

    def _best_rounds(self, ground: Ground, label: FloatArray, learned: int) -> int:
        """Return how many rounds on the first `learned` samples miss the others least; all where there are no others."""
        if learned == len(label):
            return self.settings.rounds
        plan = Plan(self.settings.booster(nthread=self.threads, base_score=0.0), self.settings.rounds)
        return ground.ask(forest.best_rounds, plan, label, np.arange(len(label)) < learned)

    def _grow(self, ground: Ground, label: FloatArray, rounds: int, *, grown: bytes | None = None, **special: Any) -> Forest:
        plan = Plan(self.settings.booster(nthread=self.threads, **special), rounds, grown)
        return Forest.read(ground.ask(forest.grow, plan, label))

    def _fitted(self) -> tuple[Forest, Forest]:
        if self._location is None or self._spread is None:
            raise ModelError("trees were asked before they were fitted: call fit or load first")
        return self._location, self._spread


def _samples(lesson: Lesson) -> Float32Array:
    """Return [N, F] the features of what is known of a lesson; those that tell the date are missing."""
    samples = np.ascontiguousarray(lesson.features[lesson.known])
    samples[:, clocks(lesson.features)] = np.nan
    return samples
