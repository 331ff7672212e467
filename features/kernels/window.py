"""Rolling windows over the bars that a column really had.

The newest n values of every column lie in a ring of n rows. All columns share one place in it, one step a row, so that the inner
loops are plain SIMD over symbols. A column that missed bars falls behind; when it resumes, its ring is rotated by the bars that
it missed, and nothing else in the house needs to know about gaps.
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: First rows of every window's state: place in the ring (equal in all columns), bars seen, bars missed since.
PLACE, COUNT, LAG, HEAD = 0, 1, 2, 3


@kernel
def tick(x: FloatArray, count: FloatArray, lag: FloatArray) -> bool:
    """Count one row's bars; return whether a column resumes after a gap and its rings must be rotated."""
    odd = 0
    for s in range(x.size):
        odd |= (math.isnan(x[s])) | (lag[s] > 0.0)
    if odd == 0:
        for s in range(x.size):
            count[s] += 1.0
        return False
    resumes = 0
    for s in range(x.size):
        present = not math.isnan(x[s])
        resumes |= present & (lag[s] > 0.0)
        lag[s] += 0.0 if present | (count[s] == 0.0) else 1.0
        count[s] += 1.0 if present else 0.0
    return resumes != 0


@kernel
def catch_up(x: FloatArray, lag: FloatArray, ring: FloatArray) -> None:
    """Rotate the ring [n, columns] of every column that resumes, so that the shared place holds its oldest bar."""
    for s in range(x.size):
        if not math.isnan(x[s]) and lag[s] > 0.0:
            rotate(ring, s, int(lag[s]) % ring.shape[0])


@kernel
def caught_up(x: FloatArray, lag: FloatArray) -> None:
    """Forget the gaps of the columns that resumed, after all their rings were rotated."""
    for s in range(x.size):
        lag[s] = 0.0 if not math.isnan(x[s]) else lag[s]


@kernel
def rotate(ring: FloatArray, s: int, places: int) -> None:
    """Move each value of column `s` forward by `places` rows, cyclically and in place: three reversals."""
    n = ring.shape[0]
    _reverse(ring, s, 0, n - 1)
    _reverse(ring, s, 0, places - 1)
    _reverse(ring, s, places, n - 1)


@kernel
def _reverse(ring: FloatArray, s: int, low: int, high: int) -> None:
    while low < high:
        kept = ring[low, s]
        ring[low, s] = ring[high, s]
        ring[high, s] = kept
        low += 1
        high -= 1


@kernel
def exchange(x: FloatArray, ring: FloatArray, old: FloatArray) -> None:
    """Put a row's bars into the ring's row and hand out what they replace."""
    for s in range(x.size):
        before = ring[s]
        old[s] = before
        ring[s] = x[s] if not math.isnan(x[s]) else before


@kernel
def slide(x: FloatArray, ring: FloatArray, total: FloatArray, excess: FloatArray) -> None:
    """Let a row's bars enter a rolling sum and the oldest leave: Kahan's sum (1965, CACM 8(1)), so that nothing drifts."""
    for s in range(x.size):
        new, old, t = x[s], ring[s], total[s]
        present = not math.isnan(new)
        step = (new - old) - excess[s]
        u = t + step
        excess[s] = (u - t) - step if present else excess[s]
        total[s] = u if present else t
        ring[s] = new if present else old


@kernel
def scaled_total(
    x: FloatArray, count: FloatArray, total: FloatArray, excess: FloatArray, bars: int, scale: float, out: FloatArray
) -> None:
    """Write `scale` times the rolling sum where the window is full and the bar exists."""
    for s in range(x.size):
        full = (not math.isnan(x[s])) & (count[s] >= bars)
        out[s] = (total[s] - excess[s]) * scale if full else np.nan


@kernel
def rolling_total(x: FloatArray, bars: int, scale: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write `scale` times the sum of the last `bars` bars. State: HEAD + 2 + bars rows."""
    count, lag = state[COUNT, first:last], state[LAG, first:last]
    total, excess = state[HEAD, first:last], state[HEAD + 1, first:last]
    ring = state[HEAD + 2 : HEAD + 2 + bars, first:last]
    place = int(state[PLACE, first])
    for t in range(x.shape[0]):
        row = x[t, first:last]
        if tick(row, count, lag):
            catch_up(row, lag, ring)
            caught_up(row, lag)
        slide(row, state[HEAD + 2 + place, first:last], total, excess)
        scaled_total(row, count, total, excess, bars, scale, out[t, first:last])
        place = place + 1 if place + 1 < bars else 0
    state[PLACE, first:last] = place


@kernel
def rolling_extreme(x: FloatArray, bars: int, sign: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the highest (`sign` 1) or lowest (`sign` -1) of the last `bars` bars.

    Blocks of `bars` rows: the maximum since the block began, against the suffix maxima of the block before (van Herk 1992,
    Pattern Recognition Letters 13). State: HEAD + 1 + 2 * bars rows.
    """
    count, lag, prefix = state[COUNT, first:last], state[LAG, first:last], state[HEAD, first:last]
    ring, suffix = HEAD + 1, HEAD + 1 + bars
    place = int(state[PLACE, first])
    for t in range(x.shape[0]):
        row = x[t, first:last]
        if tick(row, count, lag):
            _catch_up_extreme(row, lag, state[:, first:last], bars, place)
        _enter(row, sign, state[ring + place, first:last], prefix, place == 0)
        place = place + 1 if place + 1 < bars else 0
        if place == 0:
            for j in range(bars - 1, -1, -1):
                following = min(j + 1, bars - 1)
                _higher(
                    state[ring + j, first:last],
                    state[suffix + following, first:last],
                    state[suffix + j, first:last],
                    j == following,
                )
        _extreme(row, count, prefix, state[suffix + place, first:last], bars, sign, out[t, first:last])
    state[PLACE, first:last] = place


@kernel
def _enter(x: FloatArray, sign: float, ring: FloatArray, prefix: FloatArray, fresh: bool) -> None:
    for s in range(x.size):
        present = not math.isnan(x[s])
        value = sign * x[s]
        highest = -np.inf if fresh else prefix[s]
        prefix[s] = (value if value > highest else highest) if present else prefix[s]
        ring[s] = value if present else ring[s]


@kernel
def _higher(ring: FloatArray, following: FloatArray, suffix: FloatArray, alone: bool) -> None:
    for s in range(ring.size):
        value = ring[s]
        other = value if alone else following[s]
        suffix[s] = value if value > other else other


@kernel
def _extreme(
    x: FloatArray, count: FloatArray, prefix: FloatArray, suffix: FloatArray, bars: int, sign: float, out: FloatArray
) -> None:
    for s in range(x.size):
        highest = prefix[s] if prefix[s] > suffix[s] else suffix[s]
        out[s] = sign * highest if (not math.isnan(x[s])) & (count[s] >= bars) else np.nan


@kernel
def _catch_up_extreme(x: FloatArray, lag: FloatArray, state: FloatArray, bars: int, place: int) -> None:
    ring, suffix = state[HEAD + 1 : HEAD + 1 + bars], state[HEAD + 1 + bars :]
    catch_up(x, lag, ring)
    for s in range(x.size):
        if not math.isnan(x[s]) and lag[s] > 0.0:
            state[HEAD, s] = -np.inf
            for j in range(place):
                state[HEAD, s] = max(state[HEAD, s], ring[j, s])
            suffix[bars - 1, s] = ring[bars - 1, s]
            for j in range(bars - 2, -1, -1):
                suffix[j, s] = max(suffix[j + 1, s], ring[j, s])
    caught_up(x, lag)


@kernel
def lagged(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the value of `bars` bars ago. State: HEAD + bars rows."""
    count, lag = state[COUNT, first:last], state[LAG, first:last]
    place = int(state[PLACE, first])
    for t in range(x.shape[0]):
        row = x[t, first:last]
        if tick(row, count, lag):
            catch_up(row, lag, state[HEAD : HEAD + bars, first:last])
            caught_up(row, lag)
        _hand_over(row, count, state[HEAD + place, first:last], bars, out[t, first:last])
        place = place + 1 if place + 1 < bars else 0
    state[PLACE, first:last] = place


@kernel
def _hand_over(x: FloatArray, count: FloatArray, ring: FloatArray, bars: int, out: FloatArray) -> None:
    for s in range(x.size):
        before = ring[s]
        present = not math.isnan(x[s])
        out[s] = before if present & (count[s] > bars) else np.nan
        ring[s] = x[s] if present else before


@kernel
def is_due(count: float, bars: int, every: float) -> bool:
    """Return whether a column's sums are computed anew: when its window first fills, then every so many bars of its own."""
    again = math.floor(count / every) * every == count
    return (count == bars) | ((count > bars) & again)


@kernel
def due(x: FloatArray, count: FloatArray, bars: int, every: float) -> bool:
    """Return whether any column of the row is due."""
    found = 0
    for s in range(x.size):
        found |= (not math.isnan(x[s])) & is_due(count[s], bars, every)
    return found != 0
