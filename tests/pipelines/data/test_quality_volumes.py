"""Scales of volume: a lasting change, lone sessions of a single venue, and what is only news."""

from datetime import date

import polars as pl
import pytest

from domain.market import Market
from pipelines.data.quality import inspection
from tests.pipelines.data import clean

FIVE = clean.market(timeframe="5m")
BARS = clean.bars(FIVE, date(2025, 4, 1), date(2025, 6, 30), symbols=2)
DAYS = BARS.filter(pl.col("symbol") == "S0")["opened_at"].dt.date().unique().sort().to_list()


def times(frame: pl.DataFrame, factor: float, first: date, last: date | None = None, symbol: str = "S0") -> pl.DataFrame:
    """Return the frame with one symbol's volume multiplied between two days, both included."""
    here = (pl.col("symbol") == symbol) & pl.col("opened_at").dt.date().is_between(first, last or first)
    return frame.with_columns(volume=pl.when(here).then(pl.col("volume") * factor).otherwise("volume"))


def broken(frame: pl.DataFrame, where: Market = FIVE) -> list[tuple[str, date, int]]:
    """Return symbol, day and number of the flagged bars."""
    table = inspection.examine(frame, where, clean.LIMITS).filter("volume_break")
    days = table.group_by("symbol", day=pl.col("opened_at").dt.date()).len().sort("symbol", "day")
    return [(symbol, day, count) for symbol, day, count in days.iter_rows()]


def test_steady_volume_has_no_break() -> None:
    """Half days and the noise of days are no other scale."""
    assert broken(BARS) == []


@pytest.mark.parametrize("factor", [30.0, 12.0, 1 / 30])
@pytest.mark.parametrize("place", [8, 30, 52])
def test_the_first_session_of_a_lasting_scale_is_named(factor: float, place: int) -> None:
    """As on 2026-01-22, when one venue became all: the session itself, all of its bars, and no other."""
    frame = times(BARS, factor, DAYS[place], DAYS[-1])

    assert broken(frame) == [("S0", DAYS[place], 78)]


def test_quiet_bars_that_are_absent_do_not_hide_a_break() -> None:
    """A feed that leaves out bars without trades has a higher volume in those that it shows (NAIL until 2026-01-22)."""
    thin = pl.col("opened_at").dt.date() < DAYS[30]
    seldom = BARS.with_row_index("row").filter(~thin | (pl.col("row") % 3 == 0)).drop("row")

    frame = times(seldom, 12.0, DAYS[30], DAYS[-1])

    assert broken(frame) == [("S0", DAYS[30], 78)]


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("place", [20, 45, len(DAYS)])
def test_sessions_of_a_single_venue_are_named(length: int, place: int) -> None:
    """Two to five percent of the volume for one to three days, also when they are the last of the file."""
    place = min(place, len(DAYS) - length)
    days = DAYS[place : place + length]

    assert broken(times(BARS, 0.035, days[0], days[-1])) == [("S0", day, 78) for day in days]


def test_a_feed_that_falls_back_to_one_venue_is_seen_through_news() -> None:
    """On 2026-03-10 all symbols lost 96% of their volume; of one with ten times the usual a third is left, and it is wrong too."""
    many = clean.bars(FIVE, date(2025, 4, 1), date(2025, 6, 30), symbols=5)
    frame = times(many, 10.0, DAYS[40])
    for number in range(5):
        frame = times(frame, 0.035, DAYS[40], symbol=f"S{number}")

    assert broken(frame) == [(f"S{number}", DAYS[40], 78) for number in range(5)]


@pytest.mark.parametrize("factor", [6.0, 25.0])
def test_a_day_of_news_is_no_break(factor: float) -> None:
    """Volume that multiplies for a day or three and comes back."""
    assert broken(times(BARS, factor, DAYS[25], DAYS[27])) == []


def test_a_day_that_ends_early_is_no_break() -> None:
    """The last day of a download holds its first half hour only."""
    last = pl.col("opened_at").dt.date() == DAYS[-1]
    partial = BARS.filter(~last | (pl.col("opened_at").dt.time() < pl.time(14, 0)))

    assert broken(partial) == []


def test_a_thin_day_of_daily_bars_is_no_break() -> None:
    """One quiet day says nothing; forty of them do."""
    daily = clean.market()
    frame = clean.bars(daily, date(2024, 1, 2), date(2024, 12, 31), symbols=1)
    days = frame["opened_at"].dt.date().to_list()

    assert broken(times(frame, 0.02, days[100]), daily) == []
    assert broken(times(frame, 0.02, days[100], days[140]), daily) == [("S0", days[100], 1), ("S0", days[141], 1)]


def test_a_market_without_volume_has_no_breaks() -> None:
    """An index or a currency may come with zeros or nulls."""
    assert broken(BARS.with_columns(volume=pl.lit(0.0))) == []
    assert broken(BARS.with_columns(volume=pl.lit(None, pl.Float64))) == []
