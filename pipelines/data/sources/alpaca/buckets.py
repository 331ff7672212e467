"""Buckets: which bar of a market holds a moment. Alpaca's own longer bars begin on the hour or at a midnight, ours at the open."""

from datetime import timedelta

import numpy as np

from domain import session
from domain.market import Market
from domain.panel import TimeArray


def floor(market: Market, moments: TimeArray) -> TimeArray:
    """Return the first moment of the market's bar that holds each of `moments`, both `datetime64[us]` in UTC.

    Around the clock bars begin at midnight UTC. On an exchange they begin at the session's open and reach back from it into the
    pre-market; what trades after the close is in bars that begin at the close, so that the session's last bar holds nothing of
    it. A daily bar holds the whole day, from pre-market to post-market.
    """
    if market.calendar == session.CONTINUOUS or len(moments) == 0:
        return _steps(np.full(len(moments), np.datetime64(0, "us")), moments, market.bar)
    days = moments.min().astype("datetime64[D]").item(), moments.max().astype("datetime64[D]").item()
    table = session.sessions(market.calendar, days[0] - session.REACH, days[1] + session.REACH)
    opened, closed, post_closed = (session.naive(table[name]) for name in ("opened_at", "closed_at", "post_closed_at"))
    place = np.searchsorted(post_closed, moments, side="right")
    if market.timeframe == "1d":
        return opened[place]
    return _steps(np.where(moments < closed[place], opened[place], closed[place]), moments, market.bar)


def _steps(anchor: TimeArray, moments: TimeArray, bar: timedelta) -> TimeArray:
    step = np.timedelta64(bar).astype("timedelta64[us]")
    begun: TimeArray = anchor + (moments - anchor) // step * step
    return begun
