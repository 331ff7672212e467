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
ANCHOR_BARS = 256
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
    base, count, lag = window.HEAD, state[window.COUNT, first:last], state[window.LAG, first:last]
    reference, one, two = state[base, first:last], state[base + 1, first:last], state[base + 2, first:last]
    left = state[base + 3, first:last]
    place, short, passed = int(state[window.PLACE, first]), window.headway(count, lag, bars + 1, ANCHOR_BARS), 0
    for t in range(x.shape[0]):
        row, ring = x[t, first:last], state[MOMENT_HEAD + place, first:last]
        unhindered = short > 0 and window.whole(row)
        if unhindered:
            short, passed = short - 1, passed + 1
            window.exchange(row, ring, left)
            _slide_moments_whole(row, left, reference, one, two)
        else:
            window.add(count, passed)
            if window.tick(row, count, lag):
                window.catch_up(row, lag, state[MOMENT_HEAD : MOMENT_HEAD + bars, first:last])
                window.caught_up(row, lag)
            window.exchange(row, ring, left)
            _slide_moments(row, left, reference, one, two)
            short, passed = window.headway(count, lag, bars + 1, ANCHOR_BARS), 0
        if any_cancelled(left, reference, one, two, bars) or (not unhindered and window.due(row, count, bars, ANCHOR_BARS)):
            _anchor_moments(row, left, count, passed, state[base:, first:last], bars, place)
        _write_moments(row, reference, one, two, bars, scored, out[t, first:last])
        if not unhindered:
            _conceal(row, count, bars, out[t, first:last])
        place = place + 1 if place + 1 < bars else 0
    window.add(count, passed)
    state[window.PLACE, first:last] = place


@kernel
def _slide_moments(x: FloatArray, left: FloatArray, reference: FloatArray, one: FloatArray, two: FloatArray) -> None:
    for s in range(x.size):
        step = x[s] - left[s]
        both = (x[s] - reference[s]) + (left[s] - reference[s])
        missing = math.isnan(x[s])
        one[s] = one[s] if missing else one[s] + step
        two[s] = two[s] if missing else two[s] + step * both


@kernel
def _slide_moments_whole(x: FloatArray, left: FloatArray, reference: FloatArray, one: FloatArray, two: FloatArray) -> None:
    for s in range(x.size):
        step = x[s] - left[s]
        both = (x[s] - reference[s]) + (left[s] - reference[s])
        one[s] = one[s] + step
        two[s] = two[s] + step * both


@kernel
def _cancelled(one: float, two: float, gone: float, bars: int) -> bool:
    """Return whether the sum of squares, with what just left, dwarfs the squares about the mean."""
    return two + gone * gone > CANCELLATION_MAX * (two - one * (one * (1.0 / bars)))


@kernel
def any_cancelled(left: FloatArray, reference: FloatArray, one: FloatArray, two: FloatArray, bars: int) -> bool:
    """Return whether a column's sums have lost too many digits."""
    found = 0
    for s in range(one.size):
        found |= _cancelled(one[s], two[s], left[s] - reference[s], bars)
    return found != 0


@kernel
def _anchor_moments(
    x: FloatArray, left: FloatArray, count: FloatArray, passed: int, rows: FloatArray, bars: int, place: int
) -> None:
    """Compute the sums anew around the newest value, oldest bar first, in the columns that are due."""
    for s in range(x.size):
        seen = count[s] + passed
        bad = (seen > bars) & _cancelled(rows[1, s], rows[2, s], left[s] - rows[0, s], bars)
        if not math.isnan(x[s]) and (bad or window.is_due(seen, bars, ANCHOR_BARS)):
            one, two = 0.0, 0.0
            for j in range(bars):
                u = rows[4 + (place + 1 + j) % bars, s] - x[s]
                one += u
                two += u * u
            rows[0, s], rows[1, s], rows[2, s] = x[s], one, two


@kernel
def _write_moments(
    x: FloatArray, reference: FloatArray, one: FloatArray, two: FloatArray, bars: int, scored: bool, out: FloatArray
) -> None:
    share = 1.0 / bars
    if scored:
        for s in range(x.size):
            mean = one[s] * share
            square = two[s] - one[s] * mean
            spread = math.sqrt((square if square > 0.0 else 0.0) * share)
            out[s] = ((x[s] - reference[s]) - mean) / spread if spread > 0.0 else np.nan
    else:
        for s in range(x.size):
            square = two[s] - one[s] * (one[s] * share)
            out[s] = math.sqrt((square if square > 0.0 else 0.0) * share)


@kernel
def _conceal(x: FloatArray, count: FloatArray, bars: int, out: FloatArray) -> None:
    for s in range(out.size):
        out[s] = np.nan if math.isnan(x[s]) | (count[s] < bars) else out[s]


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
    count, lag, rows = state[window.COUNT, first:last], state[window.LAG, first:last], state[window.HEAD :, first:last]
    u, v = state[window.HEAD, first:last], state[window.HEAD + 1, first:last]
    place, short, passed = int(state[window.PLACE, first]), window.headway(count, lag, bars + 1, ANCHOR_BARS), 0
    for t in range(x.shape[0]):
        a, b, o = x[t, first:last], y[t, first:last], out[t, first:last]
        if short > 0 and window.whole(a) and window.whole(b):
            short, passed = short - 1, passed + 1
            if _enter_pair(a, b, state, bars, place, True, first, last):
                _anchor_pair(a, count, passed, rows, bars, place)
            _write_pair(state, bars, normed, o, first, last)
        else:
            window.add(count, passed)
            _mask(a, b, u, v)
            if window.tick(u, count, lag):
                window.catch_up(u, lag, state[PAIR_HEAD : PAIR_HEAD + bars, first:last])
                window.catch_up(u, lag, state[PAIR_HEAD + bars : PAIR_HEAD + 2 * bars, first:last])
                window.caught_up(u, lag)
            if _enter_pair(u, v, state, bars, place, False, first, last) or window.due(u, count, bars, ANCHOR_BARS):
                _anchor_pair(u, count, 0, rows, bars, place)
            _write_pair(state, bars, normed, o, first, last)
            _conceal(u, count, bars, o)
            short, passed = window.headway(count, lag, bars + 1, ANCHOR_BARS), 0
        place = place + 1 if place + 1 < bars else 0
    window.add(count, passed)
    state[window.PLACE, first:last] = place


@kernel
def _mask(x: FloatArray, y: FloatArray, u: FloatArray, v: FloatArray) -> None:
    for s in range(x.size):
        missing = math.isnan(x[s]) | math.isnan(y[s])
        u[s] = np.nan if missing else x[s]
        v[s] = np.nan if missing else y[s]


@kernel
def _enter_pair(
    u: FloatArray, v: FloatArray, state: FloatArray, bars: int, place: int, unhindered: bool, first: int, last: int
) -> bool:
    """Move the five sums one bar on; return whether a column's sums have lost too many digits."""
    base = window.HEAD
    gone_u, gone_v = state[base + 2, first:last], state[base + 3, first:last]
    ru, rv, su, sv = (
        state[base + 4, first:last],
        state[base + 5, first:last],
        state[base + 6, first:last],
        state[base + 7, first:last],
    )
    suu, svv, suv = state[base + 8, first:last], state[base + 9, first:last], state[base + 10, first:last]
    window.exchange(u, state[PAIR_HEAD + place, first:last], gone_u)
    window.exchange(v, state[PAIR_HEAD + bars + place, first:last], gone_v)
    if unhindered:
        _slide_product_whole(u, v, gone_u, gone_v, ru, rv, suv)
        _slide_moments_whole(u, gone_u, ru, su, suu)
        _slide_moments_whole(v, gone_v, rv, sv, svv)
    else:
        _slide_product(u, v, gone_u, gone_v, ru, rv, suv)
        _slide_moments(u, gone_u, ru, su, suu)
        _slide_moments(v, gone_v, rv, sv, svv)
    return any_cancelled(gone_u, ru, su, suu, bars) | any_cancelled(gone_v, rv, sv, svv, bars)


@kernel
def _slide_product(
    u: FloatArray, v: FloatArray, gone_u: FloatArray, gone_v: FloatArray, ru: FloatArray, rv: FloatArray, suv: FloatArray
) -> None:
    for s in range(u.size):
        shrunk = suv[s] - (gone_u[s] - ru[s]) * (gone_v[s] - rv[s])
        grown = shrunk + (u[s] - ru[s]) * (v[s] - rv[s])
        suv[s] = suv[s] if math.isnan(u[s]) else grown


@kernel
def _slide_product_whole(
    u: FloatArray, v: FloatArray, gone_u: FloatArray, gone_v: FloatArray, ru: FloatArray, rv: FloatArray, suv: FloatArray
) -> None:
    for s in range(u.size):
        shrunk = suv[s] - (gone_u[s] - ru[s]) * (gone_v[s] - rv[s])
        suv[s] = shrunk + (u[s] - ru[s]) * (v[s] - rv[s])


@kernel
def _anchor_pair(u: FloatArray, count: FloatArray, passed: int, rows: FloatArray, bars: int, place: int) -> None:
    """Compute all five sums anew around the newest values in the columns where either series is due."""
    for s in range(count.size):
        seen = count[s] + passed
        bad = _cancelled(rows[6, s], rows[8, s], rows[2, s] - rows[4, s], bars)
        bad |= _cancelled(rows[7, s], rows[9, s], rows[3, s] - rows[5, s], bars)
        if not math.isnan(u[s]) and (window.is_due(seen, bars, ANCHOR_BARS) or (bad and seen > bars)):
            rows[4, s], rows[5, s] = rows[11 + place, s], rows[11 + bars + place, s]
            rows[6:11, s] = 0.0
            for j in range(bars):
                slot = 11 + (place + 1 + j) % bars
                a, b = rows[slot, s] - rows[4, s], rows[slot + bars, s] - rows[5, s]
                rows[6, s] += a
                rows[7, s] += b
                rows[8, s] += a * a
                rows[9, s] += b * b
                rows[10, s] += a * b


@kernel
def _write_pair(state: FloatArray, bars: int, normed: bool, out: FloatArray, first: int, last: int) -> None:
    base, share = window.HEAD, 1.0 / bars
    su, sv = state[base + 6, first:last], state[base + 7, first:last]
    suu, svv, suv = state[base + 8, first:last], state[base + 9, first:last], state[base + 10, first:last]
    if normed:
        for s in range(out.size):
            mean = su[s] * share
            spread = suu[s] - mean * su[s]
            other = svv[s] - (sv[s] * share) * sv[s]
            known = (spread > 0.0) & (other > 0.0)
            out[s] = (suv[s] - mean * sv[s]) / math.sqrt(spread * other) if known else np.nan
    else:
        for s in range(out.size):
            mean = su[s] * share
            spread = suu[s] - mean * su[s]
            out[s] = (suv[s] - mean * sv[s]) / spread if spread > 0.0 else np.nan


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
