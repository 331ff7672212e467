"""Tests of regimes: twins in pandas and hmmlearn, and what the measures find in markets whose regime is known."""

import numpy as np
import pytest

from features.catalog import regime
from tests.features import beside, naive_regime, panels

TWINS = {
    "two_states": "by wild_probability, against hmmlearn",
    "three_states": "by fall_, calm_ and rise_probability, against hmmlearn",
    "cusum": "by cusum_up, cusum_down and cusum_volatility",
}


@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_regimes_equal_their_naive_twin(gaps: float) -> None:
    """Every feature at every bar; the states' probabilities are those that hmmlearn gives when the series ends at that bar."""
    beside.compare(regime.FEATURES, naive_regime.table, beside.market(340, 3, 91, gaps))


def test_regimes_keep_the_promises_of_the_catalogue() -> None:
    """Warm-up to the bar, finite after it, free of scale."""
    beside.check_promises(regime.FEATURES)


def test_the_filter_tells_a_wild_stretch_from_a_calm_one() -> None:
    """In a market that turns three times as volatile for 60 bars most of them are called wild, and far fewer of those before."""
    returns = np.random.default_rng(15).normal(0.0, 0.01, (560, 20))
    returns[440:500] *= 3.0

    wild = beside.values([_named("wild_probability")], _walk(returns))[:, :, 0]

    assert wild[445:500].mean() > 0.8
    assert wild[445:500].mean() - wild[300:440].mean() > 0.35


def test_the_cusum_rises_after_the_drift_has_changed() -> None:
    """A drift of one deviation a bar is plain after ten bars; a fall has the same evidence on the other side."""
    returns = np.random.default_rng(16).normal(0.0, 0.01, (420, 20))
    returns[400:, :10] += 0.01
    returns[400:, 10:] -= 0.01

    sums = beside.values([_named("cusum_up"), _named("cusum_down")], _walk(returns))

    assert (sums[399].mean(axis=0) < 1.0).all()
    assert sums[411, :10, 0].mean() > 4.0
    assert sums[411, 10:, 1].mean() > 4.0


def test_trends_and_reversals_have_hurst_exponents_on_either_side_of_a_half() -> None:
    """Returns that repeat the one before have H above 0.5, those that take it back below, and a random walk about 0.5."""
    noise = np.random.default_rng(17).normal(0.0, 0.01, (600, 30))
    returns = {share: noise.copy() for share in (-0.5, 0.0, 0.5)}
    for share, r in returns.items():
        for t in range(1, len(r)):
            r[t] += share * r[t - 1]

    back, none, trend = (beside.values([_named("hurst_20")], _walk(r))[140:, :, 0].mean() for r in returns.values())

    assert back < 0.35 < none < 0.53 < trend


def _named(name: str) -> beside.Feature:
    return next(feature for feature in regime.FEATURES if feature.name == name)


def _walk(returns: np.ndarray) -> beside.Panel:
    close = 100.0 * np.exp(np.cumsum(returns, axis=0))
    return panels.from_prices({**dict.fromkeys(("open", "high", "low", "close"), close), "volume": np.ones_like(close)})
