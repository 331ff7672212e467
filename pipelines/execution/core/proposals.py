"""Proposals: orders that a person is asked about before they are sent. Each ends by an answer, by a newer bar, or by its time."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, NamedTuple

from domain.decision import Mode
from domain.order import Order
from pipelines.execution.core.desk import SECOND
from pipelines.execution.core.plan import Plan


class Proposal(NamedTuple):
    """An order that awaits an answer."""

    order: Order
    quantity: Decimal
    until_ns: int
    """Monotonic time after which an answer comes too late."""


@dataclass
class Proposals:
    """The open ones by client order id. They do not outlive their process: what nobody answered lapses with it."""

    mode: Mode = Mode.AUTONOMOUS
    valid_ns: int = 300 * SECOND
    open: dict[str, Proposal] = field(default_factory=dict)
    _orphans: tuple[str, ...] = ()

    def make(self, order: Order, quantity: Decimal, plan: Plan) -> None:
        """Ask a person about an order; less than a lot is none."""
        if quantity == 0:
            return
        self.open[order.client_order_id] = Proposal(order, quantity, plan.at.monotonic_ns + self.valid_ns)
        self._write(order.client_order_id, "open", plan, **_told(order, quantity), valid_s=self.valid_ns / SECOND)

    def end(self, name: str, state: str, plan: Plan, actor: str = "core") -> None:
        """End a proposal and write down how."""
        del self.open[name]
        self._write(name, state, plan, actor=actor)

    def replace(self, market: str, plan: Plan) -> None:
        """End all of a market: a newer bar of it has been decided upon."""
        for name in [name for name, each in self.open.items() if each.order.market == market]:
            self.end(name, "replaced", plan)

    def lapse(self, plan: Plan) -> None:
        """End those whose time is over, and those of a process before."""
        for name in self._orphans:
            self._write(name, "lapsed", plan)
        self._orphans = ()
        for name in [name for name, each in self.open.items() if plan.at.monotonic_ns >= each.until_ns]:
            self.end(name, "lapsed", plan)

    def packed(self) -> dict[str, Any]:
        """Return what a reader and the next process need to know of them."""
        return {name: _told(each.order, each.quantity) for name, each in self.open.items()}

    def restore(self, kept: dict[str, Any]) -> None:
        """Note which were open when the last process died."""
        self._orphans = tuple(kept)

    def _write(self, name: str, state: str, plan: Plan, *, actor: str = "core", **told: Any) -> None:
        plan.write("proposal", actor, {"proposal": name, "state": state, **told})


def _told(order: Order, quantity: Decimal) -> dict[str, Any]:
    return {"symbol": order.symbol, "quantity": f"{quantity.normalize():f}", "mark": order.reference_price}
