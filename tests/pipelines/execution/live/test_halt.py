"""A halt in the middle of a burst of orders, with the genuine client at an exchange that answers slowly."""

import asyncio
import time
from decimal import Decimal

import numpy as np
import pytest

from domain.clock import SystemClock
from domain.order import Terms, TimeInForce
from domain.panel import Panel
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.rest import Rest
from pipelines.execution.brokers.alpaca.stream import follow
from pipelines.execution.core.events import BarClosed, Commanded
from pipelines.execution.core.machine import Core
from pipelines.execution.core.seat import Traded
from pipelines.execution.live import WORKERS, Live
from pipelines.journal import Journal
from tests.pipelines.execution import recorded
from tests.pipelines.execution.exchange import local

SYMBOLS = tuple(f"S{number:02}" for number in range(60))
CAPITAL = Decimal(1_000_000)
AGES = {"clock_offset_s_max": 1e12, "feed_silence_s_max": 1e12}
MARKET, PARAMS = recorded.terms(
    risk={"turnover_max": 3.0, "participation_max": 1.0, "orders_max": 1000, **AGES}, decisions={"rate": 1.0, "band": 0.0}
)
#: What each submission takes, and when the halt comes.
SLOW_S, HALT_S = 0.25, 0.6


def bar():
    """Return a bar just closed, of which half of the symbols are wanted and half not."""
    at = np.array([time.time_ns() // 1000], dtype="datetime64[us]")
    close = np.full((1, len(SYMBOLS)), 100.0)
    views = np.where(np.arange(len(SYMBOLS)) % 2, 3.0, -3.0)
    panel = Panel(
        MARKET.name, "1m", SYMBOLS, at - np.timedelta64(60, "s"), at, *(close.copy() for _ in range(4)), np.full_like(close, 1e6)
    )
    forecast = 0.02 * (views[:, None] + recorded.NORMAL[None, :])
    return BarClosed(panel, forecast, np.full(len(SYMBOLS), 0.01), terms=Terms(time_in_force=TimeInForce.DAY))


async def burst(venue, folder):
    """Send the orders of a bar, halt in the middle, and wait until nothing is open; return how many were meant to be sent."""
    access = Access(local.KEYS.key, local.KEYS.secret, live=False, url=venue.url)
    core, stop, rest = Core([Traded(MARKET, PARAMS, SYMBOLS, "1")], CAPITAL), asyncio.Event(), Rest(access, SYMBOLS)
    with Journal(folder / "journal.db") as journal:
        live = Live(core, journal, rest, SystemClock())

        async def feed():
            async with asyncio.timeout(30):
                while not core.ready:
                    await asyncio.sleep(0.02)
                venue.faults({"action": "delay", "method": "POST", "seconds": SLOW_S, "times": 1000})
                yield bar()
                await asyncio.sleep(HALT_S)
                yield Commanded("halt-1", True, "ann", "because")
                while core.desk.orders or not core.halted:
                    await asyncio.sleep(0.02)
            stop.set()

        await live.run(feed(), stop=stop, beside=follow(access, rest.names, live.hear))
        (intent,) = journal.records("intent")
        return len(intent.payload["orders"]["client_order_id"])


@pytest.mark.fault("F112")
@pytest.mark.slow
def test_no_order_leaves_after_a_halt(tmp_path):
    """Those that wait for their turn are not sent, and those that were are cancelled: no more than were under way by then."""
    with local.exchange(SYMBOLS, (), capital=CAPITAL, flips=True, multiplier=Decimal(4)) as venue:
        meant = asyncio.run(burst(venue, tmp_path))
        orders = venue.truth()["orders"]

    sent = WORKERS * (int((HALT_S + 0.5) / SLOW_S) + 1)
    assert meant > 2 * sent
    assert 0 < len(orders) <= sent
    assert {order["status"] for order in orders} == {"canceled"}
