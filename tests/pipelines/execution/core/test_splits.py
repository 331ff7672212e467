"""Splits by hand: the broker's books and the bars tell of one at two moments, and what is held is worth the same throughout."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from domain.factors import Actions
from domain.order import OrderState
from pipelines.execution.core import machine
from pipelines.execution.core.events import Charge, Corrected, Report, Ticked
from pipelines.execution.core.machine import Core
from tests.pipelines.execution.core.test_machine import CAPITAL, MARKET, TRADED, Hand

FOUR = Actions(np.array([4.0, 1.0]), np.array([4.0, 1.0]))
LONG, NONE = (3.0, 0.0), (0.0, 0.0)


def begun():
    """Return an account that holds AAA, bought at 100, and is short of BBB."""
    made = Hand()
    for sent in made.bar(LONG).values():
        made.fill(sent)
    return made


@pytest.fixture
def hand():
    return begun()


def booked(hand, ratio=Decimal(4)):
    """Let the broker make more shares, and read the account."""
    held = hand.held["AAA"]
    hand.held["AAA"] = held * ratio
    hand.charges.append(Charge(f"S{len(hand.charges)}", Decimal(0), "SPLIT", hand.at.ns, "AAA", held * (ratio - 1)))
    hand.read()


def book(hand):
    return hand.core.seats[MARKET.name].trader.book


def alerts(hand):
    return [each.payload["reason"] for each in hand.records if each.kind == "alert"]


def restarted(hand):
    """Let another process go on."""
    raw = hand.core.packed()
    hand.core = Core([TRADED], CAPITAL).restore(raw, [], hand.at)
    return hand


@pytest.mark.fault("F89")
@pytest.mark.parametrize("again", [False, True])
@pytest.mark.parametrize("first", ["broker", "bar"])
def test_what_is_held_is_worth_the_same(hand, first, again):
    """Whichever tells first, before and after a restart in between: no loss, no halt, the right number of shares in the end."""
    worth, held = hand.core.equity, hand.held["AAA"]
    if first == "broker":
        booked(hand)
        assert hand.core.equity == pytest.approx(worth, rel=1e-12)
        hand = restarted(hand) if again else hand
        hand.bar(NONE, (25.0, 100.0), actions=FOUR)
    else:
        hand.bar(NONE, (25.0, 100.0), actions=FOUR)
        assert hand.core.equity == pytest.approx(worth, rel=1e-12)
        assert [each for each in alerts(hand) if "AAA was split" in each]
        hand = restarted(hand) if again else hand
        booked(hand)
    splits = hand.core.seats[MARKET.name].splits

    assert hand.core.equity == pytest.approx(worth, rel=1e-12)
    assert (splits.told, splits.booked) == ({}, {})
    assert hand.core.desk.holdings["AAA"] == 4 * held
    assert (book(hand).mark[0], book(hand).average[0]) == (25.0, 25.0)
    assert not hand.core.halted
    hand.bar(NONE, (26.0, 100.0))
    assert hand.core.equity == pytest.approx(worth + 4 * float(held), rel=1e-12)


def test_a_symbol_whose_split_is_not_booked_is_left_alone(hand):
    """Its price says nothing about what is held, and the account is read at once."""
    assert set(begun().bar((-3.0, 3.0))) == {"AAA", "BBB"}
    before = hand.asked
    assert set(hand.bar((-3.0, 3.0), (25.0, 100.0), actions=FOUR)) == {"BBB"}
    assert hand.asked > before


def test_what_is_not_held_needs_no_broker():
    """A split of a symbol that nobody here holds: it has its price, and its return is none."""
    hand = Hand()
    hand.bar(NONE)
    moments = hand.core.seats[MARKET.name].trader.memory.moments.copy()
    sent = hand.bar(LONG, (25.0, 100.0), actions=FOUR)

    assert sent["AAA"].quantity > 0
    assert not alerts(hand)
    np.testing.assert_allclose(hand.core.seats[MARKET.name].trader.memory.moments, moments * (1 - 1 / 250), rtol=1e-12)


def test_what_was_bought_after_a_split_waits_for_no_booking():
    """Nothing was held when it was split, and an order filled at the open after it: the broker holds what we do."""
    hand = Hand()
    bought = hand.bar(LONG)["AAA"]
    hand.fill(bought, 25)
    hand.bar(NONE, (25.0, 100.0), actions=FOUR)
    splits = hand.core.seats[MARKET.name].splits
    assert splits.hidden == {"AAA"}
    hand.read()

    assert (splits.told, splits.fresh) == ({}, {})
    assert hand.core.equity == pytest.approx(float(CAPITAL), rel=1e-12)
    hand.bar(NONE, (26.0, 100.0))
    assert not splits.hidden
    assert book(hand).mark[0] == 26.0
    assert not hand.core.halted


def test_a_bar_from_before_a_split_that_is_booked_has_no_price(hand):
    """A process catches up: its bars are of the shares before."""
    worth = hand.core.equity
    booked(hand)
    hand.bar(NONE, (101.0, 100.0))
    assert hand.core.equity == pytest.approx(worth, rel=1e-12)
    assert [each for each in alerts(hand) if "as the broker's books tell" in each]
    hand.bar(NONE, (25.0, 100.0), actions=FOUR)
    assert hand.core.equity == pytest.approx(worth, rel=1e-12)
    assert not hand.core.seats[MARKET.name].splits.hidden


def test_a_payout_is_a_return_and_no_loss_of_it():
    """A tenth is paid out: the price falls by a tenth, and the symbol has earned nothing."""
    hand = Hand()
    hand.bar(NONE)
    seat = hand.core.seats[MARKET.name]
    hand.bar(NONE, (90.0, 100.0), actions=Actions(np.ones(2), np.array([1 / 0.9, 1.0])))

    np.testing.assert_allclose(seat.trader.memory.moments[1], 1 - 1 / 250, rtol=1e-12)
    assert seat.trader.book.mark[0] == 90.0


def test_a_reverse_split_pays_fractions_out(hand):
    """Ten for one of what is not a multiple of ten: the shares that are left, and the cash, by the broker's word."""
    held, worth = hand.held["AAA"], hand.core.equity
    left = held // 10
    hand.held["AAA"], cash = left, (held - 10 * left) * 100
    hand.cash += cash
    hand.charges += [
        Charge("S", Decimal(0), "SPLIT", hand.at.ns, "AAA", left - held), Charge("C", cash, "SPLIT", hand.at.ns, "AAA"),
    ]  # fmt: skip
    hand.read()
    hand.bar(NONE, (1000.0, 100.0), actions=Actions(np.array([0.1, 1.0]), np.array([0.1, 1.0])))

    assert hand.core.equity == pytest.approx(worth, rel=1e-9)
    assert hand.core.seats[MARKET.name].splits.booked == {}
    assert not hand.core.halted


def test_a_person_may_say_that_a_split_was_one(hand):
    """The broker holds four times as much and tells of no split: the shares have cost what they cost before."""
    worth, held = hand.core.equity, hand.held["AAA"]
    hand.bar(NONE, (25.0, 100.0), actions=FOUR)
    hand.held["AAA"] = 4 * held
    hand.read()
    hand.second += 20
    hand.step(Ticked())
    hand.read()
    hand.step(Corrected("w1", "me", "it was split"))

    assert hand.core.desk.holdings["AAA"] == 4 * held
    assert hand.core.equity == pytest.approx(worth, rel=1e-12)
    assert book(hand).average[0] == pytest.approx(25.0)
    hand.read()
    assert hand.core.ready


def test_an_open_order_is_what_the_broker_made_of_it(hand):
    """A forward split makes four of each share that an order still wants: what is executed of it then can be booked."""
    sold = hand.bar((-3.0, 0.0))["AAA"]
    name, quantity = sold.order.client_order_id, sold.quantity * 4
    hand.open = (Report(name, f"B-{name}", "AAA", quantity, OrderState.NEW, Decimal(0)),)
    booked(hand)
    working = hand.core.desk.orders[name]

    assert (working.quantity, working.reserved) == (quantity, abs(quantity))
    assert [each for each in alerts(hand) if name in each]
    hand.open = (replace(hand.open[0], state=OrderState.FILLED, filled=abs(quantity)),)
    hand.fill(replace(sold, quantity=quantity), 25)
    assert not hand.core.halted
    assert name in hand.core.desk.ended


def test_the_state_of_an_older_version_is_read(hand):
    """It knows of no splits."""
    assert "splits" not in machine.progress(hand.core.packed())["seats"][MARKET.name]
