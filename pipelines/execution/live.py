"""Live: the core driven in real time, with a journal and a broker that answers when it does.

One task takes events in turn: step, write, send. What waits is written together, in one durable transaction, up to the first event
that sends an order: news of hundreds of orders costs one write, and no order waits for what came after it. Requests are carried out
by a few threads, whose answers are events like any other. A task that fails ends them all, and with them the process: the next one
recovers.
"""

import asyncio
import gc
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from decimal import Decimal
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

from domain import clock
from domain.clock import Clock, SystemClock
from domain.error import DiskFull
from domain.order import Terms
from pipelines.execution import commands
from pipelines.execution.commands import Command
from pipelines.execution.core import machine
from pipelines.execution.core.events import (
    Answer,
    Answered,
    Asked,
    Commanded,
    Corrected,
    Decided,
    Ended,
    Event,
    Garbled,
    Moment,
    Ticked,
    Withdrawn,
)
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Cancel, Find, Plan, Request, Submit, Sync
from pipelines.journal import Journal

TICK_S = 1.0
#: Generations of objects, as `gc.collect` counts them, and ticks between two looks through all of them.
YOUNG, ALL, WHOLE_S = 1, 2, 60
#: Seconds between two times that the journal's log is emptied.
SETTLE_S = 10.0
#: Seconds between two looks for commands.
LOOK_S = 0.05
#: Requests under way at once, of those that send and of those that read: what sends never waits for what reads.
WORKERS = 4
#: Events that are written together at most.
TOGETHER = 1000

log = logging.getLogger("nightshift.live")


class Broker(Protocol):
    """A broker that carries out requests."""

    def perform(self, request: Request) -> Event | None:
        """Carry one out, blocking, and return what is known then; None where nothing is."""
        ...


class Live:
    """One account's trader in real time. `hear` takes events from anywhere in the loop's thread."""

    def __init__(self, core: Core, journal: Journal, broker: Broker, time: Clock, code: str = "") -> None:
        """`code` is the version of the house that this process runs."""
        self.core, self._journal, self._broker, self._time, self._code = core, journal, broker, time, code
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        # A cancel waits behind no order, and a reading behind neither.
        names = {Submit: "sending", Cancel: "cancelling", Find: "reading", Sync: "reading"}
        pools = {name: ThreadPoolExecutor(WORKERS, name) for name in names.values()}
        self._pools = {kind: pools[name] for kind, name in names.items()}

    @property
    def now(self) -> Moment:
        """What both clocks show."""
        return Moment(clock.nanoseconds(self._time.now()), self._time.monotonic_ns())

    def hear(self, event: Event) -> None:
        """Take in an event; it is dealt with in its turn. None is ever dropped."""
        self._events.put_nowait(event)

    def recover(self) -> None:
        """Put back what the journal kept of the account."""
        kept = self._journal.latest_snapshot()
        if kept is not None:
            sequence, raw = kept
            records = self._journal.records(since=machine.oldest(raw))
            self.core.restore(raw, takewhile(lambda stored: stored.sequence <= sequence, records), self.now)
            self.core.noted(sequence)

    async def run(
        self, *feeds: AsyncIterator[Event], stop: asyncio.Event, beside: Coroutine[Any, Any, None] | None = None,
        stepped: Callable[[], None] | None = None,
    ) -> None:  # fmt: skip
        """Live until `stop`: what the feeds yield, answers, and a tick a second. `stepped` is called after each.

        `beside` is a stream that calls `hear` by itself.
        """
        try:
            with unhurried():
                await self._live(feeds, stop, beside, stepped)
        except BaseExceptionGroup as failed:
            raise _cause(failed) from None
        finally:
            for pool in set(self._pools.values()):
                pool.shutdown(wait=False, cancel_futures=True)

    async def _live(
        self, feeds: Sequence[AsyncIterator[Event]], stop: asyncio.Event, beside: Coroutine[Any, Any, None] | None,
        stepped: Callable[[], None] | None,
    ) -> None:  # fmt: skip
        async with asyncio.TaskGroup() as group:
            within = [
                self._tick(),
                self._settle(),
                sweep(),
                *(self._listen(feed) for feed in feeds),
                *([] if beside is None else [beside]),
            ]
            tasks = [group.create_task(each) for each in within]
            self._do([self.core.start(self.now, self._code)], group)
            while not stop.is_set():
                event = await self._next(stop)
                if event is not None:
                    self._do(self._taken(event), group)
                if stepped is not None:
                    stepped()
            for task in tasks:
                task.cancel()
            self._write([self.core.step(Ended(), self.now)])

    def _taken(self, event: Event) -> list[Plan]:
        """Take in an event and those that wait behind it, up to one that sends an order."""
        plans = [self.core.step(event, self.now)]
        while len(plans) < TOGETHER and not plans[-1].submits and not self._events.empty():
            plans.append(self.core.step(self._events.get_nowait(), self.now))
        return plans

    def _do(self, plans: Sequence[Plan], group: asyncio.TaskGroup) -> None:
        """Write what plans say, and only then send what they ask for."""
        self._write(plans)
        for plan in plans:
            for request in plan.requests:
                group.create_task(self._perform(request, plan.at.monotonic_ns))

    def _write(self, plans: Sequence[Plan]) -> None:
        records = [record for plan in plans for record in plan.records]
        if records:
            self.core.noted(self._journal.append(*records, snapshot=self.core.packed()))

    async def _perform(self, request: Request, asked_ns: int) -> None:
        pool = self._pools[type(request)]
        event = await asyncio.get_running_loop().run_in_executor(pool, self._carried_out, request, asked_ns)
        if event is not None:
            self.hear(event)

    def _carried_out(self, request: Request, asked_ns: int) -> Event | None:
        """Carry out a request, but never send an order that is not wanted any more by the time that its turn comes."""
        if isinstance(request, Submit) and (reason := self._too_late(request, asked_ns)):
            return Answered(request.order.client_order_id, Answer.REFUSED, reason=f"not sent: {reason}")
        return self._broker.perform(request)

    def _too_late(self, request: Submit, asked_ns: int) -> str:
        """Return why an order that waited for its turn must not be sent now, nothing where it may."""
        waited_ns = self._time.monotonic_ns() - asked_ns
        if waited_ns > self.core.desk.patience.answer_ns:
            return f"it waited {waited_ns / 1e9:.1f} s"
        return "" if self.core.wants(request.order.client_order_id) else "trading was halted, or it was taken back"

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

    async def _settle(self) -> None:
        """Keep the journal's log short, between bars. On a full disk it stays long, which who writes will find."""
        while True:
            await asyncio.sleep(SETTLE_S)
            try:
                self._journal.checkpoint()
            except DiskFull as problem:
                log.warning("%s", problem)


@contextmanager
def unhurried() -> Iterator[None]:
    """Let no bar wait for the garbage of those before it: who enters looks for it between them, as `sweep` does.

    Left to itself Python looks whenever so many objects have been made, which is in the middle of a bar of many orders: up to a
    twentieth of a second each time. What a start has made stays, and is not looked through at all.
    """
    gc.freeze()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
        gc.unfreeze()


async def sweep() -> None:
    """Look for the garbage of the last second, and every minute for all that there is."""
    for second in itertools.count(1):
        await asyncio.sleep(TICK_S)
        gc.collect(ALL if second % WHOLE_S == 0 else YOUNG)


def _cause(failed: BaseException) -> BaseException:
    """Return what failed first; the tasks that it took with it have nothing to add."""
    return _cause(failed.exceptions[0]) if isinstance(failed, BaseExceptionGroup) else failed


async def ordered(home: Path, core: Core) -> AsyncIterator[Event]:
    """Yield the commands that people leave in `home`; one that the core has honoured, and so written, is taken away."""
    while True:
        waiting = commands.waiting(home)
        done = [command for command in waiting if command.identity in core.commands]
        commands.remove(home, done)
        for command in waiting:
            if command not in done:
                yield spoken(command, clock.nanoseconds(SystemClock().now()))
        await asyncio.sleep(LOOK_S)


def spoken(command: Command, now_ns: int) -> Event:
    """Return the event that a command stands for; how long it has waited counts by the clock of people, not of the exchange.

    What may have been a halt is one, even if it cannot be understood.
    """
    latch = command.word in {"halt", "resume"}
    if command.fault and not latch:
        return Garbled(command.identity, command.actor, command.fault)
    if latch:
        shut = command.word == "halt" or bool(command.fault)
        return Commanded(command.identity, shut, command.actor, command.fault or command.reason)
    try:
        return _meant(command, (now_ns - command.at_ns) / 1e9)
    except (KeyError, TypeError, ValueError, ArithmeticError) as problem:
        return Garbled(command.identity, command.actor, f"{command.identity} cannot be understood ({problem}): leave it again")


def _meant(command: Command, age_s: float) -> Event:
    who, told = (command.identity, command.actor, command.reason), command.told
    match command.word:
        case "order":
            return Asked(*who, told["symbol"], Decimal(told["quantity"]), Terms.read(told["terms"]), age_s)
        case "accept":
            return Decided(*who, told["proposal"], Decimal(told["quantity"]), age_s)
        case "reject":
            return Decided(*who, told["proposal"], None, age_s)
        case "cancel":
            return Withdrawn(*who, told["order"])
        case _:
            return Corrected(*who)
