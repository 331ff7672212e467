"""The phase of the dominant cycle, and whether there is one.

Ehlers 2001, Rocket Science for Traders, chapters 9 to 11, with the conventions of TA-Lib: the price of the last period, rounded to
whole bars, is taken apart into a sine and a cosine of that period.
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import arithmetic, nested, window
from features.kernels.cycle import DEGREES, LONGEST, weighted

#: Series that are written.
PARTS = 5
#: Rows of state before the rings, which are kept twice: the window's own, seven that are remembered, nine of scratch.
TOP = window.HEAD + 16
SLOTS = TOP + 4 * LONGEST
#: Cosine and sine of a bar's turn, by whole bars of the period.
COSINES, SINES = (wave(2.0 * math.pi / np.maximum(np.arange(LONGEST + 1.0), 1.0)) for wave in (np.cos, np.sin))
#: Coefficients of r^3, r^5, ... r^13 in the sine and of r^4, r^6, ... r^14 in the cosine (Sun's fdlibm, k_sin.c and k_cos.c).
S1, S2, S3 = -1.66666666666666324348e-01, 8.33333333332248946124e-03, -1.98412698298579493134e-04
S4, S5, S6 = 2.75573137070700676789e-06, -2.50507602534068634195e-08, 1.58969099521155010221e-10
C1, C2, C3 = 4.16666666666666019037e-02, -1.38888888888741095749e-03, 2.48015872894767294178e-05
C4, C5, C6 = -2.75573143513906633035e-07, 2.08757232129817482790e-09, -1.13596475577881948265e-11


@kernel
def phase(x: FloatArray, smooth: FloatArray, period: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the phase in degrees, its sine, the sine 45 degrees on, the trendline, and whether there is a trend (1) or a cycle (0).

    Ehlers 2001, chapters 9 and 11; TA-Lib HT_DCPHASE, HT_SINE, HT_TRENDLINE, HT_TRENDMODE. From the bar on whose `smooth` is known.
    State: SLOTS rows.
    """
    own = state[window.HEAD :]
    count, lag = state[window.COUNT, first:last], state[window.LAG, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    bars, cosine, sine, turn = own[7, first:last], own[8, first:last], own[9, first:last], own[10, first:last]
    real, imaginary, total = own[11, first:last], own[12, first:last], own[13, first:last]
    lift = own[14, first:last]
    for t in range(x.shape[0]):
        row, smoothed, top, low = x[t, first:last], smooth[t, first:last], TOP + place, TOP + 2 * LONGEST + place
        if late:
            window.resume(row, lag, state[TOP:SLOTS, first:last], LONGEST)
        late = nested.enter(row, count, lag, state[top, first:last], state[top + LONGEST, first:last])
        nested.repeat(smoothed, state[low, first:last], state[low + LONGEST, first:last])
        _set_out(period[t, first:last], bars, turn, lift, cosine, sine)
        real[:], imaginary[:], total[:] = 0.0, 0.0, 0.0
        for age in range(0, LONGEST, nested.STRIDE):
            prices = nested.five(state, top + LONGEST - age, first, last)
            levels = nested.five(state, low + LONGEST - age, first, last)
            _turn(prices, levels, float(age), bars, turn, lift, cosine, sine, real, imaginary, total)
        trend = out[3, t, first:last]
        _trendline(smoothed, bars, total, own[0, first:last], own[1, first:last], own[2, first:last], trend)
        _angle(period[t, first:last], real, imaginary, own[3, first:last], own[15, first:last], out[0, t, first:last])
        _sines(out[0, t, first:last], out[1, t, first:last], out[2, t, first:last])
        _mode(
            smoothed,
            period[t, first:last],
            out[0, t, first:last],
            out[1, t, first:last],
            out[2, t, first:last],
            trend,
            own[4, first:last],
            own[5, first:last],
            own[6, first:last],
            own[15, first:last],
            out[4, t, first:last],
        )
        place = place + 1 if place + 1 < LONGEST else 0
    state[window.PLACE, first:last] = place


@kernel
def _set_out(
    period: FloatArray, bars: FloatArray, turn: FloatArray, lift: FloatArray, cosine: FloatArray, sine: FloatArray
) -> None:
    """Round the period to whole bars and set a rotation by one of them at zero degrees."""
    for s in range(period.size):
        whole = arithmetic.floor(period[s] + 0.5) if period[s] > 0.0 else 0.0
        bars[s], turn[s], lift[s] = whole, COSINES[int(whole)], SINES[int(whole)]
        cosine[s], sine[s] = 1.0, 0.0


@kernel
def _turn(
    prices: nested.Rows,
    levels: nested.Rows,
    age: float,
    bars: FloatArray,
    turn: FloatArray,
    lift: FloatArray,
    cosine: FloatArray,
    sine: FloatArray,
    real: FloatArray,
    imaginary: FloatArray,
    total: FloatArray,
) -> None:
    """Let five more bars into the sums of those whose period reaches them, and turn on after each."""
    p0, p1, p2, p3, p4 = prices
    x0, x1, x2, x3, x4 = levels
    for s in range(bars.size):
        c, d, n, cos, sin = cosine[s], sine[s], bars[s] - age, turn[s], lift[s]
        re, im, sums = real[s], imaginary[s], total[s]
        for price, level in ((p0[s], x0[s]), (p1[s], x1[s]), (p2[s], x2[s]), (p3[s], x3[s]), (p4[s], x4[s])):
            inside = 1.0 if n > 0.0 else 0.0
            re, im, sums = re + inside * (d * level), im + inside * (c * level), sums + inside * price
            c, d, n = c * cos - d * sin, d * cos + c * sin, n - 1.0
        cosine[s], sine[s], real[s], imaginary[s], total[s] = c, d, re, im, sums


@kernel
def _trendline(
    known: FloatArray,
    bars: FloatArray,
    total: FloatArray,
    one: FloatArray,
    two: FloatArray,
    three: FloatArray,
    out: FloatArray,
) -> None:
    """Write the mean price over one period, smoothed with weights 4, 3, 2, 1."""
    for s in range(known.size):
        idle = math.isnan(known[s])
        mean = total[s] / bars[s] if bars[s] > 0.0 else 0.0
        out[s] = np.nan if idle else weighted(mean, one[s], two[s], three[s])
        three[s] = three[s] if idle else two[s]
        two[s] = two[s] if idle else one[s]
        one[s] = one[s] if idle else mean


@kernel
def _angle(
    period: FloatArray, real: FloatArray, imaginary: FloatArray, angle: FloatArray, moved: FloatArray, out: FloatArray
) -> None:
    """Write the phase of the last period's price, a bar's lag of the smoothing made good, between -45 and 315 degrees."""
    for s in range(period.size):
        idle = math.isnan(period[s])
        before = angle[s]
        nudge = 90.0 if real[s] > 0.0 else (-90.0 if real[s] < 0.0 else 0.0)
        raw = math.atan(real[s] / imaginary[s]) * DEGREES if imaginary[s] != 0.0 else before + nudge
        raw += 90.0 + 360.0 / period[s] + (180.0 if imaginary[s] < 0.0 else 0.0)
        raw -= 360.0 if raw > 315.0 else 0.0
        moved[s] = raw - before
        angle[s] = before if idle else raw
        out[s] = np.nan if idle else raw


@kernel
def _sines(angle: FloatArray, sine: FloatArray, lead: FloatArray) -> None:
    for s in range(angle.size):
        a, b = _quarter(angle[s])
        sine[s], lead[s] = a, (a + b) * math.sqrt(0.5)


@kernel
def _mode(
    smooth: FloatArray,
    period: FloatArray,
    angle: FloatArray,
    sine: FloatArray,
    lead: FloatArray,
    trendline: FloatArray,
    sine_before: FloatArray,
    lead_before: FloatArray,
    days: FloatArray,
    moved: FloatArray,
    out: FloatArray,
) -> None:
    """Write 0 for half a period after the sines cross and while the phase advances as a cycle's does, else 1.

    1 as well where the smoothed price is 1.5% or more from its trendline.
    """
    for s in range(smooth.size):
        idle = math.isnan(smooth[s])
        up = (sine[s] > lead[s]) & (sine_before[s] <= lead_before[s])
        down = (sine[s] < lead[s]) & (sine_before[s] >= lead_before[s])
        since = 1.0 if up | down else days[s] + 1.0
        even = 360.0 / period[s]
        cycling = (moved[s] > 0.67 * even) & (moved[s] < 1.5 * even)
        away = abs((smooth[s] - trendline[s]) / trendline[s]) >= 0.015 if trendline[s] != 0.0 else False
        trending = (since >= 0.5 * period[s]) & (not (up | down)) & (not cycling)
        out[s] = np.nan if idle else (1.0 if away | trending else 0.0)
        days[s] = days[s] if idle else since
        sine_before[s] = sine_before[s] if idle else sine[s]
        lead_before[s] = lead_before[s] if idle else lead[s]


@kernel
def _quarter(degrees: float) -> tuple[float, float]:
    """Return sine and cosine, from the nearest multiple of 90 degrees on."""
    turns = arithmetic.floor(degrees / 90.0 + 0.5)
    r = (degrees - 90.0 * turns) / DEGREES
    z = r * r
    sine = r + r * z * (S1 + z * (S2 + z * (S3 + z * (S4 + z * (S5 + z * S6)))))
    cosine = 1.0 - (0.5 * z - z * z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * C6))))))
    odd = turns - 2.0 * arithmetic.floor(0.5 * turns) > 0.5
    half = turns - 4.0 * arithmetic.floor(0.25 * turns) > 1.5
    a, b = (cosine, -sine) if odd else (sine, cosine)
    return (-a, -b) if half else (a, b)
