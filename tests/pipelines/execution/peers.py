"""Two independent engines on the common subset: vectorbt and backtesting.py, each handed bars and a rule, never our fills.

The common subset is market orders at the next open, a fee and a touch that are fixed fractions of the notional, no impact, no
borrow, no cap by volume and no limit of the gate that binds. The rule is a crossing of two moving averages, written once for each
engine.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from backtesting import Backtest, Strategy

from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params
from features import catalog
from features import indicators as plain
from features.feature import Feature
from features.kernels import average
from pipelines.execution.outcome import Outcome
from pipelines.execution.serving import Served
from tests.pipelines.execution import recorded

with warnings.catch_warnings():
    # Both of their plotting libraries warn about themselves while they are imported.
    warnings.simplefilter("ignore")
    import vectorbt as vbt

FAST, SLOW = 20, 100
#: A conviction of one half: with the average taken out of those of all symbols none is ever past 1, so that nothing is clipped.
HALF = 0.5
EDGE, WEIGHT = 0.25, 0.1
#: More than any order, position or account of these tests.
AMPLE = 1e15
CROSSING = Feature("crossing", average.distance, (plain.sma("close", FAST), plain.sma("close", SLOW)))


@dataclass
class Crossing:
    """A fake model: a conviction of one half, up while the fast mean is above the slow one and down below."""

    horizon: int = 5
    context_bars: int = 1

    def predict(self, features: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return [T, S, Q] quantiles whose median is the conviction in the decisions' own unit."""
        view = HALF * np.sign(features[..., -1])
        return (EDGE * view[..., None] + recorded.NORMAL) * (scale * np.sqrt(self.horizon))[..., None]


class Fills(NamedTuple):
    """Executions by bar and then symbol: columns of one length."""

    row: np.ndarray
    symbol: np.ndarray
    quantity: np.ndarray
    price: np.ndarray
    fee: np.ndarray


def served() -> Served:
    """Return the crossing beside the real feature engine."""
    return Served(Crossing(), (*catalog.select(()), CROSSING), 5, "crossing")


def terms(name: str, *, lot: float, weight: float = WEIGHT, **cost: float) -> tuple[Market, Params]:
    """Return the common subset in a market: a view is worth `weight` of equity at once, and only fee and touch cost anything."""
    names = (
        "gross_max", "net_max", "turnover_max", "order_notional_max", "participation_max", "stop_loss", "sector_gross_max",
        "market_gross_max", "leverage_max", "volatility_max", "order_quantity_max", "liquidity_max",
        "trailing_stop",
    )  # fmt: skip
    ample = dict.fromkeys(names, AMPLE)
    fixed = {"fee_bps": 2.0, "spread_bps": 3.0, "slippage_bps": 1.0, "impact": 0.0, "borrow_bps_year": 0.0, **cost}
    shortable = recorded.terms(name)[0].instrument.shortable
    return recorded.terms(
        name,
        markets={name: {"cost": fixed, "instrument": {"lot": lot, "shortable": shortable}}},
        decisions={"volatility_target": AMPLE, "edge_sigma_full": EDGE, "band": 0.0, "rate": 1.0},
        risk={**ample, "symbol_weight_max": weight, "drawdown_max": 1.0, "daily_loss_max": 1.0},
        orders={"notional_min": 0.0},
        fills={"participation_max": AMPLE},
    )


def ours(outcome: Outcome) -> Fills:
    """Return the fills of an outcome of ours."""
    return Fills(*(np.asarray(getattr(outcome.filled, name)) for name in Fills._fields))


def known(values: FloatArray) -> FloatArray:
    """Return [T, S] the newest value known at each row; before the first, the first, which nobody holds anything at."""
    return np.asarray(pd.DataFrame(values).ffill().bfill())


def weights(panel: Panel, weight: float, *, shortable: bool) -> FloatArray:
    """Return [T, S] what the crossing wants at each close, as a share of equity, by vectorbt's own moving averages.

    NaN without a bar, and while a symbol has fewer bars than the slow mean. Without shorts it is long or flat, each symbol on its
    own; with them the average over the symbols is taken out, where there are several.
    """
    views = np.full(panel.close.shape, np.nan)
    for s in range(len(panel.symbols)):
        bars = np.flatnonzero(panel.present[:, s])
        close = pd.Series(panel.close[bars, s])
        fast, slow = (np.asarray(vbt.MA.run(close, window).ma).ravel() for window in (FAST, SLOW))
        views[bars, s] = HALF * np.sign(fast - slow)
    if not shortable:
        return weight * np.maximum(views, 0.0)
    active = np.isfinite(views).sum(axis=1, keepdims=True)
    return weight * (views - np.where(active > 1, np.nansum(views, axis=1, keepdims=True) / np.maximum(active, 1), 0.0))


def vectorbt_weights(panel: Panel, market: Market, capital: float, wanted: FloatArray) -> Any:
    """Return vectorbt's account that goes to shares of equity `wanted` [T, S], valued at each close, traded at the next open."""
    valued = _later(known(panel.close))
    return _portfolio(panel, market, capital, size=_later(wanted), size_type="targetpercent", val_price=valued)


def vectorbt_orders(panel: Panel, market: Market, capital: float, outcome: Outcome) -> Any:
    """Return vectorbt's account that is sent the orders of an outcome: quantities by the bar they were decided at."""
    sent = np.full(panel.close.shape, np.nan)
    sent[outcome.ordered.row, outcome.ordered.symbol] = outcome.ordered.quantity
    return _portfolio(panel, market, capital, size=_later(sent), size_type="amount")


def vectorbt_fills(portfolio: Any) -> Fills:
    """Return the fills of an account of vectorbt."""
    table = portfolio.orders.records.sort_values(["idx", "col"])
    signed = np.where(table["side"] == 0, table["size"], -table["size"])
    return Fills(*(np.asarray(each) for each in (table["idx"], table["col"], signed, table["price"], table["fees"])))


class Account(NamedTuple):
    """What backtesting.py made of one symbol."""

    fills: Fills
    """The price is the average over the trades that a fill opened and closed; fees are not told apart by bar, NaN."""
    closed: FloatArray
    """[T] quantity that each bar's fill took off the position, without sign."""
    entries: FloatArray
    """[T] price at which the bar opened anything, NaN where nothing."""
    exits: FloatArray
    """[T] price at which the bar closed anything, NaN where nothing."""
    equity: FloatArray
    """[T]"""


def backtesting_crossing(panel: Panel, market: Market, capital: float, weight: float) -> Account:
    """Return backtesting.py's account of one symbol that decides the crossing by itself, in whole units of its own equity."""

    class Crosses(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            pass

        def next(self) -> None:
            close = self.data.Close
            if len(close) >= SLOW:
                view = HALF * np.sign(float(close[-FAST:].mean()) - float(close[-SLOW:].mean()))
                view = view if market.instrument.shortable else max(view, 0.0)
                _send(self, math.trunc(weight * view * self.equity / float(close[-1])) - self.position.size)

    return _backtest(panel, market, capital, Crosses)


def backtesting_orders(panel: Panel, market: Market, capital: float, orders: dict[int, float]) -> Account:
    """Return backtesting.py's account of one symbol that is sent `orders`, quantities by the bar they are decided at."""

    class Sends(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            pass

        def next(self) -> None:
            _send(self, orders.get(len(self.data) - 1, 0.0))

    return _backtest(panel, market, capital, Sends)


def _later(values: FloatArray) -> FloatArray:
    """Return what was known one row before."""
    return np.vstack((np.full((1, values.shape[1]), np.nan), values[:-1]))


def _portfolio(panel: Panel, market: Market, capital: float, **orders: Any) -> Any:
    rates = market.cost.rates()
    frame = pd.DataFrame(known(panel.close), columns=list(panel.symbols), index=pd.DatetimeIndex(panel.event_at))
    return vbt.Portfolio.from_orders(
        frame, price=panel.open, fees=rates.fee, slippage=rates.touch, init_cash=capital, cash_sharing=True, group_by=True, **orders
    )


def _send(strategy: Any, change: float) -> None:
    if change > 0:
        strategy.buy(size=change)
    elif change < 0:
        strategy.sell(size=-change)


def _backtest(panel: Panel, market: Market, capital: float, strategy: type) -> Account:
    prices = {name.capitalize(): getattr(panel, name)[:, 0] for name in ("open", "high", "low", "close", "volume")}
    rates = market.cost.rates()
    with warnings.catch_warnings():
        # It tells that what is held at the end stays open, which is what we ask of it.
        warnings.filterwarnings("ignore", "Some trades remain open")
        run = Backtest(
            pd.DataFrame(prices, index=pd.DatetimeIndex(panel.event_at)), strategy, cash=capital, commission=rates.fee,
            spread=rates.touch,
        ).run()  # fmt: skip
    done, held = run["_strategy"].closed_trades, run["_strategy"].trades
    return _account(panel.bars, done, held, run["_equity_curve"]["Equity"].to_numpy())


def _account(bars: int, done: Any, held: Any, equity: FloatArray) -> Account:
    quantity, closed, value = np.zeros((3, bars))
    entries, exits = np.full((2, bars), np.nan)
    for trade in (*done, *held):
        quantity[trade.entry_bar] += trade.size
        value[trade.entry_bar] += trade.size * trade.entry_price
        entries[trade.entry_bar] = trade.entry_price
    for trade in done:
        quantity[trade.exit_bar] -= trade.size
        value[trade.exit_bar] -= trade.size * trade.exit_price
        closed[trade.exit_bar] += abs(trade.size)
        exits[trade.exit_bar] = trade.exit_price
    rows = np.flatnonzero(quantity)
    blank = np.full(len(rows), np.nan)
    fills = Fills(rows, np.zeros(len(rows), dtype=np.int64), quantity[rows], value[rows] / quantity[rows], blank)
    return Account(fills, closed, entries, exits, equity)
