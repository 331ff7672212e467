"""Tidy: few files, a short log, and no data that nothing names any more."""

from typing import Any

from domain.params import Params
from flows.home import Home
from pipelines.registry import Registry
from pipelines.store import Store


def tidy(home: Home, params: Params) -> dict[str, Any]:
    """Compact every table, let go of what is older than the retention, and return files deleted by table, as JSON values.

    The snapshots of models that have an alias (champion, challenger, previous) stay readable however old they are; every other
    version of a table for `store.retention_days`. Raises DiskFull, ResourceError.
    """
    store = Store(home.store)
    for table in store.tables():
        store.compact(table)
    kept = named(home, params)
    deleted = store.retain(params.store.retention_days, {"bars": kept})
    return {"retention_days": params.store.retention_days, "kept_versions": sorted(kept), "deleted": deleted}


def named(home: Home, params: Params) -> set[int]:
    """Return the versions of the table of bars from which the models with an alias were made."""
    if not home.mlflow.exists():
        return set()
    registry = Registry(home.mlflow)
    versions = [version for market in params.markets for version in registry.versions(market) if version.aliases]
    return {version.lineage.table_version for version in versions}
