"""Accounts: average cost by hand, and identities that hold for any fills."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import account
from domain.account import Account, Position
from domain.order import Fill

AT = datetime(2016, 3, 4, 21, tzinfo=UTC)


@pytest.mark.parametrize(
    ("held", "average", "fill", "price", "expected"),
    [
        (0, 0, 100, 10, (100, 10, 0)),
        (100, 10, 100, 14, (200, 12, 0)),
        (200, 12, -50, 15, (150, 12, 150)),
        (150, 12, -150, 11, (0, 0, -150)),
        (100, 10, -160, 13, (-60, 13, 300)),
        (-60, 13, -40, 12, (-100, 12.6, 0)),
        (-100, 12.6, 30, 11.6, (-70, 12.6, 30)),
        (-70, 12.6, 100, 12, (30, 12, 42)),
    ],
)
def test_a_fill_becomes_quantity_average_and_profit(held, average, fill, price, expected):
    """One account's life, worked out by hand: adding averages, reducing realises, crossing zero opens the rest anew."""
    assert account.book(float(held), float(average), float(fill), float(price)) == pytest.approx(expected)


@given(
    st.lists(
        st.tuples(st.integers(-500, 500).filter(bool), st.floats(0.01, 1e4), st.floats(0, 10)),
        min_size=1,
        max_size=40,
    ),
    st.floats(0.01, 1e4),
)
def test_equity_is_capital_plus_realised_plus_open_profit_less_fees(trades, mark):
    """However the fills fall, the two ways to count agree, and quantity is their sum."""
    held = Account(1e6)
    for n, (quantity, price, fee) in enumerate(trades):
        held.apply(Fill(str(n), "A", float(quantity), price, fee, float(quantity), AT))

    position = held.positions["A"]
    unrealised = position.quantity * (mark - position.average_price) if position.quantity else 0.0
    assert position.quantity == sum(quantity for quantity, _, _ in trades)
    assert held.equity({"A": mark}) == pytest.approx(1e6 + held.realised - held.fees + unrealised, rel=1e-9, abs=1e-3)


def test_a_charge_is_taken_from_cash_alone():
    """Borrow changes no position."""
    held = Account(100.0, {"A": Position(1.0, 5.0)})

    held.charge(2.5)

    assert (held.cash, held.positions) == (97.5, {"A": Position(1.0, 5.0)})


def test_a_held_symbol_without_a_mark_has_no_equity():
    """What it is worth is not guessed."""
    with pytest.raises(KeyError):
        Account(0.0, {"A": Position(1.0, 5.0)}).equity({})
