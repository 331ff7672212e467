"""Momentum: how far and how steadily a price has moved."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import smoothing, window

#: Rows of an RSI's state: bars seen, the last bar, smoothed gain, smoothed loss.
RSI_SLOTS = 4
#: Rows of a CCI's state before its ring: the window's own, sum, mean, absolute deviations.
CCI_HEAD = window.HEAD + 3


@kernel
def logarithm(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the natural logarithm; NaN where x is not positive."""
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = math.log(row[s]) if row[s] > 0.0 else np.nan


@kernel
def difference(x: FloatArray, before: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x - before."""
    for t in range(x.shape[0]):
        row, old, o = x[t, first:last], before[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = row[s] - old[s]


@kernel
def over(x: FloatArray, y: FloatArray, scale: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write scale * x / y; NaN where y is zero."""
    for t in range(x.shape[0]):
        row, base, o = x[t, first:last], y[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = scale * row[s] / base[s] if base[s] != 0.0 else np.nan


@kernel
def relative_strength(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write Wilder's RSI, 0 to 100 (Wilder 1978; TA-Lib RSI); NaN while nothing has moved. State: RSI_SLOTS rows."""
    count, before = state[0, first:last], state[1, first:last]
    gain, loss = state[2, first:last], state[3, first:last]
    passed, ready = 0, smoothing.seeded(count, bars + 1)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if ready and window.whole(row):
            passed += 1
            _gain_and_loss_whole(row, before, gain, loss, 1.0 / bars)
            _strength(gain, loss, o)
        else:
            _gain_and_loss(row, count, before, gain, loss, bars)
            _strength(gain, loss, o)
            _remember(row, count, before, bars + 1, o)
            ready = ready or smoothing.seeded(count, bars + 1)
    window.add(count, passed)


@kernel
def _gain_and_loss(x: FloatArray, count: FloatArray, before: FloatArray, gain: FloatArray, loss: FloatArray, bars: int) -> None:
    share = 1.0 / bars
    for s in range(x.size):
        d = x[s] - before[s]
        idle = math.isnan(d) | (count[s] == 0.0)
        hold = 0.0 if count[s] <= bars else 1.0
        up, down = (d if d > 0.0 else 0.0), (-d if d < 0.0 else 0.0)
        gain[s] = gain[s] if idle else gain[s] + share * (up - hold * gain[s])
        loss[s] = loss[s] if idle else loss[s] + share * (down - hold * loss[s])


@kernel
def _gain_and_loss_whole(x: FloatArray, before: FloatArray, gain: FloatArray, loss: FloatArray, share: float) -> None:
    hold = 1.0
    for s in range(x.size):
        d = x[s] - before[s]
        up, down = (d if d > 0.0 else 0.0), (-d if d < 0.0 else 0.0)
        gain[s] = gain[s] + share * (up - hold * gain[s])
        loss[s] = loss[s] + share * (down - hold * loss[s])
        before[s] = x[s]


@kernel
def _strength(gain: FloatArray, loss: FloatArray, out: FloatArray) -> None:
    for s in range(out.size):
        total = gain[s] + loss[s]
        out[s] = np.nan if total == 0.0 else 100.0 * gain[s] / total


@kernel
def _remember(x: FloatArray, count: FloatArray, before: FloatArray, need: int, out: FloatArray) -> None:
    """Count and keep the bars that exist; NaN where there is none or too few came before."""
    for s in range(x.size):
        missing = math.isnan(x[s])
        count[s] += 0.0 if missing else 1.0
        before[s] = before[s] if missing else x[s]
        out[s] = np.nan if missing | (count[s] < need) else out[s]


@kernel
def stochastic(
    close: FloatArray,
    highest: FloatArray,
    lowest: FloatArray,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write 100 * (close - lowest) / (highest - lowest), %K of Lane; NaN where the range is empty."""
    for t in range(close.shape[0]):
        c, h, low, o = close[t, first:last], highest[t, first:last], lowest[t, first:last], out[t, first:last]
        for s in range(o.size):
            width = h[s] - low[s]
            o[s] = 100.0 * (c[s] - low[s]) / width if width > 0.0 else np.nan


@kernel
def directional_move(rise: FloatArray, fall: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write Wilder's directional movement: the rise of the high where it is positive and beats the fall of the low, else 0.

    `rise` is high minus previous high and `fall` previous low minus low; swapped, they give the minus movement.
    """
    for t in range(rise.shape[0]):
        up, down, o = rise[t, first:last], fall[t, first:last], out[t, first:last]
        for s in range(o.size):
            move = up[s] if (up[s] > 0.0) & (up[s] > down[s]) else 0.0
            o[s] = move if not math.isnan(up[s] - down[s]) else np.nan


@kernel
def directional_index(plus: FloatArray, minus: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write 100 * |plus - minus| / (plus + minus) (TA-Lib DX); NaN where both are zero."""
    for t in range(plus.shape[0]):
        up, down, o = plus[t, first:last], minus[t, first:last], out[t, first:last]
        for s in range(o.size):
            total = up[s] + down[s]
            o[s] = 100.0 * abs(up[s] - down[s]) / total if total > 0.0 else np.nan


@kernel
def typical(
    high: FloatArray, low: FloatArray, close: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write the typical price (high + low + close) / 3."""
    for t in range(high.shape[0]):
        h, low_row, c, o = high[t, first:last], low[t, first:last], close[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = (h[s] + low_row[s] + c[s]) * (1.0 / 3.0)


@kernel
def channel_index(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write (x - mean) / (0.015 * mean absolute deviation) (Lambert 1980; TA-Lib CCI); NaN where nothing deviates.

    The deviations are summed over the whole window at every bar, oldest first. State: CCI_HEAD + bars rows.
    """
    count, lag, total = state[window.COUNT, first:last], state[window.LAG, first:last], state[window.HEAD, first:last]
    mean, deviation = state[window.HEAD + 1, first:last], state[window.HEAD + 2, first:last]
    place, short, passed = int(state[window.PLACE, first]), window.headway(count, lag, bars, window.ANCHOR_BARS), 0
    for t in range(x.shape[0]):
        row = x[t, first:last]
        if short > 0 and window.whole(row):
            short, passed = short - 1, passed + 1
            window.slide_whole(row, state[CCI_HEAD + place, first:last], total, 1.0 / bars, mean)
        else:
            window.add(count, passed)
            ring = state[CCI_HEAD : CCI_HEAD + bars, first:last]
            window.slide_with_care(row, count, lag, total, ring, place, bars, 1.0 / bars, mean)
            short, passed = window.headway(count, lag, bars, window.ANCHOR_BARS), 0
        place = place + 1 if place + 1 < bars else 0
        _deviations(state, mean, deviation, bars, place, first, last)
        _index(row, mean, deviation, bars, out[t, first:last])
    window.add(count, passed)
    state[window.PLACE, first:last] = place


@kernel
def _deviations(state: FloatArray, mean: FloatArray, deviation: FloatArray, bars: int, place: int, first: int, last: int) -> None:
    """Sum |x - mean| over the ring in order of age, four bars a pass."""
    deviation[:] = 0.0
    for j in range(0, bars - bars % 4, 4):
        a, b = CCI_HEAD + (place + j) % bars, CCI_HEAD + (place + j + 1) % bars
        c, d = CCI_HEAD + (place + j + 2) % bars, CCI_HEAD + (place + j + 3) % bars
        _four(state[a, first:last], state[b, first:last], state[c, first:last], state[d, first:last], mean, deviation)
    for j in range(bars - bars % 4, bars):
        row = state[CCI_HEAD + (place + j) % bars, first:last]
        for s in range(row.size):
            deviation[s] += abs(row[s] - mean[s])


@kernel
def _four(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, mean: FloatArray, deviation: FloatArray) -> None:
    for s in range(mean.size):
        m = mean[s]
        deviation[s] += (abs(a[s] - m) + abs(b[s] - m)) + (abs(c[s] - m) + abs(d[s] - m))


@kernel
def _index(x: FloatArray, mean: FloatArray, deviation: FloatArray, bars: int, out: FloatArray) -> None:
    for s in range(x.size):
        known = deviation[s] > 0.0
        out[s] = (x[s] - mean[s]) * bars / (0.015 * deviation[s]) if known else np.nan
