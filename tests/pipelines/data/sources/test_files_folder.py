"""Folders: bars that several files share, and bars that several files repeat."""

from pathlib import Path

import pytest

from domain.error import UnreadableFile
from pipelines.data.sources import files
from tests.pipelines.data.sources.shelf import at, bar, crypto, equity, fx, real

HEADER = "date,open,high,low,close,volume"


def write(path: Path, *rows: str) -> None:
    """Write bars as text."""
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join([HEADER, *rows]))


def test_a_bar_that_two_files_share_is_summed_from_both(tmp_path: Path) -> None:
    """One file a month: the day of 17:00 to 17:00 New York that opens on the 30th of April has hours of both."""
    write(tmp_path / "EURUSD_2024-04.csv", "2024-04-30T22:00Z,1,5,1,2,10", "2024-04-30T23:00Z,2,3,2,3,20")
    write(tmp_path / "EURUSD_2024-05.csv", "2024-05-01T00:00Z,3,4,0.5,4,30", "2024-05-01T01:00Z,4,4,4,1.5,40")

    bars = files.read(tmp_path, fx("1d"))

    assert bars.height == 1
    assert bar(bars, 0) == ("EURUSD", at("2024-04-30 21:00"), at("2024-05-01 21:00"), 1, 5, 0.5, 1.5, 100)


def test_the_real_files_of_two_hours_make_bars_of_four() -> None:
    """Three files of Bitfinex, from midnight to 06:00: the second bar has the last of them only; 13763 is the first number."""
    bars = files.read(real("raw/bitfinex_json"), crypto("4h"))

    assert bars["opened_at"].to_list() == [at("2018-01-01 00:00"), at("2018-01-01 04:00")]
    assert (bars["open"][0], bars["close"][1]) == (13763, 13501)


def test_downloads_that_overlap_are_counted_once(tmp_path: Path) -> None:
    """The same file twice, one that begins where another has not ended, and a line that comes twice in one."""
    minutes = [f"2024-03-05 00:{minute:02d},1,2,0.5,1.5,10" for minute in range(10)]
    write(tmp_path / "BTC.csv", *minutes[:7], minutes[6])
    write(tmp_path / "BTC (1).csv", *minutes[:7])
    write(tmp_path / "BTC_2024.csv", *minutes[3:])

    bars = files.read(tmp_path, crypto("5m"))

    assert bars["symbol"].to_list() == ["BTC", "BTC"]
    assert bars["volume"].to_list() == [50, 50]


def test_ticks_that_are_alike_count_each_unless_two_files_have_them(tmp_path: Path) -> None:
    """Two trades of one moment, price and size are two trades; the file that was loaded twice has no others."""
    for name in ("BTC-trades.csv", "BTC-trades (1).csv"):
        (tmp_path / name).write_text("timestamp,price,amount\n1586995200123,2,5\n1586995200123,2,5\n1586995201000,3,1\n")

    bars = files.read(tmp_path, crypto("1m"))

    assert bars.select("open", "close", "volume", "trades").rows() == [(2, 3, 11, 3)]


def test_downloads_that_contradict_each_other_are_not_summed(tmp_path: Path) -> None:
    """Which of two volumes is right, nobody knows: the sentence names both files."""
    write(tmp_path / "BTC.csv", "2024-03-05 00:00,1,2,0.5,1.5,10", "2024-03-05 00:01,1,2,0.5,1.5,10")
    write(tmp_path / "BTC (1).csv", "2024-03-05 00:01,1,2,0.5,1.5,11", "2024-03-05 00:02,1,2,0.5,1.5,10")

    with pytest.raises(UnreadableFile, match=r"BTC \(1\)\.csv and .*BTC\.csv has more than one bar of BTC at 2024-03-05 00:01"):
        files.read(tmp_path, crypto("5m"))


def test_bars_of_the_markets_length_come_before_sums_of_finer_ones(tmp_path: Path) -> None:
    """The hour is in both files and published; of the hour after there are only minutes."""
    write(tmp_path / "BTC_1h.csv", "2024-03-05 00:00,1,9,0.5,1.5,77")
    write(tmp_path / "BTC_1m.csv", *[f"2024-03-05 0{at // 60}:{at % 60:02d},1,2,0.5,1.5,10" for at in range(50, 70)])

    bars = files.read(tmp_path, crypto("1h"))

    assert bars.select("opened_at", "high", "volume").rows() == [
        (at("2024-03-05 00:00"), 9, 77),
        (at("2024-03-05 01:00"), 2, 100),
    ]


def test_a_real_folder_of_days_and_minutes_has_every_session_once() -> None:
    """SPY by the day, 283 lines, and by 15 minutes of the same sessions; AAPL by the minute, five sessions."""
    bars = files.read(real("raw/alphavantage_csv"), equity("1d"))

    assert bars.select("symbol", "opened_at").is_unique().all()
    assert bars["symbol"].value_counts(sort=True).rows() == [("SPY", 283), ("AAPL", 5)]


def test_marks_of_a_future_are_left_out_beside_its_trades(tmp_path: Path) -> None:
    """Freqtrade keeps both under one pair; alone the marks are bars."""
    for kind, high in (("futures", 2), ("mark", 3)):
        (tmp_path / f"XRP_USDT_USDT-1h-{kind}.json").write_text(f"[[1586995200000,1,{high},0.5,1.5,4]]")

    both = files.read(tmp_path, crypto("1h"))
    marks = files.read(tmp_path / "XRP_USDT_USDT-1h-mark.json", crypto("1h"))

    assert both["high"].to_list() == [2]
    assert marks["high"].to_list() == [3]


def test_a_file_that_is_named_from_within_its_folder_has_the_folders_symbol(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same bars under the same name, wherever the command was given."""
    write(tmp_path / "LTCUSD" / "2024-03-05.csv", "2024-03-05 00:00,1,2,0.5,1.5,10")
    monkeypatch.chdir(tmp_path / "LTCUSD")

    bars = files.read(Path("2024-03-05.csv"), crypto("1h"))

    assert bars["symbol"].to_list() == ["LTCUSD"]
