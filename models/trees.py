"""XGBoost trees that forecast quantiles: where a symbol will rank, what that is worth, and how widely it can miss.

A quantile is `location + spread * q`. The location comes from trees that learn each row's ranking, since most of a return is the
market's own move, which hides what tells symbols apart; that move itself is the business of `models.tide`. The spread comes from
trees on the logarithm of the miss; `q` is the empirical quantile of the standardised miss. Five sets of `reg:quantileerror` trees
were tried first: slower tenfold and worse at both ends, see LOG.md.

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
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from domain.params import Training
from models import calibration, contract, metrics, tide
from models.contract import BoolArray, Dataset, Float32Array, IntArray
from models.walker import Forest

if TYPE_CHECKING:
    from xgboost import QuantileDMatrix

#: Fewer names than this in the usual row and time is learned from instead of ranks.
RANKED_NAMES_MIN = 4
#: Outcomes beyond this many volatilities weigh no more than these.
CLIP_SIGMA = 4.0
#: Keeps the logarithm of a miss finite; in volatilities of the horizon.
MISS_SIGMA_MIN = 0.05
#: A feature of the whole market that passed its median less often than this tells the date: whatever it explains will not return.
RETURNS_MIN = 20
#: How widely a forecast misses is plain to see beside where it lies: its trees may be deeper and take larger steps.
SPREAD_ROUNDS = 40
SPREAD: dict[str, Any] = {"eta": 0.1, "max_depth": 4, "colsample_bytree": 0.7, "min_child_weight": 50.0}
STOP_ROUNDS = 30
SAMPLES_MIN = 200
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


@dataclass(frozen=True)
class Shape:
    """What turns the outputs of the trees into quantiles."""

    drift: float
    """Mean label in the symbol's own volatilities of the horizon, shrunk toward zero by its uncertainty."""
    worth: float
    """Return of one unit of ranking score, in volatilities of the horizon of the row's median symbol."""
    tide: float
    """Return of the whole row for one unit of its past move, in the same volatilities."""
    quantiles: tuple[float, ...]
    """Of the standardised miss, one a level."""

    def centre(self, score: FloatArray, past: FloatArray, scale: FloatArray) -> FloatArray:
        """Return [T, S] the location in each symbol's own volatilities of the horizon, from scores [T, S] and past moves [T]."""
        return self.drift + (self.worth * score + self.tide * past[:, None]) * _ratio(scale)


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
        self._shape = Shape(0.0, 0.0, 0.0, (0.0,) * len(LEVELS))

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return unfitted trees."""
        settings = Settings(**training.trees.model_dump(), seed=training.seed)
        return cls(replace(settings, rounds=rounds or settings.rounds), horizon, training.threads)

    def fit(self, dataset: Dataset, train: IntArray, valid: IntArray, checkpoint: Path | None = None) -> None:
        """Choose the rounds by stopping early on `valid`, then grow everything on the rows of both; `checkpoint` is left empty."""
        self.names = dataset.names
        rows = np.concatenate([train, valid])
        known, features, target = self._samples(dataset, rows, len(train))
        matrix = self._matrix(features, target[known])
        learned = int(known[: len(train)].sum())
        self.rounds = self._best_rounds(matrix, learned) if learned < len(features) else self.settings.rounds
        self._location = self._grow(matrix, self.rounds, base_score=0.0)
        label = np.where(known, dataset.label[rows], np.nan)
        sure = metrics.certainty(metrics.row_mean(np.clip(label, -CLIP_SIGMA, CLIP_SIGMA)), self.horizon)
        shape = self._shaped(dataset, rows, known, target, sure)
        score = np.zeros(known.shape)
        score[known] = self._location.predict(features)
        past, scale = self._past(dataset.features[rows], dataset.scale[rows]), dataset.scale[rows]
        miss = (label - shape.centre(score, past, scale))[known]
        spread = np.log(np.abs(miss) + MISS_SIGMA_MIN)
        matrix.set_label(spread)
        self._spread = self._grow(matrix, SPREAD_ROUNDS, base_score=float(spread.mean()), **SPREAD)
        quantiles = np.quantile(miss / np.exp(self._spread.predict(features).astype(np.float64)), LEVELS)
        # The median is drift as well: no more of it is believed than of the mean.
        self._shape = replace(shape, quantiles=tuple((quantiles - (1.0 - sure) * quantiles[MEDIAN]).tolist()))

    def fine_tune(self, dataset: Dataset, rows: IntArray, rounds: int) -> None:
        """Add `rounds` trees to the location, fitted to `rows`; spread and quantiles stay."""
        known, features, target = self._samples(dataset, rows, len(rows))
        matrix = self._matrix(features, target[known])
        # As bytes: handed over as a booster, XGBoost goes on with the process's random state instead of the seed's.
        grown = bytearray(self._fitted()[0].raw)
        self._location = self._grow(matrix, rounds, grown=grown, seed=self.settings.seed + self.rounds)
        self.rounds += rounds

    def recalibrate(self, forecasts: FloatArray, outcome: FloatArray) -> None:
        """Refit the quantiles of the standardised miss; the trees, their worth and the tide stay."""
        moved = calibration.refitted(np.array(self._shape.quantiles), forecasts, outcome, self.horizon)
        self._shape = replace(self._shape, quantiles=tuple(moved.tolist()))

    def predict(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, Q] quantiles; see the contract. A row's median volatility is taken over the symbols handed in."""
        rows = np.ascontiguousarray(features.reshape(-1, features.shape[-1]), dtype=np.float32)
        score, width = (forest.predict(rows).reshape(scale.shape).astype(np.float64) for forest in self._fitted())
        centre = self._shape.centre(score, self._past(features, scale), scale)
        quantiles = centre[..., None] + np.exp(width)[..., None] * np.array(self._shape.quantiles)
        return contract.unscale(quantiles, features, scale, self.horizon)

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
        told = kept["shape"]
        model._shape = Shape(float(told["drift"]), float(told["worth"]), float(told["tide"]), tuple(map(float, told["quantiles"])))
        model._location, model._spread = (Forest.read((folder / f"{name}.ubj").read_bytes()) for name in ("location", "spread"))
        return model

    def _samples(self, dataset: Dataset, rows: IntArray, learned: int) -> tuple[BoolArray, Float32Array, FloatArray]:
        """Return what is known of `rows` [T, S], its features [N, F], and the target [T, S] that the location learns.

        Raises ModelError where too little is known of the first `learned` rows.
        """
        features, label, scale = dataset.features[rows], dataset.label[rows], dataset.scale[rows]
        known = contract.believable(features, scale) & np.isfinite(label)
        if (count := known[:learned].sum()) < SAMPLES_MIN:
            asked = f"trees were asked to fit {learned} bars of {len(dataset.symbols)} symbols"
            raise ModelError(f"{asked}, but only {count} labels are known there and at least {SAMPLES_MIN} are needed")
        samples = np.ascontiguousarray(features[known])
        samples[:, _clocks(features)] = np.nan
        return known, samples, _target(label, scale, known)

    def _shaped(self, dataset: Dataset, rows: IntArray, known: BoolArray, target: FloatArray, sure: float) -> Shape:
        """Return the shape without its quantiles: the mean label, the tide, and what is left regressed on the target learned."""
        features, label, scale = dataset.features[rows], dataset.label[rows], dataset.scale[rows]
        drift = sure * float(np.clip(label[known], -CLIP_SIGMA, CLIP_SIGMA).mean())
        moved, before = (label - drift) / _ratio(scale), self._past(features, scale)
        slope = tide.slope(before, np.clip(moved, -CLIP_SIGMA, CLIP_SIGMA), known, self.horizon)
        beyond = metrics.row_demean(np.where(known, moved, np.nan)) if _ranked(known) else moved - slope * before[:, None]
        outcome = np.clip(beyond, -CLIP_SIGMA, CLIP_SIGMA)[known]
        return Shape(drift, float(np.sum(outcome * target[known]) / np.sum(target[known] ** 2)), slope, ())

    def _past(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        return tide.past(features, self.names, scale)

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


def _clocks(features: Float32Array) -> BoolArray:
    """Return [F] true for features of [T, S, F] that are the same for all symbols and hardly ever come back to where they were.

    The place in the year, in less than ten years of bars, is such a date in disguise: what trees learn from it was true then only.
    """
    highest, lowest = np.fmax.reduce(features, axis=1), np.fmin.reduce(features, axis=1)
    apart = (highest > lowest).any(axis=0)
    median = np.array([np.median(column[np.isfinite(column)]) if np.isfinite(column).any() else np.nan for column in highest.T])
    above = highest > median
    returns = (above[1:] != above[:-1]).sum(axis=0)
    return np.asarray(~apart & (returns < RETURNS_MIN))


def _target(label: FloatArray, scale: FloatArray, known: BoolArray) -> FloatArray:
    """Return [T, S] the normal score of each symbol's rank in its row by return, or the clipped label where few names trade."""
    if not _ranked(known):
        return np.clip(label, -CLIP_SIGMA, CLIP_SIGMA)
    return metrics.normal_scores(label * scale, known)


def _ranked(known: BoolArray) -> bool:
    count = known.sum(axis=1)
    return bool(np.median(count[count > 0]) >= RANKED_NAMES_MIN)


def _ratio(scale: FloatArray) -> FloatArray:
    """Return [T, S] the row's median volatility over the symbol's own: what a return in the one unit is in the other."""
    positive = np.where(scale > 0.0, scale, np.nan)
    middle = np.full(len(scale), np.nan)
    some = np.isfinite(positive).any(axis=1)
    middle[some] = np.nanmedian(positive[some], axis=1)
    return middle[:, None] / positive


def _xgboost() -> Any:
    """Return the library, told to let waiting threads sleep: spinning ones took 31 s instead of 1 s on a busy machine."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import xgboost

    return xgboost
