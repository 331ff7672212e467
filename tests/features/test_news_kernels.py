"""Tests of the kernels of news and macro against twins that know every headline, not sums."""

import math
from itertools import pairwise

import numpy as np
import pytest

from domain.panel import FloatArray, Panel
from features.catalog import macro
from features.catalog import news as catalogue
from features.catalog.news import HALF_LIVES_US, IMPULSES
from features.engine import FeatureEngine
from features.feature import Feature
from features.kernels import macro as macros
from features.kernels import news

HOUR_US = 3_600_000_000
HAND = "test_what_is_made_of_the_sums_is_what_it_says"
#: The kernels of the two modules, by the test that compares them.
TWINS = {
    "decayed": "test_a_faded_sum_is_the_sum_over_headlines",
    "freshness": "test_freshness_counts_from_the_newest_publication",
    **dict.fromkeys(("tone", "volume", "surge", "disagreement", "side", "level", "spread"), HAND),
}


def panel(missing: FloatArray, **covariates: FloatArray) -> Panel:
    """Return weekday closes with weekends between them; `missing` [T, S] says where there is no bar."""
    bars = len(missing)
    days = np.busday_offset(np.datetime64("2015-01-02"), np.arange(bars))
    closed = days.astype("datetime64[us]") + np.timedelta64(21, "h")
    close = np.where(missing, np.nan, 1.0)
    symbols = tuple(f"S{i}" for i in range(missing.shape[1]))
    return Panel("t", "1d", symbols, closed - np.timedelta64(6, "h"), closed, *[close] * 5, covariates=covariates)


@pytest.mark.parametrize("half_life", ["6h", "1d", "5d"])
@pytest.mark.parametrize("pieces", [1, 7, 60])
def test_a_faded_sum_is_the_sum_over_headlines(half_life: str, pieces: int) -> None:
    """News on weekends and while a symbol has no bar counts, whatever pieces history comes in: score x 2^(-age/half-life)."""
    draw = np.random.default_rng(4)
    missing = draw.random((60, 3)) < 0.3
    empty = panel(missing)
    at = empty.event_at.astype(np.int64)
    headlines = [
        (int(draw.integers(at[0] - 90 * HOUR_US, at[-1])), int(draw.integers(3)), float(draw.normal())) for _ in range(200)
    ]
    impulse, half = np.zeros((60, 3)), HALF_LIVES_US[half_life]
    for when, column, score in headlines:
        row = int(np.searchsorted(at, when))
        impulse[row, column] += score * 2.0 ** (-(at[row] - when) / half)
    name = f"news_sentiment_{half_life}"
    feature = Feature("tested", news.decayed, (name, "event_at", "close"), (float(half),), news.DECAY_SLOTS)
    whole = panel(missing, **{name: impulse})
    engine = FeatureEngine((feature,), 3, precision=np.float64)
    edges = np.linspace(0, 60, pieces + 1).astype(int)

    values = np.concatenate([engine.advance(whole.rows(a, b)) for a, b in pairwise(edges)])[..., 0]

    for t in range(60):
        for s in range(3):
            expected = math.fsum(
                v * 2.0 ** (-(at[t] - when) / half) for when, column, v in headlines if column == s and when <= at[t]
            )
            assert math.isnan(values[t, s]) if missing[t, s] else values[t, s] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_freshness_counts_from_the_newest_publication() -> None:
    """0 before the first headline; 1/2 a day after one; an older headline that comes late does not make it older."""
    whole = panel(np.zeros((4, 1), bool))
    at = whole.event_at.astype(np.float64)
    latest = np.array([[np.nan], [at[1] - 24 * HOUR_US], [at[0]], [np.nan]])
    feature = Feature("tested", news.freshness, ("news_latest", "event_at", "close"), (), news.FRESHNESS_SLOTS)

    values = FeatureEngine((feature,), 1, precision=np.float64).advance(panel(np.zeros((4, 1), bool), news_latest=latest))[:, 0, 0]

    days = (at[2:] - (at[1] - 24 * HOUR_US)) / (24 * HOUR_US)
    np.testing.assert_allclose(values, [0.0, 0.5, *(1.0 / (1.0 + days))], rtol=1e-12)


def test_what_is_made_of_the_sums_is_what_it_says() -> None:
    """Means, logarithms, deviations and signs by hand; no news gives zero everywhere."""
    columns = {"open": [0.6, 0.0], "high": [2.0, 0.0], "low": [0.5, 0.0], "close": [1.0, 1.0]}
    values = {name: np.array([column]) for name, column in columns.items()}
    at = np.array(["2015-01-02T21:00"], "datetime64[us]")
    whole = Panel("t", "1d", ("A", "B"), at - np.timedelta64(1, "h"), at, **values, volume=np.ones((1, 2)))
    features = (
        Feature("tone", news.tone, ("open", "high")),
        Feature("volume", news.volume, ("high",)),
        Feature("surge", news.surge, ("high", "open"), (3.0,)),
        Feature("disagreement", news.disagreement, ("low", "open", "high")),
        Feature("side", news.side, ("open",)),
        Feature("level", macros.level, ("open", "close")),
        Feature("spread", macros.spread, ("high", "open", "close")),
    )

    found = FeatureEngine(features, 2, precision=np.float64).advance(whole)[0]

    expected = [0.6 / 3.0, math.log(3.0), math.log(3.0 / 1.2), math.sqrt(0.25 - 0.09), 1.0, 0.6, 1.4]
    np.testing.assert_allclose(found[0], expected, rtol=1e-12)
    np.testing.assert_allclose(found[1], 0.0, atol=1e-15)


def test_without_any_news_all_is_zero_where_a_bar_is() -> None:
    """A market without headlines is quiet, not unknown; NaN says that there is no bar."""
    missing = np.random.default_rng(1).random((40, 4)) < 0.2

    values = FeatureEngine(catalogue.FEATURES, 4, precision=np.float64).advance(panel(missing))

    for f, feature in enumerate(catalogue.FEATURES):
        own = values[..., f]
        assert np.isnan(own[missing]).all(), feature.name
        if not feature.warm_up and "rank" not in feature.name:
            assert (own[~missing] == 0.0).all(), feature.name


def test_the_join_and_the_catalogue_name_the_same_covariates() -> None:
    """A covariate that nobody brings, or that nobody reads, is a slip of the pen."""
    read = {source for feature in (*catalogue.FEATURES, *macro.FEATURES) for source in _sources(feature)}

    assert {impulse.name for impulse in IMPULSES} | set(macro.COVARIATES) == read - {"event_at", "close"}


def _sources(feature: Feature) -> set[str]:
    inputs = feature.inputs
    return {i for i in inputs if isinstance(i, str)}.union(*(_sources(i) for i in inputs if isinstance(i, Feature)))
