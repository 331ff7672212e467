"""`nightshift exchange` as a person meets it: a process of its own, the genuine client, and one sentence where it cannot be."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from decimal import Decimal
from pathlib import Path

import pytest
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, OrderStatus, TimeInForce
from alpaca.trading.requests import MarketOrderRequest
from typer.testing import CliRunner

from flows import cli
from tests.flows.conftest import MARKET, Passed


@pytest.fixture
def process(passed: Passed):
    """Serve the stored market from its third day on, in a process of its own."""
    environment = {**os.environ, "NIGHTSHIFT_HOME": str(passed.home.root)}
    started = subprocess.Popen(
        [sys.executable, "-c", "from flows.cli import main; main()", "exchange", "--market", MARKET, "--since", "2016-02-01",
         "--port", "0", "--pace-s", "0.1", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    yield started
    started.kill()
    started.communicate()


def test_the_genuine_client_trades_on_stored_bars(process):
    """An order is filled by the next bar; Ctrl-C ends the process politely, with what the account came to."""
    where = json.loads(process.stdout.readline())
    keys = Path(where["keys"])
    assert stat.S_IMODE(keys.stat().st_mode) == 0o600
    client = TradingClient(*keys.read_text().split(), url_override=where["url"])
    symbol = client.get_all_assets()[0].symbol
    order = client.submit_order(MarketOrderRequest(symbol=symbol, qty=10, side=OrderSide.BUY, time_in_force=TimeInForce.DAY))
    end = time.monotonic() + 30
    while client.get_order_by_id(order.id).status != OrderStatus.FILLED:
        assert time.monotonic() < end
        time.sleep(0.05)
    assert client.get_open_position(symbol).qty == "10"
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
