"""A champion trades at a broker behind a wire: `nightshift exchange` in a process of its own, the genuine client, a real model."""

import asyncio
import json
import os
import subprocess
import sys
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import httpx
import pytest
from typer.testing import CliRunner

from domain.error import ConfigurationError, NoData, ResourceError
from domain.params import Params
from flows import cli, exchange, live, trade
from flows.home import Broker
from pipelines import journal as journals
from pipelines.execution.accounts import JOURNAL
from pipelines.execution.exchange.auth import Keys
from pipelines.journal import Journal, Stored
from tests.flows.conftest import MARKET, Passed

PATIENCE_S = 90.0
SINCE = "2016-02-01"


@contextmanager
def opened(there: Passed, pace_s: float = 0.4, since: str | None = SINCE, markets: tuple[str, ...] = (MARKET,), *options: str):
    """Serve markets in a process of its own; yield where."""
    environment = {**os.environ, "NIGHTSHIFT_HOME": str(there.home.root)}
    code = "from flows.cli import main; main()"
    asked = ["exchange", "--port", "0", "--pace-s", str(pace_s), "--json", *(f"--market={market}" for market in markets)]
    asked += [*options, *([] if since is None else ["--since", since])]
    process = subprocess.Popen([sys.executable, "-c", code, *asked], stdout=subprocess.PIPE, text=True, env=environment)
    try:
        yield {**json.loads(process.stdout.readline()), "process": process}
    finally:
        process.kill()
        process.communicate()


def truth(where: dict[str, Any]) -> dict[str, Any]:
    """Return the exchange's own account of everything."""
    keys = Keys.kept(Path(where["keys"]))
    headers = {"APCA-API-KEY-ID": keys.key, "APCA-API-SECRET-KEY": keys.secret}
    return httpx.get(f"{where['admin']}/truth", headers=headers).json()


def records(there: Passed) -> list[Stored]:
    """Return what the account's journal holds, nothing while there is none."""
    folders = there.home.accounts(MARKET, Broker.EXCHANGE)
    if not folders:
        return []
    try:
        with Journal.read_only(folders[0] / JOURNAL) as kept:
            return list(kept.records())
    except NoData:
        return []


def facts(there: Passed, kind: str) -> list[dict[str, Any]]:
    """Return the payloads of one kind."""
    return [stored.payload for stored in records(there) if stored.kind == kind]


def trade_until(there: Passed, enough, params: dict[str, Params] | None = None) -> dict[str, Any]:
    """Trade at the exchange until `enough`; `params` by market, by default the one market's."""
    params = params or {MARKET: there.params}

    async def both() -> dict[str, Any]:
        stop = asyncio.Event()
        venue = live.practice(list(params), there.home)
        trading = asyncio.create_task(live.trade_at(venue, live.Driving(), params, there.home, stop))
        async with asyncio.timeout(PATIENCE_S):
            while not enough() and not trading.done():
                await asyncio.sleep(0.1)
        stop.set()
        return await trading

    return asyncio.run(both())


def test_a_champion_trades_at_the_exchange_and_goes_on_after_a_restart(beside: Passed):
    """Orders reach the exchange, its fills reach the journal, and both hold the same once nothing happens any more, to the cent."""
    with opened(beside) as where:
        first = trade_until(beside, lambda: len(facts(beside, "bar")) >= 4 and facts(beside, "fill"))
        lived = first["markets"][0]["bars"]
        second = trade_until(beside, lambda: len(facts(beside, "bar")) >= lived + 4)
    with opened(beside, pace_s=1000.0, since=None) as where:
        trade_until(beside, lambda: reconciled(beside, where))
        there = truth(where)

    (before,), (after,) = first["markets"], second["markets"]
    assert (first["broker"], before["market"], before["version"]) == ("exchange", MARKET, "1")
    assert after["bars"] > before["bars"]
    assert there["executions"]
    held, cash = money(beside)
    assert held == {symbol: Decimal(size) for symbol, size in there["positions"].items()}
    assert abs(cash - Decimal(there["cash"])) < Decimal("0.005")
    assert journals.verify(beside.home.account(MARKET, broker=Broker.EXCHANGE) / JOURNAL).sealed


def reconciled(there: Passed, where: dict[str, Any]) -> bool:
    """Say whether the journal holds every execution and every fee."""
    done = truth(where)
    return len(facts(there, "fill")) == len(done["executions"]) and abs(money(there)[1] - Decimal(done["cash"])) < Decimal("0.005")


def money(there: Passed) -> tuple[dict[str, Decimal], Decimal]:
    """Add up what was written."""
    held: dict[str, Decimal] = {}
    cash = Decimal(facts(there, "session")[0]["capital"])
    for fill in facts(there, "fill"):
        size = Decimal(repr(fill["quantity"][0]))
        held[fill["symbol"][0]] = held.get(fill["symbol"][0], Decimal(0)) + size
        cash -= size * Decimal(repr(fill["price"][0])) + Decimal(repr(fill["fee"][0]))
    for paid in facts(there, "charge"):
        held[paid["symbol"]] = held.get(paid["symbol"], Decimal(0)) + Decimal(paid["quantity"])
        cash += Decimal(paid["amount"])
    return {symbol: size for symbol, size in held.items() if size}, cash


@pytest.mark.fault("F112", "F114")
def test_halt_cancels_what_is_open_and_resume_goes_on(beside: Passed):
    """By a person's word, left in the account's folder: written in their name, and nothing opens between the two."""
    asked = []

    def told(word: str) -> None:
        asked.extend(trade.command(MARKET, beside.home, word, "a person", "because"))

    def halted(where: dict[str, Any]) -> bool:
        if not asked and any(order["status"] == "new" for order in truth(where)["orders"]):
            told("halt")
        return len(facts(beside, "halt")) == 1 and not standing(where)

    def resumed() -> bool:
        if len(asked) < 3:
            told("resume")
        later = [stored for stored in records(beside) if stored.kind in {"resume", "intent"}]
        return [stored.kind for stored in later][-2:] == ["resume", "intent"]

    with opened(beside, pace_s=5.0) as where:
        trade_until(beside, lambda: halted(where))
        statuses = {order["status"] for order in truth(where)["orders"]}
        assert statuses == {"canceled"}
    with opened(beside, pace_s=0.4, since=None):
        trade_until(beside, resumed)

    by = [(stored.kind, stored.actor, stored.payload["reason"]) for stored in records(beside) if stored.kind in {"halt", "resume"}]
    assert by == [("halt", "a person", "because"), ("resume", "a person", "because")]
    assert not list(beside.home.account(MARKET, broker=Broker.EXCHANGE).glob("commands/*"))


def standing(where: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the orders that may still be filled."""
    return [
        order for order in truth(where)["orders"] if order["status"] in {"new", "accepted", "pending_cancel", "partially_filled"}
    ]


@pytest.mark.fault("F08")
def test_an_exchange_that_is_gone_ends_the_trader(beside: Passed):
    """In one sentence; what was written stays."""

    async def both(process) -> None:
        venue = live.practice([MARKET], beside.home)
        trading = asyncio.create_task(live.trade_at(venue, live.Driving(), {MARKET: beside.params}, beside.home, asyncio.Event()))
        async with asyncio.timeout(PATIENCE_S):
            while not facts(beside, "bar") and not trading.done():
                await asyncio.sleep(0.1)
            process.kill()
            await trading

    with opened(beside) as where, pytest.raises(ResourceError, match="answers no more"):
        asyncio.run(both(where["process"]))
    assert facts(beside, "bar")


def test_without_an_exchange_nothing_is_traded(beside: Passed):
    """One sentence says what to start."""
    with pytest.raises(ConfigurationError, match=f"start `nightshift exchange --market {MARKET}` first"):
        live.practice([MARKET], beside.home)


def test_the_exchange_of_another_market_is_not_taken(beside: Passed):
    """It would be asked for symbols that it does not know."""
    (beside.home.root / exchange.OPEN).write_text(json.dumps({"markets": ["crypto"], "keys": "x", "url": "y", "admin": "z"}))
    with pytest.raises(ConfigurationError, match="it is open for crypto"):
        live.practice([MARKET], beside.home)


@pytest.mark.parametrize(
    ("asked", "typed", "sentence"),
    [
        (["--broker", "alpaca"], "", "ALPACA_API_KEY and ALPACA_SECRET_KEY is not set"),
        (["--broker", "alpaca", "--live-account", "123"], "124\n", "type the account's number to go on"),
        (["--broker", "exchange", "--live-account", "123"], "", "accounts with money are at alpaca"),
        (["--broker", "ibkr"], "", "'ibkr' is not one of"),
    ],
)
def test_a_broker_that_cannot_be_is_one_sentence(beside: Passed, monkeypatch, asked, typed, sentence):
    """And a non-zero exit, before anything is opened."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(beside.home.root))
    for name in ("ALPACA_API_KEY", "APCA_API_KEY_ID", "ALPACA_SECRET_KEY", "APCA_API_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    told = CliRunner().invoke(cli.app, ["trade", "--market", MARKET, *asked], input=typed)
    assert told.exit_code != 0
    assert sentence in told.output
    assert not beside.home.journals.exists()


def test_an_odd_row_of_assets_ends_no_trader(monkeypatch):
    """What cannot be traded is asked for again; what was known of it stays meanwhile."""
    monkeypatch.setattr(live, "LISTING_S", 0.0)

    class Odd:
        answers = iter([KeyError("tradable"), frozenset({"AAA"})])

        def untradable(self, symbols):
            found = next(self.answers)
            if isinstance(found, KeyError):
                raise found
            return found

    async def first():
        return await anext(live._listed(Odd(), ("AAA", "BBB")))

    assert asyncio.run(first()).untradable == {"AAA"}
