"""The splitter: no answer reaches a row that is judged before the answer was known."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from domain.error import DataError
from models import splits
from models.splits import Fold

ARGUMENTS = {
    "rows": st.integers(1, 3_000),
    "folds": st.integers(1, 12),
    "train_fraction": st.floats(0.01, 0.99),
    "horizon": st.integers(1, 60),
    "embargo_bars": st.integers(0, 60),
}


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
