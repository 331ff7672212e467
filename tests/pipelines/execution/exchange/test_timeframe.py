"""Timeframes against the calendar: a table by hand, pandas' own periods, and what Alpaca does not know."""

from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest

from pipelines.execution.exchange.timeframe import Timeframe

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
#: Every seven hours of two years, across leap day and years' ends.
MOMENTS = [datetime(2023, 6, 1, tzinfo=UTC) + number * 7 * HOUR for number in range(2500)]


@pytest.mark.parametrize(
    ("said", "period"), [("1Day", "D"), ("1Week", "W-SUN"), ("1Month", "M"), ("3Month", "Q"), ("12Month", "Y")]
)
def test_windows_change_when_the_calendars_do(said, period):
    """Weeks begin on Mondays, quarters and years where the calendar's do."""
    ours = [Timeframe.parsed(said).window(at) for at in MOMENTS]
    theirs = [pd.Timestamp(at.replace(tzinfo=None)).to_period(period) for at in MOMENTS]
    changes = zip(ours, ours[1:], theirs, theirs[1:], strict=False)
    assert all((after - before == 1) == (later != earlier) and after >= before for before, after, earlier, later in changes)
    assert len(set(ours)) > 1


@pytest.mark.parametrize("said", ["", "0Min", "60Min", "24Hour", "2Day", "2Week", "5Month", "1Year", "Min", "1.5Hour", "-1Day"])
def test_what_alpaca_does_not_know_is_refused(said):
    """With the words that were asked for."""
    with pytest.raises(ValueError, match=f"^invalid timeframe: {said}$"):
        Timeframe.parsed(said)


@pytest.mark.parametrize(
    ("said", "own", "made"),
    [
        ("5Min", MINUTE, True),
        ("7Min", MINUTE, False),
        ("1Hour", 5 * MINUTE, True),
        ("1Min", 5 * MINUTE, False),
        ("1Week", MINUTE, True),
        ("1Week", 390 * MINUTE, True),
        ("1Month", DAY, True),
        ("1Week", 7 * MINUTE, False),
        ("1Day", 390 * MINUTE, False),
    ],
)  # fmt: skip
def test_windows_are_made_of_whole_bars(said, own, made):
    """By hand: what divides the window, and the day with it; of sessions, weeks and months."""
    assert Timeframe.parsed(said).is_made_of(own) is made


def test_a_session_is_a_day():
    """As it is."""
    assert Timeframe.parsed("1D").is_of(390 * MINUTE)
    assert not Timeframe.parsed("1D").is_of(HOUR)
    assert not Timeframe.parsed("1Week").is_of(DAY)
