"""Ticks: single trades and quotes of real files, as their vendors wrote them."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from domain.error import UnreadableFile
from pipelines.data.sources.files import ticks
from pipelines.data.sources.files.ticks import Ticks
from pipelines.store import TABLES
from tests.pipelines.data.sources import shelf


def read(name: str, calendar: str = "crypto") -> Ticks:
    """Return the ticks of a shared file."""
    found = ticks.read(shelf.real(name), shelf.fx("1m") if calendar == "fx" else shelf.crypto("1m"))
    assert found is not None
    return found


def test_a_receiver_whose_clock_runs_behind_knows_no_print_before_it_happened() -> None:
    """A recording of 2024 hears trades 1.27 s before they happen; put right, the fastest takes no time, the slowest 0.22 s."""
    found = read("ticks_crypto_trades.parquet").trades

    late = (found["known_at"] - found["event_at"]).dt.total_microseconds()
    assert late.min() == 0
    assert late.max() == 216_198
    assert found.schema == TABLES["trades"].schema
    assert found["side"].value_counts().sort("side").rows() == [("buy", 4103), ("sell", 5654)]
    assert found.row(0, named=True)["trade_id"] == "3735683259"


def test_the_raw_recording_holds_the_same_trades_and_puts_its_quotes_right_too() -> None:
    """Quotes carry no time of the exchange: the trades beside them say what the clock was off by."""
    raw, trades, quotes = (
        read("raw/binance_ws/btcusdt_20240808.gz"),
        read("ticks_crypto_trades.parquet"),
        read("ticks_crypto_quotes.parquet"),
    )

    assert raw.trades.equals(trades.trades)
    assert raw.quotes.drop("event_at", "known_at").equals(quotes.quotes.drop("event_at", "known_at"))
    assert set(raw.quotes["event_at"] - quotes.quotes["event_at"]) == {timedelta(microseconds=1_274_291)}


def test_quotes_of_one_moment_are_told_apart_by_their_place() -> None:
    """HistData has no ids: the file read again, or a longer one, names the same quotes."""
    once, raw = read("ticks_fx_quotes.parquet", "fx").quotes, read("raw/fx_csv/histdata_EURUSD_T_20200101.csv", "fx").quotes

    assert once.select("event_at", "bid", "ask", "sequence").equals(raw.select("event_at", "bid", "ask", "sequence"))
    assert raw.height == 9500
    assert raw["event_at"][0] == datetime(2020, 1, 1, 22, 0, 0, 65_000, tzinfo=UTC)


def test_freqtrades_trades_keep_their_ids_and_sides() -> None:
    """Rows of time, id, type, side, price, amount and cost."""
    found = read("raw/freqtrade/XRP_ETH-trades.json.gz").trades

    first = found.row(0, named=True)
    assert found.height == 12_477
    assert (first["trade_id"], first["side"], first["price"], first["size"]) == ("13519807", "sell", 0.00141342, 23.0)


def test_trades_without_ids_get_one_from_their_moment() -> None:
    """Kraken's CSV has three prints at 1672533909, two of them alike, and all three happened."""
    found = read("raw/freqtrade/BCHEUR.csv").trades

    same = found.filter(pl.col("event_at") == datetime.fromtimestamp(1_672_533_909, UTC))
    assert same["trade_id"].to_list() == ["#0000", "#0001", "#0002"]
    assert same["size"].to_list() == [0.05, 0.55555555, 0.05]


def test_leans_ticks_lie_where_another_brokers_minutes_are() -> None:
    """FXCM's ticks and Oanda's minute bars of 2014-05-04: two vendors, one market."""
    found = read("raw/lean/Data/forex/fxcm/tick/eurusd/20140504_quote.zip", "fx").quotes

    assert found.height == 8_025
    assert found["bid"].is_between(1.38, 1.39).all()
    # The vendor printed crossed quotes, and they stay as printed.
    assert found.filter(pl.col("ask") < pl.col("bid")).height == 174


@pytest.mark.parametrize("name", ["equities_1m_2019.parquet", "raw/lean/Data/crypto/coinbase/minute/btcusd/20161007_trade.zip"])
def test_bars_are_no_ticks(name: str) -> None:
    """They are for the reader of bars."""
    assert ticks.read(shelf.real(name), shelf.equity("1m")) is None


def test_sides_are_read_as_exchanges_write_them(tmp_path: Path) -> None:
    """Of Binance's columns one says whether the buyer was the one who waited."""
    path = tmp_path / "BTCUSDT-trades.csv"
    path.write_text("id,price,qty,time,is_buyer_maker\n7,10.5,2,1723161255342,True\n8,10.6,1,1723161255343,False\n")

    found = ticks.read(path, shelf.crypto("1m"))

    assert found is not None
    assert found.trades.select("symbol", "trade_id", "side", "price", "size").rows() == [
        ("BTCUSDT", "7", "sell", 10.5, 2.0), ("BTCUSDT", "8", "buy", 10.6, 1.0),
    ]  # fmt: skip


def test_a_decimal_comma_and_points_of_a_broker_are_prices(tmp_path: Path) -> None:
    """Quotes become prices as bars do."""
    path = tmp_path / "EURUSD_ticks.csv"
    path.write_text("time;bid;ask\n2020-01-02 10:00:00.100;1,12120;1,12125\n2020-01-02 10:00:00.200;1,12121;1,12127\n")

    found = ticks.read(path, shelf.fx("1m"))

    assert found is not None
    assert found.quotes["bid"].to_list() == [1.1212, 1.12121]


def test_a_broken_line_of_a_recording_is_named(tmp_path: Path) -> None:
    """Half a message is no message."""
    path = tmp_path / "stream.txt"
    path.write_text('1723161254087896568 {"stream":"btcusdt@trade","data":{}\n')

    with pytest.raises(UnreadableFile, match="line 1"):
        ticks.read(path, shelf.crypto("1m"))
