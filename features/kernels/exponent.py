"""The exponential function of whole rows and what follows from it: SIMD, and the same bits on every machine.

exp(x) = 2^k exp(r), k = round(x / log 2), |r| <= log(2) / 2, exp(r) by its Taylor series to the 13th power (error below one unit
in the last place).
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels.logarithm import EXPONENT_SHIFT, LN2_HIGH, LN2_LOW

#: Rows of state: scaled numbers and results; where the argument is computed first, arguments too.
SLOTS, PAIR_SLOTS = 2, 3
#: A double that holds whole numbers in its lowest bits when a small one is added to it: 1.5 * 2^52.
WHOLE = 6755399441055744.0
WHOLE_BITS = 0x4338000000000000
BIAS = 1023
SMALLEST, LARGEST = -708.0, 709.0
#: Taylor coefficients 1 / k!.
E2, E3, E4, E5, E6, E7 = 1 / 2, 1 / 6, 1 / 24, 1 / 120, 1 / 720, 1 / 5040
E8, E9, E10, E11, E12, E13 = 1 / 40320, 1 / 362880, 1 / 3628800, 1 / 39916800, 1 / 479001600, 1 / 6227020800
ROOT_2PI = math.sqrt(2.0 * math.pi)
#: Beyond this the tail's continued fraction replaces Hart's rational function.
HART_MAX = 7.07106781186547


@kernel
def fill(x: FloatArray, scaled: FloatArray, out: FloatArray) -> FloatArray:
    """Write exp of one row and return it; arguments beyond -708 and 709 count as those; `scaled` is scratch space.

    `out` is read again, so it must hold doubles.
    """
    bits = scaled.view(np.int64)
    for s in range(x.size):
        scaled[s] = _held(x[s]) * (1.0 / math.log(2.0)) + WHOLE
    for s in range(x.size):
        k, held = scaled[s] - WHOLE, _held(x[s])
        r = (held - k * LN2_HIGH) - k * LN2_LOW
        high = E7 + r * (E8 + r * (E9 + r * (E10 + r * (E11 + r * (E12 + r * E13)))))
        out[s] = 1.0 + r * (1.0 + r * (E2 + r * (E3 + r * (E4 + r * (E5 + r * (E6 + r * high))))))
    for s in range(x.size):
        bits[s] = ((bits[s] - WHOLE_BITS) + BIAS) << EXPONENT_SHIFT
    for s in range(x.size):
        out[s] = np.nan if math.isnan(x[s]) else out[s] * scaled[s]
    return out


@kernel
def _held(x: float) -> float:
    held = x if x > SMALLEST else SMALLEST
    return held if held < LARGEST else LARGEST


@kernel
def antilogarithm(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write e ** x. State: SLOTS rows."""
    for t in range(x.shape[0]):
        _copy(fill(x[t, first:last], state[0, first:last], state[1, first:last]), out[t, first:last])


@kernel
def _copy(x: FloatArray, out: FloatArray) -> None:
    for s in range(out.size):
        out[s] = x[s]


@kernel
def hyperbolic_tangent(
    x: FloatArray, inner: float, outer: float, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write outer * tanh(inner * x). State: PAIR_SLOTS rows."""
    argument, power = state[1, first:last], state[2, first:last]
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            argument[s] = 2.0 * inner * row[s]
        fill(argument, state[0, first:last], power)
        for s in range(o.size):
            o[s] = outer * (1.0 - 2.0 / (power[s] + 1.0))


@kernel
def fill_normal(z: FloatArray, scaled: FloatArray, argument: FloatArray, out: FloatArray) -> None:
    """Write the standard normal distribution function of one row, as `fill` does (Hart 1968, in the form of West 2005, Wilmott)."""
    for s in range(z.size):
        argument[s] = -0.5 * (z[s] * z[s])
    fill(argument, scaled, out)
    for s in range(z.size):
        a = abs(z[s])
        tail = out[s] * _hart(a) if a < HART_MAX else out[s] / (_fraction(a) * ROOT_2PI)
        out[s] = 1.0 - tail if z[s] > 0.0 else tail


@kernel
def _hart(a: float) -> float:
    top = 33.912866078383 + a * (6.37396220353165 + a * (0.700383064443688 + a * 0.0352624965998911))
    top = 220.206867912376 + a * (221.213596169931 + a * (112.079291497871 + a * top))
    base = 86.7807322029461 + a * (16.064177579207 + a * (1.75566716318264 + a * 0.0883883476483184))
    base = 440.413735824752 + a * (793.826512519948 + a * (637.333633378831 + a * (296.564248779674 + a * base)))
    return top / base


@kernel
def _fraction(a: float) -> float:
    return a + 1.0 / (a + 2.0 / (a + 3.0 / (a + 4.0 / (a + 0.65))))
