"""Tests of groups: twins in pandas over whole rows, unknown sectors, changing ones, and symbols that come and go."""

import numpy as np
import pandas as pd
import pytest

from features import steps
from features.catalog import group
from features.feature import Feature
from features.kernels import group as kernels
from tests.features import beside, naive_group, panels

TWINS = {
    "demean": "by sector_demeaned, and on its own",
    "rank": "by sector_rank, and on its own; of a row on its own",
    "score": "by row_score, and on its own",
    "summary": "by row_dispersion, row_breadth, behind_leader",
    "residual": "by market_residual",
    "unexplained": "by residual_volatility_60",
}
DEMEAN = Feature("demean", kernels.demean, ("close", "sector"), (), kernels.MEAN_SLOTS, whole_row=True)
RANK = Feature("rank", kernels.rank, ("close", "sector"), (), kernels.RANK_SLOTS, whole_row=True)


def test_groups_equal_their_naive_twin() -> None:
    """Every feature in every row of a market of 23 symbols in three sectors."""
    panel = beside.market(160, 23, 101)
    expected = naive_group.tables(panel)

    found = beside.values(group.FEATURES, panel)

    assert set(expected) == {feature.name for feature in group.FEATURES}
    for f, feature in enumerate(group.FEATURES):
        np.testing.assert_allclose(found[:, :, f], expected[feature.name], rtol=1e-9, atol=1e-10, err_msg=feature.name)


def test_groups_keep_the_promises_of_the_catalogue() -> None:
    """Warm-up to the bar, finite after it, free of scale."""
    beside.check_promises(group.FEATURES)


@pytest.mark.parametrize("sectors", ["few", "none", "own", "changing"])
def test_sectors_may_be_unknown_alone_or_change(sectors: str) -> None:
    """Ties, missing bars, symbols without a sector (one group), with one of their own, and sectors that change from row to row."""
    draw = np.random.default_rng(18)
    x = np.round(draw.normal(0.0, 2.0, (60, 19)))
    x[draw.random(x.shape) < 0.2] = np.nan
    x[7] = np.nan
    code = {
        "few": np.tile(draw.choice([10.0, 45.0, -3.0, np.nan], 19), (60, 1)),
        "none": np.full(x.shape, np.nan),
        "own": np.tile(np.arange(19.0), (60, 1)),
        "changing": draw.choice([1.0, 2.0, np.nan], x.shape),
    }[sectors]
    panel = panels.from_prices(dict.fromkeys(("open", "high", "low", "close", "volume"), x))
    frame = pd.DataFrame(x)

    found = beside.values([DEMEAN, RANK], beside.replace(panel, covariates={"sector": code}))

    demeaned = naive_group.by_sector(frame, code, lambda g: g.sub(g.mean(axis=1), axis=0))
    np.testing.assert_allclose(found[:, :, 0], demeaned, atol=1e-12)
    np.testing.assert_allclose(found[:, :, 1], naive_group.by_sector(frame, code, naive_group.rank), atol=1e-12)


def test_a_panel_without_sectors_is_one_group() -> None:
    """Where nothing is known of sectors the sector's rank is the row's."""
    panel = beside.without(beside.market(40, 12, 102), "sector")

    found = beside.values([steps.sector_rank("close"), steps.row_rank("close")], panel)

    np.testing.assert_allclose(found[:, :, 0], found[:, :, 1], atol=1e-15)


def test_a_row_that_does_not_vary_scores_zero() -> None:
    """A symbol alone, or among equals, is neither high nor low."""
    x = np.array([[3.0, np.nan, np.nan], [2.0, 2.0, np.nan], [np.nan] * 3, [1.0, 2.0, 3.0]])
    panel = panels.from_prices(dict.fromkeys(("open", "high", "low", "close", "volume"), x))

    found = beside.values([steps.row_score("close")], panel)[:, :, 0]

    expected = [[0.0, np.nan, np.nan], [0.0, 0.0, np.nan], [np.nan] * 3, [-np.sqrt(1.5), 0.0, np.sqrt(1.5)]]
    np.testing.assert_allclose(found, expected, atol=1e-15)
