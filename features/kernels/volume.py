"""Volume: what was traded behind a move."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: Typical prices that agree to this share differ by rounding alone.
ROUNDING = 1e-12


@kernel
def on_balance(moved: FloatArray, volume: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the running sum of volume, signed by the one-bar change (Granville 1963; TA-Lib OBV). State: one row.

    A symbol's first bar, whose change is unknown, counts as a rise.
    """
    total = state[0, first:last]
    for t in range(volume.shape[0]):
        _signed_sum(moved[t, first:last], volume[t, first:last], total, out[t, first:last])


@kernel
def _signed_sum(moved: FloatArray, volume: FloatArray, total: FloatArray, out: FloatArray) -> None:
    for s in range(volume.size):
        present = not math.isnan(volume[s])
        side = -1.0 if moved[s] < 0.0 else (0.0 if moved[s] == 0.0 else 1.0)
        summed = total[s] + side * volume[s]
        total[s] = summed if present else total[s]
        out[s] = summed if present else np.nan


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
def flow(
    price: FloatArray, moved: FloatArray, volume: FloatArray, side: float, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write price * volume where the price's one-bar change has the sign of `side`, else 0; rounding is no change."""
    for t in range(price.shape[0]):
        p, m, v, o = price[t, first:last], moved[t, first:last], volume[t, first:last], out[t, first:last]
        for s in range(o.size):
            traded = p[s] * v[s] if side * m[s] > ROUNDING * p[s] else 0.0
            o[s] = traded if not math.isnan(m[s]) else np.nan


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
