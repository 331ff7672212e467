"""Mapped: a panel that is never held whole is the panel that is, to the byte."""

from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain.bar import Defect
from domain.error import NoData
from pipelines.data import materialize
from pipelines.store import Store
from tests.pipelines.data.test_materialize import FIRST, bars, digests, market


@pytest.mark.parametrize("held", [3, 17, 40])
def test_a_panel_larger_than_memory_gives_the_same_bytes(tmp_path: Path, held: int) -> None:
    """Read in stretches of time, kept in files without a name, written symbol by symbol, corrections included."""
    store = Store(tmp_path / "store")
    late = bars().tail(4).with_columns(close=pl.col("close") * 1.5, known_at=FIRST + timedelta(days=9))
    store.upsert("bars", pl.concat([bars(), bars(("CCC",), hours=5, flags=int(Defect.EXTENDED_HOURS)), late]))
    materialize.snapshot(store, market(), tmp_path / "whole")

    materialize.snapshot(store, market(), tmp_path / "parts", held=held)
    panel = materialize.load_panel(tmp_path / "parts", held=held)

    assert digests(tmp_path / "parts") == digests(tmp_path / "whole")
    assert panel.symbols == ("AAA", "BBB")
    assert isinstance(panel.close, np.memmap)
    assert materialize.digest(panel) == materialize.load_snapshot(tmp_path / "whole").digest


def test_nothing_to_stack_is_one_sentence(tmp_path: Path) -> None:
    """Bars of extended hours alone make no panel."""
    store = Store(tmp_path / "store")
    store.upsert("bars", bars(hours=3, flags=int(Defect.EXTENDED_HOURS)))

    with pytest.raises(NoData, match=r"no whole one of a member in its regular hours"):
        materialize.read(store, market(), place=tmp_path, held=2)
