"""Gaps: how much may be held while a market is closed, and from which decision on that counts.

An order that is decided at a close is filled at the next bar's open. So what is decided `closing_bars` bars before a session's end,
and later, is held over the hours that follow, in which nothing can be sold: one night, or longer. The last decision of a session is
filled after them and is free again. A market that never closes has no such hours.
"""

from datetime import UTC, datetime
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from domain import session
from domain.market import Market
from domain.panel import FloatArray, TimeArray
from domain.params import Risk

SpanArray = npt.NDArray[np.timedelta64]
#: Hours from a close to the next open above which it is more than a night: a weekend, a holiday.
NIGHT = np.timedelta64(36, "h")
NOTHING = np.timedelta64(0, "us")


def most(market: Market, rules: Risk, event_at: TimeArray) -> FloatArray:
    """Return [T] the gross, of equity, that decisions at the closes `event_at` may lead to; infinite where no gap follows."""
    found = np.full(len(event_at), np.inf)
    years = event_at.astype("datetime64[Y]")
    for year in np.unique(years):
        rows = np.flatnonzero(years == year)
        found[rows] = _in_year(rules, event_at[rows], *_bars(market, int(year.astype(np.int64)) + 1970))
    return found


def _in_year(rules: Risk, event_at: TimeArray, opened: TimeArray, gap: SpanArray) -> FloatArray:
    limit = np.where(gap > NIGHT, rules.weekend_gross_max, np.where(gap > NOTHING, rules.overnight_gross_max, np.inf))
    bar = np.searchsorted(opened, event_at)
    found, before = np.full(len(event_at), np.inf), np.full(len(event_at), True)
    for _ in range(rules.closing_bars):
        bar = np.minimum(bar, len(gap) - 1)
        found = np.where(before, np.minimum(found, limit[bar]), found)
        before &= ~(gap[bar] > NOTHING)
        bar = bar + 1
    return found


@lru_cache(maxsize=64)
def _bars(market: Market, year: int) -> tuple[TimeArray, SpanArray]:
    """Return when each bar that the calendar expects of a year, and a month more, opens, and how long nothing trades after it."""
    opened = session.grid(market, datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 2, 1, tzinfo=UTC))
    return opened[:-1], opened[1:] - session.closes(market, opened)[:-1]
