"""Trade: the live trader lives through bars as a simulation does, swaps its model between them, and stops when told."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from domain.error import LeaseTaken, NoChampion, NoData, ResourceError
from flows import learn, prepare, retrain, trade
from flows.home import Home
from pipelines import journal as journals
from pipelines.data import materialize
from pipelines.execution import simulate
from pipelines.execution.accounts import JOURNAL
from pipelines.execution.facts import read
from pipelines.journal import Journal
from pipelines.registry import Registry
from pipelines.store import Store
from tests.flows.conftest import MARKET, Passed, tiny

ROOT = Path(__file__).parents[2]
SINCE = date(2016, 11, 1)
PATIENCE_S = 60.0


def facts(home: Home, kind: str) -> list[dict[str, Any]]:
    """Return the payloads of one kind in the account's journal, none while there is no journal."""
    try:
        with Journal.read_only(home.account(MARKET) / JOURNAL) as kept:
            return [stored.payload for stored in kept.records(kind)]
    except NoData:
        return []


def trade_until(there: Passed, enough: Callable[[], bool], **named: Any) -> dict[str, Any]:
    """Trade until `enough` and return what the trader says at its end."""

    async def both() -> dict[str, Any]:
        stop = asyncio.Event()
        trading = asyncio.create_task(trade.trade(MARKET, there.home, there.params, stop=stop, **named))
        async with asyncio.timeout(PATIENCE_S):
            while not enough() and not trading.done():
                await asyncio.sleep(0.05)
        stop.set()
        return await trading

    return asyncio.run(both())


def test_living_through_stored_bars_gives_the_orders_of_a_simulation(beside: Passed) -> None:
    """The same champion over the same bars: order by order the same digest, and the journal's chain holds."""
    market = beside.params.market(MARKET)
    panel = materialize.read(Store(beside.home.store), market)
    first = int(np.searchsorted(panel.event_at, np.datetime64(SINCE)))

    trade_until(beside, lambda: len(facts(beside.home, "bar")) == panel.bars - first, since=SINCE)

    registry = Registry(beside.home.mlflow)
    served = trade.champion(market, beside.params, beside.home, registry)
    since = panel.event_at[first]
    expected = simulate.run(panel, served.forecasts(panel), market, beside.params, model_version="1", since=since)
    with Journal.read_only(beside.home.account(MARKET) / JOURNAL) as kept:
        lived = read(kept, market, panel.symbols, beside.params.fills.capital, halted=False)
    assert lived.orders_digest == expected.orders_digest
    assert lived.metrics == expected.metrics
    assert journals.verify(beside.home.account(MARKET) / JOURNAL).sealed


def test_another_champion_takes_over_between_two_bars(copied: Passed) -> None:
    """The alias moves while the trader trades: the journal tells of both models, and bars went on under each."""
    home = copied.home
    learn.night(
        MARKET, date(2017, 8, 1), home, tiny(registry=copied.params.registry.model_dump(), learning={"drifted_share_max": 1.0})
    )
    registry = Registry(home.mlflow)

    def rolled_back() -> bool:
        models = [payload["version"] for payload in facts(home, "model")]
        if len(facts(home, "bar")) >= 3 and models == ["2"] and registry.version(MARKET, "champion").number == 2:
            registry.rollback(MARKET)
        return len(models) == 2

    told = trade_until(copied, rolled_back, since=SINCE, pace_s=0.2)

    assert [payload["version"] for payload in facts(home, "model")] == ["2", "1"]
    assert facts(home, "model")[1]["bars"] >= 3
    assert told["version"] == "1"


def test_a_new_account_waits_for_news_and_an_old_one_goes_on(copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing stored is traded; what the store learns of is, once, also after a restart."""
    monkeypatch.setattr(trade, "POLL_S", 0.1)
    home, params = copied.home, copied.params

    def after(day: date) -> Callable[[], bool]:
        asked: list[date] = []

        def enough() -> bool:
            if not asked and facts(home, "model"):
                asked.append(day)
                prepare.prepare(MARKET, retrain.known_by(day), home, params)
            return bool(asked) and last(home) == np.datetime64(day)

        return enough

    trade_until(copied, after(date(2016, 12, 7)))
    first = len(facts(home, "bar"))
    trade_until(copied, after(date(2016, 12, 9)))

    assert first == 4
    assert len(facts(home, "bar")) == 6


def last(home: Home) -> np.datetime64 | None:
    """Return the day of the newest bar that the trader lived through."""
    with Journal.read_only(home.account(MARKET) / JOURNAL) as kept:
        bars = [stored.event_at_ns for stored in kept.records("bar")]
    return np.datetime64(bars[-1], "ns").astype("datetime64[D]") if bars else None


def test_two_traders_cannot_own_one_account(beside: Passed) -> None:
    """The second is told in one sentence; the first goes on."""

    def second() -> bool:
        if not facts(beside.home, "bar"):
            return False
        with pytest.raises(LeaseTaken):
            Journal(beside.home.account(MARKET) / JOURNAL)
        return True

    told = trade_until(beside, second, since=SINCE, pace_s=0.05)

    assert told["market"] == MARKET


@pytest.mark.fault("F94")
def test_without_a_registry_the_last_known_champion_goes_on(beside: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow may be down: the bundle on this machine, verified, is served; without one there is nothing to serve."""
    market = beside.params.market(MARKET)
    known = trade.champion(market, beside.params, beside.home, Registry(beside.home.mlflow))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    down = Registry(beside.home.mlflow)

    found = trade.champion(market, beside.params, beside.home, down)

    assert found.version == known.version == "1"
    (beside.home.models / MARKET / trade.STANDING).unlink()
    with pytest.raises(ResourceError):
        trade.champion(market, beside.params, beside.home, down)


def test_without_a_champion_nothing_trades(tmp_path: Path, passed: Passed) -> None:
    """Only a promoted model is served."""
    with pytest.raises(NoChampion):
        trade.run(MARKET, Home(tmp_path), passed.params)


@pytest.mark.fault("F04")
@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_program_after_its_bar(beside: Passed, number: signal.Signals) -> None:
    """Exit status 0, a summary on the way out, and a journal that is sealed."""
    environment = {**os.environ, "NIGHTSHIFT_HOME": str(beside.home.root)}
    command = [sys.executable, "-m", "flows.trade", "--market", MARKET, "--since", str(SINCE), "--pace-s", "0.2"]
    trader = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    wait_for(lambda: len(facts(beside.home, "bar")) >= 2, trader)
    trader.send_signal(number)
    said, warned = trader.communicate(timeout=PATIENCE_S)

    assert trader.returncode == 0, warned
    assert json.loads(said)["version"] == "1"
    assert journals.verify(beside.home.account(MARKET) / JOURNAL).sealed


def wait_for(enough: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    """Wait until `enough`, for as long as the process lives."""
    while not enough():
        try:
            process.wait(0.2)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(process.communicate()[1])
