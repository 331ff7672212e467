"""The floor: one exchange, who listens to it, and what it remembers in the order in which it happened."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime

from pipelines.execution.exchange import wire
from pipelines.execution.exchange.wire import Json
from pipelines.execution.matching.account import Asset, Terms
from pipelines.execution.matching.exchange import Exchange
from pipelines.execution.matching.ledger import Ledger, Recorded
from pipelines.execution.matching.prices import Bar
from pipelines.execution.matching.tickets import Activity, Update

Listener = Callable[[Json], None]
Watcher = Callable[[Bar], None]
#: Bars of a symbol that clients may still ask for.
BARS_KEPT = 10_000


@dataclass
class Floor:
    """An exchange with an audience. Everything here runs in one task."""

    exchange: Exchange
    listeners: list[Listener] = field(default_factory=list)
    activities: list[Json] = field(default_factory=list)
    """Executions and everything else that moved money, oldest first."""
    bars: dict[str, deque[Bar]] = field(default_factory=dict)
    """The newest bars by symbol, oldest first."""
    watchers: list[Watcher] = field(default_factory=list)

    @classmethod
    def opened(cls, assets: dict[str, Asset], terms: Terms, now: datetime, ledger: Ledger | None = None) -> "Floor":
        """Return a floor with an account that holds nothing but cash, or with the one that a ledger tells of."""
        exchange = Exchange(assets.values(), terms, now) if ledger is None else Recorded(assets.values(), terms, now, ledger)
        floor = cls(exchange)
        exchange.listen(floor._told, floor._paid)
        if isinstance(exchange, Recorded):
            exchange.recover()
        return floor

    def keep(self, bar: Bar) -> None:
        """Know a bar from before: it trades nothing."""
        self.bars.setdefault(bar.symbol, deque(maxlen=BARS_KEPT)).append(bar)

    def live(self, bar: Bar) -> None:
        """Live through a bar, and tell who watches the market."""
        self.exchange.on_bar(bar)
        self.keep(bar)
        for watcher in list(self.watchers):
            watcher(bar)

    def _told(self, told: Update) -> None:
        if told.execution is not None:
            self.activities.append(wire.fill(told.execution, told.ticket))
        message = wire.update(told, self.exchange)
        for listener in list(self.listeners):
            listener(message)

    def _paid(self, paid: Activity) -> None:
        self.activities.append(wire.activity(paid))
