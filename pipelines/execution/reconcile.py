"""Reconcile: the journal and the broker tell the same story before anything is traded."""

from collections.abc import Sequence

import numpy as np

from domain.account import Account, Position
from domain.error import TradingError
from domain.order import Fill, Order
from pipelines.execution.brokers.contract import Activity, Broker
from pipelines.execution.trader import Trader


def resubmit(broker: Broker, intents: Sequence[Order]) -> list[Order]:
    """Send those orders that the journal holds and the broker has never seen; return them. Doing it twice is doing it once."""
    known = broker.known([order.client_order_id for order in intents])
    missing = [order for order in intents if order.client_order_id not in known]
    if missing:
        broker.submit(missing)
    return missing


def check(broker: Broker, trader: Trader, symbols: Sequence[str], unbooked: Sequence[Activity]) -> None:
    """Compare the broker's account with what we hold plus what it did since; raise TradingError naming the first difference."""
    expected = _expected(trader, symbols, unbooked)
    held, found = {s: p.quantity for s, p in expected.positions.items() if p.quantity != 0.0}, broker.positions()
    for symbol in sorted(held.keys() | found.keys()):
        ours, theirs = held.get(symbol, 0.0), found[symbol].quantity if symbol in found else 0.0
        if ours != theirs:
            raise TradingError(
                f"the broker holds {theirs!r} of {symbol}, the journal says {ours!r}: look at both before trading on"
            )
    if expected.cash != broker.cash():
        raise TradingError(
            f"the broker has cash of {broker.cash()!r}, the journal says {expected.cash!r}: look at both before trading on"
        )


def _expected(trader: Trader, symbols: Sequence[str], unbooked: Sequence[Activity]) -> Account:
    book = trader.book
    held = {symbols[s]: Position(float(book.quantity[s]), float(book.average[s])) for s in np.flatnonzero(book.quantity).tolist()}
    account = Account(float(book.cash[0]), held)
    for activity in unbooked:
        if isinstance(activity.event, Fill):
            account.apply(activity.event)
        else:
            account.charge(activity.event.amount)
    return account
