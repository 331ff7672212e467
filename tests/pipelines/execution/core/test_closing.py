"""What closes positions is sent whenever it can be: not being ready, and a person's resting order, take nothing away."""

from decimal import Decimal

import pytest

from domain.order import OrderKind, OrderState, Terms
from pipelines.execution.core.desk import SECOND
from pipelines.execution.core.events import Answer, Answered, Asked, Channel, Lost, Report, Ticked, Unread
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Cancel, Sync
from tests.pipelines.execution.core.test_machine import CAPITAL, PARAMS, TRADED, Hand


@pytest.fixture
def hand():
    """Return an account that is long of AAA and short of BBB."""
    made = Hand()
    for sent in made.bar((3.0, -3.0)).values():
        made.fill(sent)
    assert made.held["AAA"] > 0 > made.held["BBB"]
    return made


def closes(hand):
    """Let a bar close after which nothing may be held; return what is sent."""
    return {symbol: sent.quantity for symbol, sent in hand.bar((3.0, -3.0), closing=0.0).items()}


def ordered(hand, quantity, symbol="AAA", price=99.0):
    """Ask for a limit order by hand; return the answer and what is sent."""
    terms = Terms(OrderKind.LIMIT, limit_price=price)
    plan = hand.step(Asked(f"{quantity}-order.json", "ann", "", symbol, Decimal(quantity), terms))
    return next(each.payload for each in plan.records if each.kind == "verdict"), plan


@pytest.mark.fault("F49", "F112")
def test_positions_are_closed_while_the_account_is_not_ready(hand):
    """The order stream is gone: what is held is known from the last reading, and must go before the close."""
    hand.step(Lost(Channel.ORDERS))
    assert not hand.core.ready
    assert closes(hand) == {symbol: -size for symbol, size in hand.held.items()}


def test_a_position_in_doubt_is_left_and_the_others_are_closed(hand):
    """The broker holds ten more of AAA than anybody ordered."""
    hand.held["AAA"] += 10
    for _ in range(2):
        hand.second += 61
        hand.step(Ticked())
        hand.read()
    assert not hand.core.ready
    assert closes(hand) == {"BBB": -hand.held["BBB"]}


def test_before_the_account_was_read_nothing_is_closed(hand):
    """A process that has just begun knows what the journal says, and not what has been done since."""
    hand.core = Core([TRADED], CAPITAL).restore(hand.core.packed(), [], hand.at)
    assert closes(hand) == {}


def test_a_person_may_reduce_while_the_account_is_not_ready(hand):
    """And nothing else; by no more than is held."""
    hand.step(Lost(Channel.ORDERS))
    held = int(hand.held["AAA"])
    assert "nothing but reductions" in ordered(hand, 1)[0]["refusal"]
    assert "nothing but reductions" in ordered(hand, -held - 1)[0]["refusal"]
    assert ordered(hand, -held, price=200.0)[1].submits


def test_a_persons_resting_order_does_not_keep_a_position(hand):
    """It is cancelled in the gate's name, told of, remembered over a restart, and the position goes with the next bar."""
    told, plan = ordered(hand, -1, price=101.0)
    (submit,) = plan.requests
    name = submit.order.client_order_id
    hand.step(Answered(name, Answer.ACKED, Report(name, "B1", "AAA", submit.quantity, OrderState.NEW, Decimal(0))))
    records = len(hand.records)
    before = len(hand.sent)
    hand.second += 60
    sent = closes(hand)
    new = hand.records[records:]

    assert not told["refusal"]
    assert set(sent) == {"BBB"}
    assert [each.payload["cancel"] for each in new if each.kind == "verdict"] == [name]
    assert [each for each in new if each.kind == "alert" and "stands in the way" in each.payload["reason"]]
    assert len(hand.sent) == before + 1
    hand.second += 5
    assert Cancel(name, "B1") in hand.step(Ticked()).requests
    hand.open = (Report(name, "B1", "AAA", submit.quantity, OrderState.CANCELED, Decimal(0)),)
    hand.read()
    assert closes(hand)["AAA"] == -hand.held["AAA"]


@pytest.mark.fault("F36")
def test_a_feed_that_is_mute_is_told_of_once():
    """As soon as the next bar is overdue by more than a feed may be silent, and again only after one has come."""
    hand = Hand()
    silence = int(PARAMS.risk.feed_silence_s_max)

    def told():
        return [each for each in hand.records if each.kind == "alert" and "no bar of" in each.payload["reason"]]

    for count in (1, 2):
        hand.bar((0.0, 0.0), due_ns=hand.at.ns + 120 * SECOND)  # a minute after it closes
        for _ in range(10):
            hand.second += (60 + silence) // 10
            hand.step(Ticked())
        assert len(told()) == count - 1
        for _ in range(3):
            hand.second += 30
            hand.step(Ticked())
        assert len(told()) == count


def test_a_reading_that_failed_is_soon_begun_again_and_later_and_later():
    """After 1, 2, 4 and 8 s, and then every 10."""
    hand, waits = Hand(), []
    hand.step(Lost(Channel.ORDERS))
    for _ in range(6):
        hand.core.readiness.urged_ns = hand.at.monotonic_ns
        failed = hand.second
        plan = hand.step(Unread("status 500", hand.asked))
        while not any(isinstance(each, Sync) for each in plan.requests):
            hand.second += 1
            plan = hand.step(Ticked())
        waits.append(hand.second - failed)

    assert waits[1:] == [1, 2, 4, 8, 10]
    assert hand.core.desk.patience.again_ns == SECOND
