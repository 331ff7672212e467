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
    for t in range(close.shape[0]):
        for s in range(first, last):
            now = Candle(opening[t, s], high[t, s], low[t, s], close[t, s], body[t, s], 0.1 * reach[t, s], near[t, s])
            one, two = _remembered(state, 1, s), _remembered(state, 1 + SERIES, s)
            _write_ones(now, out, t, s)
            _write_twos(now, one, out, t, s)
            _write_threes(now, one, two, out, t, s)
            if not math.isnan(now.close):
                _remember(state, 1 + SERIES, s, one)
                _remember(state, 1, s, now)


@kernel
def _begin(state: FloatArray, first: int, last: int) -> None:
    """Let the bars before the first one start as NaN, not as the zeros of a new state."""
    for s in range(first, last):
        if state[0, s] == 0.0:
            state[:, s] = np.nan
            state[0, s] = 1.0


@kernel
def _remembered(state: FloatArray, k: int, s: int) -> Candle:
    return Candle(state[k, s], state[k + 1, s], state[k + 2, s], state[k + 3, s], state[k + 4, s], state[k + 5, s], state[k + 6, s])


@kernel
def _remember(state: FloatArray, k: int, s: int, a: Candle) -> None:
    state[k, s], state[k + 1, s], state[k + 2, s], state[k + 3, s] = a.open, a.high, a.low, a.close
    state[k + 4, s], state[k + 5, s], state[k + 6, s] = a.body, a.reach, a.near


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
    return max(a.close, a.open)


@kernel
def _bottom(a: Candle) -> float:
    return min(a.close, a.open)


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
def _put(out: FloatArray, k: int, t: int, s: int, known: bool, found: bool, value: float) -> None:
    out[k, t, s] = (value if found else 0.0) if known else np.nan


@kernel
def _write_ones(a: Candle, out: FloatArray, t: int, s: int) -> None:
    known = not (math.isnan(a.body) | math.isnan(a.reach) | math.isnan(a.close))
    body, upper, lower, doji, short = _body(a), _upper(a), _lower(a), _is_doji(a), _body(a) < a.body
    no_upper, no_lower = upper < a.reach, lower < a.reach
    _put(out, 0, t, s, known, doji, 1.0)
    _put(out, 1, t, s, known, doji & no_upper & (lower > a.reach), 1.0)
    _put(out, 2, t, s, known, doji & no_lower & (upper > a.reach), 1.0)
    _put(out, 3, t, s, known, doji & ((lower > body) | (upper > body)), 1.0)
    _put(out, 4, t, s, known, doji & no_upper & (lower > 2.0 * body), 1.0)
    _put(out, 5, t, s, known, short & (upper > body) & (lower > body), _color(a))
    _put(out, 6, t, s, known, short & (upper > 2.0 * body) & (lower > 2.0 * body), _color(a))
    _put(out, 7, t, s, known, _is_long(a) & no_upper & no_lower, _color(a))
    _put(out, 8, t, s, known, _is_long(a) & (no_upper if _rises(a) else no_lower), _color(a))
    _put(out, 9, t, s, known, _is_long(a) & (no_lower if _rises(a) else no_upper), _color(a))


@kernel
def _write_twos(b: Candle, a: Candle, out: FloatArray, t: int, s: int) -> None:
    """Write the patterns of a bar `b` and the one before, `a`."""
    known = not (math.isnan(a.body) | math.isnan(b.close))
    short, upper, lower = _body(b) < b.body, _upper(b), _lower(b)
    hangs = short & (lower > _body(b)) & (upper < b.reach)
    shoots = short & (upper > _body(b)) & (lower < b.reach)
    _put(out, ONE, t, s, known, hangs & (_bottom(b) <= a.low + 0.2 * a.near), 1.0)
    _put(out, ONE + 1, t, s, known, hangs & (_bottom(b) >= a.high - 0.2 * a.near), -1.0)
    _put(out, ONE + 2, t, s, known, shoots & _gaps_down(b, a), 1.0)
    _put(out, ONE + 3, t, s, known, shoots & _gaps_up(b, a), -1.0)
    _put(out, ONE + 4, t, s, known, True, _engulfing(b, a))
    _put(out, ONE + 5, t, s, known, _is_long(a) & (_body(b) <= b.body), _inside(b, a))
    _put(out, ONE + 6, t, s, known, _is_long(a) & _is_doji(b), _inside(b, a))
    _put(out, ONE + 7, t, s, known, _pierces(b, a), 1.0)
    _put(out, ONE + 8, t, s, known, _covers(b, a), -1.0)
    star = _gaps_up(b, a) if _rises(a) else _gaps_down(b, a)
    _put(out, ONE + 9, t, s, known, _is_long(a) & _is_doji(b) & star, -_color(a))
    fall = (not _rises(a)) & (not _rises(b))
    nested = fall & _is_long(a) & (_body(b) <= b.body) & (b.open < a.open) & (b.close > a.close)
    _put(out, ONE + 10, t, s, known, nested, 1.0)
    _put(out, ONE + 11, t, s, known, fall & (abs(b.close - a.close) <= 0.05 * a.near), 1.0)
    _put(out, ONE + 12, t, s, known, _kicks(b, a), _color(b))


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
    apart = b.high < a.low if _rises(a) else b.low > a.high
    return _is_marubozu(a) & _is_marubozu(b) & (_rises(a) != _rises(b)) & apart


@kernel
def _write_threes(c: Candle, b: Candle, a: Candle, out: FloatArray, t: int, s: int) -> None:
    """Write the patterns of a bar `c` and the two before, `b` and `a`."""
    k, known = ONE + TWO, not (math.isnan(a.body) | math.isnan(c.close))
    long, short, doji = _is_long(a), _body(b) <= b.body, _is_doji(b)
    bullish, bearish = _star(c, b, a, 1.0), _star(c, b, a, -1.0)
    _put(out, k, t, s, known, bullish & short, 1.0)
    _put(out, k + 1, t, s, known, bearish & short, -1.0)
    _put(out, k + 2, t, s, known, bullish & doji, 1.0)
    _put(out, k + 3, t, s, known, bearish & doji, -1.0)
    left_up, left_down = (b.low > a.high) & (c.high < b.low), (b.high < a.low) & (c.low > b.high)
    alone = (left_up if _rises(a) else left_down) & (_rises(a) != _rises(c)) & (_body(c) > c.body)
    _put(out, k + 4, t, s, known, long & doji & alone & _turns_back(c, a), _color(c))
    _put(out, k + 5, t, s, known, True, _tristar(c, b, a))
    inside = (_top(b) < _top(a)) & (_bottom(b) > _bottom(a))
    beyond = c.close < a.open if _rises(a) else c.close > a.open
    _put(out, k + 6, t, s, known, long & short & inside & (_rises(a) != _rises(c)) & beyond, -_color(a))
    outside = (_rises(a) != _rises(b)) & (_top(b) > _top(a)) & (_bottom(b) < _bottom(a))
    on = c.close > b.close if _rises(b) else c.close < b.close
    _put(out, k + 7, t, s, known, outside & on, _color(b))
    _put(out, k + 8, t, s, known, _soldiers(c, b, a), 1.0)
    crows = long & _rises(a) & (not _rises(b)) & (not _rises(c)) & _gaps_up(b, a)
    swallowed = (c.open > b.open) & (c.close < b.close) & (c.close > a.close)
    _put(out, k + 9, t, s, known, crows & short & swallowed, -1.0)
    back = (c.open < b.open) & (c.open > b.close) & (c.close > a.open) & (c.close < a.close)
    _put(out, k + 10, t, s, known, crows & back, -1.0)
    _put(out, k + 11, t, s, known, _tasuki(c, b, a), _color(b))


@kernel
def _turns_back(c: Candle, a: Candle) -> bool:
    """Return whether a bar closes well within the body of two bars before, from the far side."""
    reach = STAR_PENETRATION * _body(a)
    return c.close < a.close - reach if _rises(a) else c.close > a.close + reach


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
    gap = _gaps_up(b, a) if _rises(b) else _gaps_down(b, a)
    within = (c.open < _top(b)) & (c.open > _bottom(b))
    up, down = (c.close < b.open) & (c.close > _top(a)), (c.close > b.open) & (c.close < _bottom(a))
    even = abs(_body(b) - _body(c)) < 0.2 * b.near
    return gap & (_rises(b) != _rises(c)) & within & (up if _rises(b) else down) & even
