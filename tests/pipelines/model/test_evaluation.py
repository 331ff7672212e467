"""Evaluation reports what happened out of sample, beside what anyone could have said."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.metrics import mean_pinball_loss

from domain import params
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from domain.params import Params
from models.contract import Dataset
from pipelines.model import evaluation, training
from pipelines.model.evaluation import Evaluation
from tests.models.planted import planted
from tests.models.planted import training as small

LOADED = params.load(Path(__file__).parents[3] / "params.yaml", "sim_equity", "tiny")
CHOSEN: Params = LOADED.model_copy(update={"training": small()})
MARKET = LOADED.market("sim_equity")


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return a planted market."""
    return planted(bars=360, symbols=6, edge=0.3)


@pytest.fixture(scope="module")
def forecasts(dataset: Dataset) -> FloatArray:
    """Return what trees forecast out of sample."""
    return training.train(dataset, CHOSEN, MARKET, "trees").forecasts


@pytest.fixture(scope="module")
def judged(dataset: Dataset, forecasts: FloatArray) -> Evaluation:
    """Return the evaluation of those."""
    return evaluation.evaluate(dataset, forecasts, CHOSEN, MARKET, importance={"b": 0.25, "a": 0.75})


def _known(dataset: Dataset, forecasts: FloatArray) -> np.ndarray:
    return np.isfinite(forecasts[..., MEDIAN]) & np.isfinite(dataset.forward)


def test_the_rank_ic_is_scipys_over_the_rows_forecast(judged: Evaluation, dataset: Dataset, forecasts: FloatArray):
    """Row by row, then averaged."""
    known = _known(dataset, forecasts)
    rows = [t for t in range(360) if known[t].sum() >= 3]
    expected = [stats.spearmanr(forecasts[t, known[t], MEDIAN], dataset.forward[t, known[t]]).statistic for t in rows]

    assert judged.metrics["rank_ic"] == pytest.approx(np.mean(expected))
    assert judged.ic["rank_ic"].to_numpy() == pytest.approx(expected)
    assert judged.ic["cumulative"][-1] == pytest.approx(np.sum(expected))
    assert judged.metrics["rank_ic_low"] < judged.metrics["rank_ic"] < judged.metrics["rank_ic_high"]


def test_losses_are_scikit_learns(judged: Evaluation, dataset: Dataset, forecasts: FloatArray):
    """Of each quantile and their mean over rows, every row counting the same."""
    known = _known(dataset, forecasts)
    rows = [t for t in range(360) if known[t].any()]
    by_row = [
        np.mean([mean_pinball_loss(dataset.forward[t, known[t]], forecasts[t, known[t], k], alpha=a) for k, a in enumerate(LEVELS)])
        for t in rows
    ]

    assert judged.metrics["pinball"] == pytest.approx(np.mean(by_row))
    assert judged.metrics["rows"] == len(rows)
    assert judged.metrics["samples"] == known.sum()


def test_coverage_is_the_share_of_outcomes_below(judged: Evaluation, dataset: Dataset, forecasts: FloatArray):
    """A row a level; the error that gates look at is the largest distance."""
    known = _known(dataset, forecasts)
    expected = [np.mean(dataset.forward[known] <= forecasts[..., k][known]) for k in range(len(LEVELS))]

    assert judged.calibration["level"].to_list() == list(LEVELS)
    assert judged.calibration["observed"].to_numpy() == pytest.approx(expected)
    assert judged.metrics["coverage_error"] == pytest.approx(np.max(np.abs(np.array(expected) - LEVELS)))
    assert judged.metrics["coverage_05"] == pytest.approx(expected[0])


def test_baselines_are_judged_on_the_same_rows(judged: Evaluation):
    """Model, zero, drift and momentum; the skill is against the better of those that look at nothing."""
    table = {row["name"]: row for row in judged.baselines.to_dicts()}
    reference = min(table["zero"]["pinball"], table["drift"]["pinball"])

    assert set(table) == {"model", "zero", "drift", "momentum"}
    assert len({row["rows"] for row in table.values()}) == 1
    assert judged.metrics["pinball_skill"] == pytest.approx(1 - table["model"]["pinball"] / reference)
    assert judged.metrics["pinball_skill"] > 0.0


def test_a_forecast_of_climatology_has_no_skill(dataset: Dataset):
    """The drift baseline handed in as if it were a model: skill exactly 0 where drift is the better of the two, never above."""
    folds = training.split(dataset, CHOSEN, MARKET)
    forecasts, _ = training.walk(dataset, CHOSEN, MARKET, folds, "drift")

    judged = evaluation.evaluate(dataset, forecasts, CHOSEN, MARKET)

    assert judged.metrics["pinball_skill"] <= 0.0


def test_rows_without_a_forecast_change_nothing(judged: Evaluation, dataset: Dataset, forecasts: FloatArray):
    """In sample, outcomes may be anything: only rows that were forecast are measured."""
    forward = dataset.forward.copy()
    forward[np.isnan(forecasts[..., MEDIAN])] = 99.0

    again = evaluation.evaluate(replace(dataset, forward=forward), forecasts, CHOSEN, MARKET)

    assert again.metrics == pytest.approx(judged.metrics, nan_ok=True)


def test_each_fold_is_told_apart(judged: Evaluation):
    """One row a fold, in order of time, whose rows add up."""
    assert judged.folds["fold"].to_list() == [1, 2]
    assert judged.folds["rows"].sum() == judged.metrics["rows"]
    assert judged.folds["last"][0] < judged.folds["first"][1]


def test_one_symbol_is_ranked_over_time():
    """No row of one symbol can be ranked: the pooled correlation takes the place of the rank IC, so that a gate can ask."""
    dataset = planted(bars=900, symbols=1, edge=0.4)
    forecasts = training.train(dataset, CHOSEN, MARKET, "trees").forecasts

    judged = evaluation.evaluate(dataset, forecasts, CHOSEN, MARKET)

    assert judged.metrics["rank_ic"] == judged.metrics["pooled_ic"]
    assert judged.metrics["rank_ic_t"] > 3.0


def test_what_is_saved_can_be_read_by_anyone(judged: Evaluation, tmp_path: Path):
    """Strict JSON without NaN, and a CSV a plot; saving twice writes the same bytes."""
    unmeasured = replace(judged, metrics={**judged.metrics, "unmeasured": math.nan})

    unmeasured.save(tmp_path / "first")
    unmeasured.save(tmp_path / "second")
    flat = json.loads((tmp_path / "first" / "metrics.json").read_text(), parse_constant=pytest.fail)
    whole = json.loads((tmp_path / "first" / "evaluation.json").read_text(), parse_constant=pytest.fail)

    assert flat["unmeasured"] is None
    assert flat["rank_ic"] == judged.metrics["rank_ic"]
    assert whole["importance"] == {"a": 0.75, "b": 0.25}
    assert [row["level"] for row in whole["calibration"]] == list(LEVELS)
    assert pl.read_csv(tmp_path / "first" / "plots" / "importance.csv")["feature"].to_list() == ["a", "b"]
    assert pl.read_csv(tmp_path / "first" / "plots" / "ic.csv").height == judged.ic.height
    for path in (tmp_path / "first").rglob("*.*"):
        assert path.read_bytes() == (tmp_path / "second" / path.relative_to(tmp_path / "first")).read_bytes()
