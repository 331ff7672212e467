"""A tiny simulated market whose first night has passed, shared by the tests of this room."""

import shutil
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from domain import params as parameters
from domain.params import Params
from flows import learn
from flows.home import Home

ROOT = Path(__file__).parents[2]
MARKET = "sim_equity"
FIRST_NIGHT = date(2016, 12, 1)

#: Gates that anything passes: what these tests are about is what happens after one opened or stayed shut.
OPEN = {
    "rank_ic_t_min": -99.0,
    "sharpe_probability_min": 0.0,
    "coverage_error_max": 1.0,
    "pinball_skill_min": -9.0,
    "baseline_t_min": -99.0,
    "drawdown_max": 1.0,
    "trades_min": 0,
    "challenger_p_max": 1.0,
    "latency_ms_max": 60_000.0,
    "memory_mb_max": 60_000.0,
}


def tiny(market: str = MARKET, **sections: dict[str, Any]) -> Params:
    """Return the tiny profile of a simulated market, a handful of trees, and `sections` laid over it."""
    params = parameters.load(ROOT / "params.yaml", market, "tiny")
    few = {"training": {"trees": {"rounds": 8}}}
    merged = parameters.overlay(parameters.overlay(params.model_dump(mode="json"), few), sections)
    return parameters.check(merged)


@dataclass(frozen=True)
class Passed:
    """A home after its first night, which promoted version 1."""

    home: Home
    params: Params
    night: dict[str, Any]


@pytest.fixture(scope="session")
def passed(tmp_path_factory: pytest.TempPathFactory) -> Passed:
    """Return a home whose first night promoted a version; tests that change it copy it first."""
    home, params = Home(tmp_path_factory.mktemp("night") / "home"), tiny(registry=OPEN)
    return Passed(home, params, learn.night(MARKET, FIRST_NIGHT, home, params))


@pytest.fixture
def copied(passed: Passed, tmp_path: Path) -> Passed:
    """Return a copy of the home, free to be changed; its registry still reads version 1 from where it was recorded."""
    home = Home(tmp_path / "home")
    shutil.copytree(passed.home.root, home.root)
    return Passed(home, passed.params, passed.night)


@pytest.fixture
def beside(passed: Passed, tmp_path: Path) -> Passed:
    """Return a home with the store, registry and keys of the first night, which are only read, and accounts of its own."""
    home = Home(tmp_path / "beside")
    home.root.mkdir()
    for place in (passed.home.store, passed.home.mlflow, passed.home.keys):
        (home.root / place.name).symlink_to(place, target_is_directory=True)
    return Passed(home, passed.params, passed.night)
