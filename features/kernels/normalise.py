"""Normalisation on the fly: a value against its own past, and fractional differences."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import window

#: Rows of an exponential score's state: bars seen, mean, variance.
SCORE_SLOTS = 3
#: Orders of differencing that one pass computes.
ORDERS = 2


@kernel
def exponential_score(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write (x - mean) / deviation from exponential moments of span `bars`, x among them, from bar `bars` on.

    m += g d, v = (1 - g) (v + g d^2) with d = x - m before and g = 2 / (bars + 1) (Finch 2009, equations 124 and 143; pandas
    `ewm(adjust=False).std(bias=True)`). NaN where nothing varied. State: SCORE_SLOTS rows.
    """
    count, mean, variance = state[0, first:last], state[1, first:last], state[2, first:last]
    gain = 2.0 / (bars + 1.0)
    for t in range(x.shape[0]):
        _score(x[t, first:last], count, mean, variance, gain, bars, out[t, first:last])


@kernel
def _score(
    x: FloatArray, count: FloatArray, mean: FloatArray, variance: FloatArray, gain: float, need: int, out: FloatArray
) -> None:
    for s in range(x.size):
        missing, before, square, bars = math.isnan(x[s]), mean[s], variance[s], count[s]
        centre = x[s] if bars == 0.0 else before
        gap = x[s] - centre
        spread = (1.0 - gain) * (square + gain * gap * gap)
        score = (1.0 - gain) * gap / math.sqrt(spread)
        out[s] = score if (bars + 1.0 >= need) & (spread > 0.0) else np.nan
        mean[s] = before if missing else centre + gain * gap
        variance[s] = square if missing else spread
        count[s] = bars if missing else bars + 1.0


@kernel
def fractional(
    x: FloatArray, order_a: float, order_b: float, bars: int, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write two fractional differences of x, (1 - L)^d over a window of `bars` bars; out is [ORDERS, T, S].

    Weights w_k = -w_{k-1} (d - k + 1) / k (Hosking 1981, Biometrika 68(1); Lopez de Prado 2018, section 5.5, fixed width). The
    oldest bar takes what is left of a sum of zero, so that a constant, such as the log of a currency, has no difference.
    State: window.HEAD + ORDERS + bars rows.
    """
    head = window.HEAD + ORDERS
    count, lag = state[window.COUNT, first:last], state[window.LAG, first:last]
    a, b = state[window.HEAD, first:last], state[window.HEAD + 1, first:last]
    ring, place = state[head : head + bars, first:last], int(state[window.PLACE, first])
    late = window.behind(lag)
    for t in range(x.shape[0]):
        row = x[t, first:last]
        if late:
            window.resume(row, lag, ring, bars)
        late = enter(row, state[head + place, first:last], count, lag)
        for s in range(row.size):
            a[s], b[s] = 0.0, 0.0
        weight_a, weight_b, left_a, left_b = 1.0, 1.0, -1.0, -1.0
        for age in range(1, bars):
            weight_a *= (age - 1.0 - order_a) / age
            weight_b *= (age - 1.0 - order_b) / age
            oldest = age == bars - 1
            of_a, of_b = (left_a if oldest else weight_a), (left_b if oldest else weight_b)
            left_a, left_b = left_a - weight_a, left_b - weight_b
            at = place - age if age <= place else place - age + bars
            _add(row, state[head + at, first:last], of_a, of_b, a, b)
        _write_known(row, count, bars, a, out[0, t, first:last])
        _write_known(row, count, bars, b, out[1, t, first:last])
        place = place + 1 if place + 1 < bars else 0
    state[window.PLACE, first:last] = place


@kernel
def enter(x: FloatArray, ring: FloatArray, count: FloatArray, lag: FloatArray) -> bool:
    """Let a row's bars into the ring and count them; return whether any column is behind now."""
    behind = False
    for s in range(x.size):
        missing = math.isnan(x[s])
        ring[s] = ring[s] if missing else x[s]
        count[s] += 0.0 if missing else 1.0
        lag[s] = lag[s] + 1.0 if missing else 0.0
        behind |= missing
    return behind


@kernel
def _add(newest: FloatArray, x: FloatArray, weight_a: float, weight_b: float, a: FloatArray, b: FloatArray) -> None:
    for s in range(x.size):
        gap = x[s] - newest[s]
        a[s] += weight_a * gap
        b[s] += weight_b * gap


@kernel
def rolling_rank(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the mean rank of x among the last `bars` bars over their number, in (0, 1].

    Counted over the whole window at every bar; the order of the bars does not matter. State: window.HEAD + 1 + bars rows.
    """
    head = window.HEAD + 1
    count, lag, below = state[window.COUNT, first:last], state[window.LAG, first:last], state[window.HEAD, first:last]
    ring, place = state[head : head + bars, first:last], int(state[window.PLACE, first])
    late = window.behind(lag)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if late:
            window.resume(row, lag, ring, bars)
        late = enter(row, state[head + place, first:last], count, lag)
        for s in range(row.size):
            below[s] = 0.0
        for j in range(bars):
            _add_below(state[head + j, first:last], row, below)
        for s in range(o.size):
            known = (count[s] >= bars) & (not math.isnan(row[s]))
            o[s] = 0.5 / bars * (below[s] + 1.0) if known else np.nan
        place = place + 1 if place + 1 < bars else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_below(x: FloatArray, newest: FloatArray, below: FloatArray) -> None:
    """Count two for a value below the newest, one for an equal one."""
    for s in range(x.size):
        below[s] += (1.0 if x[s] < newest[s] else 0.0) + (1.0 if x[s] <= newest[s] else 0.0)


@kernel
def extreme_place(x: FloatArray, bars: int, side: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the place of the highest (`side` 1) or lowest (-1) of the last `bars` bars, 1 the oldest; the older of equal ones.

    State: window.HEAD + 2 + bars rows.
    """
    head = window.HEAD + 2
    count, lag = state[window.COUNT, first:last], state[window.LAG, first:last]
    best, at = state[window.HEAD, first:last], state[window.HEAD + 1, first:last]
    ring, place = state[head : head + bars, first:last], int(state[window.PLACE, first])
    late = window.behind(lag)
    for t in range(x.shape[0]):
        row = x[t, first:last]
        if late:
            window.resume(row, lag, ring, bars)
        late = enter(row, state[head + place, first:last], count, lag)
        for s in range(row.size):
            best[s] = -np.inf
        for j in range(bars):
            oldest = place + 1 + j if place + 1 + j < bars else place + 1 + j - bars
            _add_extreme(state[head + oldest, first:last], side, j + 1.0, best, at)
        _write_known(row, count, bars, at, out[t, first:last])
        place = place + 1 if place + 1 < bars else 0
    state[window.PLACE, first:last] = place


@kernel
def _add_extreme(x: FloatArray, side: float, place: float, best: FloatArray, at: FloatArray) -> None:
    for s in range(x.size):
        value = side * x[s]
        higher = value > best[s]
        best[s] = value if higher else best[s]
        at[s] = place if higher else at[s]


@kernel
def _write_known(x: FloatArray, count: FloatArray, need: int, value: FloatArray, out: FloatArray) -> None:
    for s in range(out.size):
        out[s] = value[s] if (count[s] >= need) & (not math.isnan(x[s])) else np.nan
