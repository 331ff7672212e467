"""Tuning by command: a search that goes on, told to MLflow trial by trial."""

import json
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from domain import params as parameters
from flows import cli, tune
from flows.home import Home
from pipelines.registry import Registry
from tests.flows.test_learn import MARKET, tiny


def test_every_trial_is_a_child_run_and_the_best_one_is_laid_over_params(tmp_path: Path) -> None:
    """The parent has what was found, its tables and pictures; what is printed is read again as parameters."""
    home, params = Home(tmp_path), tune.asked(tiny(), trials=3, minutes=5)
    from flows import prepare

    prepare.prepare(MARKET, None, home, params)

    told = tune.tune(MARKET, "trees", None, home, params)
    again = tune.tune(MARKET, "trees", None, home, tune.asked(params, trials=4, minutes=None))

    client = Registry(home.mlflow)._client()
    runs = client.search_runs([client.get_experiment_by_name(f"nightshift-{MARKET}").experiment_id])
    parents = [run for run in runs if "mlflow.parentRunId" not in run.data.tags]
    children = [run for run in runs if "mlflow.parentRunId" in run.data.tags]
    assert (len(parents), len(children)) == (2, 4)
    assert {run.data.tags["mlflow.parentRunId"] for run in children} == {run.info.run_id for run in parents}
    assert (told["trials"], again["trials"]) == (3, 4)
    best = max(run.data.metrics["rank_ic"] for run in children if run.info.status == "FINISHED")
    assert again["value"] == pytest.approx(best)
    pictures = {entry.path for run in parents for entry in client.list_artifacts(run.info.run_id, "tuning")}
    assert {"tuning/trials.csv", "tuning/trials.png", "tuning/settings.png"} <= pictures
    overlaid = parameters.check(parameters.overlay(params.model_dump(mode="json"), yaml.safe_load(again["override"])))
    assert overlaid.markets[MARKET].override["evaluation"]["trials"] == 4


def test_a_wrong_member_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the nearest right one, and nothing is left behind."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path))
    from flows import prepare

    prepare.prepare(MARKET, None, Home(tmp_path), tiny())

    said = CliRunner().invoke(cli.app, ["tune", "--market", MARKET, "--family", "trees2", "--trials", "2", "--json"])

    assert said.exit_code != 0
    assert "family 'trees2' was to be tuned" in json.loads(said.stdout)["error"]
