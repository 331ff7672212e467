"""Macro: series of the whole economy, as they were known at each row, handed to every symbol that has a bar."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray


@kernel
def level(value: FloatArray, x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the value where `x` has a bar."""
    for t in range(value.shape[0]):
        row, bar, o = value[t, first:last], x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = np.nan if math.isnan(bar[s]) else row[s]


@kernel
def spread(a: FloatArray, b: FloatArray, x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write a - b where `x` has a bar."""
    for t in range(a.shape[0]):
        above, below, bar, o = a[t, first:last], b[t, first:last], x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = np.nan if math.isnan(bar[s]) else above[s] - below[s]
