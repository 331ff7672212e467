"""An ensemble keeps the contract, and its weights go to whoever shows something."""

import math
from pathlib import Path

import numpy as np
import pytest

from domain.forecast import LEVELS
from domain.panel import FloatArray
from models import ensemble, family
from models.ensemble import Ensemble
from tests.models.contract import ModelContract
from tests.models.planted import HORIZON, planted, training


class TestEnsemble(ModelContract):
    """Trees and a sequence network behind the contract."""

    family = "ensemble"

    def test_it_is_the_weighted_mean_of_its_members(self, tmp_path: Path):
        """Quantile by quantile, with the weights and members that it saved."""
        dataset = planted()
        model = self.fitted(dataset)
        model.save(tmp_path)
        members = [family.load(tmp_path / name) for name in ("trees", "sequence")]
        weights = Ensemble.load(tmp_path).weights

        expected = sum(w * each.predict(dataset.features, dataset.scale) for w, each in zip(weights, members, strict=True))

        assert sum(weights) == pytest.approx(1.0)
        np.testing.assert_allclose(model.predict(dataset.features, dataset.scale), expected, rtol=1e-12)
        assert np.isnan(expected[: model.context_bars - 1]).all()


def world(bars: int, symbols: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Return a mean [T, S] that can be known and the outcome [T, S] around it."""
    rng = np.random.default_rng(seed)
    known = 0.01 * rng.standard_normal((bars, symbols))
    return known, known + 0.02 * rng.standard_normal((bars, symbols))


def around(centre: FloatArray) -> FloatArray:
    """Return [T, S, Q] normal quantiles of deviation 2% around a centre."""
    from scipy.stats import norm

    return centre[..., None] + 0.02 * norm.ppf(LEVELS)


def test_weight_goes_to_the_member_that_knows():
    """One that knows the mean and one that knows its opposite: nearly all to the first."""
    known, outcome = world(600, 20, seed=1)

    weights = ensemble.weigh(np.stack((around(known), around(-known))), outcome, HORIZON)

    assert weights[0] > 0.95
    assert weights.sum() == pytest.approx(1.0)


def test_members_that_know_nothing_stay_equals():
    """Two that differ by noise alone, over ten worlds: no weight strays far from a half."""
    far = []
    for seed in range(10):
        rng = np.random.default_rng(100 + seed)
        _, outcome = world(400, 10, seed)
        noise = [around(0.002 * rng.standard_normal(outcome.shape)) for _ in range(2)]
        far.append(abs(ensemble.weigh(np.stack(noise), outcome, HORIZON)[0] - 0.5))

    assert np.median(far) < 0.1
    assert max(far) < 0.5


def test_the_best_weights_are_the_best_of_a_grid():
    """Three members; no point of a fine grid over the simplex has a smaller loss."""
    known, outcome = world(300, 10, seed=4)
    other = world(300, 10, seed=5)[0]
    made = np.stack((around(known + other), around(known - other), around(0.0 * known)))

    found = ensemble._best(made, outcome)

    def loss(weights: FloatArray) -> float:
        error = outcome[..., None] - np.tensordot(weights, made, axes=1)
        return float(np.maximum(np.array(LEVELS) * error, (np.array(LEVELS) - 1.0) * error).mean())

    grid = [np.array((a, b, 1.0 - a - b)) for a in np.linspace(0, 1, 41) for b in np.linspace(0, 1, 41) if a + b <= 1.0]
    assert loss(found) <= min(map(loss, grid)) + 1e-7


def test_too_few_rows_weigh_nothing():
    """And one member alone is the ensemble."""
    known, outcome = world(40, 5, seed=2)

    assert ensemble.weigh(np.stack((around(known), around(-known))), outcome, HORIZON).tolist() == [0.5, 0.5]
    assert ensemble.weigh(around(known)[None], outcome, HORIZON).tolist() == [1.0]


def test_importance_is_that_of_the_members_that_tell():
    """Trees tell, the network does not: what is told are the trees' shares."""
    dataset = planted()
    model = Ensemble.create(training(), HORIZON)
    model.fit(dataset, np.arange(200), np.arange(210, 240))

    assert model.importance() == pytest.approx(model.members[0].importance())
    assert math.isclose(sum(model.importance().values()), 1.0)
