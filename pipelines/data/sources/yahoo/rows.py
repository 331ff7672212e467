"""Rows: what Yahoo told of one symbol as a table in our columns and at our times."""

from datetime import UTC
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from domain import session
from domain.bar import UTC_MICROSECONDS
from domain.market import Market
from domain.panel import FloatArray, TimeArray
from pipelines.data.sources import dated
from pipelines.data.sources.yahoo import repair
from pipelines.data.sources.yahoo.asking import Told

if TYPE_CHECKING:
    import pandas

#: yfinance's columns by our names.
BARS = {"open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume"}
ACTIONS = {"dividend": "Dividends", "capital_gain": "Capital Gains", "split": "Stock Splits"}
#: What a repair replaced, as Yahoo answered it, and why; null in a row that was left alone.
REPAIRS = {f"told_{name}": name for name in BARS}
TIMES = ("opened_at", "event_at")
SCHEMA = pl.Schema(
    {"symbol": pl.String(), **dict.fromkeys(TIMES, UTC_MICROSECONDS)}
    | {name: pl.Float64() for name in [*BARS, *ACTIONS, *REPAIRS]}
    | {"reason": pl.String()}
)
#: Their day is the calendar's, whatever the hours of trading: a currency's runs to midnight, a fund is priced in the evening.
WHOLE_DAY = ("CURRENCY", "MUTUALFUND")


def empty() -> pl.DataFrame:
    """Return a table without rows."""
    return pl.DataFrame(schema=SCHEMA)


def build(told: Told, market: Market, symbol: str) -> pl.DataFrame:
    """Return SCHEMA rows in the order of time, prices and cash still adjusted for splits as Yahoo answered them.

    `event_at` is the close, or the end of Yahoo's own day where that is later.
    """
    if told.rows.empty:
        return empty()
    opened_at = _opened(told.rows, market)
    closed_at = session.closes(market, opened_at)
    times = {"opened_at": opened_at, "event_at": np.maximum(closed_at, _day_ends(told, market, closed_at))}
    numbers, better = _numbers(told.rows), _numbers(told.repaired.reindex(told.rows.index))
    table = pl.DataFrame({"symbol": [symbol] * len(opened_at), **times}).with_columns(
        pl.col(TIMES).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    merged = pl.DataFrame(repair.merge(numbers, better), schema_overrides={"reason": pl.String})
    return table.hstack(merged).select(SCHEMA.names()).cast(SCHEMA)


def _numbers(history: "pandas.DataFrame") -> dict[str, FloatArray]:
    return {ours: history[theirs].to_numpy(dtype=np.float64) for ours, theirs in {**BARS, **ACTIONS}.items()}


def _opened(history: "pandas.DataFrame", market: Market) -> TimeArray:
    """Return when each bar opened: Yahoo stamps a day with its midnight, we with the open of its session."""
    if market.timeframe != "1d":
        stamps: TimeArray = history.index.tz_convert(UTC).tz_localize(None).to_numpy(dtype="datetime64[us]")
        return stamps
    return dated.opens(market, history.index.tz_localize(None).to_numpy(dtype="datetime64[D]"))


def _day_ends(told: Told, market: Market, closed_at: TimeArray) -> TimeArray:
    """Return the next midnight of the exchange for what is priced by the calendar's day, and the close for all else."""
    if market.timeframe != "1d" or told.kind not in WHOLE_DAY:
        return closed_at
    import pandas

    following = told.rows.index.tz_localize(None).normalize() + pandas.Timedelta(days=1)
    aware = following.tz_localize(told.zone, ambiguous=True, nonexistent="shift_forward")
    midnight: TimeArray = aware.tz_convert(UTC).tz_localize(None).to_numpy(dtype="datetime64[us]")
    return midnight
