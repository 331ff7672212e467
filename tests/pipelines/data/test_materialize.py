"""Materialize: panels and features in files, the same bytes for the same bars."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain import params
from domain.bar import BAR_SCHEMA, Defect
from domain.error import DataError, NoData
from domain.market import AssetClass, Market
from pipelines.data import materialize, measuring
from pipelines.store import TABLES, Store

ROOT = Path(__file__).parents[3]
FIRST = datetime(2024, 1, 1, tzinfo=UTC)
HOURS = 30


def market() -> Market:
    """Return the hourly market that the bars below belong to."""
    return params.load(ROOT / "params.yaml", "sim_crypto", "tiny").market("sim_crypto")


def bars(symbols: tuple[str, ...] = ("AAA", "BBB"), hours: int = HOURS, *, flags: int = 0) -> pl.DataFrame:
    """Return a random walk a symbol, known a minute after each close; BBB lacks every fifth bar."""
    random = np.random.default_rng(5)
    rows = []
    for place, symbol in enumerate(symbols):
        price = 100.0 * np.exp(np.cumsum(random.normal(0, 0.01, hours)))
        for hour in range(hours):
            if place == 1 and hour % 5 == 0:
                continue
            opened = FIRST + timedelta(hours=hour)
            closed = opened + timedelta(hours=1)
            p = float(price[hour])
            prices = (p, p * 1.001, p * 0.999, p)
            rows.append(
                ("sim_crypto", symbol, "1h", opened, closed, closed + timedelta(minutes=1), *prices, 10.0, *[None] * 4, flags)
            )
    return pl.DataFrame(rows, schema=BAR_SCHEMA, orient="row")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with the bars."""
    filled = Store(tmp_path / "store")
    filled.upsert("bars", bars())
    return filled


def digests(folder: Path) -> dict[str, str]:
    """Return the digest of every file of a folder."""
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.iterdir()) if path.is_file()}


def test_the_same_bars_give_the_same_bytes(store: Store, tmp_path: Path) -> None:
    """Whoever compares digests compares content: nothing about when or where gets into the files."""
    for name in ("one", "two"):
        materialize.snapshot(store, market(), tmp_path / name / "snapshot")
        measuring.features(tmp_path / name / "snapshot", ["momentum"], tmp_path / name / "features")

    assert digests(tmp_path / "one" / "snapshot") == digests(tmp_path / "two" / "snapshot")
    assert digests(tmp_path / "one" / "features") == digests(tmp_path / "two" / "features")


def test_a_panel_comes_back_from_its_file_as_it_was(store: Store, tmp_path: Path) -> None:
    """Gaps stay gaps, times and prices are equal to the last bit."""
    written = materialize.read(store, market())

    materialize.snapshot(store, market(), tmp_path / "snapshot")
    found = materialize.load_panel(tmp_path / "snapshot")

    assert found.symbols == ("AAA", "BBB")
    assert found.present.sum() == HOURS + HOURS * 4 // 5
    for name in ("opened_at", "event_at", "open", "high", "low", "close", "volume"):
        np.testing.assert_array_equal(getattr(found, name), getattr(written, name))


def test_a_snapshot_holds_nothing_known_later_than_asked(store: Store, tmp_path: Path) -> None:
    """A bar is known a minute after its close: asked at the close of the tenth, nine are known."""
    taken = materialize.snapshot(store, market(), tmp_path / "snapshot", FIRST + timedelta(hours=10))

    assert taken.bars == 9
    assert taken.until == "2024-01-01T10:00:00+00:00"
    assert taken.last == "2024-01-01T08:00:00.000000"


def test_a_snapshot_can_be_read_again_after_the_store_went_on(store: Store, tmp_path: Path) -> None:
    """The table version that it names leads back to the same digest."""
    taken = materialize.snapshot(store, market(), tmp_path / "snapshot")

    changed = bars().with_columns(close=pl.col("close") * 1.01)
    store.upsert("bars", changed)
    again = materialize.read(store.at(taken.tables), market())

    assert materialize.digest(again) == taken.digest
    assert materialize.digest(materialize.read(store, market())) != taken.digest


def test_a_snapshot_names_every_table_that_its_panel_is_made_of(store: Store, tmp_path: Path) -> None:
    """A split that the source tells of only now, as known long ago, is in a panel of today and not in the one of then."""
    where, day = replace(market(), asset_class=AssetClass.EQUITY), FIRST + timedelta(days=1)
    told = [("sim_crypto", symbol, day, FIRST, kind, 2.0, None) for symbol, kind in (("BBB", "dividend"), ("AAA", "split"))]
    dividend, split = (pl.DataFrame([row], schema=TABLES["actions"].schema, orient="row") for row in told)
    first = store.upsert("actions", dividend)
    taken = materialize.snapshot(store, where, tmp_path / "snapshot")

    store.upsert("actions", split)
    again = materialize.read(store.at(taken.tables), where)

    assert taken.tables == {"actions": first, "bars": store.version("bars")}
    assert materialize.load_snapshot(tmp_path / "snapshot").tables == taken.tables
    assert materialize.digest(again) == taken.digest
    assert materialize.digest(materialize.read(store, where)) != taken.digest


def test_extended_hours_are_no_part_of_a_panel(tmp_path: Path) -> None:
    """Bars of the pre and post market are stored but the panel is the regular session."""
    store = Store(tmp_path / "store")
    store.upsert("bars", bars(hours=3))
    late = bars(("AAA",), hours=5, flags=int(Defect.EXTENDED_HOURS)).tail(2)
    store.upsert("bars", late)

    panel = materialize.read(store, market())

    assert panel.bars == 3


def test_a_panel_file_that_was_changed_is_refused(store: Store, tmp_path: Path) -> None:
    """The digest in snapshot.json is of another panel."""
    materialize.snapshot(store, market(), tmp_path)
    path = tmp_path / "panel.parquet"
    pl.read_parquet(path).with_columns(close=pl.col("close") + 0.01).write_parquet(path)

    with pytest.raises(DataError, match="digest"):
        materialize.load_panel(tmp_path)


def test_a_market_without_bars_is_one_sentence(store: Store) -> None:
    """Asked before anything was known."""
    with pytest.raises(NoData, match="sim_crypto"):
        materialize.read(store, market(), until=FIRST)
