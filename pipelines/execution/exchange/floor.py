"""The floor: one exchange, who listens to it, and what it remembers in the order in which it happened."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.execution.exchange import wire
from pipelines.execution.exchange.wire import Json
from pipelines.execution.matching.exchange import Asset, Exchange, Terms
from pipelines.execution.matching.ledger import Ledger, Recorded
from pipelines.execution.matching.tickets import Activity, Update

Listener = Callable[[Json], None]


@dataclass
class Floor:
    """An exchange with an audience. Everything here runs in one task."""

    exchange: Exchange
    listeners: list[Listener] = field(default_factory=list)
    activities: list[Json] = field(default_factory=list)
    """Executions and everything else that moved money, oldest first."""

    @classmethod
    def opened(cls, assets: dict[str, Asset], terms: Terms, now: datetime, ledger: Ledger | None = None) -> "Floor":
        """Return a floor with an account that holds nothing but cash, or with the one that a ledger tells of."""
        exchange = Exchange(assets.values(), terms, now) if ledger is None else Recorded(assets.values(), terms, now, ledger)
        floor = cls(exchange)
        exchange.listen(floor._told, floor._paid)
        if isinstance(exchange, Recorded):
            exchange.recover()
        return floor

    def _told(self, told: Update) -> None:
        if told.execution is not None:
            self.activities.append(wire.fill(told.execution, told.ticket))
        message = wire.update(told, self.exchange)
        for listener in list(self.listeners):
            listener(message)

    def _paid(self, paid: Activity) -> None:
        self.activities.append(wire.activity(paid))
