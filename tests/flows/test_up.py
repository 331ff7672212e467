"""Up: the servers and the deployments start together, work, and leave no process behind."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
import yaml

from domain import params as parameters
from domain.clock import SystemClock
from domain.error import ResourceError
from flows import up
from flows.home import Broker, Home
from flows.up import Ports
from flows.vitals import Sign
from pipelines import journal as journals
from pipelines.execution.accounts import JOURNAL
from tests.flows import conftest
from tests.flows.conftest import Passed
from tests.flows.test_live import facts, opened

ROOT = Path(__file__).parents[2]
MARKET = "sim_crypto"
PATIENCE_S = 240.0
BUSY_PAUSES_S = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
ENDED = {"COMPLETED", "FAILED", "CRASHED"}
MODELS = "{}/api/2.0/mlflow/registered-models"
FLOWS = {"prepare", "learn", "retrain", "trade", "tune", "admit"}


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_port_in_use_is_one_sentence(tmp_path: Path) -> None:
    """Whose port, which one, and the option that changes it; nothing is started."""
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = int(other.getsockname()[1])

        with pytest.raises(ResourceError, match=rf"prefect .*port {taken}.*--prefect-port"):
            up.up(Home(tmp_path / "home"), Ports(taken, free_port()), print)

    assert not (tmp_path / "home").exists()


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Return the environment of a home of its own with one tiny market."""
    raw = yaml.safe_load((ROOT / "params.yaml").read_text()) | {"profile": "tiny", "experiment": {"market": MARKET}}
    raw["markets"] = {MARKET: raw["markets"][MARKET]}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    parameters.load(tmp_path / "params.yaml")
    places = {"NIGHTSHIFT_HOME": str(tmp_path / "home"), "NIGHTSHIFT_PARAMETERS": str(tmp_path / "params.yaml")}
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}, **places}


@pytest.mark.slow
def test_the_servers_start_work_and_stop(environment: dict[str, str], tmp_path: Path) -> None:
    """Prefect lists the deployments and completes a run, again after both servers were killed; after Ctrl-C no child survives."""
    ports, home = Ports(free_port(), free_port(), free_port()), Home(tmp_path / "home")
    started = start(environment, ports)
    try:
        wait(started, lambda: home.addresses.exists() and len(deployments(ports)) == len(FLOWS))
        listed = {each["name"]: each for each in deployments(ports)}
        ended = prepared(started, ports)
        move_by_hand(ports)
        wait(started, lambda: [each for each in runs(ports, f"admit-{MARKET}-now") if each["state"]["type"] in ENDED])
        (admitted,) = runs(ports, f"admit-{MARKET}-now")
        mlflow = httpx.get(f"{ports.mlflow_address}/health").status_code
        moved = httpx.get(f"{MODELS.format(ports.mlflow_address)}/get", params={"name": f"nightshift-{MARKET}"}).json()
        for server in (listening(started, ports.prefect), listening(started, ports.mlflow)):
            server.kill()
        wait(started, lambda: healthy(f"{ports.mlflow_address}/health") and healthy(f"{ports.prefect_api}/health"))
        again = prepared(started, ports)
        children = psutil.Process(started.pid).children(recursive=True)
    finally:
        started.send_signal(signal.SIGINT)
        said, _ = started.communicate(timeout=PATIENCE_S)

    assert set(listed) == {MARKET}
    assert ended["state"]["type"] == again["state"]["type"] == "COMPLETED", (ended["state"], again["state"])
    assert ended["name"] == f"prepare-{MARKET}-now"
    assert (home.store / "bars").is_dir()
    assert mlflow == 200
    assert admitted["state"]["name"] == "Refused", admitted["state"]
    assert "goes back to None: version 1 of market 'sim_crypto' was to be promoted" in admitted["state"]["message"]
    assert moved["registered_model"].get("aliases", []) == []
    assert started.returncode == 0, said
    assert str(ports.prefect) in said
    assert len(children) >= 3
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]
    assert not home.addresses.exists()


def places_of(there: Passed, folder: Path, **changed: Any) -> dict[str, str]:
    """Return the environment of a home whose market has a champion, with parameters that are changed in their sections."""
    settings = {"profile": "tiny", "experiment": {"market": conftest.MARKET}}
    raw = yaml.safe_load((ROOT / "params.yaml").read_text()) | settings | changed
    raw["markets"] = {conftest.MARKET: raw["markets"][conftest.MARKET]}
    (folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    places = {"NIGHTSHIFT_HOME": str(there.home.root), "NIGHTSHIFT_PARAMETERS": str(folder / "params.yaml")}
    return {**{name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}, **places}


@pytest.mark.slow
@pytest.mark.fault("F01", "F07")
def test_a_trader_that_dies_is_begun_again(beside: Passed, tmp_path: Path) -> None:
    """Killed, as by the system or by its own watch: Prefect sees it and runs it anew, on the same account."""
    ports, account = Ports(free_port(), free_port(), free_port()), beside.home.account(conftest.MARKET)
    started = start(places_of(beside, tmp_path), ports)
    try:
        wait(started, lambda: beside.home.addresses.exists() and len(deployments(ports)) == len(FLOWS))
        run = ask(ports, f"deployments/{flow_of(ports, 'trade', conftest.MARKET)}/create_flow_run", {})
        wait(started, lambda: Sign.read(account) is not None)
        (trader,) = writers(started, account)
        os.kill(trader, signal.SIGKILL)
        wait(started, lambda: bool(set(writers(started, account)) - {trader}))
        died = ask(ports, f"flow_runs/{run['id']}")["state"]["type"]
    finally:
        started.send_signal(signal.SIGINT)
        said, _ = started.communicate(timeout=PATIENCE_S)

    assert died == "CRASHED"
    assert started.returncode == 0, said


@pytest.mark.slow
def test_an_account_at_a_broker_is_traded_until_it_is_cancelled(beside: Passed, tmp_path: Path) -> None:
    """Served under its name; killed, it is begun again; cancelled in Prefect, it ends as it was told to, its journal closed."""
    asked = {"broker": "exchange", "markets": [conftest.MARKET], "mode": "autonomous", "answer_s": 60.0}
    ports, account = Ports(free_port(), free_port(), free_port()), beside.home.account(conftest.MARKET, broker=Broker.EXCHANGE)
    # As slow as servers may be to start: the exchange must not come to the end of its bars before.
    with opened(beside, pace_s=3.0):
        started = start(places_of(beside, tmp_path, accounts=[asked]), ports)
        try:
            wait(started, lambda: beside.home.addresses.exists() and len(deployments(ports)) == len(FLOWS) + 1)
            deployment = flow_of(ports, "trade-at", f"{conftest.MARKET}@exchange")
            ask(ports, f"deployments/{deployment}/create_flow_run", {})
            wait(started, lambda: bool(writers(started, account)) and bool(facts(beside, "fill")))
            (trader,) = writers(started, account)
            os.kill(trader, signal.SIGKILL)
            wait(started, lambda: bool(set(writers(started, account)) - {trader}) and len(facts(beside, "start")) > 1)
            wait(started, lambda: len(facts(beside, "reconcile")) > 1)
            revived = last_run(ports, deployment)
            ask(ports, f"flow_runs/{revived}/set_state", {"state": {"type": "CANCELLING"}})
            wait(started, lambda: ask(ports, f"flow_runs/{revived}")["state"]["type"] == "CANCELLED")
        finally:
            started.send_signal(signal.SIGINT)
            said, _ = started.communicate(timeout=PATIENCE_S)

    assert started.returncode == 0, said
    assert len(facts(beside, "stop")) == 1
    assert journals.verify(account / JOURNAL).sealed


def last_run(ports: Ports, deployment: str) -> str:
    """Return the newest run of a deployment."""
    wanted = {"deployments": {"id": {"any_": [deployment]}}, "sort": "START_TIME_DESC", "limit": 1}
    return str(ask(ports, "flow_runs/filter", wanted)[0]["id"])


def writers(started: subprocess.Popen[str], account: Path) -> list[int]:
    """Return the processes under `nightshift up` that hold an account's journal open."""
    journal = str(account / "journal.db")
    found = []
    for child in psutil.Process(started.pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if journal in {file.path for file in child.open_files()}:
                found.append(child.pid)
    return found


def start(environment: dict[str, str], ports: Ports) -> subprocess.Popen[str]:
    """Start `nightshift up`."""
    told = {"--prefect-port": ports.prefect, "--mlflow-port": ports.mlflow, "--webhook-port": ports.webhook}
    command = [sys.executable, "-m", "flows.cli", "up", *(str(word) for pair in told.items() for word in pair)]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait(process: subprocess.Popen[str], enough: Callable[[], bool]) -> None:
    """Wait until `enough`, for as long as the process lives and patience lasts."""
    clock = SystemClock()
    deadline = clock.monotonic_ns() + int(PATIENCE_S * 1e9)
    while not enough():
        assert clock.monotonic_ns() < deadline, "patience is over"
        try:
            process.wait(0.5)
        except subprocess.TimeoutExpired:
            continue
        raise AssertionError(process.communicate()[0])


def listening(process: subprocess.Popen[str], port: int) -> psutil.Process:
    """Return the child that was started to listen on a port."""
    return next(child for child in psutil.Process(process.pid).children() if str(port) in child.cmdline())


def prepared(process: subprocess.Popen[str], ports: Ports) -> dict[str, Any]:
    """Ask for a run of `prepare` and return how it ended."""
    run = ask(ports, f"deployments/{flow_of(ports, 'prepare')}/create_flow_run", {})
    wait(process, lambda: ask(ports, f"flow_runs/{run['id']}")["state"]["type"] in ENDED)
    ended: dict[str, Any] = ask(ports, f"flow_runs/{run['id']}")
    return ended


def move_by_hand(ports: Ports) -> None:
    """Make a version that no gate has seen the champion, as MLflow's pages do."""
    name, models = f"nightshift-{MARKET}", MODELS.format(ports.mlflow_address)
    versions = models.replace("registered-models", "model-versions")
    for place, body in (
        (f"{models}/create", {"name": name}),
        (f"{versions}/create", {"name": name, "source": "s3://elsewhere/bundle"}),
        (f"{models}/alias", {"name": name, "alias": "champion", "version": "1"}),
    ):
        httpx.post(place, json=body, timeout=30).raise_for_status()


def runs(ports: Ports, name: str) -> list[dict[str, Any]]:
    """Return the runs of that name."""
    found: list[dict[str, Any]] = ask(ports, "flow_runs/filter", {"flow_runs": {"name": {"any_": [name]}}})
    return found


def healthy(address: str) -> bool:
    """Return whether a server answers."""
    try:
        return httpx.get(address, timeout=5).status_code == httpx.codes.OK
    except httpx.HTTPError:
        return False


def ask(ports: Ports, path: str, body: dict[str, Any] | None = None) -> Any:
    """Return what Prefect's API answers; with a body it is a POST. A server that is busy, 503, is asked again as by its client."""
    method, url = "GET" if body is None else "POST", f"{ports.prefect_api}/{path}"
    for pause in BUSY_PAUSES_S:
        answer = httpx.request(method, url, json=body, timeout=30)
        if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
            break
        time.sleep(pause)
    answer.raise_for_status()
    return answer.json()


def deployments(ports: Ports) -> list[dict[str, Any]]:
    """Return what Prefect serves; each has a schedule but the search and the admission, which wait to be asked."""
    found: list[dict[str, Any]] = ask(ports, "deployments/filter", {"limit": 100})
    assert all(bool(each["schedules"]) != each["entrypoint"].endswith(("tune", "admit")) for each in found)
    return found


def flow_of(ports: Ports, name: str, market: str = MARKET) -> str:
    """Return the id of the market's deployment of a flow."""
    return str(ask(ports, f"deployments/name/{name}/{market}")["id"])
