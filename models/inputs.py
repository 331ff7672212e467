"""Inputs: features as a learner can take them, measured on the rows that it learns from and on no others."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy import stats

from models.contract import BoolArray, Float32Array

#: A feature of the whole market that passed its median less often than this tells the date: whatever it explains will not return.
RETURNS_MIN = 20
#: Scaled values beyond this many deviations say no more than this.
CLIP_SIGMA = 4.0
#: The interquartile range of a normal distribution of deviation 1.
IQR_NORMAL = float(stats.norm.ppf(0.75) - stats.norm.ppf(0.25))
#: More known values than this change no quartile that matters; they are thinned evenly.
SAMPLE = 200_000


@dataclass(frozen=True)
class Scaler:
    """A centre and a width for each feature; a feature of width infinity says nothing."""

    centre: Float32Array
    """[F]"""
    width: Float32Array
    """[F], positive."""

    @classmethod
    def fit(cls, features: Float32Array) -> Self:
        """Return median and normal-equivalent interquartile range of each feature of [T, S, F], what tells the date left out.

        A feature whose quartiles coincide is measured by its standard deviation instead, one that never varies says nothing.
        """
        dates = clocks(features)
        measured = [(0.0, np.inf) if told else _spread(features[..., k]) for k, told in enumerate(dates)]
        centre, width = np.array(measured, dtype=np.float32).reshape(-1, 2).T
        return cls(np.ascontiguousarray(centre), np.ascontiguousarray(width))

    def apply(self, features: Float32Array) -> Float32Array:
        """Return [..., F] features in widths from their centre, within CLIP_SIGMA, and 0, the centre, where they are missing."""
        scaled = (features - self.centre) / self.width
        np.clip(scaled, -CLIP_SIGMA, CLIP_SIGMA, out=scaled)
        np.copyto(scaled, 0.0, where=np.isnan(scaled))
        return scaled


def clocks(features: Float32Array) -> BoolArray:
    """Return [F] true for features of [T, S, F] that are the same for all symbols and hardly ever come back to where they were.

    The place in the year, in less than ten years of bars, is such a date in disguise: what is learned from it was true then only.
    """
    highest, lowest = np.fmax.reduce(features, axis=1), np.fmin.reduce(features, axis=1)
    apart = (highest > lowest).any(axis=0)
    median = np.array([np.median(column[np.isfinite(column)]) if np.isfinite(column).any() else np.nan for column in highest.T])
    above = highest > median
    returns = (above[1:] != above[:-1]).sum(axis=0)
    return np.asarray(~apart & (returns < RETURNS_MIN))


def _spread(values: Float32Array) -> tuple[float, float]:
    """Return (centre, width) of one feature [T, S]."""
    known = values[np.isfinite(values)]
    known = known[:: max(len(known) // SAMPLE, 1)].astype(np.float64)
    if not len(known):
        return 0.0, np.inf
    low, middle, high = np.quantile(known, (0.25, 0.5, 0.75))
    width = (high - low) / IQR_NORMAL or float(known.std())
    return float(middle), width if width > 0.0 else np.inf
