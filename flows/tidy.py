"""Tidy: few files, a short log, and no data that nothing names any more."""

from typing import Any

from domain.params import Params
from flows.home import Home
from pipelines.registry import Registry
from pipelines.store import Store
from pipelines.store.versions import parsed


def tidy(home: Home, params: Params) -> dict[str, Any]:
    """Compact every table, let go of what is older than the retention, and return files deleted by table, as JSON values.

    The snapshots of models that have an alias (champion, challenger, previous) stay readable however old they are; every other
    version of a table for `store.retention_days`. Raises DiskFull, ResourceError.
    """
    store = Store(home.store)
    for table in store.tables():
        store.compact(table)
    kept = named(home, params)
    deleted = store.retain(params.store.retention_days, kept)
    told = {table: sorted(versions) for table, versions in kept.items()}
    return {"retention_days": params.store.retention_days, "kept_versions": told, "deleted": deleted}


def named(home: Home, params: Params) -> dict[str, set[int]]:
    """Return the versions of the tables from which the models with an alias were made, by table."""
    kept: dict[str, set[int]] = {}
    if not home.mlflow.exists():
        return kept
    registry = Registry(home.mlflow)
    versions = [version for market in params.markets for version in registry.versions(market) if version.aliases]
    for version in versions:
        for table, number in parsed(version.lineage.tables).items():
            kept.setdefault(table, set()).add(number)
    return kept
