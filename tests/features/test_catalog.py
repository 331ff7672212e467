"""Tests of the catalogue: what it promises of every feature."""

import numpy as np
import pytest

from domain.error import UnknownParameter
from features import catalog, indicators
from features.engine import FeatureEngine
from tests.features import panels

#: Features whose published formula depends on the unit: illiquidity per traded value, and log(volume + 1).
OF_SCALE = {"log_amihud_20", *(f"alpha158_corr_{bars}" for bars in (5, 10, 20, 30, 60))}
EVERY_FAMILY = ("average", "momentum", "volatility", "volume", "statistics", "cross_section", "calendar")


def test_the_catalogue_begins_with_forty_features_of_seven_families() -> None:
    """Names are unique and every row says what it means."""
    names = [feature.name for feature in catalog.CATALOG]

    assert len(set(names)) == len(names) >= 40
    assert catalog.FAMILIES[: len(EVERY_FAMILY)] == EVERY_FAMILY
    assert all(feature.meaning for feature in catalog.CATALOG)


def test_warm_up_is_the_number_of_bars_before_the_first_value() -> None:
    """On gapless data each feature is NaN for exactly its warm-up and finite ever after."""
    engine = FeatureEngine(catalog.CATALOG, 10)

    values = engine.advance(panels.covered(panels.random(engine.warm_up + 60, 10, 21)))

    for f, feature in enumerate(catalog.CATALOG):
        assert np.isnan(values[: feature.warm_up, :, f]).all(), feature.name
        assert np.isfinite(values[feature.warm_up :, :, f]).all(), feature.name


def test_an_engine_warms_up_as_long_as_its_slowest_feature() -> None:
    """The engine's warm-up is the longest of its features'."""
    assert FeatureEngine(catalog.CATALOG, 3).warm_up == max(feature.warm_up for feature in catalog.CATALOG)


def test_features_are_free_of_scale() -> None:
    """Prices in another currency and volumes in another lot change no feature, up to rounding."""
    panel = panels.random(400, 6, 22)
    scaled = {name: getattr(panel, name) * 64.0 for name in ("open", "high", "low", "close")}
    other = panels.from_prices({**scaled, "volume": panel.volume * 64.0})
    free = tuple(feature for feature in catalog.CATALOG if feature.name not in OF_SCALE)

    a = FeatureEngine(free, 6, precision=np.float64).advance(panel)
    b = FeatureEngine(free, 6, precision=np.float64).advance(other)

    np.testing.assert_allclose(a, b, rtol=1e-7, atol=1e-9)


def test_a_selection_keeps_the_catalogues_order_and_the_scale() -> None:
    """The scale is computed whatever is asked for."""
    chosen = catalog.select(["calendar", "average"])

    assert catalog.SCALE in [feature.name for feature in chosen]
    assert [f for f in catalog.CATALOG if f in chosen] == list(chosen)
    assert catalog.select([]) == tuple(f for f in catalog.CATALOG if f.name == catalog.SCALE)
    assert catalog.select(catalog.FAMILIES) == catalog.CATALOG


def test_an_unknown_family_is_refused_with_the_nearest_name() -> None:
    """A misspelt family is one sentence that leads to the right one."""
    with pytest.raises(UnknownParameter, match="did you mean 'momentum'"):
        catalog.select(["momentun"])


def test_the_schema_hash_follows_everything_that_decides_a_value() -> None:
    """Order, names and the parameters of an inner step change the hash; asking again does not."""
    a, b = catalog.CATALOG[:2]

    assert catalog.schema_hash([a, b]) == catalog.schema_hash([a, b])
    assert catalog.schema_hash([a, b]) != catalog.schema_hash([b, a])
    assert catalog.schema_hash([indicators.trix("close", 15)]) != catalog.schema_hash([indicators.trix("close", 16)])


def test_the_scale_is_the_root_of_an_ewma_of_squared_log_returns() -> None:
    """The one-bar volatility by hand: seeded by the mean of the first 60 squares, then a span of 60."""
    panel = panels.random(120, 1, 23)
    squares = np.diff(np.log(panel.close[:, 0])) ** 2

    values = FeatureEngine(catalog.select([]), 1, precision=np.float64).advance(panel)[:, 0, 0]

    variance = squares[:60].mean()
    for t in range(60, 120):
        variance = variance if t == 60 else variance + 2 / 61 * (squares[t - 1] - variance)
        assert values[t] == pytest.approx(np.sqrt(variance), rel=1e-12)
