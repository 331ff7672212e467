"""Listening: the genuine client's streams, opened again whenever they are lost or fall silent."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from domain import session
from domain.clock import Clock
from domain.error import ConfigurationError, NightshiftError, ResourceError
from domain.market import AssetClass, Market
from domain.params import Alpaca as Parameters
from pipelines.data.sources.alpaca import rows
from pipelines.data.sources.alpaca.access import Access
from pipelines.data.sources.alpaca.telling import Message, Teller
from pipelines.data.sources.contract import Update

if TYPE_CHECKING:
    from alpaca.data.live.websocket import DataStream

LOG = logging.getLogger(__name__)
BACK_OFF_S, BACK_OFF_MAX_S = 1.0, 30.0
OPEN_S = 30.0
#: Seconds between two looks at the clock.
LOOK_S = 0.25
#: Messages that may wait for a reader who is busy; past them Alpaca has to wait, and says that we are slow.
WAITING_MAX = 100_000
#: What Alpaca will say again however often it is asked.
REFUSALS = {
    "auth failed": "correct the key in the environment",
    "not authenticated": "correct the key in the environment",
    "symbol limit exceeded": "list fewer symbols or channels, or subscribe to more",
    "insufficient subscription": "choose a feed in sources.alpaca.feed that the key is subscribed to",
    "v2 not enabled": "choose a feed in sources.alpaca.feed that the key is subscribed to",
}
#: Settings of the genuine client's connection: a dead peer is found out in time, and a close waits for nobody.
CONNECTION = {"ping_interval": 10, "ping_timeout": 20, "max_queue": 1024, "close_timeout": 1}


class Told(Exception):
    """An error that Alpaca sent instead of data."""


class Silent(Exception):
    """An open market without a message for too long."""


@dataclass
class Line:
    """One connection: what it is for, how it is made, and when it last said something."""

    name: str
    make: Callable[["Line"], "DataStream"]
    watched: bool
    """Whether silence means trouble; news may be silent for hours."""
    clock: Clock
    queue: "asyncio.Queue[Message | NightshiftError]"
    heard_ns: int = 0
    heard: bool = False

    async def hear(self, message: Message) -> None:
        """Pass a message on; raise Told for an error."""
        if message.get("T") == "error":
            raise Told(f"{message.get('msg')} ({message.get('code')})")
        self.heard_ns = self.clock.monotonic_ns()
        if message.get("T") != "subscription":
            self.heard = True
            await self.queue.put(message)


async def listen(
    market: Market, parameters: Parameters, access: Access, clock: Clock, pause: Callable[[float], Awaitable[None]], lag: timedelta
) -> AsyncIterator[Update]:
    """Yield the updates of a market's lines as they come, until closed; the raises are those of `contract.LiveSource`."""
    queue: asyncio.Queue[Message | NightshiftError] = asyncio.Queue(WAITING_MAX)
    lines = _lines(market, parameters, access, clock, queue)
    teller = Teller(market, clock, lag)
    keeping = Keeping(market, parameters, clock, pause)
    tasks = [asyncio.create_task(keeping.keep(line)) for line in lines]
    try:
        async for message in _arriving(queue):
            if isinstance(message, NightshiftError):
                raise message
            if message is CONNECTED:
                teller.connected()
            for update in (*(() if message is None else teller.tell(message)), *teller.due()):
                yield update
            for task in tasks:
                if task.done() and not queue.qsize():
                    task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


#: Takes the place of a message when a line of prices is opened.
CONNECTED: Message = {"T": "connected"}


async def _arriving(queue: "asyncio.Queue[Message | NightshiftError]") -> AsyncIterator[Message | NightshiftError | None]:
    """Yield what waits, and None whenever nothing came for a moment."""
    while True:
        if not queue.empty():
            yield queue.get_nowait()
            continue
        try:
            async with asyncio.timeout(LOOK_S):
                message = await queue.get()
        except TimeoutError:
            yield None
        else:
            yield message


@dataclass
class Keeping:
    """Keeps lines open."""

    market: Market
    parameters: Parameters
    clock: Clock
    pause: Callable[[float], Awaitable[None]]
    retries: int = field(init=False)

    def __post_init__(self) -> None:
        self.retries = self.parameters.retries

    async def keep(self, line: Line) -> None:
        """Open a line again each time it ends; an error that will not pass is put into the line's queue instead."""
        turn = failures = 0
        while True:
            line.heard = False
            problem = await self._over(line)
            silent = isinstance(problem, Silent)
            turn = 0 if line.heard else turn + 1
            failures = 0 if line.heard or silent else failures + 1
            if refusal := next((advice for text, advice in REFUSALS.items() if text in str(problem)), None):
                await line.queue.put(ConfigurationError(f"Alpaca was to stream {line.name} and refuses it ({problem}): {refusal}"))
                return
            if failures > self.retries:
                await line.queue.put(
                    ResourceError(
                        f"Alpaca was to stream {line.name} and the stream cannot be opened again ({_short(problem)}): run it again "
                        "when Alpaca can be reached"
                    )
                )
                return
            LOG.warning("the stream of %s ended and is opened again: %s", line.name, _short(problem))
            await self.pause(min(BACK_OFF_S * 2.0 ** max(turn - 1, 0), BACK_OFF_MAX_S))

    async def _over(self, line: Line) -> Exception:
        """Open a line, let it talk, and return why it ended."""
        stream = line.make(line)
        talk = asyncio.create_task(self._talk(stream, line))
        try:
            while not talk.done():
                await asyncio.wait({talk}, timeout=min(LOOK_S, self.parameters.silence_s / 4.0))
                if line.watched and self._silent(line):
                    return Silent(f"not a word for {self.parameters.silence_s:g} s")
            await talk
        except Exception as problem:  # whatever ends a connection is told, and after all tries raised
            return problem
        finally:
            await _ended(talk)
            await _closed(stream)
        return ConnectionError("the connection was closed")

    async def _talk(self, stream: "DataStream", line: Line) -> None:
        line.heard_ns = self.clock.monotonic_ns()
        async with asyncio.timeout(OPEN_S):
            await _opened(stream)
        if line.watched:
            await line.queue.put(CONNECTED)
        line.heard_ns = self.clock.monotonic_ns()
        await stream._consume()  # its own loop around this opens refused connections for ever

    def _silent(self, line: Line) -> bool:
        silent_s = (self.clock.monotonic_ns() - line.heard_ns) / 1e9
        if silent_s <= self.parameters.silence_s:
            return False
        now = self.clock.now()
        return session.next_close(self.market, now) <= session.next_open(self.market, now)


async def _opened(stream: "DataStream") -> None:
    await stream._start_ws()  # connects and authenticates
    await stream._send_subscribe_msg()


async def _ended(task: "asyncio.Task[None]") -> None:
    """Cancel a task until it is done: Python 3.11's `wait_for`, in which the client waits, may swallow a cancellation."""
    while not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=LOOK_S)


async def _closed(stream: "DataStream") -> None:
    from websockets.exceptions import WebSocketException

    try:
        await stream.close()
    except (OSError, WebSocketException) as problem:
        LOG.info("a stream that had ended could not be closed in form: %s", _short(problem))


def _lines(
    market: Market, parameters: Parameters, access: Access, clock: Clock, queue: "asyncio.Queue[Message | NightshiftError]"
) -> list[Line]:
    """Return a line for prices and one for headlines, each where the parameters want it."""
    keys = access.keys(f"a stream of {', '.join(parameters.channels)} of market '{market.name}'")
    prices = [channel for channel in parameters.channels if channel != "news"]
    lines = []
    if prices:
        make = _prices(market, parameters.feed, prices, keys, access.stream_url)
        lines.append(Line(f"{', '.join(prices)} of market '{market.name}'", make, True, clock, queue))
    if "news" in parameters.channels:
        make = _headlines(market, keys, access.stream_url)
        lines.append(Line(f"news of market '{market.name}'", make, False, clock, queue))
    return lines


def _prices(
    market: Market, feed: str, channels: Sequence[str], keys: tuple[str, str], address: str
) -> Callable[[Line], "DataStream"]:
    def make(line: Line) -> "DataStream":
        from alpaca.data.live import CryptoDataStream, StockDataStream

        crypto = market.asset_class is AssetClass.CRYPTO
        place = "/v1beta3/crypto/us" if crypto else f"/v2/{feed}"
        stream: Any = _heard(CryptoDataStream if crypto else StockDataStream, line, keys, address + place)
        if "bars" in channels:
            daily = market.timeframe == "1d" and not crypto
            (stream.subscribe_daily_bars if daily else stream.subscribe_bars)(line.hear, *market.symbols)
            if not daily:
                _updated_bars(stream, line, market)
        if "trades" in channels:
            stream.subscribe_trades(line.hear, *market.symbols)
        if "quotes" in channels:
            stream.subscribe_quotes(line.hear, *market.symbols)
        return stream  # type: ignore[no-any-return]

    return make


def _updated_bars(stream: Any, line: Line, market: Market) -> None:
    """Ask for corrected bars too; the genuine client has no word for those of crypto."""
    stream._handlers["updatedBars"].update(dict.fromkeys(market.symbols, line.hear))


def _headlines(market: Market, keys: tuple[str, str], address: str) -> Callable[[Line], "DataStream"]:
    def make(line: Line) -> "DataStream":
        from alpaca.data.live import NewsDataStream

        stream: Any = _heard(NewsDataStream, line, keys, address + "/v1beta1/news")
        stream.subscribe_news(line.hear, *(rows.written(symbol) for symbol in market.symbols))
        return stream  # type: ignore[no-any-return]

    return make


def _heard(kind: Any, line: Line, keys: tuple[str, str], address: str) -> Any:
    """Return a stream of the genuine client that hands every message on once, and errors as errors: its own only logs them."""

    class Heard(kind):  # type: ignore[misc]
        async def _dispatch(self, msg: dict[str, Any]) -> None:
            await line.hear(msg)

    return Heard(*keys, raw_data=True, url_override=address, websocket_params=dict(CONNECTION))


def _short(problem: Exception) -> str:
    return " ".join(str(problem).split())[:120] or type(problem).__name__
