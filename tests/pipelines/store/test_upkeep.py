"""Upkeep: files are few, what is named stays, what nothing names goes."""

import os
from datetime import timedelta
from pathlib import Path

import pytest

from domain.clock import SystemClock
from domain.error import DataError, NoData
from pipelines.store import Store
from tests.pipelines.store.rows import bar, many, table


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store(tmp_path / "store")


def files(store: Store) -> list[Path]:
    """Return the data files of the bars, those that no version needs included."""
    return sorted((Path(store.root) / "bars").rglob("*.parquet"))


def aged(store: Store, days: int) -> None:
    """Make every file, and what the log says of it, that much older."""
    then = SystemClock().now() - timedelta(days=days)
    for path in Path(store.root).rglob("*"):
        if path.suffix == ".json":
            old = [line for line in path.read_text(encoding="utf-8").splitlines() if line]
            path.write_text("\n".join(_older(line, days) for line in old) + "\n", encoding="utf-8")
        if path.is_file():
            os.utime(path, (then.timestamp(), then.timestamp()))


def _older(line: str, days: int) -> str:
    import json

    action = json.loads(line)
    for content in action.values():
        for name in {"deletionTimestamp", "modificationTime", "timestamp"} & content.keys():
            content[name] -= days * 86_400_000
    return json.dumps(action)


def test_compaction_changes_files_and_no_row(store: Store) -> None:
    """Twenty small files become one, and the version of before still reads as it did."""
    for hour in range(20):
        store.upsert("bars", table(bar("A", hour, float(hour))))
    before, version = store.bars("m", "1h"), store.version("bars")

    after = store.compact("bars")

    assert after > version
    assert store.bars("m", "1h").equals(before)
    assert store.at({"bars": version}).bars("m", "1h").equals(before)
    assert list((Path(store.root) / "bars" / "_delta_log").glob("*.checkpoint.parquet"))


def test_what_nothing_names_goes_and_what_is_named_stays(store: Store) -> None:
    """Past the retention a replaced file is deleted unless a kept version needs it; so is what a killed writer left."""
    named = store.upsert("bars", many(50))
    kept = store.bars("m", "1h")
    store.upsert("bars", many(50).with_columns(close=2.0))
    store.upsert("bars", many(50).with_columns(close=3.0))
    orphan = files(store)[0].with_name("part-left-by-a-killed-writer.parquet")
    orphan.write_bytes(b"half a file")
    aged(store, 40)

    young = Store(store.root).retain(60)
    deleted = Store(store.root).retain(30, {"bars": [named]})

    reopened = Store(store.root)
    assert young == {"bars": 0}
    assert deleted == {"bars": 2}
    assert not orphan.exists()
    assert reopened.at({"bars": named}).bars("m", "1h").equals(kept)
    assert reopened.bars("m", "1h")["close"].unique().to_list() == [3.0]
    with pytest.raises(DataError, match="cannot be read"):
        reopened.at({"bars": named + 1}).bars("m", "1h")


def test_a_table_in_which_nothing_was_stored_has_nothing_to_tidy(store: Store) -> None:
    """Compacting it says so, retaining leaves it out."""
    store.upsert("bars", many(10))

    assert store.tables() == ["bars"]
    assert store.retain(1) == {"bars": 0}
    with pytest.raises(NoData, match="table 'news'"):
        store.compact("news")
