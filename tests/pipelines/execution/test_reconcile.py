"""Reconciling: idempotent, and silent about nothing."""

from datetime import UTC, datetime

import pytest

from domain.account import Position
from domain.error import TradingError
from domain.order import Fill, Order
from pipelines.execution import reconcile
from pipelines.execution.brokers.contract import Activity, Charge
from pipelines.execution.trader import Trader
from tests.pipelines.execution import recorded

AT = datetime(2016, 3, 4, 21, tzinfo=UTC)


class Remembering:
    """A broker that remembers what it was sent and says what it is told to say."""

    def __init__(self, cash=1000.0, positions=None):
        self.sent, self._cash, self._positions = {}, cash, positions or {}

    def submit(self, orders):
        self.sent.update({order.client_order_id: order for order in orders})

    def known(self, client_order_ids):
        return frozenset(self.sent) & frozenset(client_order_ids)

    def activities(self, since):
        return []

    def positions(self):
        return self._positions

    def cash(self):
        return self._cash


def intents(*symbols):
    return [Order(f"m:1:{symbol}", "m", symbol, 5.0, AT, "1", 10.0) for symbol in symbols]


def trader():
    return Trader.opened(*recorded.terms(), 2, 1000.0)


def test_only_what_the_broker_lacks_is_sent():
    """And doing it a second time sends nothing."""
    broker = Remembering()
    broker.submit(intents("A"))

    first, second = (reconcile.resubmit(broker, intents("A", "B", "C")) for _ in range(2))

    assert [order.symbol for order in first] == ["B", "C"]
    assert second == []


def test_an_account_that_agrees_passes_with_what_is_not_booked_yet():
    """Fills and charges that the journal has not heard of count."""
    unbooked = [Activity(1, Fill("x", "B", 10.0, 20.0, 1.0, 10.0, AT)), Activity(2, Charge(0.5, AT))]

    reconcile.check(Remembering(1000.0 - 200.0 - 1.0 - 0.5, {"B": Position(10.0, 20.0)}), trader(), ("A", "B"), unbooked)


@pytest.mark.parametrize(
    ("broker", "sentence"),
    [
        (Remembering(1000.0, {"A": Position(3.0, 1.0)}), "the broker holds 3.0 of A, the journal says 0.0"),
        (Remembering(999.0), "the broker has cash of 999.0, the journal says 1000.0"),
    ],
)
def test_a_difference_is_one_sentence(broker, sentence):
    """What differs, and both numbers."""
    with pytest.raises(TradingError, match=sentence):
        reconcile.check(broker, trader(), ("A", "B"), [])
