"""A live run against the exchange, over the genuine client, decides and fills what a simulation and a replay do.

Latency and faults are off, and nothing but what only a live trader knows (ages of feeds and of symbols) is left out. The account is
read before each bar, since fees are entries of their own at a broker, which a simulation has in the price of the fill.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import numpy as np
import polars as pl
import pytest

from domain import panel as panels
from domain.clock import SystemClock
from domain.panel import PRICES, Panel
from pipelines.execution import facts, loop, simulate, thinking
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.rest import Rest
from pipelines.execution.brokers.alpaca.stream import follow
from pipelines.execution.core.events import Channel, Joined
from pipelines.execution.core.machine import Core
from pipelines.execution.core.seat import Traded
from pipelines.execution.exchange import tape
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.serving import opened
from pipelines.execution.live import Live
from pipelines.execution.matching.account import Terms
from pipelines.execution.mind import Mind
from pipelines.journal import Journal, Record
from tests.pipelines.execution import recorded
from tests.pipelines.execution.exchange.local import KEYS

CAPITAL = 1_000_000
#: Market: file, symbols, bars before the day begins, bars of the day.
DAYS = {"crypto": ("crypto_5m", 5, 60, 120), "us_equity_5m": ("equities_5m", 8, 60, 80)}


def day(name):
    """Return a market, its terms, and its newest recorded bars in regular sessions, with the row of the first to be traded."""
    file, symbols, before, bars = DAYS[name]
    cost = {"borrow_bps_year": 0.0}
    # A day takes seconds here: what throttles orders by the clock would see hundreds a minute.
    risk = {"symbol_age_bars_max": 10_000, "order_notional_max": 40_000, "repeats_max": 10_000, "orders_max": 100_000}
    market, params = recorded.terms(name, markets={name: {"cost": cost}}, risk=risk)
    market = replace(market, timeframe="5m")
    table = pl.read_parquet(recorded.DATA / f"{file}.parquet").rename({"ts": "opened_at"})
    table = table.drop_nulls(["open", "high", "low", "close", "volume"])
    chosen = table.group_by("symbol").len().sort("len", "symbol")["symbol"].to_list()[-symbols:]
    table = table.with_columns(event_at=pl.col("opened_at") + timedelta(minutes=5))
    whole = panels.from_bars(table, name, "5m", tuple(sorted(chosen)))
    newest = whole.rows(whole.bars - 2 * (before + bars), whole.bars)
    rows = [t for t, bar in enumerate(newest.each()) if thinking.is_regular(market, bar)][-(before + bars) :]
    columns = np.flatnonzero(newest.present[rows].all(axis=0)).tolist()
    assert len(rows) == before + bars
    assert len(columns) > 2
    names = tuple(newest.symbols[s] for s in columns)
    values = (np.ascontiguousarray(getattr(newest, each)[np.ix_(rows, columns)]) for each in PRICES)
    return market, params, Panel(name, "5m", names, newest.opened_at[rows], newest.event_at[rows], *values), before


class Venue:
    """The time of the exchange."""

    def __init__(self, floor):
        self._floor = floor

    def now(self):
        return self._floor.exchange.now

    def monotonic_ns(self):
        return SystemClock().monotonic_ns()


async def lived(market, params, panel, first, home):
    """Trade the panel's bars from row `first` on at a served exchange; return what the journal says, and the exchange's floor."""
    terms = Terms(Decimal(CAPITAL), multiplier=Decimal(4), flips=True)
    floor = Floor.opened(tape.assets(panel, market, params), terms, tape.moment(panel.opened_at[first]))
    served, stop, time = recorded.served(), asyncio.Event(), Venue(floor)
    mind = Mind(served, params, len(panel.symbols))
    mind.warm(panel.rows(0, first), 0)
    async with opened(floor, KEYS) as venue:
        access = Access(KEYS.key, KEYS.secret, live=False, url=f"http://127.0.0.1:{venue.port}")
        rest = Rest(access, panel.symbols)
        core = Core([Traded(market, params, panel.symbols, served.version)], Decimal(CAPITAL))
        seat = core.seats[market.name]
        with Journal(home / "journal.db") as journal:
            live = Live(core, journal, rest, time)
            for kind, told in mind.agreed(0):
                journal.append(Record(live.now.ns, live.now.monotonic_ns, kind, "mind", told))

            async def until(done):
                async with asyncio.timeout(20):
                    while not done():
                        await asyncio.sleep(0.002)

            async def bars():
                await until(lambda: core.ready)
                for t, row in zip(range(first, panel.bars), tape.rows(panel, market, first), strict=True):
                    for bar in row.bars:
                        floor.exchange.on_bar(bar)
                    await until(lambda: not core.desk.orders)
                    before = core.readiness.taken_ns
                    yield Joined(Channel.ORDERS)
                    await until(lambda before=before: core.ready and core.readiness.taken_ns > before)
                    assert core.desk.cash == floor.exchange.holdings.cash
                    for event in thinking.spoken(mind, market, panel.rows(t, t + 1), seat.bars):
                        yield event
                    await until(lambda t=t: seat.bars == t + 1 - first)
                    await until(lambda: all(each.broker_id for each in core.desk.orders.values()))
                stop.set()

            await live.run(bars(), stop=stop, beside=follow(access, rest.names, live.hear))
            assert [stored.payload for stored in journal.records("alert")] == []
            return facts.read(journal, market, panel.symbols, CAPITAL, core.halted), floor


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(DAYS))
def test_a_live_day_is_the_simulated_day(name, tmp_path):
    """The same orders and fills, bar by bar, and the same equity at every close."""
    if not (recorded.DATA / f"{DAYS[name][0]}.parquet").exists():
        pytest.skip(f"the recorded day of '{name}' is not on this machine: set NIGHTSHIFT_DATA")
    market, params, panel, first = day(name)
    since = panel.event_at[first]
    forecasts = recorded.served().forecasts(panel)
    simulated = simulate.run(panel, forecasts, market, params, model_version="1", capital=CAPITAL, since=since)
    replayed = loop.replay(panel, recorded.served(), market, params, tmp_path / "replay", since=since, capital=CAPITAL)
    live, floor = asyncio.run(lived(market, params, panel, first, tmp_path))

    assert replayed.orders_digest == simulated.orders_digest
    assert len(simulated.fills) > 30
    alike = ["decided_at", "client_order_id", "symbol", "outcome", "rule"]
    assert live.orders.select(alike).equals(simulated.orders.select(alike))
    # The account is exact here and binary in a simulation: on the edge between two lots a quantity may be the next one, and the
    # next order of the symbol makes up for it with another.
    close = {"rtol": 1e-9, "atol": 0.0 if market.instrument.lot == 1.0 else 2.01 * market.instrument.lot}
    np.testing.assert_allclose(live.orders["quantity"], simulated.orders["quantity"], **close)
    filled, found = simulated.filled, live.filled
    by_bar = np.lexsort((found.symbol, found.row))
    np.testing.assert_array_equal(found.row[by_bar], filled.row)
    np.testing.assert_array_equal(found.symbol[by_bar], filled.symbol)
    np.testing.assert_allclose(found.quantity[by_bar], filled.quantity, **close)
    np.testing.assert_allclose(found.price[by_bar], filled.price, rtol=1e-9)
    np.testing.assert_allclose(live.equity, simulated.equity, rtol=1e-9)
    assert floor.exchange.now == datetime.fromisoformat(str(panel.event_at[-1])).replace(tzinfo=UTC)
