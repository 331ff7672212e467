"""Cross-section: a symbol against the others in the same row. These kernels need whole rows."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: Rows of a rank's scratch space: the row's present values in order.
RANK_SLOTS = 1


@kernel
def rank(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the average rank among the row's present values, mapped to [-0.5, 0.5]; ties share it, NaN takes no part.

    The lowest of n values gets -0.5, the highest 0.5; a value alone in its row gets 0.
    """
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        present = _gather(row, state[0])
        ordered = state[0, :present]
        ordered.sort()
        for s in range(row.size):
            o[s] = np.nan if math.isnan(row[s]) else _place(ordered, row[s])


@kernel
def _gather(x: FloatArray, values: FloatArray) -> int:
    """Put the present values together; return how many there are."""
    present = 0
    for s in range(x.size):
        if not math.isnan(x[s]):
            values[present] = x[s]
            present += 1
    return present


@kernel
def _place(ordered: FloatArray, value: float) -> float:
    """Return the mapped rank of a value that is among the ordered ones, found by halving without a branch."""
    if ordered.size == 1:
        return 0.0
    below, left = 0, ordered.size
    while left > 1:
        half = left // 2
        below += half if ordered[below + half - 1] < value else 0
        left -= half
    equal = 1
    while below + equal < ordered.size and ordered[below + equal] == value:
        equal += 1
    return (below + 0.5 * (equal - 1)) / (ordered.size - 1) - 0.5


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
