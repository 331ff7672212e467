"""The exchange's ledger: what was answered is there again, whatever killed the exchange."""

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import textwrap
from contextlib import suppress
from decimal import Decimal
from pathlib import Path

import pytest

from domain.cost import Cost
from domain.error import ConfigurationError, DiskFull, TradingError
from domain.market import AssetClass
from domain.order import OrderClass
from domain.venue import Leg, Refused
from pipelines.execution.fills import Venue
from pipelines.execution.matching.account import Asset, Terms
from pipelines.execution.matching.ledger import Ledger, Recorded
from tests.pipelines.execution.matching.made import START, ask, bar

COST = Cost(fee_bps=5, spread_bps=2, slippage_bps=1, impact=0.5, borrow_bps_year=0)
ROOT = Path(__file__).parents[4]


def opened(path, capital=100_000):
    """Return an exchange on a ledger, and what it tells its listener."""
    venue = Venue(COST.rates(), 1.0, 0.5, 0.0)
    exchange = Recorded(
        [Asset(symbol, AssetClass.EQUITY, venue, True) for symbol in ("AAA", "BBB")], Terms(Decimal(capital)), START, Ledger(path)
    )
    told = []
    exchange.listen(told.append, told.append)
    exchange.recover()
    return exchange, told


def live(exchange, steps, seed=0, first=0):
    """Do random things to an exchange, of which some are refused."""
    rng = random.Random(seed)
    for step in range(first, first + steps):
        price = 50 + rng.randint(-200, 200) / 100
        with suppress(Refused):
            match rng.randrange(8):
                case 0 | 1:
                    exchange.submit(
                        ask(rng.choice(["buy", "sell"]), rng.randint(1, 40), time_in_force=rng.choice(["day", "ioc", "gtc"]))
                    )
                case 2:
                    exchange.submit(ask(rng.choice(["buy", "sell"]), 5, "limit", limit_price=round(price, 2), symbol="BBB"))
                case 3:
                    legs = {"take_profit": Leg(Decimal(52)), "stop_loss": Leg(None, Decimal(48))}
                    exchange.submit(ask("buy", 5, order_class=OrderClass.BRACKET, **legs))
                case 4:
                    exchange.cancel(rng.choice([*exchange.tickets, "none"]))
                case 5:
                    exchange.replace(rng.choice([*exchange.tickets, "none"]), quantity=Decimal(rng.randint(1, 30)))
                case 6:
                    exchange.charge("CSD", Decimal(rng.randint(1, 99)) / 7)
                case _:
                    exchange.halt("BBB", halted=rng.random() < 0.5)
        for symbol in exchange.assets:
            exchange.on_bar(bar(step, (price, price + 1, price - 1, price), rng.choice([0.0, 11.0, 1000.0, float("nan")]), symbol))


def state(exchange):
    """Return all that an exchange knows."""
    names = ("now", "marks", "tickets", "names", "executions", "sequence", "last_equity", "halted", "working")
    return [getattr(exchange, name) for name in names] + [exchange.holdings, exchange.worth()]


@pytest.mark.parametrize("seed", range(5))
def test_an_exchange_is_again_what_it_was(tmp_path, seed):
    """Orders, fills, cash, marks, halts and what it told: everything, and it goes on as if nothing had been."""
    exchange, told = opened(tmp_path / "ledger.db")
    live(exchange, 60, seed)
    exchange.split("AAA", Decimal(2))
    exchange.dividend("AAA", Decimal("0.3"))
    exchange.close_session(AssetClass.EQUITY)
    again, told_again = opened(tmp_path / "ledger.db")

    assert len(exchange.executions) > 10
    assert state(again) == state(exchange)
    assert told_again == told
    for each in (exchange, again):
        live(each, 1, 99, 60)
    assert state(again) == state(exchange)


def test_what_is_told_is_written_before(tmp_path):
    """Whoever hears of a fill may act upon it: by then another process can read it."""
    exchange, _ = opened(tmp_path / "ledger.db")
    reader = sqlite3.connect(tmp_path / "ledger.db")
    seen = []
    exchange.listen(
        lambda update: seen.append((update.sequence, reader.execute("SELECT max(sequence) FROM records").fetchone()[0])),
        seen.append,
    )
    exchange.submit(ask("buy", 1, "limit", limit_price=50))
    exchange.on_bar(bar(0, (49, 51, 48, 50)))

    # Opened, submit, its update; then the bar, its update and its fee.
    assert [written for _, written in seen[:2]] == [3, 6]


def submit_many(exchange):
    """Send orders until it is too much."""
    for number in range(1000):
        exchange.submit(ask("buy", 1, client_order_id=f"mine-{number}"))


def test_a_ledger_that_is_full_stops_the_exchange(tmp_path):
    """An order that could not be written was never taken: nobody is told, and the restart does not know it."""
    exchange, told = opened(tmp_path / "ledger.db")
    exchange.on_bar(bar(0, (50, 50, 50, 50)))
    pages = exchange._ledger._connection.execute("PRAGMA page_count").fetchone()[0]
    exchange._ledger._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(DiskFull, match="free some space"):
        submit_many(exchange)
    taken = [update.ticket.client_order_id for update in told if hasattr(update, "ticket")]
    with pytest.raises(TradingError, match="open it again"):
        exchange.submit(ask("buy", 1))
    exchange._ledger.close()

    again, _ = opened(tmp_path / "ledger.db")
    assert list(again.names) == taken
    assert not again.submit(ask("buy", 1)).filled


def test_a_ledger_that_was_touched_is_not_believed(tmp_path):
    """A changed price leads elsewhere, a broken record nowhere; another account's ledger is named."""
    exchange, _ = opened(tmp_path / "ledger.db")
    live(exchange, 10)
    exchange._ledger.close()
    file = sqlite3.connect(tmp_path / "ledger.db")
    ((sequence, payload),) = file.execute("SELECT sequence, payload FROM records WHERE kind = 'Activity' LIMIT 1").fetchall()
    changed = json.loads(payload) | {"amount": "1"}
    file.execute("UPDATE records SET payload = ? WHERE sequence = ?", (json.dumps(changed), sequence))
    file.commit()
    with pytest.raises(TradingError, match="does not lead to"):
        opened(tmp_path / "ledger.db")
    file.execute("UPDATE records SET payload = '{' WHERE sequence = ?", (sequence,))
    file.commit()
    with pytest.raises(TradingError, match=f"record {sequence} .* cannot be read"):
        opened(tmp_path / "ledger.db")
    with pytest.raises(ConfigurationError, match="other assets or terms"):
        opened(tmp_path / "ledger.db", capital=1)


CHILD = """
import sys
from pathlib import Path
from tests.pipelines.execution.matching.test_ledger import ask, bar, opened
exchange, _ = opened(Path(sys.argv[1]))
exchange.on_bar(bar(0, (50, 50, 50, 50)))
for number in range(100_000):
    print(exchange.submit(ask("buy", 1, "limit", limit_price=40, client_order_id=f"mine-{number}")).client_order_id, flush=True)
    exchange.on_bar(bar(number + 1, (50, 50, 30, 50)))
"""


@pytest.mark.parametrize("answers", [1, 7, 23])
def test_kill_9_loses_nothing_that_was_answered(tmp_path, answers):
    """A real process dies at a moment that it does not choose; every order that it answered is there, and every fill once."""
    path = tmp_path / "ledger.db"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    child = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(CHILD), str(path)], stdout=subprocess.PIPE, text=True, env=environment, cwd=ROOT
    )
    assert child.stdout is not None
    answered = [child.stdout.readline().strip() for _ in range(answers)]
    child.send_signal(signal.SIGKILL)
    answered += child.stdout.read().split("\n")[:-1]
    child.wait()
    child.stdout.close()

    exchange, _ = opened(path)
    assert set(answered) <= set(exchange.names)
    assert len(exchange.names) - len(answered) in {0, 1}
    assert len({(done.order_id, done.cumulative) for done in exchange.executions}) == len(exchange.executions)
    assert exchange.holdings.of("AAA").quantity == len(exchange.executions)
