"""Order statistics: where values lie among those of their window.

Each window is kept sorted, oldest bar out and newest in by one sweep over its rows: with v the sorted values, o the value that
leaves and x the one that enters, v'[i] = v[i] if v[i] < o else v[i + 1], and the new i-th value is max(v'[i - 1], min(x, v'[i])).
No branch depends on a value, so the sweep is SIMD over symbols. Rows that no bar has filled yet hold infinity; so does a bar that
is missing, which then changes nothing.
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import nested, window

#: Rows of state before the ring: the window's own, whether it was begun, four rows of scratch.
HEAD = window.HEAD + 5
#: Series that are written for each window.
PARTS = 3


@kernel
def quantiles(
    x: FloatArray,
    upper: float,
    lower: float,
    a: int,
    b: int,
    c: int,
    d: int,
    e: int,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write for each of five nested windows: the upper and the lower quantile over x, and the rank of x, up to 1.

    Quantiles lie linearly between neighbours; equal values share their mean rank. State: HEAD + 2 * (e + 1) + a + b + c + d + e
    rows.
    """
    own = state[window.HEAD :]
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    below, after = own[1, first:last], HEAD + 2 * size
    begin(state, after + a + b + c + d + e, first, last)
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row, top, begun, sorted_rows = x[t, first:last], HEAD + place, 0, after
        if late:
            window.resume(row, lag, state[HEAD : HEAD + 2 * size, first:last], size)
        late = nested.enter(row, count, lag, state[top, first:last], state[top + size, first:last])
        below[:] = 0.0
        for w in range(5):
            bars = (a, b, c, d, e)[w]
            for age in range(begun, bars, nested.STRIDE):
                _add_below(nested.five(state, top + size - age, first, last), row, below)
            begun = bars
            replace(state, row, top + size - bars, sorted_rows, bars, first, last)
            for part in range(2):
                place_of = (upper if part == 0 else lower) * (bars - 1.0)
                near = sorted_rows + int(place_of)
                one, two = state[near, first:last], state[near + 1, first:last]
                _write_quantile(row, count, one, two, place_of - int(place_of), bars, out[PARTS * w + part, t, first:last])
            _write_rank(row, count, below, bars, out[PARTS * w + 2, t, first:last])
            sorted_rows += bars
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def begin(state: FloatArray, end: int, first: int, last: int) -> None:
    """Fill the rings and the sorted rows of columns that were never begun with infinity, not with the zeros of a new state."""
    for s in range(first, last):
        if state[window.HEAD, s] == 0.0:
            state[window.HEAD, s] = 1.0
            for k in range(HEAD, end):
                state[k, s] = np.inf


@kernel
def _add_below(rows: nested.Rows, newest: FloatArray, below: FloatArray) -> None:
    """Count two for a value below the newest, one for an equal one."""
    a, b, c, d, e = rows
    for s in range(newest.size):
        x = newest[s]
        below[s] += ((_below(a[s], x) + _below(b[s], x)) + (_below(c[s], x) + _below(d[s], x))) + _below(e[s], x)


@kernel
def _below(x: float, newest: float) -> float:
    return (1.0 if x < newest else 0.0) + (1.0 if x <= newest else 0.0)


@kernel
def replace(state: FloatArray, x: FloatArray, left: int, k: int, bars: int, first: int, last: int) -> None:
    """Take the value that left a window out of its sorted rows from `k` on, and put the newest one in."""
    own = state[window.HEAD :]
    old, new, before = own[2, first:last], own[3, first:last], own[4, first:last]
    _exchange(x, state[left, first:last], old, new)
    before[:] = -np.inf
    at, end = k, k + bars - 1
    while at + nested.STRIDE <= end:
        rows = nested.five(state, at + nested.STRIDE - 1, first, last)
        _sweep_five(rows, state[at + nested.STRIDE, first:last], old, new, before)
        at += nested.STRIDE
    for i in range(at, end):
        _sweep(state[i, first:last], state[i + 1, first:last], old, new, before)
    _close(state[k + bars - 1, first:last], old, new, before)


@kernel
def _exchange(x: FloatArray, left: FloatArray, old: FloatArray, new: FloatArray) -> None:
    for s in range(x.size):
        missing = math.isnan(x[s])
        old[s] = np.inf if missing else left[s]
        new[s] = np.inf if missing else x[s]


@kernel
def _sweep(row: FloatArray, following: FloatArray, old: FloatArray, new: FloatArray, before: FloatArray) -> None:
    for s in range(row.size):
        kept = row[s] if row[s] < old[s] else following[s]
        lower = new[s] if new[s] < kept else kept
        row[s] = lower if lower > before[s] else before[s]
        before[s] = kept


@kernel
def _sweep_five(rows: nested.Rows, following: FloatArray, old: FloatArray, new: FloatArray, before: FloatArray) -> None:
    """Do what `_sweep` does in five rows, the last of them first."""
    e, d, c, b, a = rows
    for s in range(new.size):
        left, x, kept = old[s], new[s], before[s]
        p, q, r, v, w = a[s], b[s], c[s], d[s], e[s]
        p, q, r, v = (p if p < left else q), (q if q < left else r), (r if r < left else v), (v if v < left else w)
        w = w if w < left else following[s]
        a[s], b[s], c[s] = _within(x, kept, p), _within(x, p, q), _within(x, q, r)
        d[s], e[s], before[s] = _within(x, r, v), _within(x, v, w), w


@kernel
def _within(x: float, low: float, high: float) -> float:
    """Return x, but no less than `low` and no more than `high`."""
    lower = x if x < high else high
    return lower if lower > low else low


@kernel
def _close(row: FloatArray, old: FloatArray, new: FloatArray, before: FloatArray) -> None:
    """Do what `_sweep` does in the last row, which only infinity follows."""
    for s in range(row.size):
        kept = row[s] if row[s] < old[s] else np.inf
        lower = new[s] if new[s] < kept else kept
        row[s] = lower if lower > before[s] else before[s]


@kernel
def _write_quantile(
    x: FloatArray, count: FloatArray, near: FloatArray, far: FloatArray, share: float, bars: int, out: FloatArray
) -> None:
    for s in range(x.size):
        value = x[s] if count[s] >= bars else np.nan
        out[s] = (near[s] + share * (far[s] - near[s])) / value


@kernel
def _write_rank(x: FloatArray, count: FloatArray, below: FloatArray, bars: int, out: FloatArray) -> None:
    share = 0.5 / bars
    for s in range(x.size):
        out[s] = (below[s] + 1.0) * (share if (count[s] >= bars) & (not math.isnan(x[s])) else np.nan)
