"""Order flow: who traded against whom, and what it cost."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import exponent, window

#: Rows of a tick rule's state: whether it was begun, the last close, the last side.
TICK_SLOTS = 3
#: Rows of a two-bar spread's state: whether it was begun; high, low and close of the bar before.
SPREAD_SLOTS = 4
#: Rows of a VPIN's state before its ring: place, bars, volume and bought volume in the open bucket, buckets filled, their sum.
VPIN_HEAD = 6
#: 3 - 2 sqrt(2), of Corwin and Schultz.
TWO_BARS = 3.0 - 2.0 * math.sqrt(2.0)


@kernel
def tick_rule(close: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write 1 after a rise and -1 after a fall; an unchanged close keeps the side (Lee, Ready 1991, J. Finance 46(2)).

    0 before anything moved; unknown on a symbol's first bar. State: TICK_SLOTS rows.
    """
    before, side = state[1, first:last], state[2, first:last]
    window.begin(state[0, first:last], before)
    for t in range(close.shape[0]):
        _side(close[t, first:last], before, side, out[t, first:last])


@kernel
def _side(close: FloatArray, before: FloatArray, side: FloatArray, out: FloatArray) -> None:
    for s in range(out.size):
        c, old, kept = close[s], before[s], side[s]
        missing = math.isnan(c)
        now = 1.0 if c > old else (-1.0 if c < old else kept)
        out[s] = np.nan if missing | math.isnan(old) else now
        side[s] = kept if missing else now
        before[s] = old if missing else c


@kernel
def buyer_share(
    bought: FloatArray, volume: FloatArray, score: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write the share of volume that buyers started, 0 to 1: bought / volume, or where that is unknown Phi(score).

    `score` is the bar's price change in standard deviations: bulk volume classification (Easley, Lopez de Prado, O'Hara 2012,
    Rev. Fin. Studies 25(5), equation 7). Unknown where the score is. State: exponent.PAIR_SLOTS rows.
    """
    normal = state[2, first:last]
    for t in range(volume.shape[0]):
        b, v, z, o = bought[t, first:last], volume[t, first:last], score[t, first:last], out[t, first:last]
        exponent.fill_normal(z, state[0, first:last], state[1, first:last], normal)
        for s in range(o.size):
            counted = b[s] / v[s]
            counted = 1.0 if counted > 1.0 else counted
            known = (v[s] > 0.0) & (b[s] >= 0.0) & (not math.isnan(z[s]))
            o[s] = counted if known else normal[s]


@kernel
def vpin(
    share: FloatArray,
    volume: FloatArray,
    size: FloatArray,
    buckets: int,
    need: int,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write the mean |bought - sold| / volume of the last `buckets` full volume buckets, 0 to 1, from a symbol's bar `need` on.

    A bucket holds `size` of volume, as it is known when the bucket is filled; a bar's volume is spread over as many buckets as it
    fills, all with the bar's `share` of buyers (Easley, Lopez de Prado, O'Hara 2012, Rev. Fin. Studies 25(5), section 1.3). Before
    the first bucket is full the open one counts. State: VPIN_HEAD + buckets rows.
    """
    for t in range(share.shape[0]):
        p, v, b, o = share[t, first:last], volume[t, first:last], size[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = np.nan
            if not math.isnan(p[s] + v[s]) and b[s] > 0.0:
                state[1, first + s] += 1.0
                _pour(v[s] / b[s], p[s], buckets, first + s, state)
                o[s] = _imbalance(buckets, first + s, state) if state[1, first + s] >= need else np.nan


@kernel
def _pour(amount: float, share: float, buckets: int, s: int, state: FloatArray) -> None:
    """Fill the open bucket of column `s` with a bar's volume, and others while there is enough of it."""
    room = 1.0 - state[2, s]
    if amount < room:
        state[2, s] += amount
        state[3, s] += share * amount
        return
    _close(abs(2.0 * (state[3, s] + share * room) - 1.0), buckets, s, state)
    left = amount - room
    whole = math.floor(left)
    for _ in range(min(whole, buckets)):
        _close(abs(2.0 * share - 1.0), buckets, s, state)
    state[2, s] = left - whole
    state[3, s] = share * (left - whole)


@kernel
def _close(imbalance: float, buckets: int, s: int, state: FloatArray) -> None:
    """Let a full bucket into the ring; the sum is computed anew whenever the ring comes round, so that rounding cannot pile up."""
    place = int(state[0, s])
    state[5, s] += imbalance - state[VPIN_HEAD + place, s]
    state[VPIN_HEAD + place, s] = imbalance
    state[4, s] += 1.0
    state[0, s] = place + 1 if place + 1 < buckets else 0
    if place + 1 == buckets:
        total = 0.0
        for j in range(buckets):
            total += state[VPIN_HEAD + j, s]
        state[5, s] = total


@kernel
def _imbalance(buckets: int, s: int, state: FloatArray) -> float:
    filled = min(state[4, s], buckets)
    if filled == 0.0:
        return float(abs(2.0 * state[3, s] / state[2, s] - 1.0)) if state[2, s] > 0.0 else 0.0
    return float(state[5, s] / filled)


@kernel
def two_bar_spread(
    high: FloatArray, low: FloatArray, close: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write alpha of Corwin and Schultz from log prices, 0 where it is negative; the spread is 2 tanh(alpha / 2).

    A gap between the bars is taken out first (Corwin, Schultz 2012, J. Finance 67(2), equations 14 and 18, section II.B.1).
    Unknown on a symbol's first bar. State: SPREAD_SLOTS rows.
    """
    top, bottom, before = state[1, first:last], state[2, first:last], state[3, first:last]
    window.begin(state[0, first:last], top)
    for t in range(high.shape[0]):
        _alphas(high[t, first:last], low[t, first:last], close[t, first:last], top, bottom, before, out[t, first:last])


@kernel
def _alphas(
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    top: FloatArray,
    bottom: FloatArray,
    before: FloatArray,
    out: FloatArray,
) -> None:
    for s in range(out.size):
        h, l, c, upper, lower, old = high[s], low[s], close[s], top[s], bottom[s], before[s]
        missing = math.isnan(h) | math.isnan(l) | math.isnan(c)
        alpha = _alpha(h, l, upper, lower, old)
        out[s] = np.nan if missing else alpha
        top[s] = upper if missing else h
        bottom[s] = lower if missing else l
        before[s] = old if missing else c


@kernel
def _alpha(high: float, low: float, top: float, bottom: float, before: float) -> float:
    gap = low - before if before < low else (high - before if before > high else 0.0)
    h, l = high - gap, low - gap
    reach = (h if h > top else top) - (l if l < bottom else bottom)
    both = (h - l) * (h - l) + (top - bottom) * (top - bottom)
    alpha = (math.sqrt(2.0 * both) - math.sqrt(both)) / TWO_BARS - reach / math.sqrt(TWO_BARS)
    return 0.0 if alpha < 0.0 else alpha
