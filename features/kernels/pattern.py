"""Candlestick patterns of one, two and three bars, as TA-Lib defines them (Morris 1992): 1 bullish, -1 bearish, 0 none.

A body is long or short against the mean body of the ten bars before its bar, a doji or a shadow that hardly exists against a tenth
of their mean range, near against a fifth of the mean range of five. A bar that closes where it opened counts as rising.
"""

import math
from typing import NamedTuple

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: Patterns that are written, in order.
NAMES = (
    "doji", "dragonfly_doji", "gravestone_doji", "long_legged_doji", "takuri", "spinning_top", "high_wave", "marubozu",
    "closing_marubozu", "belt_hold",
    "hammer", "hanging_man", "inverted_hammer", "shooting_star", "engulfing", "harami", "harami_cross", "piercing",
    "dark_cloud_cover", "doji_star", "homing_pigeon", "matching_low", "kicking",
    "morning_star", "evening_star", "morning_doji_star", "evening_doji_star", "abandoned_baby", "tristar", "three_inside",
    "three_outside", "three_white_soldiers", "upside_gap_two_crows", "two_crows", "tasuki_gap",
)  # fmt: skip
PARTS = len(NAMES)
#: Patterns of one and of two bars.
ONE, TWO = 10, 13
#: Series that are remembered of each of the two bars before: four prices and three means.
SERIES = 7
#: Rows of state: whether it was begun, the two bars before.
SLOTS = 1 + 2 * SERIES
#: How far into the first body the third must close, and the second into the first.
STAR_PENETRATION, CLOUD_PENETRATION = 0.3, 0.5
#: What a pattern counts whose edges touch.
TOUCHING = 0.8


#: The rows of one bar: open, high, low, close, mean body, mean range of ten and of five bars.
Bar = tuple[FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray, FloatArray]


class Candle(NamedTuple):
    """One bar of one symbol."""

    open: float
    high: float
    low: float
    close: float
    body: float
    """Mean body of the ten bars before."""
    reach: float
    """A tenth of the mean range of the ten bars before."""
    near: float
    """Mean range of the five bars before."""


@kernel
def patterns(
    opening: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    body: FloatArray,
    reach: FloatArray,
    near: FloatArray,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write all patterns in the order of NAMES.

    `body` and `reach` are the mean body and range of the ten bars before each bar, `near` the mean range of the five before.
    Unknown until the means are known at every bar of a pattern. State: SLOTS rows.
    """
    _begin(state, first, last)
    one, two = _bar(state, 1, first, last), _bar(state, 1 + SERIES, first, last)
    for t in range(close.shape[0]):
        op, h, low_row, c = opening[t, first:last], high[t, first:last], low[t, first:last], close[t, first:last]
        now = (op, h, low_row, c, body[t, first:last], reach[t, first:last], near[t, first:last])
        _write_ones(now, _five(out, 0, t, first, last) + _five(out, 5, t, first, last))
        _write_twos(now, one, _five(out, 10, t, first, last) + _five(out, 15, t, first, last) + _three(out, 20, t, first, last))
        rest = _five(out, 23, t, first, last) + _three(out, 28, t, first, last) + _three(out, 31, t, first, last)
        _write_threes(now, one, two, (*rest, out[34, t, first:last]))
        for k in range(SERIES):
            _remember(c, now[k], one[k], two[k])


@kernel
def _bar(state: FloatArray, k: int, first: int, last: int) -> Bar:
    """Return the rows of a bar that is remembered."""
    op, h, low, c = state[k, first:last], state[k + 1, first:last], state[k + 2, first:last], state[k + 3, first:last]
    return op, h, low, c, state[k + 4, first:last], state[k + 5, first:last], state[k + 6, first:last]


@kernel
def _three(out: FloatArray, k: int, t: int, first: int, last: int) -> tuple[FloatArray, ...]:
    return out[k, t, first:last], out[k + 1, t, first:last], out[k + 2, t, first:last]


@kernel
def _five(out: FloatArray, k: int, t: int, first: int, last: int) -> tuple[FloatArray, ...]:
    return (*_three(out, k, t, first, last), out[k + 3, t, first:last], out[k + 4, t, first:last])


@kernel
def _candle(bar: Bar, s: int) -> Candle:
    return Candle(bar[0][s], bar[1][s], bar[2][s], bar[3][s], bar[4][s], 0.1 * bar[5][s], bar[6][s])


@kernel
def _remember(close: FloatArray, now: FloatArray, one: FloatArray, two: FloatArray) -> None:
    for s in range(close.size):
        missing = math.isnan(close[s])
        two[s] = two[s] if missing else one[s]
        one[s] = one[s] if missing else now[s]


@kernel
def _begin(state: FloatArray, first: int, last: int) -> None:
    """Let the bars before the first one start as NaN, not as the zeros of a new state."""
    for s in range(first, last):
        if state[0, s] == 0.0:
            state[:, s] = np.nan
            state[0, s] = 1.0


@kernel
def _rises(a: Candle) -> bool:
    return a.close >= a.open


@kernel
def _color(a: Candle) -> float:
    return 1.0 if a.close >= a.open else -1.0


@kernel
def _body(a: Candle) -> float:
    return abs(a.close - a.open)


@kernel
def _top(a: Candle) -> float:
    return a.close if a.close > a.open else a.open


@kernel
def _bottom(a: Candle) -> float:
    return a.close if a.close < a.open else a.open


@kernel
def _upper(a: Candle) -> float:
    return a.high - _top(a)


@kernel
def _lower(a: Candle) -> float:
    return _bottom(a) - a.low


@kernel
def _is_long(a: Candle) -> bool:
    return _body(a) > a.body


@kernel
def _is_doji(a: Candle) -> bool:
    return _body(a) <= a.reach


@kernel
def _gaps_up(a: Candle, before: Candle) -> bool:
    return _bottom(a) > _top(before)


@kernel
def _gaps_down(a: Candle, before: Candle) -> bool:
    return _top(a) < _bottom(before)


@kernel
def _put(known: bool, found: bool, value: float) -> float:
    return (value if found else 0.0) if known else np.nan


@kernel
def _write_ones(bar: Bar, out: tuple[FloatArray, ...]) -> None:
    for s in range(out[0].size):
        a = _candle(bar, s)
        known = not (math.isnan(a.body) | math.isnan(a.reach) | math.isnan(a.close))
        body, upper, lower, doji, short, color = _body(a), _upper(a), _lower(a), _is_doji(a), _body(a) < a.body, _color(a)
        no_upper, no_lower, long, rises = upper < a.reach, lower < a.reach, _is_long(a), _rises(a)
        out[0][s] = _put(known, doji, 1.0)
        out[1][s] = _put(known, doji & no_upper & (lower > a.reach), 1.0)
        out[2][s] = _put(known, doji & no_lower & (upper > a.reach), 1.0)
        out[3][s] = _put(known, doji & ((lower > body) | (upper > body)), 1.0)
        out[4][s] = _put(known, doji & no_upper & (lower > 2.0 * body), 1.0)
        out[5][s] = _put(known, short & (upper > body) & (lower > body), color)
        out[6][s] = _put(known, short & (upper > 2.0 * body) & (lower > 2.0 * body), color)
        out[7][s] = _put(known, long & no_upper & no_lower, color)
        out[8][s] = _put(known, long & ((rises & no_upper) | ((not rises) & no_lower)), color)
        out[9][s] = _put(known, long & ((rises & no_lower) | ((not rises) & no_upper)), color)


@kernel
def _write_twos(bar: Bar, before: Bar, out: tuple[FloatArray, ...]) -> None:
    """Write the patterns of a bar and the one before."""
    for s in range(out[0].size):
        b, a = _candle(bar, s), _candle(before, s)
        known = not (math.isnan(a.body) | math.isnan(b.close))
        short, upper, lower = _body(b) < b.body, _upper(b), _lower(b)
        hangs, shoots = short & (lower > _body(b)) & (upper < b.reach), short & (upper > _body(b)) & (lower < b.reach)
        out[0][s] = _put(known, hangs & (_bottom(b) <= a.low + 0.2 * a.near), 1.0)
        out[1][s] = _put(known, hangs & (_bottom(b) >= a.high - 0.2 * a.near), -1.0)
        out[2][s] = _put(known, shoots & _gaps_down(b, a), 1.0)
        out[3][s] = _put(known, shoots & _gaps_up(b, a), -1.0)
        out[4][s] = _put(known, True, _engulfing(b, a))
        out[5][s] = _put(known, _is_long(a) & (_body(b) <= b.body), _inside(b, a))
        out[6][s] = _put(known, _is_long(a) & _is_doji(b), _inside(b, a))
        out[7][s] = _put(known, _pierces(b, a), 1.0)
        out[8][s] = _put(known, _covers(b, a), -1.0)
        star = (_rises(a) & _gaps_up(b, a)) | ((not _rises(a)) & _gaps_down(b, a))
        out[9][s] = _put(known, _is_long(a) & _is_doji(b) & star, -_color(a))
        fall = (not _rises(a)) & (not _rises(b))
        nested = fall & _is_long(a) & (_body(b) <= b.body) & (b.open < a.open) & (b.close > a.close)
        out[10][s] = _put(known, nested, 1.0)
        out[11][s] = _put(known, fall & (abs(b.close - a.close) <= 0.05 * a.near), 1.0)
        out[12][s] = _put(known, _kicks(b, a), _color(b))


@kernel
def _engulfing(b: Candle, a: Candle) -> float:
    """Return how a body swallows the one before of the other colour."""
    turns = _rises(a) != _rises(b)
    wider = (_top(b) >= _top(a)) & (_bottom(b) <= _bottom(a)) & ((_top(b) > _top(a)) | (_bottom(b) < _bottom(a)))
    touches = (b.open == a.close) | (b.close == a.open)
    return (_color(b) * (TOUCHING if touches else 1.0)) if turns & wider else 0.0


@kernel
def _inside(b: Candle, a: Candle) -> float:
    """Return how a body lies within the one before."""
    within = (_top(b) < _top(a)) & (_bottom(b) > _bottom(a))
    touching = (_top(b) <= _top(a)) & (_bottom(b) >= _bottom(a))
    return -_color(a) * (1.0 if within else (TOUCHING if touching else 0.0))


@kernel
def _pierces(b: Candle, a: Candle) -> bool:
    long = _is_long(a) & _is_long(b) & (not _rises(a)) & _rises(b)
    return long & (b.open < a.low) & (b.close < a.open) & (b.close > a.close + CLOUD_PENETRATION * _body(a))


@kernel
def _covers(b: Candle, a: Candle) -> bool:
    turns = _is_long(a) & _rises(a) & (not _rises(b))
    return turns & (b.open > a.high) & (b.close > a.open) & (b.close < a.close - CLOUD_PENETRATION * _body(a))


@kernel
def _is_marubozu(a: Candle) -> bool:
    return _is_long(a) & (_upper(a) < a.reach) & (_lower(a) < a.reach)


@kernel
def _kicks(b: Candle, a: Candle) -> bool:
    apart = (_rises(a) & (b.high < a.low)) | ((not _rises(a)) & (b.low > a.high))
    return _is_marubozu(a) & _is_marubozu(b) & (_rises(a) != _rises(b)) & apart


@kernel
def _write_threes(bar: Bar, before: Bar, earlier: Bar, out: tuple[FloatArray, ...]) -> None:
    """Write the patterns of a bar and the two before."""
    for s in range(out[0].size):
        c, b, a = _candle(bar, s), _candle(before, s), _candle(earlier, s)
        known = not (math.isnan(a.body) | math.isnan(c.close))
        long, short, doji, first_rises, turned = _is_long(a), _body(b) <= b.body, _is_doji(b), _rises(a), _rises(a) != _rises(c)
        bullish, bearish = _star(c, b, a, 1.0), _star(c, b, a, -1.0)
        out[0][s] = _put(known, bullish & short, 1.0)
        out[1][s] = _put(known, bearish & short, -1.0)
        out[2][s] = _put(known, bullish & doji, 1.0)
        out[3][s] = _put(known, bearish & doji, -1.0)
        out[4][s] = _put(known, long & doji & turned & _alone(c, b, a) & (_body(c) > c.body) & _turns_back(c, a), _color(c))
        out[5][s] = _put(known, True, _tristar(c, b, a))
        inside = (_top(b) < _top(a)) & (_bottom(b) > _bottom(a))
        beyond = (first_rises & (c.close < a.open)) | ((not first_rises) & (c.close > a.open))
        out[6][s] = _put(known, long & short & inside & turned & beyond, -_color(a))
        outside = (first_rises != _rises(b)) & (_top(b) > _top(a)) & (_bottom(b) < _bottom(a))
        on = (_rises(b) & (c.close > b.close)) | ((not _rises(b)) & (c.close < b.close))
        out[7][s] = _put(known, outside & on, _color(b))
        out[8][s] = _put(known, _soldiers(c, b, a), 1.0)
        crows = long & first_rises & (not _rises(b)) & (not _rises(c)) & _gaps_up(b, a)
        swallowed = (c.open > b.open) & (c.close < b.close) & (c.close > a.close)
        out[9][s] = _put(known, crows & short & swallowed, -1.0)
        back = (c.open < b.open) & (c.open > b.close) & (c.close > a.open) & (c.close < a.close)
        out[10][s] = _put(known, crows & back, -1.0)
        out[11][s] = _put(known, _tasuki(c, b, a), _color(b))


@kernel
def _alone(c: Candle, b: Candle, a: Candle) -> bool:
    """Return whether a bar stands apart from both its neighbours, above them after a rise, below them after a fall."""
    left_up, left_down = (b.low > a.high) & (c.high < b.low), (b.high < a.low) & (c.low > b.high)
    return (_rises(a) & left_up) | ((not _rises(a)) & left_down)


@kernel
def _turns_back(c: Candle, a: Candle) -> bool:
    """Return whether a bar closes well within the body of two bars before, from the far side."""
    reach = STAR_PENETRATION * _body(a)
    return (_rises(a) & (c.close < a.close - reach)) | ((not _rises(a)) & (c.close > a.close + reach))


@kernel
def _star(c: Candle, b: Candle, a: Candle, side: float) -> bool:
    """Return whether a long body, a gap and a body of the other colour turn up (`side` 1) or down (-1)."""
    turns = (not _rises(a)) & _rises(c) if side > 0.0 else _rises(a) & (not _rises(c))
    gap = _gaps_down(b, a) if side > 0.0 else _gaps_up(b, a)
    return _is_long(a) & turns & gap & (_body(c) > c.body) & _turns_back(c, a)


@kernel
def _tristar(c: Candle, b: Candle, a: Candle) -> float:
    """Return how the middle one of three dojis stands out."""
    three = (_body(a) <= a.reach) & (_body(b) <= a.reach) & (_body(c) <= a.reach)
    above, below = _gaps_up(b, a) & (_top(c) < _top(b)), _gaps_down(b, a) & (_bottom(c) > _bottom(b))
    return (1.0 if below else (-1.0 if above else 0.0)) if three else 0.0


@kernel
def _soldiers(c: Candle, b: Candle, a: Candle) -> bool:
    """Return whether three rising bars without upper shadows open within each other's body and grow no smaller."""
    rise = _rises(a) & _rises(b) & _rises(c) & (c.close > b.close) & (b.close > a.close)
    bare = (_upper(a) < a.reach) & (_upper(b) < b.reach) & (_upper(c) < c.reach)
    steps = (b.open > a.open) & (b.open <= a.close + 0.2 * a.near) & (c.open > b.open) & (c.open <= b.close + 0.2 * b.near)
    sizes = (_body(b) > _body(a) - 0.6 * a.near) & (_body(c) > _body(b) - 0.6 * b.near) & (_body(c) > c.body)
    return rise & bare & steps & sizes


@kernel
def _tasuki(c: Candle, b: Candle, a: Candle) -> bool:
    """Return whether a bar of the other colour closes a part of the gap that the bar before has left."""
    gap = (_rises(b) & _gaps_up(b, a)) | ((not _rises(b)) & _gaps_down(b, a))
    within = (c.open < _top(b)) & (c.open > _bottom(b))
    up, down = (c.close < b.open) & (c.close > _top(a)), (c.close > b.open) & (c.close < _bottom(a))
    even = abs(_body(b) - _body(c)) < 0.2 * b.near
    return gap & (_rises(b) != _rises(c)) & within & ((_rises(b) & up) | ((not _rises(b)) & down)) & even
