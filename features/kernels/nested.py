"""Windows of five lengths that end at the same bar, measured in one scan over one ring.

The scan goes from the newest bar to the oldest and pauses where a window ends: five windows cost as much as the longest. All sums
are taken anew at every bar and about the newest value: nothing drifts, nothing has to be anchored, and a window of n bars loses at
most log10(n) digits to cancellation, because the newest value itself is one of its deviations, and zero.

A ring of `e + 1` rows is kept twice, one under the other, so that the bar of any age lies in one row. Lengths rise from `a` to
`e` and are multiples of STRIDE, the bars of one pass: every pass has to fetch its sums and write them back. What is written is
[parts, T, S], all parts of the first window first.
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import window

#: Rows of consecutive bars, the newest first.
Rows = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]
#: Bars that one pass of a scan takes.
STRIDE = 5
#: What Qlib adds to a divisor that may be zero.
GUARD = 1e-12
#: Rows of state before the rings: the window's own, and the sums of the scan.
LINE_HEAD, SPREAD_HEAD, PAIR_HEAD = (window.HEAD + sums for sums in (3, 2, 6))
#: Series that are written for each window.
LINE_PARTS, SPREAD_PARTS = 6, 3


@kernel
def enter(x: FloatArray, count: FloatArray, lag: FloatArray, upper: FloatArray, lower: FloatArray) -> bool:
    """Write a row's bars into both copies of a ring, count them, and return whether any column is behind now."""
    behind = False
    for s in range(x.size):
        missing = math.isnan(x[s])
        value = upper[s] if missing else x[s]
        upper[s] = value
        lower[s] = value
        count[s] += 0.0 if missing else 1.0
        lag[s] = lag[s] + 1.0 if missing else 0.0
        behind |= missing
    return behind


@kernel
def repeat(x: FloatArray, upper: FloatArray, lower: FloatArray) -> None:
    """Write a row's bars into both copies of another ring."""
    for s in range(x.size):
        value = upper[s] if math.isnan(x[s]) else x[s]
        upper[s] = value
        lower[s] = value


@kernel
def clear(state: FloatArray, rows: int, first: int, last: int) -> None:
    """Write zeros to the sums of a scan, the rows after the window's own."""
    for k in range(window.HEAD, window.HEAD + rows):
        state[k, first:last] = 0.0


@kernel
def five(state: FloatArray, k: int, first: int, last: int) -> Rows:
    """Return row `k` and the four above it, whose bars are older."""
    one, two = state[k - 1, first:last], state[k - 2, first:last]
    return state[k, first:last], one, two, state[k - 3, first:last], state[k - 4, first:last]


@kernel
def lines(x: FloatArray, a: int, b: int, c: int, d: int, e: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write for each window: mean, sample deviation, least-squares slope; R squared; residual of x; the value before the window.

    All but R squared are in units of x; a flat window has no R squared. The last part is the value as many bars ago as the window
    is long, and is known one bar later than the others. State: LINE_HEAD + 2 * (e + 1) rows.
    """
    own = state[window.HEAD :]
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    one, two, aged = own[0, first:last], own[1, first:last], own[2, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row, top, begun = x[t, first:last], LINE_HEAD + place, 0
        if late:
            window.resume(row, lag, state[LINE_HEAD : LINE_HEAD + 2 * size, first:last], size)
        late = enter(row, count, lag, state[top, first:last], state[top + size, first:last])
        clear(state, 3, first, last)
        for w in range(5):
            bars, k = (a, b, c, d, e)[w], LINE_PARTS * w
            for age in range(begun, bars, STRIDE):
                _add_line(five(state, top + size - age, first, last), row, float(age), one, two, aged)
            begun = bars
            _write_line(row, count, one, two, aged, bars, out, k, t, first, last)
            _write_past(row, count, state[top + size - bars, first:last], bars, out[k + 5, t, first:last])
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_line(rows: Rows, newest: FloatArray, age: float, one: FloatArray, two: FloatArray, aged: FloatArray) -> None:
    """Let five bars into the sums of u, u^2 and age * u, where u = x - newest; `age` is that of the first."""
    a, b, c, d, e = rows
    for s in range(newest.size):
        x = newest[s]
        p, q, r, v, w = a[s] - x, b[s] - x, c[s] - x, d[s] - x, e[s] - x
        total = ((p + q) + (r + v)) + w
        one[s] += total
        two[s] += ((p * p + q * q) + (r * r + v * v)) + w * w
        aged[s] += ((age * total + q) + (2.0 * r + 3.0 * v)) + 4.0 * w


@kernel
def _write_line(
    x: FloatArray,
    count: FloatArray,
    one: FloatArray,
    two: FloatArray,
    aged: FloatArray,
    bars: int,
    out: FloatArray,
    k: int,
    t: int,
    first: int,
    last: int,
) -> None:
    mean, deviation, slope = out[k, t, first:last], out[k + 1, t, first:last], out[k + 2, t, first:last]
    fit, residual = out[k + 3, t, first:last], out[k + 4, t, first:last]
    share, rest, half = 1.0 / bars, 1.0 / (bars - 1.0), 0.5 * (bars - 1.0)
    spread = 12.0 / (bars * (bars * bars - 1.0))
    for s in range(x.size):
        over = 1.0 / (x[s] if count[s] >= bars else np.nan)
        centre, square = one[s] * share, two[s] - one[s] * (one[s] * share)
        rise = (half * one[s] - aged[s]) * spread
        mean[s] = (x[s] + centre) * over
        deviation[s] = math.sqrt(square * rest) * over
        slope[s] = rise * over
        fit[s] = (rise * rise) * (x[s] * over) / (spread * square) if square > 0.0 else np.nan
        residual[s] = -(centre + rise * half) * over


@kernel
def _write_past(x: FloatArray, count: FloatArray, past: FloatArray, bars: int, out: FloatArray) -> None:
    for s in range(x.size):
        out[s] = past[s] / (x[s] if count[s] > bars else np.nan)


@kernel
def spreads(
    x: FloatArray, a: int, b: int, c: int, d: int, e: int, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write for each window: mean over x, sample deviation over x, sample deviation over mean, divisors guarded as in Qlib.

    State: SPREAD_HEAD + 2 * (e + 1) rows.
    """
    own = state[window.HEAD :]
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    one, two = own[0, first:last], own[1, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row, top, begun = x[t, first:last], SPREAD_HEAD + place, 0
        if late:
            window.resume(row, lag, state[SPREAD_HEAD : SPREAD_HEAD + 2 * size, first:last], size)
        late = enter(row, count, lag, state[top, first:last], state[top + size, first:last])
        clear(state, 2, first, last)
        for w in range(5):
            bars, k = (a, b, c, d, e)[w], SPREAD_PARTS * w
            for age in range(begun, bars, STRIDE):
                _add_spread(five(state, top + size - age, first, last), row, one, two)
            begun = bars
            mean, deviation, ratio = out[k, t, first:last], out[k + 1, t, first:last], out[k + 2, t, first:last]
            _write_spread(row, count, one, two, bars, mean, deviation, ratio)
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_spread(rows: Rows, newest: FloatArray, one: FloatArray, two: FloatArray) -> None:
    a, b, c, d, e = rows
    for s in range(newest.size):
        x = newest[s]
        p, q, r, v, w = a[s] - x, b[s] - x, c[s] - x, d[s] - x, e[s] - x
        one[s] += ((p + q) + (r + v)) + w
        two[s] += ((p * p + q * q) + (r * r + v * v)) + w * w


@kernel
def _write_spread(
    x: FloatArray,
    count: FloatArray,
    one: FloatArray,
    two: FloatArray,
    bars: int,
    mean: FloatArray,
    deviation: FloatArray,
    ratio: FloatArray,
) -> None:
    share, rest = 1.0 / bars, 1.0 / (bars - 1.0)
    for s in range(x.size):
        value = x[s] if count[s] >= bars else np.nan
        over = 1.0 / (value + GUARD)
        centre = value + one[s] * share
        spread = math.sqrt((two[s] - one[s] * (one[s] * share)) * rest)
        mean[s] = centre * over
        deviation[s] = spread * over
        ratio[s] = spread / (centre + GUARD)


@kernel
def common(a: FloatArray, b: FloatArray, c: FloatArray, joint: FloatArray) -> None:
    """Write the first series where the others exist too, NaN elsewhere."""
    for s in range(a.size):
        joint[s] = np.nan if math.isnan(b[s]) | math.isnan(c[s]) else a[s]


@kernel
def pairs(
    x: FloatArray, y: FloatArray, a: int, b: int, c: int, d: int, e: int, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write Pearson's correlation for each window; NaN where either series is flat. A bar counts where both exist.

    State: PAIR_HEAD + 4 * (e + 1) rows.
    """
    own = state[window.HEAD :]
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    joint = own[5, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row, other, begun = x[t, first:last], y[t, first:last], 0
        one, two = PAIR_HEAD + place, PAIR_HEAD + place + 2 * size
        common(row, other, other, joint)
        if late:
            window.resume(joint, lag, state[PAIR_HEAD : PAIR_HEAD + 4 * size, first:last], size)
        late = enter(joint, count, lag, state[one, first:last], state[one + size, first:last])
        repeat(other, state[two, first:last], state[two + size, first:last])
        clear(state, 5, first, last)
        for w in range(5):
            bars = (a, b, c, d, e)[w]
            for age in range(begun, bars, STRIDE):
                u, v = five(state, one + size - age, first, last), five(state, two + size - age, first, last)
                _add_spread(u, row, own[0, first:last], own[2, first:last])
                _add_spread(v, other, own[1, first:last], own[3, first:last])
                _add_product(u, row, v, other, own[4, first:last])
            begun = bars
            _write_pair(joint, count, state, bars, out[w, t, first:last], first, last)
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_product(xs: Rows, newest: FloatArray, ys: Rows, other: FloatArray, product: FloatArray) -> None:
    a, b, c, d, e = xs
    f, g, h, i, j = ys
    for s in range(product.size):
        x, y = newest[s], other[s]
        near = (a[s] - x) * (f[s] - y) + (b[s] - x) * (g[s] - y)
        far = (c[s] - x) * (h[s] - y) + (d[s] - x) * (i[s] - y)
        product[s] += (near + far) + (e[s] - x) * (j[s] - y)


@kernel
def _write_pair(joint: FloatArray, count: FloatArray, state: FloatArray, bars: int, out: FloatArray, first: int, last: int) -> None:
    own = state[window.HEAD :]
    su, sv, suu = own[0, first:last], own[1, first:last], own[2, first:last]
    svv, suv = own[3, first:last], own[4, first:last]
    share = 1.0 / bars
    for s in range(out.size):
        u, v = suu[s] - su[s] * (su[s] * share), svv[s] - sv[s] * (sv[s] * share)
        known = (count[s] >= bars) & (u > 0.0) & (v > 0.0) & (not math.isnan(joint[s]))
        out[s] = (suv[s] - su[s] * (sv[s] * share)) / math.sqrt(u * v) if known else np.nan
