"""Fills: the paper exchange's matching at the next open, and the one way in which a fill becomes money.

All prices, quantities and charges of a bar are `float64 [S]`; a quantity of 0 means nothing happened. The same compiled functions
book simulated, paper and live fills, in the order of the symbols, so that equity agrees to the last bit.
"""

import math
from typing import NamedTuple, Self

import numpy as np

from domain import account, cost
from domain.compiled import money
from domain.cost import Rates
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params

#: A quantity this close below a whole number of lots is that number, in lots and relative: division by the lot is not exact.
LOTS_TOLERANCE, RELATIVE_TOLERANCE = 1e-9, 1e-15


class Venue(NamedTuple):
    """How the paper exchange fills and charges."""

    rates: Rates
    lot: float
    participation_max: float
    borrow_bar: float
    """Fee on the notional held short, for one bar."""


class Book(NamedTuple):
    """What an account holds; changed in place."""

    quantity: FloatArray
    """[S] signed."""
    average: FloatArray
    """[S] average price of the position, 0 when flat."""
    mark: FloatArray
    """[S] last known close; NaN before the first."""
    cash: FloatArray
    """[1]"""

    @classmethod
    def opened(cls, symbols: int, capital: float) -> Self:
        """Return an account that holds nothing but cash."""
        return cls(np.zeros(symbols), np.zeros(symbols), np.full(symbols, np.nan), np.array([capital], dtype=np.float64))


class Executions(NamedTuple):
    """What one bar's orders became; every row is overwritten."""

    quantity: FloatArray
    """[S] signed; 0 where nothing filled."""
    price: FloatArray
    """[S] spread, slippage and impact included."""
    fee: FloatArray
    realised: FloatArray
    """[S] profit of what was closed, fees not included."""


def venue(market: Market, params: Params) -> Venue:
    """Return the exchange that params.yaml describes for a market."""
    rates = market.cost.rates()
    return Venue(rates, market.instrument.lot, params.fills.participation_max, rates.borrow_year / market.bars_a_year)


def blank(symbols: int) -> Executions:
    """Return room for the executions of one bar."""
    return Executions(np.zeros(symbols), np.zeros(symbols), np.zeros(symbols), np.zeros(symbols))


@money
def whole_lots(quantity: float, lot: float) -> float:
    """Return `quantity` cut toward zero to a multiple of `lot`."""
    lots = abs(quantity) / lot
    # `math.floor` would be an integer of 64 bits, which crypto's lots of 1e-8 can exceed.
    return math.copysign(np.floor(lots * (1.0 + RELATIVE_TOLERANCE) + LOTS_TOLERANCE) * lot, quantity)


@money
def available(volume: float, participation_max: float) -> float:
    """Return the quantity that may be taken of a bar's volume: all of it above 1, none where volume is unknown."""
    if participation_max > 1.0:
        return math.inf
    return participation_max * volume if volume > 0.0 else 0.0


@money
def fill_one(venue: Venue, asked: float, price: float, volume: float, most: float, sigma: float) -> tuple[float, float, float]:
    """Return (quantity, price, fee) that a market order gets against `price`: no more than `most`, the rest stays unfilled.

    `volume` is that of the bar, which impact is a share of; an unknown `sigma` has no impact.
    """
    quantity = asked if abs(asked) <= most else whole_lots(math.copysign(most, asked), venue.lot)
    if quantity == 0.0:
        return 0.0, 0.0, 0.0
    share = abs(quantity) / volume if volume > 0.0 else 0.0
    volatility = sigma if sigma > 0.0 else 0.0
    paid = cost.execution_price(venue.rates, price, math.copysign(1.0, quantity), share, volatility)
    return quantity, paid, venue.rates.fee * abs(quantity) * paid


@money
def match(venue: Venue, orders: FloatArray, opened: FloatArray, volume: FloatArray, sigma: FloatArray, out: Executions) -> None:
    """Fill market orders at the open, against this bar's volume; `sigma` is the one-bar volatility known before it.

    Without a bar nothing fills, and whatever does not fill here expires.
    """
    for s in range(len(orders)):
        asked, price = orders[s], opened[s]
        out.quantity[s] = out.price[s] = out.fee[s] = out.realised[s] = 0.0
        if asked != 0.0 and price > 0.0:
            most = available(volume[s], venue.participation_max)
            out.quantity[s], out.price[s], out.fee[s] = fill_one(venue, asked, price, volume[s], most, sigma[s])


@money
def settle_one(book: Book, s: int, quantity: float, price: float, fee: float) -> float:
    """Book one fill of symbol `s` and return the profit that it realised, its fee not included."""
    held, average, realised = account.book(book.quantity[s], book.average[s], quantity, price)
    book.quantity[s] = held
    book.average[s] = average
    book.cash[0] = book.cash[0] - quantity * price - fee
    return realised


@money
def settle(book: Book, out: Executions) -> None:
    """Book executions in the order of the symbols, and note what each realised."""
    for s in range(len(out.quantity)):
        if out.quantity[s] != 0.0:
            out.realised[s] = settle_one(book, s, out.quantity[s], out.price[s], out.fee[s])


@money
def mark(book: Book, close: FloatArray) -> None:
    """Move marks to the closes that exist."""
    for s in range(len(close)):
        if close[s] > 0.0:
            book.mark[s] = close[s]


@money
def worth(book: Book) -> tuple[float, float, float]:
    """Return (value, gross, short): the positions at their marks as they are, all as if long, and the shorts alone, positive.

    A position of which no price is known yet is worth what it cost.
    """
    value, gross, short = 0.0, 0.0, 0.0
    for s in range(len(book.quantity)):
        if book.quantity[s] != 0.0:
            price = book.mark[s] if book.mark[s] > 0.0 else book.average[s]
            size = book.quantity[s] * price
            value += size
            gross += abs(size)
            short -= min(size, 0.0)
    return value, gross, short


@money
def close_bar(book: Book, close: FloatArray, charge: float) -> tuple[float, float]:
    """Mark a book to the bar's close and pay `charge`; return (equity, gross): what a trader does after booking its fills."""
    mark(book, close)
    book.cash[0] -= charge
    value, gross, _ = worth(book)
    return book.cash[0] + value, gross


@money
def step(
    venue: Venue, orders: FloatArray, opened: FloatArray, close: FloatArray, volume: FloatArray, sigma: FloatArray, book: Book,
    out: Executions,
) -> tuple[float, float, float]:  # fmt: skip
    """Live through one bar as the paper exchange does: match at the open, book, mark to the close, charge borrow.

    Returns (charge, equity, gross) at the bar's close; the charge is of the bar's end and already paid.
    """
    match(venue, orders, opened, volume, sigma, out)
    settle(book, out)
    mark(book, close)
    value, gross, short = worth(book)
    charge = short * venue.borrow_bar
    book.cash[0] -= charge
    return charge, book.cash[0] + value, gross
