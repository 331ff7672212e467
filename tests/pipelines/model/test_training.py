"""Training forecasts only what its models have not seen."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domain import params
from domain.error import DataError, ModelError
from domain.forecast import LEVELS, MEDIAN
from domain.params import Params
from features import labels
from models import metrics
from models.contract import Dataset
from models.splits import Fold
from pipelines.model import training
from tests.models.planted import HORIZON, planted
from tests.models.planted import training as small

MARKET = params.load(Path(__file__).parents[3] / "params.yaml", "sim_equity", "tiny").market("sim_equity")


@pytest.fixture
def dataset() -> Dataset:
    """Return a planted market."""
    return planted(bars=360, symbols=6, edge=0.3)


@pytest.fixture
def chosen() -> Params:
    """Return small parameters: two folds."""
    return params.load(Path(__file__).parents[3] / "params.yaml", "sim_equity", "tiny").model_copy(update={"training": small()})


def test_every_test_row_is_forecast_and_no_other(dataset: Dataset, chosen: Params):
    """Rows that only ever trained stay NaN; the rest is forecast wherever features and scale are known."""
    trained = training.train(dataset, chosen, MARKET, "trees")
    tested = np.concatenate([fold.test for fold in trained.folds])
    known = np.isfinite(trained.forecasts).all(axis=-1)

    assert trained.forecasts.shape == (360, 6, len(LEVELS))
    assert not known[: tested[0]].any()
    np.testing.assert_array_equal(known[tested], np.isfinite(dataset.scale[tested]))


def test_a_forecast_does_not_know_its_own_outcome(dataset: Dataset, chosen: Params):
    """Every label from a fold's first test row on, and those still open then, may be anything: its forecasts stay the same bits."""
    fold = training.split(dataset, chosen, MARKET)[-1]
    first = int(fold.test[0])
    label = dataset.label.copy()
    label[first - HORIZON :] = 9.0

    before, _ = training.walk(dataset, chosen, MARKET, [fold], "trees")
    after, _ = training.walk(replace(dataset, label=label, forward=label), chosen, MARKET, [fold], "trees")

    np.testing.assert_array_equal(before, after)


def test_a_planted_edge_is_found_out_of_sample(dataset: Dataset, chosen: Params):
    """An edge of 0.3 volatilities has a rank correlation of about 0.28; trees find most of it, with a t far from chance."""
    trained = training.train(dataset, chosen, MARKET, "trees")
    series = metrics.rank_ic(trained.forecasts[..., MEDIAN], dataset.forward)

    assert metrics.mean(series) > 0.15
    assert metrics.hac_t(series, HORIZON) > 4.0


def test_nothing_is_found_where_nothing_is(chosen: Params):
    """Without an edge the rank IC stays within what chance gives."""
    dataset = planted(bars=360, symbols=6, edge=0.0, seed=5)
    trained = training.train(dataset, chosen, MARKET, "trees")

    assert abs(metrics.hac_t(metrics.rank_ic(trained.forecasts[..., MEDIAN], dataset.forward), HORIZON)) < 3.0


def test_the_final_model_learns_from_every_known_label_for_the_median_of_the_folds_rounds(dataset: Dataset, chosen: Params):
    """It is the model that a direct fit to all rows gives."""
    trained = training.train(dataset, chosen, MARKET, "trees")

    assert trained.model.rounds == int(np.median(trained.rounds))
    assert all(1 <= rounds <= chosen.training.trees.rounds for rounds in trained.rounds)


def test_training_twice_gives_the_same_model_and_forecasts(dataset: Dataset, chosen: Params):
    """To the last bit."""
    first, second = (training.train(dataset, chosen, MARKET, "trees") for _ in range(2))

    np.testing.assert_array_equal(first.forecasts, second.forecasts)
    np.testing.assert_array_equal(
        first.model.predict(dataset.features, dataset.scale), second.model.predict(dataset.features, dataset.scale)
    )


def test_a_history_too_short_for_the_folds_is_refused(chosen: Params):
    """Before anything is fitted."""
    with pytest.raises(DataError, match=r"2 walk-forward folds with gaps of 11 bars need 41 bars or more, but history has 30"):
        training.train(planted(bars=30), chosen, MARKET, "trees")


def test_too_few_labels_for_trees_are_refused(chosen: Params):
    """With what was asked, what was found and what is needed."""
    with pytest.raises(ModelError, match=r"a model was to be fitted to \d+ bars of 2 symbols, but only \d+ labels are known there"):
        training.train(planted(bars=80, symbols=2), chosen, MARKET, "trees")


def test_the_newest_rows_are_forecast_by_a_model_as_fresh_as_the_final_one(dataset: Dataset, chosen: Params):
    """By hand: trees fitted to what lies a purge and an embargo before them; all else, the final model too, stays as it is."""
    plain, fresh = (training.train(dataset, chosen, MARKET, "trees", fresh=first) for first in (None, 320))
    before = np.arange(320 - labels.known_after(HORIZON) - 5)
    model = training.fitted(dataset, chosen, MARKET, Fold(before, np.arange(320, 360)), "trees")

    np.testing.assert_array_equal(fresh.forecasts[320:], model.predict(dataset.features[320:], dataset.scale[320:]))
    np.testing.assert_array_equal(fresh.forecasts[:320], plain.forecasts[:320])
    assert (fresh.forecasts[320:] != plain.forecasts[320:]).any()
    assert fresh.rounds == plain.rounds
    both = (trained.model.predict(dataset.features, dataset.scale) for trained in (plain, fresh))
    np.testing.assert_array_equal(*both)
