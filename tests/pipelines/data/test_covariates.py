"""Covariates: what a panel is told beside its bars, as it was known at each close."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain import params as parameters
from features import catalog, indicators
from pipelines.data import covariates, materialize
from pipelines.data.covariates import Wanted
from pipelines.store import TABLES, Store
from tests.pipelines.data.test_materialize import FIRST, bars, market

ROOT = Path(__file__).parents[3]
SECTORS = indicators.difference("sector", "close")
PARAMS = parameters.load(ROOT / "params.yaml", "sim_crypto", "tiny")


def wanted(*families: str) -> Wanted:
    """Return what the families of the catalogue read."""
    return Wanted.by(PARAMS, catalog.select(families))


def listing(symbol: str, sector: str | None, hour: float, late: float = 0.0) -> dict[str, object]:
    """Return a row that tells a sector from an hour on, known so many hours later."""
    at = FIRST + timedelta(hours=hour)
    known = at + timedelta(hours=late)
    return {"market": "sim_crypto", "symbol": symbol, "event_at": at, "known_at": known, "kind": "sector", "sector": sector}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with bars, a late sector, a headline and a series."""
    filled = Store(tmp_path / "store")
    filled.upsert("bars", bars())
    told = [
        listing("AAA", "metals", 0),
        listing("BBB", "banks", 0, late=2.5),
        listing("AAA", "banks", 10.5),
        listing("ZZZ", "x", 1),
    ]
    filled.upsert("listings", pl.DataFrame(told, schema=TABLES["listings"].schema))
    told_at = FIRST + timedelta(hours=4, minutes=30)
    news = {"market": "sim_crypto", "symbol": "AAA", "headline": "Profit beats", "source": "s", "sentiment": 1.0}
    filled.upsert("news", pl.DataFrame([{**news, "event_at": told_at, "known_at": told_at}], schema=TABLES["news"].schema))
    published = datetime(2024, 1, 1, 6, 30, tzinfo=UTC)
    series = {"source": "s", "series": "VIX", "event_at": FIRST - timedelta(days=1), "known_at": published, "value": 17.0}
    filled.upsert("macro", pl.DataFrame([series], schema=TABLES["macro"].schema))
    return filled


def test_only_what_a_feature_reads_is_joined(store: Store) -> None:
    """A market that uses no headline pays for none."""
    plain = materialize.read(store, market(), wanted=wanted("momentum", "volume"))
    told = materialize.read(store, market(), wanted=wanted("news", "macro"))

    assert not plain.covariates
    assert {name.split("_")[0] for name in told.covariates} == {"news", "macro"}
    assert Wanted.by(PARAMS).names == frozenset()


def test_a_sector_counts_from_the_close_by_which_it_was_told(store: Store) -> None:
    """By hand: AAA is in metals until its bar that closes at 11:00, BBB's sector was told at 02:30 and counts at 03:00."""
    panel = materialize.read(store, market(), wanted=Wanted.by(PARAMS, (SECTORS,)))
    sector = panel.covariates["sector"]

    assert np.isnan(sector[:2, 1]).all()
    assert (sector[2:, 1] == sector[10, 0]).all()
    assert len({*sector[:10, 0]}) == 1
    assert sector[9, 0] != sector[10, 0]


def test_a_new_sector_leaves_the_numbers_of_the_others(store: Store) -> None:
    """By hand: metals at 00:00, x at 01:00, banks, known at 02:30; airlines come last although their name is the first."""
    before = materialize.read(store, market(), wanted=Wanted.by(PARAMS, (SECTORS,))).covariates["sector"]
    told = [listing("BBB", "airlines", 20), listing("CCC", "zinc", 20)]
    store.upsert("listings", pl.DataFrame(told, schema=TABLES["listings"].schema))

    after = materialize.read(store, market(), wanted=Wanted.by(PARAMS, (SECTORS,))).covariates["sector"]

    assert before[[0, 10, 2], [0, 0, 1]].tolist() == [0.0, 2.0, 2.0]
    np.testing.assert_array_equal(after[:19], before[:19])
    assert after[20, 1] == 3.0


def test_nothing_is_seen_before_it_was_known(store: Store) -> None:
    """The headline of 04:30 stands in the bar that closes at 05:00, the series of 06:30 in the one that closes at 07:00."""
    panel = materialize.read(store, market(), wanted=wanted("news", "macro"))

    assert np.flatnonzero(panel.covariates["news_sentiment_1d"][:, 0]).tolist() == [4]
    assert panel.covariates["news_sentiment_1d"][4, 0] == pytest.approx(0.5 ** (0.5 / 24))
    np.testing.assert_array_equal(panel.covariates["macro_vix"][:, 0], [np.nan] * 6 + [17.0] * 24)


def test_a_snapshot_keeps_what_was_joined(store: Store, tmp_path: Path) -> None:
    """Training reads the frozen covariates, which are part of its digest."""
    taken = materialize.snapshot(store, market(), tmp_path / "told", wanted=wanted("news"))
    plain = materialize.snapshot(store, market(), tmp_path / "plain")

    found = materialize.load_panel(tmp_path / "told")

    read = materialize.read(store, market(), wanted=wanted("news"))
    assert taken.digest != plain.digest
    assert found.covariates.keys() == read.covariates.keys()
    for name, values in read.covariates.items():
        np.testing.assert_array_equal(found.covariates[name], values)


def test_a_live_panel_goes_on_where_the_one_before_ended(store: Store) -> None:
    """Rows that are read later hold what the whole history holds there: nothing is counted twice, nothing lost."""
    asked = wanted("news", "macro")
    whole = materialize.read(store, market(), wanted=asked)

    for first in (4, 5, 7):
        later = materialize.read(store, market()).rows(first, whole.bars)
        joined = covariates.joined(store, market(), later, asked, whole.event_at[first - 1])
        for name, values in whole.covariates.items():
            np.testing.assert_array_equal(joined.covariates[name], values[first:], err_msg=name)
