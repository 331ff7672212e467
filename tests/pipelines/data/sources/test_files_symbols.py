"""The symbol that a file's name stands for."""

from pathlib import PurePath

import pytest

from pipelines.data.sources.files import symbols
from tests.pipelines.data.sources.shelf import crypto, market

NAMES = {
    "AAPL_data.csv": "AAPL",
    "AAPL_data_2017_titlecase.csv": "AAPL",
    "aapl.us.txt": "AAPL",
    "brk-b.us.txt": "BRK-B",
    "min.us.txt": "MIN",
    "SPY_daily.csv": "SPY",
    "SPY_15min.csv": "SPY",
    "AAPL_1min.csv": "AAPL",
    "XLRE_5min.csv": "XLRE",
    "yhoo-1996-2014.txt": "YHOO",
    "EURUSD.csv": "EURUSD",
    "GBPUSDd1.csv": "GBPUSD",
    "XAUUSDh4.csv": "XAUUSD",
    "eurusdM15.csv": "EURUSD",
    "EURUSD_H1_201201.csv": "EURUSD",
    "histdata_EURUSD_T_20200101.csv": "EURUSD",
    "DAT_ASCII_EURUSD_M1_2020.csv": "EURUSD",
    "HISTDATA_COM_ASCII_EURUSD_T202001.zip": "EURUSD",
    "ADABTC-1m-2021-11-28.csv": "ADABTC",
    "BTCUSDT-1h-2021-11.zip": "BTCUSDT",
    "ETH_BTC-5m.feather": "ETH_BTC",
    "XRP_ETH-trades.json.gz": "XRP_ETH",
    "XRP_USDT_USDT-1h-futures.json.gz": "XRP_USDT_USDT",
    "UNITTEST_BTC-8m.json.gz": "UNITTEST_BTC",
    "BCHEUR.csv": "BCHEUR",
    "BTC-USD.csv": "BTC-USD",
    "^GSPC.csv": "^GSPC",
    "4063-T-1d-bad-stock-split-fixed.csv": "4063-T",
    "8TRA-DE-1d-missing-div-adjust.csv": "8TRA-DE",
    "EA-15m-no-bad-divs.csv": "EA",
    "7203.csv": "7203",
    "20200101_EURUSD.csv": "EURUSD",
    "BTCUSD/Candles_1m/2018/raw/01/18-01-01 00-00-00.json": "BTCUSD",
    "eurusd/20140501_quote.zip": "EURUSD",
    "data.csv": "DATA",
    "AAPL/daily.csv": "AAPL",
    "GE/csv/data.csv": "GE",
    "TSLA/1d/2020.csv": "TSLA",
    "AAPL.zip/2024-01.csv": "AAPL",
    "MIN.csv": "MIN",
    "AAPL (1).csv": "AAPL",
    "AAPL - Copy.csv": "AAPL",
    "AAPL Historical Data.csv": "AAPL",
    "stocks/symbol=AAPL/date=2024-03-05/part-0.parquet": "AAPL",
    "EURUSD=X.csv": "EURUSD=X",
    "7203.T.csv": "7203.T",
    "EURUSD60.csv": "EURUSD",
    "XBTUSD_1440.csv": "XBTUSD",
    "DAT_NT_EURUSD_M1_2020.csv": "EURUSD",
    "EURUSD_H1_202001020000_202012312300.csv": "EURUSD",
    "EURUSD_Candlestick_1_Hour_BID_01.01.2020-31.01.2020.csv": "EURUSD",
    "Binance_BTCUSDT_1h.csv": "BTCUSDT",
    "AAPL.csv.bz2": "AAPL",
    "\udce9tat.csv": "\u00c9TAT",
}


@pytest.mark.parametrize("name", NAMES)
def test_a_files_name_tells_its_symbol(name: str) -> None:
    """Names as they are found in the wild, each beside the symbol that a person would read in it."""
    found = symbols.of(PurePath(name), crypto("1m"))

    assert found == NAMES[name]


def test_a_date_for_a_name_means_the_only_symbol_there_is() -> None:
    """A universe of one leaves no choice."""
    found = symbols.of(PurePath("2018/01/18-01-01.json"), market("crypto", "24/7", "1m", ("LTCUSD",)))

    assert found == "LTCUSD"
