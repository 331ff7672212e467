"""Live: the core driven in real time, with a journal and a broker that answers when it does.

One task takes events in turn, one at a time: step, write, send. Requests are carried out by a few threads, whose answers are events
like any other. A task that fails ends them all, and with them the process: the next one recovers.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from domain import clock
from domain.clock import Clock
from pipelines.execution.core.events import Event, Moment, Ticked
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Plan, Request
from pipelines.journal import Journal

TICK_S = 1.0
#: Requests under way at once; a broker's limit is on requests a minute.
WORKERS = 4


class Broker(Protocol):
    """A broker that carries out requests."""

    def perform(self, request: Request) -> Event | None:
        """Carry one out, blocking, and return what is known then; None where nothing is."""
        ...


class Live:
    """One account's trader in real time. `hear` takes events from anywhere in the loop's thread."""

    def __init__(self, core: Core, journal: Journal, broker: Broker, time: Clock) -> None:
        self.core, self._journal, self._broker, self._time = core, journal, broker, time
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._pool = ThreadPoolExecutor(WORKERS, "broker")

    @property
    def now(self) -> Moment:
        """What both clocks show."""
        return Moment(clock.nanoseconds(self._time.now()), self._time.monotonic_ns())

    def hear(self, event: Event) -> None:
        """Take in an event; it is dealt with in its turn. None is ever dropped."""
        self._events.put_nowait(event)

    async def run(self, *feeds: AsyncIterator[Event], stop: asyncio.Event, stepped: Callable[[], None] | None = None) -> None:
        """Recover, then live until `stop`: what the feeds yield, answers, and a tick a second. `stepped` is called after each."""
        kept = self._journal.latest_snapshot()
        if kept is not None:
            self.core.restore(kept[1], self.now)
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._listen(feed)) for feed in feeds]
                tasks.append(group.create_task(self._tick()))
                self._do(self.core.start(self.now), group)
                while not stop.is_set():
                    event = await self._next(stop)
                    if event is not None:
                        self._do(self.core.step(event, self.now), group)
                    if stepped is not None:
                        stepped()
                for task in tasks:
                    task.cancel()
        finally:
            self._pool.shutdown(wait=False, cancel_futures=True)

    def _do(self, plan: Plan, group: asyncio.TaskGroup) -> None:
        """Write what a plan says, and only then send what it asks for."""
        if plan.records:
            self._journal.append(*plan.records, snapshot=self.core.packed())
        for request in plan.requests:
            group.create_task(self._perform(request))

    async def _perform(self, request: Request) -> None:
        event = await asyncio.get_running_loop().run_in_executor(self._pool, self._broker.perform, request)
        if event is not None:
            self.hear(event)

    async def _next(self, stop: asyncio.Event) -> Event | None:
        """Return the next event, or nothing when it is time to stop."""
        waiting = {asyncio.ensure_future(self._events.get()), asyncio.ensure_future(stop.wait())}
        done, late = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for each in late:
            each.cancel()
        found = [each.result() for each in done]
        return next((each for each in found if not isinstance(each, bool)), None)

    async def _listen(self, feed: AsyncIterator[Event]) -> None:
        async for event in feed:
            self.hear(event)

    async def _tick(self) -> None:
        while True:
            self.hear(Ticked())
            await asyncio.sleep(TICK_S)
