"""The natural logarithm of whole rows: SIMD where the C library takes one value at a time, and the same bits on every machine.

x = 2^k m with m between sqrt(1/2) and sqrt(2), and log(x) = k log(2) + log(m), log(m) by the odd polynomial of Sun's fdlibm
(Ng 1993, e_log.c; error below one unit in the last place).
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: Rows of state: a row of mantissas.
SLOTS = 1
#: log(2), and what its upper half, exact when multiplied by an exponent, leaves out.
LN2_HIGH, LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
#: Coefficients of z, z^2, ... z^7 in (log(1 + f) - f + f^2 / 2) / u - f^2 / 2, where u = f / (2 + f) and z = u^2.
C1, C2, C3, C4 = 6.666666666666735130e-01, 3.999999999940941908e-01, 2.857142874366239149e-01, 2.222219843214978396e-01
C5, C6, C7 = 1.818357216161805012e-01, 1.531383769920937332e-01, 1.479819860510658591e-01
#: Bits of sqrt(1/2), and of the exponent's lowest one.
ROOT_BITS, EXPONENT_SHIFT = 0x3FE6A09E667F3BCD, 52


@kernel
def logarithm(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the natural logarithm; NaN where x is below the smallest normal number, 2.2e-308. State: SLOTS rows."""
    mantissa = state[0, first:last]
    for t in range(x.shape[0]):
        row = x[t, first:last]
        _mantissas(row, mantissa)
        _logarithms(row, mantissa, out[t, first:last])


@kernel
def _exponent(bits: int) -> int:
    return (bits - ROOT_BITS) >> EXPONENT_SHIFT


@kernel
def _mantissas(x: FloatArray, mantissa: FloatArray) -> None:
    bits, written = x.view(np.int64), mantissa.view(np.int64)
    for s in range(x.size):
        written[s] = bits[s] - (_exponent(bits[s]) << EXPONENT_SHIFT)


@kernel
def _logarithms(x: FloatArray, mantissa: FloatArray, out: FloatArray) -> None:
    bits = x.view(np.int64)
    for s in range(x.size):
        k, f = float(_exponent(bits[s])), mantissa[s] - 1.0
        u = f / (2.0 + f)
        z = u * u
        r = z * (C1 + z * (C2 + z * (C3 + z * (C4 + z * (C5 + z * (C6 + z * C7))))))
        half = 0.5 * f * f
        value = k * LN2_HIGH - ((half - (u * (half + r) + k * LN2_LOW)) - f)
        value = value if x[s] < math.inf else math.inf
        out[s] = value if x[s] >= 2.2250738585072014e-308 else np.nan
