"""Tests of normalisation on the fly: a twin in pandas, and what fractional differences are for."""

import numpy as np
import pytest
import scipy.special

from features import steps
from features.catalog import normalised
from tests.features import beside, naive_normalised, panels

TWINS = {
    "exponential_score": "by ema_score_60",
    "fractional": "by fractional, and by the binomial series",
    "rolling_rank": "by rank_60",
    "replace": "by robust_60",
    "score": "by robust_60; of a row on its own",
}


@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_normalised_features_equal_their_naive_twin(gaps: float) -> None:
    """Every feature at every bar, with bars missing and symbols listed late."""
    beside.compare(normalised.FEATURES, naive_normalised.table, beside.market(200, 2, 81, gaps))


def test_normalised_features_keep_the_promises_of_the_catalogue() -> None:
    """Warm-up to the bar, finite after it, free of scale."""
    beside.check_promises(normalised.FEATURES)


def test_the_weights_of_a_fractional_difference_are_the_binomial_series() -> None:
    """A single step upwards shows the sums of the weights: (-1)^k times d over k, all of them adding up to zero."""
    x = np.concatenate([np.zeros(40), np.ones(40)])[:, None]
    panel = panels.from_prices(dict.fromkeys(("open", "high", "low", "close", "volume"), x))
    made = steps.fractional("close", (0.4, 1.0), 32)

    found = beside.values([steps.part(made, 0), steps.part(made, 1)], panel)[40:, 0]

    sums = np.cumsum([(-1) ** k * scipy.special.binom(0.4, k) for k in range(31)])
    np.testing.assert_allclose(found[:31, 0], sums, rtol=1e-12)
    np.testing.assert_allclose(found[31:, 0], 0.0, atol=1e-15)
    np.testing.assert_allclose(found[:, 1], [1.0, *np.zeros(39)], atol=1e-15)


def test_an_outlier_moves_a_robust_score_less_than_a_plain_one() -> None:
    """One bar a thousand times too high spoils mean and deviation for 60 bars, median and quartiles hardly."""
    x = np.random.default_rng(14).normal(100.0, 1.0, (200, 1))
    spoilt = x.copy()
    spoilt[150] *= 1000.0
    names = ["open", "high", "low", "close", "volume"]
    features = [steps.robust_score("close", 60), steps.exponential_score("close", 60)]

    calm, wild = (beside.values(features, panels.from_prices(dict.fromkeys(names, v)))[155:200, 0] for v in (x, spoilt))

    assert np.abs(calm - wild)[:, 0].max() < 0.5
    assert np.abs(wild[:, 1]).max() < 0.5 < np.abs(calm[:, 1]).max()
