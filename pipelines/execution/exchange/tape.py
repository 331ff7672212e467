"""Tape: a market's recorded bars as what the exchange lives through, moment by moment, as they were printed.

The first and the last bar of each session are marked, and what was paid out and split before a bar stands beside it.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import NamedTuple

import numpy as np

from domain import factors, session
from domain.factors import Actions, Factors
from domain.market import Market
from domain.panel import FloatArray, Panel, TimeArray
from domain.params import Params
from pipelines.execution import fills, serving
from pipelines.execution.matching.account import Asset
from pipelines.execution.matching.prices import Bar

#: Digits after the point of a payout and of a split's ratio, which are found from factors.
DIGITS = 6


class Overnight(NamedTuple):
    """What is done to a symbol before its next bar: first it pays out, then it is split."""

    symbol: str
    per_share: Decimal
    ratio: Decimal


class Row(NamedTuple):
    """What happens until one moment."""

    bars: list[Bar]
    before: list[Overnight]

    @property
    def closes(self) -> datetime:
        """When its bars close."""
        return self.bars[0].event_at


def moment(at: np.datetime64) -> datetime:
    """Return a panel's time as an aware datetime."""
    return datetime.fromisoformat(str(at.astype("datetime64[us]"))).replace(tzinfo=UTC)


def assets(panel: Panel, market: Market, params: Params) -> dict[str, Asset]:
    """Return what is traded: the panel's symbols, by the market's rules and costs."""
    venue, shortable = fills.venue(market, params), market.instrument.shortable
    return {symbol: Asset(symbol, market.asset_class, venue, shortable) for symbol in panel.symbols}


def rows(panel: Panel, market: Market, since: int) -> Iterator[Row]:
    """Yield each row with a bar from row `since` on, with the volatility that was known before it."""
    scale, raw = serving.scale(panel), factors.printed(panel)
    opens, closes = _edges(panel, market)
    laid = Factors.blank(len(panel.symbols)).after(panel.rows(0, since))
    last = _newest(raw.close[:since])
    for t in range(since, panel.bars):
        times = moment(panel.opened_at[t]), moment(panel.event_at[t])
        first, ends = panel.opened_at[t] in opens, panel.event_at[t] in closes
        known = np.nan_to_num(scale[t - 1]) if t else np.zeros(len(panel.symbols))
        bars = [
            Bar(
                symbol, *times, float(raw.open[t, s]), float(raw.high[t, s]), float(raw.low[t, s]), float(raw.close[t, s]),
                float(raw.volume[t, s]), float(known[s]), first, ends,
            )
            for s, symbol in enumerate(panel.symbols) if panel.close[t, s] > 0
        ]  # fmt: skip
        if bars:
            row = panel.rows(t, t + 1)
            yield Row(bars, _overnight(panel.symbols, laid.between(row), last))
            laid, last = laid.after(row), np.where(raw.close[t] > 0, raw.close[t], last)


def _overnight(symbols: tuple[str, ...], actions: Actions | None, last: FloatArray) -> list[Overnight]:
    """Return what lies between two bars of each symbol, whose last printed close came before it."""
    if actions is None:
        return []
    paid = last * (1.0 - actions.split / actions.growth)
    done = np.flatnonzero((actions.growth != 1.0) | (actions.split != 1.0)).tolist()
    return [Overnight(symbols[s], _exact(np.nan_to_num(paid[s])), _exact(actions.split[s])) for s in done]


def _exact(number: float) -> Decimal:
    return round(Decimal(float(number)), DIGITS)


def _newest(close: FloatArray) -> FloatArray:
    """Return the last close of each symbol, NaN where there is none."""
    found = np.full(close.shape[1], np.nan)
    for row in close:
        found = np.where(row > 0, row, found)
    return found


def _edges(panel: Panel, market: Market) -> tuple[set[np.datetime64], set[np.datetime64]]:
    """Return when sessions open and when they close, over the days of a panel."""
    days = [moment(panel.event_at[t]).date() for t in (0, -1)]
    table = session.sessions(market.calendar, days[0] - timedelta(days=1), days[1] + timedelta(days=1))
    opens, closes = (_times(session.naive(table[name])) for name in ("opened_at", "closed_at"))
    return opens, closes


def _times(values: TimeArray) -> set[np.datetime64]:
    return set(values.astype("datetime64[us]"))
