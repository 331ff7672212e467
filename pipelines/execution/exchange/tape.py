"""Tape: a market's recorded bars as what the exchange lives through, symbol by symbol, with the session's first and last marked."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import numpy as np

from domain import session
from domain.market import Market
from domain.panel import Panel, TimeArray
from domain.params import Params
from pipelines.execution import fills, serving
from pipelines.execution.matching.account import Asset
from pipelines.execution.matching.prices import Bar


def moment(at: np.datetime64) -> datetime:
    """Return a panel's time as an aware datetime."""
    return datetime.fromisoformat(str(at.astype("datetime64[us]"))).replace(tzinfo=UTC)


def assets(panel: Panel, market: Market, params: Params) -> dict[str, Asset]:
    """Return what is traded: the panel's symbols, by the market's rules and costs."""
    venue, shortable = fills.venue(market, params), market.instrument.shortable
    return {symbol: Asset(symbol, market.asset_class, venue, shortable) for symbol in panel.symbols}


def rows(panel: Panel, market: Market, since: int) -> Iterator[list[Bar]]:
    """Yield the bars of each row from row `since` on, with the volatility that was known before it."""
    scale = serving.scale(panel)
    opens, closes = _edges(panel, market)
    for t in range(since, panel.bars):
        times = moment(panel.opened_at[t]), moment(panel.event_at[t])
        first, last = panel.opened_at[t] in opens, panel.event_at[t] in closes
        known = np.nan_to_num(scale[t - 1]) if t else np.zeros(len(panel.symbols))
        yield [
            Bar(
                symbol, *times, float(panel.open[t, s]), float(panel.high[t, s]), float(panel.low[t, s]), float(panel.close[t, s]),
                float(panel.volume[t, s]), float(known[s]), first, last,
            )
            for s, symbol in enumerate(panel.symbols) if panel.close[t, s] > 0
        ]  # fmt: skip


def _edges(panel: Panel, market: Market) -> tuple[set[np.datetime64], set[np.datetime64]]:
    """Return when sessions open and when they close, over the days of a panel."""
    days = [moment(panel.event_at[t]).date() for t in (0, -1)]
    table = session.sessions(market.calendar, days[0] - timedelta(days=1), days[1] + timedelta(days=1))
    opens, closes = (_times(session.naive(table[name])) for name in ("opened_at", "closed_at"))
    return opens, closes


def _times(values: TimeArray) -> set[np.datetime64]:
    return set(values.astype("datetime64[us]"))
