"""Defects planted into clean real bars, and which rows they became; sizes are measured independently of the detectors."""

from collections.abc import Callable

import numpy as np
import polars as pl

from domain.bar import Defect

PRICES = ("open", "high", "low", "close")
Planted = tuple[pl.DataFrame, list[int]]
Planter = Callable[[pl.DataFrame, np.random.Generator, int], Planted]

#: A planted row keeps this distance to the ends of its symbol and to other planted rows.
APART = 60


def places(frame: pl.DataFrame, random: np.random.Generator, count: int) -> list[int]:
    """Return row numbers, at most `count`, far from each other and from the ends of their symbols."""
    numbered = (
        frame.select("symbol")
        .with_row_index("row")
        .with_columns(place=pl.int_range(pl.len()).over("symbol"), size=pl.len().over("symbol"))
    )
    inner = numbered.filter((pl.col("place") % APART == APART // 2) & (pl.col("size") - pl.col("place") > APART))["row"].to_numpy()
    return sorted(random.choice(inner, min(count, len(inner)), replace=False).tolist())


def _set(frame: pl.DataFrame, rows: list[int], factors: np.ndarray, columns: tuple[str, ...]) -> pl.DataFrame:
    """Multiply columns of some rows; `factors` is [rows, columns]."""
    for number, column in enumerate(columns):
        values = frame[column].to_numpy().copy()
        values[rows] *= factors[:, number]
        frame = frame.with_columns(pl.Series(column, values))
    return frame


def shift_bar(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Multiply whole bars by 0.01, 0.1, 10 or 100."""
    rows = places(frame, random, count)
    factors = 10.0 ** random.choice([-2, -1, 1, 2], len(rows))
    return _set(frame, rows, np.repeat(factors[:, None], 4, axis=1), PRICES), rows


def shift_fields(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Multiply one to three prices of a bar by 0.1 or 10."""
    rows = places(frame, random, count)
    chosen = random.random((len(rows), 4)) < 0.4
    chosen[np.arange(len(rows)), random.integers(0, 4, len(rows))] = True
    chosen[chosen.all(axis=1), 0] = False
    factors = np.where(chosen, 10.0 ** random.choice([-1, 1], len(rows))[:, None], 1.0)
    return _set(frame, rows, factors, PRICES), rows


def spike_bar(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Move whole bars by 15 to 40 standard deviations (of the log moves in the surrounding hundred bars), at least 2%."""
    rows = places(frame, random, count)
    sizes = np.maximum(_deviation(frame)[rows] * random.uniform(15, 40, len(rows)), 0.02)
    factors = np.exp(random.choice([-1, 1], len(rows)) * np.minimum(sizes, 0.8))
    return _set(frame, rows, np.repeat(factors[:, None], 4, axis=1), PRICES), rows


def spike_wick(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Stretch one high or low by 20 to 40 such deviations, at least 2%."""
    rows = places(frame, random, count)
    sizes = np.maximum(_deviation(frame)[rows] * random.uniform(20, 40, len(rows)), 0.02)
    up = random.random(len(rows)) < 0.5
    factors = np.ones((len(rows), 4))
    factors[up, 1] = np.exp(np.minimum(sizes[up], 0.8))
    factors[~up, 2] = np.exp(-np.minimum(sizes[~up], 0.8))
    return _set(frame, rows, factors, PRICES), rows


def _deviation(frame: pl.DataFrame) -> np.ndarray:
    move = pl.col("close").log().diff().rolling_std(101, center=True, min_samples=20).over("symbol")
    return frame.select(move.fill_null(0.02)).to_series().to_numpy()


def swap_range(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Exchange high and low of bars that have a range."""
    rows = [row for row in places(frame, random, count) if frame["high"][row] > frame["low"][row] * 1.00001]
    high, low = frame["high"].to_numpy().copy(), frame["low"].to_numpy().copy()
    high[rows], low[rows] = low[rows], high[rows]
    return frame.with_columns(high=pl.Series(high), low=pl.Series(low)), rows


def lose_price(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Set one price of a bar to NaN."""
    rows = places(frame, random, count)
    factors = np.ones((len(rows), 4))
    factors[np.arange(len(rows)), random.integers(0, 4, len(rows))] = np.nan
    return _set(frame, rows, factors, PRICES), rows


def negate_volume(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Turn the sign of volumes that are not zero."""
    rows = [row for row in places(frame, random, count) if frame["volume"][row] > 0]
    return _set(frame, rows, np.full((len(rows), 1), -1.0), ("volume",)), rows


def repeat(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Deliver bars a second time, directly after the first."""
    rows = places(frame, random, count)
    order = np.sort(np.concatenate([np.arange(len(frame)), rows]))
    again = np.flatnonzero(np.diff(order) == 0) + 1
    return frame[order], again.tolist()


def displace(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Deliver bars two to twenty rows late."""
    rows = places(frame, random, count)
    late = dict(zip(rows, random.integers(2, 21, len(rows)).tolist(), strict=True))
    key = np.arange(len(frame), dtype=float)
    for row, distance in late.items():
        key[row] = row + distance + 0.5
    order = np.argsort(key, kind="stable")
    return frame[order], np.flatnonzero(np.isin(order, rows)).tolist()


def close_market(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Move bars to the Saturday after them, between 06:00 and 18:00 UTC."""
    rows = places(frame, random, count)
    here = pl.int_range(pl.len()).is_in(rows)
    saturday = pl.col("opened_at").dt.truncate("1w") + pl.duration(days=5, hours=6, minutes=pl.int_range(pl.len()) % 720)
    moved = pl.when(here).then(saturday).otherwise("opened_at")
    frame = frame.with_columns(moved.alias("opened_at")).with_columns(known_at=pl.max_horizontal("known_at", "opened_at"))
    return frame, rows


PLANTERS: dict[str, tuple[Planter, Defect]] = {
    "whole bar x 10^k": (shift_bar, Defect.DECIMAL_SHIFT),
    "some prices x 10^k": (shift_fields, Defect.DECIMAL_SHIFT | Defect.RANGE_BROKEN),
    "bar 15-40 sigma away": (spike_bar, Defect.PRICE_SPIKE),
    "high or low 20-40 sigma away": (spike_wick, Defect.PRICE_SPIKE),
    "high and low exchanged": (swap_range, Defect.RANGE_BROKEN),
    "price lost": (lose_price, Defect.MISSING_PRICE),
    "volume negative": (negate_volume, Defect.NEGATIVE_VOLUME),
    "bar repeated": (repeat, Defect.DUPLICATE_KEY),
    "bar delivered late": (displace, Defect.TIME_BACKWARDS),
    "bar on a Saturday": (close_market, Defect.MARKET_CLOSED),
}
