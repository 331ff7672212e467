"""Limits: what the gate goes by, as numbers that compiled code reads."""

import math
from typing import Any, NamedTuple

from domain.market import Market
from domain.params import Params


class Limits(NamedTuple):
    """The numbers of the gate; `Risk` in `domain/params/trading.py` says what each means and in which unit."""

    lot: float
    shortable: bool
    notional_min: float
    symbol_weight_max: float
    sector_gross_max: float
    market_gross_max: float
    gross_max: float
    net_max: float
    leverage_max: float
    volatility_bar: float
    """Volatility of equity over one bar that leaves `gross_max` as it is."""
    buying_power_max: float
    turnover_max: float
    order_notional_max: float
    order_quantity_max: float
    price_collar: float
    participation_max: float
    liquidity_max: float
    stop_loss: float
    trailing_stop: float
    daily_loss_max: float
    drawdown_max: float
    flatten: bool
    """Whether a halted account closes its positions; otherwise it holds them."""
    orders_max: float


def of(market: Market, params: Params) -> Limits:
    """Return the limits of a market as params.yaml sets them."""
    rules = params.risk.model_dump()
    derived: dict[str, Any] = {
        "lot": market.instrument.lot,
        "shortable": market.instrument.shortable,
        "notional_min": params.orders.notional_min,
        "volatility_bar": params.risk.volatility_max / math.sqrt(market.bars_a_year),
        "flatten": params.risk.halted == "flatten",
        "orders_max": float(params.risk.orders_max),
    }
    return Limits(**{name: derived[name] if name in derived else rules[name] for name in Limits._fields})
