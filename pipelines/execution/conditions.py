"""Conditions: what the gate is told beside the book: orders that work, sectors, who may only reduce, and the rest of the account.

A simulation leaves them blank but for the hours in which the market is closed, for nothing works when a bar is decided. Whoever
trades live overwrites them in place before each decision, with the help of `pipelines/execution/guards.py`.
"""

import math
from typing import NamedTuple, Self

import numpy as np

from domain.panel import FloatArray
from pipelines.execution.verdicts import CodeArray

#: Places in Conditions.account.
OTHER_GROSS, OTHER_NET, BUYING_POWER, SENT, FOUND, LIMIT, OTHER_BOUGHT, OTHER_SOLD, CLOSING = range(9)
#: Places in Conditions.standing.
STATE, RULE = 0, 1


class Conditions(NamedTuple):
    """What surrounds one decision; changed in place. A quantity that is not a number counts as if it were without bounds."""

    buying: FloatArray
    """[S] quantity that orders still working could buy: open, pending, and in full where nobody knows what became of them."""
    selling: FloatArray
    """[S] the same of sells, positive."""
    working_price: FloatArray
    """[S] highest price at which a working order counts, NaN where the mark will do."""
    highest_buy: FloatArray
    """[S] highest limit of the working buys, NaN where one has none."""
    lowest_sell: FloatArray
    """[S] lowest limit of the working sells, NaN where one has none."""
    price: FloatArray
    """[S] limit or stop of the order that is asked for, NaN for a market order."""
    sector: CodeArray
    """[S] the symbol's sector, numbered from 0 and below S; anything else is unknown."""
    blocked: CodeArray
    """[S] code of the Rule under which the symbol may only be reduced, 0 for none."""
    found: FloatArray
    """[S] what that rule found."""
    limit: FloatArray
    """[S] what it allows."""
    account: FloatArray
    """[9] gross at worst and net of the account's other markets, what the broker lets it spend before the working orders, all in
    account currency; orders already sent in the present window; what the rule behind `standing` found and allows; what the other
    markets' orders could still buy and sell, in account currency; the gross, of equity, that may be held while the market is
    closed, infinite where that is not soon."""
    standing: CodeArray
    """[2] code of the TradingState that is demanded, and of the Rule that demands it."""
    sector_used: FloatArray
    """[S + 1] room in which the gate adds up the gross of each sector."""
    sector_added: FloatArray
    """[S + 1] room for what the orders of each sector would add."""

    @classmethod
    def blank(cls, symbols: int) -> Self:
        """Return the conditions of one market that does not close, with no orders working and no bound on what it may spend."""
        prices = {name: np.full(symbols, math.nan) for name in ("working_price", "highest_buy", "lowest_sell", "price")}
        codes = {"sector": np.full(symbols, -1), "blocked": np.zeros(symbols, np.int64), "standing": np.zeros(2, np.int64)}
        numbers = {name: np.zeros(symbols) for name in ("buying", "selling", "found", "limit")}
        rooms = {name: np.zeros(symbols + 1) for name in ("sector_used", "sector_added")}
        known = {**numbers, **prices, **codes, **rooms, "account": np.array([0.0, 0.0, math.inf, *[0.0] * 5, math.inf])}
        return cls._make(known[name] for name in cls._fields)
