"""Reconciling: where the broker's account and ours differ, and how a person lets ours follow.

Open orders explain nothing: what was executed of them is booked with the same reading. What is on its way at that moment makes a
difference that does not stand.
"""

from collections.abc import Collection
from dataclasses import dataclass
from decimal import Decimal

from pipelines.execution.core.desk import Desk
from pipelines.execution.core.events import Corrected, Synced
from pipelines.execution.core.plan import Plan
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
    """Return (ours, theirs) of each symbol, and of cash, that differs."""
    pairs = {name: (desk.holdings.get(name, ZERO), said.positions.get(name, ZERO)) for name in (*desk.holdings, *said.positions)}
    found = {name: pair for name, pair in sorted(pairs.items()) if pair[0] != pair[1]}
    if abs(desk.cash - said.cash) > CENT:
        found[CASH] = desk.cash, said.cash
    return found


def correct(
    desk: Desk, doubts: dict[str, Doubt], read_ns: int, said: Corrected, plan: Plan, split: Collection[str] = ()
) -> dict[str, Doubt]:  # fmt: skip
    """Let the account be what the broker holds, as far as it is known to be otherwise and nothing is on its way; return what was.

    Known is what the newest reading, of `read_ns`, still told as one a while before it had: positions may lag by less than that.
    The journal is added to and never changed: each correction is a charge in the name of whoever wanted it.
    """
    busy, since_ns = desk.busy(), read_ns - desk.patience.quiet_ns
    stands = {name: each for name, each in sorted(doubts.items()) if each.since_ns <= since_ns and each.ours == _held(desk, name)}
    fit = {name: each for name, each in stands.items() if name not in busy and (name != CASH or not busy)}
    for name, each in fit.items():
        if name == CASH:
            desk.correct_cash(each.theirs, said, plan)
        else:
            desk.correct(name, each.theirs, said, plan, at_no_price=name in split)
    return fit


def _held(desk: Desk, name: str) -> Decimal:
    return desk.cash if name == CASH else desk.holdings.get(name, ZERO)
