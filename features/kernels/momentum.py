"""Momentum: how far and how steadily a price has moved."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import smoothing, window

#: Rows of an RSI's state: bars seen, until all columns have seen enough of them; the last bar, smoothed gain, smoothed loss.
RSI_SLOTS = 4
#: Rows of a directional movement's state: whether it was begun, the high and the low of the bar before.
MOVE_SLOTS = 3
#: Rows of a CCI's state before its ring: the window's own, sum, mean, absolute deviations.
CCI_HEAD = window.HEAD + 3


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
    ready = smoothing.seeded(count, bars + 1)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if ready:
            _strength_seeded(row, before, gain, loss, 1.0 / bars, o)
        else:
            _strength(row, count, before, gain, loss, bars, o)
            ready = smoothing.seeded(count, bars + 1)


@kernel
def _strength(
    x: FloatArray, count: FloatArray, before: FloatArray, gain: FloatArray, loss: FloatArray, bars: int, out: FloatArray
) -> None:
    share = 1.0 / bars
    for s in range(x.size):
        d = x[s] - before[s]
        missing = math.isnan(d)
        idle = missing | (count[s] == 0.0)
        hold = 0.0 if count[s] <= bars else 1.0
        up, down = (d if d > 0.0 else 0.0), (-d if d < 0.0 else 0.0)
        gain[s] = gain[s] if idle else gain[s] + share * (up - hold * gain[s])
        loss[s] = loss[s] if idle else loss[s] + share * (down - hold * loss[s])
        count[s] += 0.0 if missing else 1.0
        before[s] = before[s] if missing else x[s]
        out[s] = np.nan if missing | (count[s] <= bars) else _gain_share(gain[s], loss[s])


@kernel
def _strength_seeded(x: FloatArray, before: FloatArray, gain: FloatArray, loss: FloatArray, share: float, out: FloatArray) -> None:
    """Do what `_strength` does after the seed."""
    for s in range(x.size):
        old, gained, lost = before[s], gain[s], loss[s]
        d = x[s] - old
        missing = math.isnan(d)
        up, down = (d if d > 0.0 else 0.0), (-d if d < 0.0 else 0.0)
        gained_now, lost_now = gained + share * (up - gained), lost + share * (down - lost)
        gain[s] = gained if missing else gained_now
        loss[s] = lost if missing else lost_now
        before[s] = old if missing else x[s]
        out[s] = np.nan if missing else _gain_share(gained_now, lost_now)


@kernel
def _gain_share(gain: float, loss: float) -> float:
    total = gain + loss
    return np.nan if total == 0.0 else 100.0 * gain / total


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
def directional_move(
    high: FloatArray, low: FloatArray, plus: bool, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write Wilder's directional movement (Wilder 1978, section IV); unknown on a symbol's first bar. State: MOVE_SLOTS rows.

    The plus movement is the rise of the high where it is positive and beats the fall of the low, else 0; the minus movement is
    the fall of the low where it is positive and beats the rise of the high.
    """
    top, bottom = state[1, first:last], state[2, first:last]
    window.begin(state[0, first:last], top)
    for t in range(high.shape[0]):
        _move(high[t, first:last], low[t, first:last], top, bottom, plus, out[t, first:last])


@kernel
def _move(high: FloatArray, low: FloatArray, top: FloatArray, bottom: FloatArray, plus: bool, out: FloatArray) -> None:
    for s in range(high.size):
        h, low_now, high_before, low_before = high[s], low[s], top[s], bottom[s]
        missing = math.isnan(h) | math.isnan(low_now)
        rise, fall = h - high_before, low_before - low_now
        mine, other = (rise, fall) if plus else (fall, rise)
        move = mine if (mine > 0.0) & (mine > other) else 0.0
        out[s] = np.nan if math.isnan(rise) | missing else move
        top[s] = high_before if missing else h
        bottom[s] = low_before if missing else low_now


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
    ring = state[CCI_HEAD : CCI_HEAD + bars, first:last]
    place, passed, calm, late = window.recall(state, first, last)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if late and window.resume(row, lag, ring, bars):
            window.add(count, passed)
            late, calm, passed = window.behind(lag), window.headway(count, lag, bars, window.ANCHOR_BARS), 0
        met = window.slide(row, state[CCI_HEAD + place, first:last], total, 1.0 / bars, mean)
        passed += 1
        if met:
            late = window.miss(row, count, lag)
        if calm == 0:
            window.add(count, passed)
            window.anchor(row, count, total, ring, place, 1.0 / bars, mean)
            passed, calm = 0, window.headway(count, lag, bars, window.ANCHOR_BARS) + 1
        calm -= 1
        place = place + 1 if place + 1 < bars else 0
        _deviations(state, mean, deviation, bars, place, first, last)
        _index(row, mean, deviation, bars, o)
    window.remember(state, first, last, x.shape[0], place, passed, calm, late)


@kernel
def _deviations(state: FloatArray, mean: FloatArray, deviation: FloatArray, bars: int, oldest: int, first: int, last: int) -> None:
    """Sum |x - mean| over the ring in order of age, four bars a pass."""
    a = oldest
    deviation[:] = 0.0
    for _ in range(bars // 4):
        b = _after(a, bars)
        c = _after(b, bars)
        d = _after(c, bars)
        row_a, row_b = state[CCI_HEAD + a, first:last], state[CCI_HEAD + b, first:last]
        _four(row_a, row_b, state[CCI_HEAD + c, first:last], state[CCI_HEAD + d, first:last], mean, deviation)
        a = _after(d, bars)
    for _ in range(bars % 4):
        _one(state[CCI_HEAD + a, first:last], mean, deviation)
        a = _after(a, bars)


@kernel
def _after(place: int, bars: int) -> int:
    return place + 1 if place + 1 < bars else 0


@kernel
def _four(a: FloatArray, b: FloatArray, c: FloatArray, d: FloatArray, mean: FloatArray, deviation: FloatArray) -> None:
    for s in range(mean.size):
        m = mean[s]
        deviation[s] += (abs(a[s] - m) + abs(b[s] - m)) + (abs(c[s] - m) + abs(d[s] - m))


@kernel
def _one(a: FloatArray, mean: FloatArray, deviation: FloatArray) -> None:
    for s in range(mean.size):
        deviation[s] += abs(a[s] - mean[s])


@kernel
def _index(x: FloatArray, mean: FloatArray, deviation: FloatArray, bars: int, out: FloatArray) -> None:
    for s in range(x.size):
        known = deviation[s] > 0.0
        out[s] = (x[s] - mean[s]) * bars / (0.015 * deviation[s]) if known else np.nan
