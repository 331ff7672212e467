"""The only splitter: walk-forward over time rows, purged by the label's reach and embargoed."""

from dataclasses import dataclass

import numpy as np

from domain.error import DataError
from models.contract import IntArray

#: Fewer rows than this to learn from, or to judge by, is no fold.
TRAIN_ROWS_MIN = 20
TEST_ROWS_MIN = 5


@dataclass(frozen=True)
class Fold:
    """Rows to learn from, to stop by, and to be judged by; each part starts after the one before, a gap between them."""

    train: IntArray
    valid: IntArray
    """Newest part of what may be learned from, for early stopping; may be empty."""
    test: IntArray


def walk_forward(rows: int, folds: int, train_fraction: float, purge_bars: int, embargo_bars: int) -> list[Fold]:
    """Return `folds` expanding folds over rows 0 .. rows - 1: each trains on all that was known before its test rows.

    The first test row is `train_fraction` of the way, the test parts tile the rest. A part's last row lies at least
    `purge_bars + embargo_bars` before the next part's first. With `purge_bars = labels.known_after(horizon)` every label learned
    from is known before the first forecast that is judged; a smaller purge lets the answer leak and inflates every figure.
    `valid` is empty: cut it with `tail`. Raises DataError when history is too short. Lopez de Prado 2018, Advances in Financial
    Machine Learning, ch. 7.
    """
    gap = purge_bars + embargo_bars
    first = max(int(rows * train_fraction), TRAIN_ROWS_MIN + gap)
    if rows - first < folds * TEST_ROWS_MIN:
        needed = first + folds * TEST_ROWS_MIN
        raise DataError(f"{folds} walk-forward folds with a gap of {gap} bars need {needed} bars or more, history has {rows}")
    edges = np.linspace(first, rows, folds + 1).astype(np.int64)
    pairs = zip(edges[:-1], edges[1:], strict=True)
    return [Fold(_span(0, start - gap), _span(0, 0), _span(start, stop)) for start, stop in pairs]


def tail(train: IntArray, share: float, purge_bars: int, embargo_bars: int) -> tuple[IntArray, IntArray]:
    """Cut (train, valid): `valid` is the newest `share` of `train`, and `purge_bars + embargo_bars` rows before it are dropped.

    `valid` is empty when too little would be left to learn from.
    """
    gap = purge_bars + embargo_bars
    start = len(train) - int(len(train) * share)
    if start - gap < TRAIN_ROWS_MIN or len(train) - start < TEST_ROWS_MIN:
        return train, train[:0]
    return train[: start - gap], train[start:]


def _span(first: int, last: int) -> IntArray:
    return np.arange(first, last, dtype=np.int64)
