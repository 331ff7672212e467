"""The account at the exchange as it stands: what is held, what is open, and what it could carry. Nothing here changes any of it."""

import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal

from domain.market import AssetClass
from domain.order import OrderState
from domain.venue import FORBIDDEN, NOT_FOUND, Ask, Refused, Side
from pipelines.execution.fills import Venue
from pipelines.execution.matching import prices
from pipelines.execution.matching.holdings import Holdings
from pipelines.execution.matching.tickets import ZERO, Ticket

NAMESPACE = uuid.UUID("6d8b8a0e-4a36-4c41-9b0f-6a2a1f6f0d11")
#: What a market buy and a short sale are held at above the last price, as Alpaca does ("Margin and Short Selling").
BUY_COLLAR, SHORT_COLLAR = Decimal("1.04"), Decimal("1.03")


@dataclass(frozen=True)
class Asset:
    """What may be traded, and how the exchange fills and charges it."""

    symbol: str
    asset_class: AssetClass
    venue: Venue
    shortable: bool
    tradable: bool = True
    """Whether orders are taken; what was delisted or renamed stays listed for the sake of its old orders."""
    origin: str = ""
    """What its identifier is made of; its first symbol where that is empty."""

    @property
    def id(self) -> str:
        """An identifier that is the same in every run, and outlives its symbol."""
        return str(uuid.uuid5(NAMESPACE, self.origin or self.symbol))

    @property
    def lot(self) -> Decimal:
        """Quantities are multiples of this."""
        return prices.exact(self.venue.lot)


@dataclass(frozen=True)
class Terms:
    """What the account may do."""

    capital: Decimal
    multiplier: Decimal = Decimal(2)
    """Buying power over equity (Regulation T: 2)."""
    flips: bool = False
    """Whether one order may close a position and open the opposite one; Alpaca refuses that."""
    latency: timedelta = timedelta(0)
    """From the sending of an order to its arrival: bars that open before give it nothing."""
    calendar: str | None = None
    """A calendar whose auctions close their doors to orders; None has none that do."""
    number: str = "PANIGHTSHIFT"
    """The account's."""
    fee_in_coin: bool = False
    """Whether the fee of a purchase of crypto is taken of what was bought, as Alpaca may, and not in cash."""


@dataclass(frozen=True)
class Worth:
    """The account in numbers."""

    cash: Decimal
    long_value: Decimal
    short_value: Decimal
    """Negative."""
    buying_power: Decimal
    non_marginable: Decimal
    """What may be spent on assets that nobody lends on: cash less what open buys hold."""
    last_equity: Decimal
    """Equity at the end of the session before."""

    @property
    def equity(self) -> Decimal:
        """Cash and positions."""
        return self.cash + self.long_value + self.short_value


class Account:
    """What the exchange knows of the account."""

    def __init__(self, assets: Iterable[Asset], terms: Terms) -> None:
        self.assets: dict[str, Asset] = {asset.symbol: asset for asset in assets}
        self.terms = terms
        self.holdings = Holdings(terms.capital)
        self.marks: dict[str, Decimal] = {}
        self.tickets: dict[str, Ticket] = {}
        self.working: dict[str, dict[str, None]] = {symbol: {} for symbol in self.assets}
        """Ids of a symbol's open orders, in time priority."""
        self.names: dict[str, str] = {}
        self.last_equity = terms.capital

    def asset(self, symbol: str) -> Asset:
        """Return an asset; raise Refused for one that is not traded here."""
        if symbol not in self.assets:
            raise Refused(NOT_FOUND, f"asset not found for {symbol}")
        return self.assets[symbol]

    def order(self, order_id: str) -> Ticket:
        """Return an order; raise Refused for one that never was."""
        if order_id not in self.tickets:
            raise Refused(NOT_FOUND, f"order not found for {order_id}")
        return self.tickets[order_id]

    def named(self, client_order_id: str) -> Ticket:
        """Return an order by its client's name; raise Refused for one that never was."""
        if client_order_id not in self.names:
            raise Refused(NOT_FOUND, f"order not found for {client_order_id}")
        return self.tickets[self.names[client_order_id]]

    def open_orders(self) -> list[Ticket]:
        """Return the open orders, oldest first."""
        found = [self.tickets[each] for ids in self.working.values() for each in ids]
        return sorted(found, key=lambda ticket: ticket.sequence)

    def available(self, symbol: str, instead_of: str | None = None) -> Decimal:
        """Return how much of a position no open order holds, signed.

        Of the orders of one family, the ways out of one position, the largest holds: they fill together no more than that.
        `instead_of` is an order whose family does not count, because another one is to take its place.
        """
        held = self.holdings.of(symbol).quantity
        families: dict[str, Decimal] = {}
        for ticket in (self.tickets[each] for each in self.working[symbol]):
            if ticket.sign * held < 0 and ticket.state != OrderState.HELD:
                families[ticket.family] = max(families.get(ticket.family, ZERO), ticket.left)
        if instead_of is not None:
            families.pop(self.tickets[instead_of].family, None)
        promised = min(sum(families.values(), ZERO), abs(held))
        return held - promised if held > 0 else held + promised

    def worth(self) -> Worth:
        """Return the account in numbers."""
        long_value, short_value = self.holdings.value(self.marks)
        cash, held = self.holdings.cash, sum(map(self.held_by, self.open_orders()), ZERO)
        equity = cash + long_value + short_value
        power = self.terms.multiplier * equity - long_value + short_value - held
        return Worth(cash, long_value, short_value, max(power, ZERO), max(cash - held, ZERO), self.last_equity)

    def size_of(self, ask: Ask, asset: Asset) -> Decimal:
        """Return the quantity that an order asks for, at today's price where it is a value; raise Refused where that is none."""
        if ask.quantity is not None:
            return ask.quantity
        mark = self.marks.get(ask.symbol)
        if mark is None:
            raise Refused(FORBIDDEN, f"no price of {ask.symbol} is known: notional orders need one")
        price = ask.limit_price if ask.limit_price is not None else mark
        size = ((ask.notional or ZERO) / price // asset.lot) * asset.lot
        if size == 0:
            raise Refused(FORBIDDEN, "cost basis must be >= minimal amount of order")
        return size

    def _price(self, ask: Ask) -> Decimal:
        """Return what a unit is held at while its order is open."""
        mark = self.marks.get(ask.symbol, ZERO)
        if ask.side == Side.BUY:
            return ask.limit_price if ask.limit_price is not None else max(mark, ask.stop_price or ZERO) * BUY_COLLAR
        return max(ask.limit_price or ZERO, mark * SHORT_COLLAR)

    def held_by(self, ticket: Ticket) -> Decimal:
        """Return the buying power that an open order holds: none where it only closes, or waits for its parent."""
        if ticket.parent is not None or ticket.state == OrderState.HELD:
            return ZERO
        held = self.holdings.of(ticket.ask.symbol).quantity
        opens = max(ticket.left - max(-ticket.sign * held, ZERO), ZERO)
        return opens * self._price(ticket.ask)

    def afford(self, ask: Ask, asset: Asset, quantity: Decimal, instead_of: str | None = None) -> None:
        """Raise Refused where the account cannot carry an order: what it would sell, borrow, pay or cross with itself."""
        sign = 1 if ask.side == Side.BUY else -1
        held = self.holdings.of(ask.symbol).quantity
        free = abs(self.available(ask.symbol, instead_of)) if held * sign < 0 else ZERO
        opens = quantity - free
        if held * sign < 0 and opens > 0 and not (self.terms.flips and asset.shortable):
            message = f"insufficient qty available for order (requested: {quantity}, available: {free})"
            extras = {"available": str(free), "existing_qty": str(abs(held)), "held_for_orders": str(abs(held) - free)}
            raise Refused(FORBIDDEN, message, symbol=ask.symbol, **extras)
        if opens <= 0:
            return
        if sign < 0 and not asset.shortable:
            raise Refused(FORBIDDEN, f"insufficient balance for {ask.symbol} (requested: {quantity}, available: {free})")
        self._uncrossed(ask, sign, instead_of)
        cost, worth = opens * self._price(ask), self.worth()
        power = worth.non_marginable if asset.asset_class == AssetClass.CRYPTO and not asset.shortable else worth.buying_power
        power += self.held_by(self.tickets[instead_of]) if instead_of is not None else ZERO
        if cost > power:
            raise Refused(FORBIDDEN, "insufficient buying power", buying_power=str(power), cost_basis=str(cost))

    def _uncrossed(self, ask: Ask, sign: int, instead_of: str | None) -> None:
        """Raise Refused for an order that an open one of ours on the other side could trade with."""
        for each in self.working[ask.symbol]:
            other = self.tickets[each]
            if each == instead_of or other.sign == sign or other.state == OrderState.HELD or other.parent is not None:
                continue
            ours, theirs = ask.limit_price, other.ask.limit_price
            if ours is None or theirs is None or sign * (ours - theirs) >= 0:
                raise Refused(
                    FORBIDDEN, "potential wash trade detected. use complex orders",
                    reject_reason="opposite side market/stop order exists", existing_order_id=other.id,
                )  # fmt: skip


def assets(symbols: Iterable[str], asset_class: AssetClass, venue: Venue, *, shortable: bool) -> Mapping[str, Asset]:
    """Return a market's assets, all traded by the same rules."""
    return {symbol: Asset(symbol, asset_class, venue, shortable) for symbol in symbols}
