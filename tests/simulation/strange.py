"""Strange: what moves at the broker by no order, and whether the account follows only that."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal

from pipelines.execution.core.desk import CORRECTION, SECOND
from pipelines.journal import Record
from tests.simulation.broker import Broker

ZERO = Decimal(0)
#: Who corrects a holding knows it from readings that are this old at most.
LATELY_NS = 70 * SECOND


@dataclass
class Strange:
    """Shares that were moved by hand, and trades that were taken back."""

    broker: Broker
    moved: tuple[str, Decimal] | None = None
    """What somebody did to a position, to be undone some time."""
    sizes: dict[str, Decimal] = field(default_factory=dict)
    """What no order explains, by symbol, until the account has followed."""
    at_ns: int = 0
    """When something of the kind happened last."""
    known_ns: int = 0
    """When the process first read of it, as long as it stands; 0 while it does not."""
    told: set[str] = field(default_factory=set)
    """The symbols of which the newest reading told something of the kind."""
    followed: list[tuple[str, Decimal, Decimal]] = field(default_factory=list)
    """Symbols whose holding was corrected, by how much, and by how much it had to be."""

    @property
    def stands(self) -> bool:
        """Whether the broker holds what nothing explains."""
        return any(self.sizes.values())

    def move(self, symbol: str, size: Decimal, now_ns: int) -> None:
        """Move shares by hand."""
        self.moved = symbol, size
        self._change(symbol, size, now_ns)

    def move_back(self, now_ns: int) -> None:
        """Undo what was moved by hand."""
        if self.moved is not None:
            symbol, size = self.moved
            self._change(symbol, -size, now_ns)
            self.moved, self.known_ns = None, 0

    def bust(self, number: int, now_ns: int) -> None:
        """Take a trade of the ledger back: shares and money move, and neither order nor execution tells of it."""
        done = self.broker.ledger[number]
        self.broker.cash += done.quantity * done.price
        self._change(done.symbol, -done.quantity, now_ns)

    def follow(self, records: Iterable[Record], now_ns: int) -> None:
        """Note what the account holds as the broker does by a person's word: that is explained from now on."""
        for told in (each.payload for each in records if each.kind == "charge" and each.payload["kind"] == CORRECTION):
            symbol, size, self.known_ns = told["symbol"], Decimal(told["quantity"]), 0
            if now_ns - self.at_ns > LATELY_NS:
                self.followed.append((symbol, size, self.sizes.get(symbol, ZERO)))
            self.sizes[symbol] = self.sizes.get(symbol, ZERO) - size
            if self.moved is not None and self.moved[0] == symbol:
                self.moved = None

    def _change(self, symbol: str, size: Decimal, now_ns: int) -> None:
        self.broker.move(symbol, size, now_ns)
        self.sizes[symbol], self.at_ns = self.sizes.get(symbol, ZERO) + size, now_ns
