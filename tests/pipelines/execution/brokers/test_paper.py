"""The paper broker keeps the brokers' contract, and its ledger its word."""

import numpy as np
import pytest

from domain.error import OrderRefused, TradingError
from domain.panel import Panel
from pipelines.execution.brokers.paper import Paper
from tests.pipelines.execution import recorded
from tests.pipelines.execution.brokers.contract import BrokerContract, order

SYMBOLS = ("A", "B", "C")
SIGMA = np.full(3, 0.02)


def bar(row, price=50.0, volume=1e6, missing=()):
    """Return the bar of one day, the same price all day."""
    at = np.datetime64("2016-03-04T14:30:00", "us") + row * np.timedelta64(1, "D") + np.arange(1)
    prices = np.where(np.isin(SYMBOLS, missing), np.nan, price)[None, :].copy()
    columns = [prices.copy() for _ in range(4)] + [np.where(np.isnan(prices), np.nan, volume)]
    return Panel("us_equity", "1d", SYMBOLS, at, at + np.timedelta64(390, "m"), *columns)


def opened(folder, symbols=SYMBOLS):
    """Open the ledger in a folder."""
    return Paper(folder / "exchange.db", *recorded.terms(), symbols, 1_000_000.0)


class TestPaper(BrokerContract):
    """The contract suite over a ledger on disk."""

    @pytest.fixture(autouse=True)
    def _folder(self, tmp_path):
        self.folder = tmp_path

    def open(self):
        return opened(self.folder)

    def pass_bar(self, broker, bar_number):
        broker.on_bar(bar(bar_number), SIGMA)

    def reopen(self, broker):
        broker.close()
        return opened(self.folder)


@pytest.mark.fault("F25")
def test_a_bar_that_comes_twice_changes_nothing(tmp_path):
    """Not even when it comes with orders waiting for the next one."""
    broker = opened(tmp_path)
    broker.on_bar(bar(1), SIGMA)
    broker.submit([order("A", 10.0)])
    broker.on_bar(bar(1), SIGMA)
    broker.on_bar(bar(0), SIGMA)

    assert broker.positions() == {}
    broker.on_bar(bar(2), SIGMA)
    assert broker.positions()["A"].quantity == 10.0


def test_what_does_not_fill_at_the_next_open_expires(tmp_path):
    """No bar, no fill, and no fill later either; a large order fills its share of volume and no more."""
    broker = opened(tmp_path)
    broker.submit([order("A", 10.0), order("B", 500.0)])
    broker.on_bar(bar(1, volume=1_000, missing=("A",)), SIGMA)
    broker.on_bar(bar(2), SIGMA)

    assert {symbol: position.quantity for symbol, position in broker.positions().items()} == {"B": 100.0}


def test_holding_short_is_charged_by_the_bar(tmp_path):
    """Ten thousand short at 50 bps a year is an activity of its own each bar."""
    broker = opened(tmp_path)
    broker.submit([order("C", -200.0)])
    broker.on_bar(bar(1), SIGMA)
    broker.on_bar(bar(2), SIGMA)

    charges = [activity.event.amount for activity in broker.activities(0) if activity.sequence != 1]
    assert charges == [pytest.approx(200 * 50 * 0.005 / 252)] * 2


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ([order("Z", 1.0)], "order test:1:Z is for Z, which this account does not trade"),
        ([order("A", float("nan"))], "is for a quantity of nan: it must be finite and not 0"),
        ([order("A", 0.0)], "is for a quantity of 0.0: it must be finite and not 0"),
        ([order("A", 1.0), order("A", 2.0, "2")], "a second open order was sent for a symbol"),
    ],
)
def test_an_order_that_cannot_be_is_refused_with_all_beside_it(tmp_path, wrong, sentence):
    """All of a submission is accepted, or none of it."""
    broker = opened(tmp_path)

    with pytest.raises(OrderRefused, match=sentence):
        broker.submit([order("B", 5.0), *wrong])

    assert broker.known(["test:1:B"]) == frozenset()


def test_a_ledger_of_other_symbols_is_refused(tmp_path):
    """An account is of one universe."""
    opened(tmp_path).close()

    with pytest.raises(TradingError, match="is of other symbols than the 2 asked for"):
        opened(tmp_path, ("A", "B"))
