"""Volume: what was traded behind a move."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import window

#: Rows of an on-balance volume's state: whether it was begun, the close of the bar before, the sum.
BALANCE_SLOTS = 3
#: Rows of a money flow's state: whether it was begun, the price of the bar before.
FLOW_SLOTS = 2
#: Typical prices that agree to this share differ by rounding alone.
ROUNDING = 1e-12


@kernel
def on_balance(close: FloatArray, volume: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the running sum of volume, signed by the one-bar change of the close (Granville 1963; TA-Lib OBV).

    A symbol's first bar counts as a rise. State: BALANCE_SLOTS rows.
    """
    before, total = state[1, first:last], state[2, first:last]
    window.begin(state[0, first:last], before)
    for t in range(volume.shape[0]):
        _signed_sum(close[t, first:last], volume[t, first:last], before, total, out[t, first:last])


@kernel
def _signed_sum(close: FloatArray, volume: FloatArray, before: FloatArray, total: FloatArray, out: FloatArray) -> None:
    for s in range(volume.size):
        c, v, old, sofar = close[s], volume[s], before[s], total[s]
        missing = math.isnan(c) | math.isnan(v)
        side = -1.0 if c < old else (0.0 if c == old else 1.0)
        summed = sofar + side * v
        out[s] = np.nan if missing else summed
        total[s] = sofar if missing else summed
        before[s] = old if missing else c


@kernel
def cumulative(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the running sum (TA-Lib AD from `pressure`). State: one row."""
    total = state[0, first:last]
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            summed = total[s] + row[s]
            o[s] = summed
            total[s] = summed if not math.isnan(row[s]) else total[s]


@kernel
def flow(price: FloatArray, volume: FloatArray, side: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write price * volume where the price's one-bar change has the sign of `side`, else 0; rounding is no change.

    Unknown on a symbol's first bar. State: FLOW_SLOTS rows.
    """
    before = state[1, first:last]
    window.begin(state[0, first:last], before)
    for t in range(price.shape[0]):
        _flow(price[t, first:last], volume[t, first:last], side, before, out[t, first:last])


@kernel
def _flow(price: FloatArray, volume: FloatArray, side: float, before: FloatArray, out: FloatArray) -> None:
    for s in range(price.size):
        p, v, old = price[s], volume[s], before[s]
        missing = math.isnan(p) | math.isnan(v)
        traded = p * v if side * (p - old) > ROUNDING * p else 0.0
        out[s] = np.nan if missing | math.isnan(old) else traded
        before[s] = old if missing else p


@kernel
def share(x: FloatArray, y: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write 100 * x / (x + y) (TA-Lib MFI from the flows up and down); NaN where both are zero."""
    for t in range(x.shape[0]):
        a, b, o = x[t, first:last], y[t, first:last], out[t, first:last]
        for s in range(o.size):
            part = a[s] if a[s] > 0.0 else 0.0
            total = a[s] + b[s]
            o[s] = 100.0 * part / total if total > 0.0 else np.nan


@kernel
def traded(price: FloatArray, volume: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write price * volume."""
    for t in range(price.shape[0]):
        p, v, o = price[t, first:last], volume[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = p[s] * v[s]


@kernel
def illiquidity(moved: FloatArray, value: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write |log return| / traded value (Amihud 2002, J. Financial Markets 5(1)); NaN where nothing was traded."""
    for t in range(moved.shape[0]):
        m, v, o = moved[t, first:last], value[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = abs(m[s]) / v[s] if v[s] > 0.0 else np.nan


@kernel
def pressure(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write volume * (2 close - high - low) / (high - low), 0 for a bar without range (Chaikin; TA-Lib AD before summing)."""
    for t in range(high.shape[0]):
        h, low_row, c = high[t, first:last], low[t, first:last], close[t, first:last]
        v, o = volume[t, first:last], out[t, first:last]
        for s in range(o.size):
            width = h[s] - low_row[s]
            o[s] = v[s] * (((c[s] - low_row[s]) - (h[s] - c[s])) / width) if width > 0.0 else 0.0 * v[s]
