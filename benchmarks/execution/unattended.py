"""Days of trading with nobody there: `python -m benchmarks.execution.unattended [--days 100] [--pace-s 0.15]`.

Recorded hourly bars of crypto, imported into a home of its own; `nightshift exchange` lives through them, a bar each `pace_s`
seconds; a trader beside it hears of each once the exchange has lived through it, and trades it over the genuine client with the
live driver. Both are processes of their own. The trader's memory, files and threads are looked at all the time; in the end its
journal is verified and compared with the exchange's own account to the cent.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import psutil

from domain.clock import SystemClock
from domain.market import Market
from domain.panel import Panel
from domain.params import Params
from flows.home import Home
from flows.live import Practised, Timed
from pipelines import journal as journals
from pipelines.data import materialize
from pipelines.execution import orders, thinking
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.rest import Rest
from pipelines.execution.brokers.alpaca.stream import follow
from pipelines.execution.core.events import Synced
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Sync
from pipelines.execution.core.seat import Traded
from pipelines.execution.exchange.auth import Keys
from pipelines.execution.live import Live
from pipelines.execution.mind import Mind
from pipelines.journal import Journal, Record
from pipelines.store import Store
from tests.pipelines.execution import recorded

MARKET, SYMBOLS, WARM_DAYS = "crypto", 12, 10
CODE = "from flows.cli import main; main()"
LOOK_S, REST_S = 1.0, 30.0


class Look(NamedTuple):
    """What the trader's process holds."""

    second: float
    memory: int
    files: int
    threads: int


def imported(root: Path) -> None:
    """Put the bars of some coins into a home."""
    import polars as pl

    table = pl.read_parquet(recorded.DATA / "crypto_1h.parquet").drop_nulls()
    chosen = table.group_by("symbol").len().sort("len", "symbol")["symbol"].to_list()[-SYMBOLS:]
    table.filter(pl.col("symbol").is_in(chosen)).write_parquet(root / "bars.parquet")
    command = [sys.executable, "-c", CODE, "import", str(root / "bars.parquet"), "--market", MARKET, "--json"]
    subprocess.run(command, env=environment(root), check=True, stdout=subprocess.DEVNULL)


def environment(root: Path) -> dict[str, str]:
    """Return what a child finds in its environment."""
    return {**os.environ, "NIGHTSHIFT_HOME": str(root / "home"), "OMP_NUM_THREADS": "1"}


def terms() -> tuple[Market, Params]:
    """Return the market, and terms under which an hour may take a fraction of a second."""
    fast = {"repeats_max": 10_000, "orders_max": 100_000, "feed_silence_s_max": 1e9, "account_age_s_max": 1e9}
    return recorded.terms(MARKET, risk={**fast, "clock_offset_s_max": 1e9, "drawdown_max": 0.99, "daily_loss_max": 0.99})


def trade(root: str, where: dict[str, Any], first: int) -> None:
    """Trade every bar from row `first` on, then come to rest and end."""
    market, params = terms()
    panel = materialize.read(Store(Home(Path(root) / "home").store), market)
    keys = Keys.kept(Path(where["keys"]))
    access = Access(keys.key, keys.secret, live=False, url=where["url"])
    rest = Rest(access, panel.symbols)
    clock = Practised(where["admin"], keys)
    broker, mind = Timed(rest, clock), Mind(recorded.served(), params, len(panel.symbols))
    mind.warm(panel.rows(0, first), 0)
    reading = broker.perform(Sync(rest.clock(), (), 0))
    if not isinstance(reading, Synced):
        raise SystemExit("the account could not be read")
    core = Core([Traded(market, params, panel.symbols, "1")], reading.cash)

    async def run(journal: Journal) -> None:
        live, stop = Live(core, journal, broker, clock), asyncio.Event()
        plan = core.open(reading, live.now)
        record = Record(live.now.ns, 0, "session", "benchmark", {"capital": str(reading.cash)})
        core.noted(journal.append(record, *plan.records, snapshot=core.packed()))

        async def bars() -> AsyncIterator[Panel]:
            async with clock.client() as client:
                for bar in panel.rows(first, panel.bars).each():
                    await clock.reach(orders.moment(bar.event_at[0]), client)
                    yield bar
            await asyncio.sleep(REST_S)
            stop.set()

        heard = follow(access, rest.names, live.hear)
        await live.run(thinking.closed(mind, market, bars(), 0, clock), stop=stop, beside=heard)

    with Journal(Path(root) / "journal.db") as journal:
        asyncio.run(run(journal))


def watched(process: multiprocessing.Process) -> list[Look]:
    """Look at a process until it ends."""
    looks, began, there = list[Look](), time.monotonic(), psutil.Process(process.pid)
    while process.is_alive():
        try:
            looks.append(Look(time.monotonic() - began, there.memory_info().rss, there.num_fds(), there.num_threads()))
        except psutil.Error:
            break
        process.join(LOOK_S)
    process.join()
    if process.exitcode:
        raise SystemExit(f"the trader ended with {process.exitcode}: its traceback is above")
    return looks


def audited(path: Path, truth: dict[str, Any]) -> dict[str, Any]:
    """Return what was written, once it is found to be what the exchange knows."""
    proof = journals.verify(path)
    with Journal.read_only(path) as journal:
        records = list(journal.records())
    held: dict[str, Decimal] = {}
    (cash,) = (Decimal(each.payload["capital"]) for each in records if each.kind == "session")
    fills = [each.payload for each in records if each.kind == "fill"]
    for fill in fills:
        size = Decimal(repr(fill["quantity"][0]))
        held[fill["symbol"][0]] = held.get(fill["symbol"][0], Decimal(0)) + size
        cash -= size * Decimal(repr(fill["price"][0])) + Decimal(repr(fill["fee"][0]))
    charges = [each.payload for each in records if each.kind == "charge"]
    for paid in charges:
        cash += Decimal(paid["amount"])
        held[paid["symbol"]] = held.get(paid["symbol"], Decimal(0)) + Decimal(paid["quantity"])
    there = {symbol: Decimal(size) for symbol, size in truth["positions"].items()}
    if {symbol: size for symbol, size in held.items() if size} != there or abs(cash - Decimal(truth["cash"])) >= Decimal("0.005"):
        raise SystemExit(f"the journal has {held} and {cash}, the exchange {there} and {truth['cash']}")
    if len(fills) != len(truth["executions"]):
        raise SystemExit(f"{len(fills)} executions are booked, the exchange knows {len(truth['executions'])}")
    alerts = [each.payload["reason"] for each in records if each.kind == "alert"]
    bars = sum(each.kind == "bar" for each in records)
    return {"bars": bars, "records": proof.head.sequence, "fills": len(fills), "charges": len(charges), "alerts": alerts}


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description="Trade for days with nobody there.")
    parser.add_argument("--days", type=int, default=100)
    parser.add_argument("--pace-s", type=float, default=0.15)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        imported(root)
        panel = materialize.read(Store(Home(root / "home").store), terms()[0])
        since = panel.event_at[-1] - np.timedelta64(asked.days, "D")
        since = since.astype("datetime64[D]")
        first = int(np.searchsorted(panel.opened_at, since))
        serve = ["exchange", "--market", MARKET, "--since", str(since), "--port", "0", "--pace-s", str(asked.pace_s), "--json"]
        exchange = subprocess.Popen([sys.executable, "-c", CODE, *serve], env=environment(root), stdout=subprocess.PIPE, text=True)
        try:
            where = json.loads(exchange.stdout.readline() if exchange.stdout else "")
            trader = multiprocessing.get_context("spawn").Process(target=trade, args=(str(root), where, first))
            trader.start()
            looks = watched(trader)
            keys = Keys.kept(Path(where["keys"]))
            headers = {"APCA-API-KEY-ID": keys.key, "APCA-API-SECRET-KEY": keys.secret}
            told = audited(root / "journal.db", httpx.get(f"{where['admin']}/truth", headers=headers, timeout=60).json())
        finally:
            exchange.kill()
            exchange.communicate()
    Path(__file__).with_suffix(".md").write_text("\n".join(page(asked, panel, looks, told)) + "\n", encoding="utf-8")


def page(asked: argparse.Namespace, panel: Panel, looks: list[Look], told: dict[str, Any]) -> list[str]:
    """Return the lines of the page."""
    rows = [looks[round(part * (len(looks) - 1) / 10)] for part in range(11)]
    table = [f"| {look.second / looks[-1].second:.0%} | {look.memory / 1e6:.0f} | {look.files} | {look.threads} |" for look in rows]
    later = [look for look in looks if look.second > looks[-1].second / 4]
    slope = np.polyfit([look.second for look in later], [look.memory / 1e6 for look in later], 1)[0] * looks[-1].second / asked.days
    return [
        "# Days of trading with nobody there",
        "",
        f"`python -m benchmarks.execution.unattended --days {asked.days} --pace-s {asked.pace_s}`, {SystemClock().now():%Y-%m-%d},",
        f"{platform.machine()}, {os.cpu_count()} CPUs: {asked.days} recorded days of {len(panel.symbols)} coins by the hour in",
        f"{looks[-1].second:.0f} s, the genuine client at `nightshift exchange`, two processes.",
        "",
        f"{told['bars']} bars, {told['fills']} executions and {told['charges']} charges in {told['records']} records: the chain",
        "verifies, every execution is booked, positions are those of the exchange, cash to the cent.",
        f"Alerts: {len(told['alerts'])}{': ' if told['alerts'] else ''}{'; '.join(sorted(set(told['alerts'])))}.",
        f"After the first quarter the trader's memory grows by {slope:.2f} MB a recorded day.",
        "",
        "| of the time | memory, MB | open files | threads |",
        "|---:|---:|---:|---:|",
        *table,
    ]


if __name__ == "__main__":
    main()
