"""Measuring: features in files, the same bytes however the work is divided."""

from pathlib import Path

import numpy as np
import pytest

from features import catalog
from features.engine import FeatureEngine
from pipelines.data import materialize, measuring
from pipelines.data.measuring import Unit
from pipelines.store import Store
from tests.pipelines.data.test_materialize import bars, market

FAMILIES = ("momentum", "cross_section")
SYMBOLS = tuple(f"S{i:02d}" for i in range(17))


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the snapshot of a market of 17 symbols."""
    place = tmp_path_factory.mktemp("measuring")
    store = Store(place / "store")
    store.upsert("bars", bars(SYMBOLS, 90))
    materialize.snapshot(store, market(), place / "snapshot")
    return place / "snapshot"


def bytes_of(folder: Path) -> bytes:
    """Return what was measured, as it lies on the disk."""
    return (folder / measuring.VALUES).read_bytes() + (folder / measuring.DESCRIPTION).read_bytes()


def test_features_are_written_feature_by_feature_in_the_order_of_their_names(snapshot: Path, tmp_path: Path) -> None:
    """The file is [F, T, S]; a reader gets [T, S, F], equal to what the engine says bar by bar."""
    panel = materialize.load_panel(snapshot)
    chosen = catalog.select(FAMILIES)
    engine = FeatureEngine(chosen, len(SYMBOLS))
    expected = np.concatenate([engine.advance(bar) for bar in panel.each()])

    measuring.features(snapshot, FAMILIES, tmp_path)
    values, names, schema_hash = measuring.load_features(tmp_path)

    assert np.load(tmp_path / "features.npy").shape == (len(names), 90, len(SYMBOLS))
    assert names == tuple(engine.names)
    assert schema_hash == catalog.schema_hash(chosen)
    np.testing.assert_array_equal(values, expected)


@pytest.mark.parametrize("workers", [2, 5])
def test_any_number_of_workers_writes_the_same_bytes(snapshot: Path, tmp_path: Path, workers: int) -> None:
    """Blocks of symbols for features of their own, all symbols for those that compare them, in any order and some twice."""
    measuring.features(snapshot, FAMILIES, tmp_path / "alone")

    measuring.features(
        snapshot, FAMILIES, tmp_path / "shared", workers=workers, over=lambda work, units: map(work, [*reversed(units), *units[:2]])
    )

    assert bytes_of(tmp_path / "shared") == bytes_of(tmp_path / "alone")


def test_blocks_of_rows_write_the_same_bytes(snapshot: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A history that is longer than what is measured at a time."""
    measuring.features(snapshot, FAMILIES, tmp_path / "whole")

    monkeypatch.setattr(measuring, "MEASURED", 7 * len(SYMBOLS) * len(catalog.select(FAMILIES)))
    measuring.features(snapshot, FAMILIES, tmp_path / "blocks")

    assert bytes_of(tmp_path / "blocks") == bytes_of(tmp_path / "whole")


def test_units_are_every_feature_of_every_symbol_once() -> None:
    """No value is left out and none is measured twice; what compares symbols is handed all of them."""
    chosen = catalog.select(FAMILIES)
    whole = Unit(Path(), Path(), FAMILIES, "cpu", 1, tuple(range(len(chosen))), 0, 17)

    counted = np.zeros((len(chosen), 17), dtype=int)
    for unit in measuring.divided(whole, 3):
        counted[list(unit.places), unit.first : unit.last] += 1
        assert (unit.first, unit.last) == (0, 17) or not any(chosen[place].compares for place in unit.places)

    assert (counted == 1).all()
