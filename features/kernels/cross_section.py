"""Cross-section: a symbol against the others in the same row. These kernels need whole rows."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: Rows of a rank's scratch space: each value's bucket, where each bucket begins, how far it is filled, the columns in order.
RANK_SLOTS = 4


@kernel
def rank(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the average rank among the row's present values, mapped to [-0.5, 0.5]; ties share it, NaN takes no part.

    The lowest of n values gets -0.5, the highest 0.5; a value alone in its row gets 0.
    """
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        present = _bucket(row, state[0], state[1])
        _sort(row, state[0], state[1], state[2], state[3])
        o[:] = np.nan
        i = 0
        while i < present:
            value, ties = row[int(state[3, i])], 1
            while i + ties < present and row[int(state[3, i + ties])] == value:
                ties += 1
            place = (i + 0.5 * (ties - 1)) / (present - 1) - 0.5 if present > 1 else 0.0
            for j in range(i, i + ties):
                o[int(state[3, j])] = place
            i += ties


@kernel
def _bucket(x: FloatArray, bucket: FloatArray, begin: FloatArray) -> int:
    """Put each value into one of as many equal buckets as there are columns; return how many values there are."""
    low, high, present = np.inf, -np.inf, 0
    for s in range(x.size):
        low = x[s] if x[s] < low else low
        high = x[s] if x[s] > high else high
        present += 0 if math.isnan(x[s]) else 1
    scale = (x.size - 1) / (high - low) if high > low else 0.0
    begin[:] = 0.0
    for s in range(x.size):
        if not math.isnan(x[s]):
            scaled = (x[s] - low) * scale
            place = int(scaled) if 0.0 <= scaled < x.size else 0
            bucket[s] = place
            begin[place] += 1.0
    total = 0.0
    for i in range(x.size):
        size = begin[i]
        begin[i] = total
        total += size
    return present


@kernel
def _sort(x: FloatArray, bucket: FloatArray, begin: FloatArray, filled: FloatArray, order: FloatArray) -> None:
    """Write the columns in the order of their values: bucket by bucket, by insertion within each."""
    filled[:] = 0.0
    for s in range(x.size):
        if not math.isnan(x[s]):
            place = int(bucket[s])
            low = int(begin[place])
            i = low + int(filled[place])
            filled[place] += 1.0
            while i > low and x[int(order[i - 1])] > x[s]:
                order[i] = order[i - 1]
                i -= 1
            order[i] = s


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
