"""The only splitter of time rows: walk-forward, and combinations of groups; purged by the label's reach and embargoed."""

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


@dataclass(frozen=True)
class Combinations:
    """Every choice of test groups among contiguous groups of rows, and the backtest paths that the choices make together."""

    folds: list[Fold]
    """A split a choice, in lexicographic order of the groups tested."""
    edges: IntArray
    """[N + 1] the first row of each group, and the number of rows."""
    paths: IntArray
    """[phi, N] which split supplies each group of each path; each group of each split is supplied once."""

    def suppliers(self) -> IntArray:
        """Return [phi, T] which split supplies each row of each path: path p forecasts row t as split `suppliers[p, t]` did."""
        return np.repeat(self.paths, np.diff(self.edges), axis=1)


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


def combinatorial(rows: int, groups: int, tested: int, purge_bars: int, embargo_bars: int) -> Combinations:
    """Return all C(groups, tested) splits of rows 0 .. rows - 1 that test `tested` of `groups` and train on what is left.

    A row is not trained on when the `purge_bars` rows after it reach a test row, when those after a test row reach it, or when it
    is one of the `embargo_bars` rows after these. So every row is tested C(groups - 1, tested - 1) times, on as many paths. Models
    learn from what came later as well: paths tell how a result spreads, walk-forward what could have been earned.

    Raises DataError when a group would have fewer than TEST_ROWS_MIN rows or a split fewer than TRAIN_ROWS_MIN to learn from.
    Lopez de Prado 2018, Advances in Financial Machine Learning, ch. 7.4 and 12.
    """
    asked = f"{tested} test groups of {groups} with gaps of {purge_bars} bars before and {purge_bars + embargo_bars} after"
    if not 0 < tested < groups:
        raise DataError(f"{asked} were asked for, but at least one group must be tested and at least one learned from")
    if rows < groups * TEST_ROWS_MIN:
        raise DataError(f"{asked} need {groups * TEST_ROWS_MIN} bars or more, but history has {rows}")
    edges = np.linspace(0, rows, groups + 1).astype(np.int64)
    choices = np.array(list(itertools.combinations(range(groups), tested)), dtype=np.int64)
    folds = [_around(edges, choice, purge_bars, embargo_bars) for choice in choices]
    if (fewest := min(len(fold.train) for fold in folds)) < TRAIN_ROWS_MIN:
        raise DataError(f"{asked} leave {fewest} of {rows} bars to learn from, but {TRAIN_ROWS_MIN} or more are needed")
    suppliers = [np.flatnonzero((choices == group).any(axis=1)) for group in range(groups)]
    return Combinations(folds, edges, np.column_stack(suppliers))


def tail(train: IntArray, share: float, purge_bars: int, embargo_bars: int) -> Fold:
    """Return the newest `share` of `train` as test, and what lies `purge_bars + embargo_bars` rows before it as train.

    What a fit stops early by. `test` is empty when too little would be left on either side.
    """
    start = len(train) - int(len(train) * share)
    stop = start - purge_bars - embargo_bars
    if stop < TRAIN_ROWS_MIN or len(train) - start < TEST_ROWS_MIN:
        return Fold(train, train[:0])
    return Fold(train[:stop], train[start:])


def _around(edges: IntArray, groups: IntArray, purge_bars: int, embargo_bars: int) -> Fold:
    """Return the rows of `groups` as test, and as train those that lie far enough from all of them."""
    free = np.ones(edges[-1], dtype=np.bool_)
    for start, stop in zip(edges[groups], edges[groups + 1], strict=True):
        free[max(start - purge_bars, 0) : stop + purge_bars + embargo_bars] = False
    return Fold(np.flatnonzero(free), np.concatenate([_span(edges[group], edges[group + 1]) for group in groups]))


def _span(first: int, last: int) -> IntArray:
    return np.arange(first, last, dtype=np.int64)
