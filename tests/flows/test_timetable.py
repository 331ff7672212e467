"""Timetable: flows run where the exchange stands, out of the way of its session, and not on holidays."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from domain import params as parameters
from domain.market import Market
from flows import timetable

ROOT = Path(__file__).parents[2]


def market(name: str) -> Market:
    """Return a market of params.yaml."""
    return parameters.load(ROOT / "params.yaml").market(name)


def test_daily_equities_learn_an_hour_after_the_close_of_new_york() -> None:
    """The session ends at 16:00 and begins at 09:30 local time."""
    table = timetable.of(market("us_equity"))

    assert table.zone == "America/New_York"
    assert (table.prepare, table.learn, table.trade) == ("30 16 * * mon-fri", "0 17 * * mon-fri", "0 9 * * mon-fri")


def test_bars_within_the_day_are_fetched_every_hour_of_the_session() -> None:
    """The first five-minute bars are there at 10:02, the last at 17:02."""
    assert timetable.of(market("us_equity_5m")).prepare == "2 10-17 * * mon-fri"


@pytest.mark.parametrize(("name", "zone"), [("crypto", "UTC"), ("fx", "America/New_York")])
def test_markets_that_hardly_close_have_their_quiet_hour(name: str, zone: str) -> None:
    """Crypto by UTC; FX by New York, where its day rolls."""
    assert timetable.of(market(name)).zone == zone


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        ("us_equity", datetime(2024, 7, 5, 21, 0, tzinfo=UTC), True),
        ("us_equity", datetime(2024, 7, 4, 21, 0, tzinfo=UTC), False),  # Independence Day
        ("us_equity", datetime(2024, 7, 6, 21, 0, tzinfo=UTC), False),  # Saturday
        ("us_equity", datetime(2024, 7, 6, 1, 0, tzinfo=UTC), True),  # still Friday evening in New York
        ("crypto", datetime(2024, 7, 6, 4, 0, tzinfo=UTC), True),
        ("fx", datetime(2024, 7, 6, 12, 0, tzinfo=UTC), False),
        ("fx", datetime(2024, 7, 5, 12, 0, tzinfo=UTC), True),
    ],
)
def test_a_day_is_a_session_where_the_exchange_stands(name: str, at: datetime, expected: bool) -> None:
    """Holidays and weekends are the calendar's, days are local."""
    assert timetable.is_session(market(name), at) is expected


@pytest.mark.parametrize(
    ("name", "at", "expected"),
    [
        # An evening in New York; the next morning's open is 09:30, 13:30 UTC in summer.
        ("us_equity", datetime(2024, 7, 8, 21, 0, tzinfo=UTC), datetime(2024, 7, 9, 13, 0, tzinfo=UTC)),
        # Before Independence Day, which is a Thursday: the next session is Friday's.
        ("us_equity", datetime(2024, 7, 3, 21, 0, tzinfo=UTC), datetime(2024, 7, 5, 13, 0, tzinfo=UTC)),
        # Friday evening, over the weekend in which the clocks change: 09:30 is 14:30 UTC from Monday on.
        ("us_equity", datetime(2024, 11, 1, 21, 0, tzinfo=UTC), datetime(2024, 11, 4, 14, 0, tzinfo=UTC)),
        # Between the trader's rising and the open it is the day after.
        ("us_equity", datetime(2024, 7, 9, 13, 10, tzinfo=UTC), datetime(2024, 7, 10, 13, 0, tzinfo=UTC)),
        ("crypto", datetime(2024, 7, 6, 4, 10, tzinfo=UTC), datetime(2024, 7, 6, 6, 0, tzinfo=UTC)),
        ("crypto", datetime(2024, 7, 6, 12, 0, tzinfo=UTC), datetime(2024, 7, 7, 6, 0, tzinfo=UTC)),
        ("fx", datetime(2024, 7, 8, 21, 15, tzinfo=UTC), datetime(2024, 7, 8, 23, 0, tzinfo=UTC)),
    ],
)
def test_a_night_ends_before_its_market_wakes(name: str, at: datetime, expected: datetime) -> None:
    """Half an hour before the next open, holidays and clock changes included; at the end of the quiet hours where nobody sleeps."""
    assert timetable.deadline(market(name), at) == expected
