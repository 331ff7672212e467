"""Forest: how XGBoost's trees are grown, from samples in this process or in blocks of time with the workers of a Dask cluster.

Each worker sorts its own block into bins between thresholds that all share; they add up their histograms and so grow one forest
together (Chen and Guestrin 2016, KDD, sections 3.2 and 4), doing what one process does alone. XGBoost's communicator adds.
`xgboost.dask.train` was not taken: it finds its own thresholds, in all samples, and sorts them anew for every forest.

NIGHTSHIFT_DASK names the scheduler of a cluster; without it a cluster of this machine's processes is made and closed again.
"""

import os
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import CancelledError
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import numpy as np

from domain.error import ConfigurationError, ResourceError
from domain.panel import FloatArray
from models.contract import BoolArray, Float32Array, IntArray

if TYPE_CHECKING:
    from xgboost import QuantileDMatrix

#: Names the scheduler of a cluster whose workers have this code.
DASK = "NIGHTSHIFT_DASK"
STOP_ROUNDS = 30
#: Thresholds a feature that trees choose from. Four times as many rank no better and take a fifth longer.
BINS = 64
#: Thresholds are the quantiles of so many samples, drawn from those that a fit is handed: all of them would take half of the fit.
DRAWN_SAMPLES = 16_384
#: Seconds that workers wait for each other at the start and the end of a forest.
MEETING_S = 300
#: Seconds in which a worker that was lost is expected back.
ARRIVAL_S, ARRIVAL_LOOK_S = 30, 0.1
#: Seconds after which it is looked whether the workers are still there: of those that went together none is left to say so.
LOOK_S = 5

Answer = TypeVar("Answer")


@dataclass(frozen=True)
class Plan:
    """What is grown."""

    settings: dict[str, Any]
    """XGBoost's parameters."""
    rounds: int
    grown: bytes | None = None
    """The forest that is gone on with, as XGBoost saves it."""


class Ground(Protocol):
    """Samples sorted into bins, wherever they lie."""

    def ask(self, work: Callable[..., Answer], plan: Plan, *columns: FloatArray | BoolArray) -> Answer:
        """Return what `work(matrix, plan, *columns)` answers: `grow` or `best_rounds`; columns have a value for each sample."""
        ...


@dataclass(frozen=True)
class Alone:
    """Samples in this process."""

    matrix: "QuantileDMatrix"

    def ask(self, work: Callable[..., Answer], plan: Plan, *columns: FloatArray | BoolArray) -> Answer:
        """See Ground."""
        return work(self.matrix, plan, *columns)


@dataclass(frozen=True)
class Shared:
    """Samples in blocks, each with a worker that holds it sorted."""

    client: Any
    """Dask's."""
    workers: tuple[str, ...]
    edges: IntArray
    """[W + 1] samples at which blocks begin and end."""
    matrices: tuple[Any, ...]
    """Dask's futures of them."""

    def ask(self, work: Callable[..., Answer], plan: Plan, *columns: FloatArray | BoolArray) -> Answer:
        """See Ground; raise ResourceError when a worker is lost, after which the samples are lost as well."""
        with _meeting(self.client, len(self.workers)) as place:
            meet = partial(_meet, work, place, plan)
            handed = [_handed(self.client, self.workers, column, self.edges) for column in columns]
            asked = [
                self.client.submit(meet, rank, matrix, *blocks, workers=[worker], pure=False)
                for rank, (worker, matrix, *blocks) in enumerate(zip(self.workers, self.matrices, *handed, strict=True))
            ]
            answer: Answer = _first(self.client, self.workers, asked)
        return answer


def sort(features: Float32Array, label: FloatArray, drawn: Float32Array, threads: int) -> "QuantileDMatrix":
    """Return samples [N, F] sorted into bins between the quantiles of `drawn` [D, F]."""
    build = partial(xgboost().QuantileDMatrix, max_bin=BINS, nthread=threads)
    matrix: QuantileDMatrix = build(features, label=label, ref=build(drawn))
    return matrix


def drawn(features: Float32Array, seed: int) -> Float32Array:
    """Return the samples of [N, F] that thresholds are found in."""
    return features[np.random.default_rng(seed).permutation(len(features))[:DRAWN_SAMPLES]]


def grow(matrix: "QuantileDMatrix", plan: Plan, label: FloatArray) -> bytes:
    """Return the forest grown towards labels [N], as XGBoost saves it."""
    matrix.set_label(label)
    # As bytes: handed over as a booster, XGBoost goes on with the process's random state instead of the seed's.
    grown = None if plan.grown is None else bytearray(plan.grown)
    return bytes(xgboost().train(plan.settings, matrix, num_boost_round=plan.rounds, xgb_model=grown).save_raw("ubj"))


def best_rounds(matrix: "QuantileDMatrix", plan: Plan, label: FloatArray, learned: BoolArray) -> int:
    """Return how many rounds on the samples that are `learned` [N] miss the labels [N] of the others least.

    They lie in the same matrix, and weigh nothing meanwhile.
    """
    watched, answer = ~learned, label[~learned].astype(np.float32)

    def missed(forecast: Float32Array, _: "QuantileDMatrix") -> tuple[str, float]:
        # A sum, since XGBoost reads six decimals of it; of several processes it takes the mean.
        return "missed", float(np.sum(np.square(forecast[watched] - answer), dtype=np.float64))

    matrix.set_label(label)
    matrix.set_weight(learned.astype(np.float32))
    settings = plan.settings | {"disable_default_eval_metric": True}
    stop = xgboost().callback.EarlyStopping(rounds=STOP_ROUNDS)
    watch: dict[str, Any] = {"evals": [(matrix, "valid")], "custom_metric": missed, "callbacks": [stop], "verbose_eval": False}
    grown = xgboost().train(settings, matrix, num_boost_round=plan.rounds, **watch)
    matrix.set_weight(np.ones(len(label), dtype=np.float32))
    return int(grown.best_iteration) + 1


@contextmanager
def shared(features: Float32Array, bars: IntArray, seed: int, *, workers: int, threads: int) -> Iterator[Shared]:
    """Hand samples [N, F], of which the bars have so many each, [T], to `workers` workers in blocks of neighbouring bars.

    Raises ConfigurationError where the cluster has fewer, ResourceError when one is lost or no cluster answers.
    """
    edges = divided(bars, workers)
    with _cluster(workers) as client:
        chosen = _chosen(client, workers)[: len(edges) - 1]
        # Forests of two fits that wait for each other's workers would wait for ever.
        with _distributed().Semaphore(name=__name__), _explained(workers):
            thresholds = client.scatter(drawn(features, seed), broadcast=True, hash=False)
            blocks = zip(chosen, _handed(client, chosen, features, edges), strict=True)
            matrices = tuple(
                client.submit(_sorted, block, thresholds, threads, workers=[worker], pure=False) for worker, block in blocks
            )
            yield Shared(client, chosen, edges, matrices)


def divided(bars: IntArray, blocks: int) -> IntArray:
    """Return the samples [W + 1] at which blocks of about equal size begin and end, no bar of `bars` [T] samples each divided."""
    ends = np.concatenate([[0], np.cumsum(bars)])
    wanted = np.linspace(0, ends[-1], blocks + 1)
    return np.unique(ends[np.abs(ends[:, None] - wanted).argmin(axis=0)])


def xgboost() -> Any:
    """Return the library, told to let waiting threads sleep: spinning ones took 31 s instead of 1 s on a busy machine."""
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    import xgboost

    return xgboost


def _sorted(features: Float32Array, drawn: Float32Array, threads: int) -> "QuantileDMatrix":
    return sort(features, np.zeros(len(features)), drawn, threads)


def _handed(client: Any, workers: tuple[str, ...], column: Any, edges: IntArray) -> list[Any]:
    """Return blocks of a column [N, ...], each with its worker."""
    blocks = [column[first:last] for first, last in pairwise(edges)]
    return [client.scatter(block, workers=[worker], hash=False) for worker, block in zip(workers, blocks, strict=True)]


def _meet(work: Callable[..., Answer], meeting: dict[str, Any], plan: Plan, rank: int, matrix: Any, *columns: Any) -> Answer | None:
    """Do the work as one rank of several, in a worker; the first answers for all, since all know the same."""
    from xgboost.collective import CommunicatorContext

    # XGBoost says on stdout which rank it got; that belongs to whoever asked for JSON there.
    with redirect_stdout(sys.stderr), CommunicatorContext(**meeting, dmlc_task_id=f"{rank:06}", dmlc_timeout=MEETING_S):
        answer = work(matrix, plan, *columns)
    return None if rank else answer


def _first(client: Any, workers: tuple[str, ...], asked: list[Any]) -> Any:
    """Return the first rank's answer once all have answered; whoever fails is heard at once and the others are let go."""
    waiting = asked
    try:
        while waiting:
            with suppress(TimeoutError):
                done, waiting = _distributed().wait(waiting, timeout=LOOK_S, return_when="FIRST_COMPLETED")
                for future in done:
                    future.result()
            if gone := set(workers) - set(client.nthreads()):
                raise ConnectionError(f"gone: {', '.join(sorted(gone))}")
    except BaseException:
        client.cancel(asked)
        raise
    return asked[0].result()


@contextmanager
def _meeting(client: Any, workers: int) -> Iterator[dict[str, Any]]:
    """Open where the workers meet, in this process; ranks follow the order of blocks."""
    from xgboost.tracker import RabitTracker

    library = _distributed()
    host = library.utils.get_ip(library.comm.get_address_host(client.scheduler.address))
    tracker = RabitTracker(workers, host, sortby="task", timeout=MEETING_S)
    tracker.start()
    try:
        yield tracker.worker_args()
        tracker.wait_for(MEETING_S)
    finally:
        # One whose workers were lost says so once more as it goes.
        with suppress(xgboost().core.XGBoostError):
            tracker.free()


@contextmanager
def _explained(workers: int) -> Iterator[None]:
    """Turn what a lost worker makes of a fit into one sentence."""
    from distributed.scheduler import KilledWorker

    try:
        yield
    except (KilledWorker, CancelledError, OSError, xgboost().core.XGBoostError) as problem:
        reason = str(problem).strip().splitlines()[0] if str(problem).strip() else type(problem).__name__
        asked = f"trees were to be grown by {workers} workers together"
        raise ResourceError(f"{asked}, but one was lost or failed, and nothing was kept: fit again ({reason})") from None


def _chosen(client: Any, workers: int) -> tuple[str, ...]:
    until = time.monotonic() + ARRIVAL_S
    # Asked anew each time: what the client remembers of its workers outlives them.
    while len(found := sorted(client.nthreads())) < workers and time.monotonic() < until:
        time.sleep(ARRIVAL_LOOK_S)
    if len(found) < workers:
        asked = f"training.hardware.workers {workers} was asked for"
        raise ConfigurationError(f"{asked}, but the cluster at {client.scheduler.address} has {len(found)} workers")
    return tuple(found[:workers])


@contextmanager
def _cluster(workers: int) -> Iterator[Any]:
    """Open the cluster that NIGHTSHIFT_DASK names, or one of our own."""
    import dask

    if address := os.environ.get(DASK):
        with _reached(address) as client:
            yield client
        return
    # A sorted block that is lost with its worker is not worth sorting again: the forest is lost as well.
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        own = _distributed().LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0")
        with own, _distributed().Client(own) as client:
            yield client


def _reached(address: str) -> Any:
    try:
        return _distributed().Client(address)
    except (OSError, ValueError) as problem:
        reason = str(problem).strip().splitlines()[0]
        raise ResourceError(f"{DASK} names a cluster at {address}, but no scheduler answers there: {reason}") from None


def _distributed() -> Any:
    """Return the library, which has no types."""
    import distributed

    return distributed
