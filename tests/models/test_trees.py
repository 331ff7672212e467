"""Trees keep the contract, find what tells symbols apart, and know how widely they miss."""

import math
from dataclasses import replace

import numpy as np
import pytest

from domain.error import ModelError
from domain.forecast import MEDIAN
from models import metrics
from models.contract import Dataset
from models.trees import Trees
from tests.models.contract import ModelContract
from tests.models.planted import HORIZON, planted, training


def _fitted(dataset: Dataset, **chosen: float) -> Trees:
    model = Trees.create(training(**chosen), HORIZON)
    model.fit(dataset, np.arange(240), np.arange(0))
    return model


def _rank_ic(model: Trees, dataset: Dataset) -> float:
    median = model.predict(dataset.features[250:], dataset.scale[250:])[..., MEDIAN]
    return metrics.mean(metrics.rank_ic(median, dataset.forward[250:]))


class TestTrees(ModelContract):
    """XGBoost behind the contract."""

    family = "trees"

    def test_it_ranks_by_the_planted_feature(self, dataset: Dataset):
        """The feature that moves the label is worth twice any other."""
        shares = _fitted(dataset).importance()
        others = [share for name, share in shares.items() if name != "return_20"]

        assert shares["return_20"] > 2.0 * max(others)

    def test_the_markets_own_move_does_not_hide_the_ranking(self, dataset: Dataset):
        """A common move ten times as large as anything else leaves the out-of-sample ranking where it was."""
        common = 10.0 * np.random.default_rng(3).standard_normal((dataset.bars, 1))
        moved = dataset.label + common * np.nanmedian(dataset.scale, axis=1, keepdims=True) / dataset.scale
        tossed = replace(dataset, label=moved, forward=moved * dataset.scale * math.sqrt(HORIZON))

        assert _rank_ic(_fitted(tossed), tossed) == pytest.approx(_rank_ic(_fitted(dataset), dataset), abs=0.02)

    def test_its_spread_widens_where_outcomes_do(self):
        """With misses three times as wide where one feature is positive, forecast ranges are at least twice as wide there."""
        calm = planted(bars=900, edge=0.0)
        wild = np.nan_to_num(calm.features[..., 0]) > 0.0
        label = np.where(wild, 3.0, 1.0) * calm.label
        dataset = replace(calm, label=label, forward=label * calm.scale * math.sqrt(HORIZON))
        model = Trees.create(training(), HORIZON)
        model.fit(dataset, np.arange(700), np.arange(0))

        found = model.predict(dataset.features[710:], np.full_like(dataset.scale[710:], 0.01))
        width = found[..., -1] - found[..., 0]

        assert np.nanmean(width[wild[710:]]) > 2.0 * np.nanmean(width[~wild[710:]])

    def test_stopping_early_takes_fewer_rounds_where_there_is_nothing_to_learn(self):
        """Noise is not worth 40 rounds."""
        model = Trees.create(training(), HORIZON)
        noise = planted(bars=400, edge=0.0)

        model.fit(noise, np.arange(260), np.arange(270, 390))

        assert 1 <= model.rounds < 40

    def test_one_symbol_is_learned_over_time(self):
        """Where no row can be ranked, the return itself is learned: forecasts rise with the planted feature."""
        alone = planted(bars=900, symbols=1, edge=0.4)
        model = Trees.create(training(), HORIZON)
        model.fit(alone, np.arange(700), np.arange(0))

        median = model.predict(alone.features[710:], alone.scale[710:])[..., MEDIAN]

        assert np.nanmean(metrics.pooled_ic(median, alone.forward[710:])) > 0.2


def test_too_few_labels_are_refused():
    """One sentence with the numbers."""
    with pytest.raises(ModelError, match=r"trees were asked to fit 10 bars of 6 symbols, but only \d+ labels are known there"):
        Trees.create(training(), HORIZON).fit(planted(), np.arange(10), np.arange(0))


def test_unfitted_trees_forecast_nothing():
    """They say so."""
    dataset = planted()

    with pytest.raises(ModelError, match="before they were fitted"):
        Trees.create(training(), HORIZON).predict(dataset.features, dataset.scale)


def test_a_date_in_disguise_is_not_learned_from():
    """A feature of the whole market that only rises through history moves no forecast; one that comes and goes may."""
    held = planted(bars=360, edge=0.3)
    features = held.features.copy()
    features[..., 2] = np.linspace(0.0, 1.0, held.bars)[:, None]
    later = features.copy()
    later[..., 2] = -1.0
    model = _fitted(replace(held, features=features))

    np.testing.assert_array_equal(model.predict(later, held.scale), model.predict(features, held.scale))
    assert model.importance()[held.names[2]] == 0.0
