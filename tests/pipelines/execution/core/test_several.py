"""Several markets in one account: one purse, one kill latch, limits that count everything, and a share of the equity for each."""

from decimal import Decimal

import numpy as np
import pytest

from domain.error import ConfigurationError
from domain.order import OrderState, Terms
from domain.panel import Panel
from pipelines.execution.core.desk import SECOND
from pipelines.execution.core.events import (
    Answer,
    Answered,
    Asked,
    BarClosed,
    Channel,
    Commanded,
    Execution,
    Heard,
    Joined,
    Moment,
    Report,
    Synced,
)
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Cancel, Submit, Sync
from pipelines.execution.core.seat import Traded
from tests.pipelines.execution import recorded

FREE = {"turnover_max": 3.0, "participation_max": 1.0, "symbol_weight_max": 5.0, "order_notional_max": 1e9, "gross_max": 5.0,
        "net_max": 5.0, "leverage_max": 9.0, "market_gross_max": 5.0, "sector_gross_max": 9.0}  # fmt: skip
DECIDED = {"rate": 1.0, "band": 0.0, "volatility_target": 0.1}
CAPITAL = Decimal(1_000_000)
START_NS = 1_704_200_000 * SECOND


def traded(name, symbols, weight=1.0, **risk):
    """Return a market of an account, with limits out of the way but for those named."""
    market, params = recorded.terms(name, risk={**FREE, **risk}, decisions={**DECIDED, "weight": weight})
    return Traded(market, params, symbols, "1")


class House:
    """A core of several markets, known to be what the broker holds, and the time."""

    def __init__(self, *markets, capital=CAPITAL):
        self.markets = {each.market.name: each for each in markets}
        self.core, self.second, self.held, self.cash = Core(markets, capital), 0, {}, capital
        self.executions = []
        plan = self.step(Joined(Channel.ORDERS))
        self.read(next(each.asked_ns for each in plan.requests if isinstance(each, Sync)))

    @property
    def at(self):
        return Moment(START_NS + self.second * SECOND, self.second * SECOND + 1)

    def step(self, event):
        return self.core.step(event, self.at)

    def read(self, asked_ns):
        """Answer a reading of the account."""
        self.step(Synced((), tuple(self.executions), (), dict(self.held), self.cash, "c", asked_ns, self.at.ns))

    def bar(self, market, view=3.0, price=100.0):
        """Close a bar of a market and return the plan; of what may be sold short every other symbol is expected to fall."""
        names = self.markets[market].symbols
        at = np.array([self.at.ns // 1000], dtype="datetime64[us]")
        close = np.full((1, len(names)), price)
        panel = Panel(market, "1m", names, at - np.timedelta64(60, "s"), at, *(close.copy() for _ in range(4)), close * 1e6)
        views = np.where(np.arange(len(names)) % 2, -view if self.markets[market].market.instrument.shortable else view, view)
        forecast = 0.02 * (views[:, None] + recorded.NORMAL[None, :])
        return self.step(BarClosed(panel, forecast, np.full(len(names), 0.01)))

    def fill(self, plan, price=100):
        """Fill what a plan sends."""
        for request in (each for each in plan.requests if isinstance(each, Submit)):
            name, symbol, size = request.order.client_order_id, request.order.symbol, request.quantity
            done = Execution(name, symbol, size, Decimal(price), Decimal(0), abs(size), self.at.ns)
            self.executions.append(done)
            self.held[symbol] = self.held.get(symbol, Decimal(0)) + size
            self.cash -= size * price
            self.step(Heard(Report(name, f"B{len(self.executions)}", symbol, size, OrderState.FILLED, abs(size)), done))


def sizes(plan):
    """Return what a plan sends, by symbol."""
    return {each.order.symbol: each.quantity for each in plan.requests if isinstance(each, Submit)}


def worth(plan, price=100):
    """Return the gross of what a plan sends."""
    return float(sum(abs(size) for size in sizes(plan).values())) * price


def test_each_market_is_sized_for_its_share_of_the_equity():
    """Weights of three and one: each orders what an account of its own would with that part of the capital."""
    both = House(traded("us_equity", ("AAA", "BBB"), 3.0), traded("crypto", ("CCC",), 1.0))
    alone = House(traded("us_equity", ("AAA", "BBB")), capital=CAPITAL * 3 / 4)
    beside = House(traded("crypto", ("CCC",)), capital=CAPITAL / 4)

    assert sizes(both.bar("us_equity")) == sizes(alone.bar("us_equity"))
    assert sizes(both.bar("crypto")) == sizes(beside.bar("crypto"))
    assert len(sizes(both.bar("us_equity"))) == 0  # they are open


def test_limits_of_the_account_count_every_market_and_what_it_has_under_way():
    """One market has sent a part, and then filled it: an order by hand in the other gets what that leaves, to the lot."""
    house = House(traded("us_equity", ("AAA", "BBB"), gross_max=0.5), traded("crypto", ("CCC",), gross_max=0.5))
    house.bar("crypto", view=0.0)
    first = house.bar("us_equity")
    left = 0.5e6 - worth(first)
    sent, held = (asked_by_hand(house, number, meanwhile) for number, meanwhile in ((1, None), (2, first)))

    assert 0.1e6 < left < 0.4e6
    assert sent == held == pytest.approx(left, abs=1.0)


def asked_by_hand(house, number, meanwhile):
    """Ask for more of CCC than fits, once what was sent meanwhile has filled; return what passes, and take it back."""
    if meanwhile is not None:
        house.fill(meanwhile)
    plan = house.step(Asked(f"{number}-order.json", "ann", "", "CCC", Decimal(9000), Terms()))
    (request,) = (each for each in plan.requests if isinstance(each, Submit))
    house.step(Answered(request.order.client_order_id, Answer.REFUSED, reason="no"))
    return worth(plan)


def test_losses_of_one_market_are_losses_of_the_account():
    """Equity is that of all: a fall beyond the limit is found at the other market's bar, and halts both."""
    house = House(traded("us_equity", ("AAA", "BBB"), drawdown_max=0.05), traded("crypto", ("CCC",), drawdown_max=0.05))
    house.fill(house.bar("us_equity"))
    house.bar("crypto")
    house.second += 60
    house.read(house.core.readiness.asked_ns)
    house.core.seats["us_equity"].trader.book.mark[0] = 60.0
    plan = house.bar("crypto")

    assert [record.kind for record in plan.records if record.kind == "halt"] == ["halt"]
    assert all(seat.trader.gate.account[1] for seat in house.core.seats.values())
    house.second += 60
    assert sizes(house.bar("us_equity", price=80.0)) == {symbol: -held for symbol, held in house.held.items()}


def test_a_person_halts_all_and_lets_all_go_on():
    """One word for one account."""
    house = House(traded("us_equity", ("AAA", "BBB")), traded("crypto", ("CCC",)))
    house.step(Commanded("1", True, "ann", ""))
    assert (sizes(house.bar("us_equity")), sizes(house.bar("crypto"))) == ({}, {})
    house.step(Commanded("2", False, "ann", ""))
    house.second += 60
    house.read(house.core.readiness.asked_ns)
    assert (len(sizes(house.bar("us_equity"))), len(sizes(house.bar("crypto")))) == (2, 1)


def test_a_bar_cancels_the_orders_of_its_own_market_alone():
    """What works in another market is decided by that one's bars."""
    house = House(traded("us_equity", ("AAA", "BBB")), traded("crypto", ("CCC",)))
    for market in ("us_equity", "crypto"):
        for name in sizes(house.bar(market)):
            order = next(iter(each for each in house.core.desk.orders.values() if each.order.symbol == name))
            order.broker_id = f"B{name}"
    house.second += 60
    plan = house.bar("crypto")
    assert [each.broker_id for each in plan.requests if isinstance(each, Cancel)] == ["BCCC"]


def test_an_order_by_hand_goes_by_its_markets_rules():
    """Lots are those of the symbol's market; its name says which."""
    house = House(traded("us_equity", ("AAA", "BBB")), traded("crypto", ("CCC",)))
    house.bar("us_equity", view=0.0), house.bar("crypto", view=0.0)
    refused = house.step(Asked("1-order.json", "ann", "", "AAA", Decimal("0.5"), Terms()))
    taken = house.step(Asked("2-order.json", "ann", "", "CCC", Decimal("2.5"), Terms()))

    assert "whole lots of 1" in refused.records[-1].payload["refusal"]
    assert [each.order.client_order_id for each in taken.requests if isinstance(each, Submit)] == ["crypto:hand:2-order"]


def test_a_symbol_of_two_markets_is_refused():
    """A broker has one position of it."""
    with pytest.raises(ConfigurationError, match="'AAA' was to be traded as of 'us_equity' and of 'crypto' in one account"):
        Core([traded("us_equity", ("AAA", "BBB")), traded("crypto", ("AAA",))], CAPITAL)


def test_a_restart_knows_how_far_each_market_has_lived():
    """To the last bit, and each in its own place."""
    house = House(traded("us_equity", ("AAA", "BBB")), traded("crypto", ("CCC", "DDD")))
    house.fill(house.bar("us_equity"))
    house.second += 30
    house.bar("crypto", view=0.0)
    again = Core(list(house.markets.values()), CAPITAL).restore(house.core.packed(), [], house.at)

    for name, seat in house.core.seats.items():
        there = again.seats[name]
        assert (there.bars, there.last_us) == (seat.bars, seat.last_us)
        for ours, theirs in zip(seat.trader.book, there.trader.book, strict=True):
            np.testing.assert_array_equal(ours, theirs)
    assert again.equity == house.core.equity
