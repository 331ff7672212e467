"""Yahoo through the ingest: repaired bars in the store, what they were in quarantine, and nothing asked for or stored twice."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
import yfinance

from domain import params
from domain.clock import ReplayClock
from domain.params import Yahoo as Parameters
from pipelines.data import ingest
from pipelines.data.sources.yahoo import Yahoo
from pipelines.store import Store
from tests.pipelines.data.sources.chart_server import ROOT, Exchange, serving
from tests.pipelines.data.sources.defects import DEFECTS, FOLDER

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason=f"recorded defects of Yahoo are not in {FOLDER}")

#: Nine days of a Japanese stock of which a split of five for one was not taken out.
SPLIT = next(defect for defect in DEFECTS if defect.symbol == "4063.T")
PARAMS = params.load(ROOT / "params.yaml")


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    """Yield a stand-in that answers with the split."""
    yfinance.set_tz_cache_location(str(tmp_path / "zones"))
    with serving() as stand_in:
        SPLIT.serve(stand_in)
        yield stand_in


def test_a_repaired_bar_is_stored_and_what_it_was_is_set_apart(exchange: Exchange, tmp_path: Path) -> None:
    """The days before the split are stored as they were printed, five times the repaired ones; a second run changes nothing."""
    clock = ReplayClock(SPLIT.recorded().index[-1].tz_convert("UTC").to_pydatetime() + timedelta(days=1))
    yahoo = Yahoo(Parameters(retries=0, spacing_s=0.0, settled_days=7, repair=True), exchange.client(), clock=clock)
    market, store = replace(SPLIT.market, source="yahoo"), Store(tmp_path / "store")

    ingest.from_source(market, PARAMS, store, clock=clock, source=yahoo)
    again = ingest.from_source(market, PARAMS, store, clock=clock, source=yahoo)

    bars, apart = store.bars("bad", "1d"), store.read("quarantine")
    repaired = apart.filter(pl.col("reason").str.starts_with("repaired: split"))
    both = bars.join(repaired, on=["symbol", "opened_at"], suffix="_told")
    assert both.height == repaired.height > 0
    twin = SPLIT.twin()["Close"].set_axis(SPLIT.twin().index.date)
    days = both["opened_at"].dt.convert_time_zone("Asia/Tokyo").dt.date()
    assert both["close"].to_list() == pytest.approx([5.0 * twin[day] if day < _ex_date() else twin[day] for day in days])
    assert again.rows == 0
    assert set(store.read("actions")["kind"]) == {"dividend", "split"}


def _ex_date() -> object:
    recorded = SPLIT.recorded()
    return recorded.index[recorded["Stock Splits"] != 0.0][0].date()
