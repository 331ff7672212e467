"""Sessions, extended hours and holes, against dates and hours known from outside."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from domain.market import Market
from pipelines.data.quality import inspection
from tests.pipelines.data import clean

HOURLY = clean.market("24/7", "1h")


def at(where: Market, moments: list[datetime]) -> pl.DataFrame:
    """Return flat bars that opened at these moments."""
    frame = clean.bars(where, date(2024, 1, 2), date(2024, 1, 5), symbols=1)[:1]
    frame = pl.concat([frame] * len(moments))
    opened = pl.Series("opened_at", moments, pl.Datetime("us", "UTC"))
    return frame.with_columns(opened, event_at=opened + where.bar, known_at=opened + where.bar)


def flagged(where: Market, moments: list[datetime], name: str) -> list[bool]:
    """Return which of the bars at these moments carry a defect."""
    return inspection.examine(at(where, moments), where, clean.LIMITS)[name].to_list()


def utc(*parts: int) -> datetime:
    """Return a moment in UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("moment", "extended", "closed"),
    [
        (utc(2025, 7, 2, 8, 0), True, False),
        (utc(2025, 7, 2, 13, 29), True, False),
        (utc(2025, 7, 2, 13, 30), False, False),
        (utc(2025, 7, 2, 19, 59), False, False),
        (utc(2025, 7, 2, 20, 0), True, False),
        (utc(2025, 7, 2, 23, 59), True, False),
        (utc(2025, 7, 3, 0, 0), False, True),
        (utc(2025, 7, 3, 7, 59), False, True),
        (utc(2025, 7, 3, 16, 59), False, False),
        (utc(2025, 7, 3, 17, 0), True, False),
        (utc(2025, 7, 3, 21, 0), False, True),
        (utc(2025, 7, 4, 15, 0), False, True),
        (utc(2025, 7, 5, 15, 0), False, True),
        (utc(2025, 12, 1, 9, 0), True, False),
        (utc(2025, 12, 1, 8, 59), False, True),
    ],
)
def test_new_york_hours_are_kept_by_the_minute(moment: datetime, extended: bool, closed: bool) -> None:
    """04:00 to 20:00 New York, half day on 2025-07-03 (13:00, extended to 17:00), summer and winter time, 4 July, a Saturday."""
    where = clean.market(timeframe="1m")

    assert flagged(where, [moment], "extended_hours") == [extended]
    assert flagged(where, [moment], "market_closed") == [closed]


@pytest.mark.parametrize("day", [date(1985, 9, 27), date(2004, 6, 11), date(2012, 10, 29), date(2016, 5, 30)])
def test_a_daily_bar_on_a_day_without_a_session_is_closed(day: date) -> None:
    """Hurricane Gloria, mourning for Reagan, hurricane Sandy, Memorial Day."""
    where = clean.market()

    assert flagged(where, [utc(day.year, day.month, day.day, 14, 30)], "market_closed") == [True]


def test_currencies_rest_from_friday_to_sunday_evening() -> None:
    """17:00 New York on Friday is 21:00 UTC in summer, 22:00 in winter."""
    where = clean.market("24/5", "1h")
    moments = [utc(2024, 7, 5, 20), utc(2024, 7, 5, 21), utc(2024, 7, 7, 20), utc(2024, 7, 7, 21), utc(2024, 1, 5, 21)]

    assert flagged(where, moments, "market_closed") == [False, True, True, False, False]


@pytest.mark.parametrize(("missing", "expected"), [(2, False), (3, True), (400, True)])
def test_missing_bars_of_a_continuous_market_are_counted(missing: int, expected: bool) -> None:
    """Three bars of an hour missing in a row are a hole, two are not."""
    first = utc(2024, 3, 1, 5)
    moments = [first, first + timedelta(hours=1 + missing), first + timedelta(hours=2 + missing)]

    assert flagged(HOURLY, moments, "after_gap") == [False, expected, False]


def test_a_weekend_is_no_hole_in_currencies() -> None:
    """Only hours when the market was open can be missing."""
    where = clean.market("24/5", "1h")
    friday = utc(2024, 7, 5, 20)

    assert flagged(where, [friday, utc(2024, 7, 7, 21)], "after_gap") == [False, False]
    assert flagged(where, [friday, utc(2024, 7, 7, 23)], "after_gap") == [False, False]
    assert flagged(where, [friday, utc(2024, 7, 8, 0)], "after_gap") == [False, True]


@pytest.mark.parametrize(("day", "expected"), [(6, False), (7, True), (8, True), (11, True)])
def test_missing_sessions_of_an_exchange_are_counted(day: int, expected: bool) -> None:
    """After Tuesday the 5th: Thursday the 7th misses one session, Monday the 11th three."""
    moments = [utc(2024, 3, 5, 15), utc(2024, 3, day, 15)]

    assert flagged(clean.market(), moments, "after_gap") == [False, expected]


def test_bars_missing_inside_a_session_are_no_hole() -> None:
    """A minute without a trade has no bar on many feeds."""
    where = clean.market(timeframe="1m")
    moments = [utc(2024, 3, 5, 15, 0), utc(2024, 3, 5, 18, 0), utc(2024, 3, 6, 14, 30)]

    assert flagged(where, moments, "after_gap") == [False, False, False]


def holed(where: Market, lost: list[int], first: date = date(2024, 1, 2), last: date = date(2024, 6, 28)) -> list[int]:
    """Return the places in a complete file, had it all rows, of the rows flagged after some were lost."""
    frame = clean.bars(where, first, last, symbols=1).with_row_index("place")
    frame = frame.filter(~pl.col("place").is_in(lost))
    table = inspection.examine(frame, where, clean.LIMITS)
    return frame["place"].gather(table.with_row_index().filter("after_gap")["index"]).to_list()


def test_one_session_missing_of_a_symbol_that_has_all_is_a_gap() -> None:
    """2011-02-17 is missing for 79 of 106 symbols of the long daily file."""
    assert holed(clean.market(), [60]) == [61]


def test_sessions_missing_of_a_symbol_that_trades_seldom_are_none() -> None:
    """Every fifth day without a trade is a habit, a third one in a row is not."""
    assert holed(clean.market(), list(range(0, 120, 5))) == []
    assert holed(clean.market(), [*range(0, 120, 5), 61, 62]) == [63]


@pytest.mark.parametrize("count", [1, 12, 78])
def test_bars_missing_of_a_session_that_has_all_others_are_a_gap(count: int) -> None:
    """A feed that fell silent at noon, or for a whole day."""
    where = clean.market(timeframe="5m")

    assert holed(where, list(range(1000, 1000 + count)), last=date(2024, 2, 9)) == [1000 + count]


def test_bars_missing_all_the_time_are_no_gap() -> None:
    """A leveraged ETF has no bar in two minutes of five; half an hour without one is unusual even there."""
    where = clean.market(timeframe="1m")
    quiet = [place for place in range(390 * 5) if place * 7919 % 5 < 2]

    assert holed(where, quiet, last=date(2024, 1, 8)) == []
    assert holed(where, sorted({*quiet, *range(900, 930)}), last=date(2024, 1, 8)) == [931]


def test_an_hour_missing_of_a_complete_week_is_a_gap() -> None:
    """Exchanges that fill quiet hours with flat bars leave none out."""
    assert holed(HOURLY, [300], last=date(2024, 1, 31)) == [301]


def test_a_bar_in_quarantine_is_no_gap() -> None:
    """What is wrong was delivered; the next bar has nothing to do with it."""
    where = clean.market()
    frame = clean.bars(where, date(2024, 1, 2), date(2024, 6, 28), symbols=1)

    table = inspection.examine(clean.change(frame, 50, close=None), where, clean.LIMITS)

    assert table["after_gap"].sum() == 0


def test_an_empty_batch_is_examined() -> None:
    """No bars, no defects, no error."""
    where = clean.market()
    empty = clean.bars(where, date(2024, 1, 2), date(2024, 1, 5))[:0]

    assert inspection.examine(empty, where, clean.LIMITS).is_empty()
