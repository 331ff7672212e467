"""When markets are open: hours from the exchanges' own notices, bars counted by hand, New York time by the standard library."""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain import session
from domain.cost import Cost
from domain.error import ConfigurationError
from domain.instrument import Instrument
from domain.market import AssetClass, Market

NEW_YORK = ZoneInfo("America/New_York")
MOMENTS = st.datetimes(datetime(2011, 1, 1), datetime(2029, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # timezones says which


def market(calendar: str, timeframe: str) -> Market:
    """Return a market of that calendar and bar length."""
    cost = Cost(fee_bps=0, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)
    return Market("m", AssetClass.EQUITY, calendar, timeframe, "files", 1, cost, Instrument())


def utc(*parts: int) -> datetime:
    """Return a moment in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


def new_york(day: date, hour: int, minute: int = 0) -> datetime:
    """Return a moment of New York's wall clock in UTC."""
    return datetime.combine(day, time(hour, minute), NEW_YORK).astimezone(UTC)


def test_an_ordinary_session_has_a_regular_and_an_extended_part() -> None:
    """NYSE: pre-market from 4:00, 9:30 to 16:00, post-market until 20:00 New York."""
    day = date(2025, 7, 2)

    row = session.sessions("XNYS", day, day).row(0)

    assert row == (day, new_york(day, 9, 30), new_york(day, 16), new_york(day, 4), new_york(day, 20))


@pytest.mark.fault("F86")
def test_a_half_day_closes_at_one_and_its_post_market_at_five() -> None:
    """NYSE holidays and trading hours: 27 November 2026 closes at 13:00, late trading at 17:00."""
    day = date(2026, 11, 27)

    row = session.sessions("XNYS", day, day).row(0, named=True)

    assert (row["closed_at"], row["post_closed_at"]) == (new_york(day, 13), new_york(day, 17))


@pytest.mark.fault("F86")
def test_holidays_and_weekends_have_no_session() -> None:
    """4 July 2025 is a Friday: the 3rd is followed by the 7th."""
    table = session.sessions("XNYS", date(2025, 7, 3), date(2025, 7, 7))

    assert table["session"].to_list() == [date(2025, 7, 3), date(2025, 7, 7)]


def test_a_continuous_market_has_one_session_a_utc_day() -> None:
    """Every day of a leap February, from midnight to midnight."""
    table = session.sessions("24/7", date(2024, 2, 1), date(2024, 2, 29))

    assert table.height == 29
    assert (table["closed_at"] - table["opened_at"]).unique().to_list() == [timedelta(days=1)]
    assert table["opened_at"][28] == utc(2024, 2, 29)


@pytest.mark.fault("F22")
@pytest.mark.parametrize("day", [date(2025, 3, 10), date(2025, 7, 2), date(2025, 11, 3), date(2025, 12, 31)])
def test_a_currency_day_ends_at_five_in_new_york_summer_and_winter(day: date) -> None:
    """The wall clock stays at 17:00 across both changes of the clock in 2025 (9 March, 2 November)."""
    row = session.sessions("24/5", day, day).row(0, named=True)

    assert row["closed_at"] == new_york(day, 17)
    assert row["opened_at"] == new_york(day - timedelta(days=1), 17)


def test_a_currency_week_runs_from_sunday_to_friday() -> None:
    """Five sessions touch each other, then nothing until Sunday evening."""
    table = session.sessions("24/5", date(2025, 3, 3), date(2025, 3, 14))

    gaps = (table["opened_at"][1:] - table["closed_at"][:-1]).to_list()
    assert table.height == 10
    assert gaps == [timedelta(0)] * 4 + [timedelta(hours=47)] + [timedelta(0)] * 4


def test_an_unknown_calendar_is_named_with_the_nearest_right_one() -> None:
    """One sentence that leads to the right name."""
    with pytest.raises(ConfigurationError, match="calendar 'XNYSE' is unknown: did you mean 'XNYS'"):
        session.sessions("XNYSE", date(2025, 1, 1), date(2025, 1, 2))


@pytest.mark.parametrize(
    ("calendar", "timeframe", "expected"),
    [
        ("XNYS", "1d", 252),
        ("XNYS", "5m", 249 * 78 + 3 * 42),
        ("XNYS", "1h", 249 * 7 + 3 * 4),
        ("24/7", "1h", 366 * 24 - 5),
        ("24/5", "4h", 262 * 6),
    ],
)
def test_a_year_has_as_many_bars_as_one_counts(calendar: str, timeframe: str, expected: int) -> None:
    """2024, from New York's evening to evening: 252 sessions of which three are half (42 bars of 5 minutes), 262 weekdays."""
    first, last = new_york(date(2023, 12, 31), 17), new_york(date(2024, 12, 31), 16, 59)
    if calendar == "24/7":
        first, last = utc(2024, 1, 1), utc(2024, 12, 31, 18)

    grid = session.grid(market(calendar, timeframe), first, last)

    assert len(grid) == expected


def test_the_last_bar_of_a_session_is_cut_at_its_close() -> None:
    """Hourly NYSE bars start at 9:30, so that the seventh lasts half an hour, and on a half day the fourth does."""
    day = date(2025, 7, 3)
    hourly = market("XNYS", "1h")
    opened = session.grid(hourly, new_york(day, 0), new_york(day, 23))

    closed = session.closes(hourly, opened)

    expected = [new_york(day, 10, 30), new_york(day, 11, 30), new_york(day, 12, 30), new_york(day, 13)]
    assert closed.tolist() == [at.replace(tzinfo=None) for at in expected]


def test_a_daily_bar_closes_with_its_session() -> None:
    """Also when it is stamped with a moment inside the session."""
    daily = market("XNYS", "1d")
    opened = np.array(["2025-07-02T13:30", "2025-07-03T14:00"], dtype="datetime64[us]")

    closed = session.closes(daily, opened)

    assert closed.tolist() == [datetime(2025, 7, 2, 20), datetime(2025, 7, 3, 17)]  # noqa: DTZ001  # arrays of time are naive UTC


def test_a_bar_outside_every_session_closes_after_its_full_length() -> None:
    """A pre-market bar, a bar on a Sunday, and no bars at all."""
    five = market("XNYS", "5m")
    opened = np.array(["2025-07-02T09:00", "2025-07-06T15:00"], dtype="datetime64[us]")

    assert (session.closes(five, opened) - opened == np.timedelta64(5, "m")).all()
    assert len(session.closes(five, opened[:0])) == 0


def test_a_bar_within_a_long_closure_closes_after_its_full_length() -> None:
    """Tokyo keeps its year-end holidays from December 31 to January 3: no session is near enough to look at."""
    opened = np.array(["2020-01-02T01:00"], dtype="datetime64[us]")

    closed = session.closes(market("XTKS", "5m"), opened)

    assert closed[0] == np.datetime64("2020-01-02T01:05")


@settings(max_examples=40, deadline=None)
@given(at=MOMENTS, calendar=st.sampled_from(["XNYS", "24/7", "24/5", "XLON"]))
def test_the_next_open_and_close_are_the_first_ones_later(at: datetime, calendar: str) -> None:
    """Found by looking through all sessions around the moment."""
    traded = market(calendar, "1d")
    around = session.sessions(calendar, at.date() - timedelta(days=20), at.date() + timedelta(days=20))

    assert session.next_open(traded, at) == min(t for t in around["opened_at"] if t > at)
    assert session.next_close(traded, at) == min(t for t in around["closed_at"] if t > at)


@settings(max_examples=30, deadline=None)
@given(at=MOMENTS, days=st.integers(0, 40), case=st.sampled_from([("XNYS", "5m"), ("XNYS", "1d"), ("24/7", "4h"), ("24/5", "1h")]))
def test_bars_follow_each_other_inside_sessions(at: datetime, days: int, case: tuple[str, str]) -> None:
    """Both bounds hold, no bar overlaps the next, and every bar lies in one session."""
    traded = market(*case)
    last = at + timedelta(days=days)

    opened = session.grid(traded, at, last)
    closed = session.closes(traded, opened)

    table = session.sessions(traded.calendar, at.date() - timedelta(days=3), last.date() + timedelta(days=3))
    starts, ends = session.naive(table["opened_at"]), session.naive(table["closed_at"])
    place = np.searchsorted(starts, opened, side="right") - 1
    assert ((opened >= session.moment(at)) & (opened <= session.moment(last))).all()
    assert (closed[:-1] <= opened[1:]).all()
    assert ((opened < closed) & (closed <= ends[place])).all()


@pytest.mark.fault("F22")
def test_a_grid_asked_in_two_parts_is_the_grid() -> None:
    """Nothing depends on where one starts to ask."""
    five = market("XNYS", "5m")
    first, middle, last = utc(2019, 12, 20), utc(2020, 1, 7, 17, 32), utc(2020, 2, 1)

    whole = session.grid(five, first, last)

    parts = np.concatenate([session.grid(five, first, middle), session.grid(five, middle + timedelta(microseconds=1), last)])
    assert np.array_equal(whole, parts)


def held(where: Market, *moments: datetime) -> list[tuple[datetime, datetime] | None]:
    """Return open and close of the bars that hold moments, in UTC; None where none does."""
    opened, closed = session.holding(where, np.array([session.moment(at) for at in moments]))
    return [
        None if np.isnat(first) else (first.item().replace(tzinfo=UTC), last.item().replace(tzinfo=UTC))
        for first, last in zip(opened, closed, strict=True)
    ]  # fmt: skip


def test_a_moment_is_held_by_the_bar_that_began_at_the_sessions_open() -> None:
    """Hours of New York begin at half past nine, and the last is half an hour long."""
    day = date(2024, 3, 12)

    found = held(market("XNYS", "1h"), new_york(day, 9, 30), new_york(day, 10, 29), new_york(day, 15, 59), new_york(day, 16))

    first = (new_york(day, 9, 30), new_york(day, 10, 30))
    assert found == [first, first, (new_york(day, 15, 30), new_york(day, 16)), None]


def test_extended_hours_have_bars_of_their_own() -> None:
    """No bar holds both the auction of the close and what traded after it; the first of the morning begins at four."""
    day, where = date(2024, 3, 12), replace(market("XNYS", "1h"), hours="extended")

    found = held(where, new_york(day, 4, 10), new_york(day, 9, 29), new_york(day, 16, 5), new_york(day, 19, 59), new_york(day, 20))

    assert found == [
        (new_york(day, 4), new_york(day, 4, 30)), (new_york(day, 8, 30), new_york(day, 9, 30)),
        (new_york(day, 16), new_york(day, 17)), (new_york(day, 19), new_york(day, 20)), None,
    ]  # fmt: skip


def test_a_half_day_ends_its_bars_early() -> None:
    """The day after Thanksgiving closes at one."""
    day = date(2024, 11, 29)

    assert held(market("XNYS", "4h"), new_york(day, 12), new_york(day, 13, 30)) == [(new_york(day, 9, 30), new_york(day, 13)), None]
    assert held(market("XNYS", "1d"), new_york(day, 12)) == [(new_york(day, 9, 30), new_york(day, 13))]


def test_currencies_begin_their_bars_at_five_in_new_york() -> None:
    """Before and after the clocks change: 22:00 and 21:00 UTC."""
    where = market("24/5", "4h")

    assert held(where, utc(2024, 3, 8, 1), utc(2024, 3, 9, 12)) == [(utc(2024, 3, 7, 22), utc(2024, 3, 8, 2)), None]
    assert held(where, utc(2024, 3, 12, 0, 59)) == [(utc(2024, 3, 11, 21), utc(2024, 3, 12, 1))]


def test_a_week_runs_from_its_first_session_to_its_last() -> None:
    """Good Friday 2024 was the 29th of March: that week's bar closes on Thursday; the week after a holiday opens on Tuesday."""
    where = market("XNYS", "1w")

    assert held(where, new_york(date(2024, 3, 27), 12)) == [(new_york(date(2024, 3, 25), 9, 30), new_york(date(2024, 3, 28), 16))]
    assert held(where, new_york(date(2024, 5, 29), 12)) == [(new_york(date(2024, 5, 28), 9, 30), new_york(date(2024, 5, 31), 16))]
    opened = np.array([session.moment(new_york(date(2024, 3, 25), 9, 30))])
    assert session.closes(where, opened)[0] == session.moment(new_york(date(2024, 3, 28), 16))


def test_the_grid_of_weeks_has_one_bar_a_week() -> None:
    """Nine weeks around two holidays."""
    found = session.grid(market("XNYS", "1w"), utc(2024, 4, 1), utc(2024, 6, 1))

    assert len(found) == 9
    assert session.moment(new_york(date(2024, 5, 28), 9, 30)) in found


@pytest.mark.parametrize(("calendar", "timeframe"), [("XNYS", "30m"), ("24/7", "2h"), ("24/5", "1h"), ("XNYS", "1d")])
def test_every_bar_of_the_grid_holds_its_own_first_moment(calendar: str, timeframe: str) -> None:
    """Two roads to one timetable."""
    where = market(calendar, timeframe)
    opened = session.grid(where, utc(2024, 2, 20), utc(2024, 4, 20))

    found, closed = session.holding(where, opened)

    np.testing.assert_array_equal(found, opened)
    np.testing.assert_array_equal(closed, session.closes(where, opened))


@pytest.mark.parametrize(
    ("calendar", "moment", "day"),
    [
        ("XNYS", "2024-07-03T13:30", "2024-07-03"),  # the open of a half day
        ("XNYS", "2024-07-05T07:59", "2024-07-03"),  # before the pre-market of the day after the holiday: 4:00 in New York
        ("XNYS", "2024-07-05T08:00", "2024-07-05"),
        ("XNYS", "2024-07-06T00:30", "2024-07-05"),  # Friday's post-market is past, and Saturday has none
        ("24/7", "2024-03-09T23:59", "2024-03-09"),
        ("24/7", "2024-03-10T00:00", "2024-03-10"),
        ("24/5", "2024-03-08T21:59", "2024-03-08"),
        ("24/5", "2024-03-10T21:00", "2024-03-11"),  # Sunday at 17:00 in New York begins Monday
    ],
)
def test_a_moment_belongs_to_the_day_of_the_newest_session_that_began(calendar: str, moment: str, day: str) -> None:
    """The day of a loss is the session's, whatever the date is in Greenwich."""
    found = session.days(market(calendar, "1h"), np.array([moment], dtype="datetime64[us]"))

    assert found.astype("datetime64[D]").tolist() == [date.fromisoformat(day)]
