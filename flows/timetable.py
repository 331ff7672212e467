"""Timetable: when a market's flows run, in the zone of its exchange and out of the way of its session.

A cron line knows weekdays, not holidays: a flow that finds no session on its day does nothing, `domain.session` decides.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import cast
from zoneinfo import ZoneInfo

import polars as pl

from domain import session
from domain.market import Market

#: Long enough after the close for late prints to be in, long enough before the open for a trader to be ready.
AFTER_CLOSE = timedelta(minutes=30)
LEARN_AFTER_CLOSE = timedelta(minutes=60)
BEFORE_OPEN = timedelta(minutes=30)
HOURLY_MINUTE = 2


@dataclass(frozen=True)
class Timetable:
    """Cron lines, read in `zone`."""

    zone: str
    prepare: str
    learn: str
    retrain: str
    trade: str


#: The 24/7 market is quietest around 04:00 UTC, the FX market in the hour after its roll at 17:00 New York.
CONTINUOUS = {
    session.CONTINUOUS: Timetable("UTC", "2 * * * *", "10 4 * * *", "0 5 * * sat", "5 0 * * *"),
    session.FX_WEEK: Timetable("America/New_York", "2 * * * mon-fri", "15 17 * * mon-fri", "0 6 * * sat", "5 18 * * sun-thu"),
}
#: When their quiet hours end, in their zones.
QUIET_UNTIL = {session.CONTINUOUS: time(6), session.FX_WEEK: time(19)}


def of(market: Market) -> Timetable:
    """Return the timetable of a market's calendar; an exchange's follows from its own hours."""
    return CONTINUOUS.get(market.calendar) or _exchange(market)


def is_session(market: Market, at: datetime) -> bool:
    """Return whether the market has a session on the day that it is, at `at`, where the exchange stands."""
    day = at.astimezone(ZoneInfo(session.zone(market.calendar))).date()
    return not session.sessions(market.calendar, day, day).is_empty()


def deadline(market: Market, at: datetime) -> datetime:
    """Return when a night that begins at `at` must have ended, in UTC: when the trader gets up, half an hour before the next open.

    A market that hardly closes has its quiet hours instead: crypto until 06:00 UTC, FX until Tokyo opens at 19:00 New York.
    """
    if market.calendar in QUIET_UNTIL:
        zone = ZoneInfo(of(market).zone)
        today = datetime.combine(at.astimezone(zone).date(), QUIET_UNTIL[market.calendar], zone)
        return (today if today > at else today + timedelta(days=1)).astimezone(UTC)
    first = at.astimezone(UTC).date()
    table = session.sessions(market.calendar, first, first + session.REACH)
    opens = table.filter(pl.col("opened_at") - BEFORE_OPEN > at)["opened_at"]
    return cast("datetime", opens[0]) - BEFORE_OPEN


def _exchange(market: Market) -> Timetable:
    import pandas_market_calendars

    exchange = pandas_market_calendars.get_calendar(market.calendar)
    opened, closed = exchange.open_time, exchange.close_time
    if market.timeframe == "1d":
        prepare = _cron(_shift(closed, AFTER_CLOSE))
    else:
        prepare = f"{HOURLY_MINUTE} {opened.hour + 1}-{closed.hour + 1} * * mon-fri"
    learn, trade = _cron(_shift(closed, LEARN_AFTER_CLOSE)), _cron(_shift(opened, -BEFORE_OPEN))
    return Timetable(str(exchange.tz), prepare, learn, "0 6 * * sat", trade)


def _shift(at: time, by: timedelta) -> time:
    return (datetime.combine(date(2000, 1, 3), at) + by).time()


def _cron(at: time) -> str:
    return f"{at.minute} {at.hour} * * mon-fri"
