"""Snapshot: the files of one table at one version, pruned by what is asked, checked, and read."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import polars as pl

from pipelines.store.place import Place
from pipelines.store.tables import Table, layout

if TYPE_CHECKING:
    from deltalake import DeltaTable

#: The log may cut a file's statistics to milliseconds.
SLACK = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Snapshot:
    """What one version of a table consists of."""

    table: str
    layout: Table
    place: Place
    version: int
    files: pl.DataFrame
    """`path`, `size_bytes`, `num_records`, `partition.*`, `min.*` and `max.*` of each file."""

    def among(self, where: Mapping[str, Sequence[str]], since: datetime | None = None, until: datetime | None = None) -> "Snapshot":
        """Return the snapshot without the files that cannot hold a row of those partitions and that stretch of time."""
        first, last = (f"{edge}.{self.layout.time}" for edge in ("min", "max"))
        kept = [pl.col(f"partition.{name}").is_in(list(values)) for name, values in where.items() if name in self.layout.partition]
        if since is not None and last in self.files.columns:
            kept.append(pl.col(last).is_null() | (pl.col(last) >= since - SLACK))
        if until is not None and first in self.files.columns:
            kept.append(pl.col(first).is_null() | (pl.col(first) <= until + SLACK))
        return Snapshot(self.table, self.layout, self.place, self.version, self.files.filter(*kept) if kept else self.files)

    @property
    def bytes(self) -> int:
        """Size of all files."""
        return int(self.files["size_bytes"].sum())

    def scan(self) -> pl.LazyFrame:
        """Return all rows lazily; raise ValueError for a file that is not as long as the log says, OSError for one that is gone."""
        groups = [f"partition.{name}" for name in self.layout.partition]
        parts = [self._part(found) for _, found in self.files.sort("path").group_by(groups, maintain_order=True)]
        return pl.concat(parts) if parts else pl.DataFrame(schema=self.layout.schema).lazy()

    def _part(self, found: pl.DataFrame) -> pl.LazyFrame:
        """Return the rows of one partition, whose values its files do not hold; columns that older files lack are null."""
        inside = {name: found[f"partition.{name}"][0] for name in self.layout.partition}
        schema = pl.Schema({name: kind for name, kind in self.layout.schema.items() if name not in inside})
        paths = [self._checked(path, size) for path, size in found.select("path", "size_bytes").iter_rows()]
        rows = pl.scan_parquet(
            paths, schema=schema, missing_columns="insert", hive_partitioning=False, glob=False, storage_options=self.place.options
        )
        constant = [pl.lit(value, self.layout.stored[name]).alias(name) for name, value in inside.items()]
        return rows.with_columns(constant).select(self.layout.schema.names())

    def _checked(self, path: str, size: int) -> str:
        place = f"{self.place.of(self.table)}/{unquote(path)}"
        if self.place.folder is not None and (found := Path(place).stat().st_size) != size:
            raise ValueError(f"{path} has {found:,} bytes, {size:,} were written")
        return place


class Opened:
    """The newest snapshot of one table, kept open: reading only what was added to the log since is ten times as fast."""

    def __init__(self, place: Place, table: str) -> None:
        self._place, self._table = place, table
        self._delta: DeltaTable | None = None
        self._seen: tuple[str, int] | None = None
        self._lock = Lock()

    def newest(self) -> Snapshot:
        """Return the newest snapshot; raise TableNotFoundError when nothing was ever stored."""
        with self._lock:
            if self._delta is None or self._seen is None or self._seen != self._stamp():
                self._delta = self._place.open(self._table)
            else:
                self._delta.update_incremental()
            self._seen = self._stamp()
            return taken(self._place, self._table, self._delta)

    def _stamp(self) -> tuple[str, int] | None:
        """Return the newest commit's file and when it was written: a table that was made anew in its place has another."""
        if self._place.folder is None or self._delta is None:
            return None
        commit = Path(self._place.of(self._table)) / "_delta_log" / f"{self._delta.version():020}.json"
        try:
            return commit.name, commit.stat().st_mtime_ns
        except OSError:
            return None


def taken(place: Place, table: str, delta: "DeltaTable") -> Snapshot:
    """Return the snapshot that an open table shows."""
    files: Any = pl.DataFrame(delta.get_add_actions(flatten=True))
    return Snapshot(table, layout(table), place, delta.version(), files)
