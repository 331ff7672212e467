"""From a bar to its orders, and from a halt to no open order: `python -m benchmarks.execution.latency`.

Bars: the live driver with its journal on disk, 500 symbols, a broker in this process that fills everything at once. Timed is from
the moment at which a bar with its forecast is handed to the driver, to the moments at which the broker is handed the first and the
last of its orders: the gate, the decision, one durable transaction and the way through the threads lie between. The model's own
time is not in it. "Without the disk" is the same with the journal in memory-backed files.

Halts: the same driver at a served paper exchange, over the genuine client. Timed is from the moment at which a command is left in
the account's folder to the moment at which the exchange has no open order any more; whether any order comes after it is counted.
"""

import asyncio
import platform
import tempfile
import time
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

import numpy as np

from domain.clock import SystemClock
from domain.order import OrderState, Terms, TimeInForce
from domain.panel import FloatArray, Panel
from pipelines.execution import commands
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.rest import Rest
from pipelines.execution.brokers.alpaca.stream import follow
from pipelines.execution.core import events
from pipelines.execution.core.events import Answer, Answered, BarClosed, Channel, Event, Heard, Joined, Report, Synced
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Request, Submit, Sync
from pipelines.execution.live import Live, ordered
from pipelines.journal import Journal
from tests.pipelines.execution import recorded
from tests.pipelines.execution.exchange import local

PAGE = Path(__file__).with_suffix(".md")
MEMORY = Path("/dev/shm")  # noqa: S108
SYMBOLS, BARS, HALTS, RESTING = 500, 300, 100, 20
CAPITAL = Decimal(10_000_000)
GOAL_MS, KILL_S = 1.0, 1.0
#: Nothing but time is measured: what asks for the real world's clock is wide open.
MARKET, PARAMS = recorded.terms(
    risk={"clock_offset_s_max": 1e12, "feed_silence_s_max": 1e12, "orders_max": 1e9, "repeats_max": 1e9, "turnover_max": 3.0,
          "participation_max": 1.0},
)  # fmt: skip


@dataclass
class Instant:
    """A broker that fills every order at once, at the newest close, and notes when it was handed it."""

    prices: dict[str, Decimal]
    tell: Callable[[Event], None] = print
    """Who hears of what happens."""
    cash: Decimal = CAPITAL
    held: dict[str, Decimal] = field(default_factory=dict)
    handed: list[float] = field(default_factory=list)

    def perform(self, request: Request) -> Event | None:
        """Carry out a request."""
        if isinstance(request, Submit):
            self.handed.append(time.perf_counter())
            self._fill(request)
        elif isinstance(request, Sync):
            ours = SystemClock().now()
            held = {symbol: size for symbol, size in self.held.items() if size}
            return Synced((), (), (), held, self.cash, "", request.asked_ns, int(ours.timestamp() * 1e9))
        return None

    def _fill(self, request: Submit) -> None:
        name, symbol, quantity = request.order.client_order_id, request.order.symbol, request.quantity
        price = self.prices[symbol]
        self.cash -= quantity * price
        self.held[symbol] = self.held.get(symbol, Decimal(0)) + quantity
        done = events.Execution(name, symbol, quantity, price, Decimal(0), abs(quantity), 0)
        report = Report(name, f"B{name}", symbol, quantity, OrderState.FILLED, abs(quantity))
        self.tell(Answered(name, Answer.ACKED, report))
        self.tell(Heard(report, done))


def bar(symbols: tuple[str, ...], close: FloatArray, rng: np.random.Generator, terms: Terms | None = None) -> BarClosed:
    """Return a bar that closes now, and a forecast of it."""
    at = np.array([np.datetime64(SystemClock().now().replace(tzinfo=None), "us")])
    rows = [close[None, :].copy() for _ in range(4)]
    panel = Panel(MARKET.name, "1m", symbols, at - np.timedelta64(60, "s"), at, *rows, np.full((1, len(symbols)), 1e7))
    views = rng.normal(0.0, 0.4, len(symbols))
    forecast = 0.02 * (views[:, None] + recorded.NORMAL[None, :])
    return BarClosed(panel, forecast, np.full(len(symbols), 0.01), terms=terms or Terms())


async def bars(home: Path) -> tuple[list[float], list[float], float]:
    """Return seconds to the first and to the last order of each bar, and the mean number of orders of a bar."""
    symbols = tuple(f"S{s:03d}" for s in range(SYMBOLS))
    rng, close = np.random.default_rng(5), np.full(SYMBOLS, 100.0)
    broker = Instant(dict.fromkeys(symbols, Decimal(100)))
    core = Core(MARKET, PARAMS, symbols, CAPITAL, "1")
    first, last, count = [], [], []
    with Journal(home / "journal.db") as journal:
        live = Live(core, journal, broker, SystemClock())
        loop = asyncio.get_running_loop()

        def tell(event: Event) -> None:
            loop.call_soon_threadsafe(live.hear, event)

        broker.tell = tell
        stop = asyncio.Event()

        async def feed() -> AsyncIterator[Event]:
            yield Joined(Channel.ORDERS)
            for _ in range(BARS):
                while not core.ready or core.desk.orders:
                    await asyncio.sleep(0.005)
                broker.handed.clear()
                event = bar(symbols, close, rng)
                began, lived = time.perf_counter(), core.bars
                yield event
                while core.bars == lived or any(not each.broker_id for each in core.desk.orders.values()):
                    await asyncio.sleep(0.005)
                if broker.handed:
                    first.append(min(broker.handed) - began)
                    last.append(max(broker.handed) - began)
                    count.append(len(broker.handed))
            stop.set()

        await live.run(feed(), stop=stop)
    return first, last, float(np.mean(count))


async def halts(home: Path) -> tuple[list[float], int]:
    """Return seconds from each halt to no open order, and how many orders came after a halt."""
    symbols = tuple(f"S{s:03d}" for s in range(RESTING))
    took, after = [], 0
    rng, close = np.random.default_rng(6), np.full(RESTING, 100.0)
    with local.exchange(symbols, (), capital=CAPITAL, flips=True, multiplier=Decimal(4)) as venue:
        for symbol in symbols:
            venue.bar(symbol=symbol)
        access = Access(local.KEYS.key, local.KEYS.secret, live=False, url=venue.url)
        rest, stop = Rest(access, symbols), asyncio.Event()
        core = Core(MARKET, PARAMS, symbols, CAPITAL, "1")
        exchange = venue.floor.exchange
        with Journal(home / "journal.db") as journal:
            live = Live(core, journal, rest, SystemClock())

            async def feed() -> AsyncIterator[Event]:
                nonlocal after
                for number in range(HALTS):
                    while not core.ready or core.halted or core.desk.orders:
                        await asyncio.sleep(0.005)
                    yield bar(symbols, close, rng, Terms(time_in_force=TimeInForce.DAY))
                    while not core.desk.orders or any(not each.broker_id for each in core.desk.orders.values()):
                        await asyncio.sleep(0.002)
                    sent, began = len(exchange.tickets), time.perf_counter()
                    commands.leave(home, "halt", "benchmark", "measured", 2 * number + 1)
                    while exchange.open_orders():
                        await asyncio.sleep(0.001)
                    took.append(time.perf_counter() - began)
                    yield bar(symbols, close, rng)
                    await asyncio.sleep(0.05)
                    after += len(exchange.tickets) - sent
                    commands.leave(home, "resume", "benchmark", "measured", 2 * number + 2)
                stop.set()

            await live.run(feed(), ordered(home, core), stop=stop, beside=follow(access, rest.names, live.hear))
    return took, after


def shares(values: list[float]) -> str:
    """Return median, p90, p99 and maximum in milliseconds."""
    return " | ".join(f"{np.percentile(values, share) * 1e3:.2f}" for share in (50, 90, 99, 100))


def histogram(values: list[float]) -> str:
    """Return how many values lie in each doubling of milliseconds."""
    edges = [0.0, *(2.0**k for k in range(-2, 11))]
    counts, _ = np.histogram(np.array(values) * 1e3, bins=[*edges, np.inf])
    rows = [f"below {edges[k + 1]:g} ms: {count}" for k, count in enumerate(counts[:-1]) if count]
    return ", ".join(rows + ([f"more: {counts[-1]}"] if counts[-1] else []))


def main() -> None:
    """Measure, and write the page."""
    found = {}
    for name, folder in (("journal on disk", None), ("without the disk", MEMORY if MEMORY.is_dir() else None)):
        with tempfile.TemporaryDirectory(dir=folder) as home, suppress(asyncio.CancelledError):
            found[name] = asyncio.run(bars(Path(home)))
    with tempfile.TemporaryDirectory() as home:
        took, after = asyncio.run(halts(Path(home)))
    rows = [
        f"| {name}, {count:.0f} orders a bar, the {which} | {shares(values)} |"
        for name, (first, last, count) in found.items() for which, values in (("first", first), ("last", last))
    ]  # fmt: skip
    lines = [
        "# From a bar to its orders, and from a halt to silence", "",
        f"{SYMBOLS} symbols, {BARS} bars; {HALTS} halts with up to {RESTING} orders open at the served exchange. What is timed is",
        "told in `benchmarks/execution/latency.py`; `python -m benchmarks.execution.latency`.",
        f"{SystemClock().now():%Y-%m-%d}, {platform.machine()}, 2 CPUs, Python {platform.python_version()}.", "",
        "| from a bar to an order, ms | median | p90 | p99 | most |", "|---|---:|---:|---:|---:|", *rows,
        f"| from a halt to no open order (goal: p99 below {KILL_S * 1e3:.0f}) | {shares(took)} |", "",
        f"The first order, journal on disk: {histogram(found['journal on disk'][0])}. The goal is a p99 below {GOAL_MS:g} ms.",
        f"Halts: {histogram(took)}. Orders that came after a halt: {after}.",
    ]  # fmt: skip
    PAGE.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
