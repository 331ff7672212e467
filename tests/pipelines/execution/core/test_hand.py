"""Orders by hand and proposals: judged by the gate as any other, each answered once, and never older than people think."""

from decimal import Decimal

import numpy as np
import pytest

from domain.decision import Mode, Rule
from domain.order import OrderKind, OrderState, Terms, TimeInForce
from pipelines.execution.core.desk import SECOND
from pipelines.execution.core.events import (
    Asked,
    Commanded,
    Corrected,
    Decided,
    Execution,
    Found,
    Garbled,
    Report,
    Ticked,
    Withdrawn,
)
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Cancel
from pipelines.execution.core.proposals import Proposals
from tests.pipelines.execution.core.test_machine import CAPITAL, MARKET, PARAMS, TRADED, Hand

RESTING = Terms(OrderKind.LIMIT, TimeInForce.GTC, limit_price=99.0)


def asked(quantity, symbol="AAA", identity="1-order.json", **keys):
    return Asked(identity, "ann", "a feeling", symbol, Decimal(quantity), keys.pop("terms", RESTING), **keys)


def answer(plan):
    """Return what a person is told."""
    (found,) = [record for record in plan.records if record.kind == "verdict"]
    assert found.actor == "ann"
    return found.payload


def watched(mode=Mode.AUTONOMOUS, valid_s=300, **keys):
    """Return a hand on a core that has lived through a bar on which nothing was to be done."""
    hand = Hand(proposals=Proposals(mode, valid_s * SECOND), **keys)
    hand.bar((0.0, 0.0))
    return hand


def test_an_order_by_hand_is_sent_in_the_name_of_who_asked():
    """With its terms, under a name of its own; an intent is written with it."""
    hand = watched()
    plan = hand.step(asked(10))
    (submit,) = plan.requests

    assert (submit.order.client_order_id, submit.quantity, submit.order.terms) == (f"{MARKET.name}:hand:1-order", 10, RESTING)
    assert [record.kind for record in plan.records] == ["intent", "verdict"]
    assert plan.records[0].payload["client_order_id"] == [submit.order.client_order_id]
    assert (answer(plan)["quantity"], answer(plan)["outcome"]) == ("10", "approved")


def test_the_gate_cuts_it_as_it_would_the_models():
    """To the weight of one symbol: 100,000 times its limit, at 100 a share."""
    hand = watched()
    told = answer(hand.step(asked(100_000)))
    most = min(PARAMS.risk.symbol_weight_max, PARAMS.risk.order_notional_max / float(CAPITAL)) * float(CAPITAL) / 100.0

    assert (told["outcome"], Decimal(told["quantity"])) == ("reduced", Decimal(int(most)))
    assert told["rule"] != "none"


@pytest.mark.parametrize(
    ("said", "sentence"),
    [
        (asked(10, "AAB"), "'AAB' is not traded by this account"),
        (asked(0), "give a number of whole lots of"),
        (asked("0.123456789"), "give a number of whole lots of"),
        (asked("NaN"), "give a number of whole lots of"),
        (asked(10, age_s=31.0), "asked for 31 s ago"),
        (Decided("x", "ann", "", "nothing", Decimal(1)), "no proposal nothing is open"),
        (Withdrawn("x", "ann", "", "nothing"), "no order nothing of ours is open"),
        (Corrected("x", "ann", "they called"), "the account was not read a moment ago"),
        (Garbled("x", "ann", "x cannot be read"), "x cannot be read"),
    ],
)
def test_what_cannot_be_is_one_sentence_and_no_order(said, sentence):
    """The person is told, the account stays as it is."""
    hand = watched()
    plan = hand.step(said)

    assert sentence in answer(plan)["refusal"]
    assert not plan.requests


def test_a_word_that_comes_twice_is_honoured_once():
    """After a restart it is found again: nothing is sent, and nothing answered."""
    hand = watched()
    hand.step(asked(10))
    assert not hand.step(asked(10)).submits


def test_a_symbol_has_one_order_at_a_time():
    """Which of two would fill first, nobody knows: the first is to be cancelled."""
    hand = watched()
    hand.step(asked(10))
    assert "is open: cancel it first" in answer(hand.step(asked(5, identity="2-order.json")))["refusal"]


def test_a_bar_leaves_orders_by_hand_alone_and_a_cancel_ends_them():
    """The model's orders of that symbol wait meanwhile; a cancel that cannot be sent yet is sent as soon as it can be."""
    hand = watched()
    (submit,) = hand.step(asked(10)).requests
    name = submit.order.client_order_id
    assert "AAA" not in hand.bar((3.0, 0.0))
    assert not hand.step(Withdrawn("2", "ann", "", name)).requests
    hand.core.desk.orders[name].broker_id = "B1"
    assert hand.step(Ticked()).requests == [Cancel(name, "B1")]


def test_before_the_account_is_known_nothing_is_sent():
    """A restart begins by reading."""
    core = Core([TRADED], CAPITAL)
    hand = watched()
    assert "nothing but reductions is sent until it is" in answer(core.step(asked(10), hand.at))["refusal"]


def test_halted_a_person_may_reduce_and_no_more():
    """Selling what is held passes, cut to what is held, and the halt does not cancel it; buying is denied."""
    hand = watched()
    hand.fill(hand.step(asked(10)).requests[0])
    hand.step(Commanded("2", True, "bo", ""))
    bought = answer(hand.step(asked(5, identity="3-order.json")))
    plan = hand.step(asked(-25, identity="4-order.json"))
    name = plan.requests[0].order.client_order_id
    hand.core.desk.orders[name].broker_id = "B1"

    assert (bought["quantity"], bought["rule"]) == ("0", "kill_latch")
    assert answer(plan)["quantity"] == "-10"
    assert not [each for each in hand.step(Ticked()).requests if isinstance(each, Cancel)]


@pytest.mark.fault("F36")
def test_without_a_bar_in_time_a_person_may_only_reduce():
    """A price that is older than its bar and the limit on silence opens nothing."""
    hand = watched()
    hand.second += 600
    assert answer(hand.step(asked(10)))["quantity"] == "0"


def test_assisted_the_model_proposes_and_a_person_decides():
    """As proposed, changed within the gate, or not at all; each answer ends the proposal."""
    hand = watched(Mode.ASSISTED)
    assert not hand.bar((3.0, -3.0))
    proposed = dict(hand.core.proposals.open)
    (long, short) = sorted(proposed, key=lambda name: -proposed[name].quantity)
    sent = hand.step(Decided("1", "ann", "", long, proposed[long].quantity / 2))
    let_go = hand.step(Decided("2", "ann", "", short, None))

    assert [(each.order.client_order_id, each.quantity) for each in sent.requests] == [(long, proposed[long].quantity / 2)]
    assert not let_go.requests
    assert states((*sent.records, *let_go.records)) == ["accepted", "rejected"]
    assert not hand.core.proposals.open
    assert "no proposal" in answer(hand.step(Decided("3", "ann", "", long, proposed[long].quantity)))["refusal"]


def test_the_side_of_a_proposal_is_not_changed():
    """That would be another order; the proposal stays open."""
    hand = watched(Mode.ASSISTED)
    hand.bar((3.0, 0.0))
    name, proposal = next(iter(hand.core.proposals.open.items()))
    assert "the side may not be changed" in answer(hand.step(Decided("1", "ann", "", name, -proposal.quantity)))["refusal"]
    assert name in hand.core.proposals.open


def test_a_proposal_lapses_with_its_time_its_bar_and_its_process():
    """Nobody may agree to what was thought of long ago."""
    hand = watched(Mode.ASSISTED, valid_s=90)
    hand.bar((3.0, 0.0))
    hand.read()
    hand.bar((3.0, 0.0))
    count = len(hand.core.proposals.open)
    kept = hand.core.packed()
    again = Core([TRADED], CAPITAL).restore(kept, [], hand.at).start(hand.at)
    hand.second += 91
    late = hand.step(Ticked())

    assert count
    assert states(hand.records)[: 3 * count] == ["open"] * count + ["replaced"] * count + ["open"] * count
    assert states(again.records) == states(late.records) == ["lapsed"] * count


def states(records):
    """Return what became of proposals."""
    return [record.payload["state"] for record in records if record.kind == "proposal"]


def test_what_must_be_closed_is_closed_in_every_mode():
    """A halt asks nobody."""
    hand = watched(Mode.MANUAL)
    hand.fill(hand.step(asked(10)).requests[0])
    assert not hand.bar((3.0, 3.0))
    hand.step(Commanded("2", True, "bo", ""))
    assert [each.quantity for each in hand.bar((3.0, 3.0)).values()] == [-10]


def doubted(hand, seconds):
    """Let the account be read until it differs, and for some seconds after that."""
    left = seconds
    while left > 0:
        hand.second += 5
        hand.step(Ticked())
        hand.read()
        left -= 5 if hand.core.readiness.doubts else 0


@pytest.mark.fault("F73")
@pytest.mark.parametrize("back", [4, 10])
def test_a_trade_that_was_taken_back_is_followed_by_a_persons_word(back):
    """By entries of its own in their name: ten were bought at 100, some of them never were; what is left cost what it cost."""
    hand = watched()
    hand.fill(hand.step(asked(10)).requests[0])
    assert not hand.bar((np.nan, np.nan), price=130.0)
    hand.held, hand.cash = {"AAA": Decimal(10 - back)} if back < 10 else {}, hand.cash + back * 100
    doubted(hand, 40)
    assert not hand.core.ready
    plan = hand.step(Corrected("9-correct.json", "ann", "the broker called"))
    desk, book = hand.core.desk, hand.core.seats[MARKET.name].trader.book
    hand.read()

    assert answer(plan)["corrected"] == {
        "AAA": ["10", str(10 - back)],
        "cash": [str(CAPITAL - 1000), str(CAPITAL - 1000 + back * 100)],
    }
    assert [(each.actor, each.payload["kind"]) for each in plan.records if each.kind == "charge"] == [("ann", "correction")] * 2
    assert (desk.holdings, desk.cash) == (hand.held, CAPITAL - 1000 + back * 100)
    assert (book.quantity[0], book.average[0], book.cash[0]) == (10 - back, 100.0 if back < 10 else 0.0, float(desk.cash))
    assert hand.core.ready


@pytest.mark.fault("F70")
def test_shares_that_came_from_elsewhere_cost_what_they_are_worth():
    """Ten at 100, and ten more that nobody bought at 130: 115 each."""
    hand = watched()
    hand.fill(hand.step(asked(10)).requests[0])
    assert not hand.bar((np.nan, np.nan), price=130.0)
    hand.held = {"AAA": Decimal(20), "BBB": Decimal(-3)}
    doubted(hand, 40)
    hand.step(Corrected("9-correct.json", "ann", "moved"))
    book = hand.core.seats[MARKET.name].trader.book

    assert list(zip(book.quantity, book.average, strict=True)) == [(20.0, 115.0), (-3.0, 130.0)]


def test_what_does_not_stand_yet_or_may_be_an_orders_is_not_corrected():
    """A difference that was read a moment ago may be one that lags; one of a symbol with an open order may be what it filled."""
    hand = watched()
    hand.step(asked(10))
    hand.held = {"AAA": Decimal(4), "BBB": Decimal(5)}
    doubted(hand, 5)
    early = answer(hand.step(Corrected("8-correct.json", "ann", "")))
    doubted(hand, 40)
    late = answer(hand.step(Corrected("9-correct.json", "ann", "")))

    assert "nothing is known to differ" in early["refusal"]
    assert late["corrected"] == {"BBB": ["0", "5"]}
    assert hand.core.desk.holdings == {"BBB": 5}


def filled(hand, submit, **keys):
    """Fill an order, and let a reading tell of it."""
    hand.fill(submit, **keys)
    hand.second += 5
    hand.step(Ticked())
    hand.read()


@pytest.mark.fault("F111")
def test_a_loss_that_no_bar_tells_of_opens_nothing_and_counts_at_the_next_one():
    """While the feed is gone nobody knows what is held is worth: nothing is added, what is held may go; the first bar sells."""
    hand = Hand()
    filled(hand, hand.bar((3.0, 0.0))["AAA"])
    hand.second += 30 * 60
    hand.step(Ticked())
    hand.read()
    added = answer(hand.step(asked(10)))
    gone = answer(hand.step(asked(-10, identity="2-order.json")))
    filled(hand, hand.sent[-1], price=55)
    sent = hand.bar((3.0, 0.0), price=55.0)

    assert (added["outcome"], added["quantity"]) == ("denied", "0")
    assert (gone["outcome"], gone["quantity"]) == ("approved", "-10")
    assert hand.core.seats[MARKET.name].trader.verdicts.rule[0] == Rule.STOP_LOSS
    assert {symbol: submit.quantity for symbol, submit in sent.items()} == {
        name: -size for name, size in hand.core.desk.holdings.items()
    }


@pytest.mark.fault("F73")
def test_nothing_is_corrected_while_an_execution_waits_for_its_order():
    """Somebody else bought five: until the broker has said what order that was, they would be counted twice (seed 5264)."""
    hand = watched()
    hand.executions = [Execution("theirs", "AAA", Decimal(5), Decimal(100), Decimal(0), Decimal(5), hand.at.ns)]
    hand.held, hand.cash = {"AAA": Decimal(5)}, CAPITAL - 500
    doubted(hand, 40)
    refused = answer(hand.step(Corrected("8-correct.json", "ann", "")))["refusal"]
    hand.step(Found("theirs", Report("theirs", "B1", "AAA", Decimal(5), OrderState.FILLED, Decimal(5)), hand.at.monotonic_ns))
    hand.second += 5
    hand.step(Ticked())
    hand.read()

    assert "not in full" in refused
    assert (hand.core.desk.holdings, hand.core.desk.cash) == (hand.held, hand.cash)
    assert hand.core.ready
