"""Sessions, found in the bars' own times: where a bar lies in its session, what the session has done so far."""

import math

import numpy as np

from domain.compiled import kernel
from domain.panel import FloatArray
from features.kernels.calendar import DAY_US, MicrosecondArray

MINUTE_US = 60_000_000.0
#: A session ends where nothing trades for longer than this: longer than a halt, shorter than a night.
NIGHT_US = 3 * 3_600_000_000
#: Rows of a session's state: whether it was begun; its first moment, its log open, the log close before it; the last bar's close,
#: log close and minutes since the open; minutes from open to close of the session before.
SLOTS = 8
BEGUN, START, OPEN, BEFORE, CLOSED, LAST, ELAPSED, LENGTH = range(SLOTS)
#: Rows of a volume clock's state before its slots: the session's volume so far; the slot of the last bar, from 1 on, the bars in it
#: and the sum of what had been traded by each.
CLOCK_HEAD = 4
#: Days before each month of a year that begins in March, as (153 m + 2) / 5 gives them.
MARCH_DAYS, MARCH_MONTHS = 153, 5
#: 0000-03-01 lies this many days before 1970-01-01; days of 400 years.
EPOCH_DAYS, ERA_DAYS = 719_468, 146_097


@kernel
def session(
    opened_at: MicrosecondArray,
    event_at: MicrosecondArray,
    opening: FloatArray,
    close: FloatArray,
    since_open: FloatArray,
    until_close: FloatArray,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write where a bar lies in its session, from log prices; out is [6, T, S].

    Minutes from the session's open to the bar's close; minutes from there to the session's close; 1 on the session's first bar,
    else 0; log open of the session over the close before it; log close over the session's open; how many bars would have
    fitted between the bar before and this one. The first two are the covariates where those are known. Otherwise a session begins
    where a symbol had no bar for NIGHT_US or the day (UTC) changes, and is as long as the one before. What needs a
    session or a bar before is NaN without one. State: SLOTS rows.
    """
    for t in range(close.shape[0]):
        for s in range(first, last):
            out[:, t, s] = np.nan
            if not (math.isnan(close[t, s]) | math.isnan(opening[t, s])):
                fresh = _begins(opened_at[t], since_open[t, s], s, state)
                if fresh:
                    _begin(opened_at[t], opening[t, s], s, state)
                elapsed = since_open[t, s]
                elapsed = (event_at[t] - state[START, s]) / MINUTE_US if math.isnan(elapsed) else elapsed
                left = until_close[t, s]
                left = state[LENGTH, s] - elapsed if math.isnan(left) else left
                left = (0.0 if left < 0.0 else left) if state[BEGUN, s] > 0.0 else np.nan
                out[0, t, s], out[1, t, s] = elapsed, left
                out[2, t, s], out[3, t, s] = (1.0 if fresh else 0.0), state[OPEN, s] - state[BEFORE, s]
                out[4, t, s] = close[t, s] - state[OPEN, s]
                out[5, t, s] = _gap(opened_at[t], event_at[t], s, state)
                _remember(event_at[t], close[t, s], elapsed, s, state)


@kernel
def _begins(opened_at: int, since_open: float, s: int, state: FloatArray) -> bool:
    """Return whether a bar begins a session: minutes that are known start anew with it."""
    if state[BEGUN, s] == 0.0:
        return True
    if not math.isnan(since_open):
        return bool(since_open <= state[ELAPSED, s])
    closed_at = int(state[CLOSED, s])
    return opened_at - closed_at > NIGHT_US or opened_at // DAY_US != (closed_at - 1) // DAY_US


@kernel
def _begin(opened_at: int, opening: float, s: int, state: FloatArray) -> None:
    first_ever = state[BEGUN, s] == 0.0
    state[LENGTH, s] = np.nan if first_ever else state[ELAPSED, s]
    state[BEFORE, s] = np.nan if first_ever else state[LAST, s]
    state[START, s], state[OPEN, s] = opened_at, opening


@kernel
def _gap(opened_at: int, event_at: int, s: int, state: FloatArray) -> float:
    return (opened_at - state[CLOSED, s]) / (event_at - opened_at) if state[BEGUN, s] > 0.0 else np.nan


@kernel
def _remember(event_at: int, close: float, elapsed: float, s: int, state: FloatArray) -> None:
    state[BEGUN, s], state[CLOSED, s], state[LAST, s], state[ELAPSED, s] = 1.0, event_at, close, elapsed


@kernel
def volume_clock(
    elapsed: FloatArray,
    fresh: FloatArray,
    volume: FloatArray,
    minutes: int,
    slots: int,
    gain: float,
    state: FloatArray,
    out: FloatArray,
    first: int,
    last: int,
) -> None:
    """Write the session's volume so far over what is usual at this time of the session, an exponential average over sessions.

    Time is counted in slots of so many `minutes` since the open, later ones as the last of `slots`; what a session had traded in a
    slot is the mean over its bars there. `fresh` marks the first bar of a session. NaN where no session before had a bar in the
    slot, or nothing is usual. State: CLOCK_HEAD + slots rows.
    """
    for t in range(volume.shape[0]):
        for s in range(first, last):
            v, out[t, s] = volume[t, s], np.nan
            if not (math.isnan(v) | math.isnan(elapsed[t, s])):
                slot = 1 + min(slots - 1, max(0, int((elapsed[t, s] - 0.5) / minutes)))
                if fresh[t, s] > 0.0 or slot != state[1, s]:
                    _file(slot, gain, s, state)
                state[0, s] = v if fresh[t, s] > 0.0 else state[0, s] + v
                state[2, s] += 1.0
                state[3, s] += state[0, s]
                usual = state[CLOCK_HEAD - 1 + slot, s]
                out[t, s] = state[0, s] / usual if usual > 0.0 else np.nan


@kernel
def _file(slot: int, gain: float, s: int, state: FloatArray) -> None:
    """Let what a session traded in its last slot into what is usual there, and begin another slot."""
    if state[1, s] > 0.0:
        place = CLOCK_HEAD - 1 + int(state[1, s])
        traded, usual = state[3, s] / state[2, s], state[place, s]
        state[place, s] = usual + gain * (traded - usual) if usual > 0.0 else traded
    state[1, s], state[2, s], state[3, s] = slot, 0.0, 0.0


@kernel
def places(at: MicrosecondArray, x: FloatArray, state: FloatArray, out: FloatArray, first: int, last: int) -> None:
    """Write the day of the week, 0 on Monday; the places in month and quarter, 0 to 1; days to the nearest turn of a month.

    `at` is the close of a bar in microseconds since 1970 (UTC); a close at midnight belongs to the day that ends. out is [4, T, S].
    """
    for t in range(at.size):
        day = (at[t] - 1) // DAY_US
        year, month, of_month = _civil(day)
        length = _first_day(year, month + 1) - _first_day(year, month)
        quarter = month - (month - 1) % 3
        begun = _first_day(year, quarter)
        weekday, month_place = (day + 3) % 7, (of_month - 1.0) / (length - 1.0)
        quarter_place = (day - begun) / (_first_day(year, quarter + 3) - begun - 1.0)
        turn = min(of_month - 1.0, length - of_month)
        for s in range(first, last):
            zero = 0.0 * x[t, s]
            out[0, t, s], out[1, t, s] = weekday + zero, month_place + zero
            out[2, t, s], out[3, t, s] = quarter_place + zero, turn + zero


@kernel
def _civil(day: int) -> tuple[int, int, int]:
    """Return year, month and day of the month of a day since 1970 (Gregorian; years that begin in March have leap days last)."""
    shifted = day + EPOCH_DAYS
    era = shifted // ERA_DAYS
    of_era = shifted - era * ERA_DAYS
    year = (of_era - of_era // 1_460 + of_era // 36_524 - of_era // 146_096) // 365
    of_year = of_era - (365 * year + year // 4 - year // 100)
    march = (MARCH_MONTHS * of_year + 2) // MARCH_DAYS
    of_month = of_year - (MARCH_DAYS * march + 2) // MARCH_MONTHS + 1
    month = march + 3 if march < 10 else march - 9
    return year + era * 400 + (1 if month <= 2 else 0), month, of_month


@kernel
def _first_day(year: int, month: int) -> int:
    """Return the first day of a month, in days since 1970; month 13 is January of the next year."""
    shifted = year + (month - 1) // 12 - (1 if (month - 1) % 12 < 2 else 0)
    march = ((month - 1) % 12 + 10) % 12
    era = shifted // 400
    year_of_era = shifted - era * 400
    of_year = (MARCH_DAYS * march + 2) // MARCH_MONTHS
    return era * ERA_DAYS + year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + of_year - EPOCH_DAYS
