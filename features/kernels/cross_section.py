"""Cross-section: a symbol against the others in the same row. These kernels need whole rows."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: Rows of a rank's scratch space.
RANK_SLOTS = 0


@kernel
def rank(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the average rank among the row's present values, mapped to [-0.5, 0.5]; ties share it, NaN takes no part.

    The lowest of n values gets -0.5, the highest 0.5; a value alone in its row gets 0.
    """
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        present = 0
        for s in range(row.size):
            present += not math.isnan(row[s])
        for s in range(row.size):
            o[s] = _place(row, row[s], present)


@kernel
def _place(row: FloatArray, value: float, present: int) -> float:
    if math.isnan(value):
        return np.nan
    if present == 1:
        return 0.0
    below, equal = 0, 0
    for s in range(row.size):
        below += row[s] < value
        equal += row[s] == value
    return (below + 0.5 * (equal - 1)) / (present - 1) - 0.5


@kernel
def mean(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the mean of the row's present values to every present column."""
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        total, present = 0.0, 0.0
        for s in range(row.size):
            total += row[s] if not math.isnan(row[s]) else 0.0
            present += 1.0 if not math.isnan(row[s]) else 0.0
        for s in range(row.size):
            o[s] = total / present if not math.isnan(row[s]) else np.nan
