"""Stream: Alpaca's order updates as events, with a word when they begin to come and when they cease.

The genuine stream tells nobody that it was away, and what was said meanwhile is lost: here a connection that is listened on again
is a `Joined`, upon which the core reads the account. A message that cannot be read is a `Joined` as well, and not passed over.
"""

import asyncio
import json
import logging
from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from domain.error import ResourceError
from pipelines.execution.brokers.alpaca import words
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.words import Names, Unreadable
from pipelines.execution.core.events import Channel, Event, Heard, Joined, Lost

if TYPE_CHECKING:
    from alpaca.trading.stream import TradingStream

log = logging.getLogger("nightshift.alpaca")
#: Seconds from connecting until Alpaca says that it listens; the genuine stream would wait without end.
START_S = 20.0
Hear = Callable[[Event], None]


def heard(message: Any, names: Names) -> Event:
    """Return the event of a trade update; one that cannot be read asks for a reading of the account."""
    try:
        told = message["data"]
        return Heard(words.report(told["order"], names), words.execution(told, names))
    except (Unreadable, KeyError, TypeError) as problem:
        log.warning("an order update cannot be read (%s): the account is read instead", problem)
        return Joined(Channel.ORDERS)


async def follow(access: Access, names: Names, hear: Hear) -> None:
    """Follow the stream until cancelled; it comes back by itself, and what goes wrong on it is told.

    Raises what the genuine stream ends with, should it ever end: nobody would hear of an order again.
    """
    made = stream(access, names, hear)
    task = asyncio.ensure_future(made._run_forever())  # type: ignore[no-untyped-call]
    try:
        await asyncio.wait({task})
        task.result()
        raise ResourceError("the order stream ended by itself: what was said on it since is not known")
    finally:
        # `wait_for` of Python 3.11, by which the genuine stream waits, may lose a cancellation.
        while not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=0.5)
        await made.close()


def stream(access: Access, names: Names, hear: Hear) -> "TradingStream":
    """Return the genuine stream, which tells `hear` of every update, and of coming and going."""
    from alpaca.trading.stream import TradingStream

    class Told(TradingStream):
        """Says when it listens, and when it does not any more."""

        async def _start_ws(self) -> None:
            started: Coroutine[Any, Any, None] = super()._start_ws()  # type: ignore[no-untyped-call]
            await asyncio.wait_for(started, START_S)

        async def _consume(self) -> None:
            try:
                await super()._consume()  # type: ignore[no-untyped-call]
            except (ValueError, AttributeError, TypeError) as problem:
                # The genuine stream goes on as if nothing had been said.
                log.warning("a frame of the order stream cannot be read (%s): the account is read instead", type(problem).__name__)
                hear(Joined(Channel.ORDERS))

        async def _subscribe_trade_updates(self) -> None:
            await super()._subscribe_trade_updates()
            # The answer says that updates come from here on; whatever came before it is an update already.
            socket: Any = self._ws
            message = json.loads(await socket.recv())
            while message.get("stream") != "listening":
                await self._dispatch(message)
                message = json.loads(await socket.recv())
            hear(Joined(Channel.ORDERS))

        async def close(self) -> None:
            if self._running:
                hear(Lost(Channel.ORDERS))
            await super().close()

    async def handler(message: Any) -> None:
        hear(heard(message, names))

    elsewhere: Any = access.stream
    made = Told(access.key, access.secret, paper=not access.live, raw_data=True, url_override=elsewhere)
    made.subscribe_trade_updates(handler)
    return made
