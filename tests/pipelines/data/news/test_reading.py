"""Tests of reading headlines: which column is which, and that a mere date is never known before its day is over."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from domain.error import NoData, UnreadableFile
from pipelines.data import news
from pipelines.data.news import entities, reading
from pipelines.store import Store
from tests.features.panels import DATA
from tests.pipelines.data.news.test_join import MARKET, PARAMS


def written(folder: Path, text: str) -> Path:
    """Write a CSV."""
    path = folder / "wire.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_columns_are_known_by_what_files_call_them(tmp_path: Path) -> None:
    """Offsets are believed, entities of HTML are read, several tickers make several rows."""
    path = written(tmp_path, 'Title,Published_At,Tickers\n"A &amp; B merge",2015-03-09T10:00:00-04:00,"a, B"\n')

    table, skipped = reading.read(path, MARKET, 30.0)

    assert table["symbol"].to_list() == ["A", "B"]
    assert table["headline"].unique().to_list() == ["A & B merge"]
    assert table["event_at"][0] == datetime(2015, 3, 9, 14, 0, tzinfo=UTC)
    assert table["known_at"][0] == datetime(2015, 3, 9, 14, 0, 30, tzinfo=UTC)
    assert (table["source"][0], skipped) == ("wire", 0)


def test_a_date_is_known_at_the_end_of_its_day(tmp_path: Path) -> None:
    """By the market's clock, in winter and on the days of 23 and of 25 hours."""
    path = written(tmp_path, "headline,date\nx,2015-01-05\ny,2015-03-08\nz,2015-11-01\n")

    table = reading.read(path, MARKET)[0]

    assert table["dated"].all()
    assert [at.replace(microsecond=0) for at in table["known_at"]] == [
        datetime(2015, 1, 6, 4, 59, 59, tzinfo=UTC), datetime(2015, 3, 9, 3, 59, 59, tzinfo=UTC),
        datetime(2015, 11, 2, 4, 59, 59, tzinfo=UTC)
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["news_headlines", "news_market"])
def test_no_recorded_midnight_is_known_before_its_day_is_over(name: str) -> None:
    """The trap of the recorded files: every stamp at 00:00 New York waits, every other is known at once."""
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"real headlines are not at hand: {path} does not exist (set NIGHTSHIFT_DATA)")

    table = reading.read(path, MARKET)[0].with_columns(local=pl.col("event_at").dt.convert_time_zone("America/New_York"))

    midnight = (pl.col("local").dt.hour() == 0) & (pl.col("local").dt.minute() == 0)
    waits = pl.col("known_at") - pl.col("event_at")
    assert table.filter(midnight).select((waits >= pl.duration(hours=22, minutes=59)).all()).item()
    assert table.filter(~midnight).select((waits == pl.duration(seconds=0)).all()).item()
    assert table.filter(midnight).height == {"news_headlines": 5, "news_market": table.height}[name]


def test_the_same_file_twice_changes_nothing(tmp_path: Path) -> None:
    """Headlines without symbols are linked by names, scored, and stored once."""
    path = written(
        tmp_path, "headline,ts\nAgilent beats estimates,2015-03-09 10:00\nMarkets fall,2015-03-09 11:00\n,2015-03-09 12:00\n"
    )
    store, linked = Store(tmp_path / "store"), entities.build(pl.DataFrame({"symbol": ["A"], "name": ["Agilent Inc"]}))

    first, again = (news.store_file(path, MARKET, PARAMS, store, linked) for _ in range(2))

    assert first == again
    assert (first.rows, first.symbols, first.unnamed, first.skipped) == (2, 1, 1, 1)
    stored = store.read("news").sort("event_at")
    assert stored["symbol"].to_list() == ["A", ""]
    assert stored["sentiment"][0] > 0.5
    assert stored["sentiment"][1] < 0.0


@pytest.mark.parametrize(
    ("text", "error", "said"),
    [
        ("words,ts\nx,2015-01-05\n", UnreadableFile, "none is the headline: one must be called headline or title or text"),
        ("headline,when\nx,2015-01-05\n", UnreadableFile, "none is its time"),
        ("headline,ts\nx,soon\n", UnreadableFile, "row 1: 'soon' in column 'ts' is not a date or time"),
        ("headline,ts\n,2015-01-05\n", NoData, "its 1 rows have none"),
    ],
)
def test_a_file_that_is_something_else_is_one_sentence(tmp_path: Path, text: str, error: type[Exception], said: str) -> None:
    """What was asked, what was found, what would be right."""
    with pytest.raises(error, match=said):
        reading.read(written(tmp_path, text), MARKET)
