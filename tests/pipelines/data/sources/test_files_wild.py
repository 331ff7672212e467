"""What spreadsheets, portals and vendors write: each beside the bars that a person reads in it."""

from pathlib import Path
from typing import NamedTuple

import pytest

from domain.error import UnreadableFile
from domain.market import Market
from pipelines.data.sources import files
from tests.pipelines.data.sources.shelf import at, bar, crypto, equity, fx


class Wild(NamedTuple):
    """A file as it is found, the market it goes into, and its bars."""

    name: str
    text: str
    market: Market
    bars: list[tuple[object, ...]]


def day(symbol: str, date: str, *numbers: float | None) -> tuple[object, ...]:
    """Write the bar of a winter's session in New York, 14:30Z to 21:00Z."""
    return (symbol, at(f"{date} 14:30"), at(f"{date} 21:00"), *numbers)


def minute(symbol: str, opened_at: str, *numbers: float) -> tuple[object, ...]:
    """Write the bar of one minute."""
    return (symbol, at(opened_at), at(f"{opened_at[:-1]}{int(opened_at[-1]) + 1}"), *numbers)


WILD = {
    "a spreadsheet with decimal commas, BOM and CRLF": Wild(
        "SAP.csv",
        "\ufeffDate;Open;High;Low;Close;Volume\r\n02.01.2020;1.234,50;1.250,00;1.230,25;1.240,00;1.234.567\r\n"
        "03.01.2020;1.240,00;1.251;0,25;1.241,5;34.567\r\n",
        equity("1d"),
        [
            day("SAP", "2020-01-02", 1234.5, 1250, 1230.25, 1240, 1234567),
            day("SAP", "2020-01-03", 1240, 1251, 0.25, 1241.5, 34567),
        ],
    ),
    "a spreadsheet whose commas all stand before three digits": Wild(
        "USDJPY.csv",
        "Date;Open;High;Low;Close;Volume\n2020-01-02;109,123;109,250;109,100;109,200;1234\n",
        equity("1d"),
        [day("USDJPY", "2020-01-02", 109.123, 109.25, 109.1, 109.2, 1234)],
    ),
    "thousands in quotes": Wild(
        "AAA.csv",
        'Date,Open,High,Low,Close,Volume\n2020-01-02,"1,234","1,250","1,200","1,240","1,234,567"\n',
        equity("1d"),
        [day("AAA", "2020-01-02", 1234, 1250, 1200, 1240, 1234567)],
    ),
    "blanks and apostrophes between thousands": Wild(
        "AAA.csv",
        "sep=;\nDate;Open;High;Low;Close;Volume\n2020-01-02;1'234.5;1 250.0;1\u00a0200.25;1'240.0;1 234 567.0\n",
        equity("1d"),
        [day("AAA", "2020-01-02", 1234.5, 1250, 1200.25, 1240, 1234567)],
    ),
    "Investing.com": Wild(
        "AAPL Historical Data (1).csv",
        '\ufeff"Date","Price","Open","High","Low","Vol.","Change %"\n'
        '"Jan 06, 2020","1,299.80","1,293.79","1,299.96","1,292.75","118.39M","0.80%"\n'
        '"Jan 03, 2020","297.43","297.15","300.58","296.50","146.54K","-0.97%"\n'
        '"Jan 02, 2020","300.35","296.24","300.60","295.19","-","2.28%"\n',
        equity("1d"),
        [
            day("AAPL", "2020-01-06", 1293.79, 1299.96, 1292.75, 1299.8, 118_390_000),
            day("AAPL", "2020-01-03", 297.15, 300.58, 296.5, 297.43, 146_540),
            day("AAPL", "2020-01-02", 296.24, 300.6, 295.19, 300.35, None),
        ],
    ),
    "NASDAQ, the first week of a year": Wild(
        "AAPL.csv",
        "Date,Close/Last,Volume,Open,High,Low\n01/06/2020,$299.80,29644640,$293.79,$299.96,$292.75\n"
        "01/03/2020,$297.43,36633880,$297.15,$300.58,$296.50\n01/02/2020,$300.35,33911860,$296.24,$300.60,$295.19\n",
        equity("1d"),
        [
            day("AAPL", "2020-01-06", 293.79, 299.96, 292.75, 299.8, 29644640),
            day("AAPL", "2020-01-03", 297.15, 300.58, 296.5, 297.43, 36633880),
            day("AAPL", "2020-01-02", 296.24, 300.6, 295.19, 300.35, 33911860),
        ],
    ),
    "Stooq, a day": Wild(
        "aapl.us.txt",
        "<TICKER>,<PER>,<DATE>,<TIME>,<OPEN>,<HIGH>,<LOW>,<CLOSE>,<VOL>,<OPENINT>\n"
        "AAPL.US,D,20200102,000000,74.06,75.15,73.8,75.09,135480400,0\n",
        equity("1d"),
        [day("AAPL", "2020-01-02", 74.06, 75.15, 73.8, 75.09, 135480400)],
    ),
    "Yahoo, pasted from the page": Wild(
        "AAPL.csv",
        "Date\tOpen\tHigh\tLow\tClose*\tAdj Close**\tVolume\nJanuary 3, 2020\t74.06\t75.15\t73.8\t75.09\t74.2\t135,480,400\n"
        "January 2, 2020\tnull\tnull\tnull\tnull\tnull\tnull\n",
        equity("1d"),
        [day("AAPL", "2020-01-03", 74.06, 75.15, 73.8, 75.09, 135480400), day("AAPL", "2020-01-02", *[None] * 5)],
    ),
    "old line ends and years of two digits": Wild(
        "AAA.csv",
        "Date,Open,High,Low,Close\r1/14/20,1,2,0.5,1.5\r1/15/20,1,2,0.5,1.5\r",
        equity("1d"),
        [day("AAA", "2020-01-14", 1, 2, 0.5, 1.5, 0), day("AAA", "2020-01-15", 1, 2, 0.5, 1.5, 0)],
    ),
    "columns parted by blanks": Wild(
        "AAA.prn",
        "Date         Open   High  Low Close Volume\n2020-01-02    1.5   2.5   1    2      100\n",
        equity("1d"),
        [day("AAA", "2020-01-02", 1.5, 2.5, 1, 2, 100)],
    ),
    "CryptoDataDownload, with its address above the header": Wild(
        "Binance_BTCUSDT_1h.csv",
        "https://www.CryptoDataDownload.com\nunix,date,symbol,open,high,low,close,Volume BTC,Volume USDT,tradecount\n"
        "1586995200000,2020-04-16 00:00:00,BTC/USDT,1,2,0.5,1.5,10,15,7\n",
        crypto("1h"),
        [("BTC/USDT", at("2020-04-16 00:00"), at("2020-04-16 01:00"), 1, 2, 0.5, 1.5, 10)],
    ),
    "records, one a line": Wild(
        "BTC.jsonl",
        '{"t": 1586995200000, "o": 1, "h": 2, "l": 0.5, "c": 1.5, "v": 10}\n'
        '{"t": 1586998800000, "o": 2, "h": 3, "l": 1.5, "c": 2.5, "v": 20}\n',
        crypto("1h"),
        [
            ("BTC", at("2020-04-16 00:00"), at("2020-04-16 01:00"), 1, 2, 0.5, 1.5, 10),
            ("BTC", at("2020-04-16 01:00"), at("2020-04-16 02:00"), 2, 3, 1.5, 2.5, 20),
        ],
    ),
    "no header, date and time together": Wild(
        "AAPL_1min.txt",
        "2020-07-02 09:30:00,1,2,0.5,1.5,100\n2020-07-02 09:31:00,1.5,2,1,2,50\n",
        equity("1m"),
        [
            minute("AAPL", "2020-07-02 13:30", 1, 2, 0.5, 1.5, 100),
            minute("AAPL", "2020-07-02 13:31", 1.5, 2, 1, 2, 50),
        ],
    ),
    "no header, date and time apart": Wild(
        "AAPL.txt",
        "07/14/2020,09:30,1,2,0.5,1.5,100\n07/14/2020,09:31,1.5,2,1,2,50\n",
        equity("1m"),
        [
            minute("AAPL", "2020-07-14 13:30", 1, 2, 0.5, 1.5, 100),
            minute("AAPL", "2020-07-14 13:31", 1.5, 2, 1, 2, 50),
        ],
    ),
    "no header, the symbol first": Wild(
        "NYSE_20200102.csv",
        "AAPL,20200102,1,2,0.5,1.5,100\nBRK.B,20200102,1.5,2,1,2,50\n",
        equity("1d"),
        [day("AAPL", "2020-01-02", 1, 2, 0.5, 1.5, 100), day("BRK.B", "2020-01-02", 1.5, 2, 1, 2, 50)],
    ),
    # A terminal's clock is seven hours ahead of New York, two ahead of UTC in winter.
    "MetaTrader history, no header": Wild(
        "EURUSD60.csv",
        "2020.01.02,00:00,1.1,1.2,1,1.15,123\n2020.01.02,01:00,1.1,1.2,1,1.15,45\n",
        fx("1h"),
        [
            ("EURUSD", at("2020-01-01 22:00"), at("2020-01-01 23:00"), 1.1, 1.2, 1, 1.15, 123),
            ("EURUSD", at("2020-01-01 23:00"), at("2020-01-02 00:00"), 1.1, 1.2, 1, 1.15, 45),
        ],
    ),
    "TrueFX ticks": Wild(
        "EURUSD-2020-01.csv",
        "EUR/USD,20200102 00:00:00.123,1.5,1.75\nEUR/USD,20200102 00:00:59.456,1.25,1.5\n",
        fx("1m"),
        [minute("EUR/USD", "2020-01-02 00:00", 1.625, 1.625, 1.375, 1.375, 0)],
    ),
    "times of day as numbers": Wild(
        "BTC.csv",
        "Date,Time,Open,High,Low,Close\n20200102,0,1,2,0.5,1.5\n20200102,100,2,2,2,2\n20200102,1000,3,3,3,3\n",
        crypto("1h"),
        [
            ("BTC", at("2020-01-02 00:00"), at("2020-01-02 01:00"), 1, 2, 0.5, 1.5, 0),
            ("BTC", at("2020-01-02 01:00"), at("2020-01-02 02:00"), 2, 2, 2, 2, 0),
            ("BTC", at("2020-01-02 10:00"), at("2020-01-02 11:00"), 3, 3, 3, 3, 0),
        ],
    ),
}


@pytest.mark.parametrize("name", WILD)
def test_a_file_from_the_wild_gives_the_bars_that_a_person_reads_in_it(tmp_path: Path, name: str) -> None:
    """Values, order and times, all rows."""
    wild = WILD[name]
    path = tmp_path / wild.name
    path.write_bytes(wild.text.encode())

    bars = files.read(path, wild.market)

    assert [bar(bars, i) for i in range(bars.height)] == wild.bars


@pytest.mark.parametrize("text", ["1.234,5;1;1;1", "1,5;1.25;1;1", "1..5;1;1;1", "1,23,5;1;1;1", "5 apples;1;1;1", "1.2Q;1;1;1"])
def test_a_number_that_mixes_customs_is_refused(tmp_path: Path, text: str) -> None:
    """1.5 and 1,5 in one file cannot both be decimals; the row above has a decimal point."""
    path = tmp_path / "AAA.csv"
    path.write_text(f"Date;Open;High;Low;Close\n2020-01-02;0.5;1;1;1\n2020-01-03;{text}\n")

    with pytest.raises(UnreadableFile, match=r"AAA\.csv, line 3: .* is not a number"):
        files.read(path, equity("1d"))
