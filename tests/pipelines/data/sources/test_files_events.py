"""Events: actions and listings as people keep them in files."""

from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from domain.error import DataError, UnreadableFile
from pipelines.data.sources.files import events
from pipelines.store import TABLES
from tests.pipelines.data.sources import shelf

STOCKS = shelf.equity("1d")


def written(folder: Path, text: str, name: str = "file.csv") -> Path:
    """Return a file with that text."""
    path = folder / name
    path.write_text(text)
    return path


def test_actions_happen_at_the_open_of_their_ex_date(tmp_path: Path) -> None:
    """Apple's split of the 31st of August 2020, and a dividend told a fortnight before."""
    path = written(
        tmp_path,
        "symbol,ex_date,kind,value,declared\nAAPL,2020-08-31,Split,4,2020-07-30\nAAPL,2020-11-06,dividend,0.205,2020-10-29\n",
    )

    found = events.read(path, STOCKS)["actions"]

    assert found.schema == TABLES["actions"].schema
    assert found.select("kind", "value").rows() == [("split", 4.0), ("dividend", 0.205)]
    assert found["event_at"].to_list() == [datetime(2020, 8, 31, 13, 30, tzinfo=UTC), datetime(2020, 11, 6, 14, 30, tzinfo=UTC)]
    assert found["known_at"][0] == datetime(2020, 7, 30, 13, 30, tzinfo=UTC)


def test_a_day_without_a_session_is_the_next_one(tmp_path: Path) -> None:
    """An ex-date on a Saturday trades ex on Monday; a moment with a time of day stays what it is."""
    path = written(tmp_path, "ticker,date,type,amount\nABC,2024-03-09,dividend,1\nABC,2024-03-12 16:00:00,symbol change,\n")

    with pytest.raises(DataError, match="symbol_change of 'ABC'"):
        events.read(path, STOCKS)
    path = written(tmp_path, "ticker,date,type,amount\nABC,2024-03-09,dividend,1\nABC,2024-03-12 12:00:00,dividend,2\n")

    found = events.read(path, STOCKS)["actions"]

    assert found["event_at"].to_list() == [datetime(2024, 3, 11, 13, 30, tzinfo=UTC), datetime(2024, 3, 12, 16, tzinfo=UTC)]


def test_a_change_of_symbol_names_the_other(tmp_path: Path) -> None:
    """FB became META on the 9th of June 2022."""
    path = written(tmp_path, "symbol,ex_date,kind,value,new_symbol\nFB,2022-06-09,symbol_change,,META\n")

    found = events.read(path, STOCKS)["actions"].row(0, named=True)

    assert (found["symbol"], found["other"], found["value"], found["known_at"]) == ("FB", "META", None, found["event_at"])


def test_listings_come_a_row_a_symbol_or_a_row_an_event(tmp_path: Path) -> None:
    """Still listed ones have no second day."""
    wide = events.read(
        written(tmp_path, "symbol,listed,delisted,sector\nAAA,2001-01-03,2005-03-01,Energy\nBBB,2004-05-03,,\n"), STOCKS
    )["listings"]
    long = events.read(
        written(tmp_path, "symbol,date,kind,sector\nAAA,2001-01-03,listed,Energy\nAAA,2005-03-01,delisted,Energy\n"), STOCKS
    )["listings"]

    assert wide.select("symbol", "kind").rows() == [("AAA", "listed"), ("BBB", "listed"), ("AAA", "delisted")]
    assert wide.filter(symbol="AAA").equals(long)
    assert wide.schema == TABLES["listings"].schema


def test_a_kind_that_no_listing_has_is_refused(tmp_path: Path) -> None:
    """With those that there are."""
    with pytest.raises(UnreadableFile, match="kind 'halted': they are listed, delisted, sector"):
        events.read(written(tmp_path, "symbol,date,kind\nAAA,2001-01-03,halted\n"), STOCKS)


def test_parquet_is_read_with_its_types(tmp_path: Path) -> None:
    """Days as dates, values as numbers."""
    path = tmp_path / "actions.parquet"
    frame = pl.DataFrame({"symbol": ["A"], "ex_date": [date(2024, 3, 12)], "kind": ["dividend"], "value": [1.5]})
    frame.write_parquet(path)

    assert events.read(path, STOCKS)["actions"]["event_at"][0] == datetime(2024, 3, 12, 13, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    "name",
    [
        "equities_1m_2019.parquet",
        "raw/freqtrade/BCHEUR.csv",
        "raw/freqtrade/XRP_ETH-trades.json.gz",
        "raw/yahoo_csv/AAPL.csv",
        "raw/other_csv",
    ],
)
def test_files_about_something_else_are_left_to_other_readers(name: str) -> None:
    """Bars and ticks have neither kinds nor days of listing."""
    assert events.read(shelf.real(name), STOCKS) == {}


def test_bars_that_say_what_kind_each_symbol_is_are_no_listings() -> None:
    """The longest recorded history tells stocks from funds in a column beside the prices."""
    assert events.read(shelf.real("equities_daily_long.parquet"), STOCKS) == {}
