"""Splits: bars tell of one, and the broker books it, at two moments; prices and shares of a market must not be of two sides of it.

What is remembered of prices is of the shares that are booked. A symbol that is held has a price while its bars and the broker's
books are of the same shares; while they are not, what is held is worth what it was. A process that catches up on bars from before
a split that is booked meanwhile is such a case as well.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from domain.factors import Actions
from domain.panel import PRICES, Panel
from pipelines.execution.trader import Trader

#: How far the shares that were booked may be from a split's ratio: brokers pay fractions of a share out.
TOLERANCE = 0.1
#: Ratios, or one over them, are multiples of this; what is none was found of a holding that was traded since the split.
STEP, EXACT = 0.05, 1e-6
#: Stands for a ratio that cannot be found from what was booked.
UNKNOWN = 0.0


class Splits:
    """What is known of the splits of one market's symbols by only one of both sides."""

    def __init__(self, places: Mapping[str, int], trader: Trader) -> None:
        self._places, self._symbols = places, tuple(places)
        self._book, self._memory, self._gate = trader.book, trader.memory, trader.gate
        self.told: dict[str, float] = {}
        """New shares for an old one by what bars have told, where the broker has not booked the same."""
        self.booked: dict[str, float] = {}
        """The same by what the broker has booked, where bars have not told the same."""
        self.fresh: dict[str, int] = {}
        """Symbols of which nothing was held at the bar before bars told: all may have been bought since, and then nothing is to be
        booked. Each with when that was told, monotonic."""
        self.hidden: set[str] = set()
        """Symbols that have no price at the newest bar."""

    def tell(self, actions: Actions, now_ns: int) -> None:
        """Take in what was done since the bar before."""
        # What a symbol has earned is measured over its payouts; over splits as soon as prices are those after them.
        self._memory.close[:] /= actions.growth / actions.split
        for s in np.flatnonzero(actions.split != 1.0).tolist():
            symbol, ratio = self._symbols[s], float(actions.split[s])
            if self._held(symbol) or symbol in self.booked:
                self.told[symbol] = self.told.get(symbol, 1.0) * ratio
                if self._gate.best[s] == 0.0:
                    self.fresh[symbol] = now_ns
                self._meet(symbol)
            else:
                self._rescale(s, ratio)

    def book(self, symbol: str, ratio: float, paid: float = math.nan) -> None:
        """Take in that the broker has made `ratio` shares of each that was held, as far as can be found from its books.

        It cannot be where shares were traded after it: `paid` is what for.
        """
        if ratio <= 0.0 or (paid > 0.0 and not _is_ratio(ratio)):
            self.booked[symbol] = UNKNOWN
            self._book.mark[self._places[symbol]] = paid if paid > 0.0 else self._book.mark[self._places[symbol]]
        else:
            self._rescale(self._places[symbol], ratio)
            self.booked[symbol] = self.booked.get(symbol, 1.0) * ratio
        self._meet(symbol)

    def agree(self, known: Callable[[str], bool], asked_ns: int) -> None:
        """Take in a reading: where all was bought since the split and the broker holds what we do, nothing is to be booked."""
        for symbol in [each for each, told_ns in self.fresh.items() if asked_ns >= told_ns and known(each)]:
            # It is marked to what was paid for it.
            self._remember(self._places[symbol], self.owed(symbol))
            self._settle(symbol)

    def owed(self, symbol: str) -> float:
        """Return how many shares the broker has yet to make of each, or made of an unknown number, by what bars have told."""
        return self.told.get(symbol, 1.0) / (self.booked.get(symbol, 1.0) or 1.0)

    def hide(self) -> list[str]:
        """Find the symbols that have no price at a bar; return those that had one at the bar before."""
        for symbol in [each for each in self.told if not self._held(each)]:
            self._rescale(self._places[symbol], self.owed(symbol))
            self._settle(symbol)
        before, self.hidden = self.hidden, {each for each in (*self.told, *self.booked) if self._held(each)}
        return sorted(self.hidden - before)

    def priced(self, bar: Panel) -> Panel:
        """Return a bar without the prices of hidden symbols."""
        if not self.hidden:
            return bar
        hidden = np.isin(self._symbols, list(self.hidden))
        columns: dict[str, Any] = {name: np.where(hidden, math.nan, getattr(bar, name)) for name in PRICES}
        return replace(bar, **columns)

    def packed(self) -> dict[str, Any]:
        """Return what a restart needs, nothing where all is known by both."""
        kept = {"told": self.told, "booked": self.booked, "fresh": list(self.fresh)}
        return {"splits": kept} if self.told or self.booked else {}

    def restore(self, kept: dict[str, Any]) -> None:
        """Put back what `packed` kept."""
        found = kept.get("splits", {})
        self.told, self.booked = dict(found.get("told", {})), dict(found.get("booked", {}))
        self.fresh = dict.fromkeys(found.get("fresh", ()), 0)

    def _held(self, symbol: str) -> bool:
        return bool(self._book.quantity[self._places[symbol]] != 0.0)

    def _meet(self, symbol: str) -> None:
        """Let go of a symbol of which both sides know the same."""
        if symbol not in self.told or symbol not in self.booked:
            return
        owed = self.owed(symbol)
        if self.booked[symbol] == UNKNOWN:
            self._remember(self._places[symbol], owed)
            self._settle(symbol)
        elif abs(owed - 1.0) <= TOLERANCE:
            self._memory.close[self._places[symbol]] /= owed
            self._settle(symbol)

    def _settle(self, symbol: str) -> None:
        self.told.pop(symbol, None)
        self.booked.pop(symbol, None)
        self.fresh.pop(symbol, None)

    def _rescale(self, s: int, ratio: float) -> None:
        """Let a symbol's mark, and what is remembered of it, be of the shares after a split."""
        self._book.mark[s] /= ratio
        self._remember(s, ratio)

    def _remember(self, s: int, ratio: float) -> None:
        self._memory.close[s] /= ratio
        self._gate.best[s] /= ratio
        self._gate.volume[s] *= ratio


def _is_ratio(found: float) -> bool:
    """Return whether a number above zero may be a split's: 4 for 1, 3 for 2, 1 for 20."""
    steps = max(found, 1.0 / found) / STEP
    return abs(steps - round(steps)) < EXACT
