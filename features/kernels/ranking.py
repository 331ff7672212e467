"""Ranks and shares of a row in the forms that published formulas take. These kernels need whole rows."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import cross_section
from features.kernels.cross_section import IntArray


@kernel
def percentile(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the average rank over the number of the row's present values, in (0, 1] (Kakushadze 2016, appendix A: rank).

    State: cross_section.RANK_SLOTS rows.
    """
    for t in range(x.shape[0]):
        o = out[t, first:last]
        present = cross_section.sort(x[t, first:last], state)
        for s in range(o.size):
            o[s] = np.nan
        _write(state[2], state[3].view(np.int64), present, o)


@kernel
def _write(values: FloatArray, column: IntArray, present: int, out: FloatArray) -> None:
    """Write the shares of sorted values to their columns."""
    i = 0
    while i < present:
        ties = 1
        while i + ties < present and values[i + ties] == values[i]:
            ties += 1
        for j in range(i, i + ties):
            out[column[j]] = (i + 0.5 * (ties + 1.0)) / present
        i += ties


@kernel
def scale(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x over the sum of the row's absolute values (Kakushadze 2016, appendix A: scale); 0 where that is zero."""
    for t in range(x.shape[0]):
        row, o, total = x[t, first:last], out[t, first:last], 0.0
        for s in range(row.size):
            total += 0.0 if math.isnan(row[s]) else abs(row[s])
        for s in range(row.size):
            o[s] = row[s] / total if total > 0.0 else 0.0 * row[s]
