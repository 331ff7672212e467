"""Reconciling: where the broker's account and ours differ, leaving out what may still be on its way."""

from dataclasses import dataclass
from decimal import Decimal

from pipelines.execution.core.desk import Desk
from pipelines.execution.core.events import Synced
from pipelines.execution.core.working import ZERO

CASH = "cash"
#: Money is compared to the cent: brokers round what they charge.
CENT = Decimal("0.005")


@dataclass(frozen=True)
class Doubt:
    """A difference, and since when it stands."""

    ours: Decimal
    theirs: Decimal
    since_ns: int

    def same(self, ours: Decimal, theirs: Decimal) -> bool:
        """Return whether this is the very same difference."""
        return (self.ours, self.theirs) == (ours, theirs)


def differences(desk: Desk, said: Synced) -> dict[str, tuple[Decimal, Decimal]]:
    """Return (ours, theirs) of each symbol, and of cash, that differs; symbols with an open order are left out, and then cash."""
    busy = desk.busy()
    pairs = {name: (desk.holdings.get(name, ZERO), said.positions.get(name, ZERO)) for name in (*desk.holdings, *said.positions)}
    found = {name: pair for name, pair in sorted(pairs.items()) if name not in busy and pair[0] != pair[1]}
    if not busy and abs(desk.cash - said.cash) > CENT:
        found[CASH] = desk.cash, said.cash
    return found
