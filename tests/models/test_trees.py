"""Trees keep the contract, find what tells symbols apart, and know how widely they miss."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import xgboost

from domain.error import ModelError
from domain.forecast import MEDIAN
from models import bundle, forest, metrics
from models.bundle import Golden, Schema
from models.contract import Dataset
from models.trees import Trees
from models.walker import Forest
from tests.models.contract import ModelContract
from tests.models.planted import HORIZON, planted, training

#: Loads a bundle and forecasts with it while every class that is unpickled is noted. The first forecast brings machine code from
#: disk, which numba keeps with pickle; what is noted is the second. A pickle at the end shows that notes are taken.
SERVING = """
import pickle
import sys
from pathlib import Path
import numpy as np
from models import bundle

folder, asked, answer = map(Path, sys.argv[1:])
features, scale = np.load(asked / "features.npy"), np.load(asked / "scale.npy")
bundle.load(folder)
noted = []
sys.addaudithook(lambda event, told: noted.append(told) if event == "pickle.find_class" else None)
model, _ = bundle.load(folder)
np.save(answer, model.predict(features, scale))
assert not noted, noted
assert "xgboost" not in sys.modules
pickle.loads(pickle.dumps(Path()))
assert noted
"""


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
    with pytest.raises(ModelError, match=r"a model was to be fitted to 10 bars of 6 symbols, but only \d+ labels are known there"):
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


def test_serving_needs_neither_xgboost_nor_pickle(tmp_path: Path):
    """Another process loads a bundle and gives the same bits."""
    dataset = planted()
    model = _fitted(dataset)
    bundle.write(tmp_path / "bundle", model, Schema(dataset.names, "s"), Golden.of(dataset), params_hash="p", lineage={})
    for name in ("features", "scale"):
        np.save(tmp_path / f"{name}.npy", getattr(dataset, name))

    told = subprocess.run(
        [sys.executable, "-c", SERVING, tmp_path / "bundle", tmp_path, tmp_path / "answer.npy"], check=False, capture_output=True
    )

    assert told.returncode == 0, told.stderr.decode()
    np.testing.assert_array_equal(np.load(tmp_path / "answer.npy"), model.predict(dataset.features, dataset.scale))


def test_it_forecasts_what_xgboosts_own_predictor_would(monkeypatch: pytest.MonkeyPatch):
    """To the last bit, after a fit and after fine-tuning."""
    dataset = planted()
    model = _fitted(dataset)
    before = model.predict(dataset.features, dataset.scale)
    model.fine_tune(dataset, np.arange(200, 340), 5)
    after = model.predict(dataset.features, dataset.scale)

    def theirs(forest: Forest, rows: np.ndarray) -> np.ndarray:
        return xgboost.Booster(model_file=bytearray(forest.raw)).inplace_predict(rows)

    monkeypatch.setattr(Forest, "predict", theirs)
    np.testing.assert_array_equal(model.predict(dataset.features, dataset.scale), after)
    np.testing.assert_array_equal(_fitted(dataset).predict(dataset.features, dataset.scale), before)
    assert not np.array_equal(before, after, equal_nan=True)


@pytest.mark.parametrize("edge", [0.1, 0.2, 0.4])
def test_rows_that_stop_the_rounds_are_not_learned_from(edge: float):
    """As many rounds as XGBoost finds best that learns from the other rows alone, with the same thresholds."""
    alone = planted(bars=900, symbols=1, edge=edge)
    model = Trees.create(training(rounds=120, subsample=1.0, colsample=1.0), HORIZON)
    model.fit(alone, np.arange(600), np.arange(610, 890))
    known = [rows[~np.isnan(alone.label[rows, 0])] for rows in (np.arange(600), np.arange(610, 890))]
    features, label = ([values[rows, 0] for rows in known] for values in (alone.features, np.clip(alone.label, -4.0, 4.0)))
    bins = {"max_bin": forest.BINS}
    both = xgboost.QuantileDMatrix(np.concatenate(features), label=np.concatenate(label), **bins)
    learned = xgboost.QuantileDMatrix(features[0], label=label[0], ref=both, **bins)
    watched = xgboost.DMatrix(features[1], label=label[1])

    settings = {"max_depth": 3, "eta": 0.1, "min_child_weight": 20, "reg_lambda": 5, "base_score": 0.0} | bins
    stop = xgboost.callback.EarlyStopping(rounds=30)
    twin = xgboost.train(settings, learned, 120, evals=[(watched, "valid")], callbacks=[stop], verbose_eval=False)

    assert model.rounds == twin.best_iteration + 1
    assert 1 < model.rounds < 120


def test_rows_that_stop_the_rounds_are_learned_from_afterwards():
    """The rounds chosen, grown on the rows of both: the same trees as without early stopping."""
    dataset = planted()
    model = Trees.create(training(), HORIZON)
    model.fit(dataset, np.arange(200), np.arange(200, 300))

    plain = Trees.create(training(rounds=model.rounds), HORIZON)
    plain.fit(dataset, np.arange(300), np.arange(0))

    np.testing.assert_array_equal(model.predict(dataset.features, dataset.scale), plain.predict(dataset.features, dataset.scale))


def test_thresholds_of_some_samples_rank_like_those_of_all(monkeypatch: pytest.MonkeyPatch):
    """A third of the samples says where a feature's values lie."""
    dataset = planted(bars=900)
    every = _rank_ic(_fitted(dataset), dataset)

    monkeypatch.setattr(forest, "DRAWN_SAMPLES", 400)

    assert _rank_ic(_fitted(dataset), dataset) == pytest.approx(every, abs=0.02)
