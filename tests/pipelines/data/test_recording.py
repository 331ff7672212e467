"""The recorder writes what a live source says, whatever ends it; the replayer says it again."""

import asyncio
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from domain import params as parameters
from domain.bar import BAR_SCHEMA
from domain.clock import ReplayClock
from domain.error import NoData, ResourceError
from domain.market import Market
from domain.params import Params
from pipelines.data import recording
from pipelines.data.recording import Recorded
from pipelines.data.sources.alpaca import Access, Alpaca
from pipelines.data.sources.contract import Update
from pipelines.data.sources.replayed import Replayed
from pipelines.store import Store
from tests.alpaca.history import KEY, SECRET
from tests.alpaca.stream import Message, Stream, Talk, streaming
from tests.pipelines.data.sources import alpaca_shelf as shelf
from tests.pipelines.data.sources.alpaca_shelf import COINS
from tests.pipelines.data.sources.contract import LiveContract, heard

PROJECT = Path(__file__).parents[3]
DATA = PROJECT / os.environ.get("NIGHTSHIFT_DATA", "../shared/data")
MINUTES = replace(COINS, name="coins_1m", timeframe="1m")
FIVE = timedelta(minutes=5)
START = datetime(2024, 3, 5, 12, tzinfo=UTC)


def params(rows: int = 60, seconds: float = 600.0) -> Params:
    """Return the project's parameters with small batches."""
    whole = parameters.load(PROJECT / "params.yaml")
    small = whole.sources.model_copy(update={"recorder": parameters.Recorder(batch_rows=rows, batch_s=seconds)})
    return whole.model_copy(update={"sources": small})


def bar_row(minute: int, symbol: str = "BTC/USD", known_s: float = 61.0, **more: Any) -> dict[str, Any]:
    """Return a minute bar as a live source tells it."""
    opened = START + timedelta(minutes=minute)
    values = {"open": 100.0, "high": 101.0, "low": 99.0, "close": 100.5, "volume": 10.0, "vwap": 100.25, "trades": 3, "flags": 0}
    named = {
        "market": "coins_1m",
        "symbol": symbol,
        "timeframe": "1m",
        "opened_at": opened,
        "event_at": opened + timedelta(minutes=1),
    }
    return {**dict.fromkeys(BAR_SCHEMA), **named, "known_at": opened + timedelta(seconds=known_s), **values, **more}


def print_row(number: int) -> dict[str, Any]:
    """Return a print."""
    at = START + timedelta(seconds=number)
    return {
        "market": "coins_1m", "symbol": "BTC/USD", "event_at": at, "known_at": at + timedelta(milliseconds=100),
        "price": 100.0 + number, "size": 0.5, "side": "buy", "trade_id": str(number), "exchange": None, "conditions": None,
    }  # fmt: skip


def quote_row(number: int) -> dict[str, Any]:
    """Return a quote; two are of one moment."""
    at = START + timedelta(seconds=number // 2)
    return {
        "market": "coins_1m", "symbol": "BTC/USD", "event_at": at, "known_at": at + timedelta(milliseconds=50 + number),
        "sequence": number % 2, "bid": 99.0, "bid_size": 1.0, "ask": None, "ask_size": None, "exchange": None,
    }  # fmt: skip


def news_row(number: int) -> dict[str, Any]:
    """Return a headline."""
    at = START + timedelta(seconds=30 * number)
    return {
        "market": "coins_1m", "symbol": "BTC/USD", "event_at": at, "known_at": at + timedelta(seconds=2),
        "headline": f"Line {number}", "source": "benzinga", "sentiment": None,
    }  # fmt: skip


def day() -> list[Update]:
    """Return twenty minutes of everything in the order of arrival, a corrected bar among it."""
    told = [Update("bars", bar_row(i, symbol)) for i in range(20) for symbol in MINUTES.symbols]
    told = [
        replace(each, row={**each.row, "known_at": each.row["known_at"] + timedelta(microseconds=i)}) for i, each in enumerate(told)
    ]
    told += [Update("bars", bar_row(3, known_s=91.0, close=100.75))]
    told += [Update("trades", print_row(i)) for i in range(50)] + [Update("quotes", quote_row(i)) for i in range(40)]
    told += [Update("news", news_row(i)) for i in range(5)]
    return sorted(told, key=lambda update: update.row["known_at"])


@dataclass
class Told:
    """A live source that tells what it is given, and then ends, fails, or waits."""

    told: list[Update]
    end: Exception | None = None
    wait: bool = False
    closed: list[bool] = field(default_factory=list)

    async def updates(self, _: Market) -> AsyncIterator[Update]:
        """Yield what was given."""
        try:
            for update in self.told:
                yield update
            if self.end is not None:
                raise self.end
            if self.wait:
                await asyncio.Event().wait()
        finally:
            self.closed.append(True)


def recorded(source: Any, store: Store, chosen: Params | None = None, **named: Any) -> Recorded:
    """Return what was recorded."""
    clock = ReplayClock(START + timedelta(days=1))
    return asyncio.run(recording.record(source, named.pop("market", MINUTES), chosen or params(), store, clock=clock, **named))


def everything(store: Store, market: Market = MINUTES) -> list[Update]:
    """Return all that a replay tells."""

    async def listen() -> list[Update]:
        return [update async for update in Replayed(store).updates(market)]

    return asyncio.run(listen())


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with a recorded day, for those that only read it."""
    store = Store(tmp_path_factory.mktemp("recorded"))
    recorded(Told(day()), store)
    return store


class TestReplayed(LiveContract):
    """A replay is a live source."""

    @pytest.fixture
    def source(self, stored: Store) -> Replayed:
        """Return the source under test."""
        return Replayed(stored)

    @pytest.fixture
    def market(self) -> Market:
        """Return minutes of two coins."""
        return MINUTES


def test_what_was_recorded_is_told_again_to_the_last_field(tmp_path: Path) -> None:
    """All tables, in the order of arrival, corrections where they came."""
    told = day()

    result = recorded(Told(told), Store(tmp_path))

    assert everything(Store(tmp_path)) == told
    assert (result.bars, result.trades, result.quotes, result.news, result.quarantined) == (41, 50, 40, 5, 0)
    assert (result.updates, result.first, result.last) == (136, told[0].row["known_at"], told[-1].row["known_at"])


def test_a_replay_that_is_recorded_makes_the_same_store(stored: Store, tmp_path: Path) -> None:
    """Table by table."""
    second = Store(tmp_path)

    recorded(Replayed(stored), second)

    for table in ("bars", "trades", "quotes", "news"):
        assert stored.read(table).equals(second.read(table))


def test_a_replay_may_begin_and_end_where_it_likes(stored: Store) -> None:
    """By what was known when, both ends included."""
    told = day()
    since, until = told[20].row["known_at"], told[79].row["known_at"]

    part = heard(Replayed(stored, since, until), MINUTES, 1000)

    assert part == told[20:80]


def test_a_replay_keeps_the_pace_and_moves_the_clock(stored: Store) -> None:
    """A hundred times as fast: the waits are a hundredth of what passed, and the clock stands where each update became known."""
    waits: list[float] = []

    async def pause(seconds: float) -> None:
        waits.append(seconds)

    clock = ReplayClock(START)
    source = Replayed(stored, speed=100.0, clock=clock, pause=pause)

    async def listen() -> None:
        async for update in source.updates(MINUTES):
            assert clock.now() == update.row["known_at"]

    asyncio.run(listen())
    told = day()
    assert sum(waits) == pytest.approx((told[-1].row["known_at"] - told[0].row["known_at"]).total_seconds() / 100)


def test_nothing_to_replay_is_one_sentence(tmp_path: Path) -> None:
    """Naming the market and the time."""
    with pytest.raises(NoData, match="'coins_1m' was to be replayed, but the store knows nothing of it from 2024-03-05 12:00"):
        heard(Replayed(Store(tmp_path), START), MINUTES, 1)


def test_impossible_bars_are_set_apart_and_replayed_as_they_came(tmp_path: Path) -> None:
    """One in a batch of good ones, and one alone: neither ends the recording."""
    bad, worse = bar_row(1, high=50.0), bar_row(2, close=float("nan"))
    told = [Update("bars", row) for row in (bar_row(0), bad, worse, bar_row(3))]
    store = Store(tmp_path)

    result = recorded(Told(told), store, params(rows=2))

    assert (result.bars, result.quarantined) == (2, 2)
    assert store.read("quarantine")["reason"].str.contains("range_broken|missing_price").all()
    again = everything(store)
    assert [update.row["opened_at"] for update in again] == [update.row["opened_at"] for update in told]
    assert again[1] == told[1]


def test_impossible_ticks_are_set_apart_and_replayed_as_they_came(tmp_path: Path) -> None:
    """A crossed quote, which some feeds have before the open, between two good ones."""
    crossed = quote_row(2) | {"ask": 98.0, "ask_size": 1.0}
    told = [Update("quotes", row) for row in (quote_row(0), crossed, quote_row(5))]
    store = Store(tmp_path)

    result = recorded(Told(told), store)

    assert (result.quotes, result.quarantined) == (2, 1)
    assert store.read("quarantine")["reason"].str.contains("crossed").all()
    assert everything(store) == told


def test_a_source_that_fails_leaves_what_it_said(tmp_path: Path) -> None:
    """Then its error is raised."""
    store = Store(tmp_path)

    with pytest.raises(ResourceError, match="gone"):
        recorded(Told(day(), end=ResourceError("gone")), store)

    assert everything(store) == day()


def test_stopping_stores_what_waits_and_closes_the_source(tmp_path: Path) -> None:
    """A batch that is neither full nor old enough."""
    store, source = Store(tmp_path), Told(day(), wait=True)

    async def stopped() -> Recorded:
        stop = asyncio.Event()
        asyncio.get_running_loop().call_later(0.3, stop.set)
        return await recording.record(source, MINUTES, params(100_000), store, stop=stop)

    result = asyncio.run(stopped())

    assert result.batches == 1
    assert source.closed == [True]
    assert everything(store) == day()


@pytest.mark.parametrize(("rows", "batches"), [(50, 3), (136, 1)])
def test_batches_are_as_large_as_the_parameters_say(tmp_path: Path, rows: int, batches: int) -> None:
    """And each is told of."""
    states: list[Recorded] = []

    recorded(Told(day()), Store(tmp_path), params(rows), told=states.append)

    assert len(states) == batches
    assert all(one.updates < two.updates for one, two in pairwise(states))


class Tape:
    """A clock that stands where the vendor has sent up to."""

    def __init__(self, at: datetime) -> None:
        self.at = at

    def now(self) -> datetime:
        """Return the moment."""
        return self.at

    def monotonic_ns(self) -> int:
        """Return nothing that ever passes: nobody is silent here."""
        return 0


@pytest.mark.skipif(not (DATA / "crypto_5m.parquet").exists(), reason=f"crypto_5m.parquet is not in {DATA}")
def test_a_recorded_day_streamed_recorded_and_replayed_equals_the_originals(tmp_path: Path) -> None:
    """Seven coins, 5 March 2024: from the local Alpaca through the genuine client to the store, and from there once more.

    Alpaca streams minutes, and sends none in which nothing traded: each bar of five is sent as its first minute.
    """
    midnight = datetime(2024, 3, 5, tzinfo=UTC)
    whole = pl.read_parquet(DATA / "crypto_5m.parquet")
    originals = whole.filter(pl.col("ts").is_between(midnight, midnight + timedelta(days=1), closed="left")).sort("symbol", "ts")
    market = replace(COINS, name="day", symbols=tuple(originals["symbol"].unique().sort()))
    tape = Tape(midnight)

    async def talk(line: Talk) -> None:
        for bars in originals.sort("ts", "symbol").partition_by("ts", maintain_order=True):
            tape.at = bars["ts"][0] + timedelta(minutes=1, seconds=1)
            await line.say(*(message(row) for row in bars.to_dicts()))
        tape.at = midnight + timedelta(days=1, minutes=1)
        await line.wait()

    first, second = Store(tmp_path / "recorded"), Store(tmp_path / "again")

    async def recorded_day(stream: Stream) -> Recorded:
        stop, clock = asyncio.Event(), tape
        source = Alpaca(shelf.parameters(), Access(KEY, SECRET, stream_url=stream.url), clock=clock)

        def enough(done: Recorded) -> None:
            if done.bars >= originals.height:
                stop.set()

        async with asyncio.timeout(60):
            return await recording.record(source, market, params(504), first, clock=clock, stop=stop, told=enough)

    with streaming(Stream(talk)) as stream:
        result = asyncio.run(recorded_day(stream))
    again = recorded(Replayed(first), second, params(1008), market=market)

    names = ["open", "high", "low", "close", "volume"]
    wanted = originals.select("symbol", pl.col("ts").alias("opened_at"), (pl.col("ts") + FIVE).alias("event_at"), *names)
    for store in (first, second):
        assert store.bars("day", "5m").select(wanted.columns).equals(wanted)
    assert first.read("bars").drop("flags").equals(second.read("bars").drop("flags"))
    assert (result.bars, again.bars, result.quarantined) == (2016, 2016, 0)


def message(row: dict[str, Any]) -> Message:
    """Return a bar of five minutes as the minute in which all of it traded."""
    prices = {"o": row["open"], "h": row["high"], "l": row["low"], "c": row["close"], "v": row["volume"]}
    return {"T": "b", "S": row["symbol"], "t": row["ts"], **prices}
