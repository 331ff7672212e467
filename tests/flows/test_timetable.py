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
