"""The store: what goes in comes out, once, as it was known, and a failure loses nothing."""

import os
import pickle
import shutil
import subprocess
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bar import BAR_KEY, BAR_SCHEMA
from domain.error import DataError, DiskFull, NoData
from pipelines.store import TABLES, Store
from pipelines.store.versions import line, parsed
from tests.pipelines.store.rows import HOUR, START, bar, many, table


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store(tmp_path / "store")


def test_bars_come_back_as_they_went_in_sorted_by_symbol_and_time(store: Store) -> None:
    """Nulls and NaN included."""
    rows = table(bar("B", 0, None), bar("A", 1, float("nan")), bar("A", 0, 2.5, trades=7))

    store.upsert("bars", rows)

    assert store.bars("m", "1h").equals(rows.sort("symbol", "opened_at"))


def test_writing_what_is_there_makes_no_version(store: Store) -> None:
    """Null equals null and NaN equals NaN."""
    rows = table(bar("A", 0, float("nan")), bar("A", 1, None), bar("B", 0))

    first = store.upsert("bars", rows)
    again = store.upsert("bars", rows.reverse())

    assert again == first == store.version("bars")


def test_a_changed_row_replaces_the_one_with_its_key(store: Store) -> None:
    """And leaves its neighbours alone; the version before is still there."""
    before = store.upsert("bars", table(bar("A", 0), bar("A", 1), bar("B", 0)))

    after = store.upsert("bars", table(bar("A", 1, 9.0), bar("C", 0)))

    assert after > before
    assert store.bars("m", "1h").select("symbol", "close").rows() == [("A", 1.0), ("A", 9.0), ("B", 1.0), ("C", 1.0)]
    assert store.at({"bars": before}).bars("m", "1h")["close"].to_list() == [1.0, 1.0, 1.0]


def test_of_equal_keys_in_one_frame_the_last_counts(store: Store) -> None:
    """As if the rows had come one after the other."""
    store.upsert("bars", table(bar("A", 0, 1.0), bar("A", 0, 2.0)))

    assert store.bars("m", "1h")["close"].to_list() == [2.0]


def test_a_reader_gets_what_was_known_at_the_moment_asked(store: Store) -> None:
    """A correction known five hours later is invisible before."""
    store.upsert("bars", table(bar("A", 0, 1.0), bar("A", 0, 2.0, late=5), bar("A", 1, 3.0)))

    def known(hours: int) -> list[float]:
        return store.bars("m", "1h", known_at=START + hours * HOUR)["close"].to_list()

    assert [known(1), known(2), known(5), known(6)] == [[1.0], [1.0, 3.0], [1.0, 3.0], [2.0, 3.0]]
    assert store.bars("m", "1h")["close"].to_list() == [2.0, 3.0]


def test_symbols_and_both_bounds_narrow_what_is_read(store: Store) -> None:
    """Bounds are included."""
    store.upsert("bars", many(50))

    found = store.bars("m", "1h", symbols=["S3", "S4"], since=START + HOUR, until=START + 2 * HOUR)

    hours = [at.hour for at in found["opened_at"]]
    assert list(zip(found["symbol"], hours, strict=True)) == [("S3", 1), ("S3", 2), ("S4", 1), ("S4", 2)]


def test_markets_do_not_touch_each_other(store: Store) -> None:
    """Even when their names need quoting."""
    store.upsert("bars", table(bar("A", 0, 1.0, market="it's"), bar("A", 0, 2.0, market="b/c d")))

    store.upsert("bars", table(bar("A", 0, 3.0, market="it's")))

    assert [store.bars(name, "1h")["close"].item() for name in ("it's", "b/c d")] == [3.0, 2.0]


def test_a_store_knows_which_markets_it_holds_bars_of(store: Store) -> None:
    """Neither before anything was stored, nor of another market or timeframe."""
    empty = store.holds("m", "1h")

    store.upsert("bars", table(bar("A", 1)))

    assert not empty
    assert store.holds("m", "1h")
    assert not store.holds("m", "1d")
    assert not store.holds("n", "1h")


@settings(max_examples=15, deadline=None)
@given(
    batches=st.lists(
        st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 4), st.integers(0, 1), st.floats()), max_size=6), max_size=4
    )
)
def test_any_batches_leave_the_last_row_of_each_key(
    batches: list[list[tuple[str, int, int, float]]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Against a dictionary, and a second run of all batches ends the same."""
    store = Store(tmp_path_factory.mktemp("store"))
    twin: dict[tuple[object, ...], float] = {}

    for batch in batches:
        rows = table(*(bar(symbol, hour, close, late) for symbol, hour, late, close in batch))
        store.upsert("bars", rows)
        twin |= {row[:-1]: row[-1] for row in rows.select(*BAR_KEY, "close").iter_rows()}

    stored = store.read("bars") if batches else table()
    expected = pl.DataFrame(
        [(*key, close) for key, close in twin.items()], schema={k: BAR_SCHEMA[k] for k in [*BAR_KEY, "close"]}, orient="row"
    )
    assert stored.select(*BAR_KEY, "close").equals(expected.sort(BAR_KEY))


def test_a_row_of_quarantine_is_itself_only_when_all_of_it_is(store: Store) -> None:
    """Rows without time or price, and duplicates of a key with other prices, all stay; the same twice is one."""
    broken = {"reason": "r", "source": "s"}
    rows = pl.DataFrame(
        [
            {**bar("A", 0, None), **broken},
            {**bar("A", 0, 2.0), **broken},
            {**bar("A", 0, float("nan")), **broken},
            {**bar("A", 0), **broken, "opened_at": None, "known_at": None},
        ],
        schema=TABLES["quarantine"].schema,
    )

    first = store.upsert("quarantine", rows)
    again = store.upsert("quarantine", rows)

    assert (again, store.read("quarantine").height) == (first, 4)


def test_tables_without_optional_columns_and_without_rows_are_fine(store: Store) -> None:
    """News without sentiment; then no news at all."""
    news = pl.DataFrame(
        {"market": ["m"], "symbol": ["A"], "event_at": [START], "known_at": [START], "headline": ["h"], "source": ["s"]}
    )

    version = store.upsert("news", news)

    assert store.upsert("news", news.clear()) == version
    assert store.read("news", where={"market": "m", "symbol": "A"})["sentiment"].to_list() == [None]
    assert store.read("news", where={"symbol": "B"}).is_empty()


def test_batches_are_the_bars_in_stretches_of_time(store: Store) -> None:
    """Each of about as many rows as asked, of one version, whatever is written meanwhile; a moment is never split."""
    store.upsert("bars", pl.concat([many(200), table(bar("S3", 4, 99.0, late=3), bar("S5", 4, 98.0, late=9))]))
    asked = {"symbols": ["S3", "S4", "S5"], "since": START + 2 * HOUR, "known_at": START + 15 * HOUR}
    expected = store.bars("m", "1h", **asked)  # type: ignore[arg-type]

    batches = store.batches("m", "1h", rows=7, **asked)  # type: ignore[arg-type]
    found = [next(batches)]
    store.upsert("bars", many(200).with_columns(close=7.0))
    found += batches

    assert len(found) == 6
    assert all(one["opened_at"].max() < other["opened_at"].min() for one, other in pairwise(found))
    assert pl.concat(found).sort("symbol", "opened_at").equals(expected)


def test_what_is_asked_without_reading_is_what_reading_finds(store: Store) -> None:
    """Counts, symbols and the newest bar; of a market without bars the newest is none and counting says so."""
    store.upsert("bars", many(25))

    assert store.count("m", "1h") == 25
    assert store.symbols("m", "1h") == [f"S{i}" for i in range(10)]
    assert store.newest("m", "1h") == START + 2 * HOUR
    assert store.newest("m", "1d") is None
    assert store.opened("m", "1h", symbols=["S1"])["opened_at"].sort().to_list() == [START, START + HOUR, START + 2 * HOUR]


def test_ticks_lie_in_a_folder_a_day(store: Store) -> None:
    """A correction of yesterday's print rewrites yesterday's files alone; readers never see the column that decides it."""
    trade = {"market": "m", "symbol": "A", "price": 1.0, "size": 2.0, "side": "buy", "exchange": "X", "conditions": None}
    rows = [{**trade, "event_at": START + i * 9 * HOUR, "known_at": START + i * 9 * HOUR, "trade_id": str(i)} for i in range(6)]
    prints = pl.DataFrame(rows, schema=TABLES["trades"].schema)

    store.upsert("trades", prints)
    before = set((Path(store.root) / "trades").rglob("*.parquet"))
    store.upsert("trades", prints[:1].with_columns(price=5.0))

    folders = sorted(path.name for path in (Path(store.root) / "trades" / "market=m").iterdir())
    written = set((Path(store.root) / "trades").rglob("*.parquet")) - before
    assert folders == ["day=2024-01-01", "day=2024-01-02"]
    assert {path.parent.name for path in written} == {"day=2024-01-01"}
    assert store.read("trades").equals(prints.with_columns(pl.Series("price", [5.0, *[1.0] * 5])))
    assert store.read("trades", since=START + 18 * HOUR, until=START + 27 * HOUR)["trade_id"].to_list() == ["2", "3"]
    with pytest.raises(DataError, match="name their event_at, found null"):
        store.upsert("trades", prints.with_columns(event_at=None))


def test_a_table_of_before_gains_the_columns_that_it_lacks(store: Store) -> None:
    """An older home goes on: its rows read as null, new ones bring the column, and the version before stays readable."""
    from deltalake import write_deltalake

    old = many(20).drop("buy_volume", "spread")
    write_deltalake(Path(store.root) / "bars", old, partition_by=["market", "timeframe"])
    before = store.bars("m", "1h")

    store.upsert("bars", table(bar("new", 0, spread=0.5)))

    assert before["spread"].to_list() == [None] * 20
    assert store.bars("m", "1h", symbols=["S1"])["spread"].to_list() == [None] * 2
    assert store.bars("m", "1h", symbols=["new"])["spread"].to_list() == [0.5]
    assert store.at({"bars": 0}).bars("m", "1h").equals(before)


def test_a_table_made_anew_in_its_place_is_seen(store: Store) -> None:
    """A store that is kept open reads only what was added; that must not show what is gone."""
    store.upsert("bars", many(30))
    assert store.bars("m", "1h").height == 30

    shutil.rmtree(Path(store.root) / "bars")
    with pytest.raises(NoData, match="nothing was ever stored"):
        store.bars("m", "1h")
    Store(store.root).upsert("bars", many(10))

    assert store.bars("m", "1h").height == 10


def test_many_small_writes_stay_few_files(store: Store) -> None:
    """A live trader adds a bar at a time."""
    for i in range(70):
        store.upsert("bars", table(bar("A", i, float(i))))

    from deltalake import DeltaTable

    assert len(DeltaTable(Path(store.root) / "bars").file_uris()) < 20
    assert store.bars("m", "1h")["close"].to_list() == [float(i) for i in range(70)]


def test_writers_at_once_lose_nothing_and_double_nothing(tmp_path: Path) -> None:
    """Four threads with stores of their own write rows that overlap by half."""
    rows = many(60)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda i: Store(tmp_path).upsert("bars", rows[i * 10 : i * 10 + 20]), range(5)))

    assert Store(tmp_path).read("bars").equals(rows.sort(BAR_KEY))


@pytest.mark.parametrize(
    ("ask", "error", "sentence"),
    [
        (lambda s: s.bars("m", "1d"), NoData, "no 1d bars of market 'm' are stored: did you mean 'm 1h'?"),
        (lambda s: s.bars("m", "1h", since=START + 99 * HOUR), NoData, "1 symbols are stored from 2024-01-01 00:00 to"),
        (lambda s: s.at({"bars": 9}).bars("m", "1h"), NoData, "version 9 of table 'bars' was asked for, it has versions 0 to 1"),
        (lambda s: s.read("news"), NoData, "table 'news' was asked for, but nothing was ever stored"),
        (lambda s: s.version("nwes"), DataError, "table 'nwes' does not exist: did you mean 'news'?"),
        (lambda s: s.upsert("bars", table(bar("A", 0)).drop("symbol")), DataError, r"lack \['symbol'\]"),
        (lambda s: s.upsert("bars", table(bar("A", 0)).with_columns(x=1)), DataError, r"unknown \['x'\]"),
        (lambda s: s.upsert("bars", table(bar("A", 0)).with_columns(open=pl.lit("x"))), DataError, "a column of the wrong type"),
        (lambda s: s.upsert("bars", table(bar("A", 0)).with_columns(known_at=None)), DataError, "name their known_at, found null"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_said_in_one_sentence(store: Store, ask: object, error: type[Exception], sentence: str) -> None:
    """And the store is as it was."""
    store.upsert("bars", table(bar("A", 0)))

    with pytest.raises(error, match=sentence) as caught:
        ask(store)  # type: ignore[operator]

    assert "\n" not in str(caught.value)
    assert store.version("bars") == 1


@pytest.mark.parametrize("damage", ["cut", "gone", "log"])
def test_a_damaged_table_is_refused_in_one_sentence(store: Store, damage: str) -> None:
    """A data file cut short, one that is gone, a log that is no JSON."""
    store.upsert("bars", many(100))
    data = next((Path(store.root) / "bars").glob("market=*/*/*.parquet"))
    if damage == "cut":
        data.write_bytes(data.read_bytes()[:-100])
    elif damage == "gone":
        data.unlink()
    else:
        max((Path(store.root) / "bars" / "_delta_log").glob("*.json")).write_text("{not json", encoding="utf-8")

    for ask in (lambda: store.bars("m", "1h"), lambda: store.upsert("bars", many(100))):
        with pytest.raises(DataError, match="table 'bars' cannot be read, its files are damaged or gone") as caught:
            ask()
        assert "\n" not in str(caught.value)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield a file system of two megabytes."""
    place = tmp_path / "small"
    place.mkdir()
    mount = shutil.which("mount")
    if os.geteuid() != 0 or mount is None:
        pytest.skip("a file system of its own needs root and mount")
    done = subprocess.run([mount, "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(place)], capture_output=True, check=False)
    if done.returncode:
        pytest.skip(f"mounting a tmpfs was refused: {done.stderr.decode().strip()}")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


def test_a_full_disk_is_one_sentence_and_loses_nothing(small_disk: Path) -> None:
    """Too large a batch, then a disk without a free byte: the table stays at its version, and goes on once there is room."""
    store = Store(small_disk / "store")
    version = store.upsert("bars", many(200))
    files = set(small_disk.rglob("*"))
    many_more = pl.concat([many(20_000).with_columns(symbol=pl.col("symbol") + str(i)) for i in range(8)])
    random = np.random.default_rng(1)
    large = many_more.with_columns(pl.Series(name, random.random(many_more.height)) for name in ("open", "high", "low"))

    with pytest.raises(DiskFull, match="table 'bars' could not be written because the disk is full") as caught:
        store.upsert("bars", large)
    assert "\n" not in str(caught.value)
    assert set(small_disk.rglob("*")) == files

    filler = small_disk / "filler"
    filler.write_bytes(b"x" * shutil.disk_usage(small_disk).free)
    for name, rows in (
        ("bars", table(bar("new", 0))),
        ("quarantine", table(bar("A", 0)).with_columns(reason=pl.lit("r"), source=pl.lit("s"))),
    ):
        with pytest.raises(DiskFull):
            store.upsert(name, rows)
    assert (store.version("bars"), store.bars("m", "1h").height) == (version, 200)

    filler.unlink()
    assert store.upsert("bars", table(bar("new", 0))) == version + 1


def test_a_disk_that_fills_up_while_writing_is_the_same_sentence(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The room is taken between the look and the write."""
    store = Store(small_disk / "store")
    version = store.upsert("bars", many(200))
    (small_disk / "filler").write_bytes(b"x" * (shutil.disk_usage(small_disk).free - 4096))
    monkeypatch.setattr(shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(1 << 40, 0, 1 << 40))

    with pytest.raises(DiskFull, match="the disk is full"):
        store.upsert("bars", many(2000).with_columns(symbol=pl.lit("new")))

    assert (store.version("bars"), store.bars("m", "1h").height) == (version, 200)


def test_half_a_million_rows_take_seconds(store: Store) -> None:
    """Import, import again, correct a tenth."""
    hours = pl.DataFrame({"opened_at": [START + i * HOUR for i in range(10_000)]})
    symbols = pl.DataFrame({"symbol": [f"S{i}" for i in range(50)]})
    row = table(bar("x", 0)).drop("symbol", "opened_at")
    rows = (
        symbols.join(hours, how="cross").join(row, how="cross").with_columns(close=pl.int_range(pl.len()).cast(pl.Float64).sqrt())
    )

    first = store.upsert("bars", rows)
    same = store.upsert("bars", rows)
    changed = store.upsert("bars", rows[::10].with_columns(volume=6.0))

    assert same == first < changed
    assert store.bars("m", "1h")["volume"].value_counts().sort("volume").rows() == [(5.0, 450_000), (6.0, 50_000)]


def test_old_versions_are_read_as_they_were_and_never_written(store: Store) -> None:
    """In another process too; a table that was not there then is not there, whatever it holds now."""
    before = store.upsert("bars", table(bar("A", 0)))
    then = store.at({"bars": before})
    after = store.upsert("bars", table(bar("A", 0, 9.0)))
    first = store.upsert("listings", pl.DataFrame([listed("A")], schema=TABLES["listings"].schema, orient="row"))

    for old in (then, pickle.loads(pickle.dumps(then))):  # noqa: S301  # our own bytes
        assert old.bars("m", "1h")["close"].to_list() == [1.0]
        assert old.versions() == {"bars": before}
        with pytest.raises(NoData, match=f"as it was when bars {before} were read, but it was not there"):
            old.read("listings")
        with pytest.raises(DataError, match="at an old version"):
            old.upsert("bars", table(bar("B", 0)))
    assert store.versions() == {"bars": after, "listings": first}


def listed(symbol: str) -> tuple[object, ...]:
    """Return a row of the table of listings."""
    at = datetime(2024, 1, 1, tzinfo=UTC)
    return ("m", symbol, at, at, "listed", None)


@given(st.dictionaries(st.sampled_from(sorted(TABLES)), st.integers(0, 10**9)))
def test_versions_come_back_from_their_line(versions: dict[str, int]) -> None:
    """None at all too."""
    assert parsed(line(versions)) == versions
