"""Real data: each defect on record is caught, planted ones too, and little else is flagged."""

import os
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.quality import measure, planting, recorded
from domain.bar import BAR_SCHEMA
from pipelines.data.quality import inspection
from pipelines.data.sources import files
from tests.pipelines.data import clean

DATA = Path(os.environ.get("NIGHTSHIFT_DATA", "../shared/data"))
NAMES = (
    "equities_daily_sp500",
    "equities_daily_long",
    "equities_1m",
    "equities_1m_extended",
    "equities_5m_extended",
    "index_daily",
)

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason=f"real data is not at {DATA}: set NIGHTSHIFT_DATA"),
    pytest.mark.slow,
]


@cache
def examined(name: str) -> pl.DataFrame:
    """Return one examined file of the shared data."""
    where = measure.market(name)
    return inspection.examine(files.read(DATA / f"{name}.parquet", where), where, clean.LIMITS)


@pytest.mark.parametrize("name", NAMES)
def test_every_defect_on_record_is_caught(name: str) -> None:
    """The README of the data lists them; rules and dates are written down apart from the detectors."""
    counts = {known.text: measure.caught(examined(name), known) for known in recorded.RECORDED[name]}

    assert {text: got for text, (got, _) in counts.items()} == {text: listed for text, (_, listed) in counts.items()}
    assert sum(listed for _, listed in counts.values()) > 0


@pytest.mark.parametrize(("name", "share"), [("equities_daily_sp500", 5e-5), ("equities_daily_long", 2e-4), ("equities_1m", 5e-5)])
def test_little_else_is_flagged(name: str, share: float) -> None:
    """Outliers that are not on record, genuine crashes included, stay below a few in a hundred thousand bars."""
    table = examined(name)

    assert len(measure.unrecorded(table, name)) <= share * len(table)


@cache
def sound() -> pl.DataFrame:
    """Return four years of ten symbols, without the rows that have no price."""
    bars = examined("equities_daily_sp500")
    chosen = bars["symbol"].unique().sort()[:10].to_list()
    kept = bars.filter(pl.col("symbol").is_in(chosen) & ~pl.col("missing_price"))
    return kept.sort("symbol", "opened_at").select(list(BAR_SCHEMA))


@pytest.mark.parametrize("text", planting.PLANTERS)
def test_defects_planted_into_real_bars_are_caught(text: str) -> None:
    """At least 95 of 100 are found, and planting one makes no other row look wrong."""
    planter, flags = planting.PLANTERS[text]
    where = measure.market("equities_daily_sp500")
    before = measure.holds(inspection.examine(sound(), where, clean.LIMITS), flags).sum()

    frame, rows = planter(sound(), np.random.default_rng(5), 100)
    hit = measure.holds(inspection.examine(frame, where, clean.LIMITS), flags)

    assert len(rows) >= 90
    assert hit.gather(rows).sum() >= 0.95 * len(rows)
    assert hit.sum() - hit.gather(rows).sum() <= before
