"""Directional: where extremes lie, which way a bar reaches, where a trend would be stopped out."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import nested, window

#: Rows of an Aroon's state before its two rings, each kept twice: the window's own, two extremes, their ages, what exists.
AROON_HEAD = window.HEAD + 5
#: Series that `aroon` and `vortex` write.
AROON_PARTS, VORTEX_PARTS = 3, 2
#: Rows of a vortex's state: whether it was begun, the high and the low of the bar before.
VORTEX_SLOTS = 3
#: Rows of a parabolic stop's state: bars seen, the last high and low, the side, the stop, the extreme, the acceleration.
PARABOLIC_SLOTS = 7


@kernel
def aroon(high: FloatArray, low: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write Aroon up, Aroon down, both 0 to 100, and their difference (Chande 1995; TA-Lib AROON, AROONOSC).

    100 * (1 - age / bars) of the highest high and of the lowest low of the last bars + 1 bars; of equal ones the newest counts.
    State: AROON_HEAD + 4 * (bars + 1) rows.
    """
    own = state[window.HEAD :]
    count, lag, size = state[window.COUNT, first:last], state[window.LAG, first:last], bars + 1
    top, bottom, joint = own[0, first:last], own[1, first:last], own[4, first:last]
    top_age, bottom_age = own[2, first:last], own[3, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(high.shape[0]):
        over, under = AROON_HEAD + place, AROON_HEAD + place + 2 * size
        nested.common(high[t, first:last], low[t, first:last], low[t, first:last], joint)
        if late:
            window.resume(joint, lag, state[AROON_HEAD : AROON_HEAD + 4 * size, first:last], size)
        late = nested.enter(joint, count, lag, state[over, first:last], state[over + size, first:last])
        nested.repeat(low[t, first:last], state[under, first:last], state[under + size, first:last])
        top[:], bottom[:] = -np.inf, -np.inf
        for age in range(size):
            _newest_extreme(state[over + size - age, first:last], 1.0, float(age), top, top_age)
            _newest_extreme(state[under + size - age, first:last], -1.0, float(age), bottom, bottom_age)
        up, down, apart = out[0, t, first:last], out[1, t, first:last], out[2, t, first:last]
        _write_aroon(joint, count, top_age, bottom_age, bars, up, down, apart)
        place = place + 1 if place + 1 < size else 0
    state[window.PLACE, first:last] = place


@kernel
def _newest_extreme(x: FloatArray, side: float, age: float, best: FloatArray, best_age: FloatArray) -> None:
    for s in range(x.size):
        value = side * x[s]
        beyond = value > best[s]
        best[s] = value if beyond else best[s]
        best_age[s] = age if beyond else best_age[s]


@kernel
def _write_aroon(
    joint: FloatArray,
    count: FloatArray,
    top_age: FloatArray,
    bottom_age: FloatArray,
    bars: int,
    up: FloatArray,
    down: FloatArray,
    apart: FloatArray,
) -> None:
    for s in range(joint.size):
        share = 100.0 / bars if (count[s] > bars) & (not math.isnan(joint[s])) else np.nan
        up[s] = (bars - top_age[s]) * share
        down[s] = (bars - bottom_age[s]) * share
        apart[s] = (bottom_age[s] - top_age[s]) * share


@kernel
def vortex(high: FloatArray, low: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write |high - low before| and |low - high before| (Botes, Siepman 2010, TASC 28(1)); unknown on a symbol's first bar.

    State: VORTEX_SLOTS rows.
    """
    top, bottom = state[1, first:last], state[2, first:last]
    window.begin(state[0, first:last], top)
    for t in range(high.shape[0]):
        h, low_row = high[t, first:last], low[t, first:last]
        _reach(h, low_row, top, bottom, out[0, t, first:last], out[1, t, first:last])
        _remember(h, low_row, top)
        _remember(low_row, h, bottom)


@kernel
def _reach(high: FloatArray, low: FloatArray, top: FloatArray, bottom: FloatArray, plus: FloatArray, minus: FloatArray) -> None:
    for s in range(high.size):
        known = 0.0 * top[s] + 0.0 * (high[s] - low[s])
        plus[s] = abs(high[s] - bottom[s]) + known
        minus[s] = abs(low[s] - top[s]) + known


@kernel
def _remember(x: FloatArray, other: FloatArray, memory: FloatArray) -> None:
    for s in range(x.size):
        memory[s] = memory[s] if math.isnan(x[s]) | math.isnan(other[s]) else x[s]


@kernel
def parabolic(
    high: FloatArray, low: FloatArray, step: float, limit: float, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write Wilder's parabolic stop and reverse (Wilder 1978, section II; TA-Lib SAR); unknown on a symbol's first bar.

    The first side is short where the second bar's minus directional movement is positive. State: PARABOLIC_SLOTS rows.
    """
    for t in range(high.shape[0]):
        o = out[t, first:last]
        for s in range(first, last):
            h, low_now, seen = high[t, s], low[t, s], state[0, s]
            o[s - first] = np.nan
            if math.isnan(h) | math.isnan(low_now):
                continue
            if seen == 1.0:
                _take_side(state, s, h, low_now)
            if seen > 0.0:
                o[s - first] = _stop(state, s, h, low_now, step, limit)
            state[0, s], state[1, s], state[2, s] = seen + 1.0, h, low_now


@kernel
def _take_side(state: FloatArray, s: int, high: float, low: float) -> None:
    """Choose the first side; the bar before counts as this one, as in TA-Lib."""
    rise, fall = high - state[1, s], state[2, s] - low
    short = (fall > 0.0) & (fall > rise)
    state[3, s] = -1.0 if short else 1.0
    state[4, s] = -state[1, s] if short else state[2, s]
    state[5, s] = -low if short else high
    state[1, s], state[2, s] = high, low


@kernel
def _stop(state: FloatArray, s: int, high: float, low: float, step: float, limit: float) -> float:
    """Advance one bar; stop and extreme are kept as a long side sees them, prices of a short one negated."""
    side, stop, extreme = float(state[3, s]), float(state[4, s]), state[5, s]
    top, bottom = (high, low) if side > 0.0 else (-low, -high)
    top_before, bottom_before = (state[1, s], state[2, s]) if side > 0.0 else (-state[2, s], -state[1, s])
    if bottom <= stop:
        written = float(max(extreme, top_before, top))
        moved = max(written + step * (bottom - written), top_before, top)
        state[3, s], state[4, s], state[5, s], state[6, s] = -side, -moved, -bottom, step
        return side * written
    gain = state[6, s] if state[6, s] > 0.0 else step
    if top > extreme:
        extreme, gain = top, min(gain + step, limit)
    state[4, s] = min(stop + gain * (extreme - stop), bottom_before, bottom)
    state[5, s], state[6, s] = extreme, gain
    return side * stop
