"""The rooms: folders, words and imports agree, and no room shadows a library."""

import importlib.util
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from domain.params import STOPS, Params
from flows.stages import STAGES

ROOT = Path(__file__).parents[1]
ROOMS = ("domain", "features", "models", "pipelines", "flows")

#: Where each stop of the path lives: a module or a package.
MODULES = {
    "sources": "pipelines/data/sources",
    "store": "pipelines/store",
    "quality": "pipelines/data/quality",
    "features": "features",
    "datasets": "pipelines/model/datasets",
    "training": "pipelines/model/training",
    "evaluation": "pipelines/model/evaluation",
    "registry": "pipelines/registry",
    "serving": "pipelines/execution/serving",
    "decisions": "pipelines/execution/decisions",
    "risk": "pipelines/execution/risk",
    "orders": "pipelines/execution/orders",
    "fills": "pipelines/execution/fills",
    "journal": "pipelines/journal",
    "learning": "pipelines/model/learning",
}


def test_the_mlflow_folder_never_becomes_a_package() -> None:
    """With one Python file in it `import mlflow` would find ours, and packaging would ship it into the library's folder."""
    found = importlib.util.find_spec("mlflow")

    assert not list((ROOT / "mlflow").rglob("*.py"))
    assert found is not None
    assert found.origin is not None
    assert "site-packages" in found.origin


@pytest.mark.parametrize("stop", STOPS)
def test_every_stop_is_a_module_and_a_section(stop: str) -> None:
    """Fifteen words, and each names a room and a section of params.yaml."""
    place = ROOT / MODULES[stop]

    assert place.is_dir() or place.with_suffix(".py").is_file()
    assert stop in Params.model_fields
    assert stop in yaml.safe_load((ROOT / "params.yaml").read_text())


def test_stages_read_sections_that_exist() -> None:
    """What a stage says it reads is a stop of the path."""
    assert {section for stage in STAGES for section in stage.parameters} <= set(STOPS)


@pytest.mark.parametrize("room", ROOMS)
def test_no_module_is_named_like_a_library(room: str) -> None:
    """A module run as a script would import itself."""
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    libraries = {re.split(r"[<>=!~;\[ ]", name)[0].replace("-", "_").lower() for name in declared}

    assert not {path.stem for path in (ROOT / room).rglob("*.py")} & libraries


def test_no_drawer_has_a_name_that_says_nothing() -> None:
    """If it has no name it has no home yet."""
    drawers = {"utils", "util", "helpers", "common", "misc", "core", "base", "manager", "managers"}

    assert not {path for room in ROOMS for path in (ROOT / room).rglob("*.py") if path.stem in drawers}


def test_importing_a_room_does_nothing(tmp_path: Path) -> None:
    """No folder is made, no heavy library imported, no socket opened: only entry points act."""
    heavy = ["mlflow", "prefect", "great_expectations", "xgboost", "matplotlib", "yfinance", "pandas_market_calendars", "torch"]
    code = (
        "import sys, socket; socket.socket.connect = None\n"
        "import flows.learn, flows.trade, flows.replay, flows.cli\n"
        f"print([name for name in {heavy} if name in sys.modules])"
    )
    environment = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "NIGHTSHIFT_HOME": str(tmp_path / "home"),
    }

    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"
    assert not (tmp_path / "home").exists()


def test_tests_mirror_the_rooms() -> None:
    """Every folder of tests is a package, so that `import models` in it finds the room."""
    folders = [path for path in (ROOT / "tests").rglob("*") if path.is_dir() and any(path.glob("test_*.py"))]

    assert all((folder / "__init__.py").exists() for folder in folders)
