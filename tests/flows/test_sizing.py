"""Sizing on its way: chosen at night on earlier rows, signed with the model, and traded by whoever serves that version."""

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from domain.params import Sizing
from flows import learn, replay, stages
from flows.home import Home
from flows.stages import Job
from models import bundle
from pipelines.data import materialize
from pipelines.execution import simulate, sizing
from pipelines.model import training
from tests.flows.conftest import FIRST_NIGHT, MARKET, OPEN, Passed, tiny

#: Settings by which nothing is worth its cost, beside one that trades, on a market whose edge shows in a few hundred bars.
HANDICAPPED = {"edge_sigma_full": 0.25, "band": 60.0, "rate": 0.5}
SEARCH = {"edge_sigma_full": [], "band": [0.5], "rate": [], "half_life": 0.5, "p_max": 0.05}
BETTER = Sizing(edge_sigma_full=0.25, band=0.5, rate=0.5)


@pytest.fixture(scope="module")
def sized(tmp_path_factory: pytest.TempPathFactory) -> Passed:
    """Return a home whose first night promoted a version with settings of its own."""
    params = tiny(registry=OPEN, decisions=HANDICAPPED, learning={"sizing": SEARCH}, sources={"simulated": {"edge": 6.0}})
    home = Home(tmp_path_factory.mktemp("sized") / "home")
    return Passed(home, params, learn.night(MARKET, FIRST_NIGHT, home, params))


def made(there: Passed) -> Path:
    """Return where the night's run is kept."""
    return Path(there.night["folder"]) / "ensemble"


def test_what_was_found_is_signed_with_the_model(sized: Passed) -> None:
    """The bundle brings the settings that the search chose on all rows, and its manifest vouches for them."""
    manifest = bundle.verify(made(sized) / "bundle")

    assert bundle.sizing(made(sized) / "bundle") == BETTER
    assert bundle.DECISIONS in manifest.files


def test_where_nothing_was_found_a_bundle_brings_nothing(passed: Passed) -> None:
    """The first night of the other tests leaves params.yaml alone, and so does its bundle."""
    told = json.loads((made(passed) / "sizing.json").read_text())

    assert told["chosen"] is None
    assert bundle.sizing(made(passed) / "bundle") is None


def test_both_commands_trade_a_version_by_its_own_settings(sized: Passed) -> None:
    """At once and bar by bar they send the same orders, where params.yaml's settings would send none."""
    asked = replay.stretch(MARKET, date(2016, 9, 1), None, 1, sized.home, sized.params)

    at_once, lived = replay.simulated(asked), replay.replayed(asked)
    market = sized.params.market(MARKET)
    forecasts = asked.served.forecasts(asked.panel)
    idle = simulate.run(asked.panel, forecasts, market, sized.params, model_version="1", since=asked.since)

    assert asked.served.sizing == BETTER
    assert at_once.orders_digest == lived.orders_digest
    assert at_once.metrics == lived.metrics
    assert at_once.metrics["trades"] > 0 == idle.metrics["trades"]


def test_the_gates_see_folds_traded_by_what_was_known_before_them(sized: Passed, tmp_path: Path) -> None:
    """The first fold by params.yaml's settings, though the model goes on with others: what the gates are shown is no hindsight."""
    market = sized.params.market(MARKET)
    job = Job(tmp_path / "job", sized.home, market, sized.params, versions=None)
    stages.run(job)
    dataset, forecasts = stages.load_dataset(job), stages.load_forecasts(job)
    panel = materialize.load_panel(job.at("snapshot"))
    panel = panel.rows(panel.bars - dataset.bars, panel.bars)
    folds = training.split(dataset, sized.params, market)
    turns = sizing.turns(json.loads((job.made / "sizing.json").read_text()))

    since = panel.event_at[np.flatnonzero(np.isfinite(forecasts).any(axis=(1, 2)))[0]]
    keys = {"model_version": "1", "since": since, "scale": dataset.scale}
    nested = simulate.run(panel, forecasts, market, sized.params, sized=turns, **keys)
    hindsight = simulate.run(panel, forecasts, market, sized.params.sized(bundle.sizing(job.made / "bundle")), **keys)

    told = json.loads((job.at("replay") / "replay.json").read_text())
    assert [row for row, _ in turns] == [int(fold.test[0]) for fold in folds]
    assert [settings for _, settings in turns] == [sized.params.decisions.sizing, BETTER]
    assert told["equity"] == nested.metrics["equity"] != hindsight.metrics["equity"]
