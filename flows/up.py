"""Up: Prefect server, MLflow server and the served deployments together, until a signal stops all of them."""

import http.client
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from domain.clock import SystemClock
from domain.error import ResourceError
from flows import alerts, signals, webhook
from flows import home as homes
from flows.home import PROJECT, Home

HOST = "127.0.0.1"
START_S = 180.0
CANCEL_S = 30.0
TERMINATE_S = 15.0
POLL_S = 0.25
#: Seconds between a runner's looks for new and cancelled runs; Prefect's own 10 make a click in its UI feel dead.
RUNNER_POLL_S = 3
HEARTBEAT_S = 30
#: A service that ends by itself is begun again, but no more often than this within that time.
REVIVALS_MAX, REVIVED_S = 5, 600.0

log = logging.getLogger("nightshift.up")


@dataclass(frozen=True)
class Ports:
    """Where the servers listen, on this machine only."""

    prefect: int = 4200
    mlflow: int = 5000
    webhook: int = 4300

    @property
    def prefect_api(self) -> str:
        """Address of Prefect's API."""
        return f"http://{HOST}:{self.prefect}/api"

    @property
    def mlflow_address(self) -> str:
        """Address of MLflow, its UI included."""
        return f"http://{HOST}:{self.mlflow}"


@dataclass(frozen=True)
class Service:
    """One child process."""

    name: str
    command: tuple[str, ...]
    port: int = 0
    """0: it listens nowhere."""
    health: str = ""
    """Path that answers 200 once it is ready."""


def services(home: Home, ports: Ports) -> tuple[Service, ...]:
    """Return what is started, in this order, alerts where somebody is to hear them; each is stopped in the opposite order."""
    prefect = ("prefect", "server", "start", "--host", HOST, "--port", str(ports.prefect))
    kept = (
        "--backend-store-uri",
        f"sqlite:///{home.mlflow / 'mlflow.db'}",
        "--default-artifact-root",
        str(home.mlflow / "mlartifacts"),
    )
    hook = ("--port", str(ports.webhook), "--mlflow", ports.mlflow_address)
    mlflow = ("mlflow", "server", "--host", HOST, "--port", str(ports.mlflow), "--workers", "1", *kept)
    told = (Service("alerts", (sys.executable, "-m", "flows.alerts")),) if os.environ.get(alerts.WHERE) else ()
    return (
        Service("prefect", (sys.executable, "-m", *prefect), ports.prefect, "/api/health"),
        Service("mlflow", (sys.executable, "-m", *mlflow), ports.mlflow, "/health"),
        Service("webhook", (sys.executable, "-m", "flows.webhook", *hook), ports.webhook, "/health"),
        Service("deployments", (sys.executable, "-m", "flows.deployments")),
        *told,
    )


def environment(home: Home, ports: Ports) -> dict[str, str]:
    """Return what the children find in their environment: this one's, the home, and Prefect's place in it."""
    chosen = {
        "NIGHTSHIFT_HOME": str(home.root),
        "PREFECT_HOME": str(home.root / "prefect"),
        "PREFECT_API_URL": ports.prefect_api,
        "PREFECT_RUNNER_POLL_FREQUENCY": str(RUNNER_POLL_S),
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": str(HEARTBEAT_S),
        "PYTHONUNBUFFERED": "1",
    }
    kept = {"MLFLOW_WEBHOOK_SECRET_ENCRYPTION_KEY": webhook.encryption_key(home)}
    return {**homes.QUIET, **_served(), **kept, **os.environ, **chosen}


def _served() -> dict[str, str]:
    """Return the settings that mlflow/server.env gives to every MLflow server of ours."""
    lines = (PROJECT / "mlflow" / "server.env").read_text(encoding="utf-8").splitlines()
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    return {name: value for name, _, value in pairs}


def up(home: Home, ports: Ports, announce: Callable[[Mapping[str, str]], None]) -> None:
    """Start all services, announce their addresses and the folder of their logs, and stop them when a signal says so.

    Signals are SIGINT and SIGTERM. Raises ResourceError in one sentence when a port is taken, or when a service does not start or
    ends by itself time and again; one that ends seldom is begun again, for traders must not stop because a server did.
    """
    wanted = services(home, ports)
    for service in wanted:
        _check_port(service)
    for folder in (home.logs, home.mlflow):
        folder.mkdir(parents=True, exist_ok=True)
    with signals.noted() as stop, ExitStack() as running:
        children: list[_Child] = []
        for service in wanted:
            if service.name == "deployments":
                running.enter_context(_noted(home, ports))
            children.append(running.enter_context(_child(service, home, environment(home, ports))))
            _wait_until_ready(children[-1], stop)
        running.callback(_cancel_runs, ports)
        announce({"prefect": f"http://{HOST}:{ports.prefect}", "mlflow": ports.mlflow_address, "logs": str(home.logs)})
        _watch(children, stop)


@dataclass
class _Child:
    service: Service
    variables: Mapping[str, str]
    log: Path
    process: subprocess.Popen[bytes]
    begun: list[int] = field(default_factory=list)
    """When it was begun again, in monotonic nanoseconds."""

    def check(self) -> None:
        """Raise ResourceError if the process has ended."""
        code = self.process.poll()
        if code is not None:
            raise ResourceError(f"the {self.service.name} process ended with code {code}; its last words are in {self.log}")

    def revive(self, now_ns: int) -> None:
        """Start the process again if it has ended: what it served must not end with it. Raise ResourceError if that is no use."""
        if self.process.poll() is None:
            return
        self.begun = [each for each in self.begun if now_ns - each < REVIVED_S * 1e9] + [now_ns]
        if len(self.begun) > REVIVALS_MAX:
            self.check()
        log.warning(
            "the %s process ended with code %s and is begun again; see %s", self.service.name, self.process.poll(), self.log
        )
        if self.service.port:
            with suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)  # a worker that is left would keep the port
        self.process = _begun(self.service, self.variables, self.log)


@contextmanager
def _child(service: Service, home: Home, variables: Mapping[str, str]) -> Iterator[_Child]:
    """Run a service, begun again where it ends by itself, until this is left."""
    place = home.logs / f"{service.name}.log"
    child = _Child(service, variables, place, _begun(service, variables, place))
    try:
        yield child
    finally:
        _end(child.process)


def _begun(service: Service, variables: Mapping[str, str], place: Path) -> subprocess.Popen[bytes]:
    """Start a service in a session of its own, so that a Ctrl-C meant for us is not also sent to it."""
    with place.open("ab") as output:
        return subprocess.Popen(  # noqa: S603
            service.command,
            cwd=PROJECT,
            env=dict(variables),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _end(process: subprocess.Popen[bytes]) -> None:
    """Ask a process to end, then end all that it started: no child of a child survives."""
    import psutil  # type: ignore[import-untyped]

    try:
        family = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        family = []
    process.terminate()
    try:
        process.wait(TERMINATE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for orphan in family:
        if orphan.is_running():
            orphan.terminate()
    _, stubborn = psutil.wait_procs(family, TERMINATE_S)
    for orphan in stubborn:
        orphan.kill()


@contextmanager
def _noted(home: Home, ports: Ports) -> Iterator[None]:
    """Leave the addresses where other commands of this home find them, for as long as they hold."""
    home.addresses.write_text(json.dumps({"prefect": ports.prefect_api, "mlflow": ports.mlflow_address}) + "\n", encoding="utf-8")
    try:
        yield
    finally:
        home.addresses.unlink(missing_ok=True)


def _check_port(service: Service) -> None:
    if not service.port:
        return
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, service.port))
        except OSError:
            asked = f"the {service.name} server was asked to listen on port {service.port}"
            raise ResourceError(f"{asked}, but another program does; name a free one with --{service.name}-port") from None


def _wait_until_ready(child: _Child, stop: threading.Event) -> None:
    clock = SystemClock()
    deadline = clock.monotonic_ns() + int(START_S * 1e9)
    while not stop.is_set() and not _ready(child.service):
        child.check()
        if clock.monotonic_ns() > deadline:
            raise ResourceError(f"the {child.service.name} process was not ready within {START_S:.0f} s; see {child.log}")
        stop.wait(POLL_S)


def _ready(service: Service) -> bool:
    if not service.health:
        return True
    connection = http.client.HTTPConnection(HOST, service.port, timeout=5)
    try:
        connection.request("GET", service.health)
        return connection.getresponse().status == http.client.OK
    except OSError:
        return False
    finally:
        connection.close()


def _watch(children: list[_Child], stop: threading.Event) -> None:
    clock = SystemClock()
    while not stop.wait(POLL_S):
        for child in children:
            child.revive(clock.monotonic_ns())


def _cancel_runs(ports: Ports) -> None:
    """Cancel every run first: a runner that is told to stop kills its runs without a word and leaves them `Running` for ever."""
    from flows import deployments

    try:
        deployments.cancel_runs(ports.prefect_api, CANCEL_S)
    except Exception as problem:
        log.warning("the running flows could not be cancelled through %s: %s", ports.prefect_api, problem)
