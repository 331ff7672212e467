"""Realised volatility: what one bar adds to it, how a jump shows in it, and how it is filtered."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: E|z|^-2 of a standard normal z: two absolute returns make a squared one.
BIPOWER = math.pi / 2.0
#: Rows of a GARCH filter's state: whether it was begun, the variance.
GARCH_SLOTS = 2


@kernel
def bipower(x: FloatArray, before: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write (pi / 2) |x| |before|, one bar's bipower variation (Barndorff-Nielsen, Shephard 2004, J. Fin. Econometrics 2(1))."""
    for t in range(x.shape[0]):
        u, v, o = x[t, first:last], before[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = BIPOWER * abs(u[s] * v[s])


@kernel
def semivariance(x: FloatArray, side: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x^2 where x has the sign of `side`, else 0 (Barndorff-Nielsen, Kinnebrock, Shephard 2010)."""
    for t in range(x.shape[0]):
        u, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            part = u[s] if side * u[s] > 0.0 else 0.0 * u[s]
            o[s] = part * part


@kernel
def excess(total: FloatArray, smooth: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write max(0, 1 - smooth / total), the share of jumps; NaN where the total is zero."""
    for t in range(total.shape[0]):
        u, v, o = total[t, first:last], smooth[t, first:last], out[t, first:last]
        for s in range(o.size):
            part = 1.0 - v[s] / u[s]
            part = 0.0 if part < 0.0 else part
            o[s] = part if u[s] > 0.0 else np.nan


@kernel
def yang_zhang(
    overnight: FloatArray,
    body: FloatArray,
    drift_free: FloatArray,
    bars: int,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write the variance of a bar, V_o + k V_c + (1 - k) V_rs (Yang, Zhang 2000, J. Business 73(3), equations 9 and 10).

    `overnight` and `body` are population deviations of ln(open / close before) and ln(close / open) over `bars` bars, `drift_free`
    is the mean of Rogers and Satchell's variance over as many.
    """
    weight = 0.34 / (1.34 + (bars + 1.0) / (bars - 1.0))
    unbiased = bars / (bars - 1.0)
    for t in range(body.shape[0]):
        a, b, c, o = overnight[t, first:last], body[t, first:last], drift_free[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = unbiased * (a[s] * a[s] + weight * (b[s] * b[s])) + (1.0 - weight) * c[s]


@kernel
def garch(
    square: FloatArray,
    level: FloatArray,
    alpha: float,
    beta: float,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write next bar's variance h' = (1 - alpha - beta) level + alpha x^2 + beta h (Bollerslev 1986, J. Econometrics 31(3)).

    `square` holds squared returns, `level` the long-run variance, which h begins with at the first bar where it is known. Fixed
    parameters, nothing is fitted. State: GARCH_SLOTS rows.
    """
    begun, variance, rest = state[0, first:last], state[1, first:last], 1.0 - alpha - beta
    for t in range(square.shape[0]):
        _forecast(square[t, first:last], level[t, first:last], alpha, beta, rest, begun, variance, out[t, first:last])


@kernel
def _forecast(
    square: FloatArray,
    level: FloatArray,
    alpha: float,
    beta: float,
    rest: float,
    begun: FloatArray,
    variance: FloatArray,
    out: FloatArray,
) -> None:
    for s in range(out.size):
        before, started = variance[s], begun[s]
        h = before if started > 0.0 else level[s]
        following = rest * level[s] + alpha * square[s] + beta * h
        missing = math.isnan(following)
        out[s] = following
        variance[s] = before if missing else following
        begun[s] = started if missing else 1.0
