"""The gate: every limit holds whatever is asked, every limit trips, and what is exactly at a limit passes."""

import itertools
import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.decision import Outcome, Rule, TradingState
from domain.error import TradingError
from domain.params import Risk
from pipelines.execution import conditions, fills, gaps, guards, limits, risk, trader
from pipelines.execution.conditions import Conditions
from pipelines.execution.guards import Sent
from pipelines.execution.verdicts import Verdicts
from tests.pipelines.execution import naive, recorded

EQUITY = 1_000_000.0
NOW_NS = 10**15
MARKET, PARAMS = recorded.terms()
LOOSE = {
    "symbol_weight_max": 100.0, "sector_gross_max": 100.0, "market_gross_max": 100.0, "gross_max": 100.0, "net_max": 100.0,
    "leverage_max": 100.0, "overnight_gross_max": 100.0, "weekend_gross_max": 100.0, "closing_bars": 1,
    "volatility_max": 1e6, "buying_power_max": 1.0, "turnover_max": 100.0, "order_notional_max": 1e12,
    "order_quantity_max": 1e12, "price_collar": 100.0, "participation_max": 1e6, "liquidity_max": 1e6, "stop_loss": 10.0,
    "trailing_stop": 10.0, "daily_loss_max": 1.0, "drawdown_max": 1.0, "halted": "flatten", "orders_max": 10**6,
    "orders_window_s": 60.0, "repeats_max": 10**6, "repeats_window_s": 60.0, "symbol_age_bars_max": 1e6, "feed_silence_s_max": 1e6,
    "account_age_s_max": 1e6, "clock_offset_s_max": 1e6, "loop_lag_s_max": 1e6,
}  # fmt: skip
ACCOUNT = {
    "closing": conditions.CLOSING, "other_bought": conditions.OTHER_BOUGHT, "other_sold": conditions.OTHER_SOLD,
    "other_gross": conditions.OTHER_GROSS, "other_net": conditions.OTHER_NET, "buying_power": conditions.BUYING_POWER,
}  # fmt: skip
HEALTHY = {
    "feed_silence_s": 0.0, "account_age_s": 0.0, "clock_offset_s": 0.0, "loop_lag_s": 0.0, "model_valid": True,
}  # fmt: skip


def rules(**changed):
    """Return limits that limit nothing, but for those named."""
    return Risk(**{**LOOSE, **changed})


def numbers_of(chosen, *, lot=1.0, shortable=True, notional_min=0.0):
    """Return the compiled gate's limits, by the way that a trader gets them."""
    instrument = MARKET.instrument.model_copy(update={"lot": lot, "shortable": shortable})
    orders = PARAMS.orders.model_copy(update={"notional_min": notional_min})
    market = type(MARKET)(**{**vars(MARKET), "instrument": instrument})
    return limits.of(market, PARAMS.model_copy(update={"risk": chosen, "orders": orders}))


def memory(count, **places):
    """Return the gate's memory with some numbers of the account, or arrays, set."""
    state = risk.State.blank(count)
    for name, value in places.items():
        if name in risk.State._fields:
            getattr(state, name)[:] = value
        else:
            state.account[getattr(risk, name.upper())] = value
    return state


def told(count, known):
    """Return conditions with what is `known` of them taken out."""
    surrounding = Conditions.blank(count)
    for name in [name for name in known if name in Conditions._fields]:
        getattr(surrounding, name)[:] = known.pop(name)
    for name in [name for name in known if name in ACCOUNT]:
        surrounding.account[ACCOUNT[name]] = known.pop(name)
    return surrounding


def facts(count, **known):
    """Return a healthy world but for what is named."""
    arrays = {"open": np.full(count, True), "tradable": np.full(count, True), "symbol_age_bars": np.zeros(count)}
    return guards.Facts(**{**arrays, **HEALTHY, **known})


def places(count):
    """Return where each symbol stands."""
    return {f"S{s}": s for s in range(count)}


def judge(wanted, *, held=(), average=(), close=100.0, mark=None, volume=1e6, aim=None, state=None, world=None, sent=(), **known):
    """Put one bar through the gate and return what came out, the state and the book; `known` are conditions, then limits."""
    count = len(wanted)
    surrounding = told(count, known)
    terms = {name: known.pop(name) for name in ("lot", "shortable", "notional_min") if name in known}
    chosen = rules(**known)
    if world is not None or sent:
        guards.watch(chosen, facts(count, **(world or {})), list(sent), NOW_NS, places(count), surrounding)
    book = fills.Book.opened(count, EQUITY)
    book.quantity[:] = list(held) or 0.0
    book.average[:] = list(average) or np.where(book.quantity != 0, 100.0, 0.0)
    close = np.broadcast_to(np.asarray(close, dtype=float), count).copy()
    book.mark[:] = close if mark is None else mark
    state = risk.State.blank(count) if state is None else state
    out = Verdicts.blank(count)
    view = np.sign(np.asarray(wanted, dtype=float)) if aim is None else np.asarray(aim, dtype=float)
    volume = np.broadcast_to(np.asarray(volume, dtype=float), count).copy()
    numbers = numbers_of(chosen, **terms)
    risk.step(numbers, np.asarray(wanted, dtype=float), view, close, volume, book, EQUITY, 1.0, surrounding, state, out)
    return SimpleNamespace(out=out, state=state, book=book, limits=numbers, conditions=surrounding)


def answers(judged):
    """Return (order, outcome, rule) of each symbol."""
    out = judged.out
    return [(o, Outcome(c), Rule(r)) for o, c, r in zip(out.order, out.outcome, out.rule, strict=True)]


def ago(seconds, symbol="S0", quantity=100.0):
    """Return an order that was sent so many seconds ago."""
    return Sent(NOW_NS - int(seconds * 1e9), symbol, quantity)


class Case(NamedTuple):
    """What trips one limit, with the answer worked out by hand, and what is exactly at it."""

    beyond: Callable
    orders: list
    rule: Rule
    found: float
    limit: float
    at: Callable


def over(at, **known):
    """Return limits, and what they allow to be held at a decision of the market of five minutes."""
    return {**known, "closing": float(gaps.most(FIVE, rules(**known), np.array([at], dtype="datetime64[us]"))[0])}


#: Closes of bars before the one that ends a session at 16:00 in New York: the last but one, on two days, and an earlier one.
FIVE = recorded.terms("us_equity_5m")[0]
NIGHT, WEEKEND, BEFORE = "2024-05-30T19:55", "2024-05-31T19:55", "2024-05-30T19:45"
BAR = 0.2 / math.sqrt(252)
CASES = {
    "symbol_weight_max": Case(
        lambda: judge([3000], symbol_weight_max=0.15), [1500], Rule.SYMBOL_WEIGHT, 0.3, 0.15,
        lambda: judge([1500], symbol_weight_max=0.15),
    ),
    "sector_gross_max": Case(
        lambda: judge([4000, -4000], sector=[0, 0], sector_gross_max=0.5), [2500, -2500], Rule.SECTOR_GROSS, 0.8, 0.5,
        lambda: judge([2500, -2500, 5000], sector=[0, 0, 1], sector_gross_max=0.5),
    ),
    "market_gross_max": Case(
        lambda: judge([4000, -4000], market_gross_max=0.5), [2500, -2500], Rule.MARKET_GROSS, 0.8, 0.5,
        lambda: judge([2500, -2500], market_gross_max=0.5, other_gross=9e6),
    ),
    "gross_max": Case(
        lambda: judge([9000, -9000], gross_max=1.5, other_gross=900_000), [3000, -3000], Rule.GROSS, 2.7, 1.5,
        lambda: judge([3000, -3000], gross_max=1.5, other_gross=900_000),
    ),
    "net_max": Case(
        lambda: judge([9000, 9000], net_max=0.75, other_net=150_000), [3000, 3000], Rule.NET, 1.95, 0.75,
        lambda: judge([3000, 3000], net_max=0.75, other_net=150_000),
    ),
    "leverage_max": Case(
        lambda: judge([8000], leverage_max=2.0, other_gross=1_500_000), [5000], Rule.LEVERAGE, 2.3, 2.0,
        lambda: judge([5000], leverage_max=2.0, other_gross=1_500_000),
    ),
    "overnight_gross_max": Case(
        lambda: judge([-3000, 3000], held=[-6000, 0], **over(NIGHT, overnight_gross_max=0.3)), [4500, 1500], Rule.GAP, 0.6, 0.3,
        lambda: judge([-1000, 2000], held=[-6000, 0], **over(NIGHT, overnight_gross_max=0.3)),
    ),
    "weekend_gross_max": Case(
        lambda: judge([3000], held=[3000], **over(WEEKEND, weekend_gross_max=0.0)), [-3000], Rule.GAP, 0.3, 0.0,
        lambda: judge([3000], **over(WEEKEND, weekend_gross_max=0.3, overnight_gross_max=0.0)),
    ),
    "closing_bars": Case(
        lambda: judge([3000], **over(BEFORE, overnight_gross_max=0.1, closing_bars=3)), [1000], Rule.GAP, 0.3, 0.1,
        lambda: judge([3000], **over(BEFORE, overnight_gross_max=0.1, closing_bars=2)),
    ),
    "volatility_max": Case(
        lambda: judge([8000, -8000], volatility_max=0.2, gross_max=1.0, state=memory(2, variance=(2 * BAR) ** 2)),
        [2500, -2500], Rule.VOLATILITY, 1.6, 0.5,
        lambda: judge([5000, -5000], volatility_max=0.2, gross_max=1.0, state=memory(2, variance=BAR**2)),
    ),
    "buying_power_max": Case(
        lambda: judge([3000, -1000], buying_power_max=0.5, buying_power=400_000), [1500, -500], Rule.BUYING_POWER, 0.4, 0.2,
        lambda: judge([1500, -500], buying_power_max=0.5, buying_power=400_000),
    ),
    "turnover_max": Case(
        lambda: judge([9000, -9000], turnover_max=0.5), [2500, -2500], Rule.TURNOVER, 1.8, 0.5,
        lambda: judge([2500, -2500], turnover_max=0.5),
    ),
    "order_notional_max": Case(
        lambda: judge([3000], order_notional_max=250_000), [2500], Rule.ORDER_NOTIONAL, 300_000, 250_000,
        lambda: judge([2500], order_notional_max=250_000),
    ),
    "order_quantity_max": Case(
        lambda: judge([-3000], order_quantity_max=1000), [-1000], Rule.ORDER_QUANTITY, 3000, 1000,
        lambda: judge([-1000], order_quantity_max=1000),
    ),
    "price_collar": Case(
        lambda: judge([100], price=[106.0], price_collar=0.05), [0], Rule.PRICE_COLLAR, 106.0, 105.0,
        lambda: judge([100, -100], price=[105.0, 95.0], price_collar=0.05),
    ),
    "participation_max": Case(
        lambda: judge([3000], volume=20_000, participation_max=0.05), [1000], Rule.PARTICIPATION, 3000, 1000,
        lambda: judge([1000], volume=20_000, participation_max=0.05),
    ),
    "liquidity_max": Case(
        # Twenty bars' average of 10,000 sees a bar of 30,000: 11,000.
        lambda: judge([3000], volume=30_000, liquidity_max=0.1, state=memory(1, volume=10_000)), [1100], Rule.LIQUIDITY, 3000, 1100,
        lambda: judge([1100], volume=30_000, liquidity_max=0.1, state=memory(1, volume=10_000)),
    ),
    "stop_loss": Case(
        lambda: judge([100], held=[100], close=74.0, stop_loss=0.25), [-100], Rule.STOP_LOSS, 0.26, 0.25,
        lambda: judge([101], held=[100], close=75.0, stop_loss=0.25),
    ),
    "trailing_stop": Case(
        lambda: judge([100], held=[100], average=[50.0], close=140.0, trailing_stop=0.25, state=memory(1, best=200.0)),
        [-100], Rule.TRAILING_STOP, 0.3, 0.25,
        lambda: judge([101], held=[100], average=[50.0], close=150.0, trailing_stop=0.25, state=memory(1, best=200.0)),
    ),
    "daily_loss_max": Case(
        lambda: judge([100], daily_loss_max=0.25, state=memory(1, day=1, day_equity=2e6)), [0], Rule.DAILY_LOSS, 0.5, 0.25,
        lambda: judge([100], daily_loss_max=0.5, state=memory(1, day=1, day_equity=2e6)),
    ),
    "drawdown_max": Case(
        lambda: judge([100], drawdown_max=0.25, state=memory(1, peak=2e6)), [0], Rule.DRAWDOWN, 0.5, 0.25,
        lambda: judge([100], drawdown_max=0.5, state=memory(1, peak=2e6)),
    ),
    "halted": Case(
        lambda: judge([200], held=[100], halted="hold", state=memory(1, latched=1)), [0], Rule.KILL_LATCH, 1.0, 0.0,
        lambda: judge([200], held=[100], halted="hold"),
    ),
    "orders_max": Case(
        lambda: judge([-100], orders_max=2, sent=[ago(1), ago(2)]), [0], Rule.ORDER_RATE, 3, 2,
        lambda: judge([-100], orders_max=2, sent=[ago(1)]),
    ),
    "orders_window_s": Case(
        lambda: judge([-100], orders_max=1, orders_window_s=30, sent=[ago(29.9)]), [0], Rule.ORDER_RATE, 2, 1,
        lambda: judge([-100], orders_max=1, orders_window_s=30, sent=[ago(30)]),
    ),
    "repeats_max": Case(
        lambda: judge([100], repeats_max=2, sent=[ago(1), ago(2)]), [0], Rule.REPEATED_ORDER, 3, 2,
        lambda: judge([100], repeats_max=2, sent=[ago(1), ago(2, quantity=-100.0)]),
    ),
    "repeats_window_s": Case(
        lambda: judge([100], repeats_max=1, repeats_window_s=30, sent=[ago(29.9)]), [0], Rule.REPEATED_ORDER, 2, 1,
        lambda: judge([100], repeats_max=1, repeats_window_s=30, sent=[ago(30)]),
    ),
    "symbol_age_bars_max": Case(
        lambda: judge([100], symbol_age_bars_max=3, world={"symbol_age_bars": np.array([4.0])}), [0], Rule.STALE_SYMBOL, 4, 3,
        lambda: judge([100], symbol_age_bars_max=3, world={"symbol_age_bars": np.array([3.0])}),
    ),
    "feed_silence_s_max": Case(
        lambda: judge([100], feed_silence_s_max=60, world={"feed_silence_s": 61.0}), [0], Rule.STALE_FEED, 61, 60,
        lambda: judge([100], feed_silence_s_max=60, world={"feed_silence_s": 60.0}),
    ),
    "account_age_s_max": Case(
        lambda: judge([100], account_age_s_max=60, world={"account_age_s": 61.0}), [0], Rule.STALE_ACCOUNT, 61, 60,
        lambda: judge([100], account_age_s_max=60, world={"account_age_s": 60.0}),
    ),
    "clock_offset_s_max": Case(
        lambda: judge([100], clock_offset_s_max=1, world={"clock_offset_s": -1.5}), [0], Rule.CLOCK_OFFSET, 1.5, 1,
        lambda: judge([100], clock_offset_s_max=1, world={"clock_offset_s": -1.0}),
    ),
    "loop_lag_s_max": Case(
        lambda: judge([100], loop_lag_s_max=5, world={"loop_lag_s": 6.0}), [0], Rule.LOOP_LAG, 6, 5,
        lambda: judge([100], loop_lag_s_max=5, world={"loop_lag_s": 5.0}),
    ),
}  # fmt: skip


@pytest.mark.fault("F06", "F21", "F27", "F36", "F83", "F84", "F105", "F119", "F120")
@pytest.mark.parametrize("name", Risk.model_fields)
def test_every_limit_of_the_parameters_trips(name):
    """No knob of the risk section is decoration: each has a book that trips exactly it, with the answer worked out by hand."""
    case = CASES[name]
    out = case.beyond().out

    assert out.order.tolist() == case.orders
    assert set(out.rule) == {case.rule}
    assert out.found.tolist() == pytest.approx([case.found] * len(case.orders))
    assert out.limit.tolist() == pytest.approx([case.limit] * len(case.orders))


@pytest.mark.fault("F119")
@pytest.mark.parametrize("name", Risk.model_fields)
def test_what_is_exactly_at_a_limit_passes(name):
    """Limits are inclusive."""
    out = CASES[name].at().out

    assert (out.order == out.asked).all()
    assert (out.outcome == Outcome.APPROVED).all()
    assert (out.rule == Rule.NONE).all()


@pytest.mark.parametrize(
    ("wanted", "rule", "known"),
    [
        ([-9000, -9000], Rule.NET, {"net_max": 0.0}),
        ([3000], Rule.PRICE_COLLAR, {"close": 106.0, "mark": [100.0], "price_collar": 0.05}),
        ([3000], Rule.PRICE_COLLAR, {"price": [-1.0], "price_collar": 0.05}),
        ([3000], Rule.TRADING_HALT, {"world": {"tradable": np.array([False])}}),
        ([3000], Rule.SESSION, {"world": {"open": np.array([False])}}),
        ([3000], Rule.MODEL, {"world": {"model_valid": False}}),
        ([3000], Rule.STALE_SYMBOL, {"world": {"symbol_age_bars": np.array([math.nan])}}),
        ([3000], Rule.STALE_FEED, {"world": {"feed_silence_s": math.nan}}),
        ([3000], Rule.STALE_ACCOUNT, {"world": {"account_age_s": math.nan}}),
        ([3000], Rule.CLOCK_OFFSET, {"world": {"clock_offset_s": math.nan}}),
        ([3000], Rule.LOOP_LAG, {"world": {"loop_lag_s": math.nan}}),
        ([3000], Rule.BUYING_POWER, {"buying_power": math.nan}),
        ([3000], Rule.BUYING_POWER, {"buying_power_max": 0.0}),
        ([3000], Rule.SYMBOL_WEIGHT, {"buying": [math.nan]}),
        ([3000], Rule.GROSS, {"other_gross": math.nan}),
        ([3000], Rule.NET, {"other_net": math.nan}),
        ([3000], Rule.MISSING_PRICE, {"close": 100.0, "mark": [math.nan]}),
        ([3000], Rule.VOLATILITY, {"state": memory(1, variance=math.nan)}),
        ([3000], Rule.DAILY_LOSS, {"daily_loss_max": 0.5, "state": memory(1, day=1, day_equity=math.nan)}),
    ],
)  # fmt: skip
def test_what_is_missing_or_beyond_its_bounds_adds_nothing(wanted, rule, known):
    """Unknown is not zero: nothing is added, and the verdict says for want of what."""
    out = judge(wanted, **known).out

    assert set(out.rule) == {rule}
    assert (out.order == 0).all()
    assert (out.outcome == Outcome.DENIED).all()


def test_a_position_exactly_at_its_stop_stays():
    """A loss of exactly the stop is not more than the stop."""
    judged = judge([100], held=[100], average=[100.0], close=[75.0], stop_loss=0.25)

    assert answers(judged)[0][2] == Rule.NONE


def test_reductions_always_pass():
    """Closing is never cut, even where every limit is zero, the price is missing and every guard has spoken."""
    zero = {
        name: 0.0 for name in LOOSE if name.endswith("_max") and name not in {"drawdown_max", "daily_loss_max", "volatility_max"}
    }
    stale = {"symbol_age_bars": np.full(3, math.nan), "feed_silence_s": math.nan, "open": np.full(3, False), "model_valid": False}

    judged = judge(
        [0, -10, 40], held=[500, -500, 100], close=[100, math.nan, 100], mark=[100, 100, 100], volume=0.0, price_collar=0.0,
        world=stale, **zero,
    )  # fmt: skip

    assert judged.out.order.tolist() == [-500, 490, -60]
    assert judged.out.outcome.tolist() == [Outcome.APPROVED] * 3


def test_room_made_by_a_reduction_is_not_spent_before_it_fills():
    """At full gross, an addition waits although a sale of the same size was ordered beside it."""
    judged = judge([0, 5000], held=[5000, 0], gross_max=0.5)

    assert answers(judged) == [(-5000.0, Outcome.APPROVED, Rule.NONE), (0.0, Outcome.DENIED, Rule.GROSS)]


@pytest.mark.fault("F109")
@pytest.mark.parametrize(
    ("wanted", "expected", "known"),
    [
        # 2,000 held at 100, 1,000 more may be bought: of 5,000 in all, 2,000 are left.
        ([6000], (2000, Rule.SYMBOL_WEIGHT), {"held": [2000], "buying": [1000], "symbol_weight_max": 0.5}),
        # The working 1,000 count at their limit of 125, and so does all of the symbol: 4,000 of 500,000.
        ([6000], (1000, Rule.SYMBOL_WEIGHT), {"held": [2000], "buying": [1000], "working_price": [125], "symbol_weight_max": 0.5}),
        ([-6000], (-2000, Rule.SYMBOL_WEIGHT), {"selling": [3000], "symbol_weight_max": 0.5}),
        ([6000], (2000, Rule.MARKET_GROSS), {"held": [2000], "buying": [1000], "market_gross_max": 0.5}),
        # Sells of 3,000 would turn 1,000 around to -2,000: that is the worst.
        (
            [5000], (3000, Rule.MARKET_GROSS),
            {"held": [1000], "selling": [3000], "lowest_sell": [200], "price": [100], "market_gross_max": 0.5},
        ),
        ([6000], (2000, Rule.NET), {"held": [2000], "buying": [1000], "net_max": 0.5}),
        ([6000], (3000, Rule.BUYING_POWER), {"held": [2000], "buying": [1000], "buying_power": 400_000}),
        ([6000], (3500, Rule.TURNOVER), {"held": [2000], "buying": [1500], "turnover_max": 0.5}),
        ([6000], (2000, Rule.SECTOR_GROSS), {"held": [2000], "buying": [1000], "sector_gross_max": 0.5}),
        ([-50], (-70, Rule.SHORT), {"held": [100], "selling": [30], "shortable": False}),
    ],
)  # fmt: skip
def test_orders_that_work_count_as_filled_where_that_is_worse(wanted, expected, known):
    """Two decisions in a row cannot together exceed what one may."""
    out = judge(wanted, **known).out

    assert (out.order[0], out.rule[0]) == expected


@pytest.mark.fault("F116")
def test_closing_twice_does_not_turn_a_position_around():
    """A sale of 60 works: what is left to close of 100 is 40, for a wish, a stop and a halt alike; 40 more would be a short."""
    wish = judge([0], held=[100], selling=[60], gross_max=0.0)
    stopped = judge([100], held=[100], selling=[60], close=80.0, stop_loss=0.1)
    halted = judge([100], held=[100], selling=[60], state=memory(1, latched=1))
    done = judge([100], held=[100], selling=[100], state=memory(1, latched=1))

    assert [each.out.order[0] for each in (wish, stopped, halted, done)] == [-40, -40, -40, 0]
    assert [each.out.outcome[0] for each in (wish, stopped, halted, done)] == [
        Outcome.REDUCED, Outcome.FORCED, Outcome.FORCED, Outcome.NONE,
    ]  # fmt: skip


@pytest.mark.fault("F63")
@pytest.mark.parametrize(
    ("wanted", "known", "denied"),
    [
        ([100], {"selling": [50], "lowest_sell": [105.0]}, True),  # a market order takes what it finds
        ([100], {"selling": [50], "lowest_sell": [105.0], "price": [105.0]}, True),
        ([100], {"selling": [50], "lowest_sell": [105.0], "price": [104.99]}, False),
        ([100], {"selling": [50], "price": [90.0]}, True),  # the working sale has no limit
        ([-100], {"buying": [50], "highest_buy": [95.0], "price": [95.0]}, True),
        ([-100], {"buying": [50], "highest_buy": [95.0], "price": [95.01]}, False),
        ([100], {"buying": [50], "highest_buy": [105.0]}, False),
    ],
)
def test_no_order_meets_one_of_our_own(wanted, known, denied):
    """Trading with oneself is wash trading, and brokers refuse it."""
    assert answers(judge(wanted, **known)) == [
        (0.0, Outcome.DENIED, Rule.SELF_TRADE) if denied else (wanted[0], Outcome.APPROVED, Rule.NONE)
    ]


def test_an_order_that_crosses_zero_keeps_its_closing_half():
    """Where shorting is not possible, a sale beyond the position closes it."""
    judged = judge([-50, -50], held=[100, 0], shortable=False)

    assert answers(judged) == [(-100.0, Outcome.REDUCED, Rule.SHORT), (0.0, Outcome.DENIED, Rule.SHORT)]


def test_without_a_price_nothing_is_added():
    """A missing bar means no new exposure."""
    judged = judge([200], held=[100], close=math.nan, mark=[100.0])

    assert answers(judged) == [(0.0, Outcome.DENIED, Rule.MISSING_PRICE)]


@pytest.mark.fault("F34")
def test_a_bar_without_volume_adds_nothing():
    """Made of quotes, or of nothing at all: what nobody traded cannot be taken a share of."""
    judged = judge([200, 50], held=[0, 100], volume=0.0, participation_max=0.05)

    assert answers(judged) == [(0.0, Outcome.DENIED, Rule.PARTICIPATION), (-50.0, Outcome.APPROVED, Rule.NONE)]


def test_an_order_too_small_to_send_is_dropped_but_a_position_may_always_be_closed():
    """Four shares of 100 are under the minimum of 500, unless they are all there is."""
    judged = judge([4, 96, 0, 5], held=[0, 100, 4, 0], notional_min=500.0)

    assert answers(judged) == [
        (0.0, Outcome.DENIED, Rule.MIN_NOTIONAL), (0.0, Outcome.DENIED, Rule.MIN_NOTIONAL), (-4.0, Outcome.APPROVED, Rule.NONE),
        (5.0, Outcome.APPROVED, Rule.NONE),
    ]  # fmt: skip


@pytest.mark.parametrize("rule", ["stop_loss", "trailing_stop"])
def test_a_stopped_position_stays_out_until_the_view_changes(rule):
    """The side that was stopped may not come back while the forecast says the same, or nothing; it may after it turned."""
    state = risk.State.blank(1)
    judge([100], held=[100], close=[80.0], state=state, **{rule: 0.1})

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


@pytest.mark.parametrize(("held", "closes", "stopped_at"), [(100, [100, 120, 150, 130, 119], 4), (-100, [100, 80, 50, 60, 61], 4)])
def test_a_trailing_stop_follows_the_best_mark_of_the_position(held, closes, stopped_at):
    """A fifth below the highest mark of a long, and above the lowest of a short, since it was opened."""
    state, rules_of = risk.State.blank(1), []
    for close in closes:
        rules_of.append(judge([held], held=[held], close=close, trailing_stop=0.2, state=state).out.rule[0])
        judge([held], held=[held], close=close, state=state)

    assert rules_of.index(Rule.TRAILING_STOP) == stopped_at


def test_another_position_has_another_best_mark():
    """A position that was closed, or turned around, leaves nothing behind that could stop the next."""
    state = risk.State.blank(1)
    judge([100], held=[100], close=200.0, state=state)
    turned = judge([-100], held=[-100], close=100.0, trailing_stop=0.1, state=state)
    judge([0], held=[0], close=100.0, state=state)

    assert answers(turned) == [(0.0, Outcome.NONE, Rule.NONE)]
    assert state.best[0] == 0.0


def test_the_kill_latch_flattens_and_stays_shut_until_it_is_opened():
    """Once tripped, equity may recover: everything is closed and nothing opened until someone resumes."""
    state = memory(2, peak=2e6)
    tripped = judge([100, 50], held=[100, 0], drawdown_max=0.3, state=state)
    recovered = judge([100, 50], held=[100, 0], drawdown_max=0.3, state=state)
    risk.resume(state, EQUITY)
    resumed = judge([100, 50], held=[100, 0], drawdown_max=0.3, state=state)

    assert answers(tripped) == [(-100.0, Outcome.FORCED, Rule.DRAWDOWN), (0.0, Outcome.DENIED, Rule.DRAWDOWN)]
    assert answers(recovered) == [(-100.0, Outcome.FORCED, Rule.KILL_LATCH), (0.0, Outcome.DENIED, Rule.KILL_LATCH)]
    assert answers(resumed) == [(0.0, Outcome.NONE, Rule.NONE), (50.0, Outcome.APPROVED, Rule.NONE)]


@pytest.mark.fault("F113")
@pytest.mark.parametrize("kept", [1.0, math.nan, -1.0, 0.5, math.inf, 5e-324])
def test_anything_but_a_clean_zero_is_a_shut_latch(kept):
    """A latch that cannot be read is shut."""
    state = memory(1, latched=kept)

    assert risk.halted(state)
    assert risk.standing(state) is TradingState.HALTED
    assert answers(judge([100], state=state)) == [(0.0, Outcome.DENIED, Rule.KILL_LATCH)]


@pytest.mark.parametrize(
    ("demanded", "orders", "state"),
    [
        (TradingState.ACTIVE, [-50, 50, 60], TradingState.ACTIVE),
        (TradingState.REDUCING, [-50, 0, 20], TradingState.REDUCING),
        (TradingState.HALTED, [-100, 0, 20], TradingState.HALTED),
        (7, [-100, 0, 20], TradingState.HALTED),
    ],
)
def test_what_is_demanded_of_the_account_is_done(demanded, orders, state):
    """REDUCING makes no position larger, HALTED closes all, and a state that nobody knows is HALTED."""
    judged = judge([50, 50, 40], held=[100, 0, -20], standing=[demanded, Rule.STALE_ACCOUNT])

    assert judged.out.order.tolist() == orders
    assert risk.standing(judged.state) is state


def test_a_lost_day_ends_with_its_session():
    """Equity that comes back opens nothing before the next session; a day that is not later begins none."""
    state = memory(1, day=1, day_equity=2e6, last_equity=1e6)
    lost = judge([100], daily_loss_max=0.25, state=state)
    state.account[risk.DAY_EQUITY] = 1e6
    recovered = judge([100], daily_loss_max=0.25, state=state)
    was = risk.standing(state)
    state.account[risk.DAY] = 0.0
    tomorrow = judge([100], daily_loss_max=0.25, state=state)

    assert answers(lost) == answers(recovered) == [(0.0, Outcome.DENIED, Rule.DAILY_LOSS)]
    assert was is TradingState.REDUCING
    assert answers(tomorrow) == [(100.0, Outcome.APPROVED, Rule.NONE)]


def test_a_session_begins_with_the_last_equity_of_the_one_before():
    """What the night took belongs to the day's loss."""
    judged = judge([100], daily_loss_max=0.25, state=memory(1, day=0.5, day_equity=9e6, last_equity=2e6))

    assert answers(judged) == [(0.0, Outcome.DENIED, Rule.DAILY_LOSS)]
    assert judged.state.account[risk.DAY_EQUITY] == 2e6


def test_a_book_that_prices_made_too_large_only_shrinks():
    """Above its leverage, whatever led there, an account adds on neither side until it is back within."""
    over = judge([25_000, -1000, 0], held=[25_000, 0, 100], leverage_max=2.0)
    back = judge([20_000, -1000], held=[19_000, 0], leverage_max=2.0)

    assert over.out.order.tolist() == [0, 0, -100]
    assert (over.out.rule[1], risk.standing(over.state)) == (Rule.LEVERAGE, TradingState.REDUCING)
    assert risk.standing(back.state) is TradingState.ACTIVE


def test_orders_that_reduce_go_before_those_that_add():
    """Three orders in a window of two: the one that closes is sent, one of the others."""
    judged = judge([100, 100, 0], held=[0, 0, 100], orders_max=2)

    assert answers(judged) == [
        (100.0, Outcome.APPROVED, Rule.NONE), (0.0, Outcome.DENIED, Rule.ORDER_RATE), (-100.0, Outcome.APPROVED, Rule.NONE),
    ]  # fmt: skip


@pytest.mark.parametrize("worth", [math.nan, 0.0, -5.0])
def test_an_account_that_is_worth_nothing_trades_nothing(worth):
    """Equity that is unknown or gone shuts the latch."""
    book, state, out = fills.Book.opened(1, 0.0), memory(1, peak=1e6), Verdicts.blank(1)
    book.mark[:] = 100.0

    one, price = np.array([10.0]), np.array([100.0])
    known = Conditions.blank(1)
    risk.step(limits.of(MARKET, PARAMS), one, np.ones(1), price, np.array([1e6]), book, worth, 1.0, known, state, out)

    assert risk.halted(state)
    assert out.order.tolist() == [0.0]


def asked_by_hand(quantity, price=math.nan, *, held=(0.0, 0.0), state=None, **known):
    """Judge one order of the first of two symbols; return the verdict, and whether anything was changed."""
    surrounding, state = told(2, known), memory(2) if state is None else state
    book = fills.Book.opened(2, EQUITY)
    book.quantity[:], book.average[:], book.mark[:] = held, 100.0, 100.0
    before = [values.tobytes() for values in (*book, *state, *surrounding)]
    said = risk.judge(
        numbers_of(rules(**known)), 0, quantity, price, np.full(2, 100.0), np.full(2, 1e6), book, EQUITY, surrounding, state
    )
    assert before == [values.tobytes() for values in (*book, *state, *surrounding)]
    return said


def test_an_order_by_hand_meets_every_limit():
    """One symbol's order against the whole book, with nothing changed by asking."""
    assert asked_by_hand(3000.0, gross_max=0.5, held=(0.0, -4000.0))[:3] == (1000.0, Outcome.REDUCED, Rule.GROSS)
    assert asked_by_hand(3000.0, 130.0, price_collar=0.1)[:3] == (0.0, Outcome.DENIED, Rule.PRICE_COLLAR)
    assert asked_by_hand(3000.0, 125.0, order_notional_max=250_000)[:3] == (2000.0, Outcome.REDUCED, Rule.ORDER_NOTIONAL)
    assert asked_by_hand(-100.0, held=(100.0, 0.0), gross_max=0.0)[:3] == (-100.0, Outcome.APPROVED, Rule.NONE)
    assert asked_by_hand(100.0, state=memory(2, latched=1))[:3] == (0.0, Outcome.DENIED, Rule.KILL_LATCH)
    assert asked_by_hand(100.0, state=memory(2, day_loss=0.3))[:3] == (0.0, Outcome.DENIED, Rule.DAILY_LOSS)
    assert asked_by_hand(100.0, blocked=[Rule.SESSION, 0])[:3] == (0.0, Outcome.DENIED, Rule.SESSION)


@pytest.mark.parametrize("quantity", [0.0, math.nan, math.inf, -math.inf])
def test_an_order_by_hand_that_orders_nothing_is_refused(quantity):
    """One sentence, and no verdict."""
    with pytest.raises(TradingError, match=r"quantity other than 0, found"):
        asked_by_hand(quantity)


class World(NamedTuple):
    """A book, what surrounds it, and what is asked of it."""

    asked: np.ndarray
    convictions: np.ndarray
    close: np.ndarray
    volume: np.ndarray
    twin: naive.Twin
    book: fills.Book
    conditions: Conditions
    state: risk.State
    risk: Risk
    limits: limits.Limits


BOUNDS = {
    "symbol_weight_max": 0.5, "sector_gross_max": 2.0, "market_gross_max": 2.0, "gross_max": 2.0, "net_max": 1.0,
    "leverage_max": 2.0, "turnover_max": 2.0, "order_notional_max": 400_000.0, "order_quantity_max": 5000.0, "price_collar": 0.3,
    "participation_max": 1.2, "liquidity_max": 1.2, "buying_power_max": 1.0,
}  # fmt: skip
BLOCKS = (Rule.NONE, Rule.NONE, Rule.NONE, Rule.SESSION, Rule.STALE_SYMBOL)


@st.composite
def worlds(draw):
    """Draw any book with any orders working, in the gate's arrays and in the twin's objects."""
    count = draw(st.integers(1, 5))

    def some(low, high):
        return np.array(draw(st.lists(st.floats(low, high), min_size=count, max_size=count)))

    def often(values, otherwise):
        return np.where(some(0, 1) < 0.5, values, otherwise)

    price = some(0.5, 500)
    held, asked = np.trunc(often(some(-3000, 3000), 0.0)), np.trunc(some(-9000, 9000))
    mark, close = price, np.where(some(0, 1) < 0.1, math.nan, price)
    surrounding, state = Conditions.blank(count), risk.State.blank(count)
    surrounding.buying[:], surrounding.selling[:] = np.trunc(often(some(0, 4000), 0.0)), np.trunc(often(some(0, 4000), 0.0))
    surrounding.working_price[:] = often(price * some(0.8, 1.2), math.nan)
    surrounding.price[:] = often(price * some(0.7, 1.3), math.nan)
    surrounding.lowest_sell[:], surrounding.highest_buy[:] = often(price * 1.1, math.nan), often(price * 0.9, math.nan)
    surrounding.sector[:] = draw(st.lists(st.integers(-1, count - 1), min_size=count, max_size=count))
    surrounding.blocked[:] = draw(st.lists(st.sampled_from(BLOCKS), min_size=count, max_size=count))
    surrounding.standing[:] = draw(st.sampled_from([(0, 0)] * 4 + [(1, Rule.STALE_ACCOUNT), (2, Rule.MODEL)]))
    surrounding.account[:3] = [draw(st.sampled_from(pair)) for pair in ((0.0, 3e5), (0.0, -2e5), (math.inf, 5e5))]
    surrounding.account[conditions.SENT] = draw(st.integers(0, 3))
    surrounding.account[conditions.OTHER_BOUGHT] = draw(st.sampled_from([0.0, 1e5]))
    surrounding.account[conditions.OTHER_SOLD] = draw(st.sampled_from([0.0, 1e5]))
    surrounding.account[conditions.CLOSING] = draw(st.sampled_from([math.inf, math.inf, 0.0, 0.3, 1.0]))
    state.volume[:] = often(some(0, 50_000), math.nan)
    state.best[:] = np.sign(held) * price * np.where(held > 0, some(1, 1.3), some(0.7, 1))
    state.stopped[:] = often(np.sign(some(-1, 1)), 0.0)
    state.account[risk.DAY_LOSS] = draw(st.sampled_from([0.0, 0.0, 0.0, 0.5]))
    state.account[risk.VARIANCE] = draw(st.sampled_from([0.0, 1e-4]))
    chosen = rules(
        **{name: draw(st.floats(0, most)) for name, most in BOUNDS.items()}, orders_max=draw(st.integers(0, 6)),
        volatility_max=draw(st.floats(0.05, 1.0)), stop_loss=draw(st.floats(0.01, 1.0)), trailing_stop=draw(st.floats(0.01, 1.0)),
        halted=draw(st.sampled_from(["flatten", "hold"])),
    )  # fmt: skip
    book = fills.Book(held, np.where(held != 0, price * some(0.8, 1.2), 0.0), mark, np.array([EQUITY]))
    convictions = often(np.sign(asked), math.nan)
    volume = np.where(np.isnan(close), math.nan, some(0, 50_000))
    twin = imitate(book, surrounding, state, chosen)
    return World(asked, convictions, close, volume, twin, book, surrounding, state, chosen, numbers_of(chosen))


def imitate(book, surrounding, state, chosen):
    """Return the naive twin in the same situation."""
    orders = PARAMS.orders.model_copy(update={"notional_min": 0.0})
    twin = naive.Twin(MARKET, PARAMS.model_copy(update={"risk": chosen, "orders": orders}), len(book.quantity), EQUITY)
    twin.peak, twin.variance = EQUITY, state.account[risk.VARIANCE]
    twin.day_loss = state.account[risk.DAY_LOSS] or None
    twin.other_gross, twin.other_net, twin.buying_power, twin.sent = surrounding.account[:4].tolist()
    twin.other_bought, twin.other_sold = (float(surrounding.account[p]) for p in (conditions.OTHER_BOUGHT, conditions.OTHER_SOLD))
    twin.closing = float(surrounding.account[conditions.CLOSING])
    twin.demanded = tuple(code(value).name.lower() for code, value in zip((TradingState, Rule), surrounding.standing, strict=True))
    for s, symbol in enumerate(twin.symbols):
        symbol.quantity, symbol.average, symbol.mark = (float(values[s]) for values in book[:3])
        symbol.stopped, symbol.best, symbol.usual_volume = (
            float(state.stopped[s]),
            abs(float(state.best[s])),
            float(state.volume[s]),
        )
        for name in ("buying", "selling", "working_price", "highest_buy", "lowest_sell", "price"):
            setattr(symbol, name, float(getattr(surrounding, name)[s]))
        symbol.sector = int(surrounding.sector[s])
        symbol.blocked = Rule(surrounding.blocked[s]).name.lower() if surrounding.blocked[s] else ""
    return twin


def gated(world):
    """Put what is asked through the gate, on a copy of its memory."""
    out, state = Verdicts.blank(len(world.asked)), risk.State(*(values.copy() for values in world.state))
    out.asked[:] = world.asked
    risk.gate(world.limits, world.convictions, world.close, world.volume, world.book, EQUITY, world.conditions, state, out)
    return out


@settings(max_examples=400, deadline=None)
@given(worlds())
def test_the_gate_equals_its_naive_twin_whatever_surrounds_it(world):
    """Every order, outcome and rule is that of plain Python floats, with orders working, sectors, guards, stops and all limits."""
    ours = gated(world)
    views = [None if math.isnan(view) else view for view in world.convictions.tolist()]
    theirs = world.twin.judge(world.asked.tolist(), views, world.close.tolist(), world.volume.tolist(), EQUITY)

    expected = [(order.quantity, order.outcome, order.rule) for order in theirs if order.outcome != "none"]
    found = zip(ours.order.tolist(), ours.outcome, ours.rule, strict=True)
    assert [(q, Outcome(o).name.lower(), Rule(r).name.lower()) for q, o, r in found if o != Outcome.NONE] == expected


@pytest.mark.fault("F109")
@settings(max_examples=400, deadline=None)
@given(worlds(), st.data())
def test_every_limit_holds_whatever_was_asked_and_whatever_fills(world, data):
    """No part of the orders, new and working, can fill such that a limit is broken by what was added; what closes is left alone."""
    out, chosen, around = gated(world), world.risk, world.conditions
    held, order, price = world.book.quantity, out.order, world.book.mark
    count, slack = len(held), 1e-9 * EQUITY
    dear = np.array([symbol.dear for symbol in world.twin.symbols])
    left = np.where(held > 0, held - around.selling, -held - around.buying)
    closing = np.where(order * held < 0, np.sign(order) * np.minimum(abs(order), np.maximum(left, 0.0)), 0.0)
    adds = order != closing

    def parts():
        return np.array(data.draw(st.lists(st.sampled_from([0.0, 0.5, 1.0]), min_size=count, max_size=count)))

    after = held + parts() * around.buying - parts() * around.selling + parts() * order
    if (state := int(around.standing[conditions.STATE])) or world.state.account[risk.DAY_LOSS]:
        assert not adds.any()
        assert (np.sign(order) * np.sign(held) <= 0).all()
        assert state != TradingState.HALTED or chosen.halted == "flatten" or not order.any()
    assert not adds[np.isnan(world.close) | (around.blocked != 0)].any()
    forced = out.outcome == Outcome.FORCED
    assert ((order * world.asked >= 0) | forced).all()
    assert ((abs(order) <= abs(world.asked)) | forced).all()
    assert (order == np.trunc(order)).all()
    grown = adds & (np.sign(after) == np.sign(order))
    assert (abs(after)[grown] * dear[grown] <= chosen.symbol_weight_max * EQUITY + slack).all()
    assert (abs(order)[adds] * dear[adds] <= chosen.order_notional_max + slack).all()
    assert (abs(order)[adds] <= chosen.order_quantity_max).all()
    if adds.any():
        gross, other = float(np.sum(abs(after) * dear)), around.account
        assert gross <= chosen.market_gross_max * EQUITY + slack
        assert gross + other[0] <= min(chosen.gross_max, chosen.leverage_max) * EQUITY + slack
        traded = float(np.sum((around.buying + around.selling + abs(order)) * dear))
        assert traded <= chosen.turnover_max * EQUITY + slack
    for sector in set(around.sector[adds].tolist()):
        same = around.sector == sector
        assert float(np.sum(abs(after)[same] * dear[same])) <= chosen.sector_gross_max * EQUITY + slack
    net = float(np.sum(held * price)) + around.account[conditions.OTHER_NET]
    up = net + float(np.sum((around.buying + np.maximum(order, 0)) * dear)) + around.account[conditions.OTHER_BOUGHT]
    down = net - float(np.sum((around.selling - np.minimum(order, 0)) * dear)) - around.account[conditions.OTHER_SOLD]
    if not (around.buying.any() or around.selling.any() or state == TradingState.HALTED):
        kept = float(np.sum(abs(held + order) * price))
        assert kept <= max(around.account[conditions.CLOSING] * EQUITY, 0.0) + slack
    assert not (adds & (order > 0)).any() or up <= chosen.net_max * EQUITY + slack
    assert not (adds & (order < 0)).any() or down >= -chosen.net_max * EQUITY - slack
    assert (
        not adds.any()
        or around.account[conditions.SENT] + np.count_nonzero(order) <= chosen.orders_max
        or not (adds & (closing == 0)).any()
    )


@settings(max_examples=200, deadline=None)
@given(worlds())
def test_reductions_pass_whatever_surrounds_them(world):
    """An order to close what no working order closes is sent whole, unless the account holds still by policy."""
    held, around = world.book.quantity, world.conditions
    world.asked[:] = [symbol.closing for symbol in world.twin.symbols]
    out = gated(world)

    holds = around.standing[conditions.STATE] == TradingState.HALTED and world.risk.halted == "hold"
    assert out.order.tolist() == [0.0 if holds else symbol.closing for symbol in world.twin.symbols]
    assert (abs(held + out.order) <= abs(held)).all()


def test_working_orders_are_added_up_at_their_worst():
    """By hand: two buys, one of them being replaced by a larger one, a market sale whose outcome is unknown."""
    known = Conditions.blank(2)
    guards.list_working(
        [
            guards.Working(0, 100.0, 99.0, 98.0),
            guards.Working(0, 50.0, 101.0, 98.0, quantity_becoming=80.0, price_becoming=97.0),
            guards.Working(1, -30.0, math.nan, 55.0),
        ],
        known,
    )

    assert (known.buying.tolist(), known.selling.tolist()) == ([180.0, 0.0], [0.0, 30.0])
    assert known.working_price.tolist() == [101.0, 55.0]
    assert known.highest_buy[0] == 101.0
    assert math.isnan(known.lowest_sell[1])
    guards.list_working([], known)
    assert not known.buying.any()
    assert np.isnan(known.working_price).all()


def test_sectors_are_counted_and_the_unknown_are_one():
    """Numbers as a panel has them, with holes, become numbers below the count of symbols."""
    assert guards.sectors(np.array([7.0, math.nan, 3.0, 7.0])).tolist() == [1, -1, 0, 1]

    unknown = judge([4000, -4000, 2000], sector=[-1, 99, 0], sector_gross_max=0.4)

    assert unknown.out.order.tolist() == [2000, -2000, 2000]


def test_facts_of_another_number_of_symbols_are_refused():
    """A fact too few would let a symbol trade unwatched."""
    with pytest.raises(ValueError, match=r"session needs one fact for each of 2 symbols, found \(1,\)"):
        guards.watch(rules(), facts(2, open=np.array([True])), [], NOW_NS, places(2), Conditions.blank(2))


def test_guards_that_are_satisfied_again_let_go():
    """Each look is a fresh one: nothing of an earlier block remains."""
    known = Conditions.blank(1)
    guards.watch(rules(), facts(1, open=np.array([False]), model_valid=False), [ago(1)], NOW_NS, places(1), known)
    guards.watch(rules(), facts(1), [], NOW_NS, places(1), known)

    blank = Conditions.blank(1)
    assert all(np.array_equal(a, b, equal_nan=True) for a, b in itertools.zip_longest(known, blank))


@pytest.mark.fault("F118")
def test_what_the_gate_remembers_survives_a_restart():
    """Latch, day's loss, peak, best marks and average volumes are in what a trader keeps: none is forgotten by stopping."""
    kept, fresh = (trader.Trader.opened(MARKET, PARAMS, 3, EQUITY) for _ in range(2))
    for place, values in enumerate(kept.gate):
        values[:] = np.arange(len(values)) + 10.0 * place + 0.1

    trader.restore([fresh], trader.packed([kept], {"bars": 1}))

    assert [values.tolist() for values in fresh.gate] == [values.tolist() for values in kept.gate]
    assert risk.halted(fresh.gate)
    assert answers(judge([100, 0, 0], state=fresh.gate))[0] == (0.0, Outcome.DENIED, Rule.KILL_LATCH)
