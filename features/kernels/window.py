"""Rolling windows over the bars that a column really had.

The newest n values of every column lie in a ring of n rows. All columns share one place in it, one step a row, so that the inner
loops are plain SIMD over symbols. A column that misses bars falls behind; when it resumes, its ring is rotated by the bars that
it missed, and nothing else in the house needs to know about gaps.

Every row takes the same loop, whatever is missing in it: a missing bar is masked, and the loop says that there was one (`MISSED`).
What only some rows need (columns that resume, windows that are not full yet, sums that come due) is looked for when it can have
happened at all: `headway` says for how many rows nothing can. Every windowed kernel writes the loop over rows out: numba cannot
keep on disk the machine code of a loop that is handed a function.
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray

#: First rows of every window's state: place in the ring (equal in all columns), bars seen, rows missed since the last bar, and
#: what `recall` finds again: rows that are not counted yet, rows for which no care is needed, whether a column is behind.
PLACE, COUNT, LAG, PASSED, CALM, LATE, HEAD = 0, 1, 2, 3, 4, 5, 6
#: Running sums are computed anew from the ring every so many bars of a column, so that rounding cannot pile up. A power of two.
ANCHOR_BARS = 256
#: In place of ANCHOR_BARS where nothing is summed.
NEVER = 1 << 30
#: What a row's loop may have met.
MISSED, SPOILT = 1, 2


@kernel
def recall(state: FloatArray, first: int, last: int) -> tuple[int, int, int, bool]:
    """Return where a block of columns stands: its place in the ring, PASSED, CALM and LATE.

    Only the block's first column is read, so that a single bar need not look through all of them. Settled columns (`remember`)
    are looked through once.
    """
    calm = int(state[CALM, first])
    late = state[LATE, first] > 0.0 if calm > 0 else behind(state[LAG, first:last])
    return int(state[PLACE, first]), int(state[PASSED, first]), calm, late


@kernel
def remember(state: FloatArray, first: int, last: int, rows: int, place: int, passed: int, calm: int, late: bool) -> None:
    """Keep where a block stands after so many rows, in its first column; a call without rows settles all its columns.

    From settled columns any other block may go on: all rows are counted, and care is taken at the next one.
    """
    if rows == 0:
        add(state[COUNT, first:last], passed)
        state[PLACE, first:last] = place
        state[PASSED : LATE + 1, first:last] = 0.0
    else:
        state[PLACE, first], state[PASSED, first] = place, passed
        state[CALM, first], state[LATE, first] = calm, 1.0 if late else 0.0


@kernel
def behind(lag: FloatArray) -> bool:
    """Return whether any column has yet to resume, or to begin."""
    found = False
    for s in range(lag.size):
        found |= lag[s] > 0.0
    return found


@kernel
def headway(count: FloatArray, lag: FloatArray, bars: int, every: int) -> int:
    """Return for how many rows no column can need care: windows stay full, no running sum comes due.

    Sums come due when a column's count is a multiple of `every`, a power of two. Columns that are behind are left out: nothing
    can happen to them before they resume, and then this is asked again.
    """
    worst, most = np.int32(0), np.int32(every - 1)
    for s in range(count.size):
        used = most if count[s] < bars else np.int32(count[s]) & most
        worst = max(worst, np.int32(0) if lag[s] > 0.0 else used)
    return int(most - worst)


@kernel
def resumes(x: FloatArray, lag: FloatArray) -> bool:
    """Return whether a column that was behind has a bar in this row."""
    found = False
    for s in range(x.size):
        found |= (lag[s] > 0.0) & (not math.isnan(x[s]))
    return found


@kernel
def resume(x: FloatArray, lag: FloatArray, rings: FloatArray, bars: int) -> bool:
    """Rotate the rings of the columns that resume in this row, and forget their gaps; return whether there was any.

    `rings` [k * bars, columns] holds k rings, one under the other. Rotated, the shared place holds a ring's oldest bar again.
    """
    if not resumes(x, lag):
        return False
    for s in range(x.size):
        if lag[s] > 0.0 and not math.isnan(x[s]):
            for top in range(0, rings.shape[0], bars):
                rotate(rings, top, bars, s, int(lag[s]) % bars)
            lag[s] = 0.0
    return True


@kernel
def rotate(rings: FloatArray, top: int, bars: int, s: int, places: int) -> None:
    """Move each value of column `s` in rows top .. top + bars - 1 forward by `places` rows, cyclically and in place.

    One move a value, cycle by cycle (Fletcher, Silver 1966, CACM 9(5), algorithm 284).
    """
    for start in range(_common_divisor(bars, places) if places else 0):
        kept, to = rings[top + start, s], start
        source = _before(to, places, bars)
        while source != start:
            rings[top + to, s] = rings[top + source, s]
            to = source
            source = _before(to, places, bars)
        rings[top + to, s] = kept


@kernel
def _before(row: int, places: int, bars: int) -> int:
    return row - places if row >= places else row - places + bars


@kernel
def _common_divisor(a: int, b: int) -> int:
    while b:
        a, b = b, a % b
    return a


@kernel
def begin(begun: FloatArray, memory: FloatArray) -> None:
    """Let a memory of the bar before start as NaN, not as the zero that every state starts with."""
    for s in range(begun.size):
        memory[s] = memory[s] if begun[s] > 0.0 else np.nan
        begun[s] = 1.0


@kernel
def miss(x: FloatArray, count: FloatArray, lag: FloatArray) -> bool:
    """Take back, for the columns without a bar, what `add` will count for every column; they are behind now."""
    for s in range(x.size):
        missing = math.isnan(x[s])
        count[s] -= 1.0 if missing else 0.0
        lag[s] += 1.0 if missing else 0.0
    return True


@kernel
def add(count: FloatArray, rows: float) -> None:
    """Count rows that passed since the last look."""
    for s in range(count.size):
        count[s] += rows


@kernel
def is_due(count: float, bars: int) -> bool:
    """Return whether a column's sums are computed anew: when its window first fills, then every ANCHOR_BARS bars of its own."""
    due: bool = (count == bars) | ((count > bars) & ((np.int32(count) & np.int32(ANCHOR_BARS - 1)) == 0))
    return due


@kernel
def conceal(count: FloatArray, need: int, out: FloatArray) -> None:
    """Write NaN where a column has seen fewer than `need` bars."""
    for s in range(out.size):
        out[s] = np.nan if count[s] < need else out[s]


@kernel
def slide(x: FloatArray, ring: FloatArray, total: FloatArray, scale: float, out: FloatArray) -> int:
    """Let a row's bars enter a rolling sum and the oldest leave; write `scale` times the sum."""
    missed = False
    for s in range(x.size):
        new, old, before = x[s], ring[s], total[s]
        missing = math.isnan(new)
        summed = before + (new - old)
        out[s] = summed * scale
        total[s] = before if missing else summed
        ring[s] = old if missing else new
        missed |= missing
    return MISSED if missed else 0


@kernel
def anchor(
    x: FloatArray, count: FloatArray, total: FloatArray, ring: FloatArray, place: int, scale: float, out: FloatArray
) -> None:
    """Compute the sum anew, oldest bar first, in the columns that are due; write NaN where the window is not full."""
    bars = ring.shape[0]
    for s in range(x.size):
        if is_due(count[s], bars) and not math.isnan(x[s]):
            t = 0.0
            for j in range(bars):
                t += ring[(place + 1 + j) % bars, s]
            total[s] = t
            out[s] = t * scale
    conceal(count, bars, out)


@kernel
def rolling_total(x: FloatArray, bars: int, scale: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write `scale` times the sum of the last `bars` bars. State: HEAD + 1 + bars rows."""
    count, lag, total = state[COUNT, first:last], state[LAG, first:last], state[HEAD, first:last]
    ring = state[HEAD + 1 : HEAD + 1 + bars, first:last]
    place, passed, calm, late = recall(state, first, last)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if late and resume(row, lag, ring, bars):
            add(count, passed)
            late, calm, passed = behind(lag), headway(count, lag, bars, ANCHOR_BARS), 0
        met = slide(row, state[HEAD + 1 + place, first:last], total, scale, o)
        passed += 1
        if met:
            late = miss(row, count, lag)
        if calm == 0:
            add(count, passed)
            anchor(row, count, total, ring, place, scale, o)
            passed, calm = 0, headway(count, lag, bars, ANCHOR_BARS) + 1
        calm -= 1
        place = place + 1 if place + 1 < bars else 0
    remember(state, first, last, x.shape[0], place, passed, calm, late)


@kernel
def rolling_extreme(x: FloatArray, bars: int, sign: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the highest (`sign` 1) or lowest (`sign` -1) of the last `bars` bars.

    Blocks of `bars` rows: the maximum since the block began, against the suffix maxima of the block before (van Herk 1992,
    Pattern Recognition Letters 13). State: HEAD + 1 + 2 * bars rows.
    """
    count, lag, prefix = state[COUNT, first:last], state[LAG, first:last], state[HEAD, first:last]
    ring, suffix = state[HEAD + 1 : HEAD + 1 + bars, first:last], state[HEAD + 1 + bars :, first:last]
    place, passed, calm, late = recall(state, first, last)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if late and resumes(row, lag):
            _remember_extremes(row, lag, prefix, ring, suffix, place)
            add(count, passed)
            late, calm, passed = behind(lag), headway(count, lag, bars, NEVER), 0
        closing = place + 1 == bars
        following = HEAD + 1 + bars + (place if closing else place + 1)
        suffixes = state[following, first:last]
        met = _extreme(row, state[HEAD + 1 + place, first:last], prefix, suffixes, sign, place == 0, closing, o)
        passed += 1
        if met:
            late = miss(row, count, lag)
        if calm == 0:
            add(count, passed)
            conceal(count, bars, o)
            passed, calm = 0, headway(count, lag, bars, NEVER) + 1
        calm -= 1
        if closing:
            _suffixes(state, bars, first, last)
        place = 0 if closing else place + 1
    remember(state, first, last, x.shape[0], place, passed, calm, late)


@kernel
def _extreme(
    x: FloatArray,
    ring: FloatArray,
    prefix: FloatArray,
    suffix: FloatArray,
    sign: float,
    opening: bool,
    closing: bool,
    out: FloatArray,
) -> int:
    """Let a row's bars into the block; the block that closes is the window, any other is completed by the one before."""
    missed = False
    for s in range(x.size):
        missing = math.isnan(x[s])
        value, old, before = sign * x[s], ring[s], prefix[s]
        base = -np.inf if opening else before
        highest = value if value > base else base
        best = highest if closing or highest > suffix[s] else suffix[s]
        out[s] = np.nan if missing else sign * best
        prefix[s] = before if missing else highest
        ring[s] = old if missing else value
        missed |= missing
    return MISSED if missed else 0


@kernel
def _suffixes(state: FloatArray, bars: int, first: int, last: int) -> None:
    """Compute the suffix maxima of the block that just closed."""
    _copy(state[HEAD + bars, first:last], state[HEAD + 2 * bars, first:last])
    for j in range(HEAD + bars - 1, HEAD, -1):
        _higher(state[j, first:last], state[j + bars + 1, first:last], state[j + bars, first:last])


@kernel
def _copy(a: FloatArray, out: FloatArray) -> None:
    for s in range(out.size):
        out[s] = a[s]


@kernel
def _higher(a: FloatArray, b: FloatArray, out: FloatArray) -> None:
    for s in range(out.size):
        out[s] = a[s] if a[s] > b[s] else b[s]


@kernel
def _remember_extremes(
    x: FloatArray, lag: FloatArray, prefix: FloatArray, ring: FloatArray, suffix: FloatArray, place: int
) -> None:
    """Do what `resume` does, and compute the maxima of the columns that resume anew from their rings."""
    bars = ring.shape[0]
    for s in range(x.size):
        if lag[s] > 0.0 and not math.isnan(x[s]):
            rotate(ring, 0, bars, s, int(lag[s]) % bars)
            lag[s] = 0.0
            prefix[s] = -np.inf
            for j in range(place):
                prefix[s] = max(prefix[s], ring[j, s])
            suffix[bars - 1, s] = ring[bars - 1, s]
            for j in range(bars - 2, -1, -1):
                suffix[j, s] = max(suffix[j + 1, s], ring[j, s])


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
    count, lag, ring = state[COUNT, first:last], state[LAG, first:last], state[HEAD : HEAD + bars, first:last]
    place, passed, calm, late = recall(state, first, last)
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        if late and resume(row, lag, ring, bars):
            add(count, passed)
            late, calm, passed = behind(lag), headway(count, lag, bars, NEVER), 0
        met = _compare(row, state[HEAD + place, first:last], how, scale, o)
        passed += 1
        if met:
            late = miss(row, count, lag)
        if calm == 0:
            add(count, passed)
            conceal(count, bars + 1, o)
            passed, calm = 0, headway(count, lag, bars, NEVER) + 1
        calm -= 1
        place = place + 1 if place + 1 < bars else 0
    remember(state, first, last, x.shape[0], place, passed, calm, late)


@kernel
def _compare(x: FloatArray, ring: FloatArray, how: int, scale: float, out: FloatArray) -> int:
    missed = False
    for s in range(x.size):
        new, old = x[s], ring[s]
        missing = math.isnan(new)
        value = old if how == 0 else (new - old if how == 1 else _rate(new, old, scale))
        out[s] = np.nan if missing else value
        ring[s] = old if missing else new
        missed |= missing
    return MISSED if missed else 0


@kernel
def _rate(x: float, past: float, scale: float) -> float:
    return scale * (x / past - 1.0) if past != 0.0 else np.nan
