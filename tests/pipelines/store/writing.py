"""Two writers and a reader of one table, and what every read must show."""

import multiprocessing
import time
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from domain.clock import SystemClock
from pipelines.store import Store
from tests.pipelines.store.rows import START, bar, table

WRITERS, ROWS, SHARED = 2, 20, 5
#: Hours of the rows that both write, and of the one that each of them overwrites with its counter.
SHARED_HOUR, COUNTER_HOUR = 100_000, 200_000


@dataclass(frozen=True)
class Seen:
    """What a reader found over the whole run."""

    reads: int
    versions: int
    wrong: list[str]
    """One sentence a read that was not a consistent version."""
    rows: int
    """Rows in the end."""
    written: tuple[int, ...]
    """Batches by writer."""


def batch(writer: int, number: int) -> pl.DataFrame:
    """Return a writer's batch: rows of its own, rows that the other writes as well, and its counter."""
    own = [bar(f"W{writer}-{i}", number, float(number)) for i in range(ROWS)]
    shared = [bar(f"both-{i}", SHARED_HOUR + number, float(number)) for i in range(SHARED)]
    return table(*own, *shared, bar(f"counter-{writer}", COUNTER_HOUR, float(number)))


def write(root: Path | str, writer: int, seconds: float) -> None:
    """Write batch after batch for so long."""
    store, clock, number = Store(root), SystemClock(), 0
    ends = clock.monotonic_ns() + int(seconds * 1e9)
    while clock.monotonic_ns() < ends:
        store.upsert("bars", batch(writer, number))
        number += 1


def wrong(rows: pl.DataFrame) -> str | None:
    """Return what is inconsistent in a version, or None: every batch is there whole and once, up to its writer's counter."""
    if not rows.select("symbol", "opened_at", "known_at").is_unique().all():
        return "a row is there twice"
    for writer in range(WRITERS):
        counter = rows.filter(symbol=f"counter-{writer}")["close"].to_list()
        last = int(counter[0]) if counter else -1
        own = rows.filter(pl.col("symbol").str.starts_with(f"W{writer}-"))["close"].value_counts().sort("close")
        if own.rows() != [(float(number), ROWS) for number in range(last + 1)]:
            return f"writer {writer} counted to {last}, but its rows are {own.rows()[-3:]}"
    batches = 1 + max((int(n) for n in rows.filter(pl.col("symbol").str.starts_with("counter-"))["close"]), default=-1)
    shared = rows.filter(pl.col("symbol").str.starts_with("both-"))
    return None if shared.height == SHARED * batches else f"{shared.height} shared rows of {batches} batches"


def contest(root: Path | str, seconds: float) -> Seen:
    """Let two processes write at once while this one reads, and return what it saw."""
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=write, args=(root, writer, seconds)) for writer in range(WRITERS)]
    for process in writers:
        process.start()
    store, found, versions, reads = Store(root), list[str](), set[int](), 0
    while any(process.is_alive() for process in writers):
        if not store.holds("m", "1h"):
            time.sleep(0.01)
            continue
        version = store.version("bars")
        if (said := wrong(store.at({"bars": version}).bars("m", "1h"))) is not None:
            found.append(f"version {version}: {said}")
        versions.add(version)
        reads += 1
    for number, process in enumerate(writers):
        process.join()
        if process.exitcode:
            found.append(f"writer {number} ended with {process.exitcode}")
    rows = store.bars("m", "1h", since=START)
    if (said := wrong(rows)) is not None:
        found.append(f"in the end: {said}")
    counters = rows.filter(pl.col("symbol").str.starts_with("counter-")).sort("symbol")["close"].to_list()
    return Seen(reads, len(versions), found, rows.height, tuple(int(n) + 1 for n in counters))
