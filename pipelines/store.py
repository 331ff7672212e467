"""The door of tables: Delta Lake, idempotent upserts, readable by version and by what was known when."""

import errno
import io
import random
import re
import shutil
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote

import polars as pl

from domain.bar import BAR_KEY, BAR_SCHEMA, UTC_MICROSECONDS
from domain.error import DataError, DiskFull, NoData, ResourceError, nearest

if TYPE_CHECKING:
    from deltalake import DeltaTable

Result = TypeVar("Result")

#: Commits that another writer may win before we give up; each attempt waits a little longer.
ATTEMPTS = 30
#: Files of one partition past which they are rewritten as few: a live trader adds one a bar.
FILES_MAX = 64
#: What the transaction log needs beside the data.
LOG_BYTES = 65_536
#: What the Rust below adds to its messages, and a reader can do without.
BACKTRACE = "0: <unknown>"
COLOUR = re.compile(r"\x1b\[[0-9;]*m|↳")


@dataclass(frozen=True)
class Table:
    """How one table is laid out."""

    schema: pl.Schema
    key: tuple[str, ...]
    """Columns that make two rows the same fact; an upsert replaces the others."""
    partition: tuple[str, ...]


QUARANTINE_SCHEMA = pl.Schema({**BAR_SCHEMA, "reason": pl.String(), "source": pl.String()})
QUALITY_SCHEMA = pl.Schema({
    "market": pl.String(), "timeframe": pl.String(), "checked_at": UTC_MICROSECONDS,
    "defect": pl.String(), "rows": pl.Int64(), "share": pl.Float64(), "severity": pl.String(),
})  # fmt: skip
NEWS_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "headline": pl.String(), "source": pl.String(), "sentiment": pl.Float64(),
})  # fmt: skip
#: One row a print. `event_at` is the exchange's time, `side` who started it: buy, sell or null. A row that is known later corrects
#: the print of the same id, and of a print that was taken back its size is zero.
TRADE_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "price": pl.Float64(), "size": pl.Float64(), "side": pl.String(), "trade_id": pl.String(),
    "exchange": pl.String(), "conditions": pl.String(),
})  # fmt: skip
#: One row a change of the best quote; `sequence` orders those of one moment.
QUOTE_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "sequence": pl.Int64(), "bid": pl.Float64(), "bid_size": pl.Float64(), "ask": pl.Float64(), "ask_size": pl.Float64(), "exchange": pl.String(),
})  # fmt: skip
#: One row an observation as it was published; a revision is a row of the same `event_at` that is known later.
MACRO_SCHEMA = pl.Schema({
    "source": pl.String(), "series": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS, "value": pl.Float64(),
})  # fmt: skip
#: When a symbol came to a market (`listed`), left it (`delisted`) or changed its `sector`.
LISTING_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "kind": pl.String(), "sector": pl.String(),
})  # fmt: skip
#: Dividends (`value` in currency a share) and splits (`value` new shares for an old one), at the open of the ex-date.
ACTION_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "kind": pl.String(), "value": pl.Float64(),
})  # fmt: skip

TABLES: dict[str, Table] = {
    "bars": Table(pl.Schema(BAR_SCHEMA), tuple(BAR_KEY), ("market", "timeframe")),
    # A quarantined row may lack any part of a key: all of it is its identity.
    "quarantine": Table(QUARANTINE_SCHEMA, tuple(QUARANTINE_SCHEMA), ("market", "timeframe")),
    "quality": Table(QUALITY_SCHEMA, ("market", "timeframe", "checked_at", "defect"), ("market", "timeframe")),
    "news": Table(NEWS_SCHEMA, ("market", "symbol", "event_at", "known_at", "headline", "source"), ("market",)),
    "actions": Table(ACTION_SCHEMA, ("market", "symbol", "event_at", "known_at", "kind"), ("market",)),
    "trades": Table(TRADE_SCHEMA, ("market", "symbol", "event_at", "trade_id", "known_at"), ("market",)),
    "quotes": Table(QUOTE_SCHEMA, ("market", "symbol", "event_at", "sequence", "known_at"), ("market",)),
    "macro": Table(MACRO_SCHEMA, ("source", "series", "event_at", "known_at"), ("source",)),
    "listings": Table(LISTING_SCHEMA, ("market", "symbol", "event_at", "known_at", "kind"), ("market",)),
}


class Store:
    """Tables under one folder. Any number of readers and writers, threads and processes may share it."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def upsert(self, table: str, frame: pl.DataFrame) -> int:
        """Make `frame` part of the table and return the version after.

        Rows with a known key replace what was stored, others are added, rows that are stored as they are change
        nothing: if all are, no version is made. Of rows with equal keys in `frame` the last one counts. Nullable
        columns may be left out. All or nothing: a reader sees the version before or the version after.
        Raises DataError (columns, types, null partition), DiskFull, ResourceError.
        """
        layout = _layout(table)
        rows = _conform(table, frame).unique(list(layout.key), keep="last", maintain_order=True)
        return _writing(table, lambda: self._merge(table, rows))

    def bars(
        self, market: str, timeframe: str, *, symbols: Sequence[str] | None = None, since: datetime | None = None,
        until: datetime | None = None, known_at: datetime | None = None, version: int | None = None,
    ) -> pl.DataFrame:  # fmt: skip
        """Return BAR_SCHEMA rows sorted by symbol and opened_at, one a bar: as it was last known by `known_at`.

        `since` and `until` bound `opened_at`, both included; `known_at` defaults to the newest knowledge. Raises NoData
        when nothing matches, DataError when the table cannot be read.
        """
        scope = (pl.col("market") == market) & (pl.col("timeframe") == timeframe)
        wanted = [scope]
        wanted += [] if symbols is None else [pl.col("symbol").is_in(list(symbols))]
        wanted += [] if since is None else [pl.col("opened_at") >= since]
        wanted += [] if until is None else [pl.col("opened_at") <= until]
        wanted += [] if known_at is None else [pl.col("known_at") <= known_at]
        rows = self._rows("bars", wanted, version)
        if rows.is_empty():
            raise NoData(self._why_no_bars(market, timeframe, scope, version))
        return rows.sort("symbol", "opened_at", "known_at").unique(["symbol", "opened_at"], keep="last", maintain_order=True)

    def read(self, table: str, *, where: dict[str, str] | None = None, version: int | None = None) -> pl.DataFrame:
        """Return the rows whose columns equal `where`, sorted by the table's key; possibly none. Raises NoData, DataError."""
        layout = _layout(table)
        wanted = [pl.col(column) == value for column, value in (where or {}).items()]
        return self._rows(table, wanted, version).sort(layout.key, nulls_last=True)

    def holds(self, market: str, timeframe: str) -> bool:
        """Say whether any bar of the market is stored, without reading one. Raises DataError when the table cannot be read."""
        try:
            stored = self._open("bars", None).partitions()
        except NoData:
            return False
        return {"market": market, "timeframe": timeframe} in stored

    def version(self, table: str) -> int:
        """Return the table's newest version; raise NoData if nothing was ever stored in it."""
        return self._open(table, None).version()

    def _rows(self, table: str, wanted: list[pl.Expr], version: int | None) -> pl.DataFrame:
        delta = self._open(table, version)
        return _reading(table, lambda: _scan(delta, wanted))

    def _open(self, table: str, version: int | None) -> "DeltaTable":
        from deltalake import DeltaTable

        _layout(table)
        place = self.root / table
        if not (place / "_delta_log").is_dir():
            raise NoData(f"table '{table}' was asked for, but nothing was ever stored in {place}: import data first")
        newest = _reading(table, lambda: DeltaTable(place))
        if version is None or version == newest.version():
            return newest
        if not 0 <= version <= newest.version():
            raise NoData(f"version {version} of table '{table}' was asked for, it has versions 0 to {newest.version()}")
        return _reading(table, lambda: DeltaTable(place, version=version))

    def _why_no_bars(self, market: str, timeframe: str, scope: pl.Expr, version: int | None) -> str:
        rows = self._rows("bars", [scope], version)
        if not rows.is_empty():
            span = rows.select(first=pl.col("opened_at").min(), last=pl.col("opened_at").max(), known=pl.col("known_at").min())
            first, last, known = span.select(pl.all().dt.to_string("%Y-%m-%d %H:%M")).row(0)
            symbols = rows["symbol"].n_unique()
            found = f"{symbols} symbols are stored from {first} to {last} UTC, known from {known}"
            return f"no {timeframe} bars of market '{market}' match: {found}"
        stored = {f"{p['market']} {p['timeframe']}" for p in self._open("bars", version).partitions()}
        hint = nearest(f"{market} {timeframe}", stored) if stored else "import some first"
        return f"no {timeframe} bars of market '{market}' are stored: {hint}"

    def _merge(self, table: str, rows: pl.DataFrame) -> int:
        layout = _layout(table)
        delta = self._create(table)
        inside = {column: rows[column].unique().sort().to_list() for column in layout.partition}
        stored = _reading(table, lambda: _touched(delta, rows, inside))
        fresh = rows.join(stored, on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")
        if fresh.is_empty():
            return delta.version()
        replaces = not fresh.join(stored, on=list(layout.key), how="semi", nulls_equal=True).is_empty()
        self._make_room(table, fresh, delta, inside if replaces else None)
        merge = delta.merge(fresh.sort(layout.key), _predicate(layout, inside), source_alias="s", target_alias="t")
        merge.when_matched_update_all().when_not_matched_insert_all().execute()
        return self._compact(table, inside)

    def _create(self, table: str) -> "DeltaTable":
        from deltalake import DeltaTable, Schema

        layout = _layout(table)
        place = self.root / table
        place.mkdir(parents=True, exist_ok=True)
        if not (place / "_delta_log").is_dir():
            _require(place, 0)
            fields = Schema.from_arrow(pl.DataFrame(schema=layout.schema).to_arrow().schema)
            return DeltaTable.create(place, fields, mode="ignore", partition_by=list(layout.partition))
        return _reading(table, lambda: DeltaTable(place))

    def _make_room(self, table: str, fresh: pl.DataFrame, delta: "DeltaTable", rewritten: dict[str, list[str]] | None) -> None:
        """Refuse before the first byte what the disk cannot hold: a full disk met half-way is only cleaned up after."""
        needed = 0
        if rewritten is not None:
            needed = sum(Path(file).stat().st_size for file in delta.file_uris(file_pruning_predicate=_filters(rewritten)))
        if not _fits(self.root, needed + fresh.estimated_size()):
            buffer = io.BytesIO()
            fresh.write_parquet(buffer, compression="snappy")
            _require(self.root, needed + buffer.tell())

    def _compact(self, table: str, inside: dict[str, list[str]]) -> int:
        from deltalake import DeltaTable
        from deltalake.exceptions import CommitFailedError

        delta = DeltaTable(self.root / table)
        if len(delta.file_uris(file_pruning_predicate=_filters(inside))) > FILES_MAX:
            # Whoever wrote meanwhile will compact: the rows are already safe.
            with suppress(CommitFailedError):
                delta.optimize.compact(partition_filters=_filters(inside))
        return delta.version()


def _fits(place: Path, data_bytes: float) -> bool:
    return data_bytes + LOG_BYTES <= shutil.disk_usage(place).free


def _require(place: Path, data_bytes: int) -> None:
    if not _fits(place, data_bytes):
        free = shutil.disk_usage(place).free
        raise OSError(errno.ENOSPC, f"{data_bytes + LOG_BYTES:,} bytes are needed and {free:,} are free in {place}")


def _layout(table: str) -> Table:
    if table not in TABLES:
        raise DataError(f"table '{table}' does not exist: {nearest(table, TABLES)}")
    return TABLES[table]


def _conform(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return `frame` with exactly the table's columns and types."""
    layout = _layout(table)
    missing = [c for c in layout.schema if c not in frame.columns and c in layout.key]
    unknown = [c for c in frame.columns if c not in layout.schema]
    if missing or unknown:
        raise DataError(
            f"rows for table '{table}' lack {missing or 'nothing'} and have unknown {unknown or 'nothing'}: "
            f"it holds {', '.join(layout.schema)}"
        )
    absent = [pl.lit(None, dtype).alias(c) for c, dtype in layout.schema.items() if c not in frame.columns]
    try:
        rows = frame.with_columns(absent).select(layout.schema.names()).cast(layout.schema)
    except pl.exceptions.PolarsError as problem:
        raise DataError(f"rows for table '{table}' have a column of the wrong type: {_in_a_line(problem)}") from None
    required = layout.key if layout.key == tuple(BAR_KEY) else layout.partition
    empty = [c for c in required if rows[c].null_count()]
    if empty:
        raise DataError(f"rows for table '{table}' must name their {' and '.join(empty)}, found null")
    return rows


def _touched(delta: "DeltaTable", rows: pl.DataFrame, inside: dict[str, list[str]]) -> pl.DataFrame:
    """Return the stored rows that `rows` could meet: the same partitions and the same stretch of time."""
    wanted = [pl.col(column).is_in(values) for column, values in inside.items()]
    column = next(c for c in ("opened_at", "event_at", "checked_at") if c in rows.columns)
    span = pl.col(column).is_between(rows[column].min(), rows[column].max())
    wanted.append(span | pl.col(column).is_null() if rows[column].null_count() else span)
    return _scan(delta, wanted)


def _scan(delta: "DeltaTable", wanted: list[pl.Expr]) -> pl.DataFrame:
    """Read what matches; a file that is not as long as the log says is refused before a reader trips over it."""
    files = pl.DataFrame(delta.get_add_actions(flatten=True)).select("path", "size_bytes")
    for path, size in files.iter_rows():
        found = (Path(delta.table_uri.removeprefix("file://")) / unquote(path)).stat().st_size
        if found != size:
            raise ValueError(f"{path} has {found:,} bytes, {size:,} were written")
    return pl.scan_delta(delta).filter(*wanted).collect(engine="in-memory")


def _predicate(layout: Table, inside: dict[str, list[str]]) -> str:
    # Parenthesised: the parser binds the operand to what follows it. Keys that cannot be null join by hash.
    same = "t.{0} = s.{0}" if layout.key == tuple(BAR_KEY) else "(t.{0} IS NOT DISTINCT FROM s.{0})"
    keys = [("t.{0} = s.{0}" if column in layout.partition else same).format(column) for column in layout.key]
    pruned = [f"t.{column} IN ({', '.join(_quoted(v) for v in values)})" for column, values in inside.items()]
    return " AND ".join(keys + pruned)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _filters(inside: dict[str, list[str]]) -> list[tuple[str, str, list[str]]]:
    return [(column, "in", values) for column, values in inside.items()]


def _writing(table: str, attempt: Callable[[], int]) -> int:
    """Run `attempt` until no other writer was faster; every failure becomes one of ours."""
    from deltalake.exceptions import CommitFailedError, DeltaError

    for turn in range(ATTEMPTS):
        try:
            return attempt()
        except CommitFailedError:
            time.sleep(random.uniform(0.0, 0.02 * (turn + 1)))
        except (DeltaError, OSError) as problem:
            raise _explain(table, problem) from None
    raise ResourceError(f"table '{table}' could not be written: other writers were faster {ATTEMPTS} times, run it again")


def _explain(table: str, problem: Exception) -> ResourceError:
    said = _in_a_line(problem)
    full = isinstance(problem, OSError) and problem.errno in {errno.ENOSPC, errno.EDQUOT}
    if full or "No space left" in said or "quota exceeded" in said:
        return DiskFull(f"table '{table}' could not be written because the disk is full ({said}): free space, nothing was lost")
    return ResourceError(f"table '{table}' could not be written: {said}")


def _reading(table: str, attempt: Callable[[], Result]) -> Result:
    from deltalake.exceptions import DeltaError

    try:
        return attempt()
    except (DeltaError, pl.exceptions.PolarsError, OSError, ValueError) as problem:
        raise DataError(f"table '{table}' cannot be read, its files are damaged or gone: {_in_a_line(problem)}") from None


def _in_a_line(problem: Exception) -> str:
    said = problem.strerror if isinstance(problem, OSError) and problem.filename is None and problem.strerror else str(problem)
    plain = COLOUR.sub("", said).split(BACKTRACE)[0]
    return (" ".join(plain.split()) or type(problem).__name__)[:300]
