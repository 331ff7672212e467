"""Session: when a market is open, and which bars it should therefore have."""

from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from domain.bar import UTC_MICROSECONDS
from domain.error import ConfigurationError, nearest
from domain.market import Market
from domain.panel import TimeArray

SESSION_SCHEMA = pl.Schema(
    {
        "session": pl.Date(),
        "opened_at": UTC_MICROSECONDS,
        "closed_at": UTC_MICROSECONDS,
        "pre_opened_at": UTC_MICROSECONDS,
        "post_closed_at": UTC_MICROSECONDS,
    }
)

CONTINUOUS = "24/7"
FX_WEEK = "24/5"
FX_ROLL = time(17)
FX_ZONE = "America/New_York"

#: The operator codes whose own entries in the library know no pre and post market, by the names of those that do.
WITH_EXTENDED_HOURS = {"XNYS": "NYSE", "XNAS": "NASDAQ"}

#: Timeframes whose bars hold one session or several, never a part of one.
WHOLE_SESSIONS = ("1d", "1w")
NEVER = np.datetime64("NaT", "us")

#: No session on earth is longer than this or stays closed for longer, extended hours and holidays included.
REACH = timedelta(days=14)


def sessions(calendar: str, first: date, last: date) -> pl.DataFrame:
    """Return the sessions dated `first` to `last`, both included: their date, open, close, and extended hours, in UTC.

    "24/7" has one session a UTC day. "24/5" has one a trading day, from 17:00 to 17:00 New York, Monday (opening on
    Sunday) to Friday, dated by its close. Any other name is one of pandas_market_calendars; half days close early, a
    market without extended hours has `pre_opened_at == opened_at` and `post_closed_at == closed_at`, and lunch breaks
    count as open. Raises ConfigurationError for an unknown calendar.
    """
    decades = range(first.year // 10, last.year // 10 + 1)
    table = pl.concat([pl.DataFrame(schema=SESSION_SCHEMA), *(_decade(calendar, decade) for decade in decades)])
    return table.filter(pl.col("session").is_between(first, last))


def grid(market: Market, first: datetime, last: datetime) -> TimeArray:
    """Return `opened_at` of every regular bar that the calendar expects from `first` to `last`, both included.

    `datetime64[us]` in UTC, increasing. Bars start at the session's open; the last of a session may be cut short.
    """
    reach = REACH if market.timeframe == "1w" else timedelta(days=1)
    table = sessions(market.calendar, _day(first) - reach, _day(last) + reach)
    opened = naive(table["opened_at"])
    if market.timeframe == "1w":
        opened = opened[np.unique(_weeks(table), return_index=True)[1]]
    elif market.timeframe != "1d":
        opened = _split(opened, naive(table["closed_at"]), np.timedelta64(market.bar))
    return opened[(opened >= moment(first)) & (opened <= moment(last))]


def closes(market: Market, opened_at: TimeArray) -> TimeArray:
    """Return the close of each bar: its open plus its length, cut at the session's close; a daily bar's is that close.

    `datetime64[us]` in UTC. A weekly bar's is the close of its week's last session. A bar that opened outside every regular session
    closes after its full length.
    """
    opened_at = opened_at.astype("datetime64[us]")
    full = opened_at + np.timedelta64(market.bar)
    if len(opened_at) == 0:
        return full
    table = sessions(market.calendar, _date(opened_at.min()) - REACH, _date(opened_at.max()) + REACH)
    if table.is_empty():
        return full
    closed = naive(table["closed_at"])
    if market.timeframe == "1w":
        table, closed = _weekly(table)
    place = np.searchsorted(naive(table["opened_at"]), opened_at, side="right") - 1
    session_close = closed[np.maximum(place, 0)]
    inside = (place >= 0) & (opened_at < session_close)
    return np.where(inside, session_close if market.timeframe in WHOLE_SESSIONS else np.minimum(full, session_close), full)


def holding(market: Market, moments: TimeArray) -> tuple[TimeArray, TimeArray]:
    """Return open and close of the market's bar that holds each moment, both `datetime64[us]` in UTC, NaT where none does.

    Bars begin at the session's open and the last is cut at its close; those of the pre-market reach back from the open, those of
    the post-market run on from the close, so that no bar holds both. Whole days and weeks hold the regular session alone.
    Pre-market and post-market are held where the market's `hours` are extended. A week is Monday to Sunday by the dates of its
    sessions.
    """
    moments = moments.astype("datetime64[us]")
    if len(moments) == 0:
        return moments, moments
    table = sessions(market.calendar, _date(moments.min()) - REACH, _date(moments.max()) + REACH)
    opened, closed, pre, post = (naive(table[name]) for name in ("opened_at", "closed_at", "pre_opened_at", "post_closed_at"))
    place = np.maximum(np.searchsorted(pre, moments, side="right") - 1, 0)
    opened, closed, pre, post = opened[place], closed[place], pre[place], post[place]
    early, late = moments < opened, moments >= closed
    outside = (moments < pre) | (moments >= post)
    if market.timeframe in WHOLE_SESSIONS or market.hours == "regular":
        outside |= early | late
    if market.timeframe in WHOLE_SESSIONS:
        first, last = _span(market, table, place)
    else:
        step, anchor = np.timedelta64(market.bar).astype("timedelta64[us]"), np.where(late, closed, opened)
        first = anchor + (moments - anchor) // step * step
        last = np.minimum(first + step, np.where(late, post, np.where(early, opened, closed)))
        first = np.maximum(first, pre)
    return np.where(outside, NEVER, first), np.where(outside, NEVER, last)


def next_open(market: Market, after: datetime) -> datetime:
    """Return the first session open strictly later than `after`, aware, in UTC."""
    return _next(market.calendar, "opened_at", after)


def next_close(market: Market, after: datetime) -> datetime:
    """Return the first session close strictly later than `after`, aware, in UTC; midnight for "24/7"."""
    return _next(market.calendar, "closed_at", after)


def zone(calendar: str) -> str:
    """Return the zone of a calendar's wall clock: UTC for "24/7", New York for "24/5", the exchange's own otherwise.

    Raises ConfigurationError for an unknown calendar.
    """
    if calendar in {CONTINUOUS, FX_WEEK}:
        return "UTC" if calendar == CONTINUOUS else FX_ZONE
    return str(_exchange(calendar).tz)


def moment(at: datetime) -> np.datetime64:
    """Return an aware datetime as naive UTC `datetime64[us]`, the form of every time array of the house."""
    return np.datetime64(at.astimezone(UTC).replace(tzinfo=None), "us")


def days(market: Market, moments: TimeArray) -> npt.NDArray[np.int64]:
    """Return [T] the date of the newest session that had begun by each moment, extended hours included, in days since 1970."""
    if len(moments) == 0:
        return np.empty(0, dtype=np.int64)
    decades = range((_date(moments.min()) - REACH).year // 10, (_date(moments.max()) + timedelta(days=1)).year // 10 + 1)
    begun, dated = (np.concatenate(each) for each in zip(*(_begun(market.calendar, decade) for decade in decades), strict=True))
    return dated[np.maximum(np.searchsorted(begun, moments, side="right") - 1, 0)]


@lru_cache(maxsize=64)
def _begun(calendar: str, decade: int) -> tuple[TimeArray, npt.NDArray[np.int64]]:
    """Return when each session of a decade began, and its date in days since 1970; a live bar asks for the same again and again."""
    table = _decade(calendar, decade)
    return naive(table["pre_opened_at"]), table["session"].to_numpy().astype("datetime64[D]").astype(np.int64)


def ordinals(market: Market, moments: TimeArray, since: date, of: str = "pre_opened_at") -> npt.NDArray[np.int64]:
    """Return how many sessions dated `since` or later had begun by each moment, with `of="closed_at"` how many had closed."""
    if len(moments) == 0:
        return np.empty(0, dtype=np.int64)
    table = sessions(market.calendar, since, _date(moments.max()) + timedelta(days=1))
    return np.searchsorted(naive(table[of]), moments.astype("datetime64[us]"), side="right")


def _span(market: Market, table: pl.DataFrame, place: npt.NDArray[np.int64]) -> tuple[TimeArray, TimeArray]:
    """Return open and close of the session at each place, or of its whole week."""
    opened, closed = naive(table["opened_at"]), naive(table["closed_at"])
    if market.timeframe == "1d":
        return opened[place], closed[place]
    weeks = _weeks(table)
    return (
        opened[np.searchsorted(weeks, weeks[place], side="left")],
        closed[np.searchsorted(weeks, weeks[place], side="right") - 1],
    )


def _weekly(table: pl.DataFrame) -> tuple[pl.DataFrame, TimeArray]:
    """Return the first session of each week, and the close of its last one."""
    weeks = _weeks(table)
    first = np.unique(weeks, return_index=True)[1]
    last = np.append(first[1:], len(weeks)) - 1
    return table[first], naive(table["closed_at"])[last]


def _weeks(table: pl.DataFrame) -> npt.NDArray[np.int64]:
    """Return the number of each session's week; 1970 began on a Thursday."""
    return (table["session"].cast(pl.Int64).to_numpy() + 3) // 7


def naive(times: pl.Series) -> TimeArray:
    """Return a UTC time column as `datetime64[us]`."""
    return times.dt.replace_time_zone(None).cast(pl.Datetime("us")).to_numpy()


@lru_cache(maxsize=64)
def _decade(calendar: str, decade: int) -> pl.DataFrame:
    first, last = date(decade * 10, 1, 1), date(decade * 10 + 9, 12, 31)
    if calendar == CONTINUOUS:
        return _utc_days(first, last)
    if calendar == FX_WEEK:
        return _fx_days(first, last)
    return _exchange_days(calendar, first, last)


def _utc_days(first: date, last: date) -> pl.DataFrame:
    opened = pl.col("session").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    return _without_extended_hours(_days(first, last), opened, opened + pl.duration(days=1))


def _fx_days(first: date, last: date) -> pl.DataFrame:
    weekdays = _days(first, last).filter(pl.col("session").dt.weekday() <= 5)
    closed = pl.col("session").dt.combine(FX_ROLL)
    opened, closed = (
        local.dt.replace_time_zone(FX_ZONE).dt.convert_time_zone("UTC") for local in (closed - pl.duration(days=1), closed)
    )
    return _without_extended_hours(weekdays, opened, closed)


def _days(first: date, last: date) -> pl.DataFrame:
    return pl.DataFrame({"session": pl.date_range(first, last, eager=True)})


def _without_extended_hours(days: pl.DataFrame, opened: pl.Expr, closed: pl.Expr) -> pl.DataFrame:
    return days.with_columns(opened_at=opened, closed_at=closed, pre_opened_at=opened, post_closed_at=closed).cast(SESSION_SCHEMA)


def _exchange(calendar: str) -> Any:
    import pandas_market_calendars

    known = pandas_market_calendars.get_calendar_names()
    if calendar not in known and calendar not in WITH_EXTENDED_HOURS:
        raise ConfigurationError(f"calendar '{calendar}' is unknown: {nearest(calendar, [*known, CONTINUOUS, FX_WEEK])}")
    return pandas_market_calendars.get_calendar(WITH_EXTENDED_HOURS.get(calendar, calendar))


def _exchange_days(calendar: str, first: date, last: date) -> pl.DataFrame:
    exchange = _exchange(calendar)
    hours = list(exchange.regular_market_times)
    pre, post = ("pre" if "pre" in hours else "market_open"), ("post" if "post" in hours else "market_close")
    schedule = exchange.schedule(first, last, start=pre, end=post)
    columns = {"opened_at": "market_open", "closed_at": "market_close", "pre_opened_at": pre, "post_closed_at": post}
    naive_utc = {name: schedule[source].dt.tz_localize(None).to_numpy("datetime64[us]") for name, source in columns.items()}
    table = pl.DataFrame({"session": schedule.index.to_numpy("datetime64[us]"), **naive_utc})
    return table.with_columns(pl.col(*columns).dt.replace_time_zone("UTC")).cast(SESSION_SCHEMA)


def _split(opened: TimeArray, closed: TimeArray, bar: np.timedelta64) -> TimeArray:
    """Cut sessions into bars: the start of each, the last one possibly short."""
    counts: npt.NDArray[np.int64] = -((opened - closed) // bar)
    before = np.cumsum(counts) - counts
    steps = np.arange(counts.sum()) - np.repeat(before, counts)
    return np.repeat(opened, counts) + steps * bar


def _next(calendar: str, column: str, after: datetime) -> datetime:
    day = _day(after)
    times = sessions(calendar, day - timedelta(days=2), day + REACH)[column]
    found: datetime = times.filter(times > after.astimezone(UTC)).min()  # type: ignore[assignment]
    return found


def _day(at: datetime) -> date:
    return at.astimezone(UTC).date()


def _date(at: np.datetime64) -> date:
    return at.astype("datetime64[D]").item()  # type: ignore[no-any-return]
