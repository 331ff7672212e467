"""Averages that begin at once, and averages that adapt their speed."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import smoothing

#: Rows of Kaufman's average: the last value seen, the average, whether it was begun.
KAUFMAN_SLOTS = 3


@kernel
def from_first(x: FloatArray, bars: int, need: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the exponential average of span `bars` that begins as the first value, from bar `need` on (TA-Lib ADOSC)."""
    smoothing.smooth(x, 0, 1, 1.0, 2.0 / (bars + 1.0), 1.0, need, state, out, first, last)


@kernel
def kaufman(
    x: FloatArray, share: FloatArray, fast: int, slow: int, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write Kaufman's adaptive average (Kaufman 1995; TA-Lib KAMA), which begins as x one bar before `share` is known.

    Its gain is (share * (2 / (fast + 1) - 2 / (slow + 1)) + 2 / (slow + 1))^2, `share` the efficiency ratio. State: KAUFMAN_SLOTS
    rows.
    """
    before, average, begun = state[0, first:last], state[1, first:last], state[2, first:last]
    low = 2.0 / (slow + 1.0)
    reach = 2.0 / (fast + 1.0) - low
    for t in range(x.shape[0]):
        row, ratio, o = x[t, first:last], share[t, first:last], out[t, first:last]
        for s in range(o.size):
            known, missing = not math.isnan(ratio[s]), math.isnan(row[s])
            base = average[s] if begun[s] > 0.0 else before[s]
            gain = ratio[s] * reach + low
            value = base + gain * gain * (row[s] - base)
            o[s] = value if known & (not missing) else np.nan
            average[s] = value if known & (not missing) else average[s]
            begun[s] = 1.0 if known else begun[s]
            before[s] = before[s] if missing else row[s]


@kernel
def efficiency(moved: FloatArray, path: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write |moved| / path, 0 to 1, and 1 where nothing moved (Kaufman 1995)."""
    for t in range(moved.shape[0]):
        m, p, o = moved[t, first:last], path[t, first:last], out[t, first:last]
        for s in range(o.size):
            distance = abs(m[s])
            direct = (p[s] <= distance) | (p[s] <= 0.0)
            o[s] = 1.0 + 0.0 * distance if direct else distance / p[s]
