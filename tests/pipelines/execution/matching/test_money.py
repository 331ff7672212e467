"""Orders that would trade more than is there, or at a moment that they did not ask for: each was once possible here."""

from decimal import Decimal, localcontext

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.order import OrderClass, TimeInForce
from domain.venue import Ask, Leg, Refused, Side
from tests.pipelines.execution.matching.made import ask, bar, exchange

LEGS = {"take_profit": Leg(Decimal(55)), "stop_loss": Leg(None, Decimal(45))}


def bracketed():
    """Return an exchange that holds 10 with a target and a stop, and their ids."""
    made = exchange()
    entry = made.submit(ask("buy", 10, order_class=OrderClass.BRACKET, **LEGS))
    made.on_bar(bar(0, (50, 51, 49, 50)))
    return made, entry.legs


@pytest.mark.fault("F80")
def test_what_legs_would_sell_is_not_sold_twice():
    """A sale beside the legs would leave a stop that opens a short: the legs hold the position, the larger of both."""
    made, _ = bracketed()

    assert made.available("AAA") == 0
    with pytest.raises(Refused, match="insufficient qty available") as refused:
        made.submit(ask("sell", 10))
    assert refused.value.extras["held_for_orders"] == "10"


def test_legs_that_are_cancelled_give_the_position_free():
    """One alone still holds it."""
    made, (target, stop) = bracketed()
    made.cancel(target)
    assert made.available("AAA") == 0
    made.cancel(stop)

    assert made.available("AAA") == 10
    assert made.submit(ask("sell", 10)).open


def test_a_replaced_leg_is_still_a_leg():
    """When its partner fills it ends: it would sell what is gone."""
    made, (target, stop) = bracketed()
    moved = made.replace(target, limit_price=Decimal(60))
    made.on_bar(bar(1, (50, 51, 44, 46)))

    assert made.order(stop).state == "filled"
    assert made.order(moved.id).state == "canceled"
    assert moved.id in made.order(made.order(stop).parent).legs


def test_orders_that_belong_together_keep_their_quantity():
    """Alpaca replaces the prices of a bracket's orders alone: legs of unlike sizes would leave one of them behind."""
    made, (target, _) = bracketed()
    told = made.sequence
    with pytest.raises(Refused, match="only limit_price and stop_price"):
        made.replace(target, quantity=Decimal(3))
    assert made.sequence == told


def test_an_order_by_value_cannot_be_replaced():
    """As Alpaca has it: cancel it and send another one."""
    made = exchange()
    made.on_bar(bar(0, (50, 50, 50, 50)))
    entry = made.submit(Ask("AAA", Side.BUY, None, notional=Decimal(500), time_in_force=TimeInForce.DAY))
    with pytest.raises(Refused, match="notional"):
        made.replace(entry.id, quantity=Decimal(3))


def test_a_leg_of_a_replaced_entry_is_still_its_leg():
    """The entry is another order by then."""
    made = exchange()
    made.on_bar(bar(0, (50, 50, 50, 50)))
    entry = made.submit(ask("buy", 10, "limit", limit_price=49, order_class=OrderClass.BRACKET, **LEGS))
    moved = made.replace(entry.id, limit_price=Decimal(50))
    made.on_bar(bar(1, (50, 51, 49, 50)))
    made.on_bar(bar(2, (50, 56, 49, 50)))

    assert [made.order(each).state for each in moved.legs] == ["filled", "canceled"]
    assert made.available("AAA") == 0
    assert not made.holdings.positions


@pytest.mark.parametrize("time_in_force", ["ioc", "fok", "opg"])
def test_a_limit_for_one_moment_does_not_rest(time_in_force):
    """The open is beyond it: that the bar trades through it later is another moment."""
    made = exchange()
    ticket = made.submit(ask("buy", 10, "limit", time_in_force=time_in_force, limit_price=49))
    made.on_bar(bar(0, (50, 51, 40, 45), first=True))

    assert (made.order(ticket.id).filled, made.order(ticket.id).state) == (0, "canceled")


def test_a_limit_for_the_close_does_not_rest():
    """The close is beyond it, the bar was not."""
    made = exchange()
    ticket = made.submit(ask("buy", 10, "limit", time_in_force="cls", limit_price=49))
    made.on_bar(bar(0, (50, 51, 40, 50), last=True))

    assert (made.order(ticket.id).filled, made.order(ticket.id).state) == (0, "expired")


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 10**15), st.floats(0.01, 90_000)), min_size=1, max_size=20))
def test_cash_is_exact_however_many_digits_it_has(trades):
    """Coins of nine decimals at prices of seventeen digits: the sum is the sum, to the last digit."""
    made = exchange(lot=1e-9, capital=Decimal(10) ** 30)
    for number, (nano, price) in enumerate(trades):
        made.submit(ask("buy", Decimal(nano).scaleb(-9), time_in_force="day"))
        made.on_bar(bar(number, [price] * 4, 1e12))
    with localcontext(prec=400):
        spent = sum((done.quantity * done.price for done in made.executions), Decimal(0))

        assert len(made.executions) == len(trades)
        assert made.holdings.cash == Decimal(10) ** 30 - spent
