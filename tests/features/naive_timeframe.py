"""Naive twins of higher timeframes, in pandas: bars are grouped, measured, and joined to the bars that close them."""

import numpy as np
import pandas as pd

from tests.features import naive
from tests.features.naive_realised import ema


def table(bars: pd.DataFrame) -> pd.DataFrame:
    """Return every feature of the family by name."""
    return pd.concat([frame(bars, 5), frame(bars, 20)], axis=1)


def frame(bars: pd.DataFrame, length: int) -> pd.DataFrame:
    """Return what complete groups of `length` bars say, from the last bar of each on."""
    whole = len(bars) // length * length
    groups = bars.iloc[:whole].groupby(np.arange(whole) // length)
    higher = groups.agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})
    return joined(measured(higher, length), np.arange(length - 1, whole, length), len(bars))


def measured(higher: pd.DataFrame, length: int) -> pd.DataFrame:
    """Return the measures of higher bars."""
    c = higher["close"]
    r = np.log(c).diff()
    rsi = naive.relative_strength(c.tolist(), 9) if len(c) else []
    columns = {
        "return": r,
        "body": np.log(c / higher["open"]),
        "range": np.log(higher["high"] / higher["low"]),
        "rsi": pd.Series(rsi, index=c.index, dtype=float),
        "volatility": np.sqrt(ema(r**2, 10)),
        "distance": c / ema(c, 10) - 1,
        "volume": np.log(higher["volume"] / ema(higher["volume"], 10)),
    }
    return pd.DataFrame({f"higher_{length}_{name}": values for name, values in columns.items()})


def joined(measures: pd.DataFrame, closes: np.ndarray, bars: int) -> pd.DataFrame:
    """Return each base bar's newest complete higher bar; `closes` are the bars at which they are complete."""
    return measures.set_axis(closes).reindex(np.arange(bars)).ffill()
