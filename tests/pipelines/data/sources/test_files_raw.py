"""Every raw file of the shared data, against bars read off it by eye."""

from typing import NamedTuple

import polars as pl
import pytest

from domain.bar import BAR_SCHEMA
from domain.market import Market
from pipelines.data.sources import files
from tests.pipelines.data.sources.shelf import at, bar, crypto, equity, fx, real


class Expected(NamedTuple):
    """A file, the market it goes into, how many bars it makes, and the first and last of them."""

    name: str
    market: Market
    rows: int
    first: tuple[object, ...]
    last: tuple[object, ...]


def row(symbol: str, opened_at: str, event_at: str, *numbers: float) -> tuple[object, ...]:
    """Write one expected bar."""
    return (symbol, at(opened_at), at(event_at), *numbers)


# The numbers stand in the files as text. Sessions of New York: 09:30 to 16:00, that is 14:30Z to 21:00Z in winter, an hour
# earlier in summer; until September 1985 they began at 10:00.
EXPECTED = [
    Expected(
        "raw/kaggle_csv/AAPL_data.csv", equity("1d"), 1259,
        row("AAPL", "2013-02-08 14:30", "2013-02-08 21:00", 67.7142, 68.4014, 66.8928, 67.8542, 158168416),
        row("AAPL", "2018-02-07 14:30", "2018-02-07 21:00", 163.085, 163.4, 159.0685, 159.54, 51608580),
    ),
    Expected(
        "raw/kaggle_csv/AAPL_data_2017_titlecase.csv", equity("1d"), 1258,
        row("AAPL", "2012-08-13 13:30", "2012-08-13 20:00", 89.06, 90.0, 89.04, 90.0, 69707463),
        row("AAPL", "2017-08-11 13:30", "2017-08-11 20:00", 156.6, 158.57, 156.07, 157.48, 26257096),
    ),
    Expected(
        "raw/kaggle_huge_txt/aapl.us.txt", equity("1d"), 8364,
        row("AAPL", "1984-09-07 14:00", "1984-09-07 20:00", 0.42388, 0.42902, 0.41874, 0.42388, 23220030),
        row("AAPL", "2017-11-10 14:30", "2017-11-10 21:00", 175.11, 175.38, 174.27, 174.67, 25130494),
    ),
    Expected(
        "raw/kaggle_huge_txt/spy.us.txt", equity("1d"), 3201,
        row("SPY", "2005-02-25 14:30", "2005-02-25 21:00", 104.77, 106, 104.68, 105.79, 70221808),
        row("SPY", "2017-11-10 14:30", "2017-11-10 21:00", 257.73, 258.21, 257.37, 258.09, 59862364),
    ),
    Expected(
        "raw/yahoo_csv/AAPL.csv", equity("1d"), 1258,
        row("AAPL", "2012-09-04 13:30", "2012-09-04 20:00", 95.108574, 96.44857, 94.928574, 96.424286, 91973000),
        row("AAPL", "2017-09-01 13:30", "2017-09-01 20:00", 164.800003, 164.940002, 163.630005, 164.050003, 16552800),
    ),
    Expected(
        "raw/yahoo_csv/SPY.csv", equity("1d"), 252,
        row("SPY", "2019-01-02 14:30", "2019-01-02 21:00", 245.97999572753906, 251.2100067138672, 245.9499969482422,
            250.17999267578125, 126925200),
        row("SPY", "2019-12-31 14:30", "2019-12-31 21:00", 320.5299987792969, 322.1300048828125, 320.1499938964844,
            321.8599853515625, 57077300),
    ),
    Expected(
        "raw/yahoo_csv/yhoo-1996-2014.txt", equity("1d"), 4713,
        row("YHOO", "1996-04-12 13:30", "1996-04-12 20:00", 1.052083, 1.791667, 1.020833, 1.375, 408720000),
        row("YHOO", "2014-12-31 14:30", "2014-12-31 21:00", 51.540001, 51.68, 50.459999, 50.509998, 9305000),
    ),
    Expected(
        "raw/alphavantage_csv/SPY_daily.csv", equity("1d"), 283,
        row("SPY", "2019-02-15 14:30", "2019-02-15 21:00", 276.36, 277.41, 276.13, 277.37, 97088659),
        row("SPY", "2018-01-02 14:30", "2018-01-02 21:00", 267.84, 268.81, 267.4, 268.77, 86655749),
    ),
    Expected(
        "raw/alphavantage_csv/AAPL_1min.csv", equity("1m"), 1948,
        row("AAPL", "2019-02-15 20:59", "2019-02-15 21:00", 170.23, 170.42, 170.21, 170.38, 427888),
        row("AAPL", "2019-02-11 14:30", "2019-02-11 14:31", 171.14, 171.2, 170.7, 170.97, 619925),
    ),
    Expected(
        "raw/alphavantage_csv/SPY_15min.csv", equity("15m"), 780,
        row("SPY", "2019-02-15 20:45", "2019-02-15 21:00", 277.12, 277.4, 276.97, 277.39, 11236307),
        row("SPY", "2019-01-04 14:30", "2019-01-04 14:45", 247.58, 248.69, 247.1701, 248.44, 11766526),
    ),
    Expected(
        "raw/pystock/20150324.tar.gz", equity("1d"), 12059,
        row("ISL", "2015-03-24 13:30", "2015-03-24 20:00", 17.77, 17.85, 17.77, 17.77, 3400),
        row("ZNGA", "2015-03-23 13:30", "2015-03-23 20:00", 2.71, 2.79, 2.7, 2.76, 16164800),
    ),
    Expected(
        "raw/yfinance_bad_data/8TRA-DE-1d-missing-div-adjust.csv", equity("1d", "XETR"), 5,
        row("8TRA-DE", "2023-05-30 07:00", "2023-05-30 15:30", 19.59000015258789, 19.799999237060547, 19.270000457763672,
            19.350000381469727, 196309),
        row("8TRA-DE", "2023-06-06 07:00", "2023-06-06 15:30", 18.90999984741211, 18.950000762939453, 18.510000228881836,
            18.65999984741211, 104352),
    ),
    Expected(
        "raw/yfinance_bad_data/4063-T-1d-bad-stock-split.csv", equity("1d", "XTKS"), 22,
        row("4063-T", "2023-04-14 00:00", "2023-04-14 06:00", 4126, 4130, 4055, 4129, 7459400),
        row("4063-T", "2023-03-15 00:00", "2023-03-15 06:00", 20170, 20250, 20015, 20205, 1224400),
    ),
    Expected(
        "raw/yfinance_bad_data/ASAI-L-1h-bad-unit.csv", equity("1h", "XLON"), 20,
        row("ASAI-L", "2024-10-21 09:00", "2024-10-21 10:00", 69, 72, 67, 72, 3061),
        row("ASAI-L", "2024-10-30 14:00", "2024-10-30 15:00", 74.5, 74.5, 71.75, 71.75, 0),
    ),
    Expected(
        "raw/yfinance_bad_data/EA-15m-no-bad-divs.csv", equity("15m"), 319,
        row("EA", "2026-05-26 08:00", "2026-05-26 08:15", 170.0712, 200.8117, 170.0712, 199.85, 0),
        row("EA", "2026-06-03 18:15", "2026-06-03 18:30", 202.785003662109, 202.889999389648, 202.770004272461,
            202.770004272461, 36730),
    ),
    Expected(
        "raw/other_csv/2006-min-005.txt", equity("5m", "XETR"), 2142,
        row("OTHER_CSV", "2006-01-02 08:00", "2006-01-02 08:05", 3578.73, 3587.88, 3578.73, 3582.99, 0),
        row("OTHER_CSV", "2006-01-30 16:25", "2006-01-30 16:30", 3679.29, 3679.4, 3676.31, 3677.52, 0),
    ),
    Expected(
        "raw/other_csv/2006-min-005.txt", equity("5m", "XEUR"), 2142,
        row("OTHER_CSV", "2006-01-02 08:00", "2006-01-02 08:05", 3578.73, 3587.88, 3578.73, 3582.99, 0),
        row("OTHER_CSV", "2006-01-30 16:25", "2006-01-30 16:30", 3679.29, 3679.4, 3676.31, 3677.52, 0),
    ),
    Expected(
        "raw/other_csv/XLRE_5min.csv", equity("5m"), 16219,
        row("XLRE", "2025-05-12 13:30", "2025-05-12 13:35", 42.11, 42.14, 41.8, 41.81, 417401),
        row("XLRE", "2026-03-12 14:30", "2026-03-12 14:35", 42.17, 42.19, 42.165, 42.19, 3760),
    ),
    Expected(
        "raw/other_csv/EURUSD.csv", fx("1h"), 5000,
        row("EURUSD", "2017-04-19 09:00", "2017-04-19 10:00", 1.0716, 1.0722, 1.07083, 1.07219, 1413),
        row("EURUSD", "2018-02-07 15:00", "2018-02-07 16:00", 1.23427, 1.23444, 1.22904, 1.22904, 6143),
    ),
    # Ticks in the dress of bars: the first minute sums lines 2 to 6 of the file, the last is its last line.
    Expected(
        "raw/other_csv/ticksample.csv", equity("1m", "XEUR"), 4,
        row("TICKSAMPLE", "2015-09-23 18:57", "2015-09-23 18:58", 3067, 3067, 3066, 3066, 180 + 2 + 1 + 2 + 1),
        row("TICKSAMPLE", "2015-09-23 19:00", "2015-09-23 19:01", 3069, 3069, 3069, 3069, 1),
    ),
    Expected(
        "raw/fx_csv/GBPUSDd1.csv", fx("1d"), 2400,
        row("GBPUSD", "2012-12-03 22:00", "2012-12-04 22:00", 1.60944, 1.61303, 1.60859, 1.60999, 53379),
        row("GBPUSD", "2022-03-03 22:00", "2022-03-04 22:00", 1.3342, 1.33534, 1.32022, 1.32331, 126486),
    ),
    Expected(
        "raw/binance_klines_csv/ADABTC-1m-2021-11-28.csv", crypto("1m"), 11,
        row("ADABTC", "2021-11-28 00:00", "2021-11-28 00:01", 2.82e-05, 2.821e-05, 2.817e-05, 2.818e-05, 85342.7),
        row("ADABTC", "2021-11-28 00:10", "2021-11-28 00:11", 2.814e-05, 2.816e-05, 2.814e-05, 2.814e-05, 12248.3),
    ),
    Expected(
        "raw/bitfinex_json", crypto("1m"), 360,
        row("BITFINEX_JSON", "2018-01-01 00:00", "2018-01-01 00:01", 13763, 13788, 13752.18233851, 13753, 5.13326771),
        row("BITFINEX_JSON", "2018-01-01 05:59", "2018-01-01 06:00", 13524, 13525, 13501, 13501, 3.31054948),
    ),
    Expected(
        "raw/freqtrade/UNITTEST_BTC-8m.json.gz", crypto("1m"), 13681,
        row("UNITTEST_BTC", "2017-11-04 23:02", "2017-11-04 23:03", 0.00162008, 0.00162008, 0.00162008, 0.00162008, 108.14853839),
        row("UNITTEST_BTC", "2017-11-14 22:59", "2017-11-14 23:00", 0.00270001, 0.00270002, 0.00270001, 0.00270002, 1.94577668),
    ),
    Expected(
        "raw/freqtrade/XRP_USDT_USDT-1h-futures.json.gz", crypto("1h"), 100,
        row("XRP_USDT_USDT", "2021-11-17 01:00", "2021-11-17 02:00", 1.0801, 1.09758, 1.07654, 1.07925, 3153694.607359),
        row("XRP_USDT_USDT", "2021-11-21 04:00", "2021-11-21 05:00", 1.07685, 1.08229, 1.07552, 1.0765, 1153357.2740760001),
    ),
    # 1672531436 is 2023-01-01 00:03:56Z; no other trade fell into that minute, nor into the last.
    Expected(
        "raw/freqtrade/BCHEUR.csv", crypto("1m"), 78,
        row("BCHEUR", "2023-01-01 00:03", "2023-01-01 00:04", 90.54, 90.54, 90.54, 90.54, 1.1044842),
        row("BCHEUR", "2023-01-01 23:19", "2023-01-01 23:20", 90.53, 90.53, 90.53, 90.53, 1.0),
    ),
    Expected(
        "raw/lean/Data/crypto/coinbase/minute/btcusd/20161007_trade.zip", crypto("1m"), 1419,
        row("BTCUSD", "2016-10-07 00:00", "2016-10-07 00:01", 611.78, 611.91, 611.78, 611.9, 1.13872),
        row("BTCUSD", "2016-10-07 23:59", "2016-10-08 00:00", 618.17, 618.17, 617.98, 617.98, 0.24885568),
    ),
    Expected(
        "raw/lean/Data/crypto/coinbase/daily/btcusd_trade.zip", crypto("1d"), 1318,
        row("BTCUSD", "2014-12-01 00:00", "2014-12-02 00:00", 300, 370, 300, 370, 0.05655554),
        row("BTCUSD", "2018-08-13 00:00", "2018-08-14 00:00", 6316, 6544.99, 6139.57, 6253.67, 10178.43146644),
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    "expected", EXPECTED, ids=lambda e: f"{e.name.removeprefix('raw/')} {e.market.calendar} {e.market.timeframe}"
)
def test_a_raw_file_gives_the_bars_that_a_person_reads_off_it(expected: Expected) -> None:
    """Row count, first and last bar, in the file's own order, with nothing flagged and every column in place."""
    path = real(expected.name)

    bars = files.read(path, expected.market)

    assert dict(bars.schema) == BAR_SCHEMA
    assert bars.height == expected.rows
    assert bar(bars, 0) == expected.first
    assert bar(bars, -1) == expected.last
    assert bars["flags"].sum() == 0
    assert (bars["known_at"] == bars["event_at"]).all()


MIDDLES = [
    ("raw/lean/Data/forex/oanda/minute/eurusd/20140501_quote.zip", fx("1m"), 1363, "2014-05-01 00:00",
     (1.38676, 1.38686), (1.38686, 1.38697), (1.38669, 1.38680), (1.38686, 1.38697)),
    ("raw/lean/Data/crypto/coinbase/minute/btcusd/20180404_quote.zip", crypto("1m"), 1437, "2018-04-04 00:00",
     (7424.9, 7424.91), (7424.9, 7424.91), (7424.9, 7424.91), (7424.9, 7424.91)),
    ("raw/lean/Data/forex/fxcm/daily/eurusd.zip", fx("1d"), 3487, "2007-03-30 05:00",
     (1.33141, 1.33149), (1.34001, 1.34009), (1.32881, 1.32879), (1.33581, 1.33579)),
    # 14:00:51.815 EST is 19:00:51.815Z; lines 1 to 4 of the ticks fall into that minute, the widest middle is 1.38745.
    ("raw/lean/Data/forex/fxcm/tick/eurusd/20140504_quote.zip", fx("1m"), 547, "2014-05-04 19:00",
     (1.38700, 1.38790), (1.38700, 1.38790), (1.38698, 1.38791), (1.38700, 1.38790)),
    # The first HistData minute is 17:00 EST, 22:00Z: highest in its fourth and sixth line, lowest in its third, last the ninth.
    ("raw/fx_csv/histdata_EURUSD_T_20200101.csv", fx("1m"), 361, "2020-01-01 22:00",
     (1.1212, 1.12172), (1.1212, 1.12192), (1.12117, 1.12161), (1.1212, 1.1216)),
]  # fmt: skip


@pytest.mark.parametrize(("name", "market", "rows", "opened_at", "opens", "highs", "lows", "closes"), MIDDLES)
def test_quotes_become_bars_at_the_middle_of_bid_and_ask(
    name: str,
    market: Market,
    rows: int,
    opened_at: str,
    opens: tuple[float, float],
    highs: tuple[float, float],
    lows: tuple[float, float],
    closes: tuple[float, float],
) -> None:
    """The first bar of each quote file, from its bid and ask as they are written; quotes have no volume."""
    path = real(name)

    bars = files.read(path, market)

    assert bars.height == rows
    assert bars["opened_at"][0] == at(opened_at)
    middles = [sum(sides) / 2 for sides in (opens, highs, lows, closes)]
    assert list(bars.select("open", "high", "low", "close", "volume").row(0)) == pytest.approx([*middles, 0.0], rel=1e-12)


def test_trades_make_the_candles_that_the_exchange_publishes() -> None:
    """Freqtrade keeps one market both as trades and as one-minute candles made of them by others: 2,469 bars agree."""
    trades = files.read(real("raw/freqtrade/XRP_ETH-trades.json.gz"), crypto("1m"))
    candles = files.read(real("raw/freqtrade/XRP_ETH-1m.feather"), crypto("1m"))

    columns = ["symbol", "opened_at", "open", "high", "low", "close"]

    assert trades.select(columns).equals(candles.select(columns))
    assert trades["volume"].to_list() == pytest.approx(candles["volume"].to_list())
    assert candles.height == 2469


def test_seven_trades_in_two_seconds_are_one_bar_with_its_vwap() -> None:
    """The whole public trades list: prices 23438 and 23437.5, amounts summed by hand."""
    bars = files.read(real("raw/freqtrade/public_trades_list_simple_example.csv"), crypto("1m"))

    amounts = [0.013, 0.001, 0.196, 0.046, 0.127, 0.001, 0.001]
    paid = 23438.0 * (0.013 + 0.127) + 23437.5 * (0.001 + 0.196 + 0.046 + 0.001 + 0.001)
    assert bars.select("opened_at", "open", "high", "low", "close", "trades").row(0) == (
        at("2023-02-02 04:10"),
        23438.0,
        23438.0,
        23437.5,
        23437.5,
        7,
    )
    assert bars["volume"][0] == pytest.approx(sum(amounts))
    assert bars["vwap"][0] == pytest.approx(paid / sum(amounts))


def test_binance_counts_its_trades() -> None:
    """The ninth field of a kline."""
    bars = files.read(real("raw/binance_klines_csv/ADABTC-1m-2021-11-28.csv"), crypto("1m"))

    assert (bars["trades"][0], bars["trades"][1], bars["trades"][-1]) == (96, 34, 31)


def test_freqtrade_feather_is_read_as_its_candles_stand_in_it() -> None:
    """First and last row of the feather file, in UTC and stamped by their open."""
    bars = files.read(real("raw/freqtrade/ETH_BTC-5m.feather"), crypto("5m"))

    assert bars.height == 5760
    assert bars.select("symbol", "opened_at", "open", "high", "close").row(0) == (
        "ETH_BTC",
        at("2018-01-10 04:55"),
        0.0984,
        0.0994766,
        0.0994766,
    )
    assert bars.select("opened_at", "event_at", "open").row(-1) == (at("2018-01-30 04:50"), at("2018-01-30 04:55"), 0.10440995)


def test_lean_folder_takes_trades_before_quotes_of_the_same_day() -> None:
    """20180404 has both: the minutes are those of the trades, 1,007 of them, and 1,419 of the other day."""
    bars = files.read(real("raw/lean/Data/crypto/coinbase/minute"), crypto("1m"))

    assert bars.height == 1419 + 1007
    assert (bars["volume"] > 0).all()


def test_five_minutes_are_summed_from_one() -> None:
    """The last five lines of the Alpha Vantage file are the first five minutes of 2019-02-11, summed by hand."""
    bars = files.read(real("raw/alphavantage_csv/AAPL_1min.csv"), equity("5m"))

    volume = 619925 + 123138 + 168622 + 98896 + 86987
    assert bar(bars, 0) == ("AAPL", at("2019-02-11 14:30"), at("2019-02-11 14:35"), 171.14, 171.2, 170.3477, 170.7125, volume)
    assert bars["opened_at"].is_sorted()
    assert bars.height == pl.Series([78] * 5).sum()


def test_a_day_summed_from_minutes_is_the_session_and_nothing_around_it() -> None:
    """EA traded before and after hours; its first session opens with the 09:30 line, and its bar closes at 16:00."""
    bars = files.read(real("raw/yfinance_bad_data/EA-15m-no-bad-divs.csv"), equity("1d"))

    assert bars.height == 7
    assert bars.select("opened_at", "event_at").row(0) == (at("2026-05-26 13:30"), at("2026-05-26 20:00"))
    assert bars["open"][0] == 200.606506347656
