"""The splitter: no answer reaches a row that is judged before the answer was known."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.error import DataError
from models import splits
from models.splits import Combinations, Fold

ARGUMENTS = {
    "rows": st.integers(1, 3_000),
    "folds": st.integers(1, 12),
    "train_fraction": st.floats(0.01, 0.99),
    "horizon": st.integers(1, 60),
    "embargo_bars": st.integers(0, 60),
}

COMBINED = {
    "rows": st.integers(1, 600),
    "groups": st.integers(2, 9),
    "tested": st.integers(1, 8),
    "purge_bars": st.integers(1, 12),
    "embargo_bars": st.integers(0, 12),
}


def _combine(rows: int, groups: int, tested: int, purge_bars: int, embargo_bars: int) -> Combinations:
    """Combine, or tell Hypothesis that this history is too short to be of interest."""
    try:
        return splits.combinatorial(rows, groups, tested, purge_bars, embargo_bars)
    except DataError:
        assume(False)
        raise


def _split(rows: int, folds: int, train_fraction: float, horizon: int, embargo_bars: int) -> list[Fold]:
    """Split, or tell Hypothesis that this history is too short to be of interest."""
    try:
        return splits.walk_forward(rows, folds, train_fraction, horizon + 1, embargo_bars)
    except DataError:
        assume(False)
        raise


@given(**ARGUMENTS)
def test_no_label_learned_from_is_unknown_when_a_test_row_is_forecast(rows, folds, train_fraction, horizon, embargo_bars):
    """Row t's label needs open[t + 1 + horizon]; it is known from row t + horizon + 1 on, and no test row comes before that."""
    made = _split(rows, folds, train_fraction, horizon, embargo_bars)

    for fold in made:
        last_row_read = fold.train.max() + 1 + horizon
        assert last_row_read < fold.test.min()
        assert fold.test.min() - last_row_read > embargo_bars


@given(**ARGUMENTS)
def test_train_and_test_labels_share_no_bar(rows, folds, train_fraction, horizon, embargo_bars):
    """A label of row t spans rows t + 1 to t + 1 + horizon; the spans of train and test are disjoint."""
    made = _split(rows, folds, train_fraction, horizon, embargo_bars)

    for fold in made:
        reach = {int(t) + k for t in fold.train[-horizon - 2 :] for k in range(1, horizon + 2)}
        tested = {int(t) + k for t in fold.test[: horizon + 2] for k in range(1, horizon + 2)}
        assert not reach & tested


@given(**ARGUMENTS)
def test_test_parts_tile_the_end_of_history_in_order(rows, folds, train_fraction, horizon, embargo_bars):
    """Every row from the first test row on is judged once, in order."""
    made = _split(rows, folds, train_fraction, horizon, embargo_bars)

    together = np.concatenate([fold.test for fold in made])
    assert len(made) == folds
    assert (together == np.arange(together[0], rows)).all()
    assert all(len(fold.test) >= splits.TEST_ROWS_MIN for fold in made)


@given(**ARGUMENTS)
def test_training_parts_start_at_the_beginning_and_grow(rows, folds, train_fraction, horizon, embargo_bars):
    """The window expands: each fold learns from all that the one before did."""
    made = _split(rows, folds, train_fraction, horizon, embargo_bars)

    lengths = [len(fold.train) for fold in made]
    assert lengths == sorted(lengths)
    assert all((fold.train == np.arange(len(fold.train))).all() for fold in made)
    assert min(lengths) >= splits.TRAIN_ROWS_MIN


@given(rows=st.integers(0, 2_000), share=st.floats(0.0, 0.9), purge=st.integers(1, 60), embargo=st.integers(0, 60))
def test_the_tail_that_stops_a_fit_keeps_the_same_distance(rows, share, purge, embargo):
    """What early stopping watches is purged and embargoed like a test, and comes after what is learned from."""
    cut = splits.tail(np.arange(100, 100 + rows), share, purge, embargo)

    if len(cut.test):
        assert cut.test.min() - cut.train.max() > purge + embargo
        assert cut.test.max() == 99 + rows
    else:
        assert len(cut.train) == rows


def test_a_split_by_hand():
    """100 rows, half to train on, two folds, a label known 3 rows later, 2 rows embargoed."""
    made = splits.walk_forward(100, 2, 0.5, 3, 2)

    assert [(fold.train[-1], fold.test[0], fold.test[-1]) for fold in made] == [(44, 50, 74), (69, 75, 99)]


def test_a_history_too_short_is_refused_in_one_sentence():
    """The sentence names what was asked, what is needed and what was found."""
    with pytest.raises(DataError, match=r"^4 walk-forward folds with gaps of 11 bars need 51 bars or more, but history has 40$"):
        splits.walk_forward(40, 4, 0.4, 6, 5)


@given(**COMBINED)
def test_no_train_row_is_within_reach_of_a_test_row(rows, groups, tested, purge_bars, embargo_bars):
    """Neither's label window [t + 1, t + purge_bars] touches the other, and no train row lies in the embargo after a test group."""
    made = _combine(rows, groups, tested, purge_bars, embargo_bars)

    for fold in made.folds:
        after = fold.train[:, None] - fold.test
        assert not ((after >= -purge_bars) & (after <= purge_bars + embargo_bars)).any()


@given(**COMBINED)
def test_train_rows_are_all_that_a_naive_search_leaves(rows, groups, tested, purge_bars, embargo_bars):
    """Every row is held against every test row, one by one, as the definition says; nothing more is dropped than that."""
    made = _combine(rows, groups, tested, purge_bars, embargo_bars)
    bounds = list(itertools.pairwise(int(edge) for edge in made.edges))
    choices = list(itertools.combinations(range(groups), tested))
    picked = {0, len(choices) // 2, len(choices) - 1}

    assert len(made.folds) == len(choices)
    for number in picked:
        test = {t for group in choices[number] for t in range(*bounds[group])}
        ends = [bounds[group][1] - 1 for group in choices[number]]
        reached = {t + k for t in test for k in range(1, purge_bars + 1)}
        waiting = {end + purge_bars + k for end in ends for k in range(1, embargo_bars + 1)}
        reaching = {t for t in range(rows) if not test.isdisjoint(range(t + 1, t + purge_bars + 1))}
        left = [t for t in range(rows) if t not in test | reached | waiting | reaching]
        assert made.folds[number].train.tolist() == left
        assert set(made.folds[number].test.tolist()) == test


@given(**COMBINED)
def test_every_row_is_tested_as_often_as_combinations_say(rows, groups, tested, purge_bars, embargo_bars):
    """C(N, k) splits test each row C(N - 1, k - 1) times; groups are contiguous and none is longer than another by two rows."""
    made = _combine(rows, groups, tested, purge_bars, embargo_bars)

    counted = np.bincount(np.concatenate([fold.test for fold in made.folds]), minlength=rows)
    assert len(made.folds) == math.comb(groups, tested)
    assert set(counted.tolist()) == {math.comb(groups - 1, tested - 1)}
    assert np.ptp(np.diff(made.edges)) <= 1


@given(**COMBINED)
def test_each_path_forecasts_every_row_once_by_a_split_that_tested_it(rows, groups, tested, purge_bars, embargo_bars):
    """There are C(N, k) k / N paths; over all paths, each row of each split is supplied exactly once."""
    made = _combine(rows, groups, tested, purge_bars, embargo_bars)
    suppliers = made.suppliers()

    assert suppliers.shape == (math.comb(groups, tested) * tested // groups, rows)
    supplied = sorted((int(split), row) for path in suppliers for row, split in enumerate(path))
    assert supplied == sorted((split, int(row)) for split, fold in enumerate(made.folds) for row in fold.test)


def test_the_paths_of_six_groups_of_which_two_are_tested_are_those_of_the_book():
    """Fifteen splits and five paths: Lopez de Prado 2018, figure 12.1 and 12.2, splits counted from 0."""
    made = splits.combinatorial(600, 6, 2, 3, 2)

    assert len(made.folds) == 15
    assert made.paths.tolist() == [
        [0, 0, 1, 2, 3, 4],
        [1, 5, 5, 6, 7, 8],
        [2, 6, 9, 9, 10, 11],
        [3, 7, 10, 12, 12, 13],
        [4, 8, 11, 13, 14, 14],
    ]


def test_a_combination_by_hand():
    """60 rows in 3 groups, the middle one tested, a label known 3 rows later, 2 rows embargoed."""
    fold = splits.combinatorial(60, 3, 1, 3, 2).folds[1]

    assert (fold.test[0], fold.test[-1]) == (20, 39)
    assert fold.train.tolist() == [*range(17), *range(45, 60)]


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        ((100, 4, 4, 2, 1), r"^4 test groups of 4 with gaps of 2 bars before and 3 after were asked for, but at least one group "),
        ((100, 4, 0, 2, 1), r"^0 test groups of 4 .* must be tested and at least one learned from$"),
        ((19, 4, 1, 2, 1), r"^1 test groups of 4 .* need 20 bars or more, but history has 19$"),
        ((60, 3, 2, 9, 3), r"^2 test groups of 3 .* leave 0 of 60 bars to learn from, but 20 or more are needed$"),
    ],
)
def test_combinations_that_cannot_be_made_are_refused_in_one_sentence(asked, sentence):
    """Too many or too few test groups, groups too short to judge by, and too little left to learn from."""
    with pytest.raises(DataError, match=sentence):
        splits.combinatorial(*asked)
