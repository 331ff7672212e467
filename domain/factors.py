"""Factors of splits and dividends that lie on a panel's prices: what they did from bar to bar, and how they are taken off.

A panel's prices are total returns; its covariates `adjustment` and `shares` say by which factors, and without them nothing lies on
it. Orders are sent, filled and booked at what is printed.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np

from domain.panel import PRICES, FloatArray, Panel

ADJUSTMENT, SHARES = "adjustment", "shares"
#: Columns in the currency of the price, and those that count shares.
PRICED, COUNTED = (*PRICES[:-1], "vwap"), (PRICES[-1], "buy_volume")
#: Digits after the point that a printed price and a volume may have: what multiplying and dividing lose lies far behind them.
PRICE_DIGITS, VOLUME_DIGITS = 9, 3


class Actions(NamedTuple):
    """What splits and dividends did to each symbol between two of its bars."""

    split: FloatArray
    """[S] shares held after for one held before; 1 where nothing was split."""
    growth: FloatArray
    """[S] what a price before must be divided by to be compared with one after: `split`, and what was paid out beside it."""


@dataclass(frozen=True)
class Factors:
    """The newest known factors of each symbol."""

    adjustment: FloatArray
    """[S] product of all price factors; 1 before any."""
    shares: FloatArray
    """[S] product of the new shares for an old one."""

    @classmethod
    def blank(cls, symbols: int) -> Self:
        """Return those of prices on which nothing lies."""
        return cls(np.ones(symbols), np.ones(symbols))

    def after(self, bars: Panel) -> "Factors":
        """Return what lies on each symbol's newest bar; where it has none among these, what lay on it before."""
        return Factors(
            _newest(bars.covariates.get(ADJUSTMENT), self.adjustment), _newest(bars.covariates.get(SHARES), self.shares)
        )  # fmt: skip

    def between(self, bar: Panel) -> Actions | None:
        """Return what was done to each symbol since these factors, None where nothing was."""
        after = self.after(bar)
        actions = Actions(after.shares / self.shares, after.adjustment / self.adjustment)
        return actions if any((ratio != 1.0).any() for ratio in actions) else None

    def beneath(self, panel: Panel, there: "Factors") -> Panel:
        """Return a panel whose prices go on from these factors where they went on from those `there`.

        An action of long ago that becomes known lies on every bar that is read after that. Whoever has followed the bars so far
        would take it for one of today.
        """
        price, shares = self.adjustment / there.adjustment, self.shares / there.shares
        if (price == 1.0).all() and (shares == 1.0).all():
            return panel
        moved = {name: values * price for name, values in _columns(panel, (*PRICED, ADJUSTMENT)).items()}
        moved |= {name: values / shares for name, values in _columns(panel, COUNTED).items()}
        moved |= {name: values * shares for name, values in _columns(panel, (SHARES,)).items()}
        return _with(panel, moved)


def printed(panel: Panel) -> Panel:
    """Return a panel's prices and volumes as they were printed."""
    if ADJUSTMENT not in panel.covariates:
        return panel
    price, shares = panel.covariates[ADJUSTMENT], panel.covariates[SHARES]
    found = {
        name: np.where(price == 1.0, values, np.round(values / price, PRICE_DIGITS))
        for name, values in _columns(panel, PRICED).items()
    }
    found |= {
        name: np.where(shares == 1.0, values, np.round(values * shares, VOLUME_DIGITS))
        for name, values in _columns(panel, COUNTED).items()
    }
    bare = {name: values for name, values in panel.covariates.items() if name not in {ADJUSTMENT, SHARES}}
    return _with(replace(panel, covariates=bare), found)


def _newest(values: FloatArray | None, before: FloatArray) -> FloatArray:
    if values is None or not len(values):
        return before
    known = ~np.isnan(values)
    rows = len(values) - 1 - known[::-1].argmax(axis=0)
    return np.where(known.any(axis=0), values[rows, np.arange(values.shape[1])], before)


def _columns(panel: Panel, names: tuple[str, ...]) -> dict[str, FloatArray]:
    return {name: values for name, values in panel.columns().items() if name in names}


def _with(panel: Panel, columns: dict[str, FloatArray]) -> Panel:
    """Return a panel with some of its columns replaced."""
    prices = {name: values for name, values in columns.items() if name in PRICES}
    others = {name: values for name, values in columns.items() if name not in PRICES}
    return replace(panel, **prices, covariates={**panel.covariates, **others})  # type: ignore[arg-type]
