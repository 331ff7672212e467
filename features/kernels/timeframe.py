"""Higher timeframes: bars made of bars. A higher bar shows when it is complete and not before."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels.calendar import MicrosecondArray

#: Rows of a higher bar's state: bars in it, open, high, low, close, volume; the period it belongs to.
BAR_SLOTS = 7
#: Rows of a held value's state: whether it was begun, the value.
HELD_SLOTS = 2
#: Series of a higher bar: open, high, low, close, volume.
BAR_PARTS = 5


@kernel
def every(
    opening: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    bars: int,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write open, high, low, close and volume of each `bars` bars of a symbol at the last of them, NaN at all others.

    out is [BAR_PARTS, T, S]. To what reads it a higher bar is a bar and the rows between are missing ones. State: BAR_SLOTS rows.
    """
    for t in range(close.shape[0]):
        for s in range(first, last):
            out[:, t, s] = np.nan
            if not (math.isnan(close[t, s]) | math.isnan(volume[t, s])):
                _grow(opening[t, s], high[t, s], low[t, s], close[t, s], volume[t, s], s, state)
                if state[0, s] == bars:
                    _show(s, state, out[:, t, s])


@kernel
def calendar(
    event_at: MicrosecondArray,
    opening: FloatArray,
    high: FloatArray,
    low: FloatArray,
    close: FloatArray,
    volume: FloatArray,
    period_us: int,
    offset_us: int,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write the higher bar of each period (an hour, a day, a week of UTC) when it is known to be complete, NaN at all other bars.

    That is at a bar that closes with the period, or else at the symbol's first bar of a later one. A period begins where
    (time + `offset_us`) is a multiple of `period_us`. out is [BAR_PARTS, T, S]. State: BAR_SLOTS rows.
    """
    for t in range(close.shape[0]):
        period = (event_at[t] + offset_us - 1) // period_us
        ends = (event_at[t] + offset_us) % period_us == 0
        for s in range(first, last):
            out[:, t, s] = np.nan
            if not (math.isnan(close[t, s]) | math.isnan(volume[t, s])):
                if state[0, s] > 0.0 and state[6, s] != period:
                    _show(s, state, out[:, t, s])
                _grow(opening[t, s], high[t, s], low[t, s], close[t, s], volume[t, s], s, state)
                state[6, s] = period
                # Where the bar before has just completed a period, this one's shows at the next bar.
                if ends and math.isnan(out[0, t, s]):
                    _show(s, state, out[:, t, s])


@kernel
def _grow(opening: float, high: float, low: float, close: float, volume: float, s: int, state: FloatArray) -> None:
    """Add a bar to the open higher bar of column `s`."""
    fresh = state[0, s] == 0.0
    state[0, s] += 1.0
    state[1, s] = opening if fresh else state[1, s]
    state[2, s] = high if fresh else max(state[2, s], high)
    state[3, s] = low if fresh else min(state[3, s], low)
    state[4, s] = close
    state[5, s] = volume if fresh else state[5, s] + volume


@kernel
def _show(s: int, state: FloatArray, out: FloatArray) -> None:
    """Write the higher bar and begin another."""
    for part in range(BAR_PARTS):
        out[part] = state[1 + part, s]
    state[0, s] = 0.0


@kernel
def held(x: FloatArray, present: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the last known x at every bar that is present, NaN before the first. State: HELD_SLOTS rows."""
    begun, kept = state[0, first:last], state[1, first:last]
    for t in range(x.shape[0]):
        _hold(x[t, first:last], present[t, first:last], begun, kept, out[t, first:last])


@kernel
def _hold(x: FloatArray, present: FloatArray, begun: FloatArray, kept: FloatArray, out: FloatArray) -> None:
    for s in range(out.size):
        fresh = not math.isnan(x[s])
        value = x[s] if fresh else kept[s]
        known = (fresh | (begun[s] > 0.0)) & (not math.isnan(present[s]))
        out[s] = value if known else np.nan
        kept[s] = value
        begun[s] = 1.0 if fresh else begun[s]
