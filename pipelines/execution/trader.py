"""The trader without its hands: what it carries from bar to bar, and the compiled function that thinks.

No clock, no files, no broker. A simulation and a live loop differ only in where the bar comes from and where the orders go.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np

from domain.compiled import money
from domain.error import TradingError
from domain.market import Market
from domain.order import Fill
from domain.panel import FloatArray, Panel
from domain.params import Params
from pipelines import notation
from pipelines.execution import decisions, fills, limits, risk
from pipelines.execution.brokers.contract import Activity
from pipelines.execution.conditions import Conditions
from pipelines.execution.limits import Limits
from pipelines.execution.verdicts import Verdicts


class Trader(NamedTuple):
    """The rules that a trader goes by, what it remembers, what it is told, and its latest answer."""

    settings: decisions.Settings
    limits: Limits
    book: fills.Book
    memory: decisions.State
    gate: risk.State
    conditions: Conditions
    """Not carried over a restart: whoever trades live tells it anew before each decision."""
    targets: decisions.Targets
    verdicts: Verdicts
    share: float
    """The part of the account's equity that decisions are sized for: 1 where no other market is traded with it."""

    @classmethod
    def opened(cls, market: Market, params: Params, symbols: int, capital: float, share: float = 1.0) -> Self:
        """Return a trader with nothing but cash."""
        return cls(
            settings=decisions.settings(market, params),
            limits=limits.of(market, params),
            book=fills.Book.opened(symbols, capital),
            memory=decisions.State.blank(symbols),
            gate=risk.State.blank(symbols),
            conditions=Conditions.blank(symbols),
            targets=decisions.Targets.blank(symbols),
            verdicts=Verdicts.blank(symbols),
            share=share,
        )

    def resized(self, market: Market, params: Params) -> Self:
        """Return the same trader, memory and all, that decides from now on as `params` say."""
        return self._replace(settings=decisions.settings(market, params))


@money
def think(
    trader: Trader, forecast: FloatArray, close: FloatArray, volume: FloatArray, scale: FloatArray, equity: float, day: float
) -> None:
    """Decide and judge one bar at its close: the orders for the next open are then in `trader.verdicts`.

    The book must hold the bar's fills and be marked to its closes; `equity` is the account's worth, `day` numbers its session.
    """
    held, sized_for = trader.book.quantity, equity * trader.share
    decisions.step(trader.settings, forecast, close, volume, scale, held, sized_for, trader.memory, trader.targets)
    wanted, aim = trader.targets.quantity, trader.targets.aim
    risk.step(
        trader.limits, wanted, aim, close, volume, trader.book, equity, day, trader.conditions, trader.gate, trader.verdicts
    )  # fmt: skip


class Booked(NamedTuple):
    """One fill and what it realised."""

    symbol: int
    fill: Fill
    realised: float


@dataclass
class Worth:
    """What the account is worth at a close, and what led there."""

    equity: float
    gross: float
    charge: float
    booked: list[Booked]


def book_bar(trader: Trader, symbols: dict[str, int], bar: Panel, activities: Sequence[Activity]) -> Worth:
    """Book what the broker reports of one bar, in its order, and mark to the close."""
    charge, booked = 0.0, []
    for activity in activities:
        if isinstance(activity.event, Fill):
            fill, s = activity.event, symbols[activity.event.symbol]
            booked.append(Booked(s, fill, fills.settle_one(trader.book, s, fill.quantity, fill.price, fill.fee)))
        else:
            charge += activity.event.amount
    equity, gross = fills.close_bar(trader.book, bar.close[0], charge)
    return Worth(float(equity), float(gross), charge, booked)


def packed(traders: Sequence[Trader], progress: dict[str, Any]) -> bytes:
    """Return all that an account's traders carry over a restart, to the last bit, with `progress`, JSON values, before it."""
    arrays = _carried(traders)
    header = notation.text({"progress": progress, "sizes": [len(values) for values in arrays]})
    return header.encode() + b"\n" + np.concatenate(arrays).astype("<f8", copy=False).tobytes()


def progress(raw: bytes) -> dict[str, Any]:
    """Return the progress that `packed` put before the traders' state."""
    return dict(json.loads(raw.partition(b"\n")[0])["progress"])


def restore(traders: Sequence[Trader], raw: bytes) -> dict[str, Any]:
    """Put back what `packed` kept and return its progress; raise TradingError when it was of other kinds of traders."""
    line, _, body = raw.partition(b"\n")
    header, arrays = json.loads(line), _carried(traders)
    sizes = [len(values) for values in arrays]
    if header["sizes"] != sizes or len(body) != 8 * sum(sizes):
        raise TradingError(
            f"the kept state holds {header['sizes']} numbers, this version of the trader carries {sizes}: start on a new journal"
        )
    for values, kept in zip(arrays, np.split(np.frombuffer(body, dtype="<f8"), np.cumsum(sizes)[:-1]), strict=True):
        values[:] = kept
    return dict(header["progress"])


def _carried(traders: Sequence[Trader]) -> list[FloatArray]:
    return [values for each in traders for values in (*each.book, *each.memory, *each.gate)]
