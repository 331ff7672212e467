"""Inputs: features as a learner can take them, measured on the rows that it learns from and on no others."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
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
#: What the names of features begin with that are nearly constant for a symbol.
STATIC = "static_"
#: Those of them that are codes and not measures.
CODES = ("static_sector",)
#: Classes that a code may have, 0 for the unknown. They hold the top level of GICS and ICB (11 sectors), of NAICS (20) and Fama and
#: French's 30 industries, and are as many for every market, so that one sector more needs no other shape of weights.
CLASSES = 32


@dataclass(frozen=True)
class Places:
    """Where among features lies what a network takes in its own way each."""

    varying: tuple[int, ...]
    codes: tuple[int, ...]
    """Static classes."""
    measures: tuple[int, ...]
    """Static numbers."""

    @classmethod
    def of(cls, names: Sequence[str]) -> Self:
        """Return the places of named features."""
        static = [place for place, name in enumerate(names) if name.startswith(STATIC)]
        codes = [place for place in static if names[place] in CODES]
        varying = set(range(len(names))) - set(static)
        return cls(tuple(sorted(varying)), tuple(codes), tuple(place for place in static if place not in codes))

    @property
    def static(self) -> tuple[int, ...]:
        """Codes, and then measures."""
        return self.codes + self.measures


@dataclass(frozen=True)
class Scaler:
    """A centre and a width for each feature; one of width infinity says nothing, one of width NaN is a code: it has no scale."""

    centre: Float32Array
    """[F]; of a code the highest that was seen."""
    width: Float32Array
    """[F], positive or NaN."""

    @classmethod
    def fit(cls, features: Float32Array, codes: Sequence[int] = ()) -> Self:
        """Return median and normal-equivalent interquartile range of each feature of [T, S, F], what tells the date left out.

        A feature whose quartiles coincide is measured by its standard deviation instead, one that never varies says nothing.
        `codes` are the places of those that are not measured but taken for classes.
        """
        dates = clocks(features)
        measured = [(0.0, np.inf) if told else _spread(features[..., k]) for k, told in enumerate(dates)]
        centre, width = np.array(measured, dtype=np.float32).reshape(-1, 2).T
        for place in codes:
            centre[place], width[place] = np.nanmax(features[..., place], initial=-1.0), np.nan
        return cls(np.ascontiguousarray(centre), np.ascontiguousarray(width))

    def apply(self, features: Float32Array) -> Float32Array:
        """Return [..., F] features in widths from their centre, within CLIP_SIGMA, and 0, the centre, where they are missing.

        Codes become the numbers of their classes.
        """
        scaled = (features - self.centre) / self.width
        np.clip(scaled, -CLIP_SIGMA, CLIP_SIGMA, out=scaled)
        np.copyto(scaled, 0.0, where=np.isnan(scaled))
        for place in self._codes:
            scaled[..., place] = classes(features[..., place], self.centre[place])
        return scaled

    @cached_property
    def _codes(self) -> tuple[int, ...]:
        return tuple(np.flatnonzero(np.isnan(self.width)).tolist())


def classes(codes: Float32Array, highest: np.float32) -> Float32Array:
    """Return the class of each code, one above it; 0 for what is missing, higher than what was learned, or beyond CLASSES."""
    known = (codes >= 0.0) & (codes <= min(highest, np.float32(CLASSES - 2)))
    return np.where(known, codes + np.float32(1.0), np.float32(0.0))


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
