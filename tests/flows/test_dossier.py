"""Dossier: figures that a slow twin or a closed formula gives as well, on a page that needs nothing else."""

import json
import math
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import xgboost

from flows import dossier, retrain, stages
from flows.stages import Job
from models.trees import Trees
from pipelines.registry import Registry
from tests.flows.conftest import FIRST_NIGHT, MARKET, Passed


class Page(HTMLParser):
    """What a page shows, and what it would fetch."""

    def __init__(self) -> None:
        super().__init__()
        self.text: list[str] = []
        self.fetched: list[str] = []
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what is opened and what it refers to."""
        self.open.append(tag)
        self.fetched += [value for name, value in attrs if name in {"src", "href", "xlink:href"} and value and value[0] != "#"]

    def handle_data(self, data: str) -> None:
        """Note the words."""
        self.text.append(data)


def read(folder: Path) -> Page:
    """Return the page of a run."""
    page = Page()
    page.feed((folder / "dossier" / dossier.PAGE).read_text(encoding="utf-8"))
    return page


def test_a_night_leaves_a_page_that_stands_alone(passed: Passed) -> None:
    """Every section is there, drawings included, nothing is fetched, and no number was forgotten as NaN."""
    page = read(Path(passed.night["folder"]))
    words = " ".join(page.text)

    for title in ("Skill and the account", "Against what else", "By regime", "How much money", "without a family", "Members"):
        assert title in words
    assert page.open.count("svg") >= 1
    assert "script" not in page.open
    assert page.fetched == []
    assert "nan" not in words.split()


def test_the_figures_of_the_page_are_metrics_of_the_run(passed: Passed) -> None:
    """They are what MLflow compares runs by."""
    registry = Registry(passed.home.mlflow)
    told = json.loads((Path(passed.night["folder"]) / "dossier" / "metrics.json").read_text(encoding="utf-8"))
    kept = registry.metrics(registry.version(MARKET, 1))

    assert {"rank_ic_boot_low", "sharpe_boot_high", "pbo_candidates"} <= set(told)
    assert {name: kept[name] for name, value in told.items() if value is not None} == {
        name: pytest.approx(value) for name, value in told.items() if value is not None
    }


@pytest.mark.parametrize(
    ("sharpe", "expected"),
    [
        ([2.0, 1.0, 0.5, 0.0], 10.0),  # half of 2 is met at the second account
        ([2.0, 1.5, 0.5, 0.0], 10.0**1.5),  # half way, along the logarithm, between the second and the third
        ([2.0, 1.9, 1.8, 1.7], math.nan),
        ([-1.0, -2.0, -3.0, -4.0], math.nan),
    ],
)
def test_the_capital_at_which_the_sharpe_ratio_halves_lies_between_two_accounts(sharpe: list[float], expected: float) -> None:
    """By hand; it never does where it stays up, nor where there is nothing to halve."""
    assert dossier._halved(np.array([1.0, 10.0, 100.0, 1000.0]), np.array(sharpe)) == pytest.approx(expected, nan_ok=True)


def test_the_smallest_account_is_the_replayed_one_and_a_large_one_trades_less(job: Job) -> None:
    """Its row equals replay.json; a thousand times the money does not fit through the bars."""
    case = stages.case(job)
    table, _ = dossier.capacity(case)
    replayed = json.loads((job.folder / "replay" / "replay.json").read_text(encoding="utf-8"))

    assert table["capital"].to_list() == [case.params.fills.capital * factor for factor in (1, 10, 100, 1000)]
    assert {name: table[name][0] for name in ("roi", "sharpe", "turnover")} == {
        name: replayed[name] for name in ("roi", "sharpe", "turnover")
    }
    assert table["turnover"][3] < table["turnover"][0]


def test_shares_of_contributions_are_those_of_forecasts_that_they_sum_to(job: Job) -> None:
    """SHAP values with the bias give the score of the trees' own walker; their mean sizes give the shares."""
    case = stages.case(job)
    trees = case.model.members[0]  # type: ignore[attr-defined]
    assert isinstance(trees, Trees)
    rows = case.dataset.features[-50:].reshape(-1, case.dataset.features.shape[-1])
    rows = rows[np.isfinite(rows).any(axis=1)]
    booster = xgboost.Booster(model_file=bytearray(trees._fitted()[0].raw))
    values = booster.predict(xgboost.DMatrix(rows), pred_contribs=True)

    shares = trees.contributions(case.dataset.features[-50:])

    assert values.sum(axis=1) == pytest.approx(trees._fitted()[0].predict(rows), abs=1e-5)
    sizes = np.abs(values[:, :-1]).mean(axis=0)
    assert list(shares.values()) == pytest.approx((sizes / sizes.sum()).tolist(), abs=1e-6)
    assert tuple(shares) == trees.names


@pytest.fixture(scope="module")
def job(passed: Passed, tmp_path_factory: pytest.TempPathFactory) -> Job:
    """Return the first night's job once more, replayed, with all its arrays."""
    place = tmp_path_factory.mktemp("job")
    made = Job(place, passed.home, passed.params.market(MARKET), passed.params, retrain.known_by(FIRST_NIGHT))
    stages.run(made)
    return made
