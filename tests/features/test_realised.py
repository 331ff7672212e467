"""Tests of realised volatility: a twin in pandas, the library arch, and what the estimators are for."""

import numpy as np
import pytest
from arch.univariate import GARCH, ZeroMean

from features import indicators as plain
from features.catalog import realised
from features.feature import Feature
from features.kernels import realised as kernels
from tests.features import beside, naive_realised, panels

TWINS = {
    "bipower": "by bipower_20 and jump_share",
    "semivariance": "by semideviation and downside_share",
    "excess": "by jump_share",
    "yang_zhang": "by yang_zhang",
    "garch": "by garch, and by the library arch",
}


@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_realised_volatility_equals_its_naive_twin(gaps: float) -> None:
    """Every feature at every bar, with bars missing and symbols listed late."""
    beside.compare(realised.FEATURES, naive_realised.table, beside.market(420, 2, 61, gaps))


def test_realised_volatility_keeps_the_promises_of_the_catalogue() -> None:
    """Warm-up to the bar, finite after it, free of scale."""
    beside.check_promises(realised.FEATURES)


def test_a_garch_filter_is_the_one_of_the_library_arch() -> None:
    """With a constant level the conditional variances are arch's; its other first value has faded after 300 bars."""
    returns = np.random.default_rng(3).standard_t(5, 700)
    model = ZeroMean(returns)
    model.volatility = GARCH(1, 0, 1)
    expected = model.fix([0.02 * 1.5, 0.06, 0.92]).conditional_volatility ** 2
    level = np.full((700, 1), 1.5)
    panel = panels.from_prices({"open": returns[:, None] ** 2, "high": level, "low": level, "close": level, "volume": level})
    feature = Feature("variance", kernels.garch, ("open", "close"), (0.06, 0.92), kernels.GARCH_SLOTS)

    found = beside.values([feature], panel)[:, 0, 0]

    np.testing.assert_allclose(found[300:-1], expected[301:], rtol=1e-9)


def test_a_jump_shows_in_the_jump_share_and_hardly_in_the_bipower_variation() -> None:
    """One return of ten deviations is most of the variance; bipower variation keeps most of it out."""
    returns = np.random.default_rng(4).normal(0.0, 0.01, (400, 20))
    jumped = returns.copy()
    jumped[390] += 0.1
    names = ["bipower_20", "jump_share_20"]
    chosen = [feature for feature in realised.FEATURES if feature.name in names]
    features = [*chosen, plain.deviation(plain.change(plain.logarithm("close")), 20)]

    calm, wild = (beside.values(features, _walk(r))[395].mean(axis=0) for r in (returns, jumped))

    assert [feature.name for feature in chosen] == names
    assert calm[1] < 0.3
    assert wild[1] > 0.5
    assert wild[2] / calm[2] > 2.0
    assert wild[0] / calm[0] < 1.8


def _walk(returns: np.ndarray) -> beside.Panel:
    close = 100.0 * np.exp(np.cumsum(returns, axis=0))
    return panels.from_prices({**dict.fromkeys(("open", "high", "low", "close"), close), "volume": np.ones_like(close)})
