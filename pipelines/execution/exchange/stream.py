"""Stream: Alpaca's order stream. Authenticate, listen, and hear every update from then on; nothing is kept for who was away."""

import asyncio
import contextlib
import json
from dataclasses import dataclass, field
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from pipelines.execution.exchange.auth import Keys
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.wire import Json

TRADE_UPDATES = "trade_updates"


@dataclass
class Mischief:
    """What goes wrong on the stream; changed while it runs."""

    drop: int = 0
    """Updates still to be lost."""
    duplicate: int = 0
    """Updates still to be said twice."""
    mute: bool = False
    """Connected and silent."""
    delay_s: float = 0.0
    text: bool = False
    """Text frames: Alpaca's paper server sends binary ones."""
    sockets: list[WebSocket] = field(default_factory=list)

    async def disconnect(self) -> None:
        """Cut every connection."""
        for socket in list(self.sockets):
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                await socket.close(1011)


class OrderStream:
    """The endpoint `/stream`."""

    def __init__(self, floor: Floor, keys: Keys, mischief: Mischief) -> None:
        self.floor, self.keys, self.mischief = floor, keys, mischief

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until it goes."""
        await socket.accept()
        queue: asyncio.Queue[Json] = asyncio.Queue()
        self.mischief.sockets.append(socket)
        speaking: asyncio.Task[None] | None = None
        try:
            async for message in _messages(socket):
                answer, listens = self._answer(message, known=speaking is not None or getattr(socket.state, "known", False))
                if answer is not None:
                    socket.state.known = answer["data"].get("status", "authorized") == "authorized"
                    await self._say(socket, answer)
                if listens and speaking is None:
                    self.floor.listeners.append(queue.put_nowait)
                    speaking = asyncio.create_task(self._speak(socket, queue))
                elif listens is False and speaking is not None:
                    self._leave(queue, speaking)
                    speaking = None
        finally:
            self.mischief.sockets.remove(socket)
            if speaking is not None:
                self._leave(queue, speaking)

    def _leave(self, queue: "asyncio.Queue[Json]", speaking: "asyncio.Task[None]") -> None:
        """Tell a client nothing any more."""
        self.floor.listeners.remove(queue.put_nowait)
        speaking.cancel()

    def _answer(self, message: Any, *, known: bool) -> tuple[Json | None, bool | None]:
        """Return what is said to a message, and whether updates are wanted from now on; None where it does not say."""
        action, data = message.get("action"), message.get("data") or {}
        if action in {"authenticate", "auth"}:
            good = self.keys.match(data.get("key_id") or message.get("key"), data.get("secret_key") or message.get("secret"))
            return _authorization(good=good, action="authenticate"), None
        if action != "listen":
            return None, None
        if not known:
            return _authorization(good=False, action="listen"), None
        streams = [each for each in data.get("streams", []) if each == TRADE_UPDATES]
        return {"stream": "listening", "data": {"streams": streams}}, bool(streams)

    async def _speak(self, socket: WebSocket, queue: "asyncio.Queue[Json]") -> None:
        """Pass on what happens, as badly as the mischief wants."""
        while True:
            message = await queue.get()
            wrong = self.mischief
            if wrong.mute:
                continue
            if wrong.drop > 0:
                wrong.drop -= 1
                continue
            if wrong.delay_s:
                await asyncio.sleep(wrong.delay_s)
            times = 2 if wrong.duplicate > 0 else 1
            wrong.duplicate = max(wrong.duplicate - 1, 0)
            for _ in range(times):
                with contextlib.suppress(RuntimeError, WebSocketDisconnect):
                    await self._say(socket, message)

    async def _say(self, socket: WebSocket, message: Json) -> None:
        told = json.dumps(message)
        if self.mischief.text:
            await socket.send_text(told)
        else:
            await socket.send_bytes(told.encode())


async def _messages(socket: WebSocket) -> Any:
    """Yield what a client says, as JSON, until it goes; what is no JSON object is passed over."""
    while True:
        frame = await socket.receive()
        if frame["type"] == "websocket.disconnect":
            return
        with contextlib.suppress(ValueError):
            told = json.loads(frame.get("text") or frame.get("bytes") or b"")
            if isinstance(told, dict):
                yield told


def _authorization(*, good: bool, action: str) -> Json:
    return {"stream": "authorization", "data": {"status": "authorized" if good else "unauthorized", "action": action}}
