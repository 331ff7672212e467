"""Broker: what every broker must answer, in the words of the house."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from domain.account import Position
from domain.order import Fill, Order


@dataclass(frozen=True)
class Charge:
    """Money taken for holding, such as borrow on shorts; negative when it was paid to us."""

    amount: float
    event_at: datetime


@dataclass(frozen=True)
class Activity:
    """One change of the account, in the broker's own order."""

    sequence: int
    """Counts up; what was seen once is never asked for again."""
    event: Fill | Charge


class Broker(Protocol):
    """Holds an account and executes orders. Each of these may be repeated after a crash without harm."""

    def submit(self, orders: Sequence[Order]) -> None:
        """Send orders; one whose client order id is known already is not sent again. Raises OrderRefused."""
        ...

    def known(self, client_order_ids: Sequence[str]) -> frozenset[str]:
        """Return those of the ids that the broker has ever accepted."""
        ...

    def activities(self, since: int) -> list[Activity]:
        """Return what happened after sequence `since`, oldest first; 0 is before everything."""
        ...

    def positions(self) -> dict[str, Position]:
        """Return what is held now, flat symbols left out."""
        ...

    def cash(self) -> float:
        """Return the account's cash."""
        ...
