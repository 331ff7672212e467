"""The only splitter: walk-forward over time rows, purged by the label's reach and embargoed."""

import itertools
from dataclasses import dataclass

import numpy as np

from domain.error import DataError
from models.contract import IntArray

#: Fewer rows than this to learn from, or to judge by, is no fold.
TRAIN_ROWS_MIN = 20
TEST_ROWS_MIN = 5


@dataclass(frozen=True)
class Fold:
    """Rows to learn from and, after a gap, rows to be judged by."""

    train: IntArray
    test: IntArray


def walk_forward(rows: int, folds: int, train_fraction: float, purge_bars: int, embargo_bars: int) -> list[Fold]:
    """Return `folds` expanding folds over rows 0 .. rows - 1: each trains on all that was known before its test rows.

    Test parts start `train_fraction` of the way and tile the rest; `purge_bars + embargo_bars` rows are dropped before each.
    With `purge_bars = labels.known_after(horizon)` every label learned from is known before the first forecast that is judged;
    a smaller purge lets the answer leak and inflates every figure. Raises DataError when history is too short.
    Lopez de Prado 2018, Advances in Financial Machine Learning, ch. 7.
    """
    gap = purge_bars + embargo_bars
    first = max(int(rows * train_fraction), TRAIN_ROWS_MIN + gap)
    needed = first + folds * TEST_ROWS_MIN
    if rows < needed:
        raise DataError(f"{folds} walk-forward folds with gaps of {gap} bars need {needed} bars or more, but history has {rows}")
    edges = np.linspace(first, rows, folds + 1).astype(np.int64)
    return [Fold(_span(0, start - gap), _span(start, stop)) for start, stop in itertools.pairwise(edges)]


def tail(train: IntArray, share: float, purge_bars: int, embargo_bars: int) -> Fold:
    """Return the newest `share` of `train` as test, and what lies `purge_bars + embargo_bars` rows before it as train.

    What a fit stops early by. `test` is empty when too little would be left on either side.
    """
    start = len(train) - int(len(train) * share)
    stop = start - purge_bars - embargo_bars
    if stop < TRAIN_ROWS_MIN or len(train) - start < TEST_ROWS_MIN:
        return Fold(train, train[:0])
    return Fold(train[:stop], train[start:])


def _span(first: int, last: int) -> IntArray:
    return np.arange(first, last, dtype=np.int64)
