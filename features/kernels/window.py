"""Rolling windows over the bars that a column really had.

The newest n values of every column lie in a ring of n rows. All columns share one place in it, one step a row, so that the inner
loops are plain SIMD over symbols. A column that missed bars falls behind; when it resumes, its ring is rotated by the bars that
it missed, and nothing else in the house needs to know about gaps.

Most rows of most panels need no care: every column has a bar, none is behind, all windows are full. `headway` says for how many
rows that can last, `whole` whether it does, and such rows take a short way: the same arithmetic without masks and counts.
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: First rows of every window's state: place in the ring (equal in all columns), bars seen, bars missed since.
PLACE, COUNT, LAG, HEAD = 0, 1, 2, 3
#: Running sums are computed anew from the ring every so many bars of a column, so that rounding cannot pile up. A power of two.
ANCHOR_BARS = 256


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
def steady(count: FloatArray, lag: FloatArray, bars: int) -> bool:
    """Return whether all windows are full and no column is behind."""
    odd = 0
    for s in range(count.size):
        odd |= (count[s] < bars) | (lag[s] > 0.0)
    return odd == 0


@kernel
def headway(count: FloatArray, lag: FloatArray, bars: int, every: int) -> int:
    """Return for how many rows no column can need care: windows stay full, none is behind, no running sum comes due.

    Sums come due when a column's count is a multiple of `every`, a power of two.
    """
    if not steady(count, lag, bars):
        return 0
    worst = 0
    for s in range(count.size):
        worst = max(worst, int(count[s]) & (every - 1))
    return every - 1 - worst


@kernel
def whole(x: FloatArray) -> bool:
    """Return whether every column has a bar in this row."""
    missing = 0
    for s in range(x.size):
        missing += 1 if math.isnan(x[s]) else 0
    return missing == 0


@kernel
def add(count: FloatArray, rows: float) -> None:
    """Count rows that took the short way."""
    for s in range(count.size):
        count[s] += rows


@kernel
def keep(x: FloatArray, ring: FloatArray) -> None:
    """Put a row's bars into the ring's row."""
    for s in range(x.size):
        ring[s] = ring[s] if math.isnan(x[s]) else x[s]


@kernel
def keep_whole(x: FloatArray, ring: FloatArray) -> None:
    """Do what `keep` does where no bar is missing."""
    for s in range(x.size):
        ring[s] = x[s]


@kernel
def slide(x: FloatArray, ring: FloatArray, total: FloatArray) -> None:
    """Let a row's bars enter a rolling sum and the oldest leave."""
    for s in range(x.size):
        missing = math.isnan(x[s])
        t = total[s] + (x[s] - ring[s])
        total[s] = total[s] if missing else t
        ring[s] = ring[s] if missing else x[s]


@kernel
def slide_whole(x: FloatArray, ring: FloatArray, total: FloatArray, scale: float, out: FloatArray) -> None:
    """Do what `slide` does, and write `scale` times the sum, where no bar is missing and all windows are full."""
    for s in range(x.size):
        t = total[s] + (x[s] - ring[s])
        total[s] = t
        out[s] = t * scale
        ring[s] = x[s]


@kernel
def anchor(x: FloatArray, count: FloatArray, total: FloatArray, ring: FloatArray, place: int) -> None:
    """Compute the sum anew, oldest bar first, in the columns that are due."""
    bars = ring.shape[0]
    for s in range(x.size):
        if not math.isnan(x[s]) and is_due(count[s], bars, ANCHOR_BARS):
            t = 0.0
            for j in range(bars):
                t += ring[(place + 1 + j) % bars, s]
            total[s] = t


@kernel
def write(x: FloatArray, count: FloatArray, total: FloatArray, bars: int, scale: float, out: FloatArray) -> None:
    """Write `scale` times the rolling sum where the window is full and the bar exists."""
    for s in range(x.size):
        unknown = math.isnan(x[s]) | (count[s] < bars)
        out[s] = np.nan if unknown else total[s] * scale


@kernel
def slide_with_care(
    x: FloatArray,
    count: FloatArray,
    lag: FloatArray,
    total: FloatArray,
    ring: FloatArray,
    place: int,
    bars: int,
    scale: float,
    out: FloatArray,
) -> None:
    """Move a rolling sum one row on, whatever is missing, behind or due; `ring` holds all its rows."""
    if tick(x, count, lag):
        catch_up(x, lag, ring)
        caught_up(x, lag)
    slide(x, ring[place], total)
    if due(x, count, bars, ANCHOR_BARS):
        anchor(x, count, total, ring, place)
    write(x, count, total, bars, scale, out)


@kernel
def rolling_total(x: FloatArray, bars: int, scale: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write `scale` times the sum of the last `bars` bars. State: HEAD + 1 + bars rows."""
    count, lag, total = state[COUNT, first:last], state[LAG, first:last], state[HEAD, first:last]
    place, short, passed = int(state[PLACE, first]), headway(count, lag, bars, ANCHOR_BARS), 0
    for t in range(x.shape[0]):
        row = x[t, first:last]
        if short > 0 and whole(row):
            short, passed = short - 1, passed + 1
            slide_whole(row, state[HEAD + 1 + place, first:last], total, scale, out[t, first:last])
        else:
            add(count, passed)
            ring = state[HEAD + 1 : HEAD + 1 + bars, first:last]
            slide_with_care(row, count, lag, total, ring, place, bars, scale, out[t, first:last])
            short, passed = headway(count, lag, bars, ANCHOR_BARS), 0
        place = place + 1 if place + 1 < bars else 0
    add(count, passed)
    state[PLACE, first:last] = place


@kernel
def rolling_extreme(x: FloatArray, bars: int, sign: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the highest (`sign` 1) or lowest (`sign` -1) of the last `bars` bars.

    Blocks of `bars` rows: the maximum since the block began, against the suffix maxima of the block before (van Herk 1992,
    Pattern Recognition Letters 13). State: HEAD + 1 + 2 * bars rows.
    """
    count, lag, prefix = state[COUNT, first:last], state[LAG, first:last], state[HEAD, first:last]
    place, short, passed = int(state[PLACE, first]), steady(count, lag, bars), 0
    for t in range(x.shape[0]):
        row, ring = x[t, first:last], state[HEAD + 1 + place, first:last]
        unhindered = short and whole(row)
        if unhindered:
            passed += 1
            _keep_signed(row, sign, ring)
        else:
            add(count, passed)
            if tick(row, count, lag):
                _catch_up_extreme(row, lag, state[:, first:last], bars, place)
            _enter(row, sign, ring, prefix, place == 0)
            short, passed = steady(count, lag, bars), 0
        fresh = place == 0
        place = place + 1 if place + 1 < bars else 0
        if place == 0:
            _suffixes(state, bars, first, last)
        suffix = state[HEAD + 1 + bars + place, first:last]
        if unhindered:
            _extreme_whole(row, prefix, suffix, sign, fresh, out[t, first:last])
        else:
            _extreme(row, count, prefix, suffix, bars, sign, out[t, first:last])
    add(count, passed)
    state[PLACE, first:last] = place


@kernel
def _enter(x: FloatArray, sign: float, ring: FloatArray, prefix: FloatArray, fresh: bool) -> None:
    for s in range(x.size):
        missing = math.isnan(x[s])
        value = sign * x[s]
        highest = -np.inf if fresh else prefix[s]
        prefix[s] = prefix[s] if missing else (value if value > highest else highest)
        ring[s] = ring[s] if missing else value


@kernel
def _keep_signed(x: FloatArray, sign: float, ring: FloatArray) -> None:
    for s in range(x.size):
        ring[s] = sign * x[s]


@kernel
def _suffixes(state: FloatArray, bars: int, first: int, last: int) -> None:
    """Compute the suffix maxima of the block that just filled."""
    state[HEAD + 2 * bars, first:last] = state[HEAD + bars, first:last]
    for j in range(bars - 2, -1, -1):
        ring, suffix = state[HEAD + 1 + j, first:last], state[HEAD + 1 + bars + j, first:last]
        _higher(ring, state[HEAD + 2 + bars + j, first:last], suffix)


@kernel
def _higher(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    for s in range(out.size):
        out[s] = a[s] if a[s] > b[s] else b[s]


@kernel
def _extreme(
    x: FloatArray, count: FloatArray, prefix: FloatArray, suffix: FloatArray, bars: int, sign: float, out: FloatArray
) -> None:
    for s in range(x.size):
        highest = prefix[s] if prefix[s] > suffix[s] else suffix[s]
        out[s] = np.nan if math.isnan(x[s]) | (count[s] < bars) else sign * highest


@kernel
def _extreme_whole(x: FloatArray, prefix: FloatArray, suffix: FloatArray, sign: float, fresh: bool, out: FloatArray) -> None:
    for s in range(x.size):
        value = sign * x[s]
        highest = -np.inf if fresh else prefix[s]
        highest = value if value > highest else highest
        prefix[s] = highest
        out[s] = sign * (highest if highest > suffix[s] else suffix[s])


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
    _against_past(x, bars, 0, 0.0, state, out, first, last)


@kernel
def change(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x minus its value `bars` bars ago (TA-Lib MOM). State: HEAD + bars rows."""
    _against_past(x, bars, 1, 0.0, state, out, first, last)


@kernel
def rate(x: FloatArray, bars: int, scale: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write scale * (x / its value `bars` bars ago - 1) (TA-Lib ROC with scale 100); NaN where that was zero. As `change`."""
    _against_past(x, bars, 2, scale, state, out, first, last)


@kernel
def _against_past(
    x: FloatArray, bars: int, how: int, scale: float, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    count, lag = state[COUNT, first:last], state[LAG, first:last]
    place, short, passed = int(state[PLACE, first]), steady(count, lag, bars), 0
    for t in range(x.shape[0]):
        row, ring = x[t, first:last], state[HEAD + place, first:last]
        if short and whole(row):
            passed += 1
            _compare_whole(row, ring, how, scale, out[t, first:last])
        else:
            add(count, passed)
            if tick(row, count, lag):
                catch_up(row, lag, state[HEAD : HEAD + bars, first:last])
                caught_up(row, lag)
            _compare(row, ring, count, bars, how, scale, out[t, first:last])
            short, passed = steady(count, lag, bars), 0
        place = place + 1 if place + 1 < bars else 0
    add(count, passed)
    state[PLACE, first:last] = place


@kernel
def _compare(x: FloatArray, ring: FloatArray, count: FloatArray, bars: int, how: int, scale: float, out: FloatArray) -> None:
    for s in range(x.size):
        past = ring[s]
        value = past if how == 0 else (x[s] - past if how == 1 else _rate(x[s], past, scale))
        missing = math.isnan(x[s])
        out[s] = np.nan if missing | (count[s] <= bars) else value
        ring[s] = past if missing else x[s]


@kernel
def _compare_whole(x: FloatArray, ring: FloatArray, how: int, scale: float, out: FloatArray) -> None:
    if how == 0:
        for s in range(x.size):
            out[s] = ring[s]
            ring[s] = x[s]
    elif how == 1:
        for s in range(x.size):
            out[s] = x[s] - ring[s]
            ring[s] = x[s]
    else:
        for s in range(x.size):
            out[s] = _rate(x[s], ring[s], scale)
            ring[s] = x[s]


@kernel
def _rate(x: float, past: float, scale: float) -> float:
    return scale * (x / past - 1.0) if past != 0.0 else np.nan


@kernel
def is_due(count: float, bars: int, every: int) -> bool:
    """Return whether a column's sums are computed anew: when its window first fills, then every so many bars of its own."""
    again = math.floor(count / every) * every == count
    return (count == bars) | ((count > bars) & again)


@kernel
def due(x: FloatArray, count: FloatArray, bars: int, every: int) -> bool:
    """Return whether any column of the row is due."""
    found = 0
    for s in range(x.size):
        found |= (not math.isnan(x[s])) & is_due(count[s], bars, every)
    return found != 0
