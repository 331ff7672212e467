"""Evidence: what a version and the champion before it showed on bars that they had not seen."""

import json
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domain.clock import Clock
from domain.error import CorruptBundle, NoChampion
from domain.forecast import LEVELS
from domain.panel import FloatArray
from flows import keys, stages
from flows.home import Home
from flows.stages import Job
from models import bundle, footprint, metrics, signature
from models.bundle import SIGNATURE, Manifest
from models.contract import Dataset, IntArray, Model
from pipelines.data import measuring
from pipelines.model.promotion import Evidence
from pipelines.registry import CHAMPION, Lineage, Registry, Version

LATENCY_TRIALS = 5

log = logging.getLogger("nightshift.evidence")


@dataclass(frozen=True)
class Champion:
    """The version that trades now, and what it forecast."""

    version: Version
    model: Model
    manifest: Manifest
    last: np.datetime64
    """Close of the newest bar that it has seen."""
    forecasts: FloatArray
    """[T, S, Q] over the asking dataset's rows, out of sample: of its own walk-forward and from after its training; else NaN."""

    @property
    def learned(self) -> np.datetime64:
        """Close of the newest bar that its members learned from: recalibrating sees later ones and teaches them nothing."""
        return moment(self.manifest.lineage.get("learned", self.version.lineage.last))

    def judged(self, dataset: Dataset) -> IntArray:
        """Return the rows that a challenger is compared on: the newer half of those that this one has not seen.

        The older half is what the challenger may have learned from and this one may not; without it none could ever be fresher.
        """
        unseen: IntArray = np.flatnonzero(dataset.event_at > self.last)
        return unseen[len(unseen) // 2 :]


def champion(job: Job, registry: Registry, dataset: Dataset) -> Champion | None:
    """Return the market's champion, or None when there is none to compare with.

    One that was trained on bars later than `job.until` is left out, because it knows what this run must not; so is one whose
    features this code no longer measures, or for which no trusted key vouches, because it could not be served either.
    """
    try:
        version = registry.version(job.market.name, CHAMPION)
        signature.verified(fetched_signed(registry, version, job.home), keys.trusted(job.home))
    except NoChampion:
        return None
    except CorruptBundle as refused:
        log.warning("the champion of %s is left out: %s", job.market.name, refused)
        return None
    return known(job, registry, version, dataset)


def known(job: Job, registry: Registry, version: Version, dataset: Dataset) -> Champion | None:
    """Return a version as if it were the champion, or None for one that is left out; see `champion`."""
    model, manifest = bundle.load(fetched(registry, version, job.home))
    last = moment(version.lineage.last)
    _, _, schema_hash = measuring.load_features(job.at("features"))
    if last > dataset.event_at[-1] or manifest.schema_hash != schema_hash:
        return None
    forecasts = model.predict(dataset.features, dataset.scale)
    forecasts[dataset.event_at <= last] = np.nan
    _lay_walk_forward(forecasts, dataset, run_folder(job.home, version.market, version.number))
    return Champion(version, model, manifest, last, forecasts)


def moment(told: str) -> np.datetime64:
    """Return the time that a lineage tells, as the arrays of a dataset hold it."""
    return np.datetime64(told.removesuffix("Z"), "us")


def run_folder(home: Home, market: str, number: int) -> Path:
    """Return where the run of a version is kept."""
    return home.runs / market / str(number)


def fetched(registry: Registry, version: Version, home: Home) -> Path:
    """Return the folder of a version's bundle on this machine; it is fetched once and verified each time.

    Raises CorruptBundle when its bytes are not the ones that were signed off, here or in the registry.
    """
    folder = home.models / version.market / version.run_id
    if not folder.exists():
        registry.fetch(version, folder)
    bundle.verify(folder)
    return folder


def fetched_signed(registry: Registry, version: Version, home: Home) -> Path:
    """Return the folder of a version's bundle on this machine; a copy from before it was signed is fetched again."""
    folder = fetched(registry, version, home)
    if not (folder / SIGNATURE).exists():
        registry.fetch(version, folder)
    return folder


def _lay_walk_forward(forecasts: FloatArray, dataset: Dataset, run: Path) -> None:
    """Fill in what a kept run forecast out of sample, bar by bar and symbol by symbol; without a kept run nothing is known."""
    for found in sorted(run.glob("ensemble/forecasts.npy")):
        described = json.loads((run / "datasets" / "datasets.json").read_text(encoding="utf-8"))
        event_at = np.load(run / "datasets" / "event_at.npy", allow_pickle=False).astype("datetime64[us]")
        kept = np.load(found, allow_pickle=False)
        rows, theirs = np.intersect1d(dataset.event_at, event_at, return_indices=True)[1:]
        columns = [(place, described["symbols"].index(s)) for place, s in enumerate(dataset.symbols) if s in described["symbols"]]
        mine, other = np.array(columns, dtype=np.int64).reshape(-1, 2).T
        forecasts[np.ix_(rows, mine)] = kept[np.ix_(theirs, other)]


def of_candidate(job: Job, dataset: Dataset, forecasts: FloatArray, lineage: Lineage, latency_ms: float) -> Evidence:
    """Return the evidence that evaluation and replay left in the job's folder."""
    measured = stages.read_numbers(job.folder / "evaluation" / "metrics.json")
    replayed = stages.read_numbers(job.folder / "replay" / "replay.json")
    return Evidence(
        metrics=measured,
        trades=replayed["trades"],
        returns=stages.load_returns(job),
        losses=metrics.pinball_rows(forecasts, dataset.forward, LEVELS),
        latency_ms=latency_ms,
        memory_mb=_memory_mb(job, dataset),
        lineage=lineage,
        horizon=dataset.horizon,
        trials=job.params.evaluation.trials + stages.tuned(job)[1],
    )


def of_champion(known: Champion, dataset: Dataset) -> Evidence:
    """Return the champion's losses on the bars that it is judged on; the other gates it has passed already."""
    losses, judged = np.full(dataset.bars, np.nan), known.judged(dataset)
    losses[judged] = metrics.pinball_rows(known.forecasts[judged], dataset.forward[judged], LEVELS)
    return Evidence({}, 0, np.empty(0), losses, 0.0, 0.0, known.version.lineage, dataset.horizon)


def latency_ms(model: Model, dataset: Dataset, clock: Clock) -> float:
    """Return the median time to forecast the whole universe once, in milliseconds."""
    features, scale = np.array(dataset.features[-model.context_bars :]), dataset.scale[-model.context_bars :]
    took = []
    for _ in range(LATENCY_TRIALS):
        began = clock.monotonic_ns()
        model.predict(features, scale)
        took.append((clock.monotonic_ns() - began) / 1e6)
    return float(np.median(took))


def _memory_mb(job: Job, dataset: Dataset) -> float:
    """Return the megabytes that a process takes to load the bundle of the job and forecast the whole universe once."""
    folder = job.made / "bundle"
    bars = bundle.load(folder)[0].context_bars
    return footprint.memory_mb(folder, np.array(dataset.features[-bars:]), dataset.scale[-bars:])
