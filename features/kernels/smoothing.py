"""Exponential recurrences: y += gain * (x - hold * y) after a seed over the first bars."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: Rows of state: bars seen, until all columns have seen enough of them; the running value.
SLOTS = 2


@kernel
def seeded(count: FloatArray, need: int) -> bool:
    """Return whether every column has seen `need` bars."""
    early = False
    for s in range(count.size):
        early |= count[s] < need
    return not early


@kernel
def advance(
    x: FloatArray,
    count: FloatArray,
    value: FloatArray,
    skipped: int,
    seed: int,
    weight: float,
    gain: float,
    hold: float,
    need: int,
    out: FloatArray,
) -> None:
    """Advance one row; after `skipped` bars, `seed` bars are summed with `weight`; values are written from bar `need` on."""
    for s in range(x.size):
        missing = math.isnan(x[s])
        bars = count[s] + (0.0 if missing else 1.0)
        seeding = bars <= skipped + seed
        y = value[s] + (weight if seeding else gain) * (x[s] - (0.0 if seeding else hold) * value[s])
        value[s] = value[s] if missing | (bars <= skipped) else y
        count[s] = bars
        out[s] = y if bars >= need else np.nan


@kernel
def advance_seeded(x: FloatArray, value: FloatArray, gain: float, hold: float, out: FloatArray) -> None:
    """Do what `advance` does after the seed."""
    for s in range(x.size):
        before = value[s]
        y = before + gain * (x[s] - hold * before)
        value[s] = before if math.isnan(x[s]) else y
        out[s] = y


@kernel
def smooth(
    x: FloatArray,
    skipped: int,
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
    ready = seeded(count, need)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if ready:
            advance_seeded(row, value, gain, hold, o)
        else:
            advance(row, count, value, skipped, seed, weight, gain, hold, need, o)
            ready = seeded(count, need)
