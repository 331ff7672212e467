"""Offsets follow where outcomes fall, and know nothing of what is still to come."""

import numpy as np
import pytest
from scipy.stats import norm

from domain.error import ModelError
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from models.conformal import RATE, Offsets

DELAY = 6


def forecasts(bars: int, symbols: int) -> FloatArray:
    """Return [T, S, Q] the quantiles of a normal return of deviation 1%."""
    return np.broadcast_to(0.01 * norm.ppf(LEVELS), (bars, symbols, len(LEVELS))).copy()


def outcomes(bars: int, symbols: int, deviation: float, seed: int = 0) -> FloatArray:
    """Return [T, S] normal returns."""
    return deviation * np.random.default_rng(seed).standard_normal((bars, symbols))


def covered(moved: FloatArray, outcome: FloatArray) -> FloatArray:
    """Return the share of outcomes at or below each quantile."""
    return np.mean(outcome[..., None] <= moved, axis=(0, 1))


def test_a_market_that_becomes_twice_as_wild_is_covered_again():
    """After 1,500 rows each level is within 0.03 of itself, where the plain forecast is off by more than 0.1."""
    made = forecasts(2200, 20)
    outcome = np.concatenate((outcomes(300, 20, 0.01), outcomes(1900, 20, 0.02, seed=1)))

    moved, _ = Offsets().followed(made, outcome, DELAY)

    late = slice(1800, 2200)
    assert np.abs(covered(made[late], outcome[late]) - LEVELS).max() > 0.1
    np.testing.assert_allclose(covered(moved[late], outcome[late]), LEVELS, atol=0.03)


def test_the_share_held_is_right_in_the_long_run_whatever_comes():
    """Outcomes made by nobody's distribution: the error of each pair is at most what its offset travelled over the rows it had.

    Gibbs and Candes 2021, proposition 4.1, with one symbol, no delay but one row, and ranges of one.
    """
    rng = np.random.default_rng(3)
    made = np.broadcast_to(np.array((-0.5, -0.2, 0.0, 0.2, 0.5)), (3000, 1, 5)).copy()
    outcome = np.cumsum(rng.standard_normal((3000, 1)), axis=0) / 20.0

    moved, after = Offsets().followed(made, outcome, 1)

    for low, high in ((0, 4), (1, 3)):
        held = np.mean(outcome <= moved[..., high]) - np.mean(outcome <= moved[..., low])
        travelled = abs(after.values[high]) + RATE
        assert abs(held - (LEVELS[high] - LEVELS[low])) <= 2.0 * travelled / (RATE * 3000)


def test_a_rise_moves_no_median_and_widens_both_sides_alike():
    """Outcomes above every median for a hundred rows."""
    made = forecasts(100, 5)

    moved, after = Offsets().followed(made, np.full((100, 5), 0.05), DELAY)

    assert after.values[MEDIAN] == 0.0
    np.testing.assert_allclose(after.values, -np.array(after.values[::-1]), atol=1e-12)
    np.testing.assert_array_equal(moved[..., MEDIAN], made[..., MEDIAN])


def test_a_row_is_moved_by_outcomes_known_before_it():
    """Outcomes of the last rows, and of all later ones, change nothing."""
    made, outcome = forecasts(100, 5), outcomes(100, 5, 0.02)
    other = outcome.copy()
    other[60 - DELAY + 1 :] = 9.0

    first, second = (Offsets().followed(made, each, DELAY)[0] for each in (outcome, other))

    np.testing.assert_array_equal(first[:61], second[:61])
    assert (first[61:] != second[61:]).any()


def test_following_in_two_pieces_ends_where_following_at_once_does():
    """Without a delay between them."""
    made, outcome = forecasts(80, 4), outcomes(80, 4, 0.02)

    _, half = Offsets().followed(made[:40], outcome[:40], 1)
    _, pieces = half.followed(made[40:], outcome[40:], 1)
    _, whole = Offsets().followed(made, outcome, 1)

    np.testing.assert_allclose(pieces.values, whole.values, atol=1e-12)


def test_refitting_covers_the_sample_exactly():
    """One-sided at each level, twice over: the second refit begins from the offsets of the first."""
    made, outcome = forecasts(400, 5), outcomes(400, 5, 0.03)

    once = Offsets().refitted(made, outcome, 5)
    moved = once.apply(made)
    twice = once.refitted(moved, outcome, 5)

    levels = [k for k in range(len(LEVELS)) if k != MEDIAN]
    np.testing.assert_allclose(covered(moved, outcome)[levels], np.array(LEVELS)[levels], atol=0.02)
    np.testing.assert_allclose(twice.values, once.values, atol=0.02)


def test_too_few_outcomes_refit_nothing():
    """With what was asked and what was found."""
    made, outcome = forecasts(10, 3), outcomes(10, 3, 0.01)
    outcome[5:] = np.nan

    with pytest.raises(ModelError, match="refitted on 10 bars of 3 symbols, but only 15 outcomes were forecast and are known"):
        Offsets().refitted(made, outcome, 5)
