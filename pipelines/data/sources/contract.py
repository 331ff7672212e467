"""What every source must promise: bars always, and what else it has, each kind by a protocol of its own."""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

import polars as pl

from domain.market import Market


class Source(Protocol):
    """A place that bars can be asked of."""

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return BAR_SCHEMA rows of `market`, opened from `since` to `until`, both included; None means no bound.

        The rows are as published and in the source's own order: nothing repaired, nothing sorted, `flags` zero.
        Every row has `opened_at < event_at <= known_at`. Asking twice gives the same rows while the source stands still.
        An answer is whole or it is an error: NoData, DataError or ResourceError in one sentence.
        """
        ...


@runtime_checkable
class ActionSource(Protocol):
    """A source that knows dividends, splits and spin-offs."""

    def actions(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return rows of the store's table `actions`, `event_at` from `since` to `until`; possibly none. Raises as `bars` does."""
        ...


@runtime_checkable
class NewsSource(Protocol):
    """A source that has headlines."""

    def news(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return rows of the store's table `news`, `event_at` from `since` to `until`; possibly none. Raises as `bars` does."""
        ...


@runtime_checkable
class TickSource(Protocol):
    """A source that has single trades and quotes."""

    def trades(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return rows of the store's table `trades`, `event_at` from `since` to `until`; possibly none. Raises as `bars` does."""
        ...

    def quotes(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return rows of the store's table `quotes`, `event_at` from `since` to `until`; possibly none. Raises as `bars` does."""
        ...


@runtime_checkable
class ListingSource(Protocol):
    """A source that knows when symbols came and went."""

    def listings(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return rows of the store's table `listings`, `event_at` from `since` to `until`; possibly none. Raises as `bars` does."""
        ...


@runtime_checkable
class RepairSource(Protocol):
    """A source that repairs known defects of its own, and tells what it had before."""

    def repairs(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return rows of the store's table `quarantine`: the bars as they were, each with its reason. Raises as `bars` does."""
        ...


@dataclass(frozen=True)
class Update:
    """One row that a live source sent."""

    table: str
    """bars, trades, quotes or news."""
    row: Mapping[str, Any]
    """The table's columns by name; `known_at` is when it was received."""


@runtime_checkable
class LiveSource(Protocol):
    """A source that goes on telling."""

    def updates(self, market: Market) -> AsyncIterator[Update]:
        """Yield what arrives, in the order of arrival, until the caller closes the iterator.

        A connection that is lost or goes silent is opened anew; what was missed meanwhile is for `bars` to bring. Raises
        ConfigurationError for refused credentials and ResourceError when it cannot be opened again.
        """
        ...
