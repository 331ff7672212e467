"""Cycles: the dominant period of a price by Ehlers' Hilbert transform, and what follows from it.

Ehlers 2001, Rocket Science for Traders, chapters 5 to 11, with the conventions of TA-Lib's HT functions: one filter of seven taps,
0.0962 (x0 - x6) + 0.5769 (x2 - x4), is applied to the smoothed price and to its own outputs, and begins some bars after the price.
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import window

#: Rows of each of the rings that the filter reads: price, smoothed price, detrender, quadrature.
RING = 10
#: Rows of a transform's state: the window's own, six that are remembered, three of scratch, four rings.
TOP = window.HEAD + 9
HILBERT_SLOTS = TOP + 4 * RING
#: Series that `hilbert` and `mesa` write.
HILBERT_PARTS, MESA_PARTS = 4, 2
#: Rows of a MESA average's state: bars seen, phase, the two averages.
MESA_SLOTS = 4
#: The longest period.
LONGEST = 50
DEGREES = 180.0 / math.pi


@kernel
def hilbert(x: FloatArray, begin: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the smoothed price, the smoothed period, the in-phase and the quadrature component, from bar `begin` + 1 on.

    The filter takes all earlier values for zero. State: HILBERT_SLOTS rows.
    """
    own = state[window.HEAD :]
    count, lag = state[window.COUNT, first:last], state[window.LAG, first:last]
    adjusted, turned, turned_again = own[6, first:last], own[7, first:last], own[8, first:last]
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row = x[t, first:last]
        smooth, period = out[0, t, first:last], out[1, t, first:last]
        if late:
            window.resume(row, lag, state[TOP:HILBERT_SLOTS, first:last], RING)
        late = _smooth(
            row,
            state[_aged(0, place, 1), first:last],
            state[_aged(0, place, 2), first:last],
            state[_aged(0, place, 3), first:last],
            state[_aged(0, place, 0), first:last],
            count,
            lag,
            begin,
            smooth,
        )
        _adjust(own[0, first:last], adjusted)
        _enter(smooth, smooth, state[_aged(1, place, 0), first:last])
        _filtered(state, 1, place, 0, adjusted, turned, first, last)
        _enter(turned, smooth, state[_aged(2, place, 0), first:last])
        _filtered(state, 2, place, 0, adjusted, turned, first, last)
        _enter(turned, smooth, state[_aged(3, place, 0), first:last])
        _copy(state[_aged(2, place, 3), first:last], smooth, out[2, t, first:last])
        _copy(state[_aged(3, place, 0), first:last], smooth, out[3, t, first:last])
        _filtered(state, 2, place, 3, adjusted, turned, first, last)
        _filtered(state, 3, place, 0, adjusted, turned_again, first, last)
        _homodyne(
            out[2, t, first:last],
            out[3, t, first:last],
            turned,
            turned_again,
            own[2, first:last],
            own[3, first:last],
            own[4, first:last],
            own[5, first:last],
        )
        _period(smooth, own[4, first:last], own[5, first:last], own[0, first:last], own[1, first:last], period)
        place = place + 1 if place + 1 < RING else 0
    state[window.PLACE, first:last] = place


@kernel
def _aged(ring: int, place: int, age: int) -> int:
    """Return the row of the state that holds a ring's value of `age` bars ago."""
    row = place - age if place >= age else place - age + RING
    return TOP + ring * RING + row


@kernel
def _smooth(
    x: FloatArray,
    one: FloatArray,
    two: FloatArray,
    three: FloatArray,
    ring: FloatArray,
    count: FloatArray,
    lag: FloatArray,
    begin: int,
    out: FloatArray,
) -> bool:
    """Let a price into its ring and write the average with weights 4, 3, 2, 1; NaN before the transform begins."""
    behind = False
    for s in range(x.size):
        missing = math.isnan(x[s])
        out[s] = weighted(x[s], one[s], two[s], three[s]) if count[s] >= begin else np.nan
        ring[s] = ring[s] if missing else x[s]
        count[s] += 0.0 if missing else 1.0
        lag[s] = lag[s] + 1.0 if missing else 0.0
        behind |= missing
    return behind


@kernel
def weighted(x: float, one: float, two: float, three: float) -> float:
    """Return (4 x + 3 one + 2 two + three) / 10, every product exact: contracted or not, the bits are the same."""
    return ((4.0 * x + (2.0 * one + one)) + (2.0 * two + three)) * 0.1


@kernel
def _adjust(period: FloatArray, adjusted: FloatArray) -> None:
    for s in range(period.size):
        adjusted[s] = 0.075 * period[s] + 0.54


@kernel
def _enter(x: FloatArray, known: FloatArray, ring: FloatArray) -> None:
    for s in range(x.size):
        ring[s] = ring[s] if math.isnan(known[s]) else x[s]


@kernel
def _copy(x: FloatArray, known: FloatArray, out: FloatArray) -> None:
    for s in range(x.size):
        out[s] = np.nan if math.isnan(known[s]) else x[s]


@kernel
def _filtered(
    state: FloatArray, ring: int, place: int, age: int, adjusted: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    _taps(
        state[_aged(ring, place, age), first:last],
        state[_aged(ring, place, age + 2), first:last],
        state[_aged(ring, place, age + 4), first:last],
        state[_aged(ring, place, age + 6), first:last],
        adjusted,
        out,
    )


@kernel
def _taps(x: FloatArray, two: FloatArray, four: FloatArray, six: FloatArray, adjusted: FloatArray, out: FloatArray) -> None:
    for s in range(x.size):
        out[s] = (0.0962 * (x[s] - six[s]) + 0.5769 * (two[s] - four[s])) * adjusted[s]


@kernel
def _homodyne(
    in_phase: FloatArray,
    quadrature: FloatArray,
    turned: FloatArray,
    turned_again: FloatArray,
    i_before: FloatArray,
    q_before: FloatArray,
    real: FloatArray,
    imaginary: FloatArray,
) -> None:
    """Advance the smoothed product of this bar's phasor with the conjugate of the one before."""
    for s in range(in_phase.size):
        idle = math.isnan(in_phase[s])
        i = 0.2 * (in_phase[s] - turned_again[s]) + 0.8 * i_before[s]
        q = 0.2 * (quadrature[s] + turned[s]) + 0.8 * q_before[s]
        re = 0.2 * (i * i_before[s] + q * q_before[s]) + 0.8 * real[s]
        im = 0.2 * (i * q_before[s] - q * i_before[s]) + 0.8 * imaginary[s]
        real[s] = real[s] if idle else re
        imaginary[s] = imaginary[s] if idle else im
        i_before[s] = i_before[s] if idle else i
        q_before[s] = q_before[s] if idle else q


@kernel
def _period(
    known: FloatArray, real: FloatArray, imaginary: FloatArray, period: FloatArray, smoothed: FloatArray, out: FloatArray
) -> None:
    """Write the period that the phasor's turn implies, held within 0.67 and 1.5 of the last one and 6 and 50 bars, smoothed."""
    for s in range(known.size):
        before = period[s]
        turns = (real[s] != 0.0) & (imaginary[s] != 0.0)
        found = 2.0 * math.pi / math.atan(imaginary[s] / real[s]) if turns else before
        found = min(found, 1.5 * before)
        found = max(found, 0.67 * before)
        found = 0.2 * min(max(found, 6.0), float(LONGEST)) + 0.8 * before
        smooth = 0.33 * found + 0.67 * smoothed[s]
        idle = math.isnan(known[s])
        period[s] = before if idle else found
        smoothed[s] = smoothed[s] if idle else smooth
        out[s] = np.nan if idle else smooth


@kernel
def from_bar(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x, but NaN for its first `bars` values: what a recursion still owes to its beginning. State: one row."""
    count = state[0, first:last]
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            seen = count[s]
            o[s] = row[s] if seen >= bars else np.nan
            count[s] = seen if math.isnan(row[s]) else seen + 1.0


@kernel
def mesa(
    x: FloatArray,
    in_phase: FloatArray,
    quadrature: FloatArray,
    fast: float,
    slow: float,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write the MESA adaptive average and the average that follows it (Ehlers 2001, TASC 19(9); TA-Lib MAMA).

    The gain is `fast` over the degrees that the phase fell, between `slow` and `fast`. Both averages begin as zero when the phase
    becomes known, as TA-Lib's do: what they owe to that fades by 1 - gain a bar. State: MESA_SLOTS rows.
    """
    phase, average, following = state[1, first:last], state[2, first:last], state[3, first:last]
    for t in range(x.shape[0]):
        row, i, q = x[t, first:last], in_phase[t, first:last], quadrature[t, first:last]
        a, b = out[0, t, first:last], out[1, t, first:last]
        for s in range(a.size):
            idle = math.isnan(i[s]) | math.isnan(row[s])
            now = math.atan(q[s] / i[s]) * DEGREES if i[s] != 0.0 else 0.0
            fell = max(phase[s] - now, 1.0)
            gain = max(fast / fell, slow) if fell > 1.0 else fast
            near = gain * row[s] + (1.0 - gain) * average[s]
            far = 0.5 * gain * near + (1.0 - 0.5 * gain) * following[s]
            a[s], b[s] = (np.nan, np.nan) if idle else (near, far)
            phase[s] = phase[s] if idle else now
            average[s] = average[s] if idle else near
            following[s] = following[s] if idle else far
