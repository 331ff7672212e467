"""Cluster: units of work on Dask, through Prefect's task runner.

NIGHTSHIFT_DASK names the scheduler of a cluster whose workers see the same folders; without it a cluster of this machine's
processes is made and closed again. A worker that dies loses nothing but the unit it was at: another does it again.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from domain.error import ResourceError
from models.forest import DASK

Unit = TypeVar("Unit")

#: Times that a lost unit may be begun again.
RETRIES = 3


def over(workers: int) -> Callable[[Callable[[Unit], None], Sequence[Unit]], Iterator[None]]:
    """Return a `map` for functions without a result that spreads their arguments over the workers."""

    def spread(work: Callable[[Unit], None], units: Sequence[Unit]) -> Iterator[None]:
        yield from _spread(workers, work, list(units))

    return spread


def _spread(workers: int, work: Callable[[Unit], None], units: list[Unit]) -> list[None]:
    """Run one flow whose tasks are the units; raise what the first of them raised, ResourceError when workers keep dying."""
    import dask
    from prefect import flow, task
    from prefect.cache_policies import NO_CACHE

    unit = task(cache_policy=NO_CACHE, persist_result=False)(work)

    @flow(name="measure", task_runner=_runner(workers), persist_result=False)
    def measure() -> list[None]:
        left = units
        for _ in range(RETRIES + 1):
            futures = unit.map(left)
            left = [one for one, future in zip(left, futures, strict=True) if not _is_done(future)]
            if not left:
                return [None] * len(units)
        raise ResourceError(f"{len(left)} of {len(units)} units lost their workers {RETRIES + 1} times: look at the logs")

    # Dask would run a lost task once more under the name that Prefect believes to be running, and Prefect would skip it.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        return measure()


def _is_done(future: Any) -> bool:
    """Wait for a unit; return whether it ended, and raise what it raised. False means that its worker died."""
    from distributed.scheduler import KilledWorker
    from prefect.exceptions import UnfinishedRun

    try:
        future.result()
    except (KilledWorker, UnfinishedRun):
        return False
    return True


def _runner(workers: int) -> Any:
    from prefect_dask.task_runners import DaskTaskRunner

    if address := os.environ.get(DASK):
        return DaskTaskRunner(address=address)
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None})
