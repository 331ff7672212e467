"""Paths: every row is forecast once on each, by a model that had not seen it."""

import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest

from domain import params
from domain.forecast import LEVELS, MEDIAN
from domain.params import Params
from features import labels
from models import metrics
from models.contract import Dataset
from models.splits import Fold
from pipelines.model import paths, training
from pipelines.model.paths import Paths
from tests.models.planted import HORIZON, planted
from tests.models.planted import training as small

LOADED = params.load(Path(__file__).parents[3] / "params.yaml", "sim_equity", "tiny")
CHOSEN: Params = LOADED.model_copy(
    update={"training": small(rounds=8), "evaluation": LOADED.evaluation.model_copy(update={"groups": 4, "held": 2})}
)
MARKET = LOADED.market("sim_equity")
BARS = 400


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return a planted market."""
    return planted(bars=BARS, symbols=6, edge=0.8)


@pytest.fixture(scope="module")
def walked(dataset: Dataset) -> Paths:
    """Return its paths by trees: C(3, 1) = 3."""
    return paths.walk(dataset, CHOSEN, MARKET, "trees")


def test_each_path_is_put_together_of_splits_as_written_in_the_book(dataset: Dataset, walked: Paths) -> None:
    """By hand: path p takes group g from the p-th of the splits, in order, that test g; what was trained on is far from them."""
    reach, splits = labels.known_after(HORIZON), list(combinations(range(4), 2))
    expected = np.full_like(walked.forecasts, math.nan)
    for choice in splits:
        tested = np.concatenate([np.arange(100 * group, 100 * group + 100) for group in choice])
        apart = np.array([min(abs(t - tested)) > reach for t in range(BARS)])
        after = np.array([any(0 < t - 100 * group - 99 <= reach + 5 for group in choice) for t in range(BARS)])
        fold = Fold(np.flatnonzero(apart & ~after), tested)
        model = training.fitted(dataset, CHOSEN, MARKET, fold, "trees")
        made = model.predict(dataset.features, dataset.scale)
        for group in choice:
            path = [each for each in splits if group in each].index(choice)
            rows = slice(100 * group, 100 * group + 100)
            expected[path, rows] = made[rows]

    np.testing.assert_array_equal(walked.forecasts, expected)
    assert walked.forecasts.shape == (3, BARS, 6, len(LEVELS))


def test_the_figures_are_those_of_each_path(dataset: Dataset, walked: Paths) -> None:
    """Mean rank IC and its t, and a planted edge is found on all of them."""
    series = [metrics.rank_ic(each[..., MEDIAN], dataset.forward) for each in walked.forecasts]

    assert walked.rank_ic == pytest.approx([np.nanmean(each) for each in series])
    assert walked.rank_ic_t == pytest.approx([metrics.overlap_t(each, HORIZON) for each in series])
    assert (walked.rank_ic_t > 3.0).all()


def test_a_choice_among_luck_is_overfitted_half_of_the_time_and_one_among_skill_never(dataset: Dataset) -> None:
    """Eight candidates that know nothing: the mean over thirty markets is near a half; one that knows: 0."""
    chance = np.random.default_rng(3)
    shape = (*dataset.forward.shape, len(LEVELS))
    lucky = [
        paths.overfitted(dataset, {str(k): np.broadcast_to(chance.standard_normal(shape[:2])[..., None], shape) for k in range(8)})[
            0
        ]
        for _ in range(30)
    ]
    knowing = np.broadcast_to((np.nan_to_num(dataset.forward) * 0.2 + 0.02 * chance.standard_normal(shape[:2]))[..., None], shape)
    blind = np.broadcast_to(chance.standard_normal(shape[:2])[..., None], shape)

    assert 0.3 < np.mean(lucky) < 0.7
    assert paths.overfitted(dataset, {"knowing": knowing, "blind": blind}) == (0.0, 2)


def test_candidates_that_rank_nothing_are_none(dataset: Dataset) -> None:
    """One is no choice."""
    ranks = np.broadcast_to(np.nan_to_num(dataset.forward)[..., None], (*dataset.forward.shape, len(LEVELS)))

    pbo, count = paths.overfitted(dataset, {"ranks": ranks, "constant": np.zeros_like(ranks)})

    assert math.isnan(pbo)
    assert count == 1
