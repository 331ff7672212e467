"""Reproduce: a registered version made again from its record alone, and its digest beside the one that was registered."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from domain import params as parameters
from domain.error import ModelError
from flows import evidence, learn, lineage, retrain, stages
from flows.home import PROJECT, Home
from flows.stages import Do, Job
from models import bundle
from models.bundle import Manifest
from pipelines.data import materialize
from pipelines.model.learning import Action
from pipelines.registry import Registry, Version
from pipelines.store.versions import parsed


def reproduce(market: str, which: str | int, home: Home, do: Do = stages.direct) -> dict[str, Any]:
    """Make a version again from the tables, parameters and seed that it was made of, and return both digests.

    One that was made from another is made again from the registered bundle of that one. Raises ModelError where what it was
    recalibrated by is no longer kept, and NoData where the store no longer holds what it read.
    """
    registry = Registry(home.mlflow)
    version = registry.version(market, which)
    expected = bundle.verify(evidence.fetched(registry, version, home))
    told = json.loads(registry.kept(version, lineage.RECORD, lineage.PLACE))
    params = parameters.check(told["params"])
    with retrain.opened(market, None, home, params) as job:
        until = datetime.fromisoformat(told["until"]) if told["until"] is not None else None
        again = replace(job, until=until, versions=parsed(version.lineage.tables))
        if "parent" in expected.lineage:
            _refined(again, registry, expected, do)
        else:
            stages.run(again, do, skip=learn.JUDGING)
        return _compared(again, version, expected)


def _refined(job: Job, registry: Registry, expected: Manifest, do: Do) -> None:
    """Fine-tune or recalibrate the version again that another one was made from."""
    market, action = job.market.name, Action(expected.lineage["action"])
    parent = registry.version(market, int(expected.lineage["parent"]))
    kept = evidence.run_folder(job.home, market, parent.number) / "ensemble" / "forecasts.npy"
    if action is Action.RECALIBRATE and not kept.exists():
        asked = f"a recalibration of version {parent.number} of market '{market}' was to be made again"
        raise ModelError(f"{asked}, but what that forecast out of sample is no longer in {kept.parent}: reproduce that one")
    stages.run(job, do, skip=learn.MAKING)
    champion = evidence.known(job, registry, parent, stages.load_dataset(job))
    if champion is None:
        raise ModelError(f"version {parent.number} of market '{market}' reads other features than this code has: take its commit")
    do(action.value, learn.refine, job, champion, action)


def _compared(job: Job, version: Version, expected: Manifest) -> dict[str, Any]:
    found, taken = bundle.verify(job.made / "bundle"), materialize.load_snapshot(job.at("snapshot"))
    files = sorted(set(found.files.items()) ^ set(expected.files.items()))
    return {
        "market": version.market,
        "version": version.number,
        "digest": found.model_digest,
        "expected": expected.model_digest,
        "equal": found.model_digest == expected.model_digest,
        "snapshot_equal": taken.digest == version.lineage.snapshot,
        "code_equal": lineage.commit(PROJECT) == version.lineage.commit,
        "different": sorted({name for name, _ in files}),
    }


def refuse(told: dict[str, Any]) -> None:
    """Raise ModelError when what was made again is something else."""
    if told["equal"]:
        return
    asked = f"version {told['version']} of market '{told['market']}' was made again with digest {told['digest'][:12]}"
    code = "the same code" if told["code_equal"] else "other code"
    snapshot = "the same snapshot" if told["snapshot_equal"] else "another snapshot"
    raise ModelError(f"{asked}, registered is {told['expected'][:12]}; by {code} from {snapshot}: {', '.join(told['different'])}")
