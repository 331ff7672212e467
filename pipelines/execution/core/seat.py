"""Seat: one market's place at an account: its symbols, its rules, what trades it, and how far it has lived.

The seats of an account share its cash, its orders and its kill latch; each sizes for its share of the equity, and its gate counts
what the others hold and have under way.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any, NamedTuple, Self

import numpy as np

from domain.decision import Mode, Outcome, Rule
from domain.error import ConfigurationError
from domain.market import AssetClass, Market
from domain.order import Order
from domain.panel import PRICES, FloatArray, Panel
from domain.params import Params
from pipelines.execution import exposure, facts, fills, orders
from pipelines.execution.core.desk import Desk, Place
from pipelines.execution.core.events import BarClosed, TookOver
from pipelines.execution.core.outlook import Outlook
from pipelines.execution.core.splits import Splits
from pipelines.execution.exposure import Totals
from pipelines.execution.trader import Trader
from pipelines.execution.verdicts import Verdicts


class Traded(NamedTuple):
    """A market that an account is to trade, and what it is traded by."""

    market: Market
    params: Params
    """With the settings that the model brings."""
    symbols: tuple[str, ...]
    version: str


class Seat:
    """One market of an account; the desk is the account's."""

    def __init__(self, traded: Traded, share: float, purse: FloatArray, desk: Desk) -> None:
        self.market, params, self.symbols, self.version = traded
        self.rules, self.lot = params.risk, Decimal(repr(self.market.instrument.lot))
        opened = Trader.opened(self.market, params, len(self.symbols), float(purse[0]), share)
        self.trader = opened._replace(book=opened.book._replace(cash=purse))
        self.places = {symbol: s for s, symbol in enumerate(self.symbols)}
        desk.places.update({symbol: Place(self.trader.book, s) for symbol, s in self.places.items()})
        self.outlook = Outlook(self.places, desk, self.rules)
        self.splits = Splits(self.places, self.trader)
        self.bars, self.last_us = 0, 0
        self._desk, self._nothing = desk, Verdicts.blank(len(self.symbols))

    @classmethod
    def all(cls, traded: Sequence[Traded], purse: FloatArray, desk: Desk) -> dict[str, Self]:
        """Return the seats of an account by their markets; raise ConfigurationError where two want the same symbol."""
        owners: dict[str, str] = {}
        for each in traded:
            for symbol in each.symbols:
                if symbol in owners:
                    raise ConfigurationError(
                        f"'{symbol}' was to be traded as of '{owners[symbol]}' and of '{each.market.name}' in one account, which "
                        "has one position of it: trade one of both markets, or name their symbols in params.yaml"
                    )
                owners[symbol] = each.market.name
        weights = [each.params.decisions.weight for each in traded]
        return {
            each.market.name: cls(each, weight / sum(weights), purse, desk) for each, weight in zip(traded, weights, strict=True)
        }

    @property
    def pays_in_kind(self) -> bool:
        """Whether this is a market of coins that are bought with cash alone, and of which a broker may take its fee."""
        return self.market.asset_class == AssetClass.CRYPTO and not self.market.instrument.shortable

    def take_over(self, said: TookOver) -> None:
        """Go by another model from the next bar on."""
        self.version, self.trader = said.version, self.trader.resized(self.market, said.params)

    def live(self, said: BarClosed) -> Panel:
        """Mark to a bar and count it; return it without what is no price."""
        bar = self.splits.priced(sound(said.bar))
        fills.mark(self.trader.book, bar.close[0])
        for symbol in [each for each in self._desk.paid if each in self.places]:
            del self._desk.paid[symbol]
        self.bars, self.last_us = self.bars + 1, orders.microseconds(bar.event_at[0])
        self.outlook.lived(said, bar.close[0], self.last_us * 1000)
        return bar

    def worst(self) -> Totals:
        """Return what this market's positions and working orders come to at worst."""
        self.outlook.list_working(self.trader)
        return Totals._make(exposure.add_up(self.trader.book, self.trader.conditions, self._nothing))

    def orders(self, heard: BarClosed, quantity: FloatArray) -> list[Order]:
        """Return the orders of a bar, under the names that it gives them."""
        at, mark = heard.bar.event_at[0], self.trader.book.mark
        return orders.intents(self.market.name, self.version, at, self.symbols, quantity, mark, heard.terms)

    def intents(self) -> dict[str, Any]:
        """Return the record of the newest verdicts."""
        return facts.intents(self.trader, self.symbols, self.version)

    def forced(self) -> set[str]:
        """Return the symbols that the gate forces out."""
        return {self.symbols[s] for s in np.flatnonzero(self.trader.verdicts.outcome == Outcome.FORCED).tolist()}

    def exact(self, quantity: float) -> Decimal:
        """Return a quantity in whole lots, as it goes over the wire."""
        return orders.exact(quantity, self.lot)

    def hold_back(self, busy: set[str], known: Callable[[str], bool], *, ready: bool, flips: bool) -> None:
        """Deny what cannot be sent now, and cut what the broker would refuse.

        While the account is not ready, positions that are `known` are reduced and nothing else is done.
        """
        said, held = self.trader.verdicts, self.trader.book.quantity
        asked = np.flatnonzero(said.order).tolist()
        reduces = [ready or (held[s] * said.order[s] < 0.0 and known(self.symbols[s])) for s in asked]
        denied = [s for s, fit in zip(asked, reduces, strict=True) if not fit or self.symbols[s] in busy]
        said.order[denied], said.outcome[denied] = 0.0, Outcome.DENIED
        if not flips or not ready:
            for s in np.flatnonzero(said.order).tolist():
                self._close_first(s)

    def for_person(self, mode: Mode) -> FloatArray:
        """Take out of the verdicts, and return, what a person is asked about; what the gate forces is sent in any mode."""
        said = self.trader.verdicts
        kept = np.zeros(len(self.symbols))
        if mode != Mode.AUTONOMOUS:
            rows = np.flatnonzero((said.order != 0.0) & (said.outcome != Outcome.FORCED))
            kept[rows] = said.order[rows]
            said.order[rows], said.outcome[rows], said.rule[rows] = 0.0, Outcome.DENIED, Rule.PERSON
            said.found[rows], said.limit[rows] = np.abs(kept[rows]), 0.0
        return kept

    def packed(self) -> dict[str, Any]:
        """Return what a restart needs beside the trader's numbers."""
        return {"bars": self.bars, "last_us": self.last_us, "outlook": self.outlook.packed(), **self.splits.packed()}

    def restore(self, kept: dict[str, Any]) -> None:
        """Put back what `packed` kept."""
        self.bars, self.last_us = kept["bars"], kept["last_us"]
        self.outlook.restore(kept["outlook"])
        self.splits.restore(kept)

    def _close_first(self, s: int) -> None:
        """Cut an order that would turn a position around to the part that closes it; the other side is opened by a later bar's."""
        said, held = self.trader.verdicts, float(self.trader.book.quantity[s])
        wanted = float(said.order[s])
        if held * (held + wanted) < 0.0:
            said.order[s], said.outcome[s], said.rule[s] = -held, Outcome.REDUCED, Rule.FLIP
            said.found[s], said.limit[s] = abs(wanted), abs(held)


def sound(bar: Panel) -> Panel:
    """Return a bar in which whatever is not a positive price is missing, so that nothing of it reaches a decision."""
    prices = np.stack((bar.open, bar.high, bar.low, bar.close))
    right = (np.isfinite(prices) & (prices > 0.0)).all(axis=0) & (bar.high >= bar.low)
    if right.all():
        return bar
    cleaned: dict[str, Any] = {name: np.where(right, getattr(bar, name), math.nan) for name in PRICES}
    return replace(bar, **cleaned)
