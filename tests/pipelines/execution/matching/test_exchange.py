"""The paper exchange: what each kind of order gets of a bar, by hand, and an account that adds up whatever is done to it."""

from decimal import Decimal

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import settings
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from domain.cost import Cost
from domain.market import AssetClass
from domain.order import MOVES, TERMINAL, OrderClass, OrderState
from domain.venue import Leg, Refused
from pipelines.execution import fills
from tests.pipelines.execution import recorded
from tests.pipelines.execution.matching.made import ask, bar, exchange

D = Decimal
FLAT = (100, 100, 100, 100)

#: side, kind and prices; the bar (open, high, low, close); what it costs, or None where it does not fill.
GIVEN = [
    ("buy", "market", {}, (100, 103, 97, 101), 100),
    ("sell", "market", {}, (100, 103, 97, 101), 100),
    ("buy", "limit", {"limit_price": 99}, (100, 103, 97, 101), 99),
    ("buy", "limit", {"limit_price": 101}, (100, 103, 97, 101), 100),  # the open is better than asked
    ("buy", "limit", {"limit_price": 97}, (100, 103, 97, 101), None),  # touched, not traded through
    ("buy", "limit", {"limit_price": 96}, (100, 103, 97, 101), None),
    ("sell", "limit", {"limit_price": 102}, (100, 103, 97, 101), 102),
    ("sell", "limit", {"limit_price": 103}, (100, 103, 97, 101), None),
    ("sell", "limit", {"limit_price": 99}, (100, 103, 97, 101), 100),
    ("buy", "stop", {"stop_price": 102}, (100, 103, 97, 101), 102),
    ("buy", "stop", {"stop_price": 104}, (100, 103, 97, 101), None),
    ("buy", "stop", {"stop_price": 102}, (105, 106, 104, 105), 105),  # gapped through it
    ("sell", "stop", {"stop_price": 98}, (100, 103, 97, 101), 98),
    ("sell", "stop", {"stop_price": 98}, (95, 96, 94, 95), 95),
    ("sell", "stop", {"stop_price": 96}, (100, 103, 97, 101), None),
    ("buy", "stop_limit", {"stop_price": 102, "limit_price": 102.5}, (100, 103, 97, 101), 102),
    ("buy", "stop_limit", {"stop_price": 102, "limit_price": 102.5}, (105, 106, 104, 105), None),
    ("buy", "stop_limit", {"stop_price": 102, "limit_price": 101}, (100, 103, 97, 101), None),  # reached; the limit waits
    ("sell", "stop_limit", {"stop_price": 98, "limit_price": 97.5}, (100, 103, 97, 101), 98),
    ("sell", "trailing_stop", {"trail_price": 2}, (100, 101, 97, 101), 98),
    ("sell", "trailing_stop", {"trail_price": 4}, (100, 101, 97, 101), None),
    ("sell", "trailing_stop", {"trail_percent": 2}, (100, 101, 97, 101), 98),
    ("buy", "trailing_stop", {"trail_price": 2}, (100, 103, 97, 101), 102),
]  # fmt: skip


@pytest.mark.parametrize(("side", "kind", "prices", "given", "paid"), GIVEN)
def test_what_a_bar_gives_an_order(side, kind, prices, given, paid):
    """Each kind by hand, without costs: a position of 10 is held against sells."""
    venue = exchange()
    venue.on_bar(bar(0, FLAT))
    if side == "sell":
        venue.submit(ask("buy", 10))
        venue.on_bar(bar(1, FLAT))
    ticket = venue.submit(ask(side, 10, kind, **prices))
    venue.on_bar(bar(2, given))
    now = venue.order(ticket.id)
    assert (now.average, now.filled) == ((D(paid), D(10)) if paid is not None else (None, D(0)))
    assert now.state == (OrderState.FILLED if paid is not None else OrderState.NEW)


@pytest.mark.fault("F92")
def test_a_stop_limit_that_was_reached_waits_at_its_limit():
    """Reached in one bar, filled by a later one, though that one is below the stop."""
    venue = exchange()
    venue.on_bar(bar(0, FLAT))
    ticket = venue.submit(ask("buy", 10, "stop_limit", stop_price=102, limit_price=101))
    venue.on_bar(bar(1, (100, 103, 100, 102)))
    assert venue.order(ticket.id).triggered
    venue.on_bar(bar(2, (102, 102, 100, 100)))
    assert venue.order(ticket.id).average == 101


def test_a_trailing_stop_follows_the_best_price_before_the_bar():
    """The high of 110 raises the stop to 108 for the next bar, not for its own."""
    venue = exchange()
    venue.on_bar(bar(0, FLAT))
    venue.submit(ask("buy", 10))
    venue.on_bar(bar(1, FLAT))
    ticket = venue.submit(ask("sell", 10, "trailing_stop", trail_price=2))
    venue.on_bar(bar(2, (100, 110, 99, 109)))
    assert venue.order(ticket.id).stop_price == 108
    venue.on_bar(bar(3, (109, 109, 107, 107)))
    assert venue.order(ticket.id).average == 108


@pytest.mark.fault("F75")
@pytest.mark.parametrize(
    ("time_in_force", "keys", "filled", "state"),
    [
        ("ioc", {}, 5, OrderState.CANCELED),
        ("fok", {}, 0, OrderState.CANCELED),
        ("day", {}, 5, OrderState.PARTIALLY_FILLED),
        ("gtc", {}, 5, OrderState.PARTIALLY_FILLED),
        ("day", {"last": True}, 5, OrderState.EXPIRED),
        ("gtc", {"last": True}, 5, OrderState.PARTIALLY_FILLED),
        ("opg", {}, 0, OrderState.NEW),  # it waits for the next opening
        ("opg", {"first": True}, 5, OrderState.CANCELED),
        ("cls", {}, 0, OrderState.NEW),
        ("cls", {"last": True}, 5, OrderState.EXPIRED),
    ],
)
def test_times_in_force(time_in_force, keys, filled, state):
    """Half of what is asked for is to be had: 5% of a volume of 100."""
    venue = exchange(participation=0.05)
    ticket = venue.submit(ask("buy", 10, time_in_force=time_in_force))
    venue.on_bar(bar(0, FLAT, volume=100.0, **keys))
    now = venue.order(ticket.id)
    assert (now.filled, now.state) == (filled, state)


def test_closing_auction_fills_at_the_close():
    """The close is 104, the open 100."""
    venue = exchange()
    ticket = venue.submit(ask("buy", 10, time_in_force="cls"))
    venue.on_bar(bar(0, (100, 105, 99, 104), last=True))
    assert venue.order(ticket.id).average == 104


def test_orders_of_one_symbol_share_the_volume():
    """Two orders for 8 have 10 between them: the first gets 8, the second 2."""
    venue = exchange(participation=0.1)
    first, second = (venue.submit(ask("buy", 8)) for _ in range(2))
    venue.on_bar(bar(0, FLAT, volume=100.0))
    assert [venue.order(each.id).filled for each in (first, second)] == [8, 2]


def entered(order_class, **legs):
    venue = exchange()
    venue.on_bar(bar(0, FLAT))
    parent = venue.submit(ask("buy", 10, order_class=order_class, **legs))
    return venue, parent


def test_a_bracket_is_left_at_its_target_and_the_stop_is_cancelled():
    """The legs wait for the entry; the bar that fills the entry cannot fill the target."""
    venue, parent = entered(OrderClass.BRACKET, take_profit=Leg(limit_price=D(105)), stop_loss=Leg(stop_price=D(95)))
    target, stop = (venue.order(each) for each in parent.legs)
    assert target.state == stop.state == OrderState.HELD
    venue.on_bar(bar(1, (100, 110, 99, 100)))
    assert venue.order(target.id).state == OrderState.NEW
    venue.on_bar(bar(2, (100, 106, 99, 105)))
    assert venue.order(target.id).average == 105
    assert venue.order(stop.id).state == OrderState.CANCELED
    assert venue.holdings.of("AAA").quantity == 0


@pytest.mark.fault("F77")
def test_where_stop_and_target_are_both_reached_the_stop_is_taken():
    """What came first within the bar is not known."""
    venue, parent = entered(OrderClass.BRACKET, take_profit=Leg(limit_price=D(105)), stop_loss=Leg(stop_price=D(95)))
    venue.on_bar(bar(1, FLAT))
    venue.on_bar(bar(2, (100, 106, 94, 100)))
    target, stop = (venue.order(each) for each in parent.legs)
    assert (stop.average, target.state) == (95, OrderState.CANCELED)


@pytest.mark.fault("F77")
def test_an_entry_that_is_cancelled_takes_its_legs_along():
    """Nothing is left to wait for."""
    venue, parent = entered(OrderClass.OTO, stop_loss=Leg(stop_price=D(95)))
    venue.cancel(parent.id)
    assert {venue.order(each).state for each in (parent.id, *parent.legs)} == {OrderState.CANCELED}


def test_one_cancels_the_other():
    """A target and a stop on what is held."""
    venue = exchange()
    venue.on_bar(bar(0, FLAT))
    venue.submit(ask("buy", 10))
    venue.on_bar(bar(1, FLAT))
    legs = {"take_profit": Leg(limit_price=D(105)), "stop_loss": Leg(stop_price=D(95))}
    target = venue.submit(ask("sell", 10, "limit", order_class=OrderClass.OCO, **legs))
    venue.on_bar(bar(2, (100, 101, 94, 95)))
    assert venue.order(target.legs[0]).average == 95
    assert venue.order(target.id).state == OrderState.CANCELED


@pytest.mark.fault("F59", "F60")
def test_a_replaced_order_leaves_what_was_filled():
    """4 of 10 are filled; for 12 in all 8 are asked for anew, under another name."""
    venue = exchange(participation=0.04)
    old = venue.submit(ask("buy", 10, client_order_id="first"))
    venue.on_bar(bar(0, FLAT, volume=100.0))
    new = venue.replace(old.id, quantity=D(12), client_order_id="second")
    assert (new.quantity, new.replaces, venue.order(old.id).replaced_by) == (8, old.id, new.id)
    assert venue.order(old.id).state == OrderState.REPLACED
    with pytest.raises(Refused, match="already in"):
        venue.cancel(old.id)


REFUSED = [
    ("insufficient buying power", 40310000, [], ask("buy", 10_000)),
    ("insufficient qty available", 40310000, [ask("buy", 10)], ask("sell", 11)),
    ("wash trade", 40310000, [ask("buy", 10, "limit", limit_price=99)], ask("sell", 5)),
    ("unique", 42210001, [ask("buy", 1, client_order_id="x")], ask("buy", 1, client_order_id="x")),
    ("not found", 40410000, [], ask("buy", 1, symbol="ZZZ")),
    ("sub-penny", 42210000, [], ask("buy", 1, "limit", limit_price=99.999)),
    ("require limit_price", 42210001, [], ask("buy", 1, "limit")),
    ("fractional orders must be DAY", 42210000, [], ask("buy", 0.5, time_in_force="gtc")),
    ("extended hours", 42210000, [], ask("buy", 1, extended_hours=True)),
    ("must be > 0", 42210001, [], ask("buy", 0)),
    ("market or limit", 42210000, [], ask("buy", 1, "stop", stop_price=101, time_in_force="ioc")),
    ("oto orders require either", 42210000, [], ask("buy", 1, order_class=OrderClass.OTO)),
    ("only one of them", 42210001, [], ask("buy", None)),
    (
        "far side", 42210000, [],
        ask("buy", 1, order_class=OrderClass.BRACKET, take_profit=Leg(limit_price=D(95)), stop_loss=Leg(stop_price=D(105))),
    ),
]  # fmt: skip


@pytest.mark.parametrize(("words", "code", "before", "asked"), REFUSED)
def test_what_is_refused_changes_nothing(words, code, before, asked):
    """Alpaca's code and words; the account and the orders stay as they were."""
    venue = exchange(lot=0.5)
    venue.on_bar(bar(0, FLAT))
    for each in before:
        venue.submit(each)
        if each.kind == "market":
            venue.on_bar(bar(1, FLAT))
    orders, worth, told = dict(venue.tickets), venue.worth(), len(venue.told)
    with pytest.raises(Refused, match=words) as refused:
        venue.submit(asked)
    assert refused.value.code == code
    assert (venue.tickets, venue.worth(), len(venue.told)) == (orders, worth, told)


@pytest.mark.fault("F81")
def test_crypto_is_not_sold_short_nor_bought_on_margin():
    """100,000 of cash buy 900 at 100 less the collar, and never 1,100."""
    venue = exchange(asset=AssetClass.CRYPTO, shortable=False, lot=0.001)
    venue.on_bar(bar(0, FLAT))
    for asked, words in (
        (ask("sell", 1, time_in_force="gtc"), "insufficient balance"),
        (ask("buy", 1_100, time_in_force="gtc"), "buying"),
    ):
        with pytest.raises(Refused, match=words):
            venue.submit(asked)
    assert venue.submit(ask("buy", 900, time_in_force="gtc")).state == OrderState.NEW


@pytest.mark.fault("F89", "F90")
def test_a_split_and_a_dividend():
    """10 at 100 become 20 at 50, the value stays; half a dollar a share is 10; a reverse split cancels what is open."""
    venue = exchange()
    venue.on_bar(bar(0, FLAT))
    venue.submit(ask("buy", 10))
    venue.on_bar(bar(1, FLAT))
    resting = venue.submit(ask("buy", 1, "limit", time_in_force="gtc", limit_price=90))
    before = venue.worth().equity
    venue.split("AAA", D(2))
    held = venue.holdings.of("AAA")
    assert (held.quantity, held.average, venue.worth().equity) == (20, 50, before)
    assert venue.order(resting.id).ask.limit_price == 45
    venue.dividend("AAA", D("0.5"))
    assert venue.worth().equity == before + 10
    venue.split("AAA", D("0.1"))
    assert venue.order(resting.id).state == OrderState.CANCELED


def test_market_orders_get_what_the_compiled_simulation_gives_them():
    """Fills, fees and cash are those of `fills.step`, on random bars with gaps, volume limits and impact."""
    market, params = recorded.terms(risk={})
    panel = recorded.panel(80, 6, seed=3)
    rng = np.random.default_rng(5)
    sigma = np.full(6, 0.02)
    wanted = np.where(rng.random((80, 6)) < 0.5, np.round(rng.normal(0, 400, (80, 6))), 0.0)
    settings_ = fills.venue(market, params)
    book, out = fills.Book.opened(6, 1e6), fills.blank(6)
    venue = exchange(panel.symbols, flips=True, capital=D(1_000_000), multiplier=D(1000))
    venue.assets = {symbol: type(each)(symbol, each.asset_class, settings_, True) for symbol, each in venue.assets.items()}
    borrowed = 0.0
    for t in range(80):
        orders = wanted[t - 1] if t else np.zeros(6)
        charge, _, _ = fills.step(settings_, orders, panel.open[t], panel.close[t], panel.volume[t], sigma, book, out)
        borrowed += charge  # the exchange charges no borrow by itself
        before = len(venue.executions)
        for s in range(6):
            prices = [panel.open[t, s], panel.high[t, s], panel.low[t, s], panel.close[t, s]]
            if np.isfinite(prices).all():
                venue.on_bar(bar(t, prices, float(panel.volume[t, s]), panel.symbols[s], sigma=0.02))
        for each in venue.open_orders():
            venue.cancel(each.id)  # of symbols without a bar
        done = {each.symbol: each for each in venue.executions[before:]}
        assert [float(done[symbol].signed) if symbol in done else 0.0 for symbol in panel.symbols] == out.quantity.tolist()
        assert [float(done[symbol].price) if symbol in done else 0.0 for symbol in panel.symbols] == out.price.tolist()
        for s in np.flatnonzero(wanted[t]).tolist():
            side = "buy" if wanted[t, s] > 0 else "sell"
            venue.submit(ask(side, abs(wanted[t, s]), symbol=panel.symbols[s], time_in_force="ioc"))
    assert len(venue.executions) > 150
    assert [float(venue.holdings.of(symbol).quantity) for symbol in panel.symbols] == book.quantity.tolist()
    assert float(venue.holdings.cash) == pytest.approx(book.cash[0] + borrowed, abs=1e-6)


class Anything(RuleBasedStateMachine):
    """Orders of every kind, cancels, replaces and bars: the account adds up, and no order goes where it may not."""

    def __init__(self):
        super().__init__()
        cost = Cost(fee_bps=5, spread_bps=2, slippage_bps=1, impact=0.5, borrow_bps_year=0)
        self.venue = exchange(("AAA", "BBB"), cost=cost, participation=0.1)
        self.number = 0
        self.seen = 0
        self.states = {}

    @rule(data=st.data())
    def bars(self, data):
        self.number += 1
        for symbol in ("AAA", "BBB"):
            low, opened, close, high = sorted(data.draw(st.lists(st.integers(80, 120), min_size=4, max_size=4)))
            volume = data.draw(st.sampled_from([0.0, 50.0, 500.0, 5000.0]))
            self.venue.on_bar(bar(self.number, (opened, high, low, close), volume, symbol, last=self.number % 7 == 0, sigma=0.01))

    @rule(
        side=st.sampled_from(["buy", "sell"]), size=st.integers(1, 300), symbol=st.sampled_from(["AAA", "BBB"]),
        kind=st.sampled_from(["market", "limit", "stop", "stop_limit", "trailing_stop"]),
        time_in_force=st.sampled_from(["day", "gtc", "ioc", "fok", "opg", "cls"]), limit=st.integers(70, 130),
        stop=st.integers(70, 130), together=st.sampled_from(list(OrderClass)),
    )  # fmt: skip
    def order(self, side, size, symbol, kind, time_in_force, limit, stop, together):
        prices = {"limit_price": limit} if kind in {"limit", "stop_limit"} else {}
        prices |= {"stop_price": stop} if kind in {"stop", "stop_limit"} else {}
        prices |= {"trail_percent": 3} if kind == "trailing_stop" else {}
        up = (side == "buy") != (together == OrderClass.OCO)
        legs = {"take_profit": Leg(limit_price=D(135 if up else 65)), "stop_loss": Leg(stop_price=D(75 if up else 125))}
        if together == OrderClass.OTO:
            legs.pop("take_profit")
        legs = {} if together == OrderClass.SIMPLE else legs
        try:
            self.venue.submit(ask(side, size, kind, symbol, time_in_force, order_class=together, **prices, **legs))
        except Refused:
            return

    @precondition(lambda self: self.venue.open_orders())
    @rule(which=st.integers(0, 50), more=st.integers(-50, 200), replaced=st.booleans())
    def change(self, which, more, replaced):
        waiting = self.venue.open_orders()
        ticket = waiting[which % len(waiting)]
        try:
            if replaced:
                self.venue.replace(ticket.id, quantity=ticket.quantity + more)
            else:
                self.venue.cancel(ticket.id)
        except Refused:
            return

    @invariant()
    def the_account_adds_up(self):
        venue, held, cash = self.venue, {}, D(100_000)
        for done in venue.executions:
            held[done.symbol] = held.get(done.symbol, D(0)) + done.signed
            cash -= done.signed * done.price
        cash += sum((each.amount for each in venue.paid), D(0))
        assert venue.holdings.cash == cash
        assert {symbol: each.quantity for symbol, each in venue.holdings.positions.items()} == {s: q for s, q in held.items() if q}
        assert -sum((each.amount for each in venue.paid), D(0)) == sum((done.fee for done in venue.executions), D(0))

    @invariant()
    def orders_keep_to_their_moves(self):
        for update in self.venue.told[self.seen :]:
            before, after = self.states.get(update.ticket.id), update.ticket.state
            assert before is None or after in MOVES[before] or (before == after and after not in TERMINAL)
            self.states[update.ticket.id] = after
            assert 0 <= update.ticket.filled <= update.ticket.quantity
        self.seen = len(self.venue.told)

    @invariant()
    def fills_of_an_order_are_its_own(self):
        filled = {}
        for done in self.venue.executions:
            filled[done.order_id] = filled.get(done.order_id, D(0)) + done.quantity
            assert done.cumulative == filled[done.order_id]
        for ticket in self.venue.tickets.values():
            assert ticket.filled == filled.get(ticket.id, D(0))
        assert {ticket.id for ticket in self.venue.open_orders()} == {t.id for t in self.venue.tickets.values() if t.open}


Anything.TestCase.settings = settings(max_examples=80, stateful_step_count=25, deadline=None)
TestAnything = Anything.TestCase
