"""Defects planted into clean real bars, and which rows they became; sizes are measured independently of the detectors."""

from collections.abc import Callable

import numpy as np
import polars as pl

from domain.bar import Defect
from domain.market import Market

PRICES = ("open", "high", "low", "close")
NEW_YORK = "America/New_York"
Planted = tuple[pl.DataFrame, list[int]]
Planter = Callable[[pl.DataFrame, np.random.Generator, int], Planted]

#: A planted row keeps this distance to the ends of its symbol and to other planted rows.
APART = 60
#: Lost bars are rarer: a symbol that loses many is one that trades seldom.
SELDOM = 700
#: Sessions from the first and the last of a symbol in which no scale is changed: a scale needs some to be known.
MARGIN = 25


def places(frame: pl.DataFrame, random: np.random.Generator, count: int, apart: int = APART) -> list[int]:
    """Return row numbers, at most `count`, far from each other and from the ends of their symbols, at moments of their own."""
    numbered = (
        frame.select("symbol")
        .with_row_index("row")
        .with_columns(place=pl.int_range(pl.len()).over("symbol"), size=pl.len().over("symbol"))
    )
    offsets = {symbol: int(random.integers(apart)) for symbol in frame["symbol"].unique().sort()}
    offset = pl.col("symbol").replace_strict(offsets, return_dtype=pl.Int64)
    inside = (pl.col("place") > APART // 2) & (pl.col("size") - pl.col("place") > APART)
    inner = numbered.filter(((pl.col("place") + offset) % apart == 0) & inside)["row"].to_numpy()
    return sorted(random.choice(inner, min(count, len(inner)), replace=False).tolist())


def sessions(frame: pl.DataFrame, random: np.random.Generator, length: int = 1) -> tuple[pl.Series, pl.Series]:
    """Return for each row whether it lies in the `length` sessions drawn for its symbol, and whether in them or later.

    Sessions are told apart by the column `day`. One draw a symbol, MARGIN sessions or more from both ends; symbols with fewer
    have none.
    """
    order = pl.col("day").rank("dense").over("symbol").cast(pl.Int64)
    numbered = frame.select("symbol", session=order).with_columns(last=pl.col("session").max().over("symbol"))
    lasts = numbered.group_by("symbol").agg(pl.col("last").first()).sort("symbol")
    drawn = {s: int(random.integers(MARGIN, n - MARGIN)) if n > 2 * MARGIN + length else n + 1 for s, n in lasts.iter_rows()}
    first = pl.col("symbol").replace_strict(drawn, return_dtype=pl.Int64)
    table = numbered.select(inside=pl.col("session").is_between(first, first + length - 1), later=pl.col("session") >= first)
    return table["inside"], table["later"]


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
    saturday = pl.col("opened_at").dt.truncate("1w") + pl.duration(days=5, hours=6, minutes=pl.int_range(pl.len()) % 720)
    return _move(frame, rows, saturday), rows


def work_at_night(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Move bars of a day to between midnight and 03:59 New York."""
    rows = places(frame, random, count)
    midnight = pl.col("opened_at").dt.convert_time_zone(NEW_YORK).dt.truncate("1d").dt.convert_time_zone("UTC")
    return _move(frame, rows, midnight + pl.duration(minutes=pl.int_range(pl.len()) % 240)), rows


def _move(frame: pl.DataFrame, rows: list[int], opened: pl.Expr) -> pl.DataFrame:
    """Let some bars open at another moment, and close and be known as much later."""
    here = pl.int_range(pl.len()).is_in(rows)
    later = pl.when(here).then(opened - pl.col("opened_at")).otherwise(pl.duration(seconds=0))
    return frame.with_columns(pl.col(name) + later for name in ("opened_at", "event_at", "known_at"))


def spike_run(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Move two or three whole bars in a row by 20 to 40 such deviations, at least 2%, and back."""
    firsts = places(frame, random, count)
    sizes = np.maximum(_deviation(frame)[firsts] * random.uniform(20, 40, len(firsts)), 0.02)
    moved = random.choice([-1, 1], len(firsts)) * np.minimum(sizes, 0.8)
    runs = [(first + step, move) for first, move in zip(firsts, moved, strict=True) for step in range(random.integers(2, 4))]
    rows, factors = [row for row, _ in runs], np.exp([move for _, move in runs])
    return _set(frame, rows, np.repeat(factors[:, None], 4, axis=1), PRICES), rows


def zero_price(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Set the low of bars to zero, as IWV 2008-09-19 had it."""
    rows = places(frame, random, count)
    return _set(frame, rows, np.zeros((len(rows), 1)), ("low",)), rows


def contradict(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Deliver bars a second time with another close inside their range; then both are wrong."""
    frame, again = repeat(frame, random, count)
    middle = (frame["high"] + frame["low"]).to_numpy() / 2
    close = frame["close"].to_numpy().copy()
    close[again] = np.where(np.isclose(middle[again], close[again]), frame["high"].to_numpy()[again], middle[again])
    differ = [row for row in again if close[row] != frame["close"][row]]
    return frame.with_columns(close=pl.Series(close)), sorted([*again, *(row - 1 for row in differ)])


def know_early(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Make bars known a second before they close."""
    rows = places(frame, random, count)
    early = pl.when(pl.int_range(pl.len()).is_in(rows)).then(pl.col("event_at") - pl.duration(seconds=1))
    return frame.with_columns(known_at=early.otherwise("known_at")), rows


def lose_bars(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Lose one to twelve bars in a row of symbols that miss hardly any; the bar after them is the planted row."""
    firsts = places(frame, random, count, SELDOM)
    lost = {first + step for first in firsts for step in range(random.integers(1, 13))}
    kept = [row for row in range(len(frame)) if row not in lost]
    ends = {row for row in range(1, len(frame)) if row not in lost and row - 1 in lost}
    return frame[kept], [place for place, row in enumerate(kept) if row in ends]


def split(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Split shares between two sessions and adjust nothing: 3:2, 2:1, 3:1, 10:1, or 1:10, volume by the same ratio."""
    inside, later = sessions(frame, random)
    ratio = float(random.choice([1.5, 2, 3, 10, 0.1]))
    price = [pl.when(later).then(pl.col(name) / ratio).otherwise(name).alias(name) for name in PRICES]
    frame = frame.with_columns(*price, volume=pl.when(later).then(pl.col("volume") * ratio).otherwise("volume"))
    return frame, (inside & ~inside.shift(1, fill_value=False)).arg_true().to_list()


def rescale_volume(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Multiply the volume of a symbol by 25 from a session on, as when one venue became all; planted are that session's bars."""
    inside, later = sessions(frame, random)
    return frame.with_columns(volume=pl.when(later).then(pl.col("volume") * 25).otherwise("volume")), inside.arg_true().to_list()


def single_venue(frame: pl.DataFrame, random: np.random.Generator, count: int) -> Planted:
    """Leave 3.5% of the volume of two sessions in a row."""
    inside, _ = sessions(frame, random, 2)
    return frame.with_columns(
        volume=pl.when(inside).then(pl.col("volume") * 0.035).otherwise("volume")
    ), inside.arg_true().to_list()


PLANTERS: dict[str, tuple[Planter, Defect]] = {
    "whole bar x 10^k": (shift_bar, Defect.DECIMAL_SHIFT),
    "some prices x 10^k": (shift_fields, Defect.DECIMAL_SHIFT | Defect.RANGE_BROKEN),
    "bar 15-40 sigma away": (spike_bar, Defect.PRICE_SPIKE),
    "2 or 3 bars 20-40 sigma away": (spike_run, Defect.PRICE_SPIKE),
    "high or low 20-40 sigma away": (spike_wick, Defect.PRICE_SPIKE),
    "split not adjusted": (split, Defect.PRICE_JUMP),
    "high and low exchanged": (swap_range, Defect.RANGE_BROKEN),
    "price lost": (lose_price, Defect.MISSING_PRICE),
    "price zero": (zero_price, Defect.NONPOSITIVE_PRICE),
    "volume negative": (negate_volume, Defect.NEGATIVE_VOLUME),
    "volume x 25 from a session on": (rescale_volume, Defect.VOLUME_BREAK),
    "volume x 0.035 for two sessions": (single_venue, Defect.VOLUME_BREAK),
    "bar repeated": (repeat, Defect.DUPLICATE_KEY),
    "bar contradicted": (contradict, Defect.DUPLICATE_KEY),
    "bar delivered late": (displace, Defect.TIME_BACKWARDS),
    "bar known before its close": (know_early, Defect.TIME_BACKWARDS),
    "1 to 12 bars lost": (lose_bars, Defect.AFTER_GAP),
    "bar on a Saturday": (close_market, Defect.MARKET_CLOSED),
    "bar at night": (work_at_night, Defect.MARKET_CLOSED),
}

#: What a market or a bar length cannot have: no exchange sleeps on continuous ones, and nothing is split there.
EXCHANGE_ONLY = {"split not adjusted", "bar at night"}
INTRADAY_ONLY = {"volume x 0.035 for two sessions", "bar at night"}


def applies(text: str, market: Market) -> bool:
    """Return whether a defect can be planted into bars of this market."""
    if market.calendar in {"24/7", "24/5"} and text in EXCHANGE_ONLY:
        return False
    return not (market.calendar == "24/7" and text == "bar on a Saturday") and not (
        market.timeframe == "1d" and text in INTRADAY_ONLY
    )


def flags(text: str, market: Market) -> Defect:
    """Return by which flags a planted defect counts as caught: for crypto a shifted high or low may be genuine, a spike."""
    caught = PLANTERS[text][1]
    return caught | Defect.PRICE_SPIKE if text == "some prices x 10^k" and market.calendar == "24/7" else caught
