"""Zero, drift and momentum keep the contract and say what their names say."""

import numpy as np
import pytest

from domain.error import ModelError
from domain.forecast import LEVELS, MEDIAN
from models.baseline import PAST_RETURN, Drift, Momentum, Zero
from models.contract import Dataset
from tests.models.contract import ModelContract
from tests.models.planted import HORIZON, planted


class TestZero(ModelContract):
    """Nothing moves on average."""

    family = "zero"

    def test_quantiles_are_symmetric_around_zero(self, dataset: Dataset):
        """The median is exactly 0, and each level mirrors its opposite, as wide as |label| was."""
        model = Zero(HORIZON)
        model.fit(dataset, np.arange(240), np.arange(0))
        _, label = dataset.samples(np.arange(240))

        assert model.quantiles[MEDIAN] == 0.0
        np.testing.assert_array_equal(model.quantiles, -model.quantiles[::-1])
        assert model.quantiles[-1] == pytest.approx(np.percentile(np.abs(label), 90))


class TestDrift(ModelContract):
    """What history did."""

    family = "drift"

    def test_quantiles_are_those_of_the_label(self, dataset: Dataset):
        """In volatilities of the horizon, whatever the features say."""
        model = Drift(HORIZON)
        model.fit(dataset, np.arange(240), np.arange(0))
        _, label = dataset.samples(np.arange(240))

        np.testing.assert_allclose(model.quantiles, np.percentile(label, 100 * np.array(LEVELS)))


class TestMomentum(ModelContract):
    """What rose goes on rising."""

    family = "momentum"

    def test_the_slope_is_the_regression_through_the_origin(self, dataset: Dataset):
        """Against numpy's least squares, and near the planted edge of 0.3."""
        model = Momentum(HORIZON)
        model.fit(dataset, np.arange(300), np.arange(0))
        features, label = dataset.samples(np.arange(300))
        signal = np.nan_to_num(features[:, dataset.names.index(PAST_RETURN)].astype(np.float64))
        expected = np.linalg.lstsq(signal[:, None], label, rcond=None)[0][0]

        assert model.slope == pytest.approx(expected)
        assert model.slope == pytest.approx(0.3, abs=0.08)

    def test_a_catalogue_without_the_past_return_is_refused(self):
        """The sentence names the feature that is missing."""
        held = planted()
        renamed = Dataset(
            held.features, held.forward, held.label, held.scale, held.event_at, tuple("abcdef"), held.symbols, held.horizon
        )

        with pytest.raises(ModelError, match=f"'momentum' needs the feature '{PAST_RETURN}'"):
            Momentum(HORIZON).fit(renamed, np.arange(100), np.arange(0))


def test_rows_without_a_known_label_are_refused():
    """The newest rows' labels are not known yet."""
    with pytest.raises(ModelError, match=r"asked to fit 3 rows, but none of them has a known label"):
        Drift(HORIZON).fit(planted(), np.arange(357, 360), np.arange(0))
