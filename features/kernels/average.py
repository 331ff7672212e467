"""Averages of a price: simple, exponential, weighted, and what is built from them."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import smoothing, window

#: Rows of a weighted window's state before its ring: the window's own, reference, sum, weighted sum.
WEIGHTED_HEAD = window.HEAD + 3


@kernel
def simple(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the mean of the last `bars` bars (TA-Lib SMA). State: window.HEAD + 1 + bars rows."""
    window.rolling_total(x, bars, 1.0 / bars, state, out, first, last)


@kernel
def exponential(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the exponential average with gain 2 / (bars + 1), seeded by the mean of the first `bars` bars (TA-Lib EMA)."""
    smoothing.smooth(x, 0, bars, 1.0 / bars, 2.0 / (bars + 1.0), 1.0, bars, state, out, first, last)


@kernel
def wilder(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write Wilder's average, gain 1 / bars, seeded by the mean of the first `bars` bars (Wilder 1978; TA-Lib ATR, ADX)."""
    smoothing.smooth(x, 0, bars, 1.0 / bars, 1.0 / bars, 1.0, bars, state, out, first, last)


@kernel
def wilder_sum(x: FloatArray, bars: int, need: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write Wilder's sum s += x - s / bars, seeded by the sum of the first `bars - 1` bars, from bar `need` on (TA-Lib PLUS_DM)."""
    smoothing.smooth(x, 0, bars - 1, 1.0, 1.0, 1.0 / bars, need, state, out, first, last)


@kernel
def late(x: FloatArray, bars: int, skipped: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the exponential average of all but the first `skipped` bars (the fast average of TA-Lib MACD)."""
    smoothing.smooth(x, skipped, bars, 1.0 / bars, 2.0 / (bars + 1.0), 1.0, skipped + bars, state, out, first, last)


@kernel
def weighted(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the average with weights 1 (oldest) to `bars` (newest) (TA-Lib WMA). State: WEIGHTED_HEAD + bars rows."""
    line(x, bars, 2.0 / (bars * (bars + 1.0)), 1.0, True, state, out, first, last)


@kernel
def slope(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the least-squares slope per bar over the last `bars` bars (TA-Lib LINEARREG_SLOPE). State: as `weighted`."""
    scale = 12.0 / (bars * (bars * bars - 1.0))
    line(x, bars, scale, -0.5 * (bars - 1.0), False, state, out, first, last)


@kernel
def regression(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the least-squares line's value at the newest of the last `bars` bars (TA-Lib LINEARREG). State: as `weighted`."""
    line(x, bars, 6.0 / (bars * (bars + 1.0)), (2.0 - bars) / 3.0, True, state, out, first, last)


@kernel
def middle(a: FloatArray, b: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write (a + b) / 2."""
    for t in range(a.shape[0]):
        x, y, o = a[t, first:last], b[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = 0.5 * (x[s] + y[s])


@kernel
def line(
    x: FloatArray, bars: int, scale: float, tilt: float, level: bool, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write scale * (W + tilt * S), plus r where `level`: S sums x - r, W weights it from 0 (oldest) to bars - 1 (newest)."""
    count, lag, base = state[window.COUNT, first:last], state[window.LAG, first:last], window.HEAD
    reference, plain, rising = state[base, first:last], state[base + 1, first:last], state[base + 2, first:last]
    ring = state[WEIGHTED_HEAD : WEIGHTED_HEAD + bars, first:last]
    place, passed, calm, late = window.recall(state, first, last)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if late and window.resume(row, lag, ring, bars):
            window.add(count, passed)
            late, calm, passed = window.behind(lag), window.headway(count, lag, bars, window.ANCHOR_BARS), 0
        met = _slide_line(row, state[WEIGHTED_HEAD + place, first:last], reference, plain, rising, bars, scale, tilt, level, o)
        passed += 1
        if met:
            late = window.miss(row, count, lag)
        if calm == 0:
            window.add(count, passed)
            _anchor_line(row, count, ring, reference, plain, rising, place, scale, tilt, level, o)
            passed, calm = 0, window.headway(count, lag, bars, window.ANCHOR_BARS) + 1
        calm -= 1
        place = place + 1 if place + 1 < bars else 0
    window.remember(state, first, last, x.shape[0], place, passed, calm, late)


@kernel
def _slide_line(
    x: FloatArray,
    ring: FloatArray,
    reference: FloatArray,
    plain: FloatArray,
    rising: FloatArray,
    bars: int,
    scale: float,
    tilt: float,
    level: bool,
    out: FloatArray,
) -> int:
    missed = False
    for s in range(x.size):
        new, old, origin = x[s], ring[s], reference[s]
        missing = math.isnan(new)
        u, w, total, weighed = new - origin, old - origin, plain[s], rising[s]
        lifted = (weighed - (total - w)) + (bars - 1.0) * u
        summed = total + (u - w)
        out[s] = _on_line(lifted, summed, origin, scale, tilt, level)
        rising[s] = weighed if missing else lifted
        plain[s] = total if missing else summed
        ring[s] = old if missing else new
        missed |= missing
    return window.MISSED if missed else 0


@kernel
def _on_line(rising: float, plain: float, origin: float, scale: float, tilt: float, level: bool) -> float:
    return scale * (rising + tilt * plain) + (origin if level else 0.0)


@kernel
def _anchor_line(
    x: FloatArray,
    count: FloatArray,
    ring: FloatArray,
    reference: FloatArray,
    plain: FloatArray,
    rising: FloatArray,
    place: int,
    scale: float,
    tilt: float,
    level: bool,
    out: FloatArray,
) -> None:
    """Compute the sums anew, oldest bar first, around the newest value, in the columns that are due."""
    bars = ring.shape[0]
    for s in range(x.size):
        if window.is_due(count[s], bars) and not math.isnan(x[s]):
            summed, weighed = 0.0, 0.0
            for j in range(bars):
                u = ring[(place + 1 + j) % bars, s] - x[s]
                summed += u
                weighed += j * u
            reference[s], plain[s], rising[s] = x[s], summed, weighed
            out[s] = _on_line(weighed, summed, x[s], scale, tilt, level)
    window.conceal(count, bars, out)


@kernel
def twice(a: FloatArray, b: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write 2a - b: DEMA from an average and the average of it (Mulloy 1994)."""
    for t in range(a.shape[0]):
        x, y, o = a[t, first:last], b[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = 2.0 * x[s] - y[s]


@kernel
def thrice(a: FloatArray, b: FloatArray, c: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write 3a - 3b + c: TEMA from an average, the average of it, and the average of that (Mulloy 1994)."""
    for t in range(a.shape[0]):
        x, y, z, o = a[t, first:last], b[t, first:last], c[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = 3.0 * (x[s] - y[s]) + z[s]


@kernel
def distance(x: FloatArray, average: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x / average - 1; NaN where the average is zero."""
    for t in range(x.shape[0]):
        row, mean, o = x[t, first:last], average[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = row[s] / mean[s] - 1.0 if mean[s] != 0.0 else np.nan
