"""The door for facts: an append-only, hash-chained SQLite journal with one writer.

Each record carries the hash of the one before it: `hash = sha256(previous || record)`, where the record is JSON of its fields with
sorted keys and no spaces, ASCII but for the payload, which stands in it as it is stored (`pipelines/notation.py`). Beside the
database lie two small files: `.lock` is the lease of the one writer, `.head` the newest sequence and hash, rewritten after every
commit, and the digest of the whole database once it was closed. A chain alone cannot show that its tail was cut or that all of it
was written anew; a head that was kept elsewhere can.
"""

import errno
import hashlib
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple, Self

from domain.error import DiskFull, JournalBroken, LeaseTaken, NightshiftError, NoData, ResourceError, nearest
from pipelines import lease, notation

KINDS = (
    "session", "bar", "decision", "verdict", "intent", "order", "fill", "halt", "resume", "model", "reconcile", "alert",
    "score", "shadow", "charge", "proposal", "settings", "start", "stop",
)  # fmt: skip
#: Writes what stands around a payload.
CANONICAL = json.JSONEncoder(sort_keys=True, separators=(",", ":"))
GENESIS = "0" * 64
HEAD_BYTES = 256
BATCH = 1000
SCHEMA = (
    "CREATE TABLE records (sequence INTEGER PRIMARY KEY, event_at_ns INTEGER NOT NULL, monotonic_ns INTEGER NOT NULL, "
    "kind TEXT NOT NULL, actor TEXT NOT NULL, payload TEXT NOT NULL, snapshot TEXT, "
    "previous TEXT NOT NULL, hash TEXT NOT NULL) STRICT",
    "CREATE TABLE snapshots (sequence INTEGER PRIMARY KEY, state BLOB NOT NULL) STRICT",
)
AFTER = "SELECT * FROM records WHERE sequence > :since ORDER BY sequence LIMIT :batch"
AFTER_OF_KIND = "SELECT * FROM records WHERE sequence > :since AND kind = :kind ORDER BY sequence LIMIT :batch"
LAST = "SELECT * FROM records ORDER BY sequence DESC LIMIT 1"
FULL = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR_WRITE, sqlite3.SQLITE_IOERR_FSYNC, sqlite3.SQLITE_IOERR_SHMSIZE}
DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}


@dataclass(frozen=True)
class Record:
    """One fact, before it has a place in the chain."""

    event_at_ns: int
    """When it happened, nanoseconds since 1970 UTC."""
    monotonic_ns: int
    """The writer's monotonic clock; only differences within one session mean something."""
    kind: str
    """One of KINDS."""
    actor: str
    """Who caused it: a person, or the part of the house that decided."""
    payload: dict[str, Any]
    """JSON values; NaN and infinity are refused, because they have no JSON."""


@dataclass(frozen=True)
class Stored(Record):
    """A fact in its place in the chain."""

    sequence: int
    """Counts from 1 without a gap."""
    snapshot: str | None
    """SHA-256 of the state that was kept with this record."""
    previous: str
    hash: str


class Head(NamedTuple):
    """The newest place in the chain."""

    sequence: int
    hash: str


@dataclass(frozen=True)
class Proof:
    """What a verification proved."""

    head: Head
    anchored: bool
    """The head kept beside the database, or the one handed in, lies on this chain: no tail was cut."""
    sealed: bool
    """The journal was closed and not one byte of its file has changed since."""


class Journal:
    """The journal of one account. Opening it takes the lease; closing it seals the file and gives the lease back."""

    def __init__(self, path: Path, *, deferred: bool = False) -> None:
        """Open it for writing; `deferred` leaves it to `checkpoint` when what was written moves from SQLite's log to its file.

        By default that happens in the middle of every so many appends, which then take some milliseconds more.
        """
        self.path = path
        self._lease = self._head_file = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lease = lease.take(_beside(path, ".lock"), lambda holder: LeaseTaken(
                f"journal {path} is being written by {holder}: stop that trader first, one account has one"
            ))  # fmt: skip
            self._connection = _open_for_writing(path, deferred)
            self._head = _tail(self._connection, path)
            self._head_file = _open_head(path, self._head, self._connection)
        except (sqlite3.Error, OSError) as problem:
            self._release()
            raise _explained(problem, path, "opened") from problem
        except NightshiftError:
            self._release()
            raise

    @classmethod
    def read_only(cls, path: Path) -> Self:
        """Open an existing journal for reading, without the lease; raise NoData when there is none."""
        journal = cls.__new__(cls)
        journal.path = path
        journal._lease = journal._head_file = -1
        journal._connection = _open_for_reading(path)
        return journal

    def append(self, *records: Record, snapshot: bytes | None = None) -> int:
        """Write all records, and the state they lead to, in one durable transaction; return the last sequence.

        On return they survive a crash and a power cut. Raises ValueError for a record that cannot be kept, and DiskFull, with
        everything before intact, when there is no room.
        """
        if self._lease < 0:
            raise ValueError(f"journal {self.path.name} was opened for reading, or is closed: nothing can be appended")
        if not records:
            raise ValueError("an append needs at least one record; a snapshot belongs to the record that led to it")
        rows = _chain(self._head, records, None if snapshot is None else hashlib.sha256(snapshot).hexdigest())
        try:
            self._commit(rows, snapshot)
            self._head = Head(rows[-1][0], rows[-1][-1])
            # In place and never longer, so a full disk has room for it; no fsync, since it may lag the database but never lead it.
            os.pwrite(self._head_file, _head_line(self._head, None), 0)
        except (sqlite3.Error, OSError) as problem:
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            raise _explained(problem, self.path, f"written after record {self._head.sequence}") from problem
        return self._head.sequence

    def checkpoint(self) -> None:
        """Move what was written into the file, so that the log beside it begins anew; nothing waits for it, as all is durable.

        Raises DiskFull where the file has no room to grow: everything stays in the log.
        """
        try:
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        except sqlite3.Error as problem:
            raise _explained(problem, self.path, "brought up to date") from problem

    def records(self, kind: str | None = None, since: int = 0) -> Iterator[Stored]:
        """Yield the records after sequence `since`, oldest first, each checked against its own hash; raise JournalBroken."""
        if kind is not None:
            _check_kind(kind)
        query = AFTER if kind is None else AFTER_OF_KIND
        more = True
        while more:
            # One query a batch: no open cursor pins the write-ahead log while a slow reader thinks.
            rows = _select(self._connection, self.path, query, {"since": since, "kind": kind, "batch": BATCH})
            for row in rows:
                yield _stored(row, self.path)
            more = len(rows) == BATCH
            since = rows[-1][0] if rows else since

    def head(self) -> Head:
        """Return the newest sequence and its hash; (0, zeros) when nothing has been written."""
        return _tail(self._connection, self.path) if self._lease < 0 else self._head

    def latest_snapshot(self) -> tuple[int, bytes] | None:
        """Return the newest kept state and the sequence it belongs to, checked against the chain; raise JournalBroken."""
        query = "SELECT records.*, state FROM records JOIN snapshots USING (sequence) ORDER BY sequence DESC LIMIT 1"
        rows = _select(self._connection, self.path, query)
        if not rows:
            return None
        stored, state = _stored(rows[0][:-1], self.path), rows[0][-1]
        _check_state([(stored.sequence, state)], stored, self.path)
        return stored.sequence, state

    def close(self) -> None:
        """Write everything into the database file, seal it and give the lease back; closing twice does nothing.

        A transaction that Ctrl-C broke off is undone: nobody was told that it was written.
        """
        try:
            if self._head_file >= 0:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                ((busy, _, _),) = self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
                self._connection.close()
                os.pwrite(self._head_file, _head_line(self._head, None if busy else _file_digest(self.path)), 0)
                os.fsync(self._head_file)
        except (sqlite3.Error, OSError) as problem:
            raise _explained(problem, self.path, "closed") from problem
        finally:
            self._release()

    def _commit(self, rows: Sequence[tuple[Any, ...]], snapshot: bytes | None) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        if snapshot is not None:
            # Only the newest state is kept: an older one can be rebuilt from the records, and its digest stays in the chain.
            self._connection.execute("DELETE FROM snapshots")
            self._connection.execute("INSERT INTO snapshots VALUES (?, ?)", (rows[-1][0], snapshot))
        self._connection.execute("COMMIT")

    def _release(self) -> None:
        if hasattr(self, "_connection"):
            self._connection.close()
        for file in (self._head_file, self._lease):
            if file >= 0:
                os.close(file)
        self._lease = self._head_file = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *problem: object) -> None:
        self.close()


def verify(path: Path, anchor: tuple[int, str] | None = None) -> Proof:
    """Prove that nothing in the journal was changed, removed, added or reordered; works while a trader is writing.

    Checks every field of every record against the chain, the newest snapshot, SQLite's own structure, that the chain still reaches
    the head beside it and `anchor`, a (sequence, hash) that was kept elsewhere, and the seal of a closed journal. Raises
    JournalBroken naming the first broken sequence.
    """
    with closing(_open_for_reading(path)) as connection:
        kept, seal = _read_head(path)
        anchors = [each for each in (kept, anchor) if each is not None]
        changed = seal is not None and seal != _file_digest(path)
        # One read transaction: what a trader appends meanwhile is not seen.
        connection.execute("BEGIN")
        head = _walk(connection, path, anchors)
        _check_structure(connection, path)
    if changed and _read_head(path)[1] == seal:
        raise JournalBroken(f"journal {path.name} is broken: its file changed after it was closed, in a place that holds no record")
    return Proof(head, bool(anchors), seal is not None and not changed)


def _walk(connection: sqlite3.Connection, path: Path, anchors: Sequence[tuple[int, str]]) -> Head:
    """Follow the whole chain through its anchors and return its end."""
    head, newest = Head(0, GENESIS), None
    expected = {sequence: {kept for at, kept in anchors if at == sequence} for sequence, _ in anchors}
    while rows := _select(connection, path, AFTER, {"since": head.sequence, "batch": BATCH}, head.sequence + 1):
        for row in rows:
            stored = _stored(row, path, head.sequence + 1)
            if stored.sequence != head.sequence + 1 or stored.previous != head.hash:
                raise _broken(path, head.sequence + 1, f"record {stored.sequence} does not follow record {head.sequence}")
            if expected.get(stored.sequence, {stored.hash}) != {stored.hash}:
                raise _broken(path, stored.sequence, "its hash is not the one that was kept elsewhere: it was written anew")
            head, newest = Head(stored.sequence, stored.hash), stored if stored.snapshot else newest
    if max(expected, default=0) > head.sequence:
        raise _cut(path, head.sequence, max(expected))
    _check_state(_select(connection, path, "SELECT sequence, state FROM snapshots"), newest, path)
    return head


def _check_state(states: Sequence[tuple[Any, ...]], newest: Stored | None, path: Path) -> None:
    found = [(sequence, hashlib.sha256(state).hexdigest()) for sequence, state in states]
    if found != ([] if newest is None else [(newest.sequence, newest.snapshot)]):
        raise _broken(path, newest.sequence if newest else 1, "the state kept with it is not the state that was written")


def _check_structure(connection: sqlite3.Connection, path: Path) -> None:
    tables = tuple(sql for (sql,) in _select(connection, path, "SELECT sql FROM sqlite_schema ORDER BY rootpage"))
    if tables != SCHEMA:
        raise JournalBroken(f"journal {path.name} is broken: its tables are not those of a journal")
    fault = str(_select(connection, path, "PRAGMA integrity_check(1)")[0][0])
    if fault != "ok":
        raise JournalBroken(f"journal {path.name} is broken: SQLite finds its pages damaged ({' '.join(fault.split())})")


def _chain(head: Head, records: Sequence[Record], snapshot: str | None) -> list[tuple[Any, ...]]:
    """Return the rows that continue the chain after `head`; the last one carries the snapshot's digest."""
    rows: list[tuple[Any, ...]] = []
    for record in records:
        row = (head.sequence + 1, *_checked(record), snapshot if len(rows) == len(records) - 1 else None)
        rows.append((*row, head.hash, _hash(head.hash, row)))
        head = Head(row[0], rows[-1][-1])
    return rows


def _checked(record: Record) -> tuple[int, int, str, str, str]:
    _check_kind(record.kind)
    for name in ("event_at_ns", "monotonic_ns"):
        if type(value := getattr(record, name)) is not int or not -(2**63) <= value < 2**63:
            raise ValueError(f"{name} of a '{record.kind}' record must be integer nanoseconds in 64 bits, was {value!r}")
    try:
        payload = notation.written(record.payload)
    except ValueError as problem:
        raise ValueError(f"the payload of a '{record.kind}' record cannot be kept as JSON: {problem}") from problem
    return record.event_at_ns, record.monotonic_ns, record.kind, record.actor, payload


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"'{kind}' is not a kind of record: {nearest(str(kind), KINDS)}")


def _canonical(value: object) -> str:
    return CANONICAL.encode(value)


def _hash(previous: str, row: Sequence[Any]) -> str:
    """Hash one row; its payload stands in the text as it is stored."""
    sequence, event_at_ns, monotonic_ns, kind, actor, payload, snapshot = row
    record = (
        f'{{"actor":{_canonical(actor)},"event_at_ns":{event_at_ns},"kind":{_canonical(kind)},"monotonic_ns":{monotonic_ns},'
        f'"payload":{payload},"sequence":{sequence},"snapshot":{_canonical(snapshot)}}}'
    )
    return hashlib.sha256((previous + record).encode()).hexdigest()


def _stored(row: Sequence[Any], path: Path, expected: int | None = None) -> Stored:
    sequence, event_at_ns, monotonic_ns, kind, actor, payload, snapshot, previous, found = row
    try:
        faithful = _hash(previous, row[:7]) == found
    except TypeError:
        # A damaged page can hand over a value of another type.
        faithful = False
    if not faithful:
        raise _broken(path, expected or sequence, "its fields do not have the hash that was written with them")
    return Stored(event_at_ns, monotonic_ns, kind, actor, json.loads(payload), sequence, snapshot, previous, found)


def _select(
    connection: sqlite3.Connection, path: Path, query: str, values: Mapping[str, Any] | None = None, sequence: int | None = None
) -> list[tuple[Any, ...]]:
    try:
        return connection.execute(query, values or {}).fetchall()
    except sqlite3.Error as problem:
        if sequence is not None and _is_damage(problem):
            raise _broken(path, sequence, f"SQLite cannot read on ({problem})") from problem
        raise _explained(problem, path, "read") from problem


def _tail(connection: sqlite3.Connection, path: Path) -> Head:
    rows = _select(connection, path, LAST)
    return Head(rows[0][0], _stored(rows[0], path).hash) if rows else Head(0, GENESIS)


def _open_for_writing(path: Path, deferred: bool) -> sqlite3.Connection:
    if not path.exists():
        _create(path)
    connection = sqlite3.connect(path, isolation_level=None)
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "trusted_schema = OFF"):
        connection.execute(f"PRAGMA {pragma}")
    if deferred:
        connection.execute("PRAGMA wal_autocheckpoint = 0")
    return connection


def _create(path: Path) -> None:
    """Make an empty journal under another name first: whoever finds a journal finds a whole one."""
    draft = _beside(path, ".new")
    draft.unlink(missing_ok=True)
    # Only the owner may read what was traded; SQLite gives its own side files the same mode.
    os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(sqlite3.connect(draft, isolation_level=None)) as connection:
        for statement in ("PRAGMA journal_mode = WAL", "BEGIN IMMEDIATE", *SCHEMA, "COMMIT"):
            connection.execute(statement)
    draft.rename(path)


def _open_for_reading(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise NoData(f"a journal was to be read at {path}, but there is none: nothing has been traded yet")
    return sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None)


def _open_head(path: Path, head: Head, connection: sqlite3.Connection) -> int:
    """Check that the chain reaches the head kept beside it, then open that file and break the seal before anything is written."""
    kept, _ = _read_head(path)
    if kept is not None and kept.sequence > 0:
        rows = _select(connection, path, "SELECT hash FROM records WHERE sequence = :sequence", {"sequence": kept.sequence})
        if rows != [(kept.hash,)]:
            raise _cut(path, head.sequence, kept.sequence)
    file = os.open(_beside(path, ".head"), os.O_CREAT | os.O_RDWR, 0o600)
    os.pwrite(file, _head_line(head, None), 0)
    os.fsync(file)
    return file


def _read_head(path: Path) -> tuple[Head | None, str | None]:
    try:
        text = _beside(path, ".head").read_text(encoding="ascii")
        if not text:
            # Killed at its very first start, before anything was kept.
            return None, None
        kept = json.loads(text)
        return Head(int(kept["sequence"]), str(kept["hash"])), kept["file"]
    except FileNotFoundError:
        return None, None
    except (ValueError, KeyError, TypeError) as problem:
        raise JournalBroken(f"journal {path.name} is broken: the head kept beside it cannot be read ({problem})") from problem


def _head_line(head: Head, seal: str | None) -> bytes:
    return (_canonical({"sequence": head.sequence, "hash": head.hash, "file": seal}).ljust(HEAD_BYTES - 1) + "\n").encode()


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _broken(path: Path, sequence: int, fault: str) -> JournalBroken:
    return JournalBroken(f"journal {path.name} is broken at record {sequence}: {fault}")


def _cut(path: Path, end: int, reached: int) -> JournalBroken:
    fault = f"the chain ends at {end} but had reached {reached}" if end < reached else "its hash is not the one that was kept"
    return _broken(path, min(end + 1, reached), fault)


def _is_damage(problem: Exception) -> bool:
    if not isinstance(problem, sqlite3.Error) or isinstance(problem, sqlite3.ProgrammingError):
        return False
    return getattr(problem, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in DAMAGED


def _explained(problem: sqlite3.Error | OSError, path: Path, action: str) -> NightshiftError:
    """Return the sentence that says what to do about a failure of SQLite or of the disk."""
    if getattr(problem, "sqlite_errorcode", None) in FULL or getattr(problem, "errno", None) in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"journal {path} could not be {action} ({problem}): free some space, everything before is intact")
    if _is_damage(problem):
        return JournalBroken(f"journal {path.name} is broken: SQLite cannot read it ({problem})")
    return ResourceError(f"journal {path} could not be {action}: {problem}")
