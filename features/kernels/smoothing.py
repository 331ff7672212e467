"""Exponential recurrences: y += gain * (x - hold * y) after a seed over the first bars."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: Rows of state: bars seen, the running value.
SLOTS = 2


@kernel
def advance(
    x: FloatArray,
    count: FloatArray,
    value: FloatArray,
    seed: int,
    weight: float,
    gain: float,
    hold: float,
    need: int,
    out: FloatArray,
) -> None:
    """Advance one row; the first `seed` bars are summed with `weight`, and values are written from bar `need` on."""
    for s in range(x.size):
        present = not math.isnan(x[s])
        bars = count[s] + (1.0 if present else 0.0)
        seeding = bars <= seed
        y = value[s] + (weight if seeding else gain) * (x[s] - (0.0 if seeding else hold) * value[s])
        value[s] = y if present else value[s]
        count[s] = bars
        out[s] = y if bars >= need else np.nan


@kernel
def smooth(
    x: FloatArray,
    seed: int,
    weight: float,
    gain: float,
    hold: float,
    need: int,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Advance all rows of one recurrence."""
    count, value = state[0, first:last], state[1, first:last]
    for t in range(x.shape[0]):
        advance(x[t, first:last], count, value, seed, weight, gain, hold, need, out[t, first:last])
