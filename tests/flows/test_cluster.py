"""Cluster: a history measured by two Dask workers through Prefect, one of them killed in the middle."""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from distributed import LocalCluster
from prefect.settings import PREFECT_FLOWS_HEARTBEAT_FREQUENCY, temporary_settings
from prefect.testing.utilities import prefect_test_harness

from flows import cluster
from pipelines.data import materialize, measuring
from pipelines.data.measuring import Unit
from pipelines.store import Store
from tests.flows import dying
from tests.pipelines.data.test_materialize import bars, market
from tests.pipelines.data.test_measuring import FAMILIES, SYMBOLS, bytes_of


@pytest.fixture(scope="module")
def server() -> Iterator[None]:
    """Run a real Prefect server."""
    with prefect_test_harness(server_startup_timeout=180), temporary_settings({PREFECT_FLOWS_HEARTBEAT_FREQUENCY: None}):
        yield


@pytest.fixture
def snapshot(tmp_path: Path) -> Path:
    """Return the snapshot of a small market."""
    store = Store(tmp_path / "store")
    store.upsert("bars", bars(SYMBOLS, 90))
    materialize.snapshot(store, market(), tmp_path / "snapshot")
    return tmp_path / "snapshot"


def mortal(work: Callable[[Unit], None], units: Sequence[Unit]) -> Iterator[None]:
    """Spread units over two workers; whoever begins first dies of it."""
    assert work is measuring.measure
    yield from cluster.over(2)(dying.measure, units)


@pytest.mark.usefixtures("server")
def test_a_worker_that_is_killed_costs_nothing_but_time(snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What it left half written is measured again by another: the bytes are those of one process alone."""
    measuring.features(snapshot, FAMILIES, tmp_path / "alone")

    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as two:
        monkeypatch.setenv("NIGHTSHIFT_DASK", two.scheduler_address)
        measuring.features(snapshot, FAMILIES, tmp_path / "shared", workers=2, over=mortal)

    assert (tmp_path / "killed").exists()
    assert len(set((tmp_path / "begun").read_text().split())) > 1
    assert bytes_of(tmp_path / "shared") == bytes_of(tmp_path / "alone")
