"""Upkeep: few files instead of many, a short log, and no data that no kept version needs."""

from collections.abc import Collection
from typing import TYPE_CHECKING

from pipelines.store import merge
from pipelines.store.place import Place

if TYPE_CHECKING:
    from deltalake import DeltaTable


def compact(place: Place, table: str) -> int:
    """Rewrite a table's small files as few, write its log's checkpoint, and return the version after."""
    delta = place.open(table)
    merge.compact(delta)
    delta.create_checkpoint()
    return int(delta.version())


def retain(place: Place, table: str, days: int, kept: Collection[int]) -> int:
    """Delete the data that no version of the last days and no kept one needs, and return how many files that were.

    What writers left behind that were killed goes as well, once it is as old.
    """
    delta = place.open(table)
    _keep_log(delta)
    known = sorted(version for version in set(kept) if 0 <= version < delta.version())
    gone = delta.vacuum(
        retention_hours=24 * days, dry_run=False, enforce_retention_duration=False, full=True, keep_versions=known or None
    )
    return len(gone)


def _keep_log(delta: "DeltaTable") -> None:
    """Give a table of before the promise that its versions stay readable."""
    missing = {name: value for name, value in merge.LOG_KEPT.items() if name not in delta.metadata().configuration}
    if missing:
        delta.alter.set_table_properties(missing)
