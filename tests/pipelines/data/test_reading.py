"""Reading: what a market's readers see of its stored bars, at once, in stretches, and as they come."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain import session
from domain.bar import Defect
from domain.market import Market, Universe
from pipelines.data import materialize, quality, reading
from pipelines.data.reading import Following
from pipelines.data.sources import files
from pipelines.store import TABLES, Store
from tests.pipelines.data import clean
from tests.pipelines.data.sources import shelf


def action(symbol: str, day: date, kind: str, value: float | None, other: str | None = None) -> dict[str, object]:
    """Return a row of the table `actions` at the open of a day in New York."""
    opened = session.sessions("XNYS", day, day + timedelta(days=5))["opened_at"][0]
    return {
        "market": "tested",
        "symbol": symbol,
        "event_at": opened,
        "known_at": opened,
        "kind": kind,
        "value": value,
        "other": other,
    }


ACTIONS = [
    action("S0", date(2024, 2, 5), "split", 3.0), action("S1", date(2024, 2, 20), "dividend", 1.5),
    action("S0", date(2024, 3, 12), "spinoff", 4.0), action("S2", date(2024, 2, 14), "symbol_change", None, "NEW"),
    action("NEW", date(2024, 3, 4), "dividend", 2.0),
]  # fmt: skip


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Return a store with five symbols of two daily months and their actions; S2 becomes NEW, S4 ends early."""
    store, where = Store(tmp_path_factory.mktemp("store")), clean.market()
    table = clean.bars(where, date(2024, 1, 2), date(2024, 4, 19), symbols=5)
    changed = pl.lit(datetime(2024, 2, 14, tzinfo=UTC))
    at = pl.col("opened_at")
    table = table.with_columns(symbol=pl.when((pl.col("symbol") == "S2") & (at >= changed)).then(pl.lit("NEW")).otherwise("symbol"))
    store.upsert("bars", table.filter(~((pl.col("symbol") == "S4") & (at >= datetime(2024, 3, 15, tzinfo=UTC)))))
    store.upsert("actions", pl.DataFrame(ACTIONS, schema=TABLES["actions"].schema))
    return store


MARKETS = {
    "plain": clean.market(),
    "chosen": replace(clean.market(), universe=Universe(top=2, window_bars=5, grace_sessions=3)),
    "weekly": replace(clean.market(), timeframe="1w", stored="1d"),
    "chosen weeks": replace(clean.market(), timeframe="1w", stored="1d", universe=Universe(top=3, window_bars=2)),
}


@pytest.mark.parametrize("where", MARKETS.values(), ids=MARKETS.keys())
def test_stretches_of_time_give_what_one_reading_gives(stored: Store, where: Market) -> None:
    """Factors, weeks and members go on over the seams, to the bit."""
    whole = reading.bars(stored, where)

    parts = list(reading.batches(stored, where, rows=40))

    assert len(parts) > 5
    assert pl.concat(parts).sort("symbol", "opened_at").equals(whole)


@pytest.mark.parametrize("where", MARKETS.values(), ids=MARKETS.keys())
def test_what_is_told_as_it_comes_is_what_one_reading_gives(stored: Store, where: Market, tmp_path: Path) -> None:
    """A live trader hears of each bar once: day by day, over every action, and after a week without a look."""
    bars, store = stored.bars("tested", "1d"), Store(tmp_path)
    store.upsert("actions", stored.read("actions"))
    following = Following(store, where)
    assert following.news().is_empty()

    told = []
    for first, last in pairwise(
        [date(2024, 1, 1), *(date(2024, 2, day) for day in range(1, 23)), date(2024, 3, 11), date(2024, 5, 1)]
    ):
        day = pl.col("opened_at").dt.date()
        if (fresh := bars.filter((day >= first) & (day < last))).height:
            store.upsert("bars", fresh)
        told.append(following.news())

    assert pl.concat([part for part in told if part.height]).sort("symbol", "opened_at").equals(reading.bars(store, where))
    assert following.news().is_empty()


def test_an_action_that_is_told_of_later_tells_all_bars_again(stored: Store, tmp_path: Path) -> None:
    """They are others now: a split that nobody knew of had moved no price."""
    bars, store, split = stored.bars("tested", "1d"), Store(tmp_path), stored.read("actions").filter(pl.col("kind") == "split")
    store.upsert("bars", bars)
    following = Following(store, clean.market())
    before = following.news()

    store.upsert("actions", split)
    after = following.news()

    assert after.equals(reading.bars(store, clean.market()))
    assert after["close"].sum() != before["close"].sum()


@pytest.mark.parametrize("where", MARKETS.values(), ids=MARKETS.keys())
def test_what_was_known_is_the_beginning_of_what_is_known(stored: Store, where: Market) -> None:
    """No later action, bar or delisting changes a row that was shown."""
    evening = datetime(2024, 3, 13, 21, tzinfo=UTC)

    then, now = reading.bars(stored, where, known_at=evening), reading.bars(stored, where)

    assert then.equals(now.filter(pl.col("event_at") <= evening))


def test_a_panel_holds_total_returns_of_companies_under_their_newest_names(stored: Store) -> None:
    """Each action by hand: what is left over of the move from the close before is the market's."""
    panel = materialize.read(stored, clean.market())
    raw = stored.bars("tested", "1d")
    column = {symbol: s for s, symbol in enumerate(panel.symbols)}
    days = panel.opened_at.astype("datetime64[D]")

    assert panel.symbols == ("NEW", "S0", "S1", "S3", "S4")
    by_hand = (
        ("S0", date(2024, 2, 5), 0, 3), ("S1", date(2024, 2, 20), 1.5, 1),
        ("S0", date(2024, 3, 12), 4, 1), ("NEW", date(2024, 3, 4), 2, 1),
    )  # fmt: skip
    for symbol, day, cash, shares in by_hand:
        t = int(np.flatnonzero(days == np.datetime64(day))[0])
        before, after = (
            raw.filter((pl.col("symbol") == symbol) & (pl.col("opened_at").dt.date() == d.item()))["close"][0]
            for d in (days[t - 1], days[t])
        )
        found = panel.close[t, column[symbol]] / panel.close[t - 1, column[symbol]]
        assert found == pytest.approx(after * shares / (before - cash), rel=1e-12)
    factor = panel.covariates["adjustment"]
    s3 = raw.filter(symbol="S3")["close"].to_numpy()
    np.testing.assert_array_equal(panel.close[:, column["S3"]], s3)
    np.testing.assert_allclose((panel.close / factor)[:, column["S0"]], raw.filter(symbol="S0")["close"].to_numpy(), rtol=1e-12)


def test_the_symbols_of_a_trader_keep_their_names_over_a_change(stored: Store) -> None:
    """Opened with S2, it goes on under S2."""
    panel = materialize.read(stored, clean.market(), symbols=("S2", "S0"))

    assert panel.symbols == ("S2", "S0")
    assert not np.isnan(panel.close[:, 0]).any()


def test_members_are_missing_where_they_are_none(stored: Store) -> None:
    """Two of five symbols a day; columns are those that ever were."""
    panel = materialize.read(stored, MARKETS["chosen"])

    assert (panel.present.sum(axis=1) <= 2).all()
    assert panel.present.any(axis=0).all()
    assert panel.bars == len(session.sessions("XNYS", date(2024, 1, 2), date(2024, 4, 19))) - 5


@pytest.mark.parametrize("where", MARKETS.values(), ids=MARKETS.keys())
def test_a_snapshot_larger_than_memory_is_the_same(stored: Store, where: Market, tmp_path: Path) -> None:
    """Read in stretches of forty bars, with the same digest."""
    small = materialize.snapshot(stored, where, tmp_path / "small")
    large = materialize.snapshot(stored, where, tmp_path / "large", held=40)

    assert large == small
    assert "adjustment" in large.covariates
    for folder, held in (("small", 1 << 21), ("large", 40)):
        found = materialize.load_panel(tmp_path / folder, held=held)
        expected = materialize.read(stored, where)
        np.testing.assert_array_equal(found.covariates["adjustment"], expected.covariates["adjustment"])
        assert found.covariates["adjustment"].flags.writeable


def test_covariates_that_begin_late_are_unknown_before(tmp_path: Path) -> None:
    """Spreads that a source tells from February on only: in memory and in stretches the same panel, on disk too."""
    store, where = Store(tmp_path / "store"), clean.market()
    table = clean.bars(where, date(2024, 1, 2), date(2024, 3, 28))
    told = pl.col("opened_at").is_between(datetime(2024, 2, 1, tzinfo=UTC), datetime(2024, 3, 1, tzinfo=UTC))
    store.upsert("bars", table.with_columns(spread=pl.when(told).then(0.01)))

    small = materialize.snapshot(store, where, tmp_path / "small")
    large = materialize.snapshot(store, where, tmp_path / "large", held=20)

    assert small == large
    spread = materialize.load_panel(tmp_path / "large").covariates["spread"]
    assert np.isnan(spread).sum() == spread.size - table.filter(told).height


def test_extended_hours_are_in_a_panel_where_the_market_wants_them(tmp_path: Path) -> None:
    """The flag of quality says which bars those are."""
    store, where = Store(tmp_path), replace(clean.market("XNYS", "1h"))
    table = clean.bars(where, date(2024, 1, 2), date(2024, 1, 3), symbols=1)
    early = table.head(1).with_columns(
        pl.col("opened_at", "event_at", "known_at") - pl.duration(hours=1), flags=pl.lit(int(Defect.EXTENDED_HOURS), pl.Int64)
    )
    store.upsert("bars", pl.concat([early, table]))

    assert materialize.read(store, where).bars == 14
    assert materialize.read(store, replace(where, hours="extended")).bars == 15


def test_an_index_without_volume_goes_through_quality_and_panel(tmp_path: Path) -> None:
    """VIX and two price indices: no volume, bars without a range, and weeks of them."""
    where, store = replace(clean.market(), name="shelf"), Store(tmp_path)
    table = files.read(shelf.real("index_daily.parquet"), where).filter(pl.col("opened_at") >= datetime(2012, 1, 1, tzinfo=UTC))
    kept = quality.inspect(table, where, clean.LIMITS).kept
    store.upsert("bars", kept)

    panel, weeks = materialize.read(store, where), materialize.read(store, replace(where, timeframe="1w", stored="1d"))

    assert len(panel.symbols) == 3
    assert panel.present.sum() == kept.height > 0.98 * table.height
    assert weeks.bars == len({tuple(day.isocalendar())[:2] for day in panel.opened_at.astype("datetime64[D]").tolist()}) - 1
