"""Reproduce: a registered version made again from its record alone, and its digest beside the one that was registered."""

import json
from dataclasses import replace
from datetime import datetime
from typing import Any

from domain import params as parameters
from domain.error import ModelError
from flows import evidence, lineage, retrain, stages
from flows.home import PROJECT, Home
from flows.stages import Do, Job
from models import bundle
from models.bundle import Manifest
from pipelines.data import materialize
from pipelines.registry import Registry, Version
from pipelines.store.versions import parsed

JUDGING = ("evaluation", "replay")


def reproduce(market: str, which: str | int, home: Home, do: Do = stages.direct) -> dict[str, Any]:
    """Make a version again from the tables, parameters and seed that it was made of, and return both digests.

    Raises ModelError for a version that was made from another one, and NoData where the store no longer holds what it read.
    """
    registry = Registry(home.mlflow)
    version = registry.version(market, which)
    expected = bundle.verify(evidence.fetched(registry, version, home))
    if "parent" in expected.lineage:
        asked = f"version {version.number} of market '{market}' was to be made again"
        made = expected.lineage["action"].replace("_", " ")
        raise ModelError(f"{asked}, but it is a {made} of version {expected.lineage['parent']}: reproduce that one")
    told = json.loads(registry.kept(version, lineage.RECORD, lineage.PLACE))
    params = parameters.check(told["params"])
    with retrain.opened(market, None, home, params) as job:
        until = datetime.fromisoformat(told["until"]) if told["until"] is not None else None
        again = replace(job, until=until, versions=parsed(version.lineage.tables))
        stages.run(again, do, skip=JUDGING)
        return _compared(again, version, expected)


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
