"""Scheduled: the flows run under Prefect, tell what they did in artifacts, and do nothing on a day without session."""

import gc
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect import flow
from prefect.artifacts import Artifact
from prefect.client.orchestration import get_client
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from domain import params as parameters
from domain.error import DiskFull, ResourceError
from flows import scheduled
from tests.flows.conftest import MARKET, OPEN

ROOT = Path(__file__).parents[2]

#: Prefect leaves sockets to the garbage collector; they are collected below, before another test could be blamed.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture(scope="module")
def prefect() -> Iterator[None]:
    """Run a temporary Prefect server; heartbeats would cost a second a flow."""
    with prefect_test_harness(server_startup_timeout=180), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield
    gc.collect()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Point the environment at an empty home and at tiny parameters whose gates are open."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text())
    few = {"registry": OPEN, "profiles": {"tiny": {"training": {"trees": {"rounds": 8}}}}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(parameters.overlay(raw | {"profile": "tiny"}, few), sort_keys=False))
    monkeypatch.setenv("NIGHTSHIFT_PARAMETERS", str(tmp_path / "params.yaml"))
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(tmp_path / "home"))
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    return tmp_path / "home"


def runs() -> list[str]:
    """Return the names of all flow runs."""
    with get_client(sync_client=True) as client:
        return [str(run.name) for run in client.read_flow_runs()]


def test_a_night_under_prefect_is_the_night_of_the_command_line(prefect: None, home: Path) -> None:
    """It promotes, has a readable name, and leaves the report and the gates as artifacts."""
    night = scheduled.learn(MARKET, date(2016, 12, 1))

    report, gates = Artifact.get("sim-equity-night"), Artifact.get("sim-equity-gates")
    assert (night["version"], night["promoted"]) == (1, True)
    assert "learn-sim_equity-2016-12-01" in runs()
    assert report is not None
    assert "Version 1 passed every gate" in str(report.data)
    assert gates is not None
    assert "rank_ic_t" in str(gates.data)
    assert Artifact.get("sim-equity-data-docs") is not None
    assert Artifact.get("sim-equity-data-health") is not None


def test_a_day_without_session_is_skipped(prefect: None, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cron line knows no holidays: the flow finds none open, completes and touches nothing."""
    monkeypatch.setattr(scheduled.timetable, "is_session", lambda market, at: False)

    state: Any = scheduled.prepare(MARKET, return_state=True)

    assert state.is_completed()
    assert "no session" in state.message
    assert not home.exists()


@pytest.mark.parametrize("name", ["prepare", "learn", "retrain", "trade"])
def test_a_market_of_files_waits_for_its_first_import(prefect: None, home: Path, name: str) -> None:
    """No schedule can bring files: the run ends well, says which command does, and leaves neither artifact nor folder."""
    state: Any = getattr(scheduled, name)("crypto", return_state=True)

    assert state.is_completed()
    assert "nightshift import PATH --market crypto" in state.message
    assert Artifact.get("crypto-ingested") is None
    assert not home.exists()


def test_a_market_without_a_champion_has_no_trader(prefect: None, home: Path) -> None:
    """That every model was refused is a result, not a failure of the run."""
    state: Any = scheduled.trade(MARKET, return_state=True)

    assert state.is_completed()
    assert "has been promoted" in state.message


@pytest.mark.parametrize(
    ("problem", "calls"), [(ResourceError("a table was busy"), 2), (DiskFull("full"), 1), (ValueError("bug"), 1)]
)
def test_only_what_may_pass_is_tried_again(prefect: None, problem: Exception, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy table is tried again; a full disk, wrong parameters and bugs are told at once."""
    monkeypatch.setattr(scheduled, "RETRIES", 1)
    monkeypatch.setattr(scheduled, "RETRY_DELAYS_S", [0.01])
    called: list[int] = []

    def step() -> None:
        called.append(1)
        raise problem

    with pytest.raises(type(problem)):
        flow(lambda: scheduled.as_task("step", step), name="trying")()

    assert len(called) == calls
