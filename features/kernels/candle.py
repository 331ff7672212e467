"""Candles: the shape of one bar, from its four prices."""

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels.nested import GUARD

#: Series that `shape` and `prices` write.
SHAPE_PARTS, PRICE_PARTS = 9, 3


@kernel
def shape(
    opening: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write body, range, upper and lower shadow and the close's surplus, over the open and, but for the range, over the range.

    In Qlib's order: body, range, body over range, upper, upper over range, lower, lower over range, surplus, surplus over range.
    The surplus is 2 close - high - low. A bar without range has zero shares of it.
    """
    for t in range(high.shape[0]):
        op, h, low_row, c = opening[t, first:last], high[t, first:last], low[t, first:last], close[t, first:last]
        _body(op, h, low_row, c, out[0, t, first:last], out[1, t, first:last], out[2, t, first:last])
        _shadow(op, h, low_row, c, 1.0, out[3, t, first:last], out[4, t, first:last])
        _shadow(op, h, low_row, c, -1.0, out[5, t, first:last], out[6, t, first:last])
        _surplus(op, h, low_row, c, out[7, t, first:last], out[8, t, first:last])


@kernel
def _body(
    opening: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    body: FloatArray,
    reach: FloatArray,
    share: FloatArray,
) -> None:
    for s in range(high.size):
        over = 1.0 / opening[s]
        body[s] = (close[s] - opening[s]) * over
        reach[s] = (high[s] - low[s]) * over
        share[s] = (close[s] - opening[s]) / ((high[s] - low[s]) + GUARD)


@kernel
def _shadow(
    opening: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, side: float, over: FloatArray, share: FloatArray
) -> None:
    for s in range(high.size):
        top = opening[s] if opening[s] > close[s] else close[s]
        bottom = opening[s] if opening[s] < close[s] else close[s]
        shadow = high[s] - top if side > 0.0 else bottom - low[s]
        over[s] = shadow / opening[s]
        share[s] = shadow / ((high[s] - low[s]) + GUARD)


@kernel
def _surplus(
    opening: FloatArray, high: FloatArray, low: FloatArray, close: FloatArray, over: FloatArray, share: FloatArray
) -> None:
    for s in range(high.size):
        surplus = (close[s] - high[s]) + (close[s] - low[s])
        over[s] = surplus / opening[s]
        share[s] = surplus / ((high[s] - low[s]) + GUARD)


@kernel
def prices(
    opening: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write open, high and low over close."""
    for t in range(high.shape[0]):
        op, h, low_row, c = opening[t, first:last], high[t, first:last], low[t, first:last], close[t, first:last]
        a, b, d = out[0, t, first:last], out[1, t, first:last], out[2, t, first:last]
        for s in range(c.size):
            over = 1.0 / c[s]
            a[s], b[s], d[s] = op[s] * over, h[s] * over, low_row[s] * over


@kernel
def sized_move(rate: FloatArray, volume: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write |rate| * volume."""
    for t in range(rate.shape[0]):
        r, v, o = rate[t, first:last], volume[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = abs(r[s]) * v[s]
