"""`nightshift exchange` as a person meets it: a process of its own, the genuine client, and one sentence where it cannot be."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import MarketOrderRequest
from typer.testing import CliRunner

from flows import cli
from tests.flows.conftest import MARKET, Passed

SINCE = ("--since", "2016-02-01")


@contextmanager
def serving(home, *asked):
    """Serve the stored market in a process of its own."""
    environment = {**os.environ, "NIGHTSHIFT_HOME": str(home.root)}
    started = subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; main()", "exchange", "--market", MARKET, "--port", "0",
         "--pace-s", "0.1", "--json", *asked],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    yield started
    started.kill()
    started.communicate()


@pytest.fixture
def process(passed: Passed):
    """Serve the stored market from its third day on."""
    with serving(passed.home, *SINCE) as started:
        yield started


def genuine(where):
    """Return the genuine client of a served exchange."""
    return TradingClient(*Path(where["keys"]).read_text().split(), url_override=where["url"])


def bought(client):
    """Buy ten shares of something and return the order once it is filled."""
    symbol = client.get_all_assets()[0].symbol
    order = client.submit_order(MarketOrderRequest(symbol=symbol, qty=10, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    end = time.monotonic() + 30
    while (found := client.get_order_by_id(order.id)).status != OrderStatus.FILLED:
        assert time.monotonic() < end
        time.sleep(0.05)
    return found


def test_the_genuine_client_trades_on_stored_bars(process):
    """An order is filled by the next bar; Ctrl-C ends the process politely, with what the account came to."""
    where = json.loads(process.stdout.readline())
    keys = Path(where["keys"])
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    client = genuine(where)
    assert client.get_open_position(bought(client).symbol).qty == "10"
    cash = client.get_account().cash
    process.send_signal(signal.SIGINT)
    told, complaint = process.communicate(timeout=30)
    assert (process.returncode, complaint) == (0, "")
    assert Decimal(json.loads(told)["cash"]) == Decimal(cash)


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (["--since", "2090-01-01"], "begin before"),
        (["--since", "2016-02-01", "--host", "0.0.0.0"], "--abroad"),  # noqa: S104
        (["--since", "yesterday"], "is not a day"),
        (["--since", "2016-02-01", "--market", "nosuch"], "not in params.yaml"),
    ],
)
def test_what_cannot_be_is_one_sentence(passed, monkeypatch, asked, sentence):
    """And a non-zero exit."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(passed.home.root))
    told = CliRunner().invoke(cli.app, ["exchange", "--market", MARKET, "--port", "0", *asked])
    assert told.exit_code != 0
    assert sentence in told.output


def test_a_killed_exchange_goes_on_with_its_account(beside: Passed):
    """Without another word: the same orders, positions and cash, at a later bar; one of another beginning is refused."""
    with serving(beside.home, *SINCE) as first:
        client = genuine(json.loads(first.stdout.readline()))
        order = bought(client)
        before, day = client.get_account(), client.get_clock().timestamp
        with serving(beside.home) as second:
            assert "is held by another exchange" in second.communicate(timeout=60)[1]
        first.kill()
        first.wait()
    with serving(beside.home) as again:
        client = genuine(json.loads(again.stdout.readline()))
        found, after = client.get_order_by_id(order.id), client.get_account()
        assert (found.filled_avg_price, found.filled_at) == (order.filled_avg_price, order.filled_at)
        assert (after.cash, after.account_number) == (before.cash, before.account_number)
        assert client.get_open_position(order.symbol).qty == "10"
        assert client.get_clock().timestamp >= day
    with serving(beside.home, "--since", "2016-03-01") as other:
        complaint = other.communicate(timeout=60)[1]
    assert (other.returncode, "leave out --since to go on with it" in complaint) == (1, True)


def test_a_new_account_asks_for_its_first_day(beside: Passed):
    """It is not guessed."""
    with serving(beside.home) as process:
        complaint = process.communicate(timeout=60)[1]
    assert "say with --since DAY" in complaint
