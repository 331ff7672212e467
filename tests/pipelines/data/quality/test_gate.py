"""The gate: rows of other tables into the store, impossible ones into quarantine whole, and again without a trace."""

import json
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from domain.clock import Clock
from pipelines.data import quality
from pipelines.store import Store
from tests.pipelines.data import clean
from tests.pipelines.data.quality import ticks_made as made

CRYPTO = replace(clean.market("24/7", "1h"), name="crypto")
QUOTES = made.quotes(60)


@dataclass(frozen=True)
class Standing(Clock):
    """A clock that stands still, long after the ticks."""

    def now(self) -> datetime:
        return datetime(2025, 1, 1, tzinfo=UTC)

    def monotonic_ns(self) -> int:
        return 0


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path)


def keep(store: Store, table: str, frame: pl.DataFrame) -> quality.Kept:
    """Give rows to the gate as an importer does."""
    return quality.keep(table, frame, CRYPTO, clean.LIMITS, store, source="test", clock=Standing())


@pytest.mark.fault("F31", "F32", "F35")
def test_possible_rows_are_stored_and_impossible_ones_lie_whole_in_quarantine(store: Store) -> None:
    """From the JSON the row can be built again; the count of each rule is in the table `quality`."""
    crossed = made.change(QUOTES, 7, bid=61_000.0, ask=60_999.0)

    kept = keep(store, "quotes", crossed)

    apart = store.read("quarantine", where={"market": CRYPTO.name, "timeframe": "quotes"})
    row = json.loads(apart["row"][0])
    assert (kept.rows, kept.kept, kept.quarantined, kept.defects["crossed"]) == (60, 59, 1, 1)
    assert store.read("quotes").height == 59
    assert (row["bid"], row["ask"], row["sequence"]) == (61_000.0, 60_999.0, 7)
    assert apart["event_at"][0] == crossed["event_at"][7]
    counted = store.read("quality", where={"market": CRYPTO.name, "timeframe": "quotes"})
    assert ("crossed", 1) in counted.select("defect", "rows").rows()


def test_the_same_rows_again_change_nothing(store: Store) -> None:
    """Neither the table nor quarantine get a new version."""
    crossed = made.change(QUOTES, 7, bid=61_000.0, ask=60_999.0)
    first = keep(store, "quotes", crossed)
    before = store.version("quarantine")

    again = keep(store, "quotes", crossed)

    assert (again.version, store.version("quarantine")) == (first.version, before)


def test_trades_are_judged_by_the_quotes_that_are_stored(store: Store) -> None:
    """A trade far outside the quotes is kept and counted."""
    keep(store, "quotes", QUOTES)
    wrong = made.change(made.trades(QUOTES), 30, price=60_400.0)

    kept = keep(store, "trades", wrong)

    assert (kept.kept, kept.flagged) == (60, 1)
    assert kept.defects["outside_quote"] == 1


def test_actions_are_judged_by_the_bars_that_are_stored(store: Store) -> None:
    """A split that no price moved with is kept and counted."""
    daily = clean.market()
    bars = clean.bars(daily, date(2024, 1, 2), date(2024, 6, 28), symbols=1)
    store.upsert("bars", bars)
    at = bars["opened_at"][60]
    split = made.rows("actions", symbol=["S0"], event_at=[at], known_at=[at], kind=["split"], value=[2.0])

    kept = quality.keep("actions", split, daily, clean.LIMITS, store, source="test", clock=Standing())

    assert kept.defects == {"factor_implausible": 1}
    assert store.read("actions").height == 1


def test_an_empty_frame_stores_nothing(store: Store) -> None:
    """No version, no count."""
    kept = keep(store, "quotes", QUOTES[:0])

    assert (kept.rows, kept.version) == (0, -1)
    assert store.tables() == []
