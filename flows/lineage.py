"""Lineage: which code, which snapshot and which parameters a version came from."""

import hashlib
import json
import subprocess
from pathlib import Path

from flows import stages
from flows.home import PROJECT
from flows.stages import Job
from models.bundle import Manifest
from models.contract import Dataset
from pipelines.data import materialize
from pipelines.registry import Lineage
from pipelines.store.versions import line

#: What a run leaves beside its bundle so that it can be made again: parameters and the last moment that was known, whole.
PLACE, RECORD = "reproduce", "record.json"
ROOMS = ("domain", "features", "models", "pipelines", "flows")


def of(job: Job, dataset: Dataset, manifest: Manifest) -> Lineage:
    """Return everything that is needed to make a version again."""
    taken = materialize.load_snapshot(job.folder / "snapshot")
    return Lineage(
        tables=line(taken.tables),
        snapshot=taken.digest,
        first=stages.iso(dataset.event_at[0]),
        last=stages.iso(dataset.event_at[-1]),
        commit=commit(PROJECT),
        parameters=job.params.digest(),
        seed=job.params.training.seed,
        features=manifest.schema_hash,
    )


def record(job: Job) -> str:
    """Return all that a job was told, as JSON."""
    told = {"params": job.params.model_dump(mode="json"), "until": job.until.isoformat() if job.until is not None else None}
    return json.dumps(told, sort_keys=True)


def commit(project: Path) -> str:
    """Return the git commit of the code, marked `+` when files differ from it; outside git a digest of the code itself."""
    head = _git(project, "rev-parse", "HEAD")
    if head is None:
        return f"source-{_source_digest(project)}"
    return head + ("+" if _git(project, "status", "--porcelain", "--untracked-files=no") else "")


def _git(project: Path, *words: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(project), *words], capture_output=True, text=True, check=False)  # noqa: S603, S607
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _source_digest(project: Path) -> str:
    seen = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((project / room).rglob("*.py")):
            seen.update(path.relative_to(project).as_posix().encode() + b"\0" + path.read_bytes())
    return seen.hexdigest()[:40]
