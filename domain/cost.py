"""Fees, spread, slippage, impact, borrow: the one cost model of labels, decisions, fills, gates and reports."""

import math
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from domain.compiled import money

BPS = 1e-4


class Cost(BaseModel):
    """What trading one market costs. Zero means free; nothing is assumed to be free by default."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    fee_bps: float = Field(ge=0)
    """Commission on the traded notional."""
    spread_bps: float = Field(ge=0)
    """Full quoted spread; a market order pays half of it."""
    slippage_bps: float = Field(ge=0)
    """What a market order pays beyond the touch."""
    impact: float = Field(ge=0)
    """Square-root impact: the price moves by `impact * sigma * sqrt(quantity / volume)` (Almgren et al. 2005, Risk 18(7))."""
    borrow_bps_year: float = Field(ge=0)
    """Yearly fee on the notional held short."""

    def rates(self) -> "Rates":
        """Return the numbers that compiled code takes, as fractions."""
        touch = (0.5 * self.spread_bps + self.slippage_bps) * BPS
        return Rates(self.fee_bps * BPS, touch, self.impact, self.borrow_bps_year * BPS)


class Rates(NamedTuple):
    """Cost as fractions of notional, ready for compiled code."""

    fee: float
    touch: float
    impact: float
    borrow_year: float


@money
def one_way(rates: Rates, share: float, sigma: float) -> float:
    """Return what trading once costs as a fraction of notional.

    `share` is quantity over the bar's volume, `sigma` the volatility of one bar's log return.
    """
    return rates.fee + rates.touch + rates.impact * sigma * math.sqrt(max(share, 0.0))


@money
def affordable(rates: Rates, most: float, sigma: float) -> float:
    """Return the largest share of a bar's volume that costs at most `most` to trade once: 0 for none, infinite without impact."""
    spare, slope = most - one_way(rates, 0.0, sigma), rates.impact * sigma
    if spare < 0.0:
        return 0.0
    return (spare / slope) * (spare / slope) if slope > 0.0 else math.inf


@money
def execution_price(rates: Rates, price: float, side: float, share: float, sigma: float) -> float:
    """Return the price that a market order of `side` (+1 buy, -1 sell) gets against `price`, fees not included."""
    return price * (1.0 + side * (rates.touch + rates.impact * sigma * math.sqrt(max(share, 0.0))))
