"""Door: what the rest of the house may ask of its tables."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from domain.error import DataError, NoData, nearest
from pipelines.store import failure, merge, upkeep
from pipelines.store.place import named
from pipelines.store.snapshot import Opened, Snapshot, taken
from pipelines.store.tables import TABLES, layout
from pipelines.store.versions import Versions, line

#: Rows of one batch: about half a gibibyte of bars.
BATCH_ROWS = 1 << 22


class Store:
    """Tables under one folder or URL. Any number of readers and writers, threads and processes may share it."""

    def __init__(self, root: Path | str, versions: Versions | None = None) -> None:
        """Name the place: a folder, or a URL such as s3://bucket/prefix (AWS_* in the environment say how it is reached).

        With `versions` the tables are read as they were then (`at`).
        """
        self._place, self._versions = named(root), versions
        self._opened: dict[str, Opened] = {}

    def __reduce__(self) -> tuple[type["Store"], tuple[Path | str, Versions | None]]:
        """Travel to another process as the place that is named; what is open stays here."""
        return Store, (self.root, self._versions)

    @property
    def root(self) -> Path | str:
        """Where the tables lie."""
        return self._place.root

    def at(self, versions: Versions) -> "Store":
        """Return the tables as they were at these versions, to be read only; a table that is not named was not there yet."""
        return Store(self.root, dict(versions))

    def upsert(self, table: str, frame: pl.DataFrame) -> int:
        """Make `frame` part of the table and return the version after.

        Rows with a known key replace what was stored, others are added, rows that are stored as they are change
        nothing: if all are, no version is made. Of rows with equal keys in `frame` the last one counts. Nullable
        columns may be left out. All or nothing: a reader sees the version before or the version after.
        Raises DataError (columns, types, null partition), DiskFull, ResourceError.
        """
        if self._versions is not None:
            raise DataError(f"table '{table}' was to be written at an old version: what was read then cannot change")
        rows = merge.conform(table, frame).unique(list(layout(table).key), keep="last", maintain_order=True)
        return failure.writing(table, self._place.of(table), lambda: merge.merge(self._place, table, rows))

    def bars(
        self, market: str, timeframe: str, *, symbols: Sequence[str] | None = None, since: datetime | None = None,
        until: datetime | None = None, known_at: datetime | None = None,
    ) -> pl.DataFrame:  # fmt: skip
        """Return BAR_SCHEMA rows sorted by symbol and opened_at, one a bar: as it was last known by `known_at`.

        `since` and `until` bound `opened_at`, both included; `known_at` defaults to the newest knowledge. Raises NoData
        when nothing matches, DataError when the table cannot be read.
        """
        found = self._bars(market, timeframe)
        rows = self._collect(found.among({}, since, until), _wanted(symbols, since, until, known_at))
        if rows.is_empty():
            raise NoData(self._why_no_bars(market, timeframe, found))
        return _newest(rows)

    def batches(
        self, market: str, timeframe: str, *, symbols: Sequence[str] | None = None, since: datetime | None = None,
        until: datetime | None = None, known_at: datetime | None = None, rows: int = BATCH_ROWS,
    ) -> Iterator[pl.DataFrame]:  # fmt: skip
        """Yield what `bars` would return, in stretches of time of about `rows` rows, without ever holding all of it.

        All stretches are of one version, that of the moment when the first is asked for. A moment is never split. Raises as `bars`.
        """
        found = self._bars(market, timeframe)
        wanted = _wanted(symbols, since, until, known_at)
        edges = self._edges(found.among({}, since, until), wanted, rows)
        if not edges:
            raise NoData(self._why_no_bars(market, timeframe, found))
        for first, last in edges:
            stretch = pl.col("opened_at").is_between(first, last)
            yield _newest(self._collect(found.among({}, first, last), [*wanted, stretch]))

    def opened(self, market: str, timeframe: str, *, symbols: Sequence[str] | None = None) -> pl.DataFrame:
        """Return `symbol` and `opened_at` of every stored bar, once, in no order; possibly none. Raises DataError."""
        try:
            found = self._bars(market, timeframe)
        except NoData:
            return pl.DataFrame(schema=layout("bars").schema).select("symbol", "opened_at")
        frame = found.scan().filter(*_wanted(symbols)).select("symbol", "opened_at")
        return failure.reading("bars", found.place.of("bars"), lambda: frame.collect(engine="in-memory")).unique()

    def symbols(self, market: str, timeframe: str) -> list[str]:
        """Return the symbols of which any bar is stored, sorted. Raises NoData, DataError."""
        found = self._bars(market, timeframe)
        names = found.scan().select("symbol").unique()
        return failure.reading("bars", self._place.of("bars"), lambda: names.collect(engine="streaming"))["symbol"].sort().to_list()

    def newest(self, market: str, timeframe: str) -> datetime | None:
        """Return when the newest stored bar opened, None without any. Raises DataError."""
        try:
            opened = self._bars(market, timeframe).scan().select(pl.col("opened_at").max())
        except NoData:
            return None
        newest: datetime | None = failure.reading("bars", self._place.of("bars"), lambda: opened.collect(engine="streaming")).item()
        return newest

    def count(self, market: str, timeframe: str) -> int:
        """Return how many rows of the market's bars are stored, corrections counted, without reading one. Raises NoData."""
        return int(self._bars(market, timeframe).files["num_records"].sum())

    def read(
        self, table: str, *, where: Mapping[str, str] | None = None, since: datetime | None = None, until: datetime | None = None
    ) -> pl.DataFrame:
        """Return the rows whose columns equal `where`, sorted by the table's key; possibly none.

        `since` and `until` bound the table's own time (TIMES), both included. Raises NoData, DataError.
        """
        laid, given = layout(table), where or {}
        found = self._snapshot(table).among({column: [value] for column, value in given.items()}, since, until)
        wanted = [pl.col(column) == value for column, value in given.items()]
        wanted += [] if since is None else [pl.col(laid.time) >= since]
        wanted += [] if until is None else [pl.col(laid.time) <= until]
        return self._collect(found, wanted).sort(laid.key, nulls_last=True)

    def holds(self, market: str, timeframe: str) -> bool:
        """Say whether any bar of the market is stored, without reading one. Raises DataError when the table cannot be read."""
        try:
            found = self._snapshot("bars")
        except NoData:
            return False
        return not found.among({"market": [market], "timeframe": [timeframe]}).files.is_empty()

    def version(self, table: str) -> int:
        """Return the table's newest version; raise NoData if nothing was ever stored in it."""
        return self._snapshot(table).version

    def versions(self) -> dict[str, int]:
        """Return the newest version of every table in which something was ever stored."""
        return {table: self.version(table) for table in self.tables()}

    def tables(self) -> list[str]:
        """Return the tables in which something was ever stored."""
        return [table for table in TABLES if self._exists(table)]

    def compact(self, table: str) -> int:
        """Rewrite the table's small files as few, shorten its log by a checkpoint, and return the version after.

        No row changes and every version stays readable. Raises NoData, DiskFull, ResourceError.
        """
        self._snapshot(table)
        return failure.writing(table, self._place.of(table), lambda: upkeep.compact(self._place, table))

    def retain(self, days: int, kept: Mapping[str, Collection[int]] | None = None) -> dict[str, int]:
        """Delete the data that no version of the last `days` needs, nor one that `kept` names by table; return files by table.

        What is current is never touched. A version that is deleted so far answers with DataError. Raises ResourceError.
        """
        return {table: self._retain(table, days, (kept or {}).get(table, ())) for table in self.tables()}

    def _retain(self, table: str, days: int, kept: Collection[int]) -> int:
        return failure.writing(table, self._place.of(table), lambda: upkeep.retain(self._place, table, days, kept))

    def _exists(self, table: str) -> bool:
        try:
            self._snapshot(table)
        except NoData:
            return False
        return True

    def _bars(self, market: str, timeframe: str) -> Snapshot:
        return self._snapshot("bars").among({"market": [market], "timeframe": [timeframe]})

    def _collect(self, found: Snapshot, wanted: list[pl.Expr]) -> pl.DataFrame:
        everything = [pl.lit(value=True)]
        return failure.reading(
            found.table, self._place.of(found.table), lambda: found.scan().filter(*wanted or everything).collect(engine="in-memory")
        )

    def _edges(self, found: Snapshot, wanted: list[pl.Expr], rows: int) -> list[tuple[datetime, datetime]]:
        """Return first and last `opened_at` of stretches of about that many rows."""
        # Counts are whole numbers: the streaming engine, which holds no table, gives them in another order, not others.
        counted = found.scan().filter(*wanted or [pl.lit(value=True)]).group_by("opened_at").len()
        counts = failure.reading("bars", self._place.of("bars"), lambda: counted.collect(engine="streaming")).sort("opened_at")
        block = (pl.col("len").cum_sum() - 1) // rows
        edges = counts.group_by(block.alias("block"), maintain_order=True).agg(
            first=pl.col("opened_at").min(), last=pl.col("opened_at").max()
        )
        return list(edges.select("first", "last").iter_rows())

    def _snapshot(self, table: str) -> Snapshot:
        from deltalake.exceptions import TableNotFoundError

        layout(table)
        opened, place = self._opened.setdefault(table, Opened(self._place, table)), self._place.of(table)
        try:
            newest = failure.reading(table, place, opened.newest)
        except TableNotFoundError:
            raise NoData(f"table '{table}' was asked for, but nothing was ever stored in {place}: import data first") from None
        version = newest.version if self._versions is None else self._versions.get(table)
        if version is None:
            raise NoData(
                f"table '{table}' was asked for as it was when {line(self._versions or {})} were read, but it was not there"
            )
        if version == newest.version:
            return newest
        if not 0 <= version <= newest.version:
            raise NoData(f"version {version} of table '{table}' was asked for, it has versions 0 to {newest.version}")
        return failure.reading(table, place, lambda: taken(self._place, table, self._place.open(table, version)))

    def _why_no_bars(self, market: str, timeframe: str, found: Snapshot) -> str:
        rows = self._collect(found, [])
        if not rows.is_empty():
            span = rows.select(first=pl.col("opened_at").min(), last=pl.col("opened_at").max(), known=pl.col("known_at").min())
            first, last, known = span.select(pl.all().dt.to_string("%Y-%m-%d %H:%M")).row(0)
            symbols = rows["symbol"].n_unique()
            stored = f"{symbols} symbols are stored from {first} to {last} UTC, known from {known}"
            return f"no {timeframe} bars of market '{market}' match: {stored}"
        files = self._snapshot("bars").files
        known_markets = (
            {f"{m} {t}" for m, t in files.select("partition.market", "partition.timeframe").iter_rows()} if len(files) else set()
        )
        hint = nearest(f"{market} {timeframe}", known_markets) if known_markets else "import some first"
        return f"no {timeframe} bars of market '{market}' are stored: {hint}"


def _wanted(
    symbols: Sequence[str] | None, since: datetime | None = None, until: datetime | None = None, known_at: datetime | None = None
) -> list[pl.Expr]:
    wanted = [] if symbols is None else [pl.col("symbol").is_in(list(symbols))]
    wanted += [] if since is None else [pl.col("opened_at") >= since]
    wanted += [] if until is None else [pl.col("opened_at") <= until]
    return wanted + ([] if known_at is None else [pl.col("known_at") <= known_at])


def _newest(rows: pl.DataFrame) -> pl.DataFrame:
    """Return each bar once, as it was known last."""
    return rows.sort("symbol", "opened_at", "known_at").unique(["symbol", "opened_at"], keep="last", maintain_order=True)
