"""Cross-section: a symbol against the others in the same row. These kernels need whole rows."""

import math

import numpy as np
import numpy.typing as npt

from domain.compiled import kernel
from domain.panel import FloatArray

IntArray = npt.NDArray[np.int64]

#: Rows of a rank's scratch space: each value's bucket, where the next value of each bucket goes, the values and columns in order.
RANK_SLOTS = 4


@kernel
def rank(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the average rank among the row's present values, mapped to [-0.5, 0.5]; ties share it, NaN takes no part.

    The lowest of n values gets -0.5, the highest 0.5; a value alone in its row gets 0.
    """
    for t in range(x.shape[0]):
        present = sort(x[t, first:last], state)
        _share(state[2], state[3].view(np.int64), present, out[t, first:last])


@kernel
def sort(x: FloatArray, space: FloatArray) -> int:
    """Sort the row's present values; return how many there are.

    Scratch space of RANK_SLOTS rows: afterwards the values lie in its third row, their columns as integers in its fourth.
    """
    bucket, following, order = space[0].view(np.int64), space[1].view(np.int64), space[3].view(np.int64)
    present = _count(x, bucket, following)
    _distribute(x, bucket, following, space[2], order)
    _insert(space[2], order, present)
    return present


@kernel
def _count(x: FloatArray, bucket: IntArray, following: IntArray) -> int:
    """Put each value into one of as many equal buckets as there are columns; return how many values there are."""
    low, high = np.inf, -np.inf
    for s in range(x.size):
        low = x[s] if x[s] < low else low
        high = x[s] if x[s] > high else high
    scale = (x.size - 1) / (high - low) if high > low else 0.0
    following[:] = 0
    for s in range(x.size):
        scaled = (x[s] - low) * scale
        bucket[s] = int(scaled) if 0.0 <= scaled < x.size else 0
    for s in range(x.size):
        following[bucket[s]] += 0 if math.isnan(x[s]) else 1
    total = 0
    for i in range(x.size):
        size = following[i]
        following[i] = total
        total += size
    return total


@kernel
def _distribute(x: FloatArray, bucket: IntArray, following: IntArray, values: FloatArray, order: IntArray) -> None:
    """Write values and columns bucket by bucket, as they come within each."""
    for s in range(x.size):
        if not math.isnan(x[s]):
            place = following[bucket[s]]
            following[bucket[s]] = place + 1
            values[place], order[place] = x[s], s


@kernel
def _insert(values: FloatArray, order: IntArray, present: int) -> None:
    """Sort what is sorted but for the inside of buckets, by insertion."""
    for i in range(1, present):
        value, column, place = values[i], order[i], i
        while place > 0 and values[place - 1] > value:
            values[place], order[place] = values[place - 1], order[place - 1]
            place -= 1
        values[place], order[place] = value, column


@kernel
def _share(values: FloatArray, order: IntArray, present: int, out: FloatArray) -> None:
    """Write the ranks of sorted values to their columns, NaN to all others."""
    out[:] = np.nan
    i = 0
    while i < present:
        ties = 1
        while i + ties < present and values[i + ties] == values[i]:
            ties += 1
        place = (i + 0.5 * (ties - 1)) / (present - 1) - 0.5 if present > 1 else 0.0
        for j in range(i, i + ties):
            out[order[j]] = place
        i += ties


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
