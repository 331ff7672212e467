"""Splits: bars tell of one, and the broker books it, at two moments; prices and shares of a market must not be of two sides of it.

Whichever comes first waits for the other. Where the broker was first, prices that are remembered follow what it booked. Where a bar
was first and something is held, the symbol has no price until the broker's books show it: what is held is worth what it was.
"""

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from domain.factors import Actions
from domain.panel import PRICES, Panel
from pipelines.execution.trader import Trader

#: How far the shares that were booked may be from a split's ratio: brokers pay fractions of a share out.
TOLERANCE = 0.1


class Splits:
    """What is known of the splits of one market's symbols by only one of both sides."""

    def __init__(self, places: Mapping[str, int], trader: Trader) -> None:
        self._places, self._symbols = places, tuple(places)
        self._book, self._memory, self._gate = trader.book, trader.memory, trader.gate
        self.waiting: dict[str, float] = {}
        """New shares for an old one, of what bars have told and the broker has not booked."""
        self.booked: dict[str, float] = {}
        """The same of what the broker has booked and no bar has told of."""

    def tell(self, actions: Actions) -> list[str]:
        """Take in what was done since the bar before, and return the symbols that have no price from now on."""
        # What the symbol earned is measured over the payout; over a split as soon as prices are those after it.
        self._memory.close[:] /= actions.growth / actions.split
        return [self._symbols[s] for s in np.flatnonzero(actions.split != 1.0).tolist() if self._waits(s, float(actions.split[s]))]

    def book(self, symbol: str, ratio: float) -> None:
        """Take in that the broker has made `ratio` shares of each that was held."""
        self._rescale(self._places[symbol], ratio)
        if self.waiting.pop(symbol, None) is None:
            self.booked[symbol] = self.booked.get(symbol, 1.0) * ratio

    def priced(self, bar: Panel) -> Panel:
        """Return a bar without the prices of symbols whose split is not booked; of what is not held none need be."""
        for symbol in [each for each in self.waiting if self._book.quantity[self._places[each]] == 0.0]:
            self._rescale(self._places[symbol], self.waiting.pop(symbol))
        if not self.waiting:
            return bar
        hidden = np.isin(self._symbols, list(self.waiting))
        columns: dict[str, Any] = {name: np.where(hidden, math.nan, getattr(bar, name)) for name in PRICES}
        return replace(bar, **columns)

    def packed(self) -> dict[str, Any]:
        """Return what a restart needs, nothing where all is known by both."""
        return {"splits": {"waiting": self.waiting, "booked": self.booked}} if self.waiting or self.booked else {}

    def restore(self, kept: dict[str, Any]) -> None:
        """Put back what `packed` kept."""
        found = kept.get("splits", {})
        self.waiting, self.booked = dict(found.get("waiting", {})), dict(found.get("booked", {}))

    def _waits(self, s: int, ratio: float) -> bool:
        """Take in the split of one symbol that a bar tells of; say whether it waits for the broker."""
        symbol = self._symbols[s]
        known = self.booked.get(symbol)
        if known is not None and abs(known / ratio - 1.0) <= TOLERANCE:
            del self.booked[symbol]
            self._memory.close[s] *= known / ratio
            return False
        self.waiting[symbol] = self.waiting.get(symbol, 1.0) * ratio
        return bool(self._book.quantity[s] != 0.0)

    def _rescale(self, s: int, ratio: float) -> None:
        """Let what is remembered of a symbol's prices and volume be of the shares after a split."""
        for prices in (self._book.mark, self._memory.close, self._gate.best):
            prices[s] /= ratio
        self._gate.volume[s] *= ratio
