"""Naive twins of WorldQuant's alphas: the formulas as the paper prints them, lengths and all (alpha101.txt), on tables in pandas.

Kakushadze 2016, arXiv:1601.00991, appendix A. `a ? b : c` is written where(a, b, c), a power **, and the industry classes are
all the sector. Those on the catalogue's list FREE are made free of scale as it says, with value for volume beside adv.
"""

import math
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pandas as pd

from domain.panel import Panel
from tests.features import naive_group

Table = pd.DataFrame
FORMULAS: dict[int, str] = {
    int(number): formula
    for number, formula in (
        line.split(": ") for line in Path(__file__).with_name("alpha101.txt").read_text(encoding="utf-8").splitlines()
    )
}


def tables(panel: Panel) -> dict[int, npt.NDArray[np.float64]]:
    """Return every alpha of a gapless panel, [T, S] each."""
    words = {name: pd.DataFrame(values) for name, values in panel.columns().items()}
    words |= {"value": words["vwap"] * words["volume"], "returns": words["close"].pct_change(fill_method=None)}
    words |= {f"adv{d}": mean(words["value"], d) for d in {int(d) for f in FORMULAS.values() for d in re.findall(r"adv(\d+)", f)}}
    functions = {name: operation for name, operation in OPERATIONS.items() if name != "indneutralize"}
    functions["indneutralize"] = lambda x: naive_group.by_sector(
        x, words["sector"].to_numpy(), lambda g: g.sub(g.mean(axis=1), axis=0)
    )
    return {number: _evaluated(text, words | functions) for number, text in FORMULAS.items()}


def _evaluated(text: str, words: dict[str, object]) -> npt.NDArray[np.float64]:
    """Return a formula's values; a comparison at the top is 1 or 0 where both sides are known."""
    left, _, right = text.partition(" < ") if _outer_comparison(text) else (text, "", "")
    if right:
        return less(eval(left, {}, words), eval(right, {}, words)).to_numpy(float)  # noqa: S307
    return np.asarray(eval(text, {}, words), dtype=float)  # noqa: S307


def _outer_comparison(text: str) -> bool:
    depth = 0
    for i, letter in enumerate(text):
        depth += {"(": 1, ")": -1}.get(letter, 0)
        if letter == "<" and depth == 0 and text[i - 1] == " ":
            return True
    return False


def windows(x: Table, bars: float, measure: Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]) -> Table:
    """Return a measure of each full window [T, S, bars], oldest first; NaN where a value is unknown. Lengths are rounded down."""
    d = math.floor(bars)
    out = np.full(x.shape, np.nan)
    if d <= len(x):
        view = np.lib.stride_tricks.sliding_window_view(x.to_numpy(float), d, axis=0)
        out[d - 1 :] = np.where(np.isnan(view).any(axis=2), np.nan, measure(view))
    return pd.DataFrame(out)


def mean(x: Table, bars: float) -> Table:
    """Return the rolling mean."""
    return windows(x, bars, lambda w: w.mean(axis=2))


def together(x: Table, y: Table, bars: float, normed: bool) -> Table:
    """Return correlation or population covariance to nine digits, 0 where either is flat."""
    d = math.floor(bars)
    a, b = (np.lib.stride_tricks.sliding_window_view(v.to_numpy(float), d, axis=0) for v in (x, y))
    unknown = np.isnan(a).any(axis=2) | np.isnan(b).any(axis=2)
    flat = (np.ptp(a, axis=2) == 0.0) | (np.ptp(b, axis=2) == 0.0)
    u, v = a - a.mean(axis=2, keepdims=True), b - b.mean(axis=2, keepdims=True)
    product = (u * v).mean(axis=2) / (a.std(axis=2) * b.std(axis=2) if normed else 1.0)
    out = np.full(x.shape, np.nan)
    out[d - 1 :] = np.where(unknown, np.nan, np.floor(np.where(flat, 0.0, product) * 1e9 + 0.5) / 1e9)
    return pd.DataFrame(out)


def less(x: Table, y: Table) -> Table:
    """Return 1 where x < y, 0 where not, NaN where either is unknown."""
    return (x < y).astype(float).where(x.notna() & y.notna())


def where(condition: Table, yes: Table | float, no: Table | float) -> Table:
    """Return yes or no; unknown where either is. What a condition compares is known where the result is looked at."""
    a, b = (v if isinstance(v, pd.DataFrame) else pd.DataFrame(float(v), condition.index, condition.columns) for v in (yes, no))
    return a.where(condition, b).where(a.notna() & b.notna())


def places(w: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean rank of the newest over the number of bars; values that agree to nine digits tie, as they do in `rank`."""
    w = np.round(w, 9)
    newest = w[:, :, -1:]
    return ((w < newest).sum(axis=2) + 0.5 * ((w == newest).sum(axis=2) + 1)) / w.shape[2]


def decayed(w: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the average with weights 1 to the number of bars."""
    return np.average(w, axis=2, weights=np.arange(1, w.shape[2] + 1))


OPERATIONS: dict[str, Callable[..., object]] = {
    "rank": lambda x: x.round(9).rank(axis=1, pct=True),
    "scale": lambda x: x.div(x.abs().sum(axis=1), axis=0),
    "delay": lambda x, d: x.shift(math.floor(d)),
    "delta": lambda x, d: x.diff(math.floor(d)),
    "correlation": lambda x, y, d: together(x, y, d, True),
    "covariance": lambda x, y, d: together(x, y, d, False),
    "stddev": lambda x, d: windows(x, d, lambda w: w.std(axis=2)),
    "sum": lambda x, d: windows(x, d, lambda w: w.sum(axis=2)),
    "product": lambda x, d: windows(x, d, lambda w: w.prod(axis=2)),
    "ts_min": lambda x, d: windows(x, d, lambda w: w.min(axis=2)),
    "ts_max": lambda x, d: windows(x, d, lambda w: w.max(axis=2)),
    "ts_argmax": lambda x, d: windows(x, d, lambda w: np.round(w, 9).argmax(axis=2) + 1.0),
    "ts_argmin": lambda x, d: windows(x, d, lambda w: np.round(w, 9).argmin(axis=2) + 1.0),
    "ts_rank": lambda x, d: windows(x, d, places),
    "decay_linear": lambda x, d: windows(x, d, decayed),
    "max": np.maximum,
    "min": np.minimum,
    "sign": np.sign,
    "abs": np.abs,
    "log": np.log,
    "less": less,
    "where": where,
}
