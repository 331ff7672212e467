"""Plan: what must be written first, and what may be sent once it is."""

from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from domain.order import Order
from pipelines.execution.core.events import Moment
from pipelines.journal import Record


@dataclass(frozen=True, slots=True)
class Submit:
    """Send an order, once: whatever is not understood of the answer is UNKNOWN and never sent again."""

    order: Order
    quantity: Decimal
    """Signed, in whole lots: what goes over the wire."""


@dataclass(frozen=True)
class Cancel:
    """Ask for a cancel; only a report that follows proves it."""

    client_order_id: str
    broker_id: str


@dataclass(frozen=True)
class Find:
    """Ask whether the broker knows an order."""

    client_order_id: str
    asked_ns: int
    """Monotonic; comes back with the answer, so that an old answer is not taken for a new one."""


@dataclass(frozen=True)
class Sync:
    """Read open orders, these orders, executions since a cursor, positions and cash."""

    since: str
    client_order_ids: tuple[str, ...]
    asked_ns: int
    """As in `Find`."""


Request = Submit | Cancel | Find | Sync


@dataclass
class Plan:
    """What one event leads to: records for one durable transaction, together with the state, and then the requests."""

    at: Moment
    records: list[Record] = field(default_factory=list)
    requests: list[Request] = field(default_factory=list)

    @property
    def submits(self) -> bool:
        """Whether an order is to be sent."""
        return any(isinstance(request, Submit) for request in self.requests)

    def write(self, kind: str, actor: str, payload: dict[str, Any]) -> None:
        """Add a record of this moment."""
        self.records.append(Record(self.at.ns, self.at.monotonic_ns, kind, actor, payload))

    def alert(self, reason: str) -> None:
        """Add what a person should hear of."""
        self.write("alert", "core", {"reason": reason})
