"""The websocket half: frames of msgpack arrays, `connected`, `authenticated`, the subscription, then whatever the script sends."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgpack
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.alpaca.history import KEY, SECRET

Message = dict[str, Any]
MOMENTS = ("t", "created_at", "updated_at")


@dataclass
class Talk:
    """One connection after its subscription."""

    socket: ServerConnection
    path: str
    number: int
    """How many were opened on this path before."""
    subscribed: dict[str, Any]

    async def say(self, *messages: Message) -> None:
        """Send messages in one frame; moments become Timestamps as Alpaca's are."""
        await self.socket.send(packed(list(messages)))

    async def wait(self) -> None:
        """Stay silent until the other side goes."""
        await self.socket.wait_closed()


Script = Callable[[Talk], Awaitable[None]]


@dataclass
class Stream:
    """A streaming vendor. A script that returns closes its connection."""

    script: Script
    greeting: dict[int, Message] = field(default_factory=dict)
    """Errors that take the place of `authenticated`, by the number of the connection."""
    always: Message | None = None
    """The error that takes its place in every connection."""
    url: str = ""
    opened: dict[str, int] = field(default_factory=dict)
    """Connections by path."""
    subscriptions: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    async def serve(self, socket: ServerConnection) -> None:
        """Live through one connection."""
        path = socket.request.path if socket.request is not None else ""
        number = self.opened.get(path, 0)
        self.opened[path] = number + 1
        try:
            await self._greet(socket, path, number)
        except ConnectionClosed:
            return

    async def _greet(self, socket: ServerConnection, path: str, number: int) -> None:
        await socket.send(packed([{"T": "success", "msg": "connected"}]))
        auth = msgpack.unpackb(await socket.recv())
        refused = self.greeting.get(number, self.always)
        if refused is None and (auth["key"], auth["secret"]) != (KEY, SECRET):
            refused = {"T": "error", "code": 402, "msg": "auth failed"}
        if refused is not None:
            await socket.send(packed([refused]))
            return
        await socket.send(packed([{"T": "success", "msg": "authenticated"}]))
        wanted = msgpack.unpackb(await socket.recv())
        channels = {name: value for name, value in wanted.items() if name != "action"}
        self.subscriptions.append((path, channels))
        await socket.send(packed([{"T": "subscription", **channels}]))
        await self.script(Talk(socket, path, number, channels))


def packed(messages: list[Message]) -> bytes:
    """Return a frame."""
    made: bytes = msgpack.packb([_stamped(message) for message in messages], datetime=True)
    return made


def _stamped(message: Message) -> Message:
    read = {name: datetime.fromisoformat(value) for name, value in message.items() if name in MOMENTS and isinstance(value, str)}
    return {**message, **read}


@contextmanager
def streaming(stream: Stream) -> Iterator[Stream]:
    """Let the vendor stream from an address of this machine, in a thread with a loop of its own."""
    started, loop = threading.Event(), asyncio.new_event_loop()
    stop: asyncio.Event = asyncio.Event()

    async def live() -> None:
        async with serve(stream.serve, "127.0.0.1", 0, close_timeout=1) as server:
            stream.url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            started.set()
            await stop.wait()

    def work() -> None:
        loop.run_until_complete(live())
        loop.close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    started.wait(10)
    try:
        yield stream
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(10)
