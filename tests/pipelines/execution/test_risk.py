"""The gate: every limit holds whatever is asked, every limit trips, and what is exactly at a limit passes."""

import math
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.decision import Outcome, Rule
from domain.params import Risk
from pipelines.execution import fills, risk
from tests.pipelines.execution import recorded

EQUITY = 1_000_000.0
NO_LIMITS = {
    "symbol_weight_max": 100.0, "gross_max": 100.0, "net_max": 100.0, "turnover_max": 100.0, "order_notional_max": 1e12,
    "participation_max": 1e6, "stop_loss": 10.0, "drawdown_max": 1.0,
}  # fmt: skip


def judge(wanted, *, held=(), average=(), close=100.0, mark=None, volume=1e6, aim=None, state=None, lot=1.0, **rules):
    """Put one bar through the gate and return what came out, the state and the book."""
    count = len(wanted)
    shortable, notional_min = rules.pop("shortable", True), rules.pop("notional_min", 0.0)
    limits = risk.Limits(lot=lot, shortable=shortable, notional_min=notional_min, **{**NO_LIMITS, **rules})
    book = fills.Book.opened(count, EQUITY)
    book.quantity[:] = list(held) or 0.0
    book.average[:] = list(average) or np.where(book.quantity != 0, 100.0, 0.0)
    close = np.broadcast_to(np.asarray(close, dtype=float), count).copy()
    book.mark[:] = close if mark is None else mark
    state = risk.State.blank(count) if state is None else state
    out = risk.Verdicts.blank(count)
    view = np.sign(np.asarray(wanted, dtype=float)) if aim is None else np.asarray(aim, dtype=float)
    volume = np.broadcast_to(np.asarray(volume, dtype=float), count).copy()
    risk.step(limits, np.asarray(wanted, dtype=float), view, close, volume, book, EQUITY, state, out)
    return SimpleNamespace(out=out, state=state, book=book, limits=limits)


def answers(judged):
    """Return (order, outcome, rule) of each symbol."""
    out = judged.out
    return [(o, Outcome(c), Rule(r)) for o, c, r in zip(out.order, out.outcome, out.rule, strict=True)]


TRIPS = {
    "symbol_weight_max": lambda: judge([3000], symbol_weight_max=0.15),
    "gross_max": lambda: judge([9000, -9000], gross_max=1.5),
    "net_max": lambda: judge([9000, 9000], net_max=0.75),
    "turnover_max": lambda: judge([9000, -9000], turnover_max=0.5),
    "order_notional_max": lambda: judge([3000], order_notional_max=250_000),
    "participation_max": lambda: judge([3000], volume=20_000, participation_max=0.05),
    "stop_loss": lambda: judge([100], held=[100], average=[100.0], close=[84.0], stop_loss=0.15),
    "drawdown_max": lambda: judge([100], drawdown_max=0.3, state=risk.State(np.array([1.5e6, 0.0]), np.zeros(1))),
}
EXPECTED = {
    "symbol_weight_max": [(1500.0, Outcome.REDUCED, Rule.SYMBOL_WEIGHT)],
    "gross_max": [(7500.0, Outcome.REDUCED, Rule.GROSS), (-7500.0, Outcome.REDUCED, Rule.GROSS)],
    "net_max": [(3750.0, Outcome.REDUCED, Rule.NET), (3750.0, Outcome.REDUCED, Rule.NET)],
    "turnover_max": [(2500.0, Outcome.REDUCED, Rule.TURNOVER), (-2500.0, Outcome.REDUCED, Rule.TURNOVER)],
    "order_notional_max": [(2500.0, Outcome.REDUCED, Rule.ORDER_NOTIONAL)],
    "participation_max": [(1000.0, Outcome.REDUCED, Rule.PARTICIPATION)],
    "stop_loss": [(-100.0, Outcome.FORCED, Rule.STOP_LOSS)],
    "drawdown_max": [(0.0, Outcome.DENIED, Rule.DRAWDOWN)],
}


@pytest.mark.parametrize("name", Risk.model_fields)
def test_every_limit_of_the_parameters_trips(name):
    """No knob of the risk section is decoration: each has a book that trips it, with the answer worked out by hand."""
    judged = TRIPS[name]()

    assert answers(judged) == EXPECTED[name]
    assert (judged.out.found > judged.out.limit).all()


@pytest.mark.parametrize(
    ("asked", "rules"),
    [
        ([1500], {"symbol_weight_max": 0.15}),
        ([7500, -7500], {"gross_max": 1.5}),
        ([3750, 3750], {"net_max": 0.75}),
        ([-3750, -3750], {"net_max": 0.75}),
        ([2500, -2500], {"turnover_max": 0.5}),
        ([2500], {"order_notional_max": 250_000}),
        ([1000], {"volume": 20_000, "participation_max": 0.05}),
        ([5], {"notional_min": 500.0}),
    ],
)
def test_an_order_exactly_at_a_limit_passes(asked, rules):
    """Limits are inclusive."""
    judged = judge(asked, **rules)

    assert answers(judged) == [(quantity, Outcome.APPROVED, Rule.NONE) for quantity in asked]


def test_a_position_exactly_at_its_stop_stays():
    """A loss of exactly the stop is not more than the stop; a drawdown of exactly the limit is not either."""
    at_stop = judge([100], held=[100], average=[100.0], close=[75.0], stop_loss=0.25)
    at_drawdown = judge([100], drawdown_max=0.5, state=risk.State(np.array([2e6, 0.0]), np.zeros(1)))

    assert answers(at_stop)[0][2] == Rule.NONE
    assert answers(at_drawdown) == [(100.0, Outcome.APPROVED, Rule.NONE)]


def test_reductions_always_pass():
    """Closing is never cut, even where every limit is zero and the price is missing."""
    zero = {name: 0.0 for name in NO_LIMITS if name not in {"stop_loss", "drawdown_max"}}

    judged = judge([0, -10, 40], held=[500, -500, 100], close=[100, math.nan, 100], mark=[100, 100, 100], volume=0.0, **zero)

    assert judged.out.order.tolist() == [-500, 490, -60]
    assert judged.out.outcome.tolist() == [Outcome.APPROVED] * 3


def test_room_made_by_a_reduction_is_not_spent_before_it_fills():
    """At full gross, an addition waits although a sale of the same size was ordered beside it."""
    judged = judge([0, 5000], held=[5000, 0], gross_max=0.5)

    assert answers(judged) == [(-5000.0, Outcome.APPROVED, Rule.NONE), (0.0, Outcome.DENIED, Rule.GROSS)]


def test_an_order_that_crosses_zero_keeps_its_closing_half():
    """Where shorting is not possible, a sale beyond the position closes it."""
    judged = judge([-50, -50], held=[100, 0], shortable=False)

    assert answers(judged) == [(-100.0, Outcome.REDUCED, Rule.SHORT), (0.0, Outcome.DENIED, Rule.SHORT)]


def test_without_a_price_nothing_is_added():
    """A missing bar means no new exposure."""
    judged = judge([200], held=[100], close=math.nan, mark=[100.0])

    assert answers(judged) == [(0.0, Outcome.DENIED, Rule.MISSING_PRICE)]


def test_an_order_too_small_to_send_is_dropped_but_a_position_may_always_be_closed():
    """Four shares of 100 are under the minimum of 500, unless they are all there is."""
    judged = judge([4, 96, 0], held=[0, 100, 4], notional_min=500.0)

    assert answers(judged) == [
        (0.0, Outcome.DENIED, Rule.MIN_NOTIONAL), (0.0, Outcome.DENIED, Rule.MIN_NOTIONAL), (-4.0, Outcome.APPROVED, Rule.NONE),
    ]  # fmt: skip


def test_a_stopped_position_stays_out_until_the_view_changes():
    """The side that was stopped may not come back while the forecast says the same, or nothing; it may after it turned."""
    state = risk.State.blank(1)
    judge([100], held=[100], close=[80.0], stop_loss=0.1, state=state)

    again = judge([100], aim=[1.0], state=state)
    silent = judge([100], aim=[math.nan], state=state)
    other_side = judge([-100], aim=[-1.0], state=state)
    back = judge([100], aim=[1.0], state=state)

    assert answers(again) == answers(silent) == [(0.0, Outcome.DENIED, Rule.STOP_LOSS)]
    assert answers(other_side) == [(-100.0, Outcome.APPROVED, Rule.NONE)]
    assert answers(back) == [(100.0, Outcome.APPROVED, Rule.NONE)]


def test_a_short_is_stopped_when_the_price_rises():
    """Loss counts on the position's own side."""
    judged = judge([-100], held=[-100], average=[100.0], close=[111.0], stop_loss=0.1)

    assert answers(judged) == [(100.0, Outcome.FORCED, Rule.STOP_LOSS)]
    assert judged.out.found[0] == pytest.approx(0.11)


def test_the_kill_latch_flattens_and_stays_shut_until_it_is_opened():
    """Once tripped, equity may recover: everything is closed and nothing opened until someone resumes."""
    state = risk.State(np.array([2e6, 0.0]), np.zeros(2))
    tripped = judge([100, 50], held=[100, 0], drawdown_max=0.3, state=state)
    recovered = judge([100, 50], held=[100, 0], drawdown_max=0.3, state=state)
    risk.resume(state, EQUITY)
    resumed = judge([100, 50], held=[100, 0], drawdown_max=0.3, state=state)

    assert answers(tripped) == [(-100.0, Outcome.FORCED, Rule.DRAWDOWN), (0.0, Outcome.DENIED, Rule.DRAWDOWN)]
    assert answers(recovered) == [(-100.0, Outcome.FORCED, Rule.KILL_LATCH), (0.0, Outcome.DENIED, Rule.KILL_LATCH)]
    assert answers(resumed) == [(0.0, Outcome.NONE, Rule.NONE), (50.0, Outcome.APPROVED, Rule.NONE)]


@pytest.mark.parametrize("worth", [math.nan, 0.0, -5.0])
def test_an_account_that_is_worth_nothing_trades_nothing(worth):
    """Equity that is unknown or gone shuts the latch."""
    market, params = recorded.terms()
    book, state, out = fills.Book.opened(1, 0.0), risk.State(np.array([1e6, 0.0]), np.zeros(1)), risk.Verdicts.blank(1)
    book.mark[:] = 100.0

    one, price = np.array([10.0]), np.array([100.0])
    risk.step(risk.limits(market, params), one, np.ones(1), price, np.array([1e6]), book, worth, state, out)

    assert risk.halted(state)
    assert out.order.tolist() == [0.0]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_every_limit_holds_whatever_was_asked(data):
    """For any book and any wish: limits hold for every subset of the orders that may fill, and reductions are left alone."""
    count = data.draw(st.integers(1, 6))

    def numbers(low, high):
        return np.array(data.draw(st.lists(st.floats(low, high), min_size=count, max_size=count)))

    price = numbers(0.5, 500)
    held, wanted = np.trunc(numbers(-3000, 3000)), np.trunc(numbers(-9000, 9000))
    close = np.where(numbers(0, 1) < 0.2, math.nan, price)
    volume = numbers(0, 50_000)
    rules = {
        "symbol_weight_max": data.draw(st.floats(0, 0.5)), "gross_max": data.draw(st.floats(0, 2)),
        "net_max": data.draw(st.floats(0, 1)), "turnover_max": data.draw(st.floats(0, 2)),
        "order_notional_max": data.draw(st.floats(0, 400_000)), "participation_max": data.draw(st.floats(0, 1)),
    }  # fmt: skip
    judged = judge(wanted, held=held, average=price, close=close, mark=price, volume=volume, **rules)
    order = judged.out.order

    closing = np.where(order * held < 0, np.sign(order) * np.minimum(abs(order), abs(held)), 0.0)
    asked = wanted - held
    may_close = np.where(asked * held < 0, np.sign(asked) * np.minimum(abs(asked), abs(held)), 0.0)
    opening = order - closing
    slack = 1e-9 * EQUITY
    worst_gross = float(np.sum(abs(held) * price + abs(opening) * price))
    up = float(np.sum(held * price) + np.sum(np.maximum(order, 0) * price))
    down = float(np.sum(held * price) + np.sum(np.minimum(order, 0) * price))
    adds = opening != 0

    assert np.array_equal(closing, may_close)
    assert (abs(order) <= abs(asked) * (1 + 1e-12)).all()
    assert (order * asked >= 0).all()
    assert not adds[np.isnan(close)].any()
    assert (abs(held + order)[adds] * price[adds] <= rules["symbol_weight_max"] * EQUITY + slack).all()
    assert (abs(order)[adds] * price[adds] <= rules["order_notional_max"] + slack).all()
    assert (abs(order)[adds] <= rules["participation_max"] * volume[adds] + 1e-6).all()
    assert not adds.any() or worst_gross <= rules["gross_max"] * EQUITY + slack
    assert not (opening > 0).any() or up <= rules["net_max"] * EQUITY + slack
    assert not (opening < 0).any() or down >= -rules["net_max"] * EQUITY - slack
    assert not adds.any() or float(np.sum(abs(order) * price)) <= rules["turnover_max"] * EQUITY + slack
    assert (order == np.trunc(order)).all()
