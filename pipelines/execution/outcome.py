"""Outcome: what a simulation or a replay came to, in numbers and tables made by the same code for both."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from domain import decision
from domain.market import Market
from domain.panel import FloatArray, TimeArray
from models import metrics as statistics
from pipelines.execution import orders as orders_room

CodeArray = npt.NDArray[np.int64]


class Ordered(NamedTuple):
    """Every order that was wanted or forced, by bar and then symbol: columns of one length."""

    row: CodeArray
    """Bar at whose close it was decided."""
    symbol: CodeArray
    asked: FloatArray
    quantity: FloatArray
    """What was sent; 0 where the gate denied."""
    mark: FloatArray
    outcome: CodeArray
    rule: CodeArray
    found: FloatArray
    limit: FloatArray
    reason: CodeArray


class Filled(NamedTuple):
    """Every execution, by bar and then symbol: columns of one length."""

    row: CodeArray
    """Bar at whose open it was made."""
    symbol: CodeArray
    quantity: FloatArray
    price: FloatArray
    fee: FloatArray
    realised: FloatArray
    """Profit of what it closed, fees not included."""
    opened: FloatArray
    """The bar's open, before spread, slippage and impact."""


class Curve(NamedTuple):
    """The account at the close of every bar: columns of length T."""

    equity: FloatArray
    gross: FloatArray
    """Sum of the positions' sizes at their marks."""
    charge: FloatArray
    """Borrow paid for this bar."""


@dataclass(frozen=True)
class Outcome:
    """What trading one market with one model came to."""

    market: Market
    models: tuple[tuple[int, str], ...]
    """(first bar, version) of each model that traded, in turn."""
    symbols: tuple[str, ...]
    opened_at: TimeArray
    """[T]"""
    event_at: TimeArray
    """[T]"""
    capital: float
    curve: Curve
    ordered: Ordered
    filled: Filled
    halted: bool
    """The kill latch is shut at the end."""

    @property
    def equity(self) -> FloatArray:
        """Return [T] the account's worth at each close."""
        return self.curve.equity

    @cached_property
    def orders(self) -> pl.DataFrame:
        """Return the orders with the gate's answer, sorted by decision time and symbol."""
        columns = self.ordered
        starts = [orders_room.prefix(self.market.name, self._version(t), at) for t, at in enumerate(self.event_at)]
        return pl.DataFrame({
            "decided_at": _times(self.event_at, columns.row),
            "client_order_id": pl.Series(starts, dtype=pl.String).gather(columns.row) + self._names(columns.symbol),
            "symbol": self._names(columns.symbol),
            "asked": columns.asked,
            "quantity": columns.quantity,
            "reference_price": columns.mark,
            "outcome": _words(decision.Outcome, columns.outcome),
            "rule": _words(decision.Rule, columns.rule),
            "found": columns.found,
            "limit": columns.limit,
            "reason": _words(decision.Reason, columns.reason),
        })  # fmt: skip

    @cached_property
    def fills(self) -> pl.DataFrame:
        """Return the fills, sorted by time and symbol; `order_decided_at` leads to the order."""
        columns = self.filled
        return pl.DataFrame({
            "event_at": _times(self.opened_at, columns.row),
            "order_decided_at": _times(self.event_at, columns.row - 1),
            "symbol": self._names(columns.symbol),
            "quantity": columns.quantity,
            "price": columns.price,
            "fee": columns.fee,
            "realised": columns.realised,
            "opened": columns.opened,
        })  # fmt: skip

    @cached_property
    def orders_digest(self) -> str:
        """Return the digest of the orders sent."""
        return orders_room.digest(self.orders)

    @cached_property
    def metrics(self) -> dict[str, float]:
        """Return the flat numbers of the report; money is in account currency, `sharpe` is yearly and net of all costs.

        A trade is a fill. `win_rate` is the share of the fills closing something that realised more than their own fee. `costs` are
        fees, `slippage` (spread, slippage and impact: what fills cost against the open) and `borrow` together. `turnover` is the
        notional traded a year over average equity, `exposure` the average gross exposure over equity.
        """
        filled, curve = self.filled, self.curve
        returns = np.diff(np.concatenate(([self.capital], curve.equity))) / np.concatenate(([self.capital], curve.equity[:-1]))
        closing = filled.realised[filled.realised != 0.0] - filled.fee[filled.realised != 0.0]
        fees, borrow = float(filled.fee.sum()), float(curve.charge.sum())
        slippage = float((filled.quantity * (filled.price - filled.opened)).sum())
        traded = float(np.abs(filled.quantity * filled.price).sum())
        years = len(returns) / self.market.bars_a_year
        return {
            "roi": float(curve.equity[-1] / self.capital - 1.0),
            "win_rate": float((closing > 0.0).mean()) if len(closing) else 0.0,
            "sharpe": statistics.sharpe(returns, self.market.bars_a_year),
            "sharpe_se": statistics.sharpe_se(returns, self.market.bars_a_year),
            "max_drawdown": statistics.drawdown(np.concatenate(([self.capital], curve.equity))),
            "trades": len(filled.row),
            "costs": fees + slippage + borrow,
            "fees": fees,
            "slippage": slippage,
            "borrow": borrow,
            "turnover": traded / float(curve.equity.mean()) / years,
            "exposure": float((curve.gross / curve.equity).mean()),
            "equity": float(curve.equity[-1]),
            "bars": len(returns),
        }

    def _version(self, row: int) -> str:
        return [version for first, version in self.models if first <= row][-1]

    def _names(self, places: CodeArray) -> pl.Series:
        return pl.Series(self.symbols, dtype=pl.String).gather(places)


def _times(axis: TimeArray, rows: CodeArray) -> pl.Series:
    return pl.Series(axis[rows]).dt.replace_time_zone("UTC")


def _words(codes: type[decision.Outcome] | type[decision.Rule] | type[decision.Reason], values: CodeArray) -> pl.Series:
    return pl.Series([code.name.lower() for code in codes], dtype=pl.String).gather(values)
