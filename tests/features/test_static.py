"""Tests of the static family: twins in pandas over whole rows."""

import numpy as np
import pandas as pd

from features.catalog import static
from tests.features import beside, naive_group, panels


def test_what_hardly_changes_equals_its_naive_twin() -> None:
    """Every feature in every row of a market of 23 symbols in three sectors, one of them unknown to the first symbol."""
    panel = beside.market(420, 23, 131)
    panel.covariates["sector"][:, 0] = np.nan
    prices = {name: pd.DataFrame(values) for name, values in panel.columns().items()}
    move = np.log(prices["close"]).diff()
    market = pd.DataFrame(np.tile(move.mean(axis=1).to_numpy()[:, None], (1, 23)))
    expected = {
        "static_sector": prices["sector"],
        "static_liquidity": naive_group.rank(smooth(prices["vwap"] * prices["volume"])),
        "static_volatility": naive_group.rank(smooth((move**2).iloc[1:]).reindex(move.index)),
        "static_beta": market.rolling(250).cov(move, ddof=0) / market.rolling(250).var(ddof=0),
    }

    found = beside.values(static.FEATURES, panel)

    assert set(expected) == {feature.name for feature in static.FEATURES}
    for f, feature in enumerate(static.FEATURES):
        np.testing.assert_allclose(found[:, :, f], expected[feature.name], rtol=1e-9, atol=1e-10, err_msg=feature.name)


def smooth(x: pd.DataFrame) -> pd.DataFrame:
    """Return the exponential mean of span 250, begun by the mean of the first 250 rows."""
    begun = pd.concat([x.iloc[:250].mean().to_frame().T, x.iloc[250:]])
    return begun.ewm(span=250, adjust=False).mean().set_axis(x.index[249:]).reindex(x.index)


def test_static_features_keep_the_promises_of_the_catalogue() -> None:
    """Warm-up to the bar, finite after it, free of scale."""
    beside.check_promises(static.FEATURES)


def test_a_missing_bar_has_no_sector() -> None:
    """The code stands where the symbol has a bar."""
    panel = panels.covered(panels.random(40, 6, 3, gaps=0.2))

    sector = beside.values(static.FEATURES[:1], panel)[:, :, 0]

    np.testing.assert_array_equal(np.isfinite(sector), panel.present)
