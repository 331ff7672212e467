"""Orders that meet quotes: at once, at the price that is quoted, and no more than is there."""

from datetime import timedelta
from decimal import Decimal

import pytest

from domain.cost import Cost
from pipelines.execution.matching.prices import Quote
from tests.pipelines.execution.matching import test_ledger
from tests.pipelines.execution.matching.made import START, ask, bar, exchange

COSTLY = Cost(fee_bps=5, spread_bps=20, slippage_bps=10, impact=0.5, borrow_bps_year=0)


def quote(bid, offer, size=100, second=0, symbol="AAA"):
    """Return a quote of as much on either side."""
    return Quote(symbol, START + timedelta(seconds=second), *(Decimal(str(each)) for each in (bid, offer, size, size)))


def paid(made, ticket):
    """Return quantity and price of each fill of an order."""
    return [(float(done.quantity), float(done.price)) for done in made.executions if done.order_id == ticket.id]


def test_a_market_order_takes_the_newest_quote_at_once():
    """A buy takes the offer, a sale the bid; the spread is in the quote, and the fee is all that comes on top."""
    made = exchange(cost=COSTLY)
    made.on_quote(quote("49.90", "50.10"))
    bought = made.submit(ask("buy", 10))
    sold = made.submit(ask("sell", 10))

    assert (paid(made, bought), paid(made, sold)) == ([(10, 50.1)], [(10, 49.9)])
    assert (bought.state, made.marks["AAA"]) == ("filled", 50)
    assert made.executions[0].fee == Decimal("0.2505")


def test_what_is_there_is_there_once():
    """Twenty are offered: the first order leaves five of them to the second, which waits for the next quote."""
    made = exchange()
    made.on_quote(quote(50, 51, 20))
    first, second = made.submit(ask("buy", 15)), made.submit(ask("buy", 15))
    assert (paid(made, first), paid(made, second)) == ([(15, 51)], [(5, 51)])
    made.on_quote(quote(51, 52, 20, 1))

    assert paid(made, second) == [(5, 51), (10, 52)]


@pytest.mark.parametrize(
    ("time_in_force", "filled", "state"), [("ioc", 20, "canceled"), ("fok", 0, "canceled"), ("gtc", 20, "partially_filled")]
)
def test_times_in_force(time_in_force, filled, state):
    """Twenty of thirty are there."""
    made = exchange()
    made.on_quote(quote(50, 51, 20))
    ticket = made.submit(ask("buy", 30, time_in_force=time_in_force))

    assert (ticket.filled, ticket.state) == (filled, state)


def test_a_limit_waits_for_its_price():
    """It takes what is better than it asked for."""
    made = exchange()
    made.on_quote(quote(50, 51))
    ticket = made.submit(ask("buy", 10, "limit", limit_price="50.5"))
    assert not ticket.filled
    made.on_quote(quote(49, "50.4", second=1))

    assert paid(made, ticket) == [(10, 50.4)]


def test_a_stop_is_reached_by_what_it_would_have_to_take():
    """A sale by the bid; it then gets that bid, however far below."""
    made = exchange()
    made.on_quote(quote(50, 51))
    made.submit(ask("buy", 10))
    ticket = made.submit(ask("sell", 10, "stop", stop_price=49))
    made.on_quote(quote("49.5", "48.9", second=1))
    assert not paid(made, ticket)
    made.on_quote(quote("48.5", "49.5", second=2))

    assert paid(made, ticket) == [(10, 48.5)]


def test_a_trailing_stop_follows_the_bid():
    """One below the best bid of 52."""
    made = exchange()
    made.on_quote(quote(50, 51))
    made.submit(ask("buy", 10))
    ticket = made.submit(ask("sell", 10, "trailing_stop", trail_price=1))
    for second, bid in enumerate((51, 52, "51.5")):
        made.on_quote(quote(bid, 53, second=second))
    assert made.order(ticket.id).stop_price == 51
    made.on_quote(quote("50.9", 53, second=4))

    assert paid(made, ticket) == [(10, 50.9)]


@pytest.mark.fault("F35", "F84")
def test_nothing_trades_against_a_side_that_is_empty_or_a_halt():
    """Orders wait for the next quote."""
    made = exchange()
    made.on_quote(quote(50, 0))
    ticket = made.submit(ask("buy", 10, "limit", limit_price=60))
    made.halt("AAA", halted=True)
    made.on_quote(quote(50, 51, second=1))
    assert not made.order(ticket.id).filled
    made.halt("AAA", halted=False)
    made.on_quote(quote(50, 52, second=2))

    assert paid(made, ticket) == [(10, 52)]


def test_a_symbol_with_quotes_is_only_marked_by_its_bars():
    """Its orders have met what there was."""
    made = exchange()
    made.on_quote(quote(50, 51))
    ticket = made.submit(ask("buy", 10, "limit", limit_price=45))
    made.on_bar(bar(0, (50, 50, 40, 48)))

    assert (made.order(ticket.id).filled, made.marks["AAA"]) == (0, 48)


def test_quotes_are_in_the_ledger(tmp_path):
    """An exchange that is opened again has the same orders, and what is left of the newest quote."""
    made, _ = test_ledger.opened(tmp_path / "ledger.db")
    made.on_quote(quote(50, 51, 20))
    made.submit(ask("buy", 15))
    again, _ = test_ledger.opened(tmp_path / "ledger.db")

    assert test_ledger.state(again) == test_ledger.state(made)
    assert again.quotes == made.quotes
    assert again.submit(ask("buy", 10)).filled == 5
