"""Counting: how many moves of nested windows go up and down, and how far. As `nested`, which see."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import nested, window

#: Rows of state before the rings: the window's own, and the sums of the scan.
HEAD = window.HEAD + 4
#: Series that are written for each window.
PARTS = 6


@kernel
def moves(x: FloatArray, a: int, b: int, c: int, d: int, e: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write for each window of changes x: shares of rises, of falls, their difference; and the same by size, guarded as in Qlib.

    State: HEAD + 2 * (e + 1) rows.
    """
    own = state[window.HEAD :]
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row, top, begun = x[t, first:last], HEAD + place, 0
        if late:
            window.resume(row, lag, state[HEAD : HEAD + 2 * size, first:last], size)
        late = nested.enter(row, count, lag, state[top, first:last], state[top + size, first:last])
        nested.clear(state, 4, first, last)
        for w in range(5):
            bars = (a, b, c, d, e)[w]
            for age in range(begun, bars, nested.STRIDE):
                rows = nested.five(state, top + size - age, first, last)
                _add_moves(rows, 1.0, own[0, first:last], own[2, first:last])
                _add_moves(rows, -1.0, own[1, first:last], own[3, first:last])
            begun = bars
            _write_moves(row, count, state, bars, out, PARTS * w, t, first, last)
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_moves(rows: nested.Rows, side: float, times: FloatArray, sizes: FloatArray) -> None:
    a, b, c, d, e = rows
    for s in range(times.size):
        p, q, r, v, w = (
            _positive(side * a[s]),
            _positive(side * b[s]),
            _positive(side * c[s]),
            _positive(side * d[s]),
            _positive(side * e[s]),
        )
        times[s] += ((_one(p) + _one(q)) + (_one(r) + _one(v))) + _one(w)
        sizes[s] += ((p + q) + (r + v)) + w


@kernel
def _positive(x: float) -> float:
    return x if x > 0.0 else 0.0


@kernel
def _one(x: float) -> float:
    return 1.0 if x > 0.0 else 0.0


@kernel
def _write_moves(
    x: FloatArray, count: FloatArray, state: FloatArray, bars: int, out: FloatArray, k: int, t: int, first: int, last: int
) -> None:
    own = state[window.HEAD :]
    rises, falls, risen, fallen = own[0, first:last], own[1, first:last], own[2, first:last], own[3, first:last]
    above, below, surplus = out[k, t, first:last], out[k + 1, t, first:last], out[k + 2, t, first:last]
    gain, loss, net = out[k + 3, t, first:last], out[k + 4, t, first:last], out[k + 5, t, first:last]
    share = 1.0 / bars
    for s in range(x.size):
        known = (count[s] >= bars) & (not math.isnan(x[s]))
        part = share if known else np.nan
        over = 1.0 / ((risen[s] + fallen[s] if known else np.nan) + nested.GUARD)
        above[s] = rises[s] * part
        below[s] = falls[s] * part
        surplus[s] = (rises[s] - falls[s]) * part
        gain[s] = risen[s] * over
        loss[s] = fallen[s] * over
        net[s] = (risen[s] - fallen[s]) * over
