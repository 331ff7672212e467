"""A paper exchange in a process of its own, and a trader in another: what the tests that kill need."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import alpaca.trading.client
import alpaca.trading.stream
import httpx
import numpy as np

from domain.clock import SystemClock
from domain.order import OrderKind, Terms, TimeInForce
from domain.panel import Panel
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.rest import Rest
from pipelines.execution.brokers.alpaca.stream import follow
from pipelines.execution.core.desk import SECOND, Patience
from pipelines.execution.core.events import BarClosed, Event
from pipelines.execution.core.machine import Core
from pipelines.execution.core.seat import Traded
from pipelines.execution.live import Live, ordered
from pipelines.journal import Journal
from tests.pipelines.execution import recorded
from tests.pipelines.execution.exchange import local
from tests.pipelines.execution.matching.made import MINUTE, START

#: Imported and compiled before the traders are copied from this process: each is then up at once.
READY = (alpaca.trading.client, alpaca.trading.stream)
SYMBOLS = ("AAA", "BBB", "CCC", "DDD")
CAPITAL = Decimal(1_000_000)
#: The exchange lives in another year than the trader's clock.
AGES = {"clock_offset_s_max": 1e12, "feed_silence_s_max": 1e12}
MARKET, PARAMS = recorded.terms(
    risk={"turnover_max": 3.0, "participation_max": 1.0, "order_notional_max": 400_000, "stop_loss": 0.9, **AGES},
    decisions={"rate": 1.0, "band": 0.0},
)  # fmt: skip
#: All waits a tenth of what they are in earnest, so that a test sees what they are for.
HASTE = Patience(
    looks_ns=(0, SECOND // 4, SECOND // 2, 3 * SECOND), horizon_ns=3 * SECOND, answer_ns=2 * SECOND, cancel_ns=SECOND // 2,
    sync_ns=4 * SECOND, busy_sync_ns=SECOND // 2, quiet_ns=2 * SECOND, late_ns=10**18, early_ns=10**18, starts_max=10**6,
)  # fmt: skip
DAY = Terms(OrderKind.MARKET, TimeInForce.DAY)


class Market:
    """Bars that wander, in a file that the trader follows, and lived through by the exchange at the same moment."""

    def __init__(self, url: str, tape: Path, seed: int) -> None:
        self.tape, self.chance, self.number = tape, random.Random(seed), 0
        self.admin = httpx.Client(base_url=url, headers=local.HEADERS, timeout=20)
        self.prices = dict.fromkeys(SYMBOLS, 100.0)

    def bar(self) -> None:
        """Let a minute pass: the exchange fills what waits, then the trader hears of the bar."""
        opened_at = START + self.number * MINUTE
        self.number += 1
        told = []
        for symbol in SYMBOLS:
            opened = self.prices[symbol]
            self.prices[symbol] = round(opened * (1 + self.chance.uniform(-0.006, 0.006)), 2)
            close = self.prices[symbol]
            told.append({
                "symbol": symbol, "opened_at": opened_at.isoformat(), "event_at": (opened_at + MINUTE).isoformat(), "open": opened,
                "high": max(opened, close), "low": min(opened, close), "close": close, "volume": 4000.0,
            })  # fmt: skip
        self.admin.post("/bars", json=told).raise_for_status()
        line = {"at": (opened_at + MINUTE).isoformat(), "close": [self.prices[symbol] for symbol in SYMBOLS], "number": self.number}
        with self.tape.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

    def truth(self) -> dict:
        """Return the exchange's own account of everything."""
        return self.admin.get("/truth").json()


@contextmanager
def exchange(folder: Path, seed: int = 7) -> Iterator[tuple[str, Market]]:
    """Serve an exchange in a process of its own; yield its address and its market."""
    code = "from tests.pipelines.execution.live.served import serve; serve()"
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    try:
        told = json.loads(process.stdout.readline())
        market = Market(f"http://127.0.0.1:{told['admin']}", folder / "tape.jsonl", seed)
        market.tape.touch()
        yield f"http://127.0.0.1:{told['port']}", market
        market.admin.close()
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def serve() -> None:
    """Serve until killed, and say where."""
    with local.exchange(SYMBOLS, (), capital=CAPITAL, flips=True, multiplier=Decimal(4)) as venue:
        print(json.dumps({"port": venue.port, "admin": venue.admin_port}), flush=True)  # noqa: T201
        time.sleep(10**6)


async def bars(tape: Path) -> AsyncIterator[Event]:
    """Follow the file of bars from its beginning: what was lived through before is known to the core."""
    place = 0
    while True:
        with tape.open(encoding="utf-8") as file:
            file.seek(place)
            whole = [line for line in file.readlines() if line.endswith("\n")]
            place += sum(len(line.encode()) for line in whole)
        for line in whole:
            yield closed(json.loads(line))
        await asyncio.sleep(0.02)


def closed(told: dict) -> BarClosed:
    """Return a bar and a forecast that depends on its number alone."""
    at = np.array([told["at"].replace("+00:00", "")], dtype="datetime64[us]")
    close = np.array([told["close"]])
    chance = np.random.default_rng(told["number"])
    forecast = chance.normal(0, 0.01, len(SYMBOLS))[:, None] + 0.01 * recorded.NORMAL[None, :]
    bar = Panel(
        MARKET.name, "1m", SYMBOLS, at - np.timedelta64(60, "s"), at, *(close.copy() for _ in range(4)), np.full_like(close, 4000.0)
    )
    return BarClosed(bar, forecast, np.full(len(SYMBOLS), 0.005), terms=DAY)


def trade(url: str, folder: Path) -> None:
    """Live as a trader until killed; note in a file how long it took to be ready."""
    access = Access(local.KEYS.key, local.KEYS.secret, live=False, url=url)
    core = Core([Traded(MARKET, PARAMS, SYMBOLS, "1")], CAPITAL, HASTE)
    time_, began = SystemClock(), time.monotonic()
    noted = False

    def stepped() -> None:
        nonlocal noted
        if core.ready and not noted:
            noted = True
            with (folder / "ready.txt").open("a", encoding="utf-8") as file:
                file.write(f"{time.monotonic() - began:.3f}\n")

    async def run() -> None:
        rest = Rest(access, SYMBOLS, timeout_s=1.0)
        with Journal(folder / "journal.db", deferred=True) as journal:
            live = Live(core, journal, rest, time_)
            live.recover()
            await live.run(
                bars(folder / "tape.jsonl"), ordered(folder, core), stop=asyncio.Event(),
                beside=follow(access, rest.names, live.hear), stepped=stepped,
            )  # fmt: skip

    asyncio.run(run())


@contextmanager
def trader(url: str, folder: Path) -> Iterator[int]:
    """Run a trader in a copy of this process, which is killed in the end."""
    child = os.fork()
    if child == 0:
        try:
            trade(url, folder)
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)
    try:
        yield child
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
