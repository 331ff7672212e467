"""Prices: what one bar gives one order. What happened within a bar is not known, so of what is possible the worse is taken.

- A market order gets the open, with spread, slippage and impact.
- A limit order gets the open as a market order does, when that is within its limit; otherwise its limit, without spread or impact,
  when the bar traded through it: a bar that only touched it may have left it unfilled.
- A stop is reached when the bar reached it, and gets the worse of the open and the stop, as a market order.
- A stop-limit becomes a limit order at that price: what is beyond the limit waits for the next bar.
- A trailing stop is measured from the best price before this bar.
"""

import math
from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal
from typing import NamedTuple

from domain.cost import Rates
from domain.order import OrderKind
from pipelines.execution import fills
from pipelines.execution.fills import Venue
from pipelines.execution.matching.tickets import Ticket

STOPS = frozenset({OrderKind.STOP, OrderKind.STOP_LIMIT, OrderKind.TRAILING_STOP})


@dataclass(frozen=True)
class Bar:
    """One symbol's bar, as the market lives through it; prices are floats, as they are everywhere."""

    symbol: str
    opened_at: datetime
    event_at: datetime
    open: float
    high: float
    low: float
    close: float
    volume: float
    sigma: float = 0.0
    """One-bar volatility known before it, which impact is measured in."""
    first: bool = False
    """The session opens with it."""
    last: bool = False
    """The session closes with it."""


@dataclass(frozen=True)
class Quote:
    """The best bid and offer of a symbol, and what is left of their sizes; a price of 0 is a side that nobody offers."""

    symbol: str
    at: datetime
    bid: Decimal
    ask: Decimal
    bid_size: Decimal
    ask_size: Decimal

    def price(self, sign: int) -> Decimal:
        """Return what a buy (1) or a sale (-1) would take."""
        return self.ask if sign > 0 else self.bid

    def size(self, sign: int) -> Decimal:
        """Return how much of it there is."""
        return self.ask_size if sign > 0 else self.bid_size

    def less(self, sign: int, quantity: Decimal) -> "Quote":
        """Return it after a buy or a sale took a quantity."""
        name = "ask_size" if sign > 0 else "bid_size"
        return replace(self, **{name: max(self.size(sign) - quantity, Decimal(0))})  # type: ignore[arg-type]

    def moment(self, sign: int) -> Bar:
        """Return it as the bar of one moment, at the price of a side: what a bar gives an order a quote gives it, too."""
        price, size = float(self.price(sign)), float(self.size(sign))
        return Bar(self.symbol, self.at, self.at, price, price, price, price, size)


def as_quoted(venue: Venue) -> Venue:
    """Return a venue where a price is taken as it is quoted, and all of its size: the spread is in the quote."""
    return venue._replace(rates=Rates(venue.rates.fee, 0.0, 0.0, venue.rates.borrow_year), participation_max=math.inf)


class Got(NamedTuple):
    """What an order gets: an unsigned quantity, a price and a fee; nothing when the quantity is 0."""

    quantity: Decimal
    price: Decimal
    fee: Decimal


NOTHING = Got(Decimal(0), Decimal(0), Decimal(0))


def reached(ticket: Ticket, bar: Bar) -> bool:
    """Return whether a stop was reached: by the high for a buy, by the low for a sell."""
    stop = ticket.stop_price
    return stop is not None and (bar.high >= stop if ticket.sign > 0 else bar.low <= stop)


def base(ticket: Ticket, bar: Bar) -> float:
    """Return the price that an order is measured against: the open, or the stop where that was reached later."""
    stop = ticket.stop_price
    if ticket.ask.kind not in STOPS or ticket.triggered or stop is None:
        return bar.open
    return max(bar.open, float(stop)) if ticket.sign > 0 else min(bar.open, float(stop))


def at_market(ticket: Ticket, price: float, bar: Bar, most: float, venue: Venue) -> Got:
    """Return what a market order gets against a price."""
    quantity, paid, fee = fills.fill_one(venue, ticket.sign * float(ticket.left), price, bar.volume, most, bar.sigma)
    whole = abs(quantity) == float(ticket.left)
    return Got(ticket.left if whole else exact(abs(quantity)), exact(paid), exact(fee))


def at_limit(ticket: Ticket, bar: Bar, most: float, venue: Venue, *, rests: bool) -> Got:
    """Return what a limit order gets: the market where that is within its limit, else the limit if the bar went through it.

    An order for one moment, the next or an auction, does not rest: what the bar does afterwards is no matter.
    """
    limit = float(ticket.ask.limit_price or 0)
    price = base(ticket, bar)
    if ticket.sign * (limit - price) >= 0:
        got = at_market(ticket, price, bar, most, venue)
        if got.quantity and ticket.sign * (limit - float(got.price)) >= 0:
            return got
    # A stop-limit that was reached within this bar: what the bar did afterwards is not known.
    inside = ticket.ask.kind == OrderKind.STOP_LIMIT and not ticket.triggered
    through = bar.low < limit if ticket.sign > 0 else bar.high > limit
    if inside or not through or not rests:
        return NOTHING
    quantity = float(ticket.left) if float(ticket.left) <= most else fills.whole_lots(most, venue.lot)
    if quantity == 0.0:
        return NOTHING
    whole = quantity == float(ticket.left)
    return Got(ticket.left if whole else exact(quantity), exact(limit), exact(venue.rates.fee * quantity * limit))


def exact(value: float) -> Decimal:
    """Return the shortest decimal that reads back as the same float."""
    return Decimal(repr(float(value)))
