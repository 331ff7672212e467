"""The machine on events by hand: what it sends of a bar, and what it remembers of orders that ended long ago."""

from dataclasses import replace
from decimal import Decimal

import numpy as np
import pytest

from domain.decision import Outcome, Rule
from domain.error import TradingError
from domain.order import OrderState
from domain.panel import Panel
from pipelines.execution import risk
from pipelines.execution.core import machine
from pipelines.execution.core.desk import SECOND
from pipelines.execution.core.events import (
    Answer,
    Answered,
    BarClosed,
    Channel,
    Charge,
    Ended,
    Execution,
    Found,
    Heard,
    Joined,
    Listed,
    Moment,
    Power,
    Report,
    Synced,
    Ticked,
    Unread,
)
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Find, Submit, Sync
from pipelines.execution.core.seat import Traded
from tests.pipelines.execution import recorded

SYMBOLS = ("AAA", "BBB")
MARKET, PARAMS = recorded.terms(decisions={"rate": 1.0, "band": 0.0}, risk={"turnover_max": 3.0})
START_NS = 1_704_200_000 * SECOND
CAPITAL = Decimal(100_000)
TRADED = Traded(MARKET, PARAMS, SYMBOLS, "1")


class Hand:
    """A core, a broker that is played by hand, and the time."""

    traded = TRADED

    def __init__(self, power=None, **keys):
        self.power = power
        self.core = Core([self.traded], CAPITAL, **keys)
        self.second, self.bars, self.cash, self.held, self.executions, self.charges = 0, 0, CAPITAL, {}, [], []
        self.sent, self.records, self.open = [], [], ()
        self.step(Joined(Channel.ORDERS))
        self.read()

    @property
    def at(self):
        return Moment(START_NS + self.second * SECOND, self.second * SECOND + 1)

    def step(self, event):
        plan = self.core.step(event, self.at)
        self.records += plan.records
        self.sent += [each for each in plan.requests if isinstance(each, Submit)]
        self.asked = next((each.asked_ns for each in plan.requests if isinstance(each, Sync)), getattr(self, "asked", 0))
        return plan

    def read(self):
        """Answer a reading of the account."""
        said = Synced(
            self.open,
            tuple(self.executions[-1:]),
            tuple(self.charges),
            dict(self.held),
            self.cash,
            "c",
            self.asked,
            self.at.ns,
            self.power,
        )
        return self.step(said)

    def bar(self, views, price=100.0, **told):
        """Close a bar and say what is expected of each symbol, in its volatility, and what else is told of it."""
        self.bars += 1
        self.second += 60
        at = np.array([self.at.ns // 1000], dtype="datetime64[us]")
        close = np.full((1, 2), price)
        market, opened_at = self.traded.market.name, at - np.timedelta64(60, "s")
        panel = Panel(market, "1m", self.traded.symbols, opened_at, at, *(close.copy() for _ in range(4)), close * 1e5)
        forecast = 0.02 * (np.array(views)[:, None] + recorded.NORMAL[None, :])
        before = len(self.sent)
        self.step(BarClosed(panel, forecast, np.full(2, 0.01), **told))
        return {each.order.symbol: each for each in self.sent[before:]}

    def fill(self, submit, price=100):
        """Accept an order and fill it at once."""
        name, quantity = submit.order.client_order_id, submit.quantity
        done = Execution(name, submit.order.symbol, quantity, Decimal(price), Decimal(0), abs(quantity), self.at.ns)
        self.executions.append(done)
        self.cash -= quantity * price
        self.held[submit.order.symbol] = self.held.get(submit.order.symbol, Decimal(0)) + quantity
        self.held = {symbol: size for symbol, size in self.held.items() if size}
        report = Report(name, f"B-{name}", submit.order.symbol, quantity, OrderState.FILLED, abs(quantity))
        self.step(Answered(name, Answer.ACKED, report))
        self.read()


def test_an_order_that_turns_a_position_around_closes_it_first():
    """Alpaca refuses to sell more than is held: what is held is sold now, the short is opened by the next bar."""
    hand = Hand(flips=False)
    bought = hand.bar((3.0, 0.0))["AAA"]
    hand.fill(bought)
    sold = hand.bar((-3.0, 0.0))["AAA"]
    verdicts = hand.core.seats[MARKET.name].trader.verdicts

    assert bought.quantity > 0
    assert sold.quantity == -bought.quantity
    assert (verdicts.outcome[0], verdicts.rule[0], verdicts.limit[0]) == (Outcome.REDUCED, Rule.FLIP, float(bought.quantity))
    hand.fill(sold)
    assert hand.bar((-3.0, 0.0))["AAA"].quantity < 0


def test_where_it_may_one_order_turns_a_position_around():
    """The built-in exchange takes it."""
    hand = Hand()
    bought = hand.bar((3.0, 0.0))["AAA"]
    hand.fill(bought)

    assert hand.bar((-3.0, 0.0))["AAA"].quantity < -bought.quantity


@pytest.mark.fault("F71")
def test_an_execution_that_every_reading_brings_again_is_booked_once():
    """A reading begins a little before the newest execution: after a quiet day that is still the same one, and its fee."""
    hand = Hand()
    hand.fill(hand.bar((3.0, 0.0))["AAA"])
    hand.charges.append(Charge("fee", Decimal("-1.25"), "CFEE", hand.at.ns))
    hand.cash -= Decimal("1.25")
    for _ in range(30):
        hand.second += 3600
        hand.core.step(Joined(Channel.ORDERS), hand.at)
        hand.asked = hand.core.readiness.asked_ns
        hand.read()

    kinds = [record.kind for record in hand.records]
    assert (kinds.count("fill"), kinds.count("charge")) == (1, 1)
    assert (hand.core.desk.cash, hand.core.desk.holdings) == (hand.cash, hand.held)
    assert hand.core.ready


def test_a_reading_that_a_newer_one_has_overtaken_is_old_news():
    """It would take the cursor back to what has been forgotten since."""
    hand = Hand()
    before = hand.asked
    hand.second += 100
    hand.core.step(Joined(Channel.ORDERS), hand.at)
    hand.asked = hand.core.readiness.asked_ns
    hand.read()
    late = Synced((), (Execution("x", "AAA", Decimal(1), Decimal(1), Decimal(0), Decimal(1), 0),), (), {}, CAPITAL, "old", before)

    assert hand.core.step(late, hand.at).requests == []
    assert hand.core.cursor == "c"


@pytest.mark.fault("F17", "F70")
def test_a_difference_is_believed_even_if_no_reading_comes_any_more():
    """What the last one told stands until another one ends it."""
    hand = Hand()
    hand.held = {"AAA": Decimal(7)}
    hand.second += 61
    hand.step(Ticked())
    hand.read()
    assert hand.core.ready
    hand.second += 11
    records = hand.step(Ticked()).records
    assert not hand.core.ready
    assert [record.payload["reason"] for record in records] == [
        "the broker holds 7 of AAA, the journal says 0: nothing new is opened"
    ]
    hand.held = {}
    hand.read()
    assert hand.core.ready


def test_of_two_readings_under_way_the_second_is_dropped():
    """Begun later it may have been read first: what the other one brought would be forgotten, and come again."""
    hand = Hand()
    hand.second += 61
    hand.step(Ticked())
    first = hand.asked
    hand.second += 1
    hand.step(Joined(Channel.ORDERS))
    second = hand.asked
    fee = Charge("fee", Decimal(-1), "FEE", 0)
    hand.second += 1
    hand.step(Synced((), (), (fee,), {}, CAPITAL - 1, "newer", first))
    dropped = hand.step(Synced((), (), (), {}, CAPITAL, "older", second))
    third = next(each.asked_ns for each in dropped.requests if isinstance(each, Sync))
    hand.step(Synced((), (), (fee,), {}, CAPITAL - 1, "newest", third))

    assert second > first
    assert hand.core.desk.cash == CAPITAL - 1
    assert hand.core.cursor == "newest"
    assert hand.core.ready


def test_a_new_account_begins_with_the_brokers_cash_alone():
    """What led to it is not booked again; positions and open orders that no journal explains are refused."""
    core = Core([TRADED], Decimal(1))
    old = Execution("by-hand", "AAA", Decimal(2), Decimal(10), Decimal(0), Decimal(2), 0)
    fee = Charge("fee", Decimal(-1), "FEE", 0)
    reading = Synced((), (old,), (fee,), {}, Decimal(979), "c", 0, 0)
    core.open(reading, Moment(START_NS, 1))
    core.step(Joined(Channel.ORDERS), Moment(START_NS, 2))
    again = Synced((), (old,), (fee,), {}, Decimal(979), "c", 2, START_NS)
    plan = core.step(again, Moment(START_NS, 3))

    assert (core.desk.cash, core.desk.holdings, core.ready) == (Decimal(979), {}, True)
    assert {record.kind for record in plan.records} <= {"reconcile"}
    held = Synced((), (), (), {"AAA": Decimal(3)}, Decimal(1), "c", 0, 0)
    with pytest.raises(TradingError, match="holds 3 of AAA: close these before"):
        Core([TRADED], Decimal(1)).open(held, Moment(START_NS, 1))


def test_what_the_mind_says_of_a_bar_is_written_even_if_the_bar_is_refused():
    """It has changed by then: a score that is not written is lost for good."""
    hand = Hand()
    at = np.array([hand.at.ns // 1000 + 10 * 60_000_000], dtype="datetime64[us]")
    price = np.full((1, 2), 100.0)
    panel = Panel(MARKET.name, "1m", SYMBOLS, at - np.timedelta64(60, "s"), at, *(price.copy() for _ in range(5)))
    said = BarClosed(panel, np.zeros((2, 5)), np.full(2, 0.01), facts=(("score", {"version": "1"}),))

    records = hand.step(said).records
    assert [record.kind for record in records] == ["score", "alert"]
    assert hand.core.seats[MARKET.name].bars == 0


@pytest.mark.fault("F20")
def test_a_state_of_another_version_is_refused_in_one_sentence(monkeypatch):
    """It says what to do; nothing of it is believed."""
    kept = Hand().core.packed()
    monkeypatch.setattr(machine, "FORM", machine.FORM + 1)
    with pytest.raises(TradingError, match="this version keeps form 4: close its positions"):
        machine.oldest(kept)


@pytest.mark.fault("F118")
def test_a_fall_below_the_peak_halts_and_is_written_down_once():
    """In an account of one market as of several: who reads the journal, alerts above all, must hear of it (seed 2771)."""
    hand = Hand()
    hand.bar((0.0, 0.0))
    hand.charges, hand.cash = [Charge("loss", -CAPITAL / 2, "FEE", hand.at.ns)], CAPITAL / 2
    hand.second += 60
    hand.step(Ticked())
    hand.read()
    assert not hand.core.halted
    for _ in range(2):
        hand.bar((3.0, 0.0))

    assert hand.core.halted
    assert [(each.actor, each.payload["reason"]) for each in hand.records if each.kind == "halt"] == [
        ("risk", f"equity of 50000.00 has fallen more than {PARAMS.risk.drawdown_max} below its peak")
    ]


def starts(seconds, *, ended=False):
    """Start processes over and over, so many seconds apart, and return after how many of them the account is halted."""
    raw, at = b"", Moment(START_NS, 1)
    for number in range(1, 20):
        core = Core([TRADED], CAPITAL)
        if raw:
            core.restore(raw, [], at)
        plan = core.start(at, "a1b2")
        assert ("start", {"code": "a1b2"}) in [(record.kind, record.payload) for record in plan.records]
        if core.halted:
            assert f"{number} processes have begun within 600 s" in plan.records[-1].payload["reason"]
            return number
        if ended:
            core.step(Ended(), at)
        raw, at = core.packed(), Moment(at.ns + seconds * SECOND, 1)
    return 0


@pytest.mark.fault("F03")
def test_processes_that_die_over_and_over_end_in_a_halt():
    """Whatever ends them ends the next one, too; those that were told to end, or lived for a while, count for nothing."""
    assert starts(seconds=20) == 6
    assert starts(seconds=20, ended=True) == 0
    assert starts(seconds=200) == 0


@pytest.mark.fault("F05")
def test_who_was_suspended_believes_what_has_become_true_meanwhile():
    """A difference was read and the process stopped: it wakes up to a bar, and opens nothing on it."""
    hand = Hand()
    hand.bar((3.0, 0.0))
    awake = Hand()
    for each in (hand, awake):
        each.second += 1
        each.step(Ticked())
    hand.held = {"BBB": Decimal(7)}
    for each in (hand, awake):
        each.core.readiness.urged_ns = each.at.monotonic_ns
        each.step(Ticked())
        each.read()
    assert hand.core.ready

    assert not hand.bar((3.0, -3.0))
    assert awake.bar((3.0, -3.0))


@pytest.mark.fault("F05")
def test_a_reading_from_before_a_suspension_lets_nothing_be_forgotten():
    """It was begun before an order was sent that has ended since, hours ago by the clock: the next one tells of its fill again."""
    hand = Hand()
    hand.core.readiness.urged_ns = hand.at.monotonic_ns
    hand.step(Ticked())
    asked = hand.asked
    sent, booked = hand.bar((3.0, -3.0)), []
    for submit in sent.values():
        name, size = submit.order.client_order_id, submit.quantity
        booked.append(Execution(name, submit.order.symbol, size, Decimal(100), Decimal(0), abs(size), hand.at.ns))
        hand.step(Heard(Report(name, "B", submit.order.symbol, size, OrderState.FILLED, abs(size)), booked[-1]))
    held, cash = dict(hand.core.desk.holdings), hand.core.desk.cash
    hand.second += 2 * 3600
    hand.step(Synced((), (), (), {}, CAPITAL, "old", asked, hand.at.ns))
    hand.second += 60
    hand.step(Ticked())
    plan = hand.step(Synced((), tuple(booked), (), held, cash, "new", hand.asked, hand.at.ns))

    assert sent
    assert not [request for request in plan.requests if isinstance(request, Find)]  # each is still known
    assert (hand.core.desk.holdings, hand.core.desk.cash) == (held, cash)


@pytest.mark.fault("F05")
@pytest.mark.parametrize("late", ["news", "answer"])
def test_what_is_said_of_a_forgotten_order_is_not_booked_again(late):
    """News that two suspensions put off, or the answer to a look as old: the order ended and was forgotten hours ago."""
    hand = Hand()
    submit = hand.bar((3.0, 0.0))["AAA"]
    name, size, looked_ns = submit.order.client_order_id, submit.quantity, hand.at.monotonic_ns
    hand.fill(submit)
    done, held, cash = hand.executions.pop(), dict(hand.core.desk.holdings), hand.core.desk.cash
    hand.second += 3 * 3600
    hand.step(Ticked())
    hand.read()
    assert hand.core.desk.known(name) is None
    report = Report(name, "B", "AAA", size, OrderState.FILLED, size)
    plan = hand.step(Heard(report, done) if late == "news" else Found(name, report, looked_ns))

    assert (hand.core.desk.holdings, hand.core.desk.cash) == (held, cash)
    assert not [record for record in plan.records if record.kind in {"order", "fill", "alert", "halt"}]


@pytest.mark.fault("F70")
def test_news_of_somebody_elses_order_is_read_up_at_once_by_a_reading_begun_after_it():
    """The one that was under way may have been begun before the order was: it explains nothing."""
    hand = Hand()
    hand.second += 60
    hand.step(Ticked())
    theirs = Report("theirs", "B1", "AAA", Decimal(5), OrderState.FILLED, Decimal(5))
    done = Execution("theirs", "AAA", Decimal(5), Decimal(100), Decimal(0), Decimal(5), hand.at.ns)
    hand.second += 1
    assert not hand.step(Heard(theirs, done)).requests
    assert hand.core.desk.holdings == {}
    assert [type(each) for each in hand.read().requests] == [Sync]
    hand.second += 1
    hand.executions, hand.held, hand.cash = [done], {"AAA": Decimal(5)}, CAPITAL - 500
    hand.read()
    hand.step(Found("theirs", theirs, hand.at.monotonic_ns))
    hand.second += 5
    hand.step(Ticked())
    hand.read()

    assert (hand.core.desk.holdings, hand.core.desk.cash) == ({"AAA": Decimal(5)}, CAPITAL - 500)
    assert hand.core.ready


@pytest.mark.fault("F73")
def test_positions_that_agree_without_an_execution_agree_by_chance():
    """Somebody bought, and the broker took it back: until the order is known the account is not, whatever is held (seed 5812)."""
    hand = Hand()
    hand.executions = [Execution("theirs", "AAA", Decimal(5), Decimal(100), Decimal(0), Decimal(5), hand.at.ns)]
    for _ in range(3):
        hand.second += 60
        hand.step(Ticked())
        hand.read()
    doubted = hand.core.ready
    hand.step(Found("theirs", Report("theirs", "B1", "AAA", Decimal(5), OrderState.FILLED, Decimal(5)), hand.at.monotonic_ns))
    hand.second += 60
    hand.step(Ticked())
    hand.read()

    assert not doubted
    assert hand.core.desk.holdings == {"AAA": Decimal(5)}  # and the broker holds none: this is a difference now
    assert not hand.core.ready


@pytest.mark.fault("F70")
def test_an_open_order_does_not_explain_a_difference():
    """Positions are not compared while an order of their symbol is open; what was believed before stands until they are."""
    hand = Hand()
    hand.held = {"AAA": Decimal(7)}
    for _ in range(3):
        hand.second += 60
        hand.step(Ticked())
        hand.read()
    doubted = hand.core.ready
    stranger = Report("theirs", "B1", "AAA", Decimal(5), OrderState.NEW, Decimal(0))
    hand.open = (stranger,)
    hand.second += 60
    hand.step(Ticked())
    hand.read()
    hidden = hand.core.ready
    hand.step(Heard(replace(stranger, state=OrderState.CANCELED)))
    hand.open, hand.held = (), {}
    hand.second += 60
    hand.step(Ticked())
    hand.read()

    assert (doubted, hidden, hand.core.ready) == (False, False, True)


@pytest.mark.fault("F85")
def test_a_market_that_is_halted_as_a_whole_opens_nothing():
    """Every symbol is told as not traded; what is held may still be sold, as soon as somebody takes the order."""
    hand = Hand()
    for submit in hand.bar((3.0, -3.0)).values():
        hand.fill(submit)
    held = dict(hand.core.desk.holdings)
    hand.read()
    hand.step(Listed(frozenset(SYMBOLS)))
    sent = hand.bar((-3.0, 3.0))

    assert held
    assert {symbol: each.quantity for symbol, each in sent.items()} == {symbol: -size for symbol, size in held.items()}


@pytest.mark.fault("F117")
@pytest.mark.parametrize(("kind", "halted"), [("CSW", False), ("FEE", True)])
def test_money_that_is_paid_out_is_no_loss(kind, halted):
    """Half of the account leaves: by its owner's hand that is no drawdown, as a fee it is."""
    hand = Hand()
    hand.bar((0.0, 0.0))
    hand.charges.append(Charge("gone", -CAPITAL / 2, kind, 0))
    hand.cash -= CAPITAL / 2
    hand.second += 60
    hand.step(Ticked())
    hand.read()
    hand.bar((0.0, 0.0))

    assert hand.core.equity == float(CAPITAL / 2)
    assert hand.core.halted is halted


@pytest.mark.fault("F117")
def test_money_that_is_paid_in_hides_no_loss():
    """The peak follows it: a fall of more than the limit is found from there."""
    hand = Hand()
    for submit in hand.bar((3.0, -3.0)).values():
        hand.fill(submit)
    hand.charges.append(Charge("new", CAPITAL, "CSD", 0))
    hand.cash += CAPITAL
    hand.second += 60
    hand.step(Ticked())
    hand.read()
    hand.bar((0.0, 0.0))
    gate = hand.core.seats[MARKET.name].trader.gate

    assert gate.account[risk.PEAK] == pytest.approx(2 * float(CAPITAL))


@pytest.mark.fault("F93")
def test_what_the_broker_lets_be_spent_is_a_limit():
    """What is under way counts, and so does what was paid since it was read; nothing is left after a margin call."""
    rich, poor, called = (powered(Power(Decimal(power), Decimal(0))) for power in (1_000_000, 20_000, 0))

    assert worth(rich) > worth(poor) > 0
    assert worth(poor) <= 20_000
    assert not called


def powered(power):
    """Return the orders of an account whose broker lets so much be spent."""
    hand = Hand(power=power)
    return hand.bar((3.0, -3.0))


def worth(sent):
    """Return what orders come to at 100."""
    return float(sum(abs(each.quantity) for each in sent.values())) * 100.0


def test_who_cannot_read_the_account_says_so_once_and_why():
    """Not at the first failure, which may pass; not at every one; and again when it happens again."""
    hand = Hand()

    def fail(reason, seconds):
        hand.second += seconds
        hand.step(Ticked())
        hand.step(Unread(reason, hand.asked))

    def alerts():
        return [record.payload["reason"] for record in hand.records if record.kind == "alert"]

    fail("status 500", 70)
    fail("status 500", 10)
    assert alerts() == []
    fail("an order of no symbol", 10)
    fail("an order of no symbol", 10)
    assert alerts() == ["the account has not been read for 20 s (an order of no symbol): before long nothing new is opened"]
    hand.second += 10
    hand.step(Ticked())
    hand.read()
    fail("status 500", 70)
    fail("status 500", 10)
    assert len(alerts()) == 1
    fail("status 500", 30)
    assert len(alerts()) == 2
