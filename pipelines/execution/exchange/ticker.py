"""Ticker: bars, trades and quotes as Alpaca's market data streams tell of them: arrays of msgpack, one connection a client."""

import asyncio
import contextlib
from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgpack
from starlette.websockets import WebSocket, WebSocketDisconnect

from pipelines.execution.exchange import market
from pipelines.execution.exchange.auth import Keys
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.wire import Json
from pipelines.execution.matching.prices import Bar

#: Channels that are told, each by the letter of its messages and how a bar becomes one.
CHANNELS: dict[str, tuple[str, Callable[[Bar], Json]]] = {
    "bars": ("b", market.bar_of),
    "trades": ("t", market.trade_of),
    "quotes": ("q", lambda bar: market.quote_of(bar, None)),
}
EVERYTHING = "*"
#: Fields that are moments: they travel as msgpack's timestamps.
MOMENT = "t"


class Ticker:
    """The endpoints of market data."""

    def __init__(self, floor: Floor, keys: Keys) -> None:
        self.floor, self.keys = floor, keys

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until it goes."""
        await socket.accept()
        queue: asyncio.Queue[Bar] = asyncio.Queue()
        wanted: dict[str, list[str]] = {}
        with contextlib.suppress(WebSocketDisconnect, RuntimeError):
            await _say(socket, {"T": "success", "msg": "connected"})
            if not await self._admitted(socket):
                return
            self.floor.watchers.append(queue.put_nowait)
            speaking = asyncio.create_task(self._speak(socket, queue, wanted))
            try:
                while True:
                    self._subscribe(await _heard(socket), wanted)
                    await _say(socket, {"T": "subscription", **{name: wanted.get(name, []) for name in CHANNELS}})
            finally:
                self.floor.watchers.remove(queue.put_nowait)
                speaking.cancel()

    async def _admitted(self, socket: WebSocket) -> bool:
        said = await _heard(socket)
        good = said.get("action") == "auth" and self.keys.match(said.get("key"), said.get("secret"))
        success, failure = {"T": "success", "msg": "authenticated"}, {"T": "error", "code": 402, "msg": "auth failed"}
        await _say(socket, success if good else failure)
        return good

    def _subscribe(self, said: dict[str, Any], wanted: dict[str, list[str]]) -> None:
        """Take in what a client wants to hear of from now on, or does not any more."""
        for name in CHANNELS:
            named = list(said.get(name) or [])
            kept = [each for each in wanted.get(name, []) if each not in named]
            wanted[name] = kept if said.get("action") == "unsubscribe" else [*kept, *named]

    async def _speak(self, socket: WebSocket, queue: "asyncio.Queue[Bar]", wanted: dict[str, list[str]]) -> None:
        while True:
            bar = await queue.get()
            told = [
                {"T": letter, "S": bar.symbol, **tell(bar)}
                for name, (letter, tell) in CHANNELS.items()
                if bar.symbol in wanted.get(name, ()) or EVERYTHING in wanted.get(name, ())
            ]  # fmt: skip
            if told:
                with contextlib.suppress(WebSocketDisconnect, RuntimeError):
                    await _say(socket, *told)


async def _heard(socket: WebSocket) -> dict[str, Any]:
    """Return the next thing that a client says; what cannot be read is nothing."""
    frame = await socket.receive()
    if frame["type"] == "websocket.disconnect":
        raise WebSocketDisconnect
    try:
        told = msgpack.unpackb(frame.get("bytes") or b"")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


async def _say(socket: WebSocket, *messages: Json) -> None:
    await socket.send_bytes(msgpack.packb([_stamped(message) for message in messages], datetime=True))


def _stamped(message: Json) -> Json:
    at = message.get(MOMENT)
    return {**message, MOMENT: datetime.fromisoformat(at.replace("Z", "+00:00"))} if isinstance(at, str) else message
