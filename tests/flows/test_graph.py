"""Graph: dvc.yaml and the flows run the same stages, and the real DVC reruns only what depends on a change."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from domain import params as parameters
from flows import graph, prepare, stages
from flows.home import Home
from flows.stages import STAGES, Job

ROOT = Path(__file__).parents[2]
ROOMS = ("domain", "features", "models", "pipelines", "flows")
ORDER = ["snapshot", "features", "datasets", "tuning", "training", "ensemble", "evaluation", "replay", "dossier"]


def test_dvc_yaml_says_what_the_stages_say() -> None:
    """One graph, told twice: every dependency, parameter and output is equal."""
    written = yaml.safe_load((ROOT / "dvc.yaml").read_text())

    assert written == graph.definition(graph.overlaid_sections())


def test_the_stages_stand_in_the_order_of_the_path() -> None:
    """No stage reads what a later one writes."""
    written: set[str] = set()
    for stage in STAGES:
        assert set(stage.inputs) <= written, f"{stage.name} reads what is not there yet"
        written |= {path.split("/")[0] for path in stage.outputs} | {
            *stage.outputs,
            *stage.metrics,
            *(plot[0] for plot in stage.plots),
        }

    assert [stage.name for stage in STAGES] == ORDER


def test_every_code_dependency_exists() -> None:
    """DVC stops at a missing file; so does a reader."""
    named = {path for stage in STAGES for path in stage.code}

    assert all((ROOT / path).exists() for path in named), sorted(path for path in named if not (ROOT / path).exists())


def test_every_market_and_profile_states_what_dvc_tracks() -> None:
    """A key that is missing in one market would stop `dvc repro` there."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    fields = {field for stage in STAGES for field in stage.market} | {"override"}
    sections = graph.overlaid_sections()

    assert all(fields <= set(market) for market in raw["markets"].values())
    assert all(sections == set(profile) for profile in raw["profiles"].values())


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a git repository with the project's DVC files, its code as DVC hashes it, and the tiny profile; one repro has run.

    The stages run from this checkout, whose kernels are compiled already: DVC's part, which is under test, is the same.
    """
    place = tmp_path_factory.mktemp("experiment")
    for room in ROOMS:
        shutil.copytree(ROOT / room, place / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dvc.yaml", ".dvcignore", ".gitignore"):
        shutil.copy(ROOT / name, place / name)
    (place / ".dvc").mkdir()
    for name in ("config", ".gitignore"):
        shutil.copy(ROOT / ".dvc" / name, place / ".dvc" / name)
    raw = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"profile": "tiny"}
    (place / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    subprocess.run(["git", "init", "-q"], cwd=place, check=True)
    assert ran(repro(place)) == ORDER
    return place


def repro(place: Path, *words: str) -> str:
    """Run the real `dvc repro` and return what it said."""
    binaries = Path(sys.executable).parent
    told = {"NIGHTSHIFT_PARAMETERS": str(place / "params.yaml"), "NIGHTSHIFT_HOME": str(place / "home")}
    environment = {**os.environ, **told, "PATH": f"{binaries}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT), "PYTHONSAFEPATH": "1"}
    command = [str(binaries / "dvc"), "repro", *words]
    done = subprocess.run(command, cwd=place, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def ran(said: str) -> list[str]:
    """Return the stages that DVC ran."""
    return [name.split("@")[0] for name in re.findall(r"Running stage '([^']+)'", said)]


def change(place: Path, **sections: object) -> None:
    """Lay parameters over the experiment's."""
    path = place / "params.yaml"
    path.write_text(yaml.safe_dump(parameters.overlay(yaml.safe_load(path.read_text()), dict(sections)), sort_keys=False))


@pytest.mark.slow
def test_a_second_repro_runs_nothing(experiment: Path) -> None:
    """Nothing changed, nothing runs, and neither does it when parameters change that no stage reads."""
    change(experiment, profiles={"full": {"training": {"folds": 5}}}, registry={"trades_min": 7})

    assert ran(repro(experiment)) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"decisions": {"band": 1.5}}, ["ensemble", "evaluation", "replay", "dossier"]),
        (
            {"profiles": {"tiny": {"training": {"trees": {"rounds": 10}}}}},
            ["tuning", "training", "ensemble", "evaluation", "replay", "dossier"],
        ),
    ],
)
def test_a_changed_parameter_reruns_only_what_depends_on_it(
    experiment: Path, changed: dict[str, object], expected: list[str]
) -> None:
    """Each stage tracks the keys that it reads, those of its profile and its market included, and no others."""
    change(experiment, **changed)

    assert ran(repro(experiment)) == expected


@pytest.mark.slow
def test_dvc_and_the_flow_make_the_same_model_from_the_same_snapshot(experiment: Path, tmp_path: Path) -> None:
    """Digest by digest: the panel, and the model with its golden vectors."""
    repro(experiment)
    params = parameters.load(experiment / "params.yaml", "sim_equity")
    home = Home(tmp_path / "home")
    prepare.prepare("sim_equity", None, home, params)
    job = Job(tmp_path / "job", home, params.market("sim_equity"), params)
    stages.run(job)

    for name, key in {"snapshot/snapshot.json": "digest", "ensemble/ensemble.json": "model_digest"}.items():
        by_flow, by_dvc = (json.loads((place / name).read_text())[key] for place in (job.folder, experiment / "var/experiment"))
        assert by_flow == by_dvc
    assert (job.folder / "replay/replay.json").read_text() == (experiment / "var/experiment/replay/replay.json").read_text()
