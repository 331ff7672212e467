"""Robust scores: a value against the median and the quartiles of its window."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels import normalise, order_statistics, window
from features.kernels.order_statistics import HEAD

#: Standard deviations between the quartiles of a normal variable.
NORMAL_RANGE = 1.3489795003921634


@kernel
def score(x: FloatArray, bars: int, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write (x - median) / (interquartile range / 1.349) of the last `bars` bars; NaN where the quartiles are equal.

    Quantiles lie linearly between neighbours. State: HEAD + 2 * bars rows.
    """
    count, lag, ordered = state[window.COUNT, first:last], state[window.LAG, first:last], HEAD + bars
    order_statistics.begin(state, HEAD + 2 * bars, first, last)
    place, late = int(state[window.PLACE, first]), window.behind(lag)
    for t in range(x.shape[0]):
        row = x[t, first:last]
        if late:
            window.resume(row, lag, state[HEAD:ordered, first:last], bars)
        order_statistics.replace(state, row, HEAD + place, ordered, bars, first, last)
        late = normalise.enter(row, state[HEAD + place, first:last], count, lag)
        _write(row, count, state[ordered : ordered + bars, first:last], out[t, first:last])
        place = place + 1 if place + 1 < bars else 0
    state[window.PLACE, first:last] = place


@kernel
def _write(x: FloatArray, count: FloatArray, ordered: FloatArray, out: FloatArray) -> None:
    bars = ordered.shape[0]
    low, middle, high = 0.25 * (bars - 1.0), 0.5 * (bars - 1.0), 0.75 * (bars - 1.0)
    for s in range(x.size):
        known = (count[s] >= bars) & (not math.isnan(x[s]))
        reach = _quantile(ordered, high, s) - _quantile(ordered, low, s)
        score = (x[s] - _quantile(ordered, middle, s)) * NORMAL_RANGE / reach
        out[s] = score if known & (reach > 0.0) else np.nan


@kernel
def _quantile(ordered: FloatArray, place: float, s: int) -> float:
    near, far = ordered[int(place), s], ordered[int(place) + 1, s]
    return float(near + (place - int(place)) * (far - near))
