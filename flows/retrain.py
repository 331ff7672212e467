"""Retrain: a challenger made anew, its record in the registry, its gates, and its promotion or the reason against it."""

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import psutil  # type: ignore[import-untyped]

from domain.clock import SystemClock
from domain.error import CorruptBundle, ModelError
from domain.params import Params
from flows import dossier, events, evidence, keys, lineage, stages
from flows.evidence import Champion
from flows.home import Home
from flows.stages import Do, Job
from models import bundle, signature
from models.bundle import SIGNATURE
from pipelines.model import promotion
from pipelines.model.promotion import Report
from pipelines.registry import BUNDLE, Registry, Version

#: Run folders kept a market, those with an alias not counted; their large arrays go as soon as the run is recorded.
RUNS_KEPT = 5
#: What a job leaves in its folder on the way to being concluded: its version, and what the gates said.
RECORDED, GATES = "recorded.json", "gates.json"
ARRAYS = ("features/features.npy", "datasets/target.npy", "datasets/label.npy", "datasets/scale.npy", "datasets/near_*.npy")


@dataclass(frozen=True)
class Concluded:
    """What became of a challenger."""

    version: Version
    report: Report
    folder: Path
    """Where its run is kept."""

    def to_dict(self) -> dict[str, Any]:
        """Return what a command prints as JSON."""
        gates = json.loads(self.report.to_json())["criteria"]
        return {"version": self.version.number, "promoted": self.report.promoted, "gates": gates, "folder": str(self.folder)}


def known_by(until: date | None) -> datetime | None:
    """Return the last moment that belongs to a day, in UTC: what was known by then may be used."""
    return None if until is None else datetime.combine(until, time.max, UTC)


@contextmanager
def opened(market: str, until: date | None, home: Home, params: Params) -> Iterator[Job]:
    """Yield a job in a new folder; unless its run was concluded, and so kept under its version, nothing of it stays."""
    place = home.runs / market
    place.mkdir(parents=True, exist_ok=True)
    _sweep(place)
    stamp = SystemClock().now().strftime("%Y%m%dT%H%M%S")
    folder = Path(mkdtemp(prefix=f"{stamp}-{os.getpid()}-", dir=place))
    try:
        yield Job(folder, home, params.market(market), params, known_by(until))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _sweep(place: Path) -> None:
    """Remove what processes left behind that were killed."""
    for folder in place.glob("*T*-*-*"):
        if not psutil.pid_exists(int(folder.name.split("-")[1])):
            shutil.rmtree(folder, ignore_errors=True)


def retrain(market: str, until: date | None, home: Home, params: Params, do: Do = stages.direct) -> Concluded:
    """Train a challenger from nothing on what was known by `until` and let the gates decide."""
    registry = Registry(home.mlflow)
    with opened(market, until, home, params) as job:
        stages.run(job, do, skip=[stage.name for stage in stages.STAGES if stage.name not in stages.LOOKING])
        after = registry.standing(market)
        champion = evidence.champion(job, registry, stages.load_dataset(job))
        stages.run(against(job, champion), do, skip=stages.LOOKING)
        return do("gates", conclude, job, registry, champion, after)


def against(job: Job, champion: Champion | None) -> Job:
    """Return the job of training a challenger, whose forecasts of the bars that both are compared on are as fresh as it will be."""
    if champion is None:
        return job
    judged = champion.judged(stages.load_dataset(job))
    return replace(job, fresh=int(judged[0])) if len(judged) else job


def conclude(job: Job, registry: Registry, champion: Champion | None, after: int) -> Concluded:
    """Record a trained and replayed challenger, judge it, and promote it if every gate opens; either way the report is kept.

    `after` is the number of the promotion that stood when the champion was looked at: nothing is promoted over a later one.
    Whoever was killed on the way calls it again: a version is recorded once and judged once.
    """
    known = recorded(job)
    version = registry.version(job.market.name, known) if known is not None else record(job, registry)
    write(job.folder / RECORDED, json.dumps({"version": version.number}))
    said = read(job.folder / GATES)
    report = Report.from_dict(said) if said is not None else _judge(job, registry, version, champion)
    if report.promoted:
        _sign(job.made / "bundle", registry, version, job.home)
        version = registry.promote(job.market.name, version.number, report.to_json(), after)
        events.promoted(job.market.name, version.number, job.home)
    return Concluded(version, report, _keep(job, version, registry))


def recorded(job: Job) -> int | None:
    """Return the number under which a job's model is registered, None where it is not yet."""
    known = read(job.folder / RECORDED)
    return None if known is None else int(known["version"])


def _judge(job: Job, registry: Registry, version: Version, champion: Champion | None) -> Report:
    """Put a version's evidence to the gates, and leave their report with it and in the job's folder."""
    dataset = stages.load_dataset(job)
    model, _ = bundle.load(job.made / "bundle")
    latency = evidence.latency_ms(model, dataset, SystemClock())
    shown = evidence.of_candidate(job, dataset, stages.load_forecasts(job), version.lineage, latency)
    report = promotion.judge(shown, job.params.registry, evidence.of_champion(champion, dataset) if champion is not None else None)
    registry.attach(version, {"gates.json": report.to_json(), "gates.md": report.markdown()})
    write(job.folder / GATES, report.to_json())
    return report


def read(path: Path) -> dict[str, Any] | None:
    """Return what a job has noted, None where it has not."""
    return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


def write(path: Path, text: str) -> None:
    """Note something in a job's folder, whole or not at all."""
    partial = path.with_suffix(".partial")
    partial.write_text(text + "\n", encoding="utf-8")
    partial.replace(path)


def promote(market: str, which: str | int, home: Home, params: Params) -> Version:
    """Make a version the champion on the strength of its gate report; raise ModelError where it has none or it refuses."""
    registry = Registry(home.mlflow)
    version = registry.version(market, which)
    report = evidence.run_folder(home, market, version.number) / "gates.json"
    if not report.exists():
        raise ModelError(
            f"version {version.number} of market '{market}' was to be promoted, but no gate report is kept of it: train anew"
        )
    if json.loads(report.read_text(encoding="utf-8")).get("promoted") is True:
        _sign(_judged(report.parent, registry, version, home), registry, version, home)
    promoted = registry.promote(market, version.number, report.read_text(encoding="utf-8"))
    events.promoted(market, promoted.number, home)
    return promoted


def _judged(run: Path, registry: Registry, version: Version, home: Home) -> Path:
    """Return the bundle that a version's gates were asked about; raise CorruptBundle where the registered one is another."""
    judged, registered = run / "ensemble" / "bundle", evidence.fetched(registry, version, home)
    digests = bundle.verify(judged).digest, bundle.verify(registered).digest
    if digests[0] != digests[1]:
        asked = f"version {version.number} of market '{version.market}' was to be promoted"
        raise CorruptBundle(
            f"{asked}, but its gates judged bundle {digests[0][:12]} and {digests[1][:12]} is registered: train anew"
        )
    return judged


def _sign(folder: Path, registry: Registry, version: Version, home: Home) -> None:
    """Vouch for a version that passed its gates: here, where it is registered, and where it was fetched to already."""
    signed = signature.sign(folder, keys.signing(home))
    registry.attach(version, {SIGNATURE: signed}, BUNDLE)
    fetched = home.models / version.market / version.run_id
    if fetched.exists():
        (fetched / SIGNATURE).write_bytes(signed)


def kept(home: Home, market: str, number: int | None) -> dict[str, Any]:
    """Return what `Concluded.to_dict` said of a champion, from its kept run."""
    folder = None if number is None else evidence.run_folder(home, market, number)
    report = folder / "gates.json" if folder is not None else None
    gates = json.loads(report.read_text(encoding="utf-8"))["criteria"] if report is not None and report.exists() else []
    return {
        "version": number,
        "promoted": number is not None,
        "gates": gates,
        "folder": str(folder) if folder is not None else None,
    }


def record(job: Job, registry: Registry) -> Version:
    """Record the run with its parameters, numbers, plots and bundle; its version waits at the gates as `challenger`."""
    market, manifest = job.market.name, bundle.verify(job.made / "bundle")
    origin = lineage.of(job, stages.load_dataset(job), manifest)
    replayed = {f"replay_{name}": value for name, value in stages.read_numbers(job.folder / "replay" / "replay.json").items()}
    compiled = stages.read_numbers(job.folder / "dossier" / "metrics.json")
    made: dict[str, Any] = {name: manifest.lineage[name] for name in ("action", "parent") if name in manifest.lineage}
    version = registry.record(
        market,
        bundle=job.made / "bundle",
        params=job.params.model_dump(mode="json", exclude={"markets"})
        | {"market": job.params.markets[market].model_dump(mode="json"), "made": made},
        metrics=stages.read_numbers(job.folder / "evaluation" / "metrics.json") | compiled | replayed,
        artifacts=job.folder / "evaluation",
        lineage=origin,
        name=f"{market} {origin.last[:10]} {manifest.family}{_descent(made)}",
    )
    registry.attach(version, {lineage.RECORD: lineage.record(job)}, lineage.PLACE)
    registry.attach(version, {dossier.PAGE: (job.folder / "dossier" / dossier.PAGE).read_text(encoding="utf-8")})
    registry.challenge(market, version.number)
    return version


def _descent(made: Mapping[str, Any]) -> str:
    """Return how a version came from another one, in words; nothing for one that was trained from nothing."""
    return f", {made['action'].replace('_', ' ')} of version {made['parent']}" if "parent" in made else ""


def _keep(job: Job, version: Version, registry: Registry) -> Path:
    """Rename the run's folder to its version, drop what can be made again from the snapshot, and let the oldest runs go."""
    for array in (path for pattern in ARRAYS for path in job.folder.glob(pattern)):
        array.unlink()
    kept = evidence.run_folder(job.home, job.market.name, version.number)
    shutil.rmtree(kept, ignore_errors=True)
    job.folder.rename(kept)
    standing = {str(each.number) for each in registry.versions(job.market.name) if each.aliases}
    numbered = sorted((folder for folder in kept.parent.iterdir() if folder.name.isdecimal()), key=lambda folder: int(folder.name))
    for folder in numbered[:-RUNS_KEPT]:
        if folder.name not in standing:
            shutil.rmtree(folder)
    return kept
