"""Clean bars to plant defects into: seeded random walks on real calendars, with nothing wrong."""

from datetime import date
from pathlib import Path

import numpy as np
import polars as pl

from domain import bar, session
from domain import params as parameters
from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market

LIMITS = parameters.load(Path(__file__).parents[3] / "params.yaml").quality


def market(calendar: str = "XNYS", timeframe: str = "1d") -> Market:
    """Return a market of that calendar and bar length."""
    asset = {"24/7": AssetClass.CRYPTO, "24/5": AssetClass.FX}.get(calendar, AssetClass.EQUITY)
    cost = Cost(fee_bps=1, spread_bps=1, slippage_bps=1, impact=0, borrow_bps_year=0)
    return Market("tested", asset, calendar, timeframe, "files", 5, cost, Instrument(lot=1, shortable=True))


def bars(where: Market, first: date, last: date, symbols: int = 2, seed: int = 1, sigma: float = 0.01) -> pl.DataFrame:
    """Return every regular bar of the calendar for that many symbols: lognormal volume, log moves of deviation sigma."""
    days = session.sessions(where.calendar, first, last)
    opened = session.grid(where, days["opened_at"][0], days["closed_at"][-1])
    opened = opened[opened < session.moment(days["closed_at"][-1])]
    random = np.random.default_rng(seed)
    return pl.concat([_symbol(where, f"S{number}", opened, random, sigma) for number in range(symbols)])


def _symbol(where: Market, name: str, opened: session.TimeArray, random: np.random.Generator, sigma: float) -> pl.DataFrame:
    count = len(opened)
    close = 50 * np.exp(np.cumsum(random.normal(0, sigma, count)))
    before = np.concatenate([[50.0], close[:-1]])
    reach = np.abs(random.normal(0, sigma / 2, (2, count)))
    frame = pl.DataFrame(
        {
            "opened_at": opened,
            "event_at": session.closes(where, opened),
            "open": before,
            "high": np.maximum(before, close) * np.exp(reach[0]),
            "low": np.minimum(before, close) * np.exp(-reach[1]),
            "close": close,
            "volume": np.exp(random.normal(10, 0.4, count)),
        }
    )
    frame = frame.with_columns(pl.col("opened_at", "event_at").dt.cast_time_unit("us").dt.replace_time_zone("UTC"))
    constant = {"market": where.name, "symbol": name, "timeframe": where.timeframe, "flags": 0}
    return bar.conform(frame.with_columns(known_at="event_at", **{column: pl.lit(value) for column, value in constant.items()}))


def change(frame: pl.DataFrame, row: int, **values: float | None) -> pl.DataFrame:
    """Return the frame with other values in one row."""
    here = pl.int_range(pl.len()) == row
    return frame.with_columns(pl.when(here).then(pl.lit(value)).otherwise(name).alias(name) for name, value in values.items())
