"""Windows of five lengths that end at the same bar, measured in one scan over one ring.

The scan goes from the newest bar to the oldest and pauses where a window ends: five windows cost as much as the longest. All sums
are taken anew at every bar and about the newest value: nothing drifts, nothing has to be anchored, and a window of n bars loses at
most log10(n) digits to cancellation, because the newest value itself is one of its deviations, and zero.

A ring of `e + 1` rows is kept twice, one under the other, so that the bar of any age lies in one row. Lengths rise from `a` to
`e`. What is written is [parts, T, S], all parts of the first window first. A pass has few sums: LLVM must compare the addresses of
all rows of one state, and gives up on SIMD past eight pairs.
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import window

#: What Qlib adds to a divisor that may be zero.
GUARD = 1e-12
#: Rows of state before the rings: the window's own, and the sums of the scan.
LINE_HEAD, SPREAD_HEAD, MOVE_HEAD, EXTREME_HEAD, PAIR_HEAD = (window.HEAD + sums for sums in (3, 2, 4, 5, 6))
#: Series that are written for each window.
LINE_PARTS, SPREAD_PARTS, MOVE_PARTS, EXTREME_PARTS = 6, 3, 6, 6


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
def lines(x: FloatArray, a: int, b: int, c: int, d: int, e: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write for each window: mean, sample deviation, least-squares slope; R squared; residual of x; the value before the window.

    All but R squared are in units of x; a flat window has no R squared. The last part is the value as many bars ago as the window
    is long, and is known one bar later than the others. State: LINE_HEAD + 2 * (e + 1) rows.
    """
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    one, two, aged = state[3, first:last], state[4, first:last], state[5, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row, top, begun = x[t, first:last], LINE_HEAD + place, 0
        if late:
            window.resume(row, lag, state[LINE_HEAD : LINE_HEAD + 2 * size, first:last], size)
        late = enter(row, count, lag, state[top, first:last], state[top + size, first:last])
        clear(state, 3, first, last)
        for w in range(5):
            bars, k = (a, b, c, d, e)[w], LINE_PARTS * w
            for age in range(begun, bars):
                _add_line(state[top + size - age, first:last], row, float(age), one, two, aged)
            begun = bars
            _write_line(row, count, one, two, aged, bars, out, k, t, first, last)
            _write_past(row, count, state[top + size - bars, first:last], bars, out[k + 5, t, first:last])
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_line(x: FloatArray, newest: FloatArray, age: float, one: FloatArray, two: FloatArray, aged: FloatArray) -> None:
    """Let a bar into the sums of u, u^2 and age * u, where u = x - newest."""
    for s in range(x.size):
        u = x[s] - newest[s]
        one[s] += u
        two[s] += u * u
        aged[s] += age * u


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
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    one, two = state[3, first:last], state[4, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row, top, begun = x[t, first:last], SPREAD_HEAD + place, 0
        if late:
            window.resume(row, lag, state[SPREAD_HEAD : SPREAD_HEAD + 2 * size, first:last], size)
        late = enter(row, count, lag, state[top, first:last], state[top + size, first:last])
        clear(state, 2, first, last)
        for w in range(5):
            bars, k = (a, b, c, d, e)[w], SPREAD_PARTS * w
            for age in range(begun, bars):
                _add_spread(state[top + size - age, first:last], row, one, two)
            begun = bars
            mean, deviation, ratio = out[k, t, first:last], out[k + 1, t, first:last], out[k + 2, t, first:last]
            _write_spread(row, count, one, two, bars, mean, deviation, ratio)
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_spread(x: FloatArray, newest: FloatArray, one: FloatArray, two: FloatArray) -> None:
    for s in range(x.size):
        u = x[s] - newest[s]
        one[s] += u
        two[s] += u * u


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
def moves(x: FloatArray, a: int, b: int, c: int, d: int, e: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write for each window of changes x: shares of rises, of falls, their difference; and the same by size, guarded as in Qlib.

    State: MOVE_HEAD + 2 * (e + 1) rows.
    """
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row, top, begun = x[t, first:last], MOVE_HEAD + place, 0
        if late:
            window.resume(row, lag, state[MOVE_HEAD : MOVE_HEAD + 2 * size, first:last], size)
        late = enter(row, count, lag, state[top, first:last], state[top + size, first:last])
        clear(state, 4, first, last)
        for w in range(5):
            bars = (a, b, c, d, e)[w]
            for age in range(begun, bars):
                _add_moves(state[top + size - age, first:last], 1.0, state[3, first:last], state[5, first:last])
                _add_moves(state[top + size - age, first:last], -1.0, state[4, first:last], state[6, first:last])
            begun = bars
            _write_moves(row, count, state, bars, out, MOVE_PARTS * w, t, first, last)
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_moves(x: FloatArray, side: float, times: FloatArray, sizes: FloatArray) -> None:
    for s in range(x.size):
        size = side * x[s]
        times[s] += 1.0 if size > 0.0 else 0.0
        sizes[s] += size if size > 0.0 else 0.0


@kernel
def _write_moves(
    x: FloatArray, count: FloatArray, state: FloatArray, bars: int, out: FloatArray, k: int, t: int, first: int, last: int
) -> None:
    rises, falls, risen, fallen = state[3, first:last], state[4, first:last], state[5, first:last], state[6, first:last]
    above, below, surplus = out[k, t, first:last], out[k + 1, t, first:last], out[k + 2, t, first:last]
    gain, loss, net = out[k + 3, t, first:last], out[k + 4, t, first:last], out[k + 5, t, first:last]
    share = 1.0 / bars
    for s in range(x.size):
        known = (count[s] >= bars) & (not math.isnan(x[s]))
        part = share if known else np.nan
        over = 1.0 / ((risen[s] + fallen[s] if known else np.nan) + GUARD)
        above[s] = rises[s] * part
        below[s] = falls[s] * part
        surplus[s] = (rises[s] - falls[s]) * part
        gain[s] = risen[s] * over
        loss[s] = fallen[s] * over
        net[s] = (risen[s] - fallen[s]) * over


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

    Places count from the oldest bar, 1, over the length; of equal extremes the oldest counts. State: EXTREME_HEAD + 4 * (e + 1)
    rows.
    """
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    top, bottom, joint = state[3, first:last], state[4, first:last], state[7, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(high.shape[0]):
        over, under, begun = EXTREME_HEAD + place, EXTREME_HEAD + place + 2 * size, 0
        common(high[t, first:last], low[t, first:last], close[t, first:last], joint)
        if late:
            window.resume(joint, lag, state[EXTREME_HEAD : EXTREME_HEAD + 4 * size, first:last], size)
        late = enter(joint, count, lag, state[over, first:last], state[over + size, first:last])
        repeat(low[t, first:last], state[under, first:last], state[under + size, first:last])
        top[:], bottom[:] = -np.inf, np.inf
        for w in range(5):
            bars = (a, b, c, d, e)[w]
            for age in range(begun, bars):
                _higher(state[over + size - age, first:last], float(age), state[3, first:last], state[5, first:last])
                _lower(state[under + size - age, first:last], float(age), state[4, first:last], state[6, first:last])
            begun = bars
            _write_extremes(close[t, first:last], joint, count, state, bars, out, EXTREME_PARTS * w, t, first, last)
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def common(a: FloatArray, b: FloatArray, c: FloatArray, joint: FloatArray) -> None:
    """Write the first series where the others exist too, NaN elsewhere."""
    for s in range(a.size):
        joint[s] = np.nan if math.isnan(b[s]) | math.isnan(c[s]) else a[s]


@kernel
def _higher(x: FloatArray, age: float, top: FloatArray, top_age: FloatArray) -> None:
    for s in range(x.size):
        above = x[s] >= top[s]
        top[s] = x[s] if above else top[s]
        top_age[s] = age if above else top_age[s]


@kernel
def _lower(x: FloatArray, age: float, bottom: FloatArray, bottom_age: FloatArray) -> None:
    for s in range(x.size):
        below = x[s] <= bottom[s]
        bottom[s] = x[s] if below else bottom[s]
        bottom_age[s] = age if below else bottom_age[s]


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
    top, bottom, top_age, bottom_age = state[3, first:last], state[4, first:last], state[5, first:last], state[6, first:last]
    highest, lowest, between = out[k, t, first:last], out[k + 1, t, first:last], out[k + 2, t, first:last]
    top_place, bottom_place, apart = out[k + 3, t, first:last], out[k + 4, t, first:last], out[k + 5, t, first:last]
    share = 1.0 / bars
    for s in range(close.size):
        known = (count[s] >= bars) & (not math.isnan(joint[s]))
        value, part = (close[s] if known else np.nan), (share if known else np.nan)
        over = 1.0 / value
        highest[s] = top[s] * over
        lowest[s] = bottom[s] * over
        between[s] = (value - bottom[s]) / ((top[s] - bottom[s]) + GUARD)
        top_place[s] = (bars - top_age[s]) * part
        bottom_place[s] = (bars - bottom_age[s]) * part
        apart[s] = (bottom_age[s] - top_age[s]) * part


@kernel
def pairs(
    x: FloatArray, y: FloatArray, a: int, b: int, c: int, d: int, e: int, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write Pearson's correlation for each window; NaN where either series is flat. A bar counts where both exist.

    State: PAIR_HEAD + 4 * (e + 1) rows.
    """
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], e + 1
    joint = state[8, first:last]
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
            for age in range(begun, bars):
                u, v = state[one + size - age, first:last], state[two + size - age, first:last]
                _add_spread(u, row, state[3, first:last], state[5, first:last])
                _add_spread(v, other, state[4, first:last], state[6, first:last])
                _add_product(u, row, v, other, state[7, first:last])
            begun = bars
            _write_pair(joint, count, state, bars, out[w, t, first:last], first, last)
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_product(x: FloatArray, newest: FloatArray, y: FloatArray, other: FloatArray, product: FloatArray) -> None:
    for s in range(x.size):
        product[s] += (x[s] - newest[s]) * (y[s] - other[s])


@kernel
def _write_pair(joint: FloatArray, count: FloatArray, state: FloatArray, bars: int, out: FloatArray, first: int, last: int) -> None:
    su, sv, suu = state[3, first:last], state[4, first:last], state[5, first:last]
    svv, suv = state[6, first:last], state[7, first:last]
    share = 1.0 / bars
    for s in range(out.size):
        u, v = suu[s] - su[s] * (su[s] * share), svv[s] - sv[s] * (sv[s] * share)
        known = (count[s] >= bars) & (u > 0.0) & (v > 0.0) & (not math.isnan(joint[s]))
        out[s] = (suv[s] - su[s] * (sv[s] * share)) / math.sqrt(u * v) if known else np.nan
