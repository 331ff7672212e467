"""Model: what every forecaster of the house takes, gives and promises."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol, Self

import numpy as np
import numpy.typing as npt

from domain.panel import FloatArray, TimeArray
from domain.params import Training

Float32Array = npt.NDArray[np.float32]
IntArray = npt.NDArray[np.int64]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Dataset:
    """Features and labels of one market, row by row of its panel."""

    features: Float32Array
    """[T, S, F] known at event_at[t]; NaN where a feature is missing."""
    forward: FloatArray
    """[T, S] log return from open[t + 1] to open[t + 1 + horizon]; NaN where unknown. Known `horizon + 1` rows later."""
    label: FloatArray
    """[T, S] what models are fitted to, in volatilities of the horizon (`scale * sqrt(horizon)`); NaN where unknown."""
    scale: FloatArray
    """[T, S] volatility of one bar's log return, known at event_at[t]."""
    event_at: TimeArray
    """[T] close of each bar."""
    names: tuple[str, ...]
    symbols: tuple[str, ...]
    horizon: int
    nearer: Mapping[int, FloatArray] = field(default_factory=dict)
    """By horizon, the labels [T, S] of shorter ones, each in its own volatilities: what may be learned beside `label`."""

    @property
    def bars(self) -> int:
        """Number of rows T."""
        return len(self.event_at)

    def samples(self, rows: IntArray) -> tuple[Float32Array, FloatArray]:
        """Return ([N, F] features, [N] labels) of `rows`, by time and then symbol, where both are known."""
        features, label = self.features[rows], self.label[rows]
        known = believable(features, self.scale[rows]) & np.isfinite(label)
        return np.ascontiguousarray(features[known]), label[known]


class Model(Protocol):
    """A forecaster. A row's forecast depends on that row (and its context) alone, to the last bit."""

    horizon: int
    """Bars that a forecast looks ahead."""

    @property
    def rounds(self) -> int:
        """Steps of training that the last fit found best; 0 where fitting has no steps."""
        ...

    @property
    def family(self) -> str:
        """The word that makes such a model."""
        ...

    @property
    def context_bars(self) -> int:
        """Rows that one forecast reads, its own included; the first `context_bars - 1` rows of `predict` are NaN."""
        ...

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return an unfitted model; `rounds` overrides how many steps it may learn."""
        ...

    def fit(self, dataset: Dataset, train: IntArray, valid: IntArray, checkpoint: Path | None = None) -> None:
        """Fit to the time rows `train`, stopping early on `valid`; an empty `valid` runs every round asked for.

        A fit that takes long leaves in the folder `checkpoint` what it needs to go on after a kill, to the same bits.
        """
        ...

    def fine_tune(self, dataset: Dataset, rows: IntArray, rounds: int) -> None:
        """Go on from what was learned, with `rounds` more steps on `rows`."""
        ...

    def recalibrate(self, forecasts: FloatArray, outcome: FloatArray) -> None:
        """Refit where the quantiles lie around the median, and nothing else of what was learned.

        `forecasts` [T, S, Q] were made by this model, or by others fitted like it, for rows that they had not seen; `outcome`
        [T, S] is the log return that came, NaN where it is not known yet. Raises ModelError when that is too little.
        """
        ...

    def predict(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, Q] quantiles of the log return over the horizon, non-decreasing along Q.

        NaN where the scale is missing or not positive, or where every feature is missing.
        """
        ...

    def importance(self) -> dict[str, float]:
        """Return each feature's share of what the model learned, summing to 1, or nothing at all."""
        ...

    def save(self, folder: Path) -> None:
        """Write code-free files into `folder`, the same bytes for the same model."""
        ...

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        ...


def believable(features: Float32Array, scale: FloatArray) -> BoolArray:
    """Return [...] true where anything may be forecast: a positive scale and at least one feature."""
    return np.isfinite(scale) & (scale > 0.0) & ~np.isnan(features).all(axis=-1)


def unscale(quantiles: FloatArray, features: Float32Array, scale: FloatArray, horizon: int) -> FloatArray:
    """Return quantiles in volatilities of the horizon (broadcast to [T, S, Q]) as sorted log returns, NaN where unbelievable."""
    sigma = np.where(believable(features, scale), scale * math.sqrt(horizon), np.nan)
    return np.sort(quantiles * sigma[..., None], axis=-1)
