"""Alpaca's streams through the genuine alpaca-py, against a server on this machine that speaks their protocol."""

import asyncio
import logging
from collections.abc import Iterator
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest

from domain import clock as clocks
from domain.error import ConfigurationError, NightshiftError, ResourceError
from domain.market import Market
from pipelines.data.sources.alpaca import Access, Alpaca
from pipelines.data.sources.contract import Update
from tests.alpaca.history import KEY, SECRET
from tests.alpaca.stream import Message, Script, Stream, Talk, streaming
from tests.pipelines.data.sources import alpaca_shelf as shelf
from tests.pipelines.data.sources.alpaca_shelf import COINS, DAILY
from tests.pipelines.data.sources.contract import PATIENCE_S, LiveContract, heard

MINUTES = replace(COINS, name="coins_1m", timeframe="1m", symbols=("BTC/USD", "ETH/USD"))
STOCKS = replace(DAILY, name="us_1m", timeframe="1m")
START = datetime(2024, 3, 5, 12, tzinfo=UTC)


@dataclass
class Hand:
    """A clock that a test sets by hand, or that goes on by itself with every look."""

    at: datetime = START + timedelta(minutes=30)
    step: timedelta = timedelta(0)
    waits: list[float] = field(default_factory=list)

    def now(self) -> datetime:
        """Return the moment, and go on."""
        self.at += self.step
        return self.at

    def monotonic_ns(self) -> int:
        """Return the moment as nanoseconds."""
        return clocks.nanoseconds(self.now())

    async def pause(self, seconds: float) -> None:
        """Note a wait, and let others have their turn."""
        self.waits.append(seconds)
        await asyncio.sleep(0)


def bar(symbol: str, minute: int, kind: str = "b", **more: Any) -> Message:
    """Return a minute bar, or its correction."""
    values = {"o": 100.0 + minute, "h": 101.0 + minute, "l": 99.0 + minute, "c": 100.5 + minute, "v": 10, "n": 3, "vw": 100.25}
    return {"T": kind, "S": symbol, "t": START + timedelta(minutes=minute), **values, **more}


def article(number: int, symbols: list[str], headline: str = "Coins &amp; <b>more</b>", updated: int = 0) -> Message:
    """Return a headline."""
    created = START + timedelta(minutes=number)
    moments = {"created_at": created, "updated_at": created + timedelta(minutes=updated)}
    return {"T": "n", "id": number, "headline": headline, "symbols": symbols, "source": "benzinga", **moments}


async def prices(talk: Talk) -> None:
    """Send some of everything, to whom it was promised."""
    if talk.path.endswith("news"):
        await talk.say(article(1, ["BTCUSD", "ETHUSD", "DOGEUSD"]), article(2, ["ETHUSD"]))
    else:
        await talk.say(bar("BTC/USD", 0), bar("ETH/USD", 0))
        await talk.say({"T": "t", "S": "BTC/USD", "i": 7, "p": 1.5, "s": 0.25, "tks": "B", "t": START})
        await talk.say({"T": "q", "S": "BTC/USD", "bp": 1.0, "bs": 2.0, "ap": 3.0, "as": 4.0, "t": START})
        await talk.say(bar("BTC/USD", 1))
    await talk.wait()


def source(stream: Stream, hand: Hand, **others: object) -> Alpaca:
    """Return the source, listening to the local Alpaca."""
    access = Access(KEY, SECRET, stream_url=stream.url)
    return Alpaca(shelf.parameters(**others), access, clock=hand, pause=hand.pause)


def listened(script: Script, market: Market, count: int, hand: Hand | None = None, **others: object) -> list[Update]:
    """Return the first updates that a script makes."""
    with streaming(Stream(script)) as stream:
        return heard(source(stream, hand or Hand(), **others), market, count)


class TestAlpacaLive(LiveContract):
    """Minutes, prints, quotes and headlines of two coins."""

    @pytest.fixture
    def source(self) -> Iterator[Alpaca]:
        """Yield the source under test."""
        with streaming(Stream(prices)) as stream:
            yield source(stream, Hand(), channels=["bars", "trades", "quotes", "news"])

    @pytest.fixture
    def market(self) -> Market:
        """Return minutes of two coins."""
        return MINUTES


def test_everything_that_is_sent_is_told_once() -> None:
    """A headline about two coins of ours has two rows, though the genuine client calls a handler for each symbol."""
    updates = listened(prices, MINUTES, 8, channels=["bars", "trades", "quotes", "news"])

    by_table = {
        table: [update.row for update in updates if update.table == table] for table in ("bars", "trades", "quotes", "news")
    }
    assert [(row["symbol"], row["opened_at"], row["open"], row["trades"]) for row in by_table["bars"]] == [
        ("BTC/USD", START, 100.0, 3), ("ETH/USD", START, 100.0, 3), ("BTC/USD", START + timedelta(minutes=1), 101.0, 3),
    ]  # fmt: skip
    assert [(row["trade_id"], row["price"], row["size"], row["side"]) for row in by_table["trades"]] == [("7", 1.5, 0.25, "buy")]
    assert [(row["bid"], row["ask_size"], row["sequence"]) for row in by_table["quotes"]] == [(1.0, 4.0, 0)]
    assert sorted((row["symbol"], row["headline"]) for row in by_table["news"]) == [
        ("BTC/USD", "Coins & more"), ("ETH/USD", "Coins & more"), ("ETH/USD", "Coins & more"),
    ]  # fmt: skip


def test_each_update_has_a_moment_of_its_own() -> None:
    """By it a replay finds the order of arrival again, also on a clock that stands."""
    updates = listened(prices, MINUTES, 5, channels=["bars", "trades", "quotes"])

    assert all(one.row["known_at"] < two.row["known_at"] for one, two in pairwise(updates))
    assert updates[0].row["known_at"] == Hand().at


def test_subscriptions_name_what_the_parameters_want() -> None:
    """Corrected bars come with bars; a stock is asked of its feed, a coin's news by its name in news."""
    with streaming(Stream(prices)) as stream:
        heard(source(stream, Hand(), channels=["bars", "quotes", "news"]), MINUTES, 8 - 1)
        asked = dict(stream.subscriptions)

    both = ["BTC/USD", "ETH/USD"]
    assert asked["/v1beta3/crypto/us"] == {"bars": both, "updatedBars": both, "quotes": both}
    assert asked["/v1beta1/news"] == {"news": ["BTCUSD", "ETHUSD"]}


@pytest.mark.parametrize("feed", ["iex", "sip", "otc", "delayed_sip"])
def test_every_feed_has_its_address(feed: str) -> None:
    """Also those for which the genuine client has no word."""

    async def talk(line: Talk) -> None:
        await line.say(bar("AAPL", 0))
        await line.wait()

    with streaming(Stream(talk)) as stream:
        heard(source(stream, Hand(), feed=feed), STOCKS, 1)

        assert list(stream.opened) == [f"/v2/{feed}"]


@pytest.mark.fault("F28")
def test_a_corrected_bar_is_the_same_bar_known_later() -> None:
    """It comes half a minute after the first."""

    async def talk(line: Talk) -> None:
        await line.say(bar("AAPL", 0))
        await line.say(bar("AAPL", 0, "u", c=55.0))
        await line.wait()

    first, second = (update.row for update in listened(talk, STOCKS, 2))

    assert (first["opened_at"], first["close"]) == (second["opened_at"], 100.5)
    assert second["close"] == 55.0
    assert second["known_at"] > first["known_at"]


def test_a_print_is_taken_back_and_another_takes_its_place() -> None:
    """Both at the time of the print, the old one without size; a cancelled one only goes."""
    printed = {"S": "AAPL", "x": "V", "c": ["@"], "z": "A"}
    later = START + timedelta(minutes=2)

    async def talk(line: Talk) -> None:
        await line.say({"T": "t", "i": 1, "p": 10.0, "s": 100, "t": START, **printed})
        await line.say({"T": "t", "i": 2, "p": 11.0, "s": 50, "t": START, **printed})
        await line.say(
            {
                "T": "c",
                "S": "AAPL",
                "x": "V",
                "oi": 1,
                "op": 10.0,
                "os": 100,
                "oc": ["@"],
                "ci": 9,
                "cp": 10.5,
                "cs": 90,
                "cc": ["@"],
                "z": "A",
                "t": later,
            }
        )
        await line.say({"T": "x", "i": 2, "p": 11.0, "s": 50, "a": "C", "t": later, **printed})
        await line.wait()  # fmt: skip

    rows = [update.row for update in listened(talk, STOCKS, 5, channels=["trades"])]

    assert [(row["trade_id"], row["price"], row["size"]) for row in rows] == [
        ("V:1", 10.0, 100.0), ("V:2", 11.0, 50.0), ("V:1", 10.0, 0.0), ("V:9", 10.5, 90.0), ("V:2", 11.0, 0.0),
    ]  # fmt: skip
    assert {row["event_at"] for row in rows} == {START}


def test_an_article_that_is_updated_is_a_row_known_later() -> None:
    """At the time of the first."""

    async def talk(line: Talk) -> None:
        await line.say(article(1, ["AAPL"], "Apple rises"))
        await line.say(article(1, ["AAPL"], "Apple rises 5%", updated=3))
        await line.wait()

    first, second = (update.row for update in listened(talk, STOCKS, 2, channels=["news"]))

    assert first["event_at"] == second["event_at"]
    assert first["known_at"] < second["known_at"]
    assert second["headline"] == "Apple rises 5%"


@pytest.mark.fault("F39")
def test_a_lost_connection_is_opened_again() -> None:
    """Three times cut in the middle: every bar after each is told, and each wait begins anew."""

    async def talk(line: Talk) -> None:
        await line.say(bar("BTC/USD", line.number))
        if line.number == 3:
            await line.wait()

    hand = Hand()

    updates = listened(talk, MINUTES, 4, hand)

    assert [update.row["open"] for update in updates] == [100.0, 101.0, 102.0, 103.0]
    assert hand.waits == [1.0, 1.0, 1.0]


@pytest.mark.fault("F40")
@pytest.mark.parametrize(("code", "said"), [(406, "connection limit exceeded"), (407, "slow client"), (500, "internal error")])
def test_errors_that_pass_are_waited_out(code: int, said: str) -> None:
    """Instead of the greeting, and in the middle of the talk; each wait is twice the one before."""

    async def talk(line: Talk) -> None:
        if line.number == 2:
            await line.say({"T": "error", "code": code, "msg": said})
            return
        await line.say(bar("BTC/USD", line.number))
        await line.wait()

    hand, problem = Hand(), {"T": "error", "code": code, "msg": said}
    with streaming(Stream(talk, greeting={0: problem, 1: problem})) as stream:
        updates = heard(source(stream, hand, retries=5), MINUTES, 1)

    assert [update.row["open"] for update in updates] == [103.0]
    assert hand.waits == [1.0, 2.0, 4.0]


def raised(stream: Stream, market: Market = MINUTES, hand: Hand | None = None, **others: object) -> NightshiftError:
    """Return the error that a stream ends in."""
    with streaming(stream), pytest.raises(NightshiftError) as caught:
        heard(source(stream, hand or Hand(), **others), market, 1)
    return caught.value


@pytest.mark.fault("F40")
@pytest.mark.parametrize(
    ("code", "said", "advice"),
    [
        (402, "auth failed", "correct the key"),
        (405, "symbol limit exceeded", "list fewer symbols"),
        (409, "insufficient subscription", "sources.alpaca.feed"),
    ],
)
def test_errors_that_stay_are_one_sentence_at_once(code: int, said: str, advice: str) -> None:
    """Asking again would only make it worse; no secret is in the sentence."""

    async def talk(line: Talk) -> None:
        await line.say({"T": "error", "code": code, "msg": said})
        await line.wait()

    hand = Hand()
    stream = Stream(talk, always={"T": "error", "code": code, "msg": said} if code == 402 else None)

    problem = raised(stream, hand=hand)

    assert isinstance(problem, ConfigurationError)
    assert f"Alpaca was to stream bars of market 'coins_1m' and refuses it ({said}" in str(problem)
    assert advice in str(problem)
    assert SECRET not in str(problem)
    assert not hand.waits


def test_a_wrong_key_is_refused_by_the_genuine_handshake() -> None:
    """The server compares; the client hears `auth failed`."""
    with streaming(Stream(prices)) as stream:
        wrong = replace(source(stream, Hand()), access=Access("PK", "no", stream_url=stream.url))
        with pytest.raises(ConfigurationError, match="auth failed"):
            heard(wrong, MINUTES, 1)


def test_without_a_key_nothing_is_opened() -> None:
    """One sentence."""
    with streaming(Stream(prices)) as stream:
        with pytest.raises(ConfigurationError, match="a stream of bars of market 'coins_1m', which needs a key"):
            heard(replace(source(stream, Hand()), access=Access(stream_url=stream.url)), MINUTES, 1)

        assert not stream.opened


def test_a_stream_that_cannot_be_opened_again_ends_in_a_sentence() -> None:
    """After as many tries as the parameters say; nobody listens on port 9 of this machine."""
    hand = Hand()
    lost = Alpaca(shelf.parameters(retries=3), Access(KEY, SECRET, stream_url="ws://127.0.0.1:9"), clock=hand, pause=hand.pause)

    with pytest.raises(ResourceError, match="bars of market 'coins_1m' and the stream cannot be opened again"):
        heard(lost, MINUTES, 1)

    assert hand.waits == [1.0, 2.0, 4.0]


def test_a_limit_that_never_passes_ends_in_a_sentence() -> None:
    """With Alpaca's own words."""
    problem = raised(Stream(prices, always={"T": "error", "code": 406, "msg": "connection limit exceeded"}))

    assert isinstance(problem, ResourceError)
    assert "connection limit exceeded" in str(problem)


@pytest.mark.fault("F36")
def test_a_connection_that_falls_silent_is_opened_anew(caplog: pytest.LogCaptureFixture) -> None:
    """By the injected clock, which runs ten seconds with every look: the first connection says one word and no other."""

    async def talk(line: Talk) -> None:
        await line.say(bar("BTC/USD", line.number))
        await line.wait()

    with caplog.at_level(logging.WARNING):
        updates = listened(talk, MINUTES, 2, Hand(step=timedelta(seconds=10)), silence_s=60.0)

    assert [update.row["open"] for update in updates] == [100.0, 101.0]
    assert "not a word for 60 s" in caplog.text


def test_a_closed_exchange_may_be_silent() -> None:
    """On Saturday nobody expects a word, however long it takes."""
    saturday = Hand(datetime(2024, 3, 9, 12, tzinfo=UTC), step=timedelta(seconds=10))

    async def talk(line: Talk) -> None:
        await asyncio.sleep(1.0)
        await line.say({**bar("AAPL", 0), "t": datetime(2024, 3, 8, 15, tzinfo=UTC)})
        await line.wait()

    with streaming(Stream(talk)) as stream:
        heard(source(stream, saturday, silence_s=20.0), STOCKS, 1)

        assert stream.opened == {"/v2/iex": 1}


@pytest.mark.fault("F41")
def test_messages_that_make_no_row_are_left_out_with_a_word(caplog: pytest.LogCaptureFixture) -> None:
    """A stranger's bar, one without a price, one of next year, a NaN print; the stream goes on."""

    async def talk(line: Talk) -> None:
        without = bar("BTC/USD", 0)
        del without["c"]
        await line.say(bar("DOGE/USD", 0), without, {**bar("BTC/USD", 0), "t": START + timedelta(days=365)})
        await line.say({"T": "t", "S": "BTC/USD", "i": 7, "p": float("nan"), "s": 0.25, "t": START}, {"T": "s", "S": "BTC/USD"})
        await line.say(bar("BTC/USD", 5))
        await line.wait()

    updates = listened(talk, MINUTES, 1, channels=["bars", "trades"])

    assert updates[0].row["open"] == 105.0
    assert caplog.text.count("left out a message of Alpaca") == 4


@pytest.mark.fault("F42")
def test_many_listeners_may_be_slow_without_losing_a_message() -> None:
    """Five thousand prints while the reader sleeps now and then."""
    count = 5000

    async def talk(line: Talk) -> None:
        for i in range(0, count, 100):
            await line.say(*({"T": "t", "S": "BTC/USD", "i": i + k, "p": 1.5, "s": 1.0, "t": START} for k in range(100)))
        await line.wait()

    async def listen(stream: Stream) -> list[str]:
        numbers: list[str] = []
        live = source(stream, Hand(), channels=["trades"]).updates(MINUTES)
        async with asyncio.timeout(PATIENCE_S), aclosing(live) as updates:  # type: ignore[type-var]
            async for update in updates:
                numbers.append(update.row["trade_id"])
                if len(numbers) % 1000 == 0:
                    await asyncio.sleep(0.05)
                if len(numbers) == count:
                    return numbers
        return numbers

    with streaming(Stream(talk)) as stream:
        assert asyncio.run(listen(stream)) == [str(i) for i in range(count)]
