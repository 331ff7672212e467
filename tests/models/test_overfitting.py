"""Overfitting is what a slow search over halves of history says it is."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from domain.error import DataError
from models import metrics, overfitting


def _naive(returns: np.ndarray, blocks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return inside, outside and logits of each choice by joining its blocks and measuring every configuration anew."""
    parts = np.array_split(returns, np.linspace(0, len(returns), blocks + 1).astype(int)[1:-1])
    rows = []
    for choice in itertools.combinations(range(blocks), blocks // 2):
        chosen = np.concatenate([parts[k] for k in choice])
        others = np.concatenate([parts[k] for k in range(blocks) if k not in choice])
        first, second = ([metrics.sharpe(column) for column in half.T] for half in (chosen, others))
        best = int(np.argmax(first))
        share = stats.rankdata(second)[best] / (len(second) + 1)
        rows.append((first[best], second[best], math.log(share / (1 - share))))
    inside, outside, logits = np.array(rows).T
    return inside, outside, logits


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(24, 90),
    configurations=st.integers(2, 6),
    blocks=st.sampled_from([2, 4, 6]),
    mean=st.floats(-0.5, 0.5),
)
def test_every_choice_is_that_of_joined_blocks(seed, rows, configurations, blocks, mean):
    """Counts, sums and sums of squares give the Sharpe ratios that the joined rows have, and the same ranks."""
    returns = np.random.default_rng(seed).normal(mean, 1.0, (rows, configurations)) * 0.01

    made = overfitting.symmetric(returns, blocks)

    inside, outside, logits = _naive(returns, blocks)
    np.testing.assert_allclose(made.inside, inside, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(made.outside, outside, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(made.logits, logits, rtol=1e-12)
    assert made.pbo == np.mean(logits <= 0)
    assert made.loss == np.mean(outside < 0)


def test_the_slope_is_scipys():
    """Least squares of performance outside on performance inside."""
    returns = np.random.default_rng(3).standard_normal((200, 8))

    made = overfitting.symmetric(returns, 8)

    assert made.slope == pytest.approx(stats.linregress(made.inside, made.outside).slope)


def test_two_configurations_that_take_turns_are_overfitted_for_certain():
    """Whoever is better in one half is worse in the other: rank 1 of 2 both times, hence logits of log(1/2), and a loss."""
    wave = np.tile([0.01, 0.03], 5)
    returns = np.column_stack([np.concatenate([wave, -wave]), np.concatenate([-wave, wave])])

    made = overfitting.symmetric(returns, 2)

    assert made.logits.tolist() == pytest.approx([-math.log(2.0)] * 2)
    assert (made.pbo, made.loss) == (1.0, 1.0)
    assert made.inside.tolist() == pytest.approx([2.0 / math.sqrt(10 / 9)] * 2)
    assert made.outside.tolist() == pytest.approx([-2.0 / math.sqrt(10 / 9)] * 2)
    assert math.isnan(made.slope)


def test_noise_is_overfitted_half_of_the_time():
    """Without skill the best inside ranks anywhere outside; over 60 histories the mean of 0.5 is known to about 0.03."""
    found = [overfitting.symmetric(np.random.default_rng(seed).standard_normal((240, 10)), 8).pbo for seed in range(60)]

    assert np.mean(found) == pytest.approx(0.5, abs=0.1)


def test_a_configuration_that_is_better_is_not_overfitted():
    """One of twenty earns 0.3 deviations a row: it is chosen in every half and leads in the other."""
    returns = np.random.default_rng(1).standard_normal((1_000, 20))
    returns[:, 7] += 0.3

    made = overfitting.symmetric(returns, 16)

    assert len(made.logits) == math.comb(16, 8)
    assert made.pbo < 0.01
    assert made.loss < 0.01


def test_rows_that_a_configuration_lacks_are_dropped_for_all():
    """All are ranked on the same rows."""
    returns = np.random.default_rng(2).standard_normal((80, 4))
    holed = np.insert(returns, [10, 50], 9.0, axis=0)
    holed[10, 1], holed[51, 3] = np.nan, np.inf

    assert overfitting.symmetric(holed, 4).logits.tolist() == overfitting.symmetric(returns, 4).logits.tolist()


def test_what_never_varies_has_a_sharpe_ratio_of_zero():
    """Flat at 0.1 a row, whose square rounding keeps from vanishing, against one that always loses: flat leads with 0."""
    losing = np.random.default_rng(4).normal(-1.0, 0.1, 40)

    made = overfitting.symmetric(np.column_stack([np.full(40, 0.1), losing]), 4)

    assert made.inside.tolist() == [0.0] * 6
    assert made.pbo == 0.0


def test_equal_configurations_rank_in_the_middle():
    """Ties get their mean rank, (N + 1) / 2: a logit of 0, which counts as overfitted."""
    returns = np.repeat(np.random.default_rng(5).standard_normal((40, 1)), 3, axis=1)

    made = overfitting.symmetric(returns, 4)

    assert made.logits.tolist() == [0.0] * 6
    assert made.pbo == 1.0


@pytest.mark.parametrize(
    ("shape", "blocks", "sentence"),
    [
        ((40, 3), 5, r"^overfitting was asked of 5 blocks, but halves need an even number of two or more$"),
        ((40, 1), 4, r"^overfitting was asked of 1 configurations, but a choice needs two or more$"),
        ((31, 3), 16, r"^overfitting in 16 blocks needs 32 rows known to all configurations, but 31 are$"),
    ],
)
def test_what_cannot_be_halved_is_refused_in_one_sentence(shape, blocks, sentence):
    """An odd number of blocks, nothing to choose from, and blocks too short for a deviation."""
    with pytest.raises(DataError, match=sentence):
        overfitting.symmetric(np.random.default_rng(0).standard_normal(shape), blocks)
