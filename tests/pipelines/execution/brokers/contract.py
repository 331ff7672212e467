"""What every broker of the house promises: a plug's test class inherits these."""

from datetime import UTC, datetime

from domain.order import Fill, Order
from pipelines.execution.brokers.contract import Broker, Charge

AT = datetime(2016, 3, 4, 21, tzinfo=UTC)


def order(symbol: str, quantity: float, name: str = "1") -> Order:
    """Return a market order for the next open."""
    return Order(f"test:{name}:{symbol}", "us_equity", symbol, quantity, AT, "1", 50.0)


class BrokerContract:
    """Subclasses open a broker over A, B and C at `bar 0` with 1,000,000 and no orders, let a bar pass, and open it again."""

    def open(self) -> Broker:
        raise NotImplementedError

    def pass_bar(self, broker: Broker, bar: int) -> None:
        raise NotImplementedError

    def reopen(self, broker: Broker) -> Broker:
        raise NotImplementedError

    def test_a_new_account_holds_cash_alone(self):
        """Nothing held, nothing happened."""
        broker = self.open()

        assert (broker.cash(), broker.positions(), broker.activities(0)) == (1_000_000.0, {}, [])

    def test_an_order_is_filled_once_and_told_once(self):
        """Its fill changes position and cash by just what it says, and is not told again after its sequence."""
        broker = self.open()
        broker.submit([order("A", 100.0)])
        self.pass_bar(broker, 1)

        (activity,) = broker.activities(0)
        fill = activity.event
        assert isinstance(fill, Fill)
        assert (fill.client_order_id, fill.quantity, fill.cumulative) == ("test:1:A", 100.0, 100.0)
        assert broker.positions()["A"].quantity == 100.0
        assert broker.cash() == 1_000_000.0 - 100.0 * fill.price - fill.fee
        assert broker.activities(activity.sequence) == []

    def test_sending_twice_is_sending_once(self):
        """A client order id that is known is not sent again, before its bar or after it."""
        broker = self.open()
        for _ in range(2):
            broker.submit([order("A", 100.0)])
        self.pass_bar(broker, 1)
        broker.submit([order("A", 100.0)])
        self.pass_bar(broker, 2)

        assert broker.positions()["A"].quantity == 100.0
        assert broker.known(["test:1:A", "test:2:A"]) == {"test:1:A"}

    def test_an_account_is_what_it_was_after_reopening(self):
        """Open orders, positions, cash and history survive."""
        broker = self.open()
        broker.submit([order("A", 100.0), order("B", -50.0)])
        self.pass_bar(broker, 1)
        broker.submit([order("C", 10.0, "2")])
        before = broker.cash(), broker.positions(), broker.activities(0)
        broker = self.reopen(broker)

        assert (broker.cash(), broker.positions(), broker.activities(0)) == before
        self.pass_bar(broker, 2)
        assert broker.positions()["C"].quantity == 10.0

    def test_cash_is_the_sum_of_what_happened(self):
        """Fills and charges explain the account to the bit."""
        broker = self.open()
        for bar in range(1, 6):
            broker.submit([order("A", 100.0 * (-1) ** bar, str(bar)), order("B", -20.0, str(bar))])
            self.pass_bar(broker, bar)

        cash = 1_000_000.0
        for activity in broker.activities(0):
            event = activity.event
            cash = cash - event.amount if isinstance(event, Charge) else cash - event.quantity * event.price - event.fee
        assert broker.cash() == cash
