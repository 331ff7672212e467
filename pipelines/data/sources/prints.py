"""Prints: the trades and quotes that a simulated bar is made of.

Every bar has the same number of trades. The first is its open, the last its close, two between them its high and its low, and
their sizes sum to its volume exactly: bars that are sampled from them are the simulated bars. A quote stands before each trade,
which happens at its bid or its ask.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
import polars as pl

from domain.panel import FloatArray

#: What share of a bar's volume each of its trades may have, in 32nds: whole multiples of a power of two sum without rounding.
SHARES = np.array([1, 1, 2, 2, 4, 4, 8, 10]) / 32.0
COUNT = len(SHARES)
SCHEMA = pl.Schema({
    "column": pl.Int64(), "event_at": pl.Datetime("us"), "number": pl.Int64(), "price": pl.Float64(), "size": pl.Float64(),
    "bought": pl.Boolean(), "shown": pl.Float64(),
})  # fmt: skip


def of(seed: int, row: int, opened_at: np.datetime64, event_at: np.datetime64, bars: Mapping[str, FloatArray]) -> pl.DataFrame:
    """Return the trades of a row's bars [S]: whether a buyer started each, who paid the ask, and what the quote before it showed.

    Every row has dice of its own, so that it is the same whatever else is asked for. `number` counts a symbol's trades.
    """
    dice = np.random.default_rng([seed, *b"prints", row])
    shape = len(bars["close"]), COUNT
    size = bars["volume"][:, None] * dice.permuted(np.tile(SHARES, (shape[0], 1)), axis=1)
    made = {
        "column": np.repeat(np.arange(shape[0]), COUNT),
        "event_at": opened_at + _moments(dice, event_at - opened_at, shape),
        "number": np.tile(row * COUNT + np.arange(COUNT), shape[0]),
        "price": _prices(dice, bars, shape),
        "size": size,
        "bought": dice.random(shape) < 0.5,
        "shown": np.rint(size * dice.uniform(1.0, 3.0, shape)) + 1.0,
    }
    return pl.DataFrame({name: values.ravel() for name, values in made.items()}, schema=SCHEMA)


def _moments(dice: np.random.Generator, span: np.timedelta64, shape: tuple[int, int]) -> npt.NDArray[np.timedelta64]:
    """Return when in the bar: once in each equal part of it, never at its very end, which belongs to the next."""
    inside = span / np.timedelta64(1, "us") - 1.0
    return np.floor((np.arange(shape[1]) + dice.random(shape)) / shape[1] * inside).astype("timedelta64[us]")


def _prices(dice: np.random.Generator, bars: Mapping[str, FloatArray], shape: tuple[int, int]) -> FloatArray:
    """Return prices that the bar itself names, so that all are whole ticks: open first, close last, high and low between."""
    named = np.stack([bars[name] for name in ("open", "high", "low", "close")], axis=1)
    prices = np.take_along_axis(named, dice.integers(0, named.shape[1], shape), axis=1)
    prices[:, 0], prices[:, -1] = bars["open"], bars["close"]
    inner = dice.permuted(np.tile(np.arange(1, shape[1] - 1), (shape[0], 1)), axis=1)
    for k, name in enumerate(("high", "low")):
        np.put_along_axis(prices, inner[:, k : k + 1], bars[name][:, None], axis=1)
    return prices
