"""Tests of order flow: a twin in pandas, what is done where a covariate is unknown, and what the estimators find."""

import numpy as np
import pytest

from features.catalog import flow
from tests.features import beside, naive_flow, panels

TWINS = {
    "tick_rule": "by tick_side and tick_volume_20",
    "buyer_share": "by imbalance, with and without buy_volume",
    "vpin": "by vpin_50",
    "two_bar_spread": "by corwin_schultz_20",
}
COUNTED = tuple(f for f in flow.FEATURES if f.name.startswith(("trade_", "spread_")))


@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_order_flow_equals_its_naive_twin(gaps: float) -> None:
    """Every feature at every bar, with bars missing and symbols listed late."""
    beside.compare(flow.FEATURES, naive_flow.table, beside.market(200, 2, 71, gaps))


def test_without_covariates_prices_are_typical_and_sides_are_classified_in_bulk() -> None:
    """A market that publishes no weighted price and no side still has flow; what needs counts of trades or quotes is unknown."""
    panel = beside.without(beside.market(130, 1, 72), "vwap", "buy_volume")
    beside.compare(flow.FEATURES, naive_flow.table, panel)

    bare = beside.values(COUNTED, beside.without(panel, "trades", "spread"))

    assert np.isnan(bare).all()


def test_order_flow_keeps_the_promises_of_the_catalogue() -> None:
    """Warm-up to the bar, finite after it, free of scale."""
    beside.check_promises(flow.FEATURES)


def test_rolls_spread_finds_the_bounce_between_bid_and_ask() -> None:
    """Prices that bounce by half a percent around a still value have a spread of one percent."""
    draw = np.random.default_rng(5)
    close = 100.0 * np.exp(np.cumsum(draw.normal(0, 0.0005, (4000, 8)), axis=0) + 0.005 * draw.choice([-1.0, 1.0], (4000, 8)))
    panel = panels.from_prices({**dict.fromkeys(("open", "high", "low", "close"), close), "volume": np.ones_like(close)})
    spread = next(feature for feature in flow.FEATURES if feature.name == "roll_spread_60")

    found = beside.values([spread], panel)[100:, :, 0]

    assert np.mean(found) == pytest.approx(0.01, rel=0.05)


def test_vpin_is_one_where_all_buy_and_zero_where_sides_are_even() -> None:
    """The two ends of the scale, whatever the volumes."""
    volume = np.round(np.exp(np.random.default_rng(6).normal(9, 2, (300, 2))))
    close = np.exp(np.cumsum(np.random.default_rng(7).normal(0, 0.01, (300, 2)), axis=0))
    panel = panels.from_prices({**dict.fromkeys(("open", "high", "low", "close"), close), "volume": volume})
    bought = volume * np.array([1.0, 0.5])
    feature = next(feature for feature in flow.FEATURES if feature.name == "vpin_50")

    found = beside.values([feature], beside.replace(panel, covariates={"buy_volume": bought}))[feature.warm_up :, :, 0]

    np.testing.assert_allclose(found, np.tile([1.0, 0.0], (len(found), 1)), atol=1e-12)
