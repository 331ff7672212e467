"""Groups of a row: a symbol against those of its sector, and the row as a whole. These kernels need whole rows."""

import math

import numpy as np
import numpy.typing as npt

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import cross_section

IntArray = npt.NDArray[np.int64]

#: Rows of a grouping: the code last seen of each column, its group's place, the number of groups.
GROUPING = 3
#: Rows of a group's mean: the grouping, sums and counts by group.
MEAN_SLOTS = GROUPING + 2
#: Rows of a group's rank: the grouping, the row's order, members placed before, members that share a value, members.
RANK_SLOTS = GROUPING + cross_section.RANK_SLOTS + 3
#: Code of the group of those whose sector is unknown.
UNKNOWN = -1.0e300


@kernel
def _regroup(x: FloatArray, code: FloatArray, state: FloatArray) -> int:
    """Note the codes of the columns that have a value in this row; return the number of groups.

    The groups are found anew only when a code has changed, which is rare.
    """
    seen, place, groups = state[0], state[1], state[2]
    changed = groups[0] == 0.0
    for s in range(x.size):
        now = UNKNOWN if math.isnan(code[s]) else code[s]
        now = seen[s] if math.isnan(x[s]) else now
        changed |= now != seen[s]
        seen[s] = now
    if changed:
        groups[0] = 0.0
        for s in range(x.size):
            _place(s, seen, place, groups)
    return int(groups[0])


@kernel
def _place(s: int, seen: FloatArray, place: FloatArray, groups: FloatArray) -> None:
    """Give a column the place of the first column with its code, or the next free one; `groups[0]` counts them."""
    for earlier in range(s):
        if seen[earlier] == seen[s]:
            place[s] = place[earlier]
            return
    place[s] = groups[0]
    groups[0] += 1.0


@kernel
def demean(x: FloatArray, code: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x less the mean of its group in the row. Those whose code is unknown form one group. State: MEAN_SLOTS rows."""
    place, total, members = state[1], state[GROUPING], state[GROUPING + 1]
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        groups = _regroup(row, code[t, first:last], state)
        total[:groups] = 0.0
        members[:groups] = 0.0
        for s in range(row.size):
            if not math.isnan(row[s]):
                total[int(place[s])] += row[s]
                members[int(place[s])] += 1.0
        for s in range(row.size):
            group = int(place[s])
            o[s] = row[s] - total[group] / members[group] if not math.isnan(row[s]) else np.nan


@kernel
def rank(x: FloatArray, code: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the average rank among the present values of the group, as `cross_section.rank` does for the row.

    Those whose code is unknown form one group. State: RANK_SLOTS rows.
    """
    place, base = state[1], GROUPING + cross_section.RANK_SLOTS
    before, tied, members = state[base], state[base + 1], state[base + 2]
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        groups = _regroup(row, code[t, first:last], state)
        before[:groups], tied[:groups], members[:groups] = 0.0, 0.0, 0.0
        for s in range(row.size):
            members[int(place[s])] += 0.0 if math.isnan(row[s]) else 1.0
            o[s] = np.nan
        present = cross_section.sort(row, state[GROUPING:base])
        values, column = state[GROUPING + 2], state[GROUPING + 3].view(np.int64)
        _rank_ordered(values, column, present, place, before, tied, members, o)


@kernel
def _rank_ordered(
    values: FloatArray,
    column: IntArray,
    present: int,
    place: FloatArray,
    before: FloatArray,
    tied: FloatArray,
    members: FloatArray,
    out: FloatArray,
) -> None:
    i = 0
    while i < present:
        ties = 0
        while i + ties < present and values[i + ties] == values[i]:
            tied[int(place[column[i + ties]])] += 1.0
            ties += 1
        for j in range(i, i + ties):
            group = int(place[column[j]])
            middle = before[group] + 0.5 * (tied[group] - 1.0)
            out[column[j]] = middle / (members[group] - 1.0) - 0.5 if members[group] > 1.0 else 0.0
        for j in range(i, i + ties):
            group = int(place[column[j]])
            before[group] += tied[group]
            tied[group] = 0.0
        i += ties


@kernel
def score(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write x's distance from the row's mean in the row's population deviations; 0 where the row does not vary."""
    for t in range(x.shape[0]):
        row, o = x[t, first:last], out[t, first:last]
        mean, spread = _moments(row)
        for s in range(row.size):
            o[s] = (row[s] - mean) / spread if spread > 0.0 else 0.0 * row[s]


@kernel
def _moments(x: FloatArray) -> tuple[float, float]:
    """Return mean and population deviation of a row's present values."""
    total, present = 0.0, 0.0
    for s in range(x.size):
        total += 0.0 if math.isnan(x[s]) else x[s]
        present += 0.0 if math.isnan(x[s]) else 1.0
    mean, square = total / present if present > 0.0 else np.nan, 0.0
    for s in range(x.size):
        gap = 0.0 if math.isnan(x[s]) else x[s] - mean
        square += gap * gap
    return mean, math.sqrt(square / present) if present > 0.0 else np.nan


@kernel
def summary(x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the row's population deviation, the share of its values above zero, its largest; out is [3, T, S]."""
    for t in range(x.shape[0]):
        row = x[t, first:last]
        _, spread = _moments(row)
        above, present, best = 0.0, 0.0, -np.inf
        for s in range(row.size):
            above += 1.0 if row[s] > 0.0 else 0.0
            present += 0.0 if math.isnan(row[s]) else 1.0
            best = row[s] if row[s] > best else best
        for s in range(row.size):
            known = 0.0 * row[s] == 0.0
            out[0, t, first + s] = spread if known else np.nan
            out[1, t, first + s] = above / present if known else np.nan
            out[2, t, first + s] = best if known else np.nan


@kernel
def residual(y: FloatArray, x: FloatArray, slope: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write y - slope * x, what a market's move leaves of a symbol's."""
    for t in range(y.shape[0]):
        u, v, b, o = y[t, first:last], x[t, first:last], slope[t, first:last], out[t, first:last]
        for s in range(o.size):
            o[s] = u[s] - b[s] * v[s]


@kernel
def unexplained(deviation: FloatArray, correlation: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write deviation * sqrt(1 - correlation^2), the deviation of a least-squares fit's residuals."""
    for t in range(deviation.shape[0]):
        d, r, o = deviation[t, first:last], correlation[t, first:last], out[t, first:last]
        for s in range(o.size):
            rest = 1.0 - r[s] * r[s]
            o[s] = d[s] * math.sqrt(0.0 if rest < 0.0 else rest)
