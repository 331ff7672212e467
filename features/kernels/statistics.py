"""Statistics of a window: spread, shape and what moves together."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import window

#: Rows of a moment window's state before its ring: the window's own, reference, first, second moment.
MOMENT_HEAD = window.HEAD + 3
#: The same for a pair of series, before the two rings: both inputs masked alike, references, five sums.
PAIR_HEAD = window.HEAD + 9
#: Sums of squares are computed anew at once when they exceed the squares about the mean so far that four digits are lost.
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
    place, short, passed = int(state[window.PLACE, first]), window.headway(count, lag, bars, window.ANCHOR_BARS), 0
    for t in range(x.shape[0]):
        row, ring, o = x[t, first:last], state[MOMENT_HEAD + place, first:last], out[t, first:last]
        if short > 0 and window.whole(row):
            short, passed = short - 1, passed + 1
            spoilt = _slide_moments_whole(row, ring, reference, one, two, bars)
            window.keep_whole(row, ring)
            if spoilt:
                _anchor_moments(row, count, passed, state[base:, first:last], bars, place)
            _write_moments(row, reference, one, two, bars, scored, o)
        else:
            window.add(count, passed)
            if window.tick(row, count, lag):
                window.catch_up(row, lag, state[MOMENT_HEAD : MOMENT_HEAD + bars, first:last])
                window.caught_up(row, lag)
            spoilt = _slide_moments(row, ring, reference, one, two, bars)
            window.keep(row, ring)
            if spoilt or window.due(row, count, bars, window.ANCHOR_BARS):
                _anchor_moments(row, count, 0, state[base:, first:last], bars, place)
            _write_moments(row, reference, one, two, bars, scored, o)
            _conceal(row, count, bars, o)
            short, passed = window.headway(count, lag, bars, window.ANCHOR_BARS), 0
        place = place + 1 if place + 1 < bars else 0
    window.add(count, passed)
    state[window.PLACE, first:last] = place


@kernel
def _slide_moments(x: FloatArray, ring: FloatArray, reference: FloatArray, one: FloatArray, two: FloatArray, bars: int) -> bool:
    """Move the sums one bar on; return whether a column's have lost too many digits, which its second sum tells as NaN."""
    spoilt, share = 0, 1.0 / bars
    for s in range(x.size):
        step = x[s] - ring[s]
        both = (x[s] - reference[s]) + (ring[s] - reference[s])
        missing = math.isnan(x[s])
        before = two[s]
        a, b = one[s] + step, before + step * both
        bad = (not missing) & (max(b, before) > CANCELLATION_MAX * (b - a * (a * share)))
        one[s] = one[s] if missing else a
        two[s] = before if missing else (np.nan if bad else b)
        spoilt |= bad
    return spoilt != 0


@kernel
def _slide_moments_whole(
    x: FloatArray, ring: FloatArray, reference: FloatArray, one: FloatArray, two: FloatArray, bars: int
) -> bool:
    """Do what `_slide_moments` does where no bar is missing."""
    spoilt, share = 0, 1.0 / bars
    for s in range(x.size):
        step = x[s] - ring[s]
        both = (x[s] - reference[s]) + (ring[s] - reference[s])
        before = two[s]
        a, b = one[s] + step, before + step * both
        bad = max(b, before) > CANCELLATION_MAX * (b - a * (a * share))
        one[s] = a
        two[s] = np.nan if bad else b
        spoilt |= bad
    return spoilt != 0


@kernel
def _anchor_moments(x: FloatArray, count: FloatArray, passed: int, rows: FloatArray, bars: int, place: int) -> None:
    """Compute the sums anew around the newest value, oldest bar first, in the columns that are due or spoilt."""
    for s in range(x.size):
        seen = count[s] + passed
        bad = (seen > bars) & math.isnan(rows[2, s])
        if not math.isnan(x[s]) and (bad or window.is_due(seen, bars, window.ANCHOR_BARS)):
            one, two = 0.0, 0.0
            for j in range(bars):
                u = rows[3 + (place + 1 + j) % bars, s] - x[s]
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
    place, short, passed = int(state[window.PLACE, first]), window.headway(count, lag, bars, window.ANCHOR_BARS), 0
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
            if _enter_pair(u, v, state, bars, place, False, first, last) or window.due(u, count, bars, window.ANCHOR_BARS):
                _anchor_pair(u, count, 0, rows, bars, place)
            _write_pair(state, bars, normed, o, first, last)
            _conceal(u, count, bars, o)
            short, passed = window.headway(count, lag, bars, window.ANCHOR_BARS), 0
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
    ring_u, ring_v = state[PAIR_HEAD + place, first:last], state[PAIR_HEAD + bars + place, first:last]
    ru, rv, su, sv = (
        state[base + 2, first:last],
        state[base + 3, first:last],
        state[base + 4, first:last],
        state[base + 5, first:last],
    )
    suu, svv, suv = state[base + 6, first:last], state[base + 7, first:last], state[base + 8, first:last]
    if unhindered:
        _slide_product_whole(u, v, ring_u, ring_v, ru, rv, suv)
        spoilt = _slide_moments_whole(u, ring_u, ru, su, suu, bars) | _slide_moments_whole(v, ring_v, rv, sv, svv, bars)
        window.keep_whole(u, ring_u)
        window.keep_whole(v, ring_v)
    else:
        _slide_product(u, v, ring_u, ring_v, ru, rv, suv)
        spoilt = _slide_moments(u, ring_u, ru, su, suu, bars) | _slide_moments(v, ring_v, rv, sv, svv, bars)
        window.keep(u, ring_u)
        window.keep(v, ring_v)
    return spoilt


@kernel
def _slide_product(
    u: FloatArray, v: FloatArray, ring_u: FloatArray, ring_v: FloatArray, ru: FloatArray, rv: FloatArray, suv: FloatArray
) -> None:
    for s in range(u.size):
        shrunk = suv[s] - (ring_u[s] - ru[s]) * (ring_v[s] - rv[s])
        grown = shrunk + (u[s] - ru[s]) * (v[s] - rv[s])
        suv[s] = suv[s] if math.isnan(u[s]) else grown


@kernel
def _slide_product_whole(
    u: FloatArray, v: FloatArray, ring_u: FloatArray, ring_v: FloatArray, ru: FloatArray, rv: FloatArray, suv: FloatArray
) -> None:
    for s in range(u.size):
        shrunk = suv[s] - (ring_u[s] - ru[s]) * (ring_v[s] - rv[s])
        suv[s] = shrunk + (u[s] - ru[s]) * (v[s] - rv[s])


@kernel
def _anchor_pair(u: FloatArray, count: FloatArray, passed: int, rows: FloatArray, bars: int, place: int) -> None:
    """Compute all five sums anew around the newest values in the columns where either series is due or spoilt."""
    for s in range(count.size):
        seen = count[s] + passed
        bad = (seen > bars) & (math.isnan(rows[6, s]) | math.isnan(rows[7, s]))
        if not math.isnan(u[s]) and (bad or window.is_due(seen, bars, window.ANCHOR_BARS)):
            rows[2, s], rows[3, s] = rows[9 + place, s], rows[9 + bars + place, s]
            rows[4:9, s] = 0.0
            for j in range(bars):
                slot = 9 + (place + 1 + j) % bars
                a, b = rows[slot, s] - rows[2, s], rows[slot + bars, s] - rows[3, s]
                rows[4, s] += a
                rows[5, s] += b
                rows[6, s] += a * a
                rows[7, s] += b * b
                rows[8, s] += a * b


@kernel
def _write_pair(state: FloatArray, bars: int, normed: bool, out: FloatArray, first: int, last: int) -> None:
    base, share = window.HEAD, 1.0 / bars
    su, sv = state[base + 4, first:last], state[base + 5, first:last]
    suu, svv, suv = state[base + 6, first:last], state[base + 7, first:last], state[base + 8, first:last]
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
