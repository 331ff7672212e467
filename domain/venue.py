"""Venue: which orders a market takes at all, and in which words Alpaca refuses the others.

The matrix of kinds, times in force and asset classes is Alpaca's ("Orders at Alpaca", "Fractional Trading", "Crypto Spot Trading
Orders"). A refusal carries Alpaca's code, whose first three digits are the status of its HTTP answer.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import Any

from domain.market import AssetClass
from domain.order import OrderClass, OrderKind, TimeInForce

#: Alpaca's codes.
MALFORMED, FORBIDDEN, NOT_FOUND, INVALID = 42210001, 40310000, 40410000, 42210000

_KINDS = {
    AssetClass.EQUITY: frozenset(OrderKind),
    AssetClass.FX: frozenset(OrderKind),
    AssetClass.CRYPTO: frozenset({OrderKind.MARKET, OrderKind.LIMIT, OrderKind.STOP_LIMIT}),
}
_TIMES = {
    AssetClass.EQUITY: frozenset(TimeInForce),
    AssetClass.FX: frozenset({TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK}),
    AssetClass.CRYPTO: frozenset({TimeInForce.GTC, TimeInForce.IOC}),
}
#: Times in force that need an order which can be executed at once.
_AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG, TimeInForce.CLS})
_LASTING = frozenset({TimeInForce.DAY, TimeInForce.GTC})
_WITH_LIMIT = frozenset({OrderKind.LIMIT, OrderKind.STOP_LIMIT})
_WITH_STOP = frozenset({OrderKind.STOP, OrderKind.STOP_LIMIT})
#: The finest prices of equities, below and from one dollar (Rule 612 of Regulation NMS).
CENT, HUNDREDTH = Decimal("0.01"), Decimal("0.0001")
NOTIONAL_MIN = {AssetClass.EQUITY: Decimal(1), AssetClass.FX: Decimal(1), AssetClass.CRYPTO: Decimal(10)}


class Side(StrEnum):
    """Which way; the words are Alpaca's."""

    BUY = "buy"
    SELL = "sell"


@dataclass(frozen=True)
class Leg:
    """A price at which a bracket is left."""

    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


@dataclass(frozen=True)
class Ask:
    """What a client asks for. Exactly one of quantity and notional is given."""

    symbol: str
    side: Side
    quantity: Decimal | None
    notional: Decimal | None = None
    kind: OrderKind = OrderKind.MARKET
    time_in_force: TimeInForce = TimeInForce.DAY
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_price: Decimal | None = None
    trail_percent: Decimal | None = None
    extended_hours: bool = False
    client_order_id: str | None = None
    order_class: OrderClass = OrderClass.SIMPLE
    take_profit: Leg | None = None
    stop_loss: Leg | None = None


class Refused(Exception):
    """The venue does not take a request; nothing has changed."""

    def __init__(self, code: int, message: str, **extras: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.extras = code, message, extras


def check(ask: Ask, asset: AssetClass, lot: Decimal) -> None:
    """Raise Refused for an order that this asset class never takes, whatever the account and the clock say."""
    for code, message in _faults(ask, asset, lot):
        raise Refused(code, message)


def _faults(ask: Ask, asset: AssetClass, lot: Decimal) -> Iterator[tuple[int, str]]:
    yield from _amount(ask)
    yield from _prices(ask, asset)
    if ask.kind not in _KINDS[asset]:
        yield INVALID, f"invalid order type for {asset} order"
    if ask.time_in_force not in _TIMES[asset]:
        yield INVALID, f"invalid {asset} time_in_force"
    if ask.time_in_force in _AT_ONCE and ask.kind not in {OrderKind.MARKET, OrderKind.LIMIT}:
        yield INVALID, f"{ask.time_in_force} orders must be market or limit orders"
    yield from _fractions(ask, asset, lot)
    if ask.extended_hours and (ask.kind != OrderKind.LIMIT or ask.time_in_force not in _LASTING):
        yield INVALID, "extended hours order must be DAY limit orders"
    if ask.order_class != OrderClass.SIMPLE:
        yield from _legs(ask, asset)


def _amount(ask: Ask) -> Iterator[tuple[int, str]]:
    if (ask.quantity is None) == (ask.notional is None):
        yield MALFORMED, "qty or notional is required, and only one of them"
    for name, amount in (("qty", ask.quantity), ("notional", ask.notional)):
        if amount is not None and not (amount.is_finite() and amount > 0):
            yield MALFORMED, f"{name} must be > 0"
    if ask.notional is not None and ask.notional != ask.notional.quantize(CENT):
        yield MALFORMED, "notional amount must be limited to 2 decimal places"


def _prices(ask: Ask, asset: AssetClass) -> Iterator[tuple[int, str]]:
    needed = {"limit_price": ask.kind in _WITH_LIMIT or ask.order_class == OrderClass.OCO, "stop_price": ask.kind in _WITH_STOP}
    needed["limit_price"] &= ask.order_class != OrderClass.OCO
    for name, need in needed.items():
        if need and getattr(ask, name) is None:
            yield MALFORMED, f"{ask.kind} orders require {name}"
    if ask.kind == OrderKind.TRAILING_STOP and (ask.trail_price is None) == (ask.trail_percent is None):
        yield MALFORMED, "trailing stop orders require trail_price or trail_percent, and only one of them"
    told = [ask.limit_price, ask.stop_price, ask.trail_price, ask.trail_percent]
    told += [price for leg in (ask.take_profit, ask.stop_loss) if leg is not None for price in (leg.limit_price, leg.stop_price)]
    for price in told:
        if price is not None and not (price.is_finite() and price > 0):
            yield MALFORMED, f"invalid price {price}: prices must be > 0"
        elif price is not None and asset == AssetClass.EQUITY and price != price.quantize(CENT if price >= 1 else HUNDREDTH):
            yield INVALID, f"invalid price {price}. sub-penny increment does not fulfill minimum pricing criteria"


def _fractions(ask: Ask, asset: AssetClass, lot: Decimal) -> Iterator[tuple[int, str]]:
    whole = ask.quantity is not None and ask.quantity % 1 == 0
    if ask.quantity is not None and ask.quantity % lot:
        yield INVALID, f"qty increment must be a multiple of {lot}"
    if asset == AssetClass.EQUITY and not whole:
        if ask.time_in_force != TimeInForce.DAY:
            yield INVALID, "fractional orders must be DAY orders"
        if ask.order_class != OrderClass.SIMPLE or ask.kind == OrderKind.TRAILING_STOP:
            yield INVALID, "fractional orders must be simple orders"


def _legs(ask: Ask, asset: AssetClass) -> Iterator[tuple[int, str]]:
    target, stop = ask.take_profit, ask.stop_loss
    if asset == AssetClass.CRYPTO:
        yield INVALID, "crypto orders must be simple orders"
    if ask.time_in_force not in _LASTING or ask.extended_hours:
        yield INVALID, f"{ask.order_class} orders must be DAY or GTC orders in regular hours"
    both = target is not None and target.limit_price is not None, stop is not None and stop.stop_price is not None
    if ask.order_class == OrderClass.OTO and sum(both) != 1:
        yield INVALID, "oto orders require either take_profit.limit_price or stop_loss.stop_price"
    if ask.order_class != OrderClass.OTO and not all(both):
        yield INVALID, f"{ask.order_class} orders require take_profit.limit_price and stop_loss.stop_price"
    if all(both) and target is not None and stop is not None and target.limit_price is not None and stop.stop_price is not None:
        way = 1 if (ask.side == Side.BUY) != (ask.order_class == OrderClass.OCO) else -1
        if way * (target.limit_price - stop.stop_price) < CENT:
            yield INVALID, "take_profit.limit_price must be on the far side of stop_loss.stop_price by 0.01 at least"
