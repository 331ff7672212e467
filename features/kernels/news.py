"""News: sums that fade with time since publication, and what is made of them.

A covariate brings what became known since the row before, already faded to the row's close. Unlike prices, news arrives while a
symbol has no bar: it is counted all the same, and only the value is withheld until the next bar. Rows that bring neither a bar nor
news leave the state untouched.
"""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels.calendar import DAY_US, MicrosecondArray

#: Rows of a fading sum's state: the sum, and the moment in microseconds since 1970 that it was last faded to.
DECAY_SLOTS = 2
#: Rows of `freshness`'s state: when the newest headline was published.
FRESHNESS_SLOTS = 1


@kernel
def decayed(
    impulse: FloatArray,
    at: MicrosecondArray,
    x: FloatArray,
    half_life_us: float,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write the sum of all impulses so far, each halved every `half_life_us`; NaN where `x` has no bar.

    `impulse` [T, S] is what arrived by each row and is faded to the row's moment `at` [T]; NaN means that nothing did.
    """
    total, when = state[0, first:last], state[1, first:last]
    for t in range(at.size):
        row, bar, o = impulse[t, first:last], x[t, first:last], out[t, first:last]
        now = float(at[t])
        # Almost always all columns were faded to the row before: one power does.
        common = when[0]
        factor = _faded(now - common, half_life_us)
        if _together(when, common):
            _fade(row, bar, factor, now, total, when, o)
        else:
            for s in range(o.size):
                own = factor if when[s] == common else _faded(now - when[s], half_life_us)
                _fade(row[s : s + 1], bar[s : s + 1], own, now, total[s : s + 1], when[s : s + 1], o[s : s + 1])


@kernel
def _faded(age_us: float, half_life_us: float) -> float:
    return math.exp(-math.log(2.0) * (age_us / half_life_us))


@kernel
def _together(when: FloatArray, common: float) -> bool:
    apart = False
    for s in range(when.size):
        apart |= when[s] != common
    return not apart


@kernel
def _fade(
    impulse: FloatArray, x: FloatArray, factor: float, now: float, total: FloatArray, when: FloatArray, out: FloatArray
) -> None:
    for s in range(out.size):
        new = 0.0 if math.isnan(impulse[s]) else impulse[s]
        missing = math.isnan(x[s])
        before = total[s]
        value = before * factor + new
        untouched = missing & (new == 0.0)
        total[s] = before if untouched else value
        when[s] = when[s] if untouched else now
        out[s] = np.nan if missing else value


@kernel
def freshness(
    latest: FloatArray, at: MicrosecondArray, x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write 1 / (1 + days since the newest headline was published), 0 before the first one.

    `latest` [T, S] is when the newest headline that arrived by each row was published, in microseconds since 1970; NaN for none.
    """
    newest = state[0, first:last]
    for t in range(at.size):
        row, bar, o = latest[t, first:last], x[t, first:last], out[t, first:last]
        for s in range(o.size):
            known = newest[s]
            known = row[s] if row[s] > known else known
            newest[s] = known
            value = DAY_US / (DAY_US + (at[t] - known)) if known > 0.0 else 0.0
            o[s] = np.nan if math.isnan(bar[s]) else value


@kernel
def tone(total: FloatArray, count: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the mean score, as if one more headline had been neutral: it fades to 0 when news grows old."""
    for t in range(total.shape[0]):
        a, b, o = total[t, first:last], count[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = a[s] / (1.0 + b[s])


@kernel
def volume(count: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write log(1 + count)."""
    for t in range(count.shape[0]):
        row, o = count[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = math.log1p(row[s])


@kernel
def surge(recent: FloatArray, usual: FloatArray, longer: float, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write log((1 + recent) / (1 + usual / longer)): a count against its own average, of a half-life `longer` times as long."""
    for t in range(recent.shape[0]):
        a, b, o = recent[t, first:last], usual[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = math.log1p(a[s]) - math.log1p(b[s] / longer)


@kernel
def disagreement(
    square: FloatArray, total: FloatArray, count: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int
) -> None:
    """Write the standard deviation of the scores, weighted as the sums are; 0 where there was no news."""
    for t in range(square.shape[0]):
        q, a, n, o = square[t, first:last], total[t, first:last], count[t, first:last], out[t, first:last]
        for s in range(o.size):
            mean = a[s] / n[s]
            variance = q[s] / n[s] - mean * mean
            spread = math.sqrt(variance) if variance > 0.0 else 0.0
            o[s] = spread if n[s] > 0.0 else n[s]


@kernel
def side(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write 1 where x is positive, -1 where it is negative, 0 where it is neither."""
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        for s in range(o.size):
            sign = (1.0 if row[s] > 0.0 else 0.0) - (1.0 if row[s] < 0.0 else 0.0)
            o[s] = row[s] if math.isnan(row[s]) else sign
