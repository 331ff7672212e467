"""The genuine market data clients and streams, unchanged but for their address, against the exchange."""

import queue
import threading
from datetime import timedelta
from decimal import Decimal

import pytest
from alpaca.common.exceptions import APIError
from alpaca.data import requests as ask
from alpaca.data.historical import CryptoHistoricalDataClient, StockHistoricalDataClient
from alpaca.data.live import CryptoDataStream, StockDataStream
from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

from pipelines.execution.matching.prices import Quote
from tests.pipelines.execution.exchange import local
from tests.pipelines.execution.exchange.local import KEYS
from tests.pipelines.execution.matching.made import MINUTE, START

COIN = "BTC/USD"
ROW = ("timestamp", "open", "high", "low", "close", "volume")


@pytest.fixture(scope="module")
def venue():
    with local.exchange() as served:
        for number in range(12):
            for symbol in ("AAA", "BBB", COIN):
                served.number = number
                served.bar((100 + number, 102 + number, 99 + number, 101 + number), volume=1000.0 + number, symbol=symbol)
        yield served


@pytest.fixture
def stocks(venue):
    return StockHistoricalDataClient(KEYS.key, KEYS.secret, url_override=venue.url)


@pytest.fixture
def coins(venue):
    return CryptoHistoricalDataClient(KEYS.key, KEYS.secret, url_override=venue.url)


def rows(bars):
    return [tuple(getattr(bar, name) for name in ROW) for bar in bars]


def lived(first, last):
    """Return what was lived through."""
    return [
        (START + number * MINUTE, 100 + number, 102 + number, 99 + number, 101 + number, 1000 + number)
        for number in range(first, last)
    ]  # fmt: skip


def test_bars_are_those_that_were_lived_through(stocks, coins):
    """Of stocks and coins, all of them or within two moments, the oldest first or the newest."""
    every = stocks.get_stock_bars(ask.StockBarsRequest(symbol_or_symbols=["AAA", "BBB"], timeframe=TimeFrame.Minute))
    assert rows(every["AAA"]) == rows(every["BBB"]) == lived(0, 12)
    some = ask.CryptoBarsRequest(
        symbol_or_symbols=COIN, timeframe=TimeFrame.Minute, start=START + 2 * MINUTE, end=START + 4 * MINUTE
    )  # fmt: skip
    assert rows(coins.get_crypto_bars(some)[COIN]) == lived(2, 5)
    newest = ask.StockBarsRequest(symbol_or_symbols="AAA", timeframe=TimeFrame.Minute, limit=3, sort="desc")
    assert rows(stocks.get_stock_bars(newest)["AAA"]) == lived(9, 12)[::-1]


def test_longer_bars_are_summed_up(stocks, coins):
    """Five minutes by hand: the first open, the highest, the lowest, the last close, all of the volume; and a day of all."""
    five = ask.StockBarsRequest(symbol_or_symbols="AAA", timeframe=TimeFrame(5, TimeFrameUnit.Minute))
    assert rows(stocks.get_stock_bars(five)["AAA"]) == [
        (START, 100, 106, 99, 105, 5010),
        (START + 5 * MINUTE, 105, 111, 104, 110, 5035),
        (START + 10 * MINUTE, 110, 113, 109, 112, 2021),
    ]  # fmt: skip
    for long in (TimeFrame.Day, TimeFrame.Week, TimeFrame(3, TimeFrameUnit.Month)):
        whole = ask.CryptoBarsRequest(symbol_or_symbols=COIN, timeframe=long)
        assert rows(coins.get_crypto_bars(whole)[COIN]) == [(START, 100, 113, 99, 112, 12066)]


def test_trades_and_quotes_of_the_past(stocks, coins):
    """What is known of them: how each bar ended."""
    when = {"start": START + 2 * MINUTE, "end": START + 4 * MINUTE}
    trades = stocks.get_stock_trades(ask.StockTradesRequest(symbol_or_symbols="AAA", **when))["AAA"]
    assert [(each.timestamp, each.price, each.size) for each in trades] == [
        (START + number * MINUTE, 100.0 + number, 999.0 + number) for number in (2, 3, 4)
    ]  # fmt: skip
    quotes = coins.get_crypto_quotes(ask.CryptoQuoteRequest(symbol_or_symbols=COIN, **when))[COIN]
    assert [(each.bid_price, each.ask_price) for each in quotes] == [(102.0, 102.0), (103.0, 103.0), (104.0, 104.0)]
    assert len(coins.get_crypto_trades(ask.CryptoTradesRequest(symbol_or_symbols=COIN, limit=2))[COIN]) == 2
    assert len(stocks.get_stock_quotes(ask.StockQuotesRequest(symbol_or_symbols="AAA"))["AAA"]) == 12
    book = coins.get_crypto_latest_orderbook(ask.CryptoLatestOrderbookRequest(symbol_or_symbols=COIN))[COIN]
    assert (book.bids[0].price, book.asks[0].price) == (112.0, 112.0)


def test_pages_are_one_answer(stocks, monkeypatch):
    """The genuine client turns them by itself."""
    monkeypatch.setattr("pipelines.execution.exchange.market.BARS_MAX", 5)
    monkeypatch.setattr("pipelines.execution.exchange.market._limit", lambda said: 5)
    every = stocks.get_stock_bars(ask.StockBarsRequest(symbol_or_symbols=["AAA", "BBB"], timeframe=TimeFrame.Minute))
    assert rows(every["AAA"]) == rows(every["BBB"]) == lived(0, 12)


def test_the_newest_of_everything(stocks, coins):
    """Bar, trade, quote and snapshot."""
    one, coin = {"symbol_or_symbols": "AAA"}, {"symbol_or_symbols": COIN}
    assert rows([stocks.get_stock_latest_bar(ask.StockLatestBarRequest(**one))["AAA"]]) == lived(11, 12)
    assert rows([coins.get_crypto_latest_bar(ask.CryptoLatestBarRequest(**coin))[COIN]]) == lived(11, 12)
    trade = stocks.get_stock_latest_trade(ask.StockLatestTradeRequest(**one))["AAA"]
    assert (trade.price, trade.timestamp) == (112.0, START + 12 * MINUTE)
    quote = coins.get_crypto_latest_quote(ask.CryptoLatestQuoteRequest(**coin))[COIN]
    assert (quote.bid_price, quote.ask_price) == (112.0, 112.0)
    assert coins.get_crypto_latest_trade(ask.CryptoLatestTradeRequest(**coin))[COIN].price == 112.0
    snapshot = stocks.get_stock_snapshot(ask.StockSnapshotRequest(**one))["AAA"]
    assert rows([snapshot.minute_bar, snapshot.daily_bar]) == [*lived(11, 12), (START, 100, 113, 99, 112, 12066)]
    assert (snapshot.previous_daily_bar, snapshot.latest_trade.price) == (None, 112.0)
    assert coins.get_crypto_snapshot(ask.CryptoSnapshotRequest(**coin))[COIN].latest_quote.ask_price == 112.0


def test_a_quote_that_was_given_is_the_newest(venue, stocks):
    """Where the exchange trades by quotes, they are told."""
    exchange = venue.floor.exchange
    exchange.quotes["BBB"] = Quote("BBB", exchange.now, Decimal("111.9"), Decimal("112.1"), Decimal(3), Decimal(4))
    told = stocks.get_stock_latest_quote(ask.StockLatestQuoteRequest(symbol_or_symbols="BBB"))["BBB"]
    del exchange.quotes["BBB"]
    assert (told.bid_price, told.ask_price, told.bid_size, told.ask_size) == (111.9, 112.1, 3.0, 4.0)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ({"symbol_or_symbols": "ZZZ", "timeframe": TimeFrame.Minute}, "invalid symbol"),
        ({"symbol_or_symbols": "AAA", "timeframe": TimeFrame(7, TimeFrameUnit.Minute)}, "lives through bars of 0:01:00"),
    ],
)
def test_what_is_not_there_is_refused(stocks, asked, sentence):
    """With a reason, as Alpaca refuses: 400."""
    with pytest.raises(APIError, match=sentence) as refused:
        stocks.get_stock_bars(ask.StockBarsRequest(**asked))
    assert refused.value.status_code == 400


def test_a_wrong_key_learns_nothing(venue):
    """Market data asks for the key, too."""
    with pytest.raises(APIError):
        StockHistoricalDataClient("PKLOCAL", "wrong", url_override=venue.url).get_stock_latest_bar(
            ask.StockLatestBarRequest(symbol_or_symbols="AAA")
        )


@pytest.mark.parametrize(
    ("kind", "path", "symbol"), [(StockDataStream, "/v2/iex", "AAA"), (CryptoDataStream, "/v1beta3/crypto/us", COIN)]
)
def test_the_streams_tell_of_every_bar(venue, kind, path, symbol):
    """And of the trade and quote that it ends with; of no symbol that was not asked for."""
    heard: queue.Queue = queue.Queue()

    async def hear(told):
        heard.put(told)

    stream = kind(KEYS.key, KEYS.secret, url_override=venue.stream.removesuffix("/stream") + path)
    stream.subscribe_bars(hear, symbol)
    stream.subscribe_trades(hear, symbol)
    stream.subscribe_quotes(hear, symbol)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    try:
        while not venue.floor.watchers:
            thread.join(0.02)
        told = []
        while not told:
            # Until the subscription is heard, bars go by.
            venue.bar((50, 52, 49, 51), volume=7.0, symbol="BBB")
            venue.bar((50, 52, 49, 51), volume=7.0, symbol=symbol)
            thread.join(0.1)
            while not heard.empty():
                told.append(heard.get())
    finally:
        stream.stop()
        thread.join(20)
    bar, trade, quote = told[:3]
    at = bar.timestamp + timedelta(minutes=1)
    assert {each.symbol for each in told} == {symbol}
    assert (bar.open, bar.high, bar.low, bar.close, bar.volume) == (50, 52, 49, 51, 7)
    assert (trade.price, trade.size, trade.timestamp) == (51, 7, at)
    assert (quote.bid_price, quote.ask_price, quote.timestamp) == (51, 51, at)
