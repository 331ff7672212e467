"""The trader without its hands: what it carries from bar to bar, and the one compiled function that thinks.

No clock, no files, no broker. A simulation and a live loop differ only in where the bar comes from and where the orders go.
"""

from typing import NamedTuple, Self

from domain.compiled import money
from domain.market import Market
from domain.panel import FloatArray
from domain.params import Params
from pipelines.execution import decisions, fills, risk


class Trader(NamedTuple):
    """The rules that a trader goes by, what it remembers, and its latest answer."""

    settings: decisions.Settings
    limits: risk.Limits
    book: fills.Book
    memory: decisions.State
    gate: risk.State
    targets: decisions.Targets
    verdicts: risk.Verdicts

    @classmethod
    def opened(cls, market: Market, params: Params, symbols: int, capital: float) -> Self:
        """Return a trader with nothing but cash."""
        return cls(
            settings=decisions.settings(market, params),
            limits=risk.limits(market, params),
            book=fills.Book.opened(symbols, capital),
            memory=decisions.State.blank(symbols),
            gate=risk.State.blank(symbols),
            targets=decisions.Targets.blank(symbols),
            verdicts=risk.Verdicts.blank(symbols),
        )


@money
def think(trader: Trader, forecast: FloatArray, close: FloatArray, volume: FloatArray, scale: FloatArray, equity: float) -> None:
    """Decide and judge one bar at its close: the orders for the next open are then in `trader.verdicts`.

    The book must hold the bar's fills and be marked to its closes; `equity` is what it is worth.
    """
    held = trader.book.quantity
    decisions.step(trader.settings, forecast, close, volume, scale, held, equity, trader.memory, trader.targets)
    wanted, aim = trader.targets.quantity, trader.targets.aim
    risk.step(trader.limits, wanted, aim, close, volume, trader.book, equity, trader.gate, trader.verdicts)
