"""Volatility: how much a price moves, from closes, ranges and whole bars."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import window

#: Rows of a true range's state: whether it was begun, the close of the bar before.
RANGE_SLOTS = 2
GARMAN_KLASS_BODY = 2.0 * math.log(2.0) - 1.0
PARKINSON_RANGE = 1.0 / (4.0 * math.log(2.0))


@kernel
def true_range(
    high: FloatArray, low: FloatArray, close: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write max(high, previous close) - min(low, previous close) (Wilder 1978; TA-Lib TRANGE); unknown on a symbol's first bar.

    State: RANGE_SLOTS rows.
    """
    before = state[1, first:last]
    window.begin(state[0, first:last], before)
    for t in range(high.shape[0]):
        _range(high[t, first:last], low[t, first:last], close[t, first:last], before, out[t, first:last])


@kernel
def _range(high: FloatArray, low: FloatArray, close: FloatArray, before: FloatArray, out: FloatArray) -> None:
    for s in range(high.size):
        h, low_now, c, b = high[s], low[s], close[s], before[s]
        missing = math.isnan(h) | math.isnan(low_now) | math.isnan(c)
        top, bottom = (h if h > b else b), (low_now if low_now < b else b)
        out[s] = np.nan if missing else top - bottom
        before[s] = b if missing else c


@kernel
def band(
    middle: FloatArray, deviation: FloatArray, width: float, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write middle + width * deviation (TA-Lib BBANDS)."""
    for t in range(middle.shape[0]):
        m, d, o = middle[t, first:last], deviation[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = m[s] + width * d[s]


@kernel
def affine(x: FloatArray, scale: float, shift: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write scale * x + shift."""
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = scale * row[s] + shift


@kernel
def root(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the square root; rounding below zero counts as zero."""
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = math.sqrt(0.0 if row[s] < 0.0 else row[s])


@kernel
def square(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the square."""
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = row[s] * row[s]


@kernel
def parkinson(high: FloatArray, low: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write one bar's variance from its range, ln(h / l)^2 / (4 ln 2), from log prices (Parkinson 1980, J. Business 53(1))."""
    for t in range(high.shape[0]):
        h, low_row, o = high[t, first:last], low[t, first:last], out[t, first:last]
        for s in range(o.size):
            reach = h[s] - low_row[s]
            o[s] = PARKINSON_RANGE * (reach * reach)


@kernel
def garman_klass(
    opening: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write one bar's variance 0.5 ln(h/l)^2 - (2 ln 2 - 1) ln(c/o)^2 from log prices (Garman, Klass 1980, J. Business 53(1))."""
    for t in range(high.shape[0]):
        op, h, low_row = opening[t, first:last], high[t, first:last], low[t, first:last]
        c, o = close[t, first:last], out[t, first:last]
        for s in range(o.size):
            reach, body = h[s] - low_row[s], c[s] - op[s]
            half = 0.5 * reach
            o[s] = half * reach - GARMAN_KLASS_BODY * (body * body)


@kernel
def rogers_satchell(
    opening: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write one bar's variance ln(h/c) ln(h/o) + ln(l/c) ln(l/o) from log prices (Rogers, Satchell 1991, Ann. Appl. Prob. 1(4))."""
    for t in range(high.shape[0]):
        op, h, low_row = opening[t, first:last], high[t, first:last], low[t, first:last]
        c, o = close[t, first:last], out[t, first:last]
        for s in range(o.size):
            above = (h[s] - c[s]) * (h[s] - op[s])
            below = (low_row[s] - c[s]) * (low_row[s] - op[s])
            o[s] = above + below
