"""Oscillators: parts of a bar's movement, and the measures that weigh them."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import nested, window

#: Rows of state: whether it was begun, the close of the bar before.
CLOSE_SLOTS = 2
#: Rows of a mean deviation's state before its ring, which is kept twice: the window's own, the sum.
DEVIATION_HEAD = window.HEAD + 1


@kernel
def buying_pressure(low: FloatArray, close: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write close - min(low, close before) (Williams 1985, TASC 3(4)); unknown on a symbol's first bar. State: CLOSE_SLOTS rows."""
    before = state[1, first:last]
    window.begin(state[0, first:last], before)
    for t in range(low.shape[0]):
        low_row, c, o = low[t, first:last], close[t, first:last], out[t, first:last]
        for s in range(o.size):
            old, missing = before[s], math.isnan(low_row[s]) | math.isnan(c[s])
            bottom = low_row[s] if low_row[s] < old else old
            o[s] = np.nan if missing else c[s] - bottom
            before[s] = old if missing else c[s]


@kernel
def accumulation(
    high: FloatArray, low: FloatArray, close: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write what a bar adds to Williams' accumulation/distribution (Williams; TA-Lib WAD); unknown on a first bar.

    close - min(low, close before) on a rise, close - max(high, close before) on a fall, else 0. State: CLOSE_SLOTS rows.
    """
    before = state[1, first:last]
    window.begin(state[0, first:last], before)
    for t in range(high.shape[0]):
        h, low_row, c, o = high[t, first:last], low[t, first:last], close[t, first:last], out[t, first:last]
        for s in range(o.size):
            old, missing = before[s], math.isnan(h[s]) | math.isnan(low_row[s]) | math.isnan(c[s])
            bottom, top = (low_row[s] if low_row[s] < old else old), (h[s] if h[s] > old else old)
            edge = bottom if c[s] > old else (top if c[s] < old else c[s])
            o[s] = np.nan if missing | math.isnan(old) else c[s] - edge
            before[s] = old if missing else c[s]


@kernel
def balance(
    opening: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write (close - open) / (high - low), 0 for a bar without range (Livshin 2001, TASC 19(8); TA-Lib BOP)."""
    for t in range(high.shape[0]):
        op, h, low_row = opening[t, first:last], high[t, first:last], low[t, first:last]
        c, o = close[t, first:last], out[t, first:last]
        for s in range(o.size):
            width = h[s] - low_row[s]
            o[s] = (c[s] - op[s]) / width if width > 0.0 else 0.0 * c[s]


@kernel
def between(
    x: FloatArray, low: FloatArray, high: FloatArray, middle: float, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write (x - low) / (high - low), and `middle` where they are equal."""
    for t in range(x.shape[0]):
        row, bottom, top, o = x[t, first:last], low[t, first:last], high[t, first:last], out[t, first:last]
        for s in range(o.size):
            width = top[s] - bottom[s]
            o[s] = middle + 0.0 * row[s] if width == 0.0 else (row[s] - bottom[s]) / width


@kernel
def quotient(
    x: FloatArray, y: FloatArray, scale: float, empty: float, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write scale * x / y, and `empty` where y is zero."""
    for t in range(x.shape[0]):
        row, base, o = x[t, first:last], y[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = scale * row[s] / base[s] if base[s] != 0.0 else empty + 0.0 * row[s]


@kernel
def mean_deviation(x: FloatArray, mean: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the mean of |x - mean| over the last `bars` bars, `mean` that of today (TA-Lib AVGDEV).

    State: DEVIATION_HEAD + 2 * bars rows.
    """
    count, lag, total = state[window.COUNT, first:last], state[window.LAG, first:last], state[window.HEAD, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row, centre, top = x[t, first:last], mean[t, first:last], DEVIATION_HEAD + place
        if late:
            window.resume(row, lag, state[DEVIATION_HEAD : DEVIATION_HEAD + 2 * bars, first:last], bars)
        late = nested.enter(row, count, lag, state[top, first:last], state[top + bars, first:last])
        total[:] = 0.0
        for age in range(bars):
            _add_distance(state[top + bars - age, first:last], centre, total)
        _write_share(row, count, total, bars, out[t, first:last])
        place = place + 1 if place + 1 < bars else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_distance(x: FloatArray, centre: FloatArray, total: FloatArray) -> None:
    for s in range(x.size):
        total[s] += abs(x[s] - centre[s])


@kernel
def _write_share(x: FloatArray, count: FloatArray, total: FloatArray, bars: int, out: FloatArray) -> None:
    share = 1.0 / bars
    for s in range(x.size):
        out[s] = total[s] * share if (count[s] >= bars) & (not math.isnan(x[s])) else np.nan
