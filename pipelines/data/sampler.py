"""Sampler: the compiled step that turns ticks into bars, tick after tick, with explicit state."""

from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple, Self

import numpy as np
import numpy.typing as npt

from domain.compiled import money
from domain.panel import FloatArray

Times = npt.NDArray[np.int64]
Rows = dict[str, npt.NDArray[np.generic]]
NOWHERE = np.iinfo(np.int64).min
"""NaT as a whole number: the tick is in no bar."""


class Kind(IntEnum):
    """What a tick is; of one moment the smaller comes first."""

    QUOTE = 0  # says what it would cost to trade
    BID = 1  # the same, and its bid is a price
    TRADE = 2


class Full(IntEnum):
    """What fills a bar."""

    TIME = 0
    TICK = 1
    VOLUME = 2
    DOLLAR = 3
    TICK_IMBALANCE = 4
    VOLUME_IMBALANCE = 5


class Limits(NamedTuple):
    """The rule as numbers."""

    full: int
    size: float
    memory: float
    ticks_max: float

    @classmethod
    def of(cls, word: str, size: float, memory: float, ticks_max: float) -> Self:
        """Return a rule of `sampling.Rule` for the compiler."""
        return cls(int(Full[word.upper()]), size, memory, ticks_max)


class Bar(NamedTuple):
    """Columns of the bars that are made, and of the one in the making."""

    opened_at: Times
    event_at: Times
    known_at: Times
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    vwap: FloatArray
    trades: FloatArray
    buy_volume: FloatArray
    spread: FloatArray


class Seen(NamedTuple):
    """What the next tick needs beside the bar in the making; arrays of one, for the compiled step to write."""

    last_at: Times
    told: Times
    """When the last bar that was written opened."""
    notional: FloatArray
    price: FloatArray
    """The last trade's, for the tick rule."""
    sign: FloatArray
    """The last trade's side by the tick rule: 1, -1, or 0 before any move."""
    cost: FloatArray
    """Spread over mid times microseconds, over the bar."""
    quoted: FloatArray
    """Microseconds of the bar in which there was a quote."""
    relative: FloatArray
    """The standing quote's spread over mid; NaN when there is none."""
    since: Times
    """From when on its time is not counted yet."""
    theta: FloatArray
    """Signed trades or shares of the bar."""
    expected: FloatArray
    """[2] trades that a bar is expected to have, and the expected signed part of one; NaN before the first bar."""


@dataclass
class State:
    """One symbol's bar in the making."""

    bar: Bar
    seen: Seen

    @property
    def last_at(self) -> int:
        """Return the last tick's time in microseconds."""
        return int(self.seen.last_at[0])


def opened(size: float) -> State:
    """Return the state before the first tick."""
    seen = Seen(
        np.array([NOWHERE]), np.array([NOWHERE]), np.zeros(1), np.array([np.nan]), np.zeros(1), np.zeros(1), np.zeros(1),
        np.array([np.nan]), np.array([NOWHERE]), np.zeros(1), np.array([size, np.nan]),
    )  # fmt: skip
    bar = blank(1)
    bar.opened_at[0] = NOWHERE
    bar.trades[0] = 0.0
    return State(bar, seen)


def blank(bars: int) -> Bar:
    """Return room for that many bars."""
    times: list[Times] = [np.zeros(bars, dtype=np.int64) for _ in range(3)]
    return Bar(times[0], times[1], times[2], *(np.zeros(bars) for _ in range(9)))


def advance(
    state: State, limits: Limits, kind: Times, at: Times, opened_at: Times, closed_at: Times, known_at: Times, first: FloatArray,
    second: FloatArray, third: FloatArray,
) -> Rows:  # fmt: skip
    """Return the bars that ticks [N] of one symbol fill, in order of time; `opened_at` and `closed_at` are of the clock's bars."""
    out = blank(len(at) + 1)
    made = _advance(limits, kind, at, opened_at, closed_at, known_at, first, second, third, state.bar, state.seen, out)
    return {name: values[:made] for name, values in out._asdict().items()}


def ended(state: State, now: int) -> Rows:
    """Return the bar in the making if it ended by `now`, in microseconds; the next tick will begin another."""
    out = blank(1)
    made = 0
    if state.bar.opened_at[0] != NOWHERE and state.bar.event_at[0] <= now:
        made = _close(state.bar, state.seen, out, 0)
    return {name: values[:made] for name, values in out._asdict().items()}


@money
def _advance(
    limits: Limits, kind: Times, at: Times, opened_at: Times, closed_at: Times, known_at: Times, first: FloatArray,
    second: FloatArray, third: FloatArray, bar: Bar, seen: Seen, out: Bar,
) -> int:  # fmt: skip
    made = 0
    for n in range(len(at)):
        if limits.full == Full.TIME and opened_at[n] != bar.opened_at[0]:
            made = _close(bar, seen, out, made)
            _begin(bar, seen, opened_at[n], closed_at[n])
        seen.last_at[0] = at[n]
        if kind[n] != Kind.TRADE:
            _quote(seen, at[n], first[n], third[n])
        if opened_at[n] == NOWHERE or kind[n] == Kind.QUOTE:
            continue
        if bar.opened_at[0] == NOWHERE:
            _begin(bar, seen, at[n], at[n])
        if kind[n] == Kind.TRADE:
            _trade(bar, seen, first[n], second[n], third[n], known_at[n], limits)
        elif first[n] > 0.0:
            _count(bar, seen, first[n], 1.0, 0.0, np.nan, known_at[n])
        if limits.full != Full.TIME and _filled(bar, seen, limits):
            bar.event_at[0] = at[n]
            _learn(bar, seen, limits)
            made = _close(bar, seen, out, made)
    return made


@money
def _begin(bar: Bar, seen: Seen, opened_at: int, closed_at: int) -> None:
    """Begin a bar; a quote that stands goes on counting from its first moment."""
    bar.opened_at[0], bar.event_at[0], bar.known_at[0] = opened_at, closed_at, NOWHERE
    bar.volume[0], bar.trades[0], bar.buy_volume[0], seen.notional[0] = 0.0, 0.0, 0.0, 0.0
    seen.cost[0], seen.quoted[0], seen.theta[0] = 0.0, 0.0, 0.0
    seen.since[0] = max(seen.since[0], opened_at)


@money
def _trade(bar: Bar, seen: Seen, price: float, size: float, side: float, known_at: int, limits: Limits) -> None:
    """Count one print; a size of zero is a print that was taken back, and only says when."""
    bar.known_at[0] = max(bar.known_at[0], known_at)
    if not (size > 0.0 and price > 0.0):
        return
    if price != seen.price[0] and not np.isnan(seen.price[0]):
        seen.sign[0] = 1.0 if price > seen.price[0] else -1.0
    seen.price[0] = price
    sign = side if side != 0.0 else seen.sign[0]
    seen.theta[0] += sign * (size if limits.full == Full.VOLUME_IMBALANCE else 1.0)
    # Before the first move of the price nobody knows who began: half is as near as one can be.
    _count(bar, seen, price, size, price * size, size * (0.5 + 0.5 * sign), known_at)


@money
def _count(bar: Bar, seen: Seen, price: float, size: float, notional: float, bought: float, known_at: int) -> None:
    if bar.trades[0] == 0.0:
        bar.open[0], bar.high[0], bar.low[0] = price, price, price
    bar.high[0], bar.low[0], bar.close[0] = max(bar.high[0], price), min(bar.low[0], price), price
    bar.volume[0] += size
    seen.notional[0] += notional
    bar.buy_volume[0] += bought
    bar.trades[0] += 1.0
    bar.known_at[0] = max(bar.known_at[0], known_at)


@money
def _quote(seen: Seen, at: int, bid: float, ask: float) -> None:
    """Count the time of the quote that stood until now; a crossed or one-sided quote is none."""
    _stand(seen, at)
    seen.relative[0] = 2.0 * (ask - bid) / (ask + bid) if 0.0 < bid <= ask else np.nan


@money
def _stand(seen: Seen, until: int) -> None:
    if not np.isnan(seen.relative[0]) and until > seen.since[0]:
        seen.cost[0] += seen.relative[0] * (until - seen.since[0])
        seen.quoted[0] += until - seen.since[0]
    seen.since[0] = max(seen.since[0], until)


@money
def _filled(bar: Bar, seen: Seen, limits: Limits) -> bool:
    if limits.full == Full.TICK:
        return bool(bar.trades[0] >= limits.size)
    if limits.full == Full.VOLUME:
        return bool(bar.volume[0] >= limits.size)
    if limits.full == Full.DOLLAR:
        return bool(seen.notional[0] >= limits.size)
    if np.isnan(seen.expected[1]):
        return bool(bar.trades[0] >= limits.size)
    return bool(bar.trades[0] > 0.0 and abs(seen.theta[0]) >= seen.expected[0] * abs(seen.expected[1]))


@money
def _learn(bar: Bar, seen: Seen, limits: Limits) -> None:
    """Move what an imbalance bar is expected to have towards what this one had; the first bar sets it."""
    part = seen.theta[0] / bar.trades[0]
    if np.isnan(seen.expected[1]):
        seen.expected[1] = part
        return
    seen.expected[0] += limits.memory * (bar.trades[0] - seen.expected[0])
    seen.expected[0] = min(max(seen.expected[0], limits.size / limits.ticks_max), limits.size * limits.ticks_max)
    seen.expected[1] += limits.memory * (part - seen.expected[1])


@money
def _close(bar: Bar, seen: Seen, out: Bar, made: int) -> int:
    """Write the bar in the making, if it has a price, and return how many are written; no bar is in the making then."""
    begun = bar.opened_at[0] != NOWHERE
    if begun:
        _stand(seen, bar.event_at[0])
    if begun and bar.trades[0] > 0.0:
        # Two bars of one symbol never open at one moment, and none closes when it opens.
        out.opened_at[made] = max(bar.opened_at[0], seen.told[0] + 1)
        out.event_at[made] = max(bar.event_at[0], out.opened_at[made] + 1)
        out.known_at[made] = max(bar.known_at[0], out.event_at[made])
        out.open[made], out.high[made], out.low[made], out.close[made] = bar.open[0], bar.high[0], bar.low[0], bar.close[0]
        out.volume[made], out.trades[made], out.buy_volume[made] = bar.volume[0], bar.trades[0], bar.buy_volume[0]
        out.vwap[made] = seen.notional[0] / bar.volume[0] if seen.notional[0] > 0.0 else np.nan
        out.spread[made] = seen.cost[0] / seen.quoted[0] if seen.quoted[0] > 0.0 else np.nan
        seen.told[0] = out.opened_at[made]
        made += 1
    bar.opened_at[0] = NOWHERE
    return made
