"""Ingest that is killed at some point, and gone on with."""

import multiprocessing
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import polars as pl

from domain import params as parameters
from domain.clock import ReplayClock
from domain.error import NoData
from domain.market import Market
from pipelines.data import ingest
from pipelines.store import TABLES, Store
from tests.pipelines.data import clean

ROOT = Path(__file__).parents[3]
NOW = ReplayClock(datetime(2021, 1, 1, tzinfo=UTC))
WHERE = replace(clean.market(), symbols=("S0", "S1", "S2"))
#: What is counted, and loaded before a process is forked from: a child then begins at once.
POINTS = {"upsert", "bars", "read", "opened"}
LOADED = ["great_expectations", "deltalake", "pandas_market_calendars", "tests.pipelines.data.killed"]
#: Tables of what the source told. The record of what it answered for may be narrower after a kill between both: what then counts
#: is whether anything is asked for again (`questions`).
TOLD = ("bars", "quarantine", "actions")
#: Symbols, first and last moment.
Question = tuple[tuple[str, ...], datetime | None, datetime | None]


@dataclass
class Made:
    """A year of three symbols, one row of them impossible, and a dividend."""

    asked: list[Question] = field(default_factory=list)
    """What bars were asked for, question by question."""

    def __post_init__(self) -> None:
        self.whole = clean.change(clean.bars(WHERE, date(2020, 1, 1), date(2020, 12, 31), symbols=3), 300, low=-1.0)

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return what there is between the two."""
        self.asked.append((market.symbols, since, until))
        bounds = [] if since is None else [pl.col("opened_at") >= since]
        bounds += [] if until is None else [pl.col("opened_at") <= until]
        return self.whole.filter(pl.col("symbol").is_in(list(market.symbols)), *bounds)

    def actions(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return a dividend of each symbol."""
        paid = self.whole["opened_at"][30]
        row = {"market": "tested", "event_at": paid, "known_at": paid, "kind": "dividend", "value": 0.5}
        rows = [{**row, "symbol": symbol} for symbol in market.symbols if since is None or since <= paid]
        return pl.DataFrame(rows, schema=TABLES["actions"].schema)


class Counting(Store):
    """A store that counts its calls, before and after each, and at the fatal one kills its process."""

    passed, fatal = 0, 0

    def __getattribute__(self, name: str) -> Any:
        """Count around what reads and writes."""
        found = super().__getattribute__(name)
        return self._counted(found) if name in POINTS else found

    def _counted(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def around(*arguments: Any, **named: Any) -> Any:
            self._point()
            answer = call(*arguments, **named)
            self._point()
            return answer

        return around

    def _point(self) -> None:
        self.passed += 1
        if self.passed == self.fatal:
            os.kill(os.getpid(), signal.SIGKILL)


def run(folder: Path, fatal: int = 0, source: Made | None = None) -> int:
    """Ingest everything, in two pieces, and return the points passed; at the fatal one the process kills itself."""
    params = parameters.load(ROOT / "params.yaml", "us_equity", "tiny")
    ask = params.sources.ask.model_copy(update={"symbols": 3, "bars": 200, "since": date(2020, 1, 1)})
    params = params.model_copy(update={"sources": params.sources.model_copy(update={"ask": ask})})
    store = Counting(folder)
    store.fatal = fatal
    ingest.from_source(WHERE, params, store, clock=NOW, source=source or Made())
    return store.passed


def questions(folder: Path) -> list[Question]:
    """Ingest once more and return what the source was asked for."""
    source = Made()
    run(folder, source=source)
    return source.asked


def killed(folder: Path, *, after_points: int = 0, after_s: float = 0.0) -> bool:
    """Ingest in another process until it passed that many points, or for so long; return whether that killed it."""
    child = _process(folder, after_points)
    child.start()
    if after_s:
        while not (folder / "quality").exists() and child.is_alive():
            time.sleep(0.005)
        time.sleep(after_s)
        child.kill()
    child.join()
    return child.exitcode == -signal.SIGKILL


def _process(folder: Path, after_points: int) -> BaseProcess:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    return context.Process(target=run, args=(folder, after_points))


def left(folder: Path) -> dict[str, pl.DataFrame]:
    """Return what an ingest leaves, in its order; the time of inspection is no part of it."""
    store, found = Store(folder), {}
    for table in TOLD:
        try:
            found[table] = store.read(table)
        except NoData:
            found[table] = pl.DataFrame(schema=TABLES[table].schema)
    return found


def same(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> bool:
    """Say whether two ingests left the same rows of what the source told."""
    return all(one[table].equals(other[table]) for table in one)


def part(some: dict[str, pl.DataFrame], whole: dict[str, pl.DataFrame]) -> bool:
    """Say whether the bars of an unfinished ingest are some of the finished one's, each once and whole."""
    bars = some["bars"]
    strange = bars.join(whole["bars"], on=bars.columns, how="anti", nulls_equal=True)
    return strange.is_empty() and bars.select(TABLES["bars"].key).is_unique().all()
