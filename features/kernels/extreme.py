"""Extremes: the highest and lowest of nested windows, and where in the window they lie. As `nested`, which see."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import nested, window

#: Rows of state before the rings: the window's own, both extremes, their ages, what exists.
HEAD = window.HEAD + 5
#: Series that are written for each window.
PARTS = 6


@kernel
def extremes(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
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
    """Write for each window: highest and lowest over close, the close's place between; the places of both, and how far apart.

    Places count from the oldest bar, 1, over the length; of equal extremes the oldest counts. State: HEAD + 4 * (e + 1)
    rows.
    """
    own = state[window.HEAD :]
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    top, bottom, joint = own[0, first:last], own[1, first:last], own[4, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(high.shape[0]):
        over, under, begun = HEAD + place, HEAD + place + 2 * size, 0
        nested.common(high[t, first:last], low[t, first:last], close[t, first:last], joint)
        if late:
            window.resume(joint, lag, state[HEAD : HEAD + 4 * size, first:last], size)
        late = nested.enter(joint, count, lag, state[over, first:last], state[over + size, first:last])
        nested.repeat(low[t, first:last], state[under, first:last], state[under + size, first:last])
        top[:], bottom[:] = -np.inf, -np.inf
        for w in range(5):
            bars = (a, b, c, d, e)[w]
            for age in range(begun, bars, nested.STRIDE):
                _extreme(
                    nested.five(state, over + size - age, first, last),
                    1.0,
                    float(age),
                    own[0, first:last],
                    own[2, first:last],
                )
                _extreme(
                    nested.five(state, under + size - age, first, last),
                    -1.0,
                    float(age),
                    own[1, first:last],
                    own[3, first:last],
                )
            begun = bars
            _write_extremes(close[t, first:last], joint, count, state, bars, out, PARTS * w, t, first, last)
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _extreme(rows: nested.Rows, side: float, age: float, best: FloatArray, best_age: FloatArray) -> None:
    """Let five bars compete for the highest of side * x; the older of two equal ones wins."""
    a, b, c, d, e = rows
    for s in range(best.size):
        value, at = best[s], best_age[s]
        p, q, r, v, w = side * a[s], side * b[s], side * c[s], side * d[s], side * e[s]
        at = age if p >= value else at
        value = p if p >= value else value
        at = age + 1.0 if q >= value else at
        value = q if q >= value else value
        at = age + 2.0 if r >= value else at
        value = r if r >= value else value
        at = age + 3.0 if v >= value else at
        value = v if v >= value else value
        best_age[s] = age + 4.0 if w >= value else at
        best[s] = w if w >= value else value


@kernel
def _write_extremes(
    close: FloatArray,
    joint: FloatArray,
    count: FloatArray,
    state: FloatArray,
    bars: int,
    out: FloatArray,
    k: int,
    t: int,
    first: int,
    last: int,
) -> None:
    own = state[window.HEAD :]
    top, bottom, top_age, bottom_age = own[0, first:last], own[1, first:last], own[2, first:last], own[3, first:last]
    highest, lowest, between = out[k, t, first:last], out[k + 1, t, first:last], out[k + 2, t, first:last]
    top_place, bottom_place, apart = out[k + 3, t, first:last], out[k + 4, t, first:last], out[k + 5, t, first:last]
    share = 1.0 / bars
    for s in range(close.size):
        known = (count[s] >= bars) & (not math.isnan(joint[s]))
        value, part = (close[s] if known else np.nan), (share if known else np.nan)
        over = 1.0 / value
        highest[s] = top[s] * over
        lowest[s] = -bottom[s] * over
        between[s] = (value + bottom[s]) / ((top[s] + bottom[s]) + nested.GUARD)
        top_place[s] = (bars - top_age[s]) * part
        bottom_place[s] = (bars - bottom_age[s]) * part
        apart[s] = (bottom_age[s] - top_age[s]) * part
