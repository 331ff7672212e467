"""Replayed: what the store knows of a market, told again in the order in which it became known."""

import asyncio
import heapq
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from domain.clock import ReplayClock
from domain.error import NoData
from domain.market import Market
from pipelines.data.sources.contract import Update
from pipelines.store import TABLES, Store

#: What a live source tells of, in the order of rows that became known in one moment.
TOLD = ("news", "quotes", "trades", "bars")
#: Rows that are turned into updates at once.
SLICE = 10_000


@dataclass
class Replayed:
    """A live source of yesterday: the updates of all tables, each with its own `known_at`, at any speed.

    What quality set apart is told too, as it came, and no bar carries a flag: judging begins anew. Rows of one moment come
    by table (TOLD) and key; a recorded stream gave each its own.
    """

    store: Store
    since: datetime | None = None
    """First moment of knowledge; None begins with what is known first."""
    until: datetime | None = None
    speed: float = 0.0
    """Seconds of the market that pass in a second; 1 is as it was, 0 as fast as it goes."""
    clock: ReplayClock | None = None
    """Moved to each update's `known_at` before it is told, so that whoever reads it lives that day again."""
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def updates(self, market: Market) -> AsyncIterator[Update]:
        """Yield what became known from `since` to `until`, both included, and end; raise NoData where that is nothing."""
        tables = {table: rows for table in TOLD if not (rows := self._rows(table, market)).is_empty()}
        if not tables:
            raise NoData(
                f"market '{market.name}' was to be replayed, but the store knows nothing of it {self._span()}: record it first"
            )
        told: datetime | None = None
        for at, _, update in heapq.merge(*(_updates(table, rows) for table, rows in tables.items()), key=lambda each: each[:2]):
            if self.speed and told is not None and at > told:
                await self.pause((at - told).total_seconds() / self.speed)
            if self.clock is not None:
                self.clock.advance(max(at, self.clock.now()))
            told = at
            yield update

    def _rows(self, table: str, market: Market) -> pl.DataFrame:
        """Return the table's rows of the market by the time at which they became known."""
        schema = TABLES[table].schema
        bars = table == "bars"
        rows = self._stored(table, {"market": market.name} | ({"timeframe": market.timeframe} if bars else {}))
        apart = self._stored("quarantine", {"market": market.name, "timeframe": market.timeframe if bars else table})
        rows = pl.concat([rows.select(schema.names()), apart.select(schema.names()) if bars else _unpacked(apart, schema)])
        rows = rows.with_columns(flags=pl.lit(0, pl.Int64())) if bars else rows
        bounds = [pl.col("known_at").is_not_null()]
        bounds += [] if self.since is None else [pl.col("known_at") >= self.since]
        bounds += [] if self.until is None else [pl.col("known_at") <= self.until]
        key = [name for name in TABLES[table].key if name != "known_at"]
        return rows.filter(*bounds).unique(maintain_order=True).sort("known_at", *key, nulls_last=True)

    def _stored(self, table: str, where: dict[str, str]) -> pl.DataFrame:
        try:
            return self.store.read(table, where=where)
        except NoData:
            return pl.DataFrame(schema=TABLES[table].schema)

    def _span(self) -> str:
        first = "" if self.since is None else f"from {self.since:%Y-%m-%d %H:%M} "
        return first + ("to now" if self.until is None else f"to {self.until:%Y-%m-%d %H:%M}")


def _unpacked(apart: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Return quarantined rows as the table had them: what quarantine has no column for lies in JSON."""
    outside = ("market", "symbol", "event_at", "known_at")
    inside = pl.Struct({name: dtype for name, dtype in schema.items() if name not in outside})
    return apart.select(*outside, pl.col("row").str.json_decode(inside)).unnest("row").select(schema.names())


def _updates(table: str, rows: pl.DataFrame) -> Iterator[tuple[datetime, int, Update]]:
    place = TOLD.index(table)
    for part in rows.iter_slices(SLICE):
        for row in part.iter_rows(named=True):
            yield row["known_at"], place, Update(table, row)
