"""Forecast: what a model believes about the next bars."""

from dataclasses import dataclass

import numpy as np

from domain.panel import FloatArray

#: The quantile levels that every model of the house forecasts, in this order.
LEVELS: tuple[float, ...] = (0.05, 0.25, 0.5, 0.75, 0.95)
MEDIAN = LEVELS.index(0.5)


@dataclass(frozen=True)
class Forecast:
    """Quantiles of the log return from the next bar's open to the open `horizon` bars after it."""

    symbols: tuple[str, ...]
    values: FloatArray
    """[S, Q] one row a symbol, one column a level of LEVELS, non-decreasing along Q; NaN where nothing is believed."""
    horizon: int
    """Bars between the two opens."""
    model_version: str
    known_at: np.datetime64
    """Close of the newest bar that the forecast has seen."""
