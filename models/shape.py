"""Shape: what turns a learner's ranking score and log width into quantiles of a return.

A quantile is `location + width * q`. Most of a return is the market's own move, which hides what tells symbols apart, so a learner
is asked for each row's ranking; what one unit of that is worth is one number, and the market's move is the business of
`models.tide`. The width is learned from how far outcomes fell from the location; `q` is the empirical quantile of the miss in
widths. All of it is in volatilities of the horizon.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np

from domain.error import ModelError
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from models import calibration, contract, metrics, tide
from models.contract import BoolArray, Dataset, Float32Array, IntArray

#: Fewer names than this in the usual row and time is learned from instead of ranks.
RANKED_NAMES_MIN = 4
#: Outcomes beyond this many volatilities weigh no more than these.
CLIP_SIGMA = 4.0
#: Keeps the logarithm of a miss finite; in volatilities of the horizon.
MISS_SIGMA_MIN = 0.05
SAMPLES_MIN = 200


@dataclass(frozen=True)
class Lesson:
    """What some rows of a dataset have to teach."""

    features: Float32Array
    """[T, S, F]"""
    label: FloatArray
    """[T, S], NaN where it is not known or nothing may be believed."""
    scale: FloatArray
    """[T, S]"""
    names: tuple[str, ...]
    horizon: int
    shorter: Mapping[int, FloatArray] = field(default_factory=dict)
    """By horizon, labels [T, S] of shorter ones."""

    @classmethod
    def of(cls, dataset: Dataset, rows: IntArray, learned: int | None = None) -> Self:
        """Return the lesson of `rows`; raise ModelError when fewer than SAMPLES_MIN labels of the first `learned` are known."""
        features, label, scale = dataset.features[rows], dataset.label[rows], dataset.scale[rows]
        known = contract.believable(features, scale) & np.isfinite(label)
        if (count := known[:learned].sum()) < SAMPLES_MIN:
            asked = f"a model was to be fitted to {len(known[:learned])} bars of {len(dataset.symbols)} symbols"
            raise ModelError(f"{asked}, but only {count} labels are known there and at least {SAMPLES_MIN} are needed")
        shorter = {horizon: np.where(known, each[rows], np.nan) for horizon, each in dataset.nearer.items()}
        return cls(features, np.where(known, label, np.nan), scale, dataset.names, dataset.horizon, shorter)

    def nearer(self) -> tuple[Self, ...]:
        """Return the lessons of the shorter horizons, the shortest first."""
        return tuple(replace(self, label=self.shorter[each], horizon=each, shorter={}) for each in sorted(self.shorter))

    @property
    def known(self) -> BoolArray:
        """[T, S] where there is something to learn."""
        return np.isfinite(self.label)

    @property
    def past(self) -> FloatArray:
        """[T] the market's past move."""
        return tide.past(self.features, self.names, self.scale)

    @property
    def sure(self) -> float:
        """How much of the mean label is to be believed."""
        return metrics.certainty(metrics.row_mean(np.clip(self.label, -CLIP_SIGMA, CLIP_SIGMA)), self.horizon)

    def target(self) -> FloatArray:
        """Return [T, S] the normal score of each symbol's rank in its row by return, or the clipped label where few names trade."""
        if not ranked(self.known):
            return np.clip(self.label, -CLIP_SIGMA, CLIP_SIGMA)
        return metrics.normal_scores(self.label * self.scale, self.known)

    def apart(self) -> FloatArray:
        """Return [T, S] the label less its row's move, in the symbol's own volatilities; as it is where few names trade."""
        if not ranked(self.known):
            return self.label
        own = ratio(self.scale)
        return metrics.row_demean(self.label / own) * own


@dataclass(frozen=True)
class Shape:
    """The few numbers beside what was learned."""

    drift: float
    """Mean label in the symbol's own volatilities of the horizon, shrunk toward zero by its uncertainty."""
    worth: float
    """Return of one unit of ranking score, in volatilities of the horizon of the row's median symbol."""
    tide: float
    """Return of the whole row for one unit of its past move, in the same volatilities."""
    quantiles: tuple[float, ...] = (0.0,) * len(LEVELS)
    """Of the miss in widths, one a level."""

    @classmethod
    def fit(cls, lesson: Lesson) -> Self:
        """Return the shape without its quantiles: the mean label, the tide, and what is left regressed on the target learned."""
        label, known, target, past = lesson.label, lesson.known, lesson.target(), lesson.past
        drift = lesson.sure * float(np.clip(label[known], -CLIP_SIGMA, CLIP_SIGMA).mean())
        moved = (label - drift) / ratio(lesson.scale)
        slope = tide.slope(past, np.clip(moved, -CLIP_SIGMA, CLIP_SIGMA), known, lesson.horizon)
        beyond = metrics.row_demean(moved) if ranked(known) else moved - slope * past[:, None]
        outcome = np.clip(beyond, -CLIP_SIGMA, CLIP_SIGMA)[known]
        return cls(drift, float(np.sum(outcome * target[known]) / np.sum(target[known] ** 2)), slope)

    def centre(self, score: FloatArray, past: FloatArray, scale: FloatArray) -> FloatArray:
        """Return [T, S] the location in each symbol's own volatilities of the horizon, from scores [T, S] and past moves [T]."""
        return self.drift + (self.worth * score + self.tide * past[:, None]) * ratio(scale)

    def miss(self, lesson: Lesson, score: FloatArray) -> FloatArray:
        """Return [T, S] the label less the location, NaN where the label is not known."""
        return lesson.label - self.centre(score, lesson.past, lesson.scale)

    def closed(self, lesson: Lesson, score: FloatArray, width: FloatArray) -> Self:
        """Return the shape with the quantiles that misses in widths `exp(width)` [T, S] had on the lesson."""
        misses = self.miss(lesson, score) / np.exp(width)
        quantiles = np.quantile(misses[np.isfinite(misses)], LEVELS)
        # The median is drift as well: no more of it is believed than of the mean.
        return replace(self, quantiles=tuple((quantiles - (1.0 - lesson.sure) * quantiles[MEDIAN]).tolist()))

    def recalibrated(self, forecasts: FloatArray, outcome: FloatArray, horizon: int) -> Self:
        """Return the shape with its quantiles where outcomes fell; see models.calibration."""
        moved = calibration.refitted(np.array(self.quantiles), forecasts, outcome, horizon)
        return replace(self, quantiles=tuple(moved.tolist()))

    def forecast(
        self, score: FloatArray, width: FloatArray, features: Float32Array, scale: FloatArray, names: tuple[str, ...], horizon: int
    ) -> FloatArray:
        """Return [T, S, Q] sorted log-return quantiles from scores and log widths [T, S], NaN where nothing may be believed."""
        centre = self.centre(score, tide.past(features, names, scale), scale)
        quantiles = centre[..., None] + np.exp(width)[..., None] * np.array(self.quantiles)
        return contract.unscale(quantiles, features, scale, horizon)

    @classmethod
    def told(cls, kept: dict[str, Any]) -> Self:
        """Return the shape that a model's file tells."""
        return cls(float(kept["drift"]), float(kept["worth"]), float(kept["tide"]), tuple(map(float, kept["quantiles"])))


def ranked(known: BoolArray) -> bool:
    """Return whether the usual row of [T, S] has enough names to rank."""
    count = known.sum(axis=1)
    return bool(np.median(count[count > 0]) >= RANKED_NAMES_MIN)


def ratio(scale: FloatArray) -> FloatArray:
    """Return [T, S] the row's median volatility over the symbol's own: what a return in the one unit is in the other."""
    positive = np.where(scale > 0.0, scale, np.nan)
    return metrics.row_median(positive)[:, None] / positive
