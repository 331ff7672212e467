"""Position and account: how a fill becomes cash, quantity and realised profit."""

from dataclasses import dataclass, field, replace

from domain.compiled import money
from domain.order import Fill


@money
def book(quantity: float, average_price: float, fill_quantity: float, price: float) -> tuple[float, float, float]:
    """Return (quantity, average price, realised profit) after a signed fill; average cost, fees not included.

    Adding to a position averages its price; reducing realises against it; crossing zero opens the rest at `price`.
    """
    after = quantity + fill_quantity
    if quantity == 0.0 or (quantity > 0.0) == (fill_quantity > 0.0):
        return after, (average_price * quantity + price * fill_quantity) / after, 0.0
    if (after > 0.0) == (quantity > 0.0) and after != 0.0:
        return after, average_price, -fill_quantity * (price - average_price)
    realised = quantity * (price - average_price)
    return after, (price if after != 0.0 else 0.0), realised


@dataclass(frozen=True)
class Position:
    """A signed holding at average cost."""

    quantity: float = 0.0
    average_price: float = 0.0


@dataclass
class Account:
    """Cash, positions and what they earned. `apply` is the only way in."""

    cash: float
    positions: dict[str, Position] = field(default_factory=dict)
    realised: float = 0.0
    fees: float = 0.0

    def apply(self, fill: Fill) -> None:
        """Book one fill."""
        held = self.positions.get(fill.symbol, Position())
        quantity, average, realised = book(held.quantity, held.average_price, fill.quantity, fill.price)
        self.cash = self.cash - fill.quantity * fill.price - fill.fee
        self.realised += realised
        self.fees += fill.fee
        self.positions[fill.symbol] = replace(held, quantity=quantity, average_price=average)

    def charge(self, amount: float) -> None:
        """Take what holding costs, such as borrow, from cash."""
        self.cash -= amount

    def equity(self, marks: dict[str, float]) -> float:
        """Return cash plus every position at its mark; raise KeyError if a held symbol has none."""
        held = ((symbol, p) for symbol, p in sorted(self.positions.items()) if p.quantity != 0.0)
        return self.cash + sum(p.quantity * marks[symbol] for symbol, p in held)
