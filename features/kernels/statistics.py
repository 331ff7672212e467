"""Statistics of a window: spread, shape and what moves together."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import window

#: Rows of a moment window's state before its ring: the window's own, reference, first, second moment.
MOMENT_HEAD = window.HEAD + 3
#: The same for a pair of series, before the two rings: where both exist, references, five sums.
PAIR_HEAD = window.HEAD + 8
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
    count, lag, base = state[window.COUNT, first:last], state[window.LAG, first:last], window.HEAD
    reference, one, two = state[base, first:last], state[base + 1, first:last], state[base + 2, first:last]
    ring = state[MOMENT_HEAD : MOMENT_HEAD + bars, first:last]
    place, passed, calm, late = window.recall(state, first, last)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if late and window.resume(row, lag, ring, bars):
            window.add(count, passed)
            late, calm, passed = window.behind(lag), window.headway(count, lag, bars, window.ANCHOR_BARS), 0
        met = _slide_moments(row, state[MOMENT_HEAD + place, first:last], reference, one, two, bars, scored, o)
        passed += 1
        if met & window.MISSED:
            late = window.miss(row, count, lag)
        if calm == 0 or met & window.SPOILT:
            window.add(count, passed)
            _anchor_moments(row, count, ring, reference, one, two, place, scored, o)
            passed, calm = 0, window.headway(count, lag, bars, window.ANCHOR_BARS) + 1
        calm -= 1
        place = place + 1 if place + 1 < bars else 0
    window.remember(state, first, last, x.shape[0], place, passed, calm, late)


@kernel
def _slide_moments(
    x: FloatArray,
    ring: FloatArray,
    reference: FloatArray,
    one: FloatArray,
    two: FloatArray,
    bars: int,
    scored: bool,
    out: FloatArray,
) -> int:
    """Move the sums one bar on. Where they have lost too many digits the second one becomes NaN, which asks for new ones."""
    missed, spoilt, share = False, False, 1.0 / bars
    for s in range(x.size):
        new, old, origin, sum_1, sum_2 = x[s], ring[s], reference[s], one[s], two[s]
        missing = math.isnan(new)
        step, both = new - old, (new - origin) + (old - origin)
        next_1, next_2 = sum_1 + step, sum_2 + step * both
        square = next_2 - next_1 * (next_1 * share)
        bad = max(next_2, sum_2) > CANCELLATION_MAX * square
        out[s] = _spread(new - origin, next_1, square, share, scored)
        one[s] = sum_1 if missing else next_1
        two[s] = sum_2 if missing else (np.nan if bad else next_2)
        ring[s] = old if missing else new
        missed |= missing
        spoilt |= bad
    return (window.MISSED if missed else 0) | (window.SPOILT if spoilt else 0)


@kernel
def _spread(x: float, one: float, square: float, share: float, scored: bool) -> float:
    """Return the deviation, or x's distance from the mean in deviations, from sums about a reference."""
    spread = math.sqrt((0.0 if square < 0.0 else square) * share)
    if scored:
        return (x - one * share) / spread if spread > 0.0 else np.nan
    return spread


@kernel
def _anchor_moments(
    x: FloatArray,
    count: FloatArray,
    ring: FloatArray,
    reference: FloatArray,
    one: FloatArray,
    two: FloatArray,
    place: int,
    scored: bool,
    out: FloatArray,
) -> None:
    """Compute the sums anew around the newest value, oldest bar first, in the columns that are due or spoilt."""
    bars = ring.shape[0]
    for s in range(x.size):
        bad = (count[s] > bars) & math.isnan(two[s])
        if not math.isnan(x[s]) and (bad or window.is_due(count[s], bars)):
            sum_1, sum_2 = 0.0, 0.0
            for j in range(bars):
                u = ring[(place + 1 + j) % bars, s] - x[s]
                sum_1 += u
                sum_2 += u * u
            reference[s], one[s], two[s] = x[s], sum_1, sum_2
            out[s] = _spread(0.0, sum_1, sum_2 - sum_1 * (sum_1 * (1.0 / bars)), 1.0 / bars, scored)
    window.conceal(count, bars, out)


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
    count, lag, both = state[window.COUNT, first:last], state[window.LAG, first:last], state[window.HEAD, first:last]
    sums, rings = state[window.HEAD + 1 : PAIR_HEAD, first:last], state[PAIR_HEAD : PAIR_HEAD + 2 * bars, first:last]
    place, passed, calm, late = window.recall(state, first, last)
    for t in range(x.shape[0]):
        a, b, o = x[t, first:last], y[t, first:last], out[t, first:last]
        if late and window.resume(_joint(a, b, both), lag, rings, bars):
            window.add(count, passed)
            late, calm, passed = window.behind(lag), window.headway(count, lag, bars, window.ANCHOR_BARS), 0
        met = _enter_pair(a, b, state, bars, place, normed, o, first, last)
        passed += 1
        if met & window.MISSED:
            late = window.miss(_joint(a, b, both), count, lag)
        if calm == 0 or met & window.SPOILT:
            window.add(count, passed)
            _anchor_pair(_joint(a, b, both), count, rings, sums, place, normed, o)
            passed, calm = 0, window.headway(count, lag, bars, window.ANCHOR_BARS) + 1
        calm -= 1
        place = place + 1 if place + 1 < bars else 0
    window.remember(state, first, last, x.shape[0], place, passed, calm, late)


@kernel
def _joint(x: FloatArray, y: FloatArray, both: FloatArray) -> FloatArray:
    """Write x where y exists too, NaN elsewhere; return it."""
    for s in range(x.size):
        both[s] = np.nan if math.isnan(y[s]) else x[s]
    return both


@kernel
def _enter_pair(
    x: FloatArray, y: FloatArray, state: FloatArray, bars: int, place: int, normed: bool, out: FloatArray, first: int, last: int
) -> int:
    """Name the rows of the state: two rings' places, two references, five sums."""
    base = window.HEAD + 1
    return _slide_pair(
        x,
        y,
        state[PAIR_HEAD + place, first:last],
        state[PAIR_HEAD + bars + place, first:last],
        state[base, first:last],
        state[base + 1, first:last],
        state[base + 2, first:last],
        state[base + 3, first:last],
        state[base + 4, first:last],
        state[base + 5, first:last],
        state[base + 6, first:last],
        1.0 / bars,
        normed,
        out,
    )


@kernel
def _slide_pair(
    x: FloatArray,
    y: FloatArray,
    ring_x: FloatArray,
    ring_y: FloatArray,
    reference_x: FloatArray,
    reference_y: FloatArray,
    sum_x: FloatArray,
    sum_y: FloatArray,
    sum_xx: FloatArray,
    sum_yy: FloatArray,
    sum_xy: FloatArray,
    share: float,
    normed: bool,
    out: FloatArray,
) -> int:
    """Move the five sums one bar on, as `_slide_moments` does with two."""
    missed, spoilt = False, False
    for s in range(x.size):
        missing = math.isnan(x[s]) | math.isnan(y[s])
        u, v = x[s] - reference_x[s], y[s] - reference_y[s]
        p, q = ring_x[s] - reference_x[s], ring_y[s] - reference_y[s]
        step_u, step_v = x[s] - ring_x[s], y[s] - ring_y[s]
        su, sv = sum_x[s] + step_u, sum_y[s] + step_v
        suu, svv = sum_xx[s] + step_u * (u + p), sum_yy[s] + step_v * (v + q)
        suv = (sum_xy[s] - p * q) + u * v
        square_u, square_v = suu - su * (su * share), svv - sv * (sv * share)
        bad_u = max(suu, sum_xx[s]) > CANCELLATION_MAX * square_u
        bad_v = max(svv, sum_yy[s]) > CANCELLATION_MAX * square_v
        out[s] = _together(suv - su * (sv * share), square_u, square_v, normed)
        sum_x[s] = sum_x[s] if missing else su
        sum_y[s] = sum_y[s] if missing else sv
        sum_xx[s] = sum_xx[s] if missing else (np.nan if bad_u else suu)
        sum_yy[s] = sum_yy[s] if missing else (np.nan if bad_v else svv)
        sum_xy[s] = sum_xy[s] if missing else suv
        ring_x[s] = ring_x[s] if missing else x[s]
        ring_y[s] = ring_y[s] if missing else y[s]
        missed |= missing
        spoilt |= (not missing) & (bad_u | bad_v)
    return (window.MISSED if missed else 0) | (window.SPOILT if spoilt else 0)


@kernel
def _together(product: float, square_x: float, square_y: float, normed: bool) -> float:
    """Return the correlation, or y's slope on x, from centred sums of products; NaN where what it divides by is flat."""
    if normed:
        return product / math.sqrt(square_x * square_y) if (square_x > 0.0) & (square_y > 0.0) else np.nan
    return product / square_x if square_x > 0.0 else np.nan


@kernel
def _anchor_pair(
    x: FloatArray, count: FloatArray, rings: FloatArray, sums: FloatArray, place: int, normed: bool, out: FloatArray
) -> None:
    """Compute all five sums anew around the newest values in the columns where either series is due or spoilt."""
    bars = rings.shape[0] // 2
    for s in range(count.size):
        bad = (count[s] > bars) & (math.isnan(sums[4, s]) | math.isnan(sums[5, s]))
        if not math.isnan(x[s]) and (bad or window.is_due(count[s], bars)):
            sums[0, s], sums[1, s] = rings[place, s], rings[bars + place, s]
            su, sv, suu, svv, suv = 0.0, 0.0, 0.0, 0.0, 0.0
            for j in range(bars):
                slot = (place + 1 + j) % bars
                a, b = rings[slot, s] - sums[0, s], rings[bars + slot, s] - sums[1, s]
                su += a
                sv += b
                suu += a * a
                svv += b * b
                suv += a * b
            sums[2, s], sums[3, s], sums[4, s], sums[5, s], sums[6, s] = su, sv, suu, svv, suv
            share = 1.0 / bars
            out[s] = _together(suv - su * (sv * share), suu - su * (su * share), svv - sv * (sv * share), normed)
    window.conceal(count, bars, out)


@kernel
def power(x: FloatArray, exponent: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x to an integer power."""
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            value = row[s]
            for _ in range(exponent - 1):
                value *= row[s]
            o[s] = value


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
