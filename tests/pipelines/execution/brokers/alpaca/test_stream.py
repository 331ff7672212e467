"""The genuine order stream, made to tell what it hides: coming, going, and what it could not read."""

import asyncio
import json

import pytest
import websockets

from domain.error import ResourceError
from pipelines.execution.brokers.alpaca import stream as streams
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.words import Names
from pipelines.execution.core.events import Channel, Heard, Joined, Lost

LISTENING = json.dumps({"stream": "listening", "data": {"streams": ["trade_updates"]}})
ORDER = {"id": "B1", "client_order_id": "mine", "symbol": "AAA", "side": "buy", "qty": "5", "filled_qty": "0", "status": "new"}
UPDATE = json.dumps({"stream": "trade_updates", "data": {"event": "new", "order": ORDER, "timestamp": "2024-03-04T15:00:00Z"}})


def heard_of(frames, enough, *, authorized=True, listens=True, connections=None, stays_s=0.3):
    """Serve these frames to every connection, and return what the stream tells until there is enough of it."""
    told = []

    async def serve(socket):
        if connections is not None:
            connections.append(socket)
        await socket.recv()
        await socket.send(json.dumps({"stream": "authorization", "data": {"status": "authorized" if authorized else "no"}}))
        await socket.recv()
        for frame in ([LISTENING] if listens else []) + frames:
            await socket.send(frame)
        await asyncio.sleep(stays_s)

    async def run():
        async with websockets.serve(serve, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            access = Access("PKLOCAL", "local-secret", live=False, url=f"http://127.0.0.1:{port}")
            stream = streams.stream(access, Names(("AAA",)), told.append)
            stream._reconnect_min_backoff = 0.05
            task = asyncio.create_task(stream._run_forever())
            async with asyncio.timeout(20):
                while not enough(told):
                    await asyncio.sleep(0.02)
            await stream.stop_ws()
            task.cancel()

    asyncio.run(run())
    return told


def test_it_tells_of_coming_what_is_said_and_going():
    """In this order; a connection that comes back is told of again."""
    told = heard_of([UPDATE], lambda told: len(told) >= 4)

    assert [type(each) for each in told[:4]] == [Joined, Heard, Lost, Joined]
    assert told[1].report.client_order_id == "mine"


@pytest.mark.fault("F41", "F51")
@pytest.mark.parametrize("frame", ["{not json", b"\xff\xfe", "[1, 2]", json.dumps({"stream": "trade_updates", "data": None})])
def test_what_cannot_be_read_asks_for_the_account(frame):
    """The client's own stream passes over it; whatever it said, the account knows."""
    told = heard_of([frame, UPDATE], lambda told: any(isinstance(each, Heard) for each in told))

    assert [type(each) for each in told[:3]] == [Joined, Joined, Heard]
    assert told[1] == Joined(Channel.ORDERS)


def test_an_exchange_that_never_listens_is_left(monkeypatch):
    """A connection on which nothing comes counts as none, and the next one is tried."""
    monkeypatch.setattr(streams, "START_S", 0.2)
    connections = []

    assert heard_of([], lambda told: len(connections) >= 3, listens=False, connections=connections, stays_s=60.0) == []


class Ending:
    """A stream that ends by itself: with an error, or without."""

    def __init__(self, problem):
        self.problem = problem

    async def _run_forever(self):
        if self.problem is not None:
            raise self.problem

    async def close(self):
        pass


@pytest.mark.parametrize(
    ("problem", "raised", "sentence"),
    [(None, ResourceError, "ended by itself"), (ValueError("auth failed"), ValueError, "auth failed")],
)
def test_a_stream_that_ends_by_itself_is_no_silence(monkeypatch, problem, raised, sentence):
    """Nobody would hear of an order again: the trader ends, and whatever begins it again reads the account."""
    monkeypatch.setattr(streams, "stream", lambda *told: Ending(problem))
    with pytest.raises(raised, match=sentence):
        asyncio.run(streams.follow(None, None, lambda event: None))
