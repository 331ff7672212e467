"""What every source of bars must promise."""

from datetime import datetime
from typing import Protocol

import polars as pl

from domain.market import Market


class Source(Protocol):
    """A place that bars can be asked of."""

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return BAR_SCHEMA rows of `market`, opened from `since` to `until`, both included; None means no bound.

        The rows are as published and in the source's own order: nothing repaired, nothing sorted, `flags` zero.
        Every row has `opened_at < event_at <= known_at`. Asking twice gives the same rows while the source stands still.
        Raises NoData or DataError in one sentence.
        """
        ...
