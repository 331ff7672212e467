"""Orders by hand and proposals as a person meets them: words of the command line, a trader that runs, the exchange's answer."""

import asyncio
import json
from collections.abc import Callable
from decimal import Decimal

import pytest
from typer.testing import CliRunner

from domain.decision import Mode
from flows import cli, live
from flows.home import Broker
from tests.flows.conftest import MARKET, Passed
from tests.flows.test_live import PATIENCE_S, facts, opened, records, truth

YEAR_2016_NS = 1_451_606_400 * 10**9
AT = ("--market", MARKET, "--broker", "exchange")


@pytest.fixture
def home(beside: Passed, monkeypatch) -> Passed:
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(beside.home.root))
    return beside


def run(*words: str) -> dict:
    """Call the command and return its answer, or what it complained of."""
    told = CliRunner().invoke(cli.app, [*words, "--json"])
    answer = json.loads(told.stdout.splitlines()[-1])
    assert (told.exit_code == 0) == ("error" not in answer)
    return answer


def beside_a_trader(there: Passed, mode: Mode, act: Callable[[], dict]) -> dict:
    """Do something while a trader runs and knows its account and a bar; return what that came to."""

    def ready() -> bool:
        return bool(facts(there, "bar") and facts(there, "reconcile"))

    async def both() -> dict:
        stop = asyncio.Event()
        venue = live.practice([MARKET], there.home)
        trading = asyncio.create_task(live.trade_at(venue, live.Driving(mode), {MARKET: there.params}, there.home, stop))
        async with asyncio.timeout(PATIENCE_S):
            while not ready() and not trading.done():
                await asyncio.sleep(0.1)
        found = await asyncio.to_thread(act)
        stop.set()
        await trading
        return found

    return asyncio.run(both())


def test_a_person_orders_and_cancels(home: Passed):
    """The order is at the exchange with its limit and in the journal in their name; what is wrong with one is said."""

    def act() -> dict:
        thought = facts(home, "intent")[0]
        symbol, below = thought["symbol"][0], f"{thought['mark'][0] * 0.98:.2f}"
        sent = run("order", *AT, "--symbol", symbol, "--quantity", "30", "--limit", below, "--force", "gtc", "--reason", "cheap")
        twice = run("order", *AT, "--symbol", symbol, "--quantity", "30")
        listed = run("orders", *AT)
        assert "order" in sent, sent
        cancelled = run("cancel", *AT, "--order", sent["order"])
        return {"sent": sent, "twice": twice, "listed": listed, "cancelled": cancelled, "symbol": symbol, "below": below}

    with opened(home, pace_s=15.0) as where:
        found = beside_a_trader(home, Mode.MANUAL, act)
        at_exchange = {order["client_order_id"]: order for order in truth(where)["orders"]}

    order = at_exchange[found["sent"]["order"]]
    wanted = {"symbol": found["symbol"], "qty": "30", "limit_price": found["below"], "time_in_force": "gtc", "status": "canceled"}
    assert {name: order[name] for name in wanted} == wanted
    assert "one at a time" in str(found["twice"]["error"])
    assert [(each["order"], each["by"]) for each in found["listed"]["orders"]] == [(found["sent"]["order"], "hand")]
    assert facts(home, "verdict")[0]["reason"] == "cheap"


def test_a_person_is_asked_and_answers(home: Passed):
    """Nothing is sent of itself; what they accept, changed or as it is, reaches the exchange, and what they reject does not."""

    def act() -> dict:
        proposals = run("orders", *AT)["proposals"]
        first, second = proposals[0], proposals[1]
        half = Decimal(int(Decimal(first["quantity"]) / 2))
        accepted = run("accept", *AT, "--symbol", first["symbol"], "--quantity", str(half))
        rejected = run("reject", *AT, "--symbol", second["symbol"])
        again = run("accept", *AT, "--symbol", second["symbol"])
        return {"accepted": accepted, "half": half, "rejected": rejected, "again": again, "proposals": proposals}

    with opened(home, pace_s=12.0) as where:
        found = beside_a_trader(home, Mode.ASSISTED, act)
        orders = truth(where)["orders"]

    assert [order["client_order_id"] for order in orders] == [found["proposals"][0]["proposal"]]
    assert Decimal(orders[0]["qty"]) == abs(found["half"])
    assert "no proposal" in str(found["again"]["error"])
    assert len(found["proposals"]) > 2
    assert run("orders", *AT)["proposals"] == []
    assert [told["state"] for told in facts(home, "proposal")].count("accepted") == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["order", "--market", MARKET, "--broker", "paper", "--symbol", "X", "--quantity", "1"], "takes no orders by hand"),
        (["order", *AT, "--symbol", "X", "--quantity", "1"], "has no account at exchange yet: start"),
        (["orders", *AT], "has no account at exchange yet: start"),
        (["order", *AT, "--symbol", "X", "--quantity", "many"], "is no number"),
        (["order", *AT, "--symbol", "X", "--quantity", "1", "--limit", "-3"], "prices are above 0"),
        (["trade", "--market", MARKET, "--mode", "manual"], "which trades by itself: name a broker"),
    ],
)
def test_what_cannot_be_is_one_sentence(home: Passed, words, sentence):
    """And a non-zero exit."""
    told = CliRunner().invoke(cli.app, words)
    assert told.exit_code != 0
    assert sentence in told.output


def test_without_a_trader_the_word_is_taken_back(home: Passed, monkeypatch):
    """What nobody carries out now is not carried out next week."""
    monkeypatch.setattr("flows.hand.PATIENCE_S", 0.5)
    with opened(home, pace_s=5.0):
        beside_a_trader(home, Mode.MANUAL, dict)
    symbol = facts(home, "session")[0]["markets"][MARKET]["symbols"][0]
    assert "was taken back: is it running?" in str(run("order", *AT, "--symbol", symbol, "--quantity", "30")["error"])
    assert not list(home.home.account(MARKET, broker=Broker.EXCHANGE).glob("commands/*.json"))


@pytest.mark.fault("F121")
def test_the_account_is_the_brokers_and_the_status_says_who_trades_it(home: Passed):
    """Nothing is corrected where nothing differs; the trader is seen while it runs, and not any more when it has ended."""

    def act() -> dict:
        return {"corrected": run("correct", *AT, "--reason", "they called"), "status": run("status")}

    with opened(home, pace_s=15.0):
        found = beside_a_trader(home, Mode.MANUAL, act)
        beside_a_trader(home, Mode.MANUAL, dict)
    (row,) = (each for each in found["status"]["traders"] if each["account"] == f"{MARKET}@exchange")
    (after,) = (each for each in run("status")["traders"] if each["account"] == f"{MARKET}@exchange")

    assert any(sentence in str(found["corrected"]["error"]) for sentence in ("nothing is known to differ", "ask again"))
    assert (row["trader"], row["ready"], row["halted"]) == ("lives", True, False)
    assert row["seen_s_ago"] < 15
    assert row["models"].startswith(MARKET)
    assert (after["trader"], after["ready"]) == ("none", False)
    assert [record["code"] != "" for record in facts(home, "start")] == [True, True]
    assert len(facts(home, "stop")) == 2
    assert all(stored.event_at_ns > YEAR_2016_NS for stored in records(home))  # a start is at the time of the exchange
