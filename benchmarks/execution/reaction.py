"""From a bar to its orders, and from a halt to an empty book: `python -m benchmarks.execution.reaction`.

First, in process: what passes between a bar of 500 symbols with its forecasts and the moment at which its orders may be sent, each
of them durable by then. Then over the wire: what passes between a person's word and the exchange knowing no open order of ours any
more, and the message that tells of it.
"""

import gc
import os
import platform
import queue
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from decimal import Decimal
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from domain.clock import SystemClock, nanoseconds
from domain.order import TERMINAL, OrderState
from domain.panel import Panel
from domain.params import Alerts
from flows import alerts
from flows.home import Home
from pipelines.execution import commands, live
from pipelines.execution.core.desk import SECOND
from pipelines.execution.core.events import Answer, Answered, BarClosed, Channel, Execution, Heard, Joined, Moment, Report, Synced
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Plan, Submit, Sync
from pipelines.execution.core.seat import Traded
from pipelines.journal import Journal
from tests.pipelines.execution import recorded
from tests.pipelines.execution.live import served

SYMBOLS, BARS, WARM = 500, 220, 20
HALTS = 60
#: How far a position must be from its aim to be changed: every symbol trades, or few.
BANDS = (0.0, 1.0, 3.0, 4.0, 4.5)
CAPITAL = Decimal(100_000_000)
#: A folder of Linux whose files never reach a disk: what the disk costs is the difference.
MEMORY = Path("/dev", "shm")
QUANTILES = (0.5, 0.9, 0.99, 1.0)
EDGES_MS = (0.25, 0.5, 1, 2, 3, 4, 6, 8, 12, 16, 24)


class Reaction(NamedTuple):
    """Milliseconds of one bar."""

    stepped: float
    packed: float
    written: float
    orders: int

    @property
    def total(self) -> float:
        """From the bar to the first order on its way."""
        return self.stepped + self.packed + self.written


class Account:
    """A core of many symbols and a broker in the same process that fills everything at once."""

    def __init__(self, journal: Journal, band: float) -> None:
        self.symbols = tuple(f"S{number:03d}" for number in range(SYMBOLS))
        market, params = recorded.terms(risk={"orders_max": 100_000, "repeats_max": 1000}, decisions={"band": band})
        self.core = Core([Traded(market, params, self.symbols, "1")], CAPITAL)
        self.market, self.journal, self.chance = market, journal, np.random.default_rng(5)
        self.close, self.second = self.chance.uniform(20, 200, SYMBOLS).round(2), 0
        self.view, self.cash, self.held = self.chance.normal(0, 1, SYMBOLS), CAPITAL, dict[str, Decimal]()
        self.react(self.core.step(Joined(Channel.ORDERS), self.at))

    @property
    def at(self) -> Moment:
        """The time."""
        return Moment(1_704_200_000 * SECOND + self.second * SECOND, self.second * SECOND + 1)

    def bar(self) -> Reaction:
        """Live through a bar, timed up to where its orders may be sent, and let them all be filled."""
        said = self._closed()
        times = [time.perf_counter_ns()]
        plan = self.core.step(said, self.at)
        times.append(time.perf_counter_ns())
        snapshot = self.core.packed()
        times.append(time.perf_counter_ns())
        self.journal.append(*plan.records, snapshot=snapshot)
        times.append(time.perf_counter_ns())
        self.react(plan)
        return Reaction(*(np.diff(times) / 1e6).tolist(), sum(isinstance(each, Submit) for each in plan.requests))

    def react(self, plan: Plan) -> None:
        """Answer what is asked, and write what comes of it at once, as the live loop does."""
        plans = [
            self.core.step(each, self.at)
            for request in plan.requests
            if isinstance(request, Submit)
            for each in self._filled(request)
        ]
        plans += [self.core.step(self._read(request), self.at) for request in plan.requests if isinstance(request, Sync)]
        records = [record for each in plans for record in each.records]
        if records:
            self.journal.append(*records, snapshot=self.core.packed())

    def _closed(self) -> BarClosed:
        self.second += 60
        self.close = (self.close * (1 + self.chance.normal(0, 0.002, SYMBOLS))).round(2)
        self.view = 0.9 * self.view + 0.4 * self.chance.normal(0, 1, SYMBOLS)
        at, close = np.array([self.at.ns // 1000], dtype="datetime64[us]"), self.close[None, :]
        bar = Panel(
            self.market.name, "1m", self.symbols, at - np.timedelta64(60, "s"), at, *(close.copy() for _ in range(4)), close * 1e6
        )
        forecast = 0.01 * (self.view[:, None] + recorded.NORMAL[None, :])
        return BarClosed(bar, forecast, np.full(SYMBOLS, 0.002))

    def _filled(self, request: Submit) -> Iterator[Answered | Heard]:
        order, size = request.order, request.quantity
        price = Decimal(str(self.close[self.symbols.index(order.symbol)]))
        self.cash -= size * price
        self.held[order.symbol] = self.held.get(order.symbol, Decimal(0)) + size
        report = Report(order.client_order_id, f"B-{order.client_order_id}", order.symbol, size, OrderState.NEW, Decimal(0))
        yield Answered(order.client_order_id, Answer.ACKED, report)
        done = Execution(order.client_order_id, order.symbol, size, price, Decimal(0), abs(size), self.at.ns)
        yield Heard(replace(report, state=OrderState.FILLED, filled=abs(size)), done)

    def _read(self, request: Sync) -> Synced:
        held = {symbol: size for symbol, size in self.held.items() if size}
        return Synced((), (), (), held, self.cash, "c", request.asked_ns, self.at.ns)


def reactions(folder: Path, band: float) -> list[Reaction]:
    """Return what each bar took, the first few left out."""
    with Journal(folder / "journal.db", deferred=True) as journal:
        account = Account(journal, band)
        for _ in range(WARM):
            account.bar()
        with live.unhurried():
            return [_one(account) for _ in range(BARS - WARM)]


def _one(account: Account) -> Reaction:
    """Live through a bar, and do after it what a trader does every few seconds."""
    took = account.bar()
    gc.collect(live.YOUNG)
    account.journal.checkpoint()
    return took


class Mailbox(ThreadingHTTPServer):
    """Takes messages and notes when."""

    def __init__(self) -> None:
        self.came = queue.Queue[float]()
        super().__init__(("127.0.0.1", 0), Post)
        threading.Thread(target=self.serve_forever, daemon=True).start()


class Post(BaseHTTPRequestHandler):
    """One message."""

    def do_POST(self) -> None:
        """Note that it came, if it tells of a halt."""
        told = self.rfile.read(int(self.headers["Content-Length"]))
        if b"halt: halt" in told and isinstance(self.server, Mailbox):
            self.server.came.put(time.monotonic())
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Be quiet."""


def halts(root: Path) -> tuple[list[float], list[float], int]:
    """Return seconds from each halt to an empty book, and to the message that tells of it, and how many orders were open in all."""
    home, box = Home(root), Mailbox()
    folder = home.journals / "us_equity@exchange"
    folder.mkdir(parents=True)
    settings = Alerts(topics=["halt"], every_s=30.0, lines_max=20)
    watch = alerts.Watch(home, settings, alerts.apprise(f"json://127.0.0.1:{box.server_port}/"), SystemClock())
    stop, clear, told, opened = threading.Event(), list[float](), list[float](), 0

    def telling() -> None:
        while not stop.wait(alerts.LOOK_S):
            watch.look()

    with served.exchange(folder) as (url, market), served.trader(url, folder):
        teller = threading.Thread(target=telling)
        teller.start()
        for number in range(HALTS):
            opened += _opened(market)
            began = time.monotonic()
            say(folder, "halt")
            while standing(market):
                time.sleep(0.002)
            clear.append(time.monotonic() - began)
            told.append(box.came.get(timeout=30) - began)
            say(folder, "resume")
            time.sleep(0.05 * (1 + number % 20))
        stop.set()
        teller.join()
    box.shutdown()
    box.server_close()
    return clear, told, opened


def _opened(market: served.Market) -> int:
    """Let bars pass until orders are open, and return how many."""
    end = time.monotonic() + 30
    while time.monotonic() < end:
        market.bar()
        time.sleep(0.3)
        if found := standing(market):
            return len(found)
    raise SystemExit("no order was sent within 30 s: there is nothing to halt")


def standing(market: served.Market) -> list[str]:
    """Return the orders that the exchange still works."""
    return [order["id"] for order in market.truth()["orders"] if OrderState(order["status"]) not in TERMINAL]


def say(folder: Path, word: Literal["halt", "resume"]) -> None:
    """Leave a word as a person does."""
    commands.leave(folder, word, "benchmark", "measured", nanoseconds(SystemClock().now()))


def quantiles(values: Sequence[float]) -> str:
    """Return the cells of a row."""
    return " | ".join(f"{value:.2f}" for value in np.quantile(values, QUANTILES))


def histogram(values: Sequence[float]) -> list[str]:
    """Return lines of bars, one a range of milliseconds."""
    edges = (0.0, *EDGES_MS, np.inf)
    counts, _ = np.histogram(values, edges)
    rows = zip(edges[:-1], edges[1:], counts.tolist(), strict=True)
    return [f"{low:5.2f} to {high:5.2f} ms {'#' * round(60 * count / len(values))} {count}" for low, high, count in rows if count]


def main() -> None:
    """Measure and write the page."""
    lines = [
        "# From a bar to its orders, from a halt to an empty book",
        "",
        f"`python -m benchmarks.execution.reaction`, {SystemClock().now():%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPUs,",
        f"load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}.",
        "",
        f"{SYMBOLS} symbols, {BARS - WARM} bars: milliseconds from the bar, its forecasts made, to where its orders may be sent.",
        "The gate has judged them and the journal holds them durably by then. Every order is filled at once, and the account is",
        "read as often as in earnest. Garbage and the journal's log wait until a bar is over, as in earnest.",
        "",
        "| journal on | orders a bar | part | 50% | 90% | 99% | most |",
        "|---|---:|---|---:|---:|---:|---:|",
    ]
    pictures: list[str] = []
    for place, name in ((None, "disk"), (MEMORY, "memory")):
        for band in BANDS:
            with tempfile.TemporaryDirectory(dir=place) as folder:
                found = reactions(Path(folder), band)
            orders = f"{np.mean([each.orders for each in found]):.0f}"
            for part in ("stepped", "packed", "written", "total"):
                lines.append(f"| {name} | {orders} | {part} | {quantiles([getattr(each, part) for each in found])} |")
            pictures += ["", f"On {name}, {orders} orders a bar:", "", "```", *histogram([each.total for each in found]), "```"]
    with tempfile.TemporaryDirectory() as root:
        clear, told, opened = halts(Path(root))
    lines += [
        *pictures, "",
        f"Over the wire, {HALTS} halts with {opened} open orders in all: the genuine client, an exchange in a process of its own,",
        "the command left as `nightshift halt` leaves it, the message sent by Apprise to a server here. Seconds until the exchange",
        "knows no open order any more, asked every 2 ms, and until the message has come.",
        "",
        "| until | 50% | 90% | 99% | most |",
        "|---|---:|---:|---:|---:|",
        f"| no open order | {quantiles(clear)} |",
        f"| the message | {quantiles(told)} |",
    ]  # fmt: skip
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
