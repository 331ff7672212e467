"""Holdings: cash and positions at average cost, exact, and what they can pay for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from pipelines.execution.matching.amounts import plus, times
from pipelines.execution.matching.tickets import ZERO, Execution


@dataclass(frozen=True)
class Holding:
    """A position."""

    quantity: Decimal = ZERO
    """Signed."""
    average: Decimal = ZERO
    """Average entry price, fees not included."""


@dataclass
class Holdings:
    """What the account owns and owes. Its methods are the only ways in."""

    cash: Decimal
    positions: dict[str, Holding] = field(default_factory=dict)

    def of(self, symbol: str) -> Holding:
        """Return a position, flat if there is none."""
        return self.positions.get(symbol, Holding())

    def apply(self, done: Execution) -> None:
        """Book one execution; its fee is paid by an activity of its own."""
        held, change = self.of(done.symbol), done.signed
        after = plus(held.quantity, change)
        if held.quantity == 0 or (held.quantity > 0) == (change > 0):
            average = (held.average * held.quantity + done.price * change) / after
        else:
            average = held.average if (after > 0) == (held.quantity > 0) else done.price
        self.cash = plus(self.cash, times(-change, done.price))
        self._keep(done.symbol, after, average)

    def pay(self, amount: Decimal) -> None:
        """Take in money, or give it when it is negative."""
        self.cash = plus(self.cash, amount)

    def split(self, symbol: str, ratio: Decimal) -> Decimal:
        """Make `ratio` shares of each; return what the holding changed by."""
        held = self.of(symbol)
        after = times(held.quantity, ratio)
        self._keep(symbol, after, held.average / ratio)
        return plus(after, -held.quantity)

    def take(self, symbol: str, quantity: Decimal) -> None:
        """Take some of a position at no price."""
        held = self.of(symbol)
        self._keep(symbol, plus(held.quantity, -quantity), held.average)

    def drop(self, symbol: str) -> None:
        """Let go of a position that is no more."""
        self.positions.pop(symbol, None)

    def rename(self, before: str, after: str) -> None:
        """Carry a position over to a new symbol."""
        if before in self.positions:
            self.positions[after] = self.positions.pop(before)

    def value(self, marks: Mapping[str, Decimal]) -> tuple[Decimal, Decimal]:
        """Return (long, short) market value, the second negative; a position without a mark counts at its average."""
        sizes = [held.quantity * marks.get(symbol, held.average) for symbol, held in self.positions.items()]
        return sum((size for size in sizes if size > 0), ZERO), sum((size for size in sizes if size < 0), ZERO)

    def _keep(self, symbol: str, quantity: Decimal, average: Decimal) -> None:
        if quantity == 0:
            self.positions.pop(symbol, None)
        else:
            self.positions[symbol] = Holding(quantity, average)
