"""Real data: each defect on record is caught, planted ones too, and little else is flagged."""

import os
from datetime import date
from functools import cache
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.quality import defects, measure, planting, twins
from domain.bar import BAR_SCHEMA, IMPOSSIBLE
from pipelines.data.quality import Knowledge, inspection
from pipelines.data.sources import files
from tests.pipelines.data import clean

DATA = Path(os.environ.get("NIGHTSHIFT_DATA", "../shared/data"))
NAMES = (
    "equities_daily_sp500",
    "equities_daily_long",
    "equities_daily_yahoo_adj",
    "equities_daily_broad_pit",
    "equities_1m",
    "equities_1m_extended",
    "equities_5m_extended",
    "index_daily",
    "crypto_1h_long",
    "crypto_1h",
    "crypto_1m",
    "fx_1h",
)

#: False alarms, as a share of rows, of the files with the fewest and the most.
FALSE_MAX = {
    "equities_daily_sp500": 2e-5,
    "equities_daily_long": 1e-4,
    "equities_1m": 2e-5,
    "crypto_1h_long": 2e-4,
    "crypto_1h": 5e-5,
}

DAILY = measure.market("equities_daily_sp500")

pytestmark = [
    pytest.mark.skipif(not DATA.exists(), reason=f"real data is not at {DATA}: set NIGHTSHIFT_DATA"),
    pytest.mark.slow,
]


@cache
def examined(name: str) -> pl.DataFrame:
    """Return one examined file of the shared data; the point-in-time panel has actions beside it."""
    where = measure.market(name)
    known = Knowledge(actions=defects.actions(DATA)) if name == "equities_daily_broad_pit" else Knowledge()
    return inspection.examine(files.read(DATA / f"{name}.parquet", where), where, clean.LIMITS, known)


@pytest.mark.parametrize("name", NAMES)
def test_every_defect_on_record_is_caught(name: str) -> None:
    """The README of the data lists them; rules and dates are written down apart from the detectors."""
    counts = {known.text: measure.caught(examined(name), known) for known in measure.records(name, DATA)}

    missed = {text: listed - got for text, (got, listed) in counts.items()}
    assert missed == dict.fromkeys(counts, 0)
    assert sum(listed for _, listed in counts.values()) > 0


@pytest.mark.parametrize(("name", "share"), FALSE_MAX.items())
def test_few_alarms_are_false(name: str, share: float) -> None:
    """An alarm is false when it is neither on record nor a price that no bar around came near."""
    table = examined(name)

    assert measure.unrecorded(table, name, measure.records(name, DATA))["false"].sum() <= share * len(table)


@pytest.mark.parametrize("name", ["crypto_1h", "crypto_1m", "crypto_1h_long", "fx_1h", "equities_1m", "equities_daily_yahoo_adj"])
def test_no_genuine_bar_is_quarantined(name: str) -> None:
    """These files have no impossible row on record; the lows of BTC in April 2013 are orders that were filled."""
    table = examined(name)

    assert not measure.holds(table, IMPOSSIBLE).any()


def test_the_lows_of_bitcoin_stay_and_are_flagged() -> None:
    """Orders filled in an empty book of 2013, from a fifth of the price to a cent; four are a tenth or a hundredth of it."""
    lows = examined("crypto_1h_long").filter((pl.col("symbol") == "BTCUSD") & (pl.col("low") * 5 < pl.col("close")))

    assert lows["low"].to_list() == [19.9, 15.0, 1.06, 20.0, 0.01, 13.0, 1.0]
    assert lows["price_spike"].all()


def test_genuine_news_is_kept() -> None:
    """AMD gained 52% on 2016-04-22."""
    day = pl.col("opened_at").dt.date() == date(2016, 4, 22)
    found = examined("equities_daily_sp500").filter((pl.col("symbol") == "AMD") & day)

    assert found["price_jump"].to_list() == [True]
    assert not measure.holds(found, IMPOSSIBLE).any()


def test_what_yahoo_gets_wrong_is_caught() -> None:
    """Every bar whose prices differ from the repaired twin is flagged, itself or where the wrong stretch ends."""
    counts = {pair.name: (pair.wrong, pair.caught) for pair in twins.pairs(DATA / "raw" / "yfinance_bad_data", clean.LIMITS)}

    assert sum(wrong for wrong, _ in counts.values()) == 27
    assert all(wrong == caught for wrong, caught in counts.values())


@cache
def sound() -> pl.DataFrame:
    """Return four years of ten symbols, without the rows that have no price."""
    bars = examined("equities_daily_sp500")
    chosen = bars["symbol"].unique().sort()[:10].to_list()
    kept = bars.filter(pl.col("symbol").is_in(chosen) & ~pl.col("missing_price")).sort("symbol", "opened_at")
    return kept.select(*BAR_SCHEMA, day=measure.day(DAILY))


@pytest.mark.parametrize("text", [text for text in planting.PLANTERS if planting.applies(text, DAILY)])
def test_defects_planted_into_real_bars_are_caught(text: str) -> None:
    """At least 95 of 100 are found, and planting one makes no other row look wrong."""
    planter, flags = planting.PLANTERS[text]
    before = measure.holds(inspection.examine(sound(), DAILY, clean.LIMITS), flags).sum()

    frame, rows = planter(sound(), np.random.default_rng(5), 100)
    hit = measure.holds(inspection.examine(frame, DAILY, clean.LIMITS), flags)

    assert len(rows) >= 10
    assert hit.gather(rows).sum() >= 0.95 * len(rows)
    assert hit.sum() - hit.gather(rows).sum() <= before
