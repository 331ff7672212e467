"""A random client and market: what must hold after every step, whatever happened."""

from collections import defaultdict
from decimal import Decimal, localcontext

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.cost import Cost
from domain.market import AssetClass
from domain.order import MOVES, TERMINAL, OrderClass, OrderKind, OrderState, TimeInForce
from domain.venue import Ask, Leg, Refused, Side
from pipelines.execution.fills import Venue
from pipelines.execution.matching.account import Asset, Terms
from pipelines.execution.matching.exchange import Exchange
from pipelines.execution.matching.tickets import Update
from tests.pipelines.execution.matching.made import START, ask, bar

COST = Cost(fee_bps=5, spread_bps=20, slippage_bps=0, impact=0.5, borrow_bps_year=0)
SYMBOLS = {"AAA": AssetClass.EQUITY, "BBB": AssetClass.EQUITY, "X/USD": AssetClass.CRYPTO}
PRICES = st.integers(40, 60).map(Decimal)
LIMITED, STOPPED = {OrderKind.LIMIT, OrderKind.STOP_LIMIT}, {OrderKind.STOP, OrderKind.STOP_LIMIT}
CAPITAL = Decimal(20_000)


def build(multiplier):
    """Return an exchange and what it tells."""
    venues = {kind: Venue(COST.rates(), lot, 0.5, 0.0) for kind, lot in ((AssetClass.EQUITY, 1.0), (AssetClass.CRYPTO, 0.0001))}
    assets = [Asset(symbol, kind, venues[kind], kind is AssetClass.EQUITY) for symbol, kind in SYMBOLS.items()]
    made, told = Exchange(assets, Terms(CAPITAL, multiplier), START), []
    made.listen(told.append, told.append)
    return made, told


class Trading(RuleBasedStateMachine):
    """One exchange, and every call of it, so that all can be made again."""

    @initialize(multiplier=st.sampled_from([1, 2, 4]))
    def open(self, multiplier):
        self.calls, self.multiplier, self.number = [], Decimal(multiplier), 0
        self.exchange, self.told = build(self.multiplier)
        self.splits = defaultdict(list)
        self.bars([Decimal(50)] * 4, 1000)

    def call(self, name, *args, **names):
        """Make a call; return whether it was taken."""
        self.calls.append((name, args, names))
        before = len(self.told)
        try:
            getattr(self.exchange, name)(*args, **names)
        except Refused:
            assert len(self.told) == before, "what is refused changes nothing"
            return False
        return True

    def bars(self, prices, volume, last=False):
        """Live through one bar of every symbol, each at prices of its own."""
        opened, _, _, close = prices
        for shift, symbol in enumerate(SYMBOLS):
            figures = [price + shift for price in (opened, max(prices), min(prices), close)]
            self.call("on_bar", bar(self.number, figures, float(volume), symbol, last=last))
        self.number += 1

    @rule(prices=st.tuples(PRICES, PRICES, PRICES, PRICES), volume=st.sampled_from([0, 7, 40, 10_000]), last=st.booleans())
    def live(self, prices, volume, last):
        self.bars(prices, volume, last)

    def send(self, asked):
        """Send an order, and let a bar follow one that is taken: without it hardly anything would ever trade."""
        if self.call("submit", asked):
            self.bars((Decimal(50), Decimal(52), Decimal(48), Decimal(50)), 30)

    @rule(
        symbol=st.sampled_from(list(SYMBOLS)), side=st.sampled_from(Side), kind=st.sampled_from(OrderKind),
        time=st.sampled_from(["day", "gtc", "ioc", "fok", "cls"]), size=st.sampled_from(["1", "5", "20", "0.5", "5000"]),
        limit=PRICES, stop=PRICES,
    )  # fmt: skip
    def submit(self, symbol, side, kind, time, size, limit, stop):
        time = "gtc" if SYMBOLS[symbol] is AssetClass.CRYPTO and time == "day" else time
        prices = {"limit_price": limit} if kind in LIMITED else {}
        prices |= {"stop_price": stop} if kind in STOPPED else {}
        prices |= {"trail_price": 2} if kind is OrderKind.TRAILING_STOP else {}
        self.send(ask(side, size, kind, symbol, time, **prices))

    @rule(symbol=st.sampled_from(["AAA", "BBB"]), side=st.sampled_from(Side), kind=st.sampled_from(list(OrderClass)[1:]))
    def submit_complex(self, symbol, side, kind):
        long = side is (Side.SELL if kind is OrderClass.OCO else Side.BUY)
        target, stop = (Decimal(56), Decimal(44)) if long else (Decimal(44), Decimal(56))
        legs = {"stop_loss": Leg(stop_price=stop)} | ({} if kind is OrderClass.OTO else {"take_profit": Leg(limit_price=target)})
        entry = OrderKind.LIMIT if kind is OrderClass.OCO else OrderKind.MARKET
        self.send(Ask(symbol, side, Decimal(10), kind=entry, time_in_force=TimeInForce.GTC, order_class=kind, **legs))

    @rule(place=st.integers(0, 30), price=PRICES, size=st.sampled_from([None, 3, 30]))
    def replace(self, place, price, size):
        tickets = list(self.exchange.tickets.values())
        if tickets:
            ticket = tickets[-1 - place % len(tickets)]
            limit = {"limit_price": price} if ticket.ask.limit_price is not None else {}
            self.call("replace", ticket.id, quantity=None if size is None else Decimal(size), **limit)

    @rule(place=st.integers(0, 30))
    def cancel(self, place):
        tickets = list(self.exchange.tickets)
        if tickets:
            self.call("cancel", tickets[-1 - place % len(tickets)])

    @rule(symbol=st.sampled_from(["AAA", "X/USD"]), halted=st.booleans())
    def halt(self, symbol, halted):
        self.call("halt", symbol, halted=halted)

    @rule(symbol=st.sampled_from(["AAA", "BBB"]), ratio=st.sampled_from([Decimal(2), Decimal("0.5")]))
    def split(self, symbol, ratio):
        self.splits[symbol].append((len(self.exchange.executions), ratio))
        self.call("split", symbol, ratio)

    @rule(symbol=st.sampled_from(["AAA", "BBB"]))
    def dividend(self, symbol):
        self.call("dividend", symbol, Decimal("0.37"))

    @invariant()
    def every_move_is_legal(self):
        state = defaultdict(lambda: OrderState.INTENT)
        for update in (each for each in self.told if isinstance(each, Update)):
            before, after = state[update.ticket.id], update.ticket.state
            assert before is after or after in MOVES[before]
            state[update.ticket.id] = after

    @invariant()
    def cash_is_the_sum_of_its_entries(self):
        paid = [each for each in self.told if not isinstance(each, Update)]
        with localcontext(prec=400):
            wanted = CAPITAL - sum(done.signed * done.price for done in self.exchange.executions) + sum(row.amount for row in paid)
            fees = -sum(row.amount for row in paid if row.kind in {"FEE", "CFEE"})
            assert self.exchange.holdings.cash == wanted
            assert fees == sum(done.fee for done in self.exchange.executions)

    @invariant()
    def positions_are_their_fills_and_splits(self):
        held, splits = defaultdict(Decimal), {symbol: list(rows) for symbol, rows in self.splits.items()}
        for place, done in enumerate([*self.exchange.executions, None]):
            for symbol, rows in splits.items():
                while rows and rows[0][0] <= place:
                    held[symbol] *= rows.pop(0)[1]
            if done is not None:
                held[done.symbol] += done.signed
        assert {symbol: each.quantity for symbol, each in self.exchange.holdings.positions.items()} == {
            s: q for s, q in held.items() if q
        }

    @invariant()
    def no_order_fills_beyond_its_quantity(self):
        for ticket in self.exchange.tickets.values():
            assert 0 <= ticket.filled <= ticket.quantity
            assert (ticket.state is OrderState.FILLED) is (ticket.filled == ticket.quantity)
            assert ticket.open is (ticket.id in self.exchange.working[ticket.ask.symbol])

    @invariant()
    def what_is_held_is_promised_once(self):
        for symbol, held in self.exchange.holdings.positions.items():
            leaving = defaultdict(Decimal)
            for ticket in self.exchange.tickets.values():
                if (
                    ticket.open
                    and ticket.state != OrderState.HELD
                    and (ticket.ask.symbol, ticket.sign * held.quantity < 0) == (symbol, True)
                ):
                    name = ticket.parent or ticket.id
                    leaving[name] = max(leaving[name], ticket.quantity - ticket.filled)
            assert abs(self.exchange.available(symbol)) == max(abs(held.quantity) - sum(leaving.values()), 0)
            assert held.quantity > 0 or SYMBOLS[symbol] is AssetClass.EQUITY

    @invariant()
    def twins_end_together(self):
        for ticket in self.exchange.tickets.values():
            legs = [self.exchange.tickets[leg] for leg in ticket.legs]
            if any(leg.state is OrderState.FILLED for leg in legs) or ticket.state in {OrderState.CANCELED, OrderState.EXPIRED}:
                assert all(leg.state in TERMINAL for leg in legs)

    def teardown(self):
        """Make the same calls of a fresh exchange: it tells the same."""
        if not hasattr(self, "exchange"):
            return
        again, told = build(self.multiplier)
        for name, args, names in self.calls:
            try:
                getattr(again, name)(*args, **names)
            except Refused:
                continue
        assert told == self.told


TestTrading = Trading.TestCase
TestTrading.settings = settings(max_examples=80, stateful_step_count=40, deadline=None)
