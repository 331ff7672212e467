"""What every model promises: one class, passed by every family."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from models import family
from models.contract import Dataset, Model
from tests.models.planted import planted, training


class ModelContract:
    """Subclass it and name the family."""

    family: str

    @pytest.fixture
    def dataset(self) -> Dataset:
        """Return a market with a planted edge, gaps included."""
        return planted(bars=360, symbols=6, edge=0.3)

    @pytest.fixture
    def model(self, dataset: Dataset) -> Model:
        """Return a model fitted to the first 240 rows."""
        return self.fitted(dataset)

    def fitted(self, dataset: Dataset, threads: int = 1) -> Model:
        """Fit anew."""
        model = family.create(training(threads=threads), dataset.horizon, family=self.family)
        model.fit(dataset, np.arange(200), np.arange(210, 240))
        return model

    def digest(self, model: Model, folder: Path) -> str:
        """Return one digest over every saved byte."""
        model.save(folder)
        held = b"".join(path.name.encode() + path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())
        return hashlib.sha256(held).hexdigest()

    def test_it_says_what_it_is(self, model: Model, dataset: Dataset):
        """Family, horizon and context are told before anyone asks for a forecast."""
        assert (model.family, model.horizon) == (self.family, dataset.horizon)
        assert model.context_bars >= 1
        assert model.rounds >= 0

    def test_forecasts_have_a_quantile_for_each_level_in_order(self, model: Model, dataset: Dataset):
        """Shape [T, S, Q], float64, non-decreasing along Q."""
        found = model.predict(dataset.features, dataset.scale)

        assert found.shape == (*dataset.scale.shape, len(LEVELS))
        assert found.dtype == np.float64
        known = np.isfinite(found).all(axis=-1)
        assert (np.diff(found[known], axis=-1) >= 0.0).all()

    def test_nothing_is_forecast_where_nothing_is_known(self, model: Model, dataset: Dataset):
        """A missing or zero scale or a row without any feature is NaN in every quantile; all others are finite."""
        before = model.context_bars - 1
        features, scale = dataset.features[240 - before :].copy(), dataset.scale[240 - before :].copy()
        scale[before + 3, 1], scale[before + 4, 2], features[before + 5, 3] = np.nan, 0.0, np.nan
        silent = (np.isnan(scale) | (scale <= 0.0) | np.isnan(features).all(axis=-1))[before:]

        found = model.predict(features, scale)

        assert np.isnan(found[:before]).all()
        found = found[before:]
        assert np.isnan(found[silent]).all()
        assert np.isfinite(found[~silent]).all()
        assert silent[[3, 4, 5], [1, 2, 3]].all()

    def test_a_symbol_that_misses_some_features_still_gets_a_forecast(self, model: Model, dataset: Dataset):
        """One known feature is enough."""
        features = np.full((model.context_bars, 2, len(dataset.names)), np.nan, dtype=np.float32)
        features[..., 0] = 0.5

        assert np.isfinite(model.predict(features, np.full(features.shape[:2], 0.01))[-1]).all()

    def test_a_row_is_forecast_alike_alone_and_among_many(self, model: Model, dataset: Dataset):
        """To the last bit: bar by bar, in chunks, and all at once."""
        features, scale, before = dataset.features, dataset.scale, model.context_bars - 1
        together = model.predict(features, scale)

        def cut(first: int, last: int) -> FloatArray:
            return model.predict(features[first - before : last], scale[first - before : last])[before:]

        alone = np.concatenate([cut(t, t + 1) for t in range(240, 300)])
        chunks = np.concatenate([cut(a, b) for a, b in ((240, 247), (247, 300))])

        backward = np.concatenate([cut(t, t + 1) for t in reversed(range(240, 300))])[::-1]

        np.testing.assert_array_equal(alone, together[240:300])
        np.testing.assert_array_equal(backward, together[240:300])
        np.testing.assert_array_equal(chunks, together[240:300])

    def test_the_layout_of_the_features_does_not_matter(self, model: Model, dataset: Dataset):
        """A transposed view of [F, T, S], as the engine gives, is forecast as a plain array is."""
        view = np.ascontiguousarray(dataset.features.transpose(2, 0, 1)).transpose(1, 2, 0)

        np.testing.assert_array_equal(model.predict(view, dataset.scale), model.predict(dataset.features, dataset.scale))

    def test_ranges_widen_with_volatility(self, model: Model, dataset: Dataset):
        """Twice the volatility everywhere is twice the distance between any two quantiles."""
        once, twice = (np.diff(model.predict(dataset.features, factor * dataset.scale), axis=-1) for factor in (1.0, 2.0))

        np.testing.assert_allclose(twice, 2.0 * once, rtol=1e-9)

    def test_its_quantiles_hold_on_rows_it_has_not_seen(self, model: Model, dataset: Dataset):
        """Each quantile of 700 unseen outcomes covers its level within 0.08."""
        found = model.predict(dataset.features, dataset.scale)[250:]
        outcome = dataset.forward[250:]
        known = np.isfinite(outcome) & np.isfinite(found[..., MEDIAN])

        for k, level in enumerate(LEVELS):
            assert np.mean(outcome[known] <= found[..., k][known]) == pytest.approx(level, abs=0.08)

    def test_what_is_saved_is_what_is_loaded(self, model: Model, dataset: Dataset, tmp_path: Path):
        """The same forecasts to the last bit and the same bytes when saved again."""
        first = self.digest(model, tmp_path / "first")

        loaded = family.load(tmp_path / "first")

        np.testing.assert_array_equal(
            loaded.predict(dataset.features, dataset.scale), model.predict(dataset.features, dataset.scale)
        )
        assert self.digest(loaded, tmp_path / "second") == first
        assert loaded.importance() == model.importance()

    def test_the_same_data_and_seed_give_the_same_bytes_on_any_number_of_threads(
        self, model: Model, dataset: Dataset, tmp_path: Path
    ):
        """Fitted again, and again on two threads: how fast is not part of what."""
        expected = self.digest(model, tmp_path / "once")

        assert self.digest(self.fitted(dataset), tmp_path / "again") == expected
        assert self.digest(self.fitted(dataset, threads=2), tmp_path / "threads") == expected

    def test_predicting_changes_nothing(self, dataset: Dataset, tmp_path: Path):
        """The bytes before and after a forecast are the same."""
        model = self.fitted(dataset)
        before = self.digest(model, tmp_path / "before")

        model.predict(dataset.features, dataset.scale)

        assert self.digest(model, tmp_path / "after") == before

    def test_the_future_does_not_reach_the_fit(self, model: Model, dataset: Dataset, tmp_path: Path):
        """Rows after those handed to fit may hold anything."""
        features, label = dataset.features.copy(), dataset.label.copy()
        features[240:], label[240:] = 7.0, -7.0
        other = Dataset(
            features, dataset.forward, label, dataset.scale, dataset.event_at, dataset.names, dataset.symbols, dataset.horizon
        )

        assert self.digest(self.fitted(other), tmp_path / "other") == self.digest(model, tmp_path / "model")

    def test_importance_is_shares_of_known_features(self, model: Model, dataset: Dataset):
        """They sum to 1, or there are none."""
        shares = model.importance()

        assert set(shares) <= set(dataset.names)
        assert not shares or sum(shares.values()) == pytest.approx(1.0)

    def test_recalibrating_moves_the_quantiles_to_where_outcomes_fell(self, model: Model, dataset: Dataset, tmp_path: Path):
        """Outcomes twice as far from their median as before: each quantile covers its level again, and no tree has changed."""
        unseen = slice(250, dataset.bars)
        before = model.predict(dataset.features, dataset.scale)[unseen]
        outcome = before[..., MEDIAN] + 2.0 * (dataset.forward[unseen] - before[..., MEDIAN])
        shares = model.importance()
        model.save(tmp_path / "before")

        model.recalibrate(before, outcome)

        after = model.predict(dataset.features, dataset.scale)[unseen]
        known = np.isfinite(outcome) & np.isfinite(before[..., MEDIAN])
        covered = [np.mean(outcome[known] <= after[..., k][known]) for k in range(len(LEVELS))]
        np.testing.assert_allclose(covered, LEVELS, atol=0.04)
        assert np.mean(outcome[known] <= before[..., 0][known]) > 0.12
        model.save(tmp_path / "after")
        kept = [path.relative_to(tmp_path / "before") for path in (tmp_path / "before").rglob("*.*") if path.name != "model.json"]
        assert all((tmp_path / "before" / name).read_bytes() == (tmp_path / "after" / name).read_bytes() for name in kept)
        assert model.importance() == shares

    def test_fine_tuning_goes_on_from_what_was_learned(self, dataset: Dataset, tmp_path: Path):
        """It changes the model, keeps its promises, and does the same thing twice."""
        first, second = self.fitted(dataset), self.fitted(dataset)
        before = self.digest(first, tmp_path / "before")

        for model in (first, second):
            model.fine_tune(dataset, np.arange(200, 340), 5)

        assert self.digest(first, tmp_path / "after") != before
        assert self.digest(second, tmp_path / "second") == self.digest(first, tmp_path / "first")
        assert np.isfinite(first.predict(dataset.features, dataset.scale)[350:]).any()
