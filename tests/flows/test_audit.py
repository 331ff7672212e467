"""The audit as a command: a sound market passes, a leak ends it with its name."""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from flows import cli, prepare, stages
from flows.home import Home
from tests.flows.conftest import MARKET, tiny


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """Return a home with a small simulated market, as commands see it."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))
    prepare.prepare(MARKET, None, Home(tmp_path), tiny())
    return Home(tmp_path)


def test_a_sound_market_passes(home: Home) -> None:
    """Every check is told with its numbers, and nothing of the run is left."""
    said = CliRunner().invoke(cli.app, ["audit", "--market", MARKET, "--json"])

    told = json.loads(said.stdout)
    assert said.exit_code == 0, said.output
    assert told["passed"]
    assert {"shuffled labels", "poisoned future"} <= {row["check"] for row in told["findings"]}
    assert not list((home.runs / MARKET).iterdir())


@pytest.mark.fault("F103")
def test_a_column_that_knows_the_outcome_is_named(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The first feature replaced by the label and some noise: a non-zero exit and its name."""
    load = stages.load_dataset

    def leaking(job: stages.Job) -> stages.Dataset:
        dataset = load(job)
        rng = np.random.default_rng(0)
        leak = np.nan_to_num(dataset.label) + 2.0 * rng.standard_normal(dataset.label.shape)
        features = np.array(dataset.features)
        features[..., 0] = leak
        return stages.replace(dataset, features=features)

    monkeypatch.setattr(stages, "load_dataset", leaking)

    said = CliRunner().invoke(cli.app, ["audit", "--market", MARKET])

    assert said.exit_code != 0
    assert "what is suspect is" in said.output
