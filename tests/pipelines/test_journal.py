"""The journal keeps every fact it acknowledged, in order, and shows any that was touched."""

import hashlib
import json
import math
import os
import random
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from domain.error import DiskFull, JournalBroken, LeaseTaken, NoData
from pipelines import journal
from pipelines.journal import Journal, Record

ROOT = Path(__file__).parents[2]
FIELDS = ("event_at_ns", "monotonic_ns", "kind", "actor", "payload", "snapshot", "previous", "hash")
NANOSECONDS = st.integers(-(2**63), 2**63 - 1)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)
RECORDS = st.builds(
    Record, NANOSECONDS, NANOSECONDS, st.sampled_from(journal.KINDS), st.text(), st.dictionaries(st.text(), VALUES, max_size=4)
)


def fact(number: int, kind: str = "fill") -> Record:
    """Return a small record that is unlike its neighbours."""
    return Record(number * 1_000, number, kind, "tests", {"price": number / 7, "symbol": "AAPL", "quantity": number})


def facts(*numbers: int) -> list[Record]:
    """Return one record a number."""
    return [fact(number) for number in numbers]


def written(path: Path, count: int = 20) -> Path:
    """Write a closed journal of `count` records with a snapshot in the middle of them."""
    with Journal(path) as book:
        for number in range(1, count + 1):
            book.append(fact(number), snapshot=b"state %d" % number if number == count // 2 else None)
    return path


def naive_hash(previous: str, stored: journal.Stored, payload: str) -> str:
    """Hash a record the slow way: a JSON writer for all but its payload, which stands for itself."""
    names = ("sequence", "event_at_ns", "monotonic_ns", "kind", "actor", "snapshot")
    fields = {name: getattr(stored, name) for name in names} | {"payload": 0}
    text = json.dumps(fields, sort_keys=True, separators=(",", ":")).replace('"payload":0', f'"payload":{payload}')
    return hashlib.sha256(previous.encode() + text.encode()).hexdigest()


def texts(path: Path) -> list[str]:
    """Return the payloads as they are stored, read by nobody but SQLite."""
    with closing(sqlite3.connect(path)) as database:
        return [text for (text,) in database.execute("SELECT payload FROM records ORDER BY sequence")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a journal may be made."""
    return tmp_path / "account" / "journal.db"


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=st.lists(RECORDS, min_size=1, max_size=8), snapshot=st.none() | st.binary(max_size=50))
def test_whatever_json_can_say_reads_back_as_it_was_written(records: list[Record], snapshot: bytes | None) -> None:
    """Every field of every record comes back equal, chained by the hash that the module documents."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "journal.db")

        with Journal(path) as book:
            last = book.append(*records, snapshot=snapshot)
            stored = list(book.records())

        assert last == len(records)
        assert [(s.event_at_ns, s.monotonic_ns, s.kind, s.actor, s.payload) for s in stored] == [
            (r.event_at_ns, r.monotonic_ns, r.kind, r.actor, r.payload) for r in records
        ]
        chain = [journal.GENESIS, *(s.hash for s in stored)]
        assert chain[1:] == [naive_hash(*each) for each in zip(chain, stored, texts(path), strict=False)]
        assert [json.loads(text) for text in texts(path)] == [r.payload for r in records]
        assert journal.verify(path).head == (len(records), stored[-1].hash)


def test_who_defers_the_checkpoint_says_when(path: Path) -> None:
    """No append moves the log into the file by itself; asked to, one does, and the log is written from its beginning again."""
    state, log = b"s" * 100_000, path.with_name(path.name + "-wal")
    with Journal(path, deferred=True) as book:
        empty = path.stat().st_size
        for number in range(1, 81):
            book.append(fact(number), snapshot=state)
        before, longest = path.stat().st_size, log.stat().st_size
        book.checkpoint()
        after = path.stat().st_size
        for number in range(81, 121):
            book.append(fact(number), snapshot=state)
        again = log.stat().st_size

    assert before == empty
    assert longest > 80 * len(state)
    assert after > before
    assert again == longest
    assert journal.verify(path).head.sequence == 120


class Account(RuleBasedStateMachine):
    """A journal that is appended to, closed, killed and read in any order, beside a plain list."""

    @initialize()
    def start(self) -> None:
        """Open an empty journal."""
        self.folder = tempfile.TemporaryDirectory()
        self.path = Path(self.folder.name, "journal.db")
        self.book = Journal(self.path)
        self.model: list[Record] = []
        self.state: tuple[int, bytes] | None = None

    @rule(records=st.lists(RECORDS, min_size=1, max_size=5), state=st.none() | st.binary(max_size=20))
    def append(self, records: list[Record], state: bytes | None) -> None:
        """Append to both."""
        assert self.book.append(*records, snapshot=state) == len(self.model) + len(records)
        self.model += records
        self.state = self.state if state is None else (len(self.model), state)

    @rule(record=RECORDS, bad=st.sampled_from([math.nan, math.inf, object(), (1, 2), {1: 2}, b"bytes"]))
    def refuse(self, record: Record, bad: object) -> None:
        """Offer a record that JSON cannot hold: it takes its whole transaction with it."""
        wrong = Record(record.event_at_ns, record.monotonic_ns, record.kind, record.actor, {"value": bad})
        with pytest.raises(ValueError, match="payload"):
            self.book.append(record, wrong)

    @rule()
    def reopen(self) -> None:
        """Close and open again."""
        self.book.close()
        assert journal.verify(self.path).sealed
        self.book = Journal(self.path)

    @rule(kind=st.none() | st.sampled_from(journal.KINDS), since=st.integers(0, 12))
    def read(self, kind: str | None, since: int) -> None:
        """Any selection equals the list's."""
        expected = [(at, r.payload) for at, r in enumerate(self.model, 1) if at > since and kind in {None, r.kind}]
        assert [(s.sequence, s.payload) for s in self.book.records(kind, since)] == expected

    @invariant()
    def proves(self) -> None:
        """Check that the chain holds under the writer's feet and that the newest state is the last one kept."""
        if hasattr(self, "book"):
            assert journal.verify(self.path).head == self.book.head()
            assert self.book.head().sequence == len(self.model)
            assert self.book.latest_snapshot() == self.state

    def teardown(self) -> None:
        """Leave nothing behind."""
        if hasattr(self, "book"):
            self.book.close()
            self.folder.cleanup()


Account.TestCase.settings = settings(max_examples=15, stateful_step_count=12, deadline=None)
TestAccount = Account.TestCase


@pytest.mark.fault("F12", "F16")
def test_one_account_has_one_trader(path: Path) -> None:
    """A second writer is told who holds the lease, readers are welcome, and the lease ends with its holder."""
    with Journal(path) as book:
        book.append(fact(1))

        with pytest.raises(LeaseTaken, match=f"process {os.getpid()} on .*stop that trader"):
            Journal(path)
        with Journal.read_only(path) as reader:
            assert [s.sequence for s in reader.records()] == [1]
            with pytest.raises(ValueError, match="reading"):
                reader.append(fact(2))

    with Journal(path) as again:
        assert again.append(fact(2)) == 2


@pytest.mark.fault("F16")
def test_a_trader_in_another_process_holds_the_lease_until_it_dies(path: Path) -> None:
    """SIGKILL frees the lease: no stale lock file stops the next start."""
    script = "import sys, time; from pathlib import Path; from pipelines.journal import Journal; book = Journal(Path(sys.argv[1]));"
    holder = subprocess.Popen(
        [sys.executable, "-c", script + "print('held', flush=True); time.sleep(60)", str(path)], cwd=ROOT, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    holder.stdout.readline()

    with pytest.raises(LeaseTaken, match=f"process {holder.pid} "):
        Journal(path)
    holder.kill()
    holder.wait()
    holder.stdout.close()

    Journal(path).close()


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("sequence", [1, 7, 10, 20])
def test_a_changed_field_is_found_where_it_was_changed(path: Path, field: str, sequence: int) -> None:
    """Each field of a record, its times and its actor included, is under the hash."""
    written(path)
    unseal(path)
    change(path, field, sequence)

    with pytest.raises(JournalBroken, match=f"broken at record {sequence}:"):
        journal.verify(path)


def change(path: Path, field: str, sequence: int) -> None:
    """Change one field of one record by the smallest step, as someone with SQLite at hand would."""
    connection = sqlite3.connect(path)
    (value,) = connection.execute(f"SELECT {field} FROM records WHERE sequence = ?", (sequence,)).fetchone()  # noqa: S608
    other = value + 1 if isinstance(value, int) else "f" + value[1:] if value and value[0] != "f" else "e" + (value or "")[1:]
    connection.execute(f"UPDATE records SET {field} = ? WHERE sequence = ?", (other, sequence))  # noqa: S608
    connection.commit()
    connection.close()


def unseal(path: Path) -> None:
    """Forget the digest of the closed file, as if the trader had been killed."""
    head = path.with_name(path.name + ".head")
    kept = json.loads(head.read_text())
    head.write_text(json.dumps({**kept, "file": None}).ljust(journal.HEAD_BYTES))


EDITS = {
    "a record taken out": ("DELETE FROM records WHERE sequence = 7", 7),
    "two records swapped": (
        "UPDATE records SET sequence = CASE sequence WHEN 7 THEN -8 WHEN 8 THEN -7 END WHERE sequence IN (7, 8);"
        "UPDATE records SET sequence = -sequence WHERE sequence < 0",
        7,
    ),
    "the tail cut off": ("DELETE FROM records WHERE sequence > 15", 16),
    "everything gone": ("DELETE FROM records; DELETE FROM snapshots", 1),
    "the state exchanged": ("UPDATE snapshots SET state = x'00'", 10),
    "the state gone": ("DELETE FROM snapshots", 10),
    "the state moved": ("UPDATE snapshots SET sequence = 11", 10),
}


@pytest.mark.parametrize("edit", EDITS, ids=EDITS)
def test_an_edited_chain_is_found(path: Path, edit: str) -> None:
    """Removing, swapping and cutting are named with the first broken record."""
    statements, sequence = EDITS[edit]
    written(path)
    unseal(path)
    connection = sqlite3.connect(path)
    connection.executescript(statements)
    connection.close()

    with pytest.raises(JournalBroken, match=f"broken at record {sequence}:"):
        journal.verify(path)


def test_a_chain_written_anew_does_not_pass_a_head_kept_elsewhere(path: Path) -> None:
    """Whoever rewrites all of it, with right hashes, is caught by a head that was printed or stored before."""
    with Journal(path) as book:
        book.append(*facts(1, 2, 3))
        kept = book.head()
    for file in path.parent.iterdir():
        file.unlink()
    with Journal(path) as book:
        book.append(*facts(1, 4, 3, 5))

    assert journal.verify(path).anchored
    with pytest.raises(JournalBroken, match=r"broken at record 3: .*written anew"):
        journal.verify(path, kept)


@pytest.mark.fault("F15")
def test_an_older_copy_put_back_is_refused_at_the_start(path: Path, tmp_path: Path) -> None:
    """A journal that ends before the head beside it is not traded on."""
    written(path, 10)
    old = shutil.copy(path, tmp_path / "old.db")
    with Journal(path) as book:
        book.append(*facts(11, 12))
    shutil.copy(old, path)

    with pytest.raises(JournalBroken, match="broken at record 11: the chain ends at 10 but had reached 12"):
        Journal(path)


@pytest.mark.fault("F13")
def test_one_flipped_byte_anywhere_in_a_closed_journal_is_found(path: Path) -> None:
    """400 random bytes, records and unused space alike, each flipped alone."""
    written(path, 60)
    content = path.read_bytes()
    places = random.Random(7).sample(range(len(content)), 400)

    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1 << (place % 8)
        path.write_bytes(flipped)
        with pytest.raises(JournalBroken):
            journal.verify(path)
    path.write_bytes(content)

    assert journal.verify(path).sealed


def test_one_flipped_byte_of_a_record_is_found_without_the_seal(path: Path) -> None:
    """After a kill there is no digest of the file: the chain alone finds any changed byte of any stored value."""
    written(path, 60)
    unseal(path)
    content = path.read_bytes()
    first = content.index(b'"price"')
    places = [first + offset for offset in range(0, 400, 3)]

    found = 0
    for place in places:
        flipped = bytearray(content)
        flipped[place] ^= 1
        path.write_bytes(flipped)
        with pytest.raises(JournalBroken):
            journal.verify(path)
        found += 1

    assert found == len(places)


@pytest.mark.parametrize("content", [b"", b"not a database, but long enough to be taken for one by its length " * 40])
def test_a_file_that_is_no_journal_is_refused_in_one_sentence(path: Path, content: bytes) -> None:
    """An empty or foreign file under the journal's name proves nothing."""
    path.parent.mkdir()
    path.write_bytes(content)

    with pytest.raises(JournalBroken, match=r"journal\.db is broken"):
        journal.verify(path)


def test_a_missing_journal_is_no_data(path: Path) -> None:
    """Nothing is made by looking."""
    for look in (journal.verify, Journal.read_only):
        with pytest.raises(NoData, match="there is none"):
            look(path)

    assert not path.parent.exists()


@pytest.mark.parametrize(
    "record",
    [
        Record(1, 1, "fil", "tests", {}),
        Record(2**63, 1, "fill", "tests", {}),
        Record(1, True, "fill", "tests", {}),
        Record(1, 1, "fill", "tests", {"price": math.nan}),
        Record(1, 1, "fill", "tests", {"pair": (1, 2)}),
    ],
    ids=["unknown kind", "too large", "not an integer", "not a number", "not JSON"],
)
def test_a_record_that_cannot_be_kept_is_refused_and_nothing_is_written(path: Path, record: Record) -> None:
    """The good record beside it is not written either."""
    with Journal(path) as book, pytest.raises(ValueError, match=r"record|kind"):
        book.append(fact(1), record)

    with Journal.read_only(path) as reader:
        assert reader.head() == (0, journal.GENESIS)


WRITER = """
import os, resource, sys
from pathlib import Path
from domain.error import NightshiftError
from pipelines.journal import Journal, Record
path, bytes_max = Path(sys.argv[1]), int(sys.argv[2])
book = Journal(path)
if bytes_max:
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_max, bytes_max))
number = book.head().sequence
try:
    while True:
        record = Record(number, number, "fill", "tests", {"number": number + 1, "padding": "x" * (number % 700)})
        number = book.append(record, Record(number, number, "bar", "tests", {}), snapshot=b"s" * (number % 3000))
        os.write(1, number.to_bytes(8, "little"))
except NightshiftError as problem:
    os.write(2, f"{type(problem).__name__}: {problem}".encode())
"""


def run_writer(path: Path, seconds: float | None, bytes_max: int = 0) -> tuple[int, str]:
    """Append in another process until it is killed or fails; return the last acknowledged sequence and what it said."""
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(path), str(bytes_max)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert writer.stdout is not None
    first = writer.stdout.read(8)
    if seconds is not None:
        signal.sigtimedwait([], seconds)
        writer.kill()
    rest, said = writer.communicate(timeout=60)
    acknowledged = first + rest[: len(rest) // 8 * 8]
    return int.from_bytes(acknowledged[-8:], "little"), said.decode()


def test_killed_at_any_moment_it_keeps_everything_it_acknowledged(path: Path) -> None:
    """20 rounds of SIGKILL on one journal: each time the chain holds and whole transactions only are in it."""
    chance = random.Random(11)

    for _ in range(20):
        acknowledged, _ = run_writer(path, chance.uniform(0.0, 0.04))
        proof = journal.verify(path)

        assert proof.head.sequence >= acknowledged > 0
        assert proof.head.sequence % 2 == 0
        assert proof.anchored


@pytest.mark.fault("F14")
def test_a_power_cut_leaves_a_prefix(path: Path, tmp_path: Path) -> None:
    """A write-ahead log cut at any byte gives a chain that holds, never a broken one and never half a transaction."""
    run_writer(path, 0.02)
    log = path.with_name(path.name + "-wal").read_bytes()
    cut = tmp_path / "cut" / "journal.db"
    cut.parent.mkdir()
    lengths = []

    for size in sorted(random.Random(3).sample(range(len(log)), 40)):
        shutil.copy(path, cut)
        cut.with_name("journal.db-wal").write_bytes(log[:size])
        with Journal(cut) as book:
            assert book.append(*facts(1, 2)) % 2 == 0
        lengths.append(journal.verify(cut).head.sequence)
        for file in cut.parent.iterdir():
            file.unlink()

    assert lengths == sorted(lengths)
    assert lengths[-1] > lengths[0]


@pytest.mark.fault("F09", "F10")
def test_a_full_disk_stops_the_writer_and_loses_nothing(path: Path) -> None:
    """When the file may not grow any further, one sentence says so, and the next start goes on."""
    acknowledged, said = run_writer(path, None, bytes_max=300_000)

    assert said.startswith("DiskFull: journal ")
    assert "free some space, everything before is intact" in said
    assert journal.verify(path).head.sequence >= acknowledged > 0
    with Journal(path) as book:
        assert book.append(fact(1)) > acknowledged


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """Mount a memory disk of 256 KiB, where that is allowed."""
    place = tmp_path / "small"
    place.mkdir()
    made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], capture_output=True, check=False)
    if made.returncode:
        pytest.skip("mounting a memory disk needs root")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(book: Journal) -> None:
    """Append until the disk says no."""
    while True:
        book.append(fact(1), snapshot=b"s" * 5000)


def test_a_disk_that_is_really_full_gives_the_same_sentence_and_heals(small_disk: Path) -> None:
    """ENOSPC in the middle of trading: what was acknowledged stays, and freeing space is enough to go on with the same journal."""
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"0" * 100_000)
    book = Journal(small_disk / "journal.db")

    with pytest.raises(DiskFull, match=r"written after record \d+ .*free some space"):
        fill(book)
    last = book.head().sequence
    ballast.unlink()

    assert book.append(fact(0)) == last + 1 > 1
    book.close()
    assert journal.verify(small_disk / "journal.db").head.sequence == last + 1


def test_only_the_owner_can_read_what_was_traded(path: Path) -> None:
    """The database and everything beside it are private."""
    with Journal(path) as book:
        book.append(fact(1))

        modes = {file.name: file.stat().st_mode & 0o777 for file in path.parent.iterdir()}

    assert set(modes.values()) == {0o600}, modes


def test_a_durable_append_is_fast_enough_for_a_bar(path: Path) -> None:
    """A bar of 100 orders is one transaction of a few milliseconds, so a minute of trading never waits for it."""
    used = resource.getrusage(resource.RUSAGE_SELF).ru_utime
    with Journal(path) as book:
        for _ in range(20):
            book.append(*[fact(number, "order") for number in range(100)])
    used = resource.getrusage(resource.RUSAGE_SELF).ru_utime - used

    assert used / 20 < 0.05


def test_ctrl_c_in_the_middle_of_a_transaction_undoes_it(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal closes as ever, holds what was written before, and goes on."""

    def broken(self: Journal, *asked: Any) -> None:
        self._connection.execute("BEGIN IMMEDIATE")
        raise KeyboardInterrupt

    def interrupted() -> None:
        with Journal(path) as kept:
            kept.append(*facts(1, 2))
            monkeypatch.setattr(Journal, "_commit", broken)
            kept.append(*facts(3))

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    monkeypatch.undo()

    assert journal.verify(path).sealed
    with Journal(path) as kept:
        kept.append(*facts(3))
        assert len(list(kept.records())) == 3


def test_a_log_that_a_full_disk_has_no_room_to_move_stays_as_it_is(small_disk: Path) -> None:
    """The checkpoint says so in the same sentence, nothing is lost, and with room it is done."""
    ballast, path = small_disk / "ballast", small_disk / "journal.db"
    ballast.write_bytes(b"0" * 60_000)
    with Journal(path, deferred=True) as book:
        while True:
            try:
                book.append(*facts(*range(40)))
            except DiskFull:
                break
        last, before = book.head().sequence, path.stat().st_size

        with pytest.raises(DiskFull, match=r"brought up to date .*free some space"):
            book.checkpoint()
        ballast.unlink()
        book.checkpoint()

        assert path.stat().st_size > before
        assert book.append(fact(0)) == last + 1
    assert journal.verify(path).head.sequence == last + 1
