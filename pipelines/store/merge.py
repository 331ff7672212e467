"""Merge: rows into a table, each once, all or nothing, beside any number of other writers."""

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import polars as pl

from domain.error import DataError
from pipelines.store import failure
from pipelines.store.place import Place
from pipelines.store.snapshot import Snapshot, taken
from pipelines.store.tables import Table, layout

if TYPE_CHECKING:
    from deltalake import DeltaTable, WriterProperties

#: Small files of one partition past which they are rewritten as few: a live trader adds one a bar.
FILES_MAX = 64
SMALL_BYTES = 8 << 20
#: Rows of a row group: a reader of the newest bars decodes no more than the last of them.
ROW_GROUP = 1 << 17
#: A version stays readable while its log does, and the log is small: retention is about data.
LOG_KEPT = {"delta.logRetentionDuration": "interval 3650 days"}


def conform(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Return `frame` with exactly the table's columns and types; raise DataError for wrong columns, types, or null keys."""
    laid = layout(table)
    missing = [c for c in laid.needed if c not in frame.columns]
    unknown = [c for c in frame.columns if c not in laid.schema]
    if missing or unknown:
        raise DataError(
            f"rows for table '{table}' lack {missing or 'nothing'} and have unknown {unknown or 'nothing'}: "
            f"it holds {', '.join(laid.schema)}"
        )
    absent = [pl.lit(None, dtype).alias(c) for c, dtype in laid.schema.items() if c not in frame.columns]
    try:
        rows = frame.with_columns(absent).select(laid.schema.names()).cast(laid.schema)
    except pl.exceptions.PolarsError as problem:
        raise DataError(f"rows for table '{table}' have a column of the wrong type: {failure.in_a_line(problem)}") from None
    empty = [c for c in laid.must if rows[c].null_count()]
    if empty:
        raise DataError(f"rows for table '{table}' must name their {' and '.join(empty)}, found null")
    return rows


def merge(place: Place, table: str, rows: pl.DataFrame) -> int:
    """Try once to make conformed rows part of the table and return its version; raise CommitFailedError if another was faster."""
    laid = layout(table)
    delta = _created(place, table)
    found = taken(place, table, delta)
    if rows.is_empty():
        return found.version
    inside = _partitions(laid, rows)
    near = found.among(inside, *_span(laid, rows))
    stored = failure.reading(table, place.of(table), lambda: _touched(near, rows))
    fresh = rows if stored.is_empty() else rows.join(stored, on=rows.columns, how="anti", nulls_equal=True, maintain_order="left")
    if fresh.is_empty():
        return found.version
    replaces = not stored.is_empty() and not fresh.join(stored, on=list(laid.key), how="semi", nulls_equal=True).is_empty()
    _make_room(place, fresh, near.bytes if replaces else 0)
    # By time, then by the rest: what is read together, the newest bars of all symbols, lies together.
    ordered = fresh.with_columns(**laid.derived).sort(laid.time, *laid.key, nulls_last=True)
    merging = delta.merge(
        ordered, _predicate(laid, fresh, inside), source_alias="s", target_alias="t", writer_properties=_properties()
    )
    merging.when_matched_update_all().when_not_matched_insert_all().execute()
    return _gathered(place, table, inside)


def compact(delta: "DeltaTable", inside: dict[str, list[str]] | None = None) -> None:
    """Rewrite small files as few, in some partitions or in all."""
    filters = None if inside is None else [(column, "in", values) for column, values in inside.items()]
    delta.optimize.compact(partition_filters=filters, writer_properties=_properties())


def _created(place: Place, table: str) -> "DeltaTable":
    """Open a table for writing: make it if it is not there, and give it the columns that it was made without."""
    from deltalake import DeltaTable, Schema
    from deltalake.exceptions import TableNotFoundError

    laid = layout(table)
    schema = Schema.from_arrow(pl.DataFrame(schema=laid.stored).to_arrow().schema)
    if place.folder is not None and not (place.folder / table / "_delta_log").is_dir():
        (place.folder / table).mkdir(parents=True, exist_ok=True)
        place.require(0)
    try:
        delta = failure.reading(table, place.of(table), lambda: place.open(table))
    except TableNotFoundError:
        return DeltaTable.create(
            place.of(table),
            schema,
            mode="ignore",
            partition_by=list(laid.partition),
            configuration=LOG_KEPT,
            storage_options=place.options,
        )
    lacking = {field.name for field in schema.fields} - {field.name for field in delta.schema().fields}
    if lacking:
        delta.alter.add_columns([field for field in schema.fields if field.name in lacking])
    return delta


def _partitions(laid: Table, rows: pl.DataFrame) -> dict[str, list[str]]:
    made = rows.select(*(laid.derived.get(name, pl.col(name)).alias(name) for name in laid.partition))
    return {name: made[name].unique().sort().to_list() for name in laid.partition}


def _span(laid: Table, rows: pl.DataFrame) -> tuple[Any, Any]:
    """Return the first and last time of the rows, or no bounds where one of them has none."""
    times = rows[laid.time]
    return (None, None) if times.null_count() else (times.min(), times.max())


def _touched(near: Snapshot, rows: pl.DataFrame) -> pl.DataFrame:
    """Return the stored rows that `rows` could meet: the same partitions, symbols and stretch of time."""
    laid, (first, last) = near.layout, _span(near.layout, rows)
    wanted = [] if first is None else [pl.col(laid.time).is_between(first, last)]
    if "symbol" in laid.schema and not rows["symbol"].null_count():
        wanted.append(pl.col("symbol").is_in(rows["symbol"].unique().to_list()))
    return near.scan().filter(*wanted or [pl.lit(value=True)]).collect(engine="in-memory")


def _make_room(place: Place, fresh: pl.DataFrame, rewritten_bytes: int) -> None:
    """Refuse before the first byte what the disk cannot hold: a full disk met half-way is only cleaned up after."""
    if not place.fits(rewritten_bytes + fresh.estimated_size()):
        buffer = io.BytesIO()
        fresh.write_parquet(buffer, compression="zstd")
        place.require(rewritten_bytes + buffer.tell())


def _properties() -> "WriterProperties":
    from deltalake import WriterProperties

    return WriterProperties(compression="ZSTD", compression_level=3, max_row_group_size=ROW_GROUP)


def _gathered(place: Place, table: str, inside: dict[str, list[str]]) -> int:
    """Return the version, after the small files of the partitions were made few if they had become many."""
    from deltalake.exceptions import CommitFailedError

    delta = place.open(table)
    small = taken(place, table, delta).among(inside).files.filter(pl.col("size_bytes") < SMALL_BYTES)
    if small.group_by([f"partition.{name}" for name in inside]).len().filter(pl.col("len") > FILES_MAX).height:
        # Whoever wrote meanwhile will compact: the rows are already safe.
        with suppress(CommitFailedError):
            compact(delta, inside)
    return int(delta.version())


def _predicate(laid: Table, rows: pl.DataFrame, inside: dict[str, list[str]]) -> str:
    # Parenthesised: the parser binds the operand to what follows it. Keys that cannot be null join by hash.
    keys = [
        ("t.{0} = s.{0}" if column in laid.must else "(t.{0} IS NOT DISTINCT FROM s.{0})").format(column) for column in laid.key
    ]
    pruned = [f"t.{column} IN ({', '.join(_quoted(v) for v in values)})" for column, values in inside.items()]
    first, last = _span(laid, rows)
    # Files of other times are neither read nor in conflict with ours.
    bounds = [] if first is None else [f"t.{laid.time} >= '{first.isoformat()}'", f"t.{laid.time} <= '{last.isoformat()}'"]
    return " AND ".join(keys + pruned + bounds)


def _quoted(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
