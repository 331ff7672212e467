"""Features written as polars expressions: the convenient way, some thousand times slower than a kernel.

An expression is evaluated on exactly the last bars that a symbol really had, the newest last, and its newest value is taken. It
sees nothing else: what looks forward finds nothing there, and no cut of the history changes a bit.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from domain.error import ConfigurationError, nearest
from domain.panel import COVARIATES, PRICES, FloatArray
from features.feature import Feature

#: Rows of state before the windows: bars seen.
HEAD = 1


def expression(name: str, formula: pl.Expr, *, bars: int, meaning: str, source: str = "") -> Feature:
    """Return a feature of the family `own` whose value is the formula's newest value over a symbol's last `bars` bars.

    The formula reads prices, volume and covariates by name (`pl.col("close")`) and gives one number or one a bar; true is 1. A bar
    where anything that it reads is unknown is no part of the window. NaN before the window is full and where the formula is null.
    Raise ConfigurationError for a formula that reads what no panel has, gives no number, or has no value at its newest bar.
    """
    columns = _columns(name, formula)
    kernel = _Expression(name, formula, columns)
    _try(name, kernel, bars)
    slots = HEAD + len(columns) * bars
    return Feature(name, kernel, columns, (bars,), slots, bars - 1, family="own", meaning=meaning, source=source)


class _Expression:
    """A kernel that evaluates an expression, one symbol and bar at a time."""

    def __init__(self, name: str, formula: pl.Expr, columns: tuple[str, ...]) -> None:
        digest = hashlib.sha256(formula.meta.serialize(format="json").encode()).hexdigest()
        self.__name__ = f"expression_{digest}"
        self._name, self._formula, self._columns = name, formula, columns

    def __call__(self, *arguments: Any) -> None:
        """Advance the columns first:last over all rows. State: bars seen, then the window of each column, newest last."""
        *given, bars, state, out, first, last = arguments
        inputs = np.array(given, dtype=np.float64)
        for t in range(inputs.shape[1]):
            for s in range(first, last):
                out[t, s] = self._advance(inputs[:, t, s], bars, state[:, s])

    def _advance(self, values: FloatArray, bars: int, state: FloatArray) -> float:
        if np.isnan(values).any():
            return np.nan
        windows = state[HEAD:].reshape(len(values), bars)
        windows[:, :-1] = windows[:, 1:].copy()
        windows[:, -1] = values
        state[HEAD:] = windows.ravel()
        state[0] += 1.0
        return self.newest(windows) if state[0] >= bars else np.nan

    def newest(self, windows: FloatArray) -> float:
        """Return the formula's newest value over the windows [columns, bars]; NaN where it is null."""
        frame = pl.DataFrame({name: np.ascontiguousarray(row) for name, row in zip(self._columns, windows, strict=True)})
        found = frame.select(self._formula).to_series()
        if len(found) not in {1, frame.height} or not (found.dtype.is_numeric() or found.dtype == pl.Boolean):
            raise ConfigurationError(
                f"the expression '{self._name}' gave {len(found)} values of type {found.dtype} over {frame.height} bars, but one"
                " number, or one a bar, was needed"
            )
        value = found[-1]
        return np.nan if value is None else float(value)


def _columns(name: str, formula: pl.Expr) -> tuple[str, ...]:
    """Return the columns that a formula reads."""
    known = (*PRICES, *COVARIATES)
    columns = tuple(sorted(set(formula.meta.root_names())))
    if not columns or formula.meta.has_multiple_outputs():
        raise ConfigurationError(f"the expression '{name}' must read columns by name and give one column, but it is {formula}")
    for column in columns:
        if column not in known:
            raise ConfigurationError(f"the expression '{name}' reads '{column}', which no panel has: {nearest(column, known)}")
    return columns


def _try(name: str, kernel: _Expression, bars: int) -> None:
    """Refuse a formula that fails, or has no value, on a window of plain positive numbers."""
    draw = np.random.default_rng(1)
    windows: npt.NDArray[np.float64] = np.exp(draw.normal(0.0, 0.1, (len(kernel._columns), bars)))
    try:
        value = kernel.newest(windows)
    except pl.exceptions.PolarsError as error:
        raise ConfigurationError(f"the expression '{name}' cannot be evaluated: {error}") from error
    if np.isnan(value):
        raise ConfigurationError(
            f"the expression '{name}' has no value at the newest of {bars} bars: it looks forward, where nothing is known, or needs"
            " a longer window"
        )
