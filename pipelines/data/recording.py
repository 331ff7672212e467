"""Recording: any live source written to the store, batch by batch, bars through quality like all others."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import polars as pl

from domain.bar import BAR_KEY
from domain.clock import Clock, SystemClock
from domain.error import DataError, NoData
from domain.market import Market
from domain.params import Params
from pipelines.data import ingest, quality
from pipelines.data.sources.contract import LiveSource, Update
from pipelines.store import TABLES, Store

LOG = logging.getLogger(__name__)
#: Batches that may wait while one is being stored; past them the source has to wait.
WAITING = 20


@dataclass(frozen=True)
class Recorded:
    """What was stored so far."""

    market: str
    source: str
    bars: int = 0
    trades: int = 0
    quotes: int = 0
    news: int = 0
    quarantined: int = 0
    """Rows of all tables that were set apart as impossible, with the reason."""
    batches: int = 0
    first: datetime | None = None
    """When the first update became known."""
    last: datetime | None = None

    @property
    def updates(self) -> int:
        """Updates stored, those set apart included."""
        return self.bars + self.trades + self.quotes + self.news + self.quarantined


async def record(
    source: LiveSource, market: Market, params: Params, store: Store, *,
    clock: Clock | None = None, stop: asyncio.Event | None = None, told: Callable[[Recorded], None] | None = None,
) -> Recorded:  # fmt: skip
    """Store what `source` tells of `market` until it ends or `stop` is set, and return what was stored.

    A batch is stored when it has `batch_rows` updates or is `batch_s` old (sources.recorder); what is waiting is stored in the end,
    however it comes: after a kill no more is missing than the batches that waited, and the next ingest brings their bars.
    `told` hears of every stored batch. Raises what the source raises, once the rest is stored, and what the store raises.
    """
    recorder = _Recorder(ingest.at_rest(market), params, store, clock or SystemClock(), told)
    async with aclosing(source.updates(recorder.market)) as updates:  # type: ignore[type-var]  # all are generators
        listening = asyncio.create_task(recorder.listen(updates))
        stopping = asyncio.create_task((stop or asyncio.Event()).wait())
        try:
            await recorder.keep(listening, stopping)
        finally:
            stopping.cancel()
            listening.cancel()
            ended = await asyncio.gather(listening, stopping, return_exceptions=True)
            await recorder.store_all()
    if isinstance(ended[0], Exception):
        raise ended[0]
    return recorder.recorded


@dataclass
class _Recorder:
    market: Market
    params: Params
    store: Store
    clock: Clock
    told: Callable[[Recorded], None] | None
    recorded: Recorded = field(init=False)
    waiting: list[Update] = field(default_factory=list)
    full: asyncio.Event = field(default_factory=asyncio.Event)
    room: asyncio.Event = field(default_factory=asyncio.Event)

    def __post_init__(self) -> None:
        self.recorded = Recorded(self.market.name, self.market.source)

    async def listen(self, updates: AsyncIterator[Update]) -> None:
        """Take what comes; wait when too much is waiting."""
        rows = self.params.sources.recorder.batch_rows
        async for update in updates:
            self.waiting.append(update)
            if len(self.waiting) >= rows:
                self.full.set()
            if len(self.waiting) >= rows * WAITING:
                self.room.clear()
                await self.room.wait()

    async def keep(self, listening: "asyncio.Task[None]", stopping: "asyncio.Task[bool]") -> None:
        """Store a batch whenever one is full or old enough, until there is nothing more to hear."""
        while not listening.done() and not stopping.done():
            filling = asyncio.create_task(self.full.wait())
            watched = {listening, stopping, filling}
            await asyncio.wait(watched, timeout=self.params.sources.recorder.batch_s, return_when=asyncio.FIRST_COMPLETED)
            full = filling.done()
            filling.cancel()
            await self.store_all(self.params.sources.recorder.batch_rows if full else 1)

    async def store_all(self, least: int = 1) -> None:
        """Store what is waiting, a batch at a time, beside the listening, until fewer than `least` updates are left."""
        rows = self.params.sources.recorder.batch_rows
        while len(self.waiting) >= least:
            batch, self.waiting = self.waiting[:rows], self.waiting[rows:]
            self.full.clear()
            self.room.set()
            self.recorded = await asyncio.to_thread(_stored, batch, self)
            if self.told is not None:
                self.told(self.recorded)


def _stored(batch: list[Update], to: _Recorder) -> Recorded:
    """Store one batch, table by table, and return what is stored with it."""
    rows: dict[str, list[dict[str, object]]] = {}
    for update in batch:
        rows.setdefault(update.table, []).append(dict(update.row))
    counts: dict[str, Any] = {}
    apart = 0
    for table, of in rows.items():
        frame = pl.DataFrame(of, schema=TABLES[table].schema)
        lost = _ingested(frame, to) if table == "bars" else _kept(table, frame, to)
        counts[table] = getattr(to.recorded, table) + len(of) - lost
        apart += lost
    return replace(
        to.recorded, **counts, quarantined=to.recorded.quarantined + apart, batches=to.recorded.batches + 1,
        first=to.recorded.first or batch[0].row["known_at"], last=batch[-1].row["known_at"],
    )  # fmt: skip


def _kept(table: str, frame: pl.DataFrame, to: _Recorder) -> int:
    """Store trades, quotes or headlines through their suite and return how many were set apart."""
    limits, source = to.params.quality, to.market.source
    return quality.keep(table, frame, to.market, limits, to.store, source=source, clock=to.clock).quarantined


def _ingested(frame: pl.DataFrame, to: _Recorder) -> int:
    """Ingest bars and return how many were set apart; a batch of nothing but impossible bars ends no recording."""
    try:
        return ingest.ingest(frame, to.market, to.params, to.store, source=to.market.source, clock=to.clock).quarantined
    except DataError as problem:
        if not _set_apart(frame, to):
            raise
        LOG.warning("a batch was set apart: %s", problem)
        return frame.height


def _set_apart(frame: pl.DataFrame, to: _Recorder) -> bool:
    """Say whether all rows are in quarantine."""
    try:
        stored = to.store.read("quarantine", where={"market": to.market.name, "timeframe": to.market.timeframe})
    except NoData:
        return False
    return frame.join(stored, on=BAR_KEY, how="anti", nulls_equal=True).is_empty()
