"""Arithmetic of whole series, bar by bar: what formulas are made of beside windows. Unknown where any operand is unknown."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: From here on a double has no bits for fractions: added to a smaller one and taken away again, it leaves a whole number.
WHOLE = 2.0**52


@kernel
def linear(
    x: FloatArray, y: FloatArray, a: float, b: float, c: float, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write a x + b y + c."""
    for t in range(x.shape[0]):
        u, v, o = x[t, first:last], y[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = a * u[s] + b * v[s] + c


@kernel
def larger(x: FloatArray, y: FloatArray, sign: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the larger (`sign` 1) or the smaller (`sign` -1) of two series."""
    for t in range(x.shape[0]):
        u, v, o = x[t, first:last], y[t, first:last], out[t, first:last]
        for s in range(o.size):
            known = not (math.isnan(u[s]) | math.isnan(v[s]))
            best = u[s] if sign * u[s] > sign * v[s] else v[s]
            o[s] = best if known else np.nan


@kernel
def below(x: FloatArray, y: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write 1 where x < y, else 0."""
    for t in range(x.shape[0]):
        u, v, o = x[t, first:last], y[t, first:last], out[t, first:last]
        for s in range(o.size):
            known = not (math.isnan(u[s]) | math.isnan(v[s]))
            truth = 1.0 if u[s] < v[s] else 0.0
            o[s] = truth if known else np.nan


@kernel
def choose(
    condition: FloatArray, yes: FloatArray, no: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write `yes` where the condition is above zero, else `no`."""
    for t in range(condition.shape[0]):
        c, u, v, o = condition[t, first:last], yes[t, first:last], no[t, first:last], out[t, first:last]
        for s in range(o.size):
            known = not (math.isnan(c[s]) | math.isnan(u[s]) | math.isnan(v[s]))
            chosen = u[s] if c[s] > 0.0 else v[s]
            o[s] = chosen if known else np.nan


@kernel
def sign(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write -1, 0 or 1."""
    for t in range(x.shape[0]):
        u, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            side = 1.0 if u[s] > 0.0 else (-1.0 if u[s] < 0.0 else 0.0)
            o[s] = np.nan if math.isnan(u[s]) else side


@kernel
def magnitude(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the absolute value."""
    for t in range(x.shape[0]):
        u, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = abs(u[s])


@kernel
def clip(x: FloatArray, low: float, high: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x, but no less than `low` and no more than `high` (winsorising at fixed limits)."""
    for t in range(x.shape[0]):
        u, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            value = low if u[s] < low else u[s]
            o[s] = high if value > high else value


@kernel
def floor(x: float) -> float:
    """Return the largest whole number that is no larger than x; NaN and infinities as they are.

    NumPy's is unknown to a GPU, and Python's knows no NaN and makes an integer, which takes SIMD away.
    """
    size = (abs(x) + WHOLE) - WHOLE
    nearest = -size if x < 0.0 else size
    below = nearest - 1.0 if nearest > x else nearest
    return x if abs(x) >= WHOLE else below


@kernel
def rounded(x: FloatArray, grid: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x rounded to multiples of 1 / grid, so that rounding errors do not order what is equal."""
    for t in range(x.shape[0]):
        u, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = floor(u[s] * grid + 0.5) / grid


@kernel
def one_sided(x: FloatArray, side: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x where it has the sign of `side`, else 0."""
    for t in range(x.shape[0]):
        u, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = u[s] if side * u[s] > 0.0 else 0.0 * u[s]


@kernel
def first_known(x: FloatArray, y: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x, or y where x is unknown."""
    for t in range(x.shape[0]):
        u, v, o = x[t, first:last], y[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = v[s] if math.isnan(u[s]) else u[s]


@kernel
def settle(
    x: FloatArray, present: FloatArray, need: int, grid: float, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write x, or 0 where x is still unknown at the bar `need` of its symbol or later. State: one row.

    For measures that have no value where nothing varies, such as a correlation with a flat series. With a `grid` above zero x is
    rounded to multiples of 1 / grid, so that rounding does not order what is equal.
    """
    count = state[0, first:last]
    for t in range(x.shape[0]):
        u, p, o = x[t, first:last], present[t, first:last], out[t, first:last]
        for s in range(o.size):
            missing = math.isnan(p[s])
            bars = count[s] + (0.0 if missing else 1.0)
            known = (not missing) & (bars >= need)
            count[s] = bars
            kept = 0.0 if math.isnan(u[s]) else u[s]
            kept = floor(kept * grid + 0.5) / grid if grid > 0.0 else kept
            o[s] = kept if known else np.nan
