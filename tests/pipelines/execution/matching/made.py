"""Small exchanges and bars for the tests of matching."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from domain.cost import Cost
from domain.market import AssetClass
from domain.order import OrderKind, TimeInForce
from domain.venue import Ask, Side
from pipelines.execution.fills import Venue
from pipelines.execution.matching.account import Asset, Terms
from pipelines.execution.matching.exchange import Exchange
from pipelines.execution.matching.prices import Bar

START = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
FREE = Cost(fee_bps=0, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)
MINUTE = timedelta(minutes=1)


def exchange(symbols=("AAA",), *, cost=FREE, participation=2.0, lot=1.0, shortable=True, asset=AssetClass.EQUITY, **terms):
    """Return an exchange that writes its updates to `exchange.told`, and its activities to `exchange.paid`."""
    venue = Venue(cost.rates(), lot, participation, 0.0)
    told, paid = [], []
    assets = [Asset(symbol, asset, venue, shortable) for symbol in symbols]
    made = Exchange(assets, Terms(**{"capital": Decimal(100_000), **terms}), START)
    made.listen(told.append, paid.append)
    made.told, made.paid = told, paid
    return made


def bar(number, prices, volume=1000.0, symbol="AAA", **keys):
    """Return the `number`th minute's bar of (open, high, low, close)."""
    at = START + number * MINUTE
    return Bar(symbol, at, at + MINUTE, *map(float, prices), volume, **keys)


def ask(side, quantity, kind="market", symbol="AAA", time_in_force="day", **keys):
    """Return an order in few words; prices may be text."""
    prices = {name: Decimal(str(value)) if name.endswith(("price", "percent")) else value for name, value in keys.items()}
    size = None if quantity is None else Decimal(str(quantity))
    return Ask(symbol, Side(side), size, kind=OrderKind(kind), time_in_force=TimeInForce(time_in_force), **prices)
