"""Statistics of a window: spread, shape and what moves together."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import window

#: Rows of a moment window's state before its ring: the window's own, reference, first, second moment, what left.
MOMENT_HEAD = window.HEAD + 4
#: The same for a pair of series, before the two rings: both inputs masked alike, what left them, references, five sums.
PAIR_HEAD = window.HEAD + 11
#: Running sums are computed anew every so many bars of a symbol,
ANCHOR_BARS = 1024.0
#: and at once when they exceed the squares about the mean so far that subtracting them would cost four digits or more.
CANCELLATION_MAX = 4096.0
#: A variance below this share of the mean square is rounding.
FLAT = 1e-10


@kernel
def deviation(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the population standard deviation of the last `bars` bars (TA-Lib STDDEV). State: MOMENT_HEAD + bars rows."""
    _moments(x, bars, False, state, out, first, last)


@kernel
def score(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write (x - mean) / standard deviation over the last `bars` bars; NaN where nothing varies. State: as `deviation`."""
    _moments(x, bars, True, state, out, first, last)


@kernel
def _moments(x: FloatArray, bars: int, scored: bool, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    base = window.HEAD
    count, lag = state[window.COUNT, first:last], state[window.LAG, first:last]
    reference, one, two = state[base, first:last], state[base + 1, first:last], state[base + 2, first:last]
    left = state[base + 3, first:last]
    place = int(state[window.PLACE, first])
    for t in range(x.shape[0]):
        row = x[t, first:last]
        if window.tick(row, count, lag):
            window.catch_up(row, lag, state[MOMENT_HEAD : MOMENT_HEAD + bars, first:last])
            window.caught_up(row, lag)
        window.exchange(row, state[MOMENT_HEAD + place, first:last], left)
        _slide_moments(row, left, reference, one, two)
        if _moments_due(row, left, count, reference, one, two, bars):
            _anchor_moments(row, left, count, state[base:, first:last], bars, place)
        if scored:
            _write_score(row, count, reference, one, two, bars, out[t, first:last])
        else:
            _write_deviation(row, count, one, two, bars, out[t, first:last])
        place = place + 1 if place + 1 < bars else 0
    state[window.PLACE, first:last] = place


@kernel
def _slide_moments(x: FloatArray, left: FloatArray, reference: FloatArray, one: FloatArray, two: FloatArray) -> None:
    for s in range(x.size):
        step = x[s] - left[s]
        both = (x[s] - reference[s]) + (left[s] - reference[s])
        present = not math.isnan(x[s])
        one[s] = one[s] + step if present else one[s]
        two[s] = two[s] + step * both if present else two[s]


@kernel
def _cancelled(one: float, two: float, gone: float, bars: int) -> bool:
    """Return whether the sum of squares, with what just left, dwarfs the squares about the mean."""
    return two + gone * gone > CANCELLATION_MAX * (two - one * (one / bars))


@kernel
def _moments_due(
    x: FloatArray, left: FloatArray, count: FloatArray, reference: FloatArray, one: FloatArray, two: FloatArray, bars: int
) -> bool:
    found = 0
    for s in range(x.size):
        stale = window.is_due(count[s], bars, ANCHOR_BARS)
        bad = (count[s] > bars) & _cancelled(one[s], two[s], left[s] - reference[s], bars)
        found |= (not math.isnan(x[s])) & (stale | bad)
    return found != 0


@kernel
def _anchor_moments(x: FloatArray, left: FloatArray, count: FloatArray, rows: FloatArray, bars: int, place: int) -> None:
    """Compute the sums anew around the newest value, oldest bar first, in the columns that are due."""
    for s in range(x.size):
        stale = window.is_due(count[s], bars, ANCHOR_BARS)
        bad = (count[s] > bars) & _cancelled(rows[1, s], rows[2, s], left[s] - rows[0, s], bars)
        if not math.isnan(x[s]) and (stale or bad):
            one, two = 0.0, 0.0
            for j in range(bars):
                u = rows[4 + (place + 1 + j) % bars, s] - x[s]
                one += u
                two += u * u
            rows[0, s], rows[1, s], rows[2, s] = x[s], one, two


@kernel
def _write_deviation(x: FloatArray, count: FloatArray, one: FloatArray, two: FloatArray, bars: int, out: FloatArray) -> None:
    share = 1.0 / bars
    for s in range(x.size):
        mean = one[s] * share
        square = two[s] - one[s] * mean
        spread = math.sqrt((square if square > 0.0 else 0.0) * share)
        out[s] = spread if (not math.isnan(x[s])) & (count[s] >= bars) else np.nan


@kernel
def _write_score(
    x: FloatArray, count: FloatArray, reference: FloatArray, one: FloatArray, two: FloatArray, bars: int, out: FloatArray
) -> None:
    share = 1.0 / bars
    for s in range(x.size):
        mean = one[s] * share
        square = two[s] - one[s] * mean
        spread = math.sqrt((square if square > 0.0 else 0.0) * share)
        known = (count[s] >= bars) & (spread > 0.0)
        out[s] = ((x[s] - reference[s]) - mean) / spread if known else np.nan


@kernel
def correlation(x: FloatArray, y: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write Pearson's correlation over the last `bars` bars (TA-Lib CORREL); NaN where either is flat.

    A bar counts where both exist. State: PAIR_HEAD + 2 * bars rows.
    """
    _pair(x, y, bars, True, state, out, first, last)


@kernel
def beta(x: FloatArray, y: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the slope of y on x over the last `bars` bars (TA-Lib BETA, of rates); NaN where x is flat. As `correlation`."""
    _pair(x, y, bars, False, state, out, first, last)


@kernel
def _pair(x: FloatArray, y: FloatArray, bars: int, normed: bool, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    base, count, lag = window.HEAD, state[window.COUNT, first:last], state[window.LAG, first:last]
    u, v = state[base, first:last], state[base + 1, first:last]
    gone_u, gone_v = state[base + 2, first:last], state[base + 3, first:last]
    ru, rv, su, sv = (
        state[base + 4, first:last],
        state[base + 5, first:last],
        state[base + 6, first:last],
        state[base + 7, first:last],
    )
    suu, svv, suv = state[base + 8, first:last], state[base + 9, first:last], state[base + 10, first:last]
    place = int(state[window.PLACE, first])
    for t in range(x.shape[0]):
        _mask(x[t, first:last], y[t, first:last], u, v)
        if window.tick(u, count, lag):
            window.catch_up(u, lag, state[PAIR_HEAD : PAIR_HEAD + bars, first:last])
            window.catch_up(u, lag, state[PAIR_HEAD + bars : PAIR_HEAD + 2 * bars, first:last])
            window.caught_up(u, lag)
        window.exchange(u, state[PAIR_HEAD + place, first:last], gone_u)
        window.exchange(v, state[PAIR_HEAD + bars + place, first:last], gone_v)
        _slide_product(u, v, gone_u, gone_v, ru, rv, suv)
        _slide_moments(u, gone_u, ru, su, suu)
        _slide_moments(v, gone_v, rv, sv, svv)
        if _moments_due(u, gone_u, count, ru, su, suu, bars) | _moments_due(v, gone_v, count, rv, sv, svv, bars):
            _anchor_pair(count, state[base:, first:last], bars, place)
        _write_pair(u, count, su, sv, suu, svv, suv, bars, normed, out[t, first:last])
        place = place + 1 if place + 1 < bars else 0
    state[window.PLACE, first:last] = place


@kernel
def _mask(x: FloatArray, y: FloatArray, u: FloatArray, v: FloatArray) -> None:
    for s in range(x.size):
        both = (not math.isnan(x[s])) & (not math.isnan(y[s]))
        u[s] = x[s] if both else np.nan
        v[s] = y[s] if both else np.nan


@kernel
def _slide_product(
    u: FloatArray, v: FloatArray, gone_u: FloatArray, gone_v: FloatArray, ru: FloatArray, rv: FloatArray, suv: FloatArray
) -> None:
    for s in range(u.size):
        entered = (u[s] - ru[s]) * (v[s] - rv[s])
        product = suv[s] - (gone_u[s] - ru[s]) * (gone_v[s] - rv[s])
        suv[s] = product + entered if not math.isnan(u[s]) else suv[s]


@kernel
def _anchor_pair(count: FloatArray, rows: FloatArray, bars: int, place: int) -> None:
    """Compute all five sums anew around the newest values in the columns where either series is due."""
    for s in range(count.size):
        stale = window.is_due(count[s], bars, ANCHOR_BARS)
        bad = _cancelled(rows[6, s], rows[8, s], rows[2, s] - rows[4, s], bars)
        bad |= _cancelled(rows[7, s], rows[9, s], rows[3, s] - rows[5, s], bars)
        if not math.isnan(rows[0, s]) and (stale or (bad and count[s] > bars)):
            rows[4, s], rows[5, s] = rows[0, s], rows[1, s]
            rows[6:11, s] = 0.0
            for j in range(bars):
                slot = 11 + (place + 1 + j) % bars
                a, b = rows[slot, s] - rows[0, s], rows[slot + bars, s] - rows[1, s]
                rows[6, s] += a
                rows[7, s] += b
                rows[8, s] += a * a
                rows[9, s] += b * b
                rows[10, s] += a * b


@kernel
def _write_pair(
    u: FloatArray,
    count: FloatArray,
    su: FloatArray,
    sv: FloatArray,
    suu: FloatArray,
    svv: FloatArray,
    suv: FloatArray,
    bars: int,
    normed: bool,
    out: FloatArray,
) -> None:
    share = 1.0 / bars
    for s in range(u.size):
        mean = su[s] * share
        across = suv[s] - mean * sv[s]
        spread = suu[s] - mean * su[s]
        other = svv[s] - (sv[s] * share) * sv[s]
        scale = math.sqrt(spread * other) if normed else spread
        known = (not math.isnan(u[s])) & (count[s] >= bars) & (spread > 0.0) & ((other > 0.0) | (not normed))
        out[s] = across / scale if known else np.nan


@kernel
def power(x: FloatArray, exponent: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x to an integer power."""
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        o[:] = row
        for _ in range(exponent - 1):
            for s in range(o.size):
                o[s] = o[s] * row[s]


@kernel
def skewness(m1: FloatArray, m2: FloatArray, m3: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the population skewness from the means of x, x^2, x^3; NaN where nothing varies."""
    for t in range(m1.shape[0]):
        a, b, c, o = m1[t, first:last], m2[t, first:last], m3[t, first:last], out[t, first:last]
        for s in range(o.size):
            m = a[s]
            variance = b[s] - m * m
            third = c[s] - m * (3.0 * variance + m * m)
            known = variance > FLAT * b[s]
            o[s] = third / (variance * math.sqrt(variance)) if known else np.nan


@kernel
def kurtosis(
    m1: FloatArray, m2: FloatArray, m3: FloatArray, m4: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write the population excess kurtosis from the means of x to x^4; NaN where nothing varies."""
    for t in range(m1.shape[0]):
        a, b, c, d, o = m1[t, first:last], m2[t, first:last], m3[t, first:last], m4[t, first:last], out[t, first:last]
        for s in range(o.size):
            m = a[s]
            variance = b[s] - m * m
            inner = 4.0 * c[s] - m * (6.0 * b[s] - 3.0 * (m * m))
            known = variance > FLAT * b[s]
            o[s] = (d[s] - m * inner) / (variance * variance) - 3.0 if known else np.nan
