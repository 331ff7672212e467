"""Tests of sessions and the calendar: tables by hand, pandas' calendar, and a twin of what a session's volume usually is."""

import calendar
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from domain.panel import Panel
from features.catalog import session
from tests.features import beside, panels

TWINS = {
    "session": "on its own, by tables",
    "volume_clock": "on its own, against a dictionary of slots",
    "places": "against the standard library's calendar",
}
NAMES = [feature.name for feature in session.FEATURES]


def at(*moments: str) -> np.ndarray:
    """Return moments of one week in January 2026, such as '05T14:30'."""
    return np.array([f"2026-01-{moment}" for moment in moments], dtype="datetime64[us]")


def bars(opened: np.ndarray, minutes: int, close: list[float], opening: list[float] | None = None) -> Panel:
    """Return one symbol's bars of some minutes; a NaN close is a missing bar."""
    c = np.array(close)[:, None]
    o = c if opening is None else np.where(np.isnan(c), np.nan, np.array(opening)[:, None])
    columns = {
        "open": o,
        "high": np.maximum(o, c),
        "low": np.minimum(o, c),
        "close": c,
        "volume": np.where(np.isnan(c), np.nan, 100.0),
    }
    made = panels.from_prices(columns)
    return replace(made, opened_at=opened, event_at=opened + np.timedelta64(minutes, "m"))


def found(panel: Panel) -> dict[str, np.ndarray]:
    """Return the family's features of the only symbol by name."""
    return dict(zip(NAMES, beside.values(session.FEATURES, panel)[:, 0].T, strict=True))


def test_the_session_and_the_calendar_keep_the_promises_of_the_catalogue() -> None:
    """Warm-up to the bar where a session has one bar, finite after it, free of scale."""
    beside.check_promises(session.FEATURES)


def test_a_session_begins_after_the_night_and_is_as_long_as_the_one_before() -> None:
    """Two sessions of an exchange in hours, the second without its first bar: it opens when the symbol first trades."""
    opened = at("05T14:30", "05T15:30", "05T16:30", "06T14:30", "06T15:30", "06T16:30")
    nan = np.nan

    values = found(bars(opened, 60, [10.0, 11.0, 12.0, nan, 13.0, 14.0], [10.0, 10.0, 11.0, nan, 12.5, 13.0]))

    np.testing.assert_array_equal(values["minutes_since_open"], [60, 120, 180, nan, 60, 120])
    np.testing.assert_array_equal(values["minutes_until_close"], [nan, nan, nan, nan, 120, 60])
    np.testing.assert_array_equal(values["first_bar"], [1, 0, 0, nan, 1, 0])
    np.testing.assert_allclose(values["overnight_gap"], [nan, nan, nan, nan, *[np.log(12.5 / 12)] * 2], rtol=1e-12)
    np.testing.assert_allclose(values["return_since_open"], np.log([1.0, 1.1, 1.2, nan, 13 / 12.5, 14 / 12.5]), atol=1e-15)
    np.testing.assert_array_equal(values["bars_of_gap"], [nan, 0, 0, nan, 22, 0])


def test_a_market_that_never_closes_has_days() -> None:
    """Eight-hour bars around the clock: a session is a day of UTC, its last bar closes at midnight."""
    opened = np.datetime64("2026-01-05T00:00", "us") + np.arange(9) * np.timedelta64(8, "h")

    values = found(bars(opened, 480, list(np.arange(10.0, 19.0))))

    np.testing.assert_array_equal(values["first_bar"], [1, 0, 0] * 3)
    np.testing.assert_array_equal(values["minutes_until_close"], [np.nan] * 3 + [960, 480, 0] * 2)


def test_what_the_calendar_knows_replaces_what_the_bars_suggest() -> None:
    """Extended hours run past midnight UTC, and a half day ends early: with the covariates the session is the calendar's."""
    opened = at("05T23:00", "06T00:00", "06T14:30", "06T15:30")
    panel = bars(opened, 60, [10.0, 11.0, 12.0, 13.0])
    since, until = np.array([[900.0], [960.0], [60.0], [120.0]]), np.array([[60.0], [0.0], [150.0], [90.0]])

    plain, known = found(panel), found(replace(panel, covariates={"since_open": since, "until_close": until}))

    np.testing.assert_array_equal(plain["first_bar"], [1, 1, 1, 0])
    np.testing.assert_array_equal(known["first_bar"], [1, 0, 1, 0])
    np.testing.assert_array_equal(known["minutes_since_open"], since[:, 0])
    np.testing.assert_array_equal(known["minutes_until_close"], [np.nan, 0.0, 150.0, 90.0])


@pytest.mark.parametrize("minutes", [5, 30])
def test_a_sessions_volume_is_held_against_what_is_usual_at_that_time(minutes: int) -> None:
    """The volume so far over its exponential mean at the same quarter of an hour, by a dictionary."""
    count = 390 // minutes
    days = [np.datetime64(f"2026-01-{day:02}T14:30", "us") for day in range(5, 15)]
    opened = np.array([day + np.timedelta64(minutes * i, "m") for day in days for i in range(count)])
    panel = bars(opened, minutes, [10.0] * len(opened))
    volume = np.round(np.exp(np.random.default_rng(20).normal(9.0, 1.0, (len(opened), 1))))
    volume[np.random.default_rng(21).random(volume.shape) < 0.1] = np.nan
    columns = {name: np.where(np.isnan(volume), np.nan, 10.0) for name in ("open", "high", "low", "close")}

    values = found(replace(panel, volume=volume, **columns))["session_volume"]

    usual: dict[int, float] = {}
    expected = np.full(len(opened), np.nan)
    for day in days:
        bars_of_day = [t for t in range(len(opened)) if day <= opened[t] < day + np.timedelta64(1, "D") and volume[t, 0] > 0]
        first, total, traded = opened[bars_of_day[0]], 0.0, dict[int, list[float]]()
        for t in bars_of_day:
            total += volume[t, 0]
            slot = int(((opened[t] - first) / np.timedelta64(1, "m") + minutes - 0.5) // 15)
            traded.setdefault(slot, []).append(total)
            expected[t] = np.log(total / usual[slot]) if slot in usual else np.nan
        for slot, totals in traded.items():
            mean = sum(totals) / len(totals)
            usual[slot] = usual[slot] + 0.05 * (mean - usual[slot]) if slot in usual else mean
    np.testing.assert_allclose(values, expected, rtol=1e-9, atol=1e-12)


def test_places_in_week_month_and_quarter_are_the_calendars() -> None:
    """Every day of nine years, leap days and a century's turn included, against the standard library."""
    for start in ("1999-12-20", "2023-11-01"):
        opened = np.datetime64(f"{start}T00:00", "us") + np.arange(1600) * np.timedelta64(1, "D")
        values = found(bars(opened, 1440, [10.0] * 1600))
        for t in range(0, 1600, 7):
            _check_day(values, t, datetime.fromisoformat(start).replace(tzinfo=UTC) + timedelta(days=t))


def _check_day(values: dict[str, np.ndarray], t: int, day: datetime) -> None:
    length = calendar.monthrange(day.year, day.month)[1]
    begun = datetime(day.year, (day.month - 1) // 3 * 3 + 1, 1, tzinfo=UTC)
    quarter = sum(calendar.monthrange(day.year, begun.month + i)[1] for i in range(3))
    assert values["weekday"][t] == day.weekday()
    assert values["month_place"][t] == pytest.approx((day.day - 1) / (length - 1), abs=1e-12)
    assert values["quarter_place"][t] == pytest.approx((day - begun).days / (quarter - 1), abs=1e-12)
    assert values["days_to_month_turn"][t] == min(day.day - 1, length - day.day)


def test_a_bar_that_closes_at_midnight_belongs_to_the_day_that_ends() -> None:
    """The last hour of Sunday, 4 January 2026, is a Sunday's."""
    values = found(bars(at("04T22:00", "04T23:00", "05T00:00"), 60, [10.0, 10.0, 10.0]))

    np.testing.assert_array_equal(values["weekday"], [6, 6, 0])
