"""What companies do to their symbols: a delisting and a new name end in a known state."""

from decimal import Decimal

import pytest

from domain.venue import Refused
from tests.pipelines.execution.matching import test_ledger
from tests.pipelines.execution.matching.made import ask, bar, exchange


def holding(made):
    """Hold 10 of AAA, with a limit to sell 4 that waits."""
    made.on_bar(bar(0, (50, 50, 50, 50)))
    made.submit(ask("buy", 10))
    made.on_bar(bar(1, (50, 52, 50, 52)))
    return made.submit(ask("sell", 4, "limit", time_in_force="gtc", limit_price=60)).id


@pytest.mark.fault("F90")
@pytest.mark.parametrize(("price", "paid"), [(None, 520), (Decimal("1.5"), 15), (Decimal(0), 0)])
def test_a_delisting_pays_and_ends_everything(price, paid):
    """Ten shares at the last price, at what was offered, or at nothing; no order survives, and none is taken."""
    made = exchange()
    waiting = holding(made)
    cash = made.holdings.cash
    made.delist("AAA", price)

    assert made.order(waiting).state == "canceled"
    assert (made.holdings.cash - cash, dict(made.holdings.positions)) == (paid, {})
    assert (made.paid[-1].kind, made.paid[-1].amount, made.paid[-1].quantity) == ("REORG", paid, -10)
    with pytest.raises(Refused, match="asset AAA is not active"):
        made.submit(ask("buy", 1))


@pytest.mark.fault("F43", "F90")
def test_a_new_symbol_is_the_same_asset():
    """Position, mark and open order go over; the old symbol takes no orders, the new one fills what waited."""
    made = exchange()
    waiting, before = holding(made), made.asset("AAA").id
    cash = made.holdings.cash
    made.rename("AAA", "ZZZ")

    assert (made.asset("ZZZ").id, made.holdings.cash) == (before, cash)
    assert made.asset("AAA").id != before
    assert {symbol: held.quantity for symbol, held in made.holdings.positions.items()} == {"ZZZ": 10}
    assert (made.marks, made.available("ZZZ")) == ({"ZZZ": 52}, 6)
    with pytest.raises(Refused, match="asset AAA is not active"):
        made.submit(ask("buy", 1))
    made.on_bar(bar(2, (60, 61, 60, 61), symbol="ZZZ"))
    assert made.order(waiting).state == "filled"
    assert made.holdings.of("ZZZ").quantity == 6


def test_a_name_that_is_taken_is_refused():
    """Two assets would be one."""
    made = exchange(["AAA", "BBB"])
    with pytest.raises(Refused, match="asset BBB exists"):
        made.rename("AAA", "BBB")


def test_companies_are_in_the_ledger(tmp_path):
    """An exchange that is opened again lists what the other listed."""
    made, _ = test_ledger.opened(tmp_path / "ledger.db")
    holding(made)
    made.rename("AAA", "ZZZ")
    made.delist("BBB", Decimal(1))
    again, _ = test_ledger.opened(tmp_path / "ledger.db")

    assert (again.assets, test_ledger.state(again)) == (made.assets, test_ledger.state(made))
