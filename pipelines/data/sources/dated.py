"""Dated: when the bars of days open that a vendor stamps with a date alone."""

import numpy as np
import polars as pl

from domain import session
from domain.market import Market
from domain.panel import TimeArray


def opens(market: Market, days: TimeArray) -> TimeArray:
    """Return the open of each day's session, `datetime64[us]` in UTC; `days` are `datetime64[D]`.

    A day without a session keeps its own date, for quality to refuse.
    """
    if len(days) == 0:
        return days.astype("datetime64[us]")
    table = session.sessions(market.calendar, days.min().item(), days.max().item())
    dated = pl.DataFrame({"session": pl.Series(days.astype("datetime64[us]")).cast(pl.Date)})
    opened = dated.join(table, on="session", how="left", maintain_order="left")["opened_at"]
    return np.where(opened.is_null().to_numpy(), days.astype("datetime64[us]"), session.naive(opened))
