"""Universe: what existed then, and nothing that only hindsight knows."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain import bar, session
from domain.market import Market, Universe
from pipelines.data import universe
from pipelines.data.universe import Membership
from pipelines.store import TABLES, Store
from tests.pipelines.data.sources import shelf

#: Ten sessions from Monday the 4th of March 2024.
DAYS = session.sessions("XNYS", date(2024, 3, 4), date(2024, 3, 15))


def market(**rules: object) -> Market:
    """Return a daily stock market whose universe follows rules."""
    return replace(shelf.equity("1d"), universe=Universe(**rules))  # type: ignore[arg-type]


def bars(symbol: str, days: Sequence[int], close: float = 10.0, volume: float = 1.0) -> pl.DataFrame:
    """Return the bars of a symbol on some of DAYS."""
    rows = [
        {"market": "shelf", "symbol": symbol, "timeframe": "1d", "opened_at": DAYS["opened_at"][day], "event_at": evening(day),
         "known_at": evening(day), **dict.fromkeys(("open", "high", "low", "close"), close), "volume": volume, "flags": 0}
        for day in days
    ]  # fmt: skip
    return bar.conform(pl.DataFrame(rows))


def told(*rows: tuple[str, str, datetime, datetime]) -> pl.DataFrame:
    """Return rows of the table `listings`: symbol, kind, when, known when."""
    table = [
        {"market": "shelf", "symbol": s, "event_at": at, "known_at": known, "kind": kind, "sector": None}
        for s, kind, at, known in rows
    ]
    return pl.DataFrame(table, schema=TABLES["listings"].schema)


def evening(day: int) -> datetime:
    """Return the close of one of DAYS."""
    closed: datetime = DAYS["closed_at"][day]
    return closed


def test_a_silent_symbol_is_gone_after_its_grace_and_not_before() -> None:
    """With three sessions of grace its last bar of Tuesday holds it until Thursday's evening is past."""
    table = pl.concat([bars("GOES", [0, 1]), bars("STAYS", range(10))])

    found = [universe.at(table, told(), market(grace_sessions=3), evening(day)) for day in (1, 2, 3, 4)]

    assert found == [("GOES", "STAYS")] * 3 + [("STAYS",)]


def test_a_symbol_is_not_there_before_its_first_bar() -> None:
    """Nobody knew on Monday what would be listed on Friday."""
    table = pl.concat([bars("NEW", [4, 5]), bars("OLD", range(10))])

    assert universe.at(table, told(), market(), evening(3)) == ("OLD",)
    assert universe.at(table, told(), market(), evening(4)) == ("NEW", "OLD")
    assert universe.at(table, told(), market(), evening(0) - timedelta(days=7)) == ()


def test_a_told_delisting_counts_once_it_is_known_and_until_a_new_listing() -> None:
    """What still trades over the counter is no member; what comes back is one."""
    table = bars("ABC", range(10))
    words = told(("ABC", "delisted", evening(2), evening(4)), ("ABC", "listed", evening(7), evening(7)))

    found = [universe.at(table, words, market(), evening(day)) for day in (3, 4, 6, 7)]

    assert found == [("ABC",), (), (), ("ABC",)]


def test_at_noon_yesterdays_bars_are_fresh() -> None:
    """A session under way has not been missed yet."""
    assert universe.at(bars("ABC", [0, 1]), told(), market(grace_sessions=1), DAYS["opened_at"][2]) == ("ABC",)


def change(old: str, new: str, day: int) -> pl.DataFrame:
    """Return a change of symbol at the open of one of DAYS."""
    moment = DAYS["opened_at"][day]
    row = {
        "market": "shelf",
        "symbol": old,
        "event_at": moment,
        "known_at": moment,
        "kind": "symbol_change",
        "value": None,
        "other": new,
    }
    return pl.DataFrame([row], schema=TABLES["actions"].schema)


def test_a_renamed_company_keeps_its_history_under_the_newest_name() -> None:
    """FB became META became METB; who was META before is somebody else."""
    table = pl.concat([bars("FB", [0, 1, 2]), bars("META", [0, 1], close=3.0), bars("META", [3, 4, 5]), bars("METB", [6, 7])])
    changes = pl.concat([change("FB", "META", 3), change("META", "METB", 6)])

    found = universe.named(table, changes)

    counts = dict(found.group_by("symbol").len().sort("symbol").rows())
    assert counts == {"METB": 8, "META@2024-03-07": 2}
    assert found.filter(symbol="META@2024-03-07")["close"].unique().to_list() == [3.0]
    assert universe.names(changes, ["METB"]) == ["FB", "META", "METB"]


def test_a_live_traders_column_keeps_the_name_that_it_was_opened_with() -> None:
    """Its position is in FB, whatever the exchange calls it now, even when only the last days are read."""
    found = universe.named(bars("META", [3, 4]), change("FB", "META", 3), ("FB",))

    assert found["symbol"].to_list() == ["FB", "FB"]


def test_a_vendor_that_renamed_its_history_already_is_left_alone() -> None:
    """There is nothing under the old symbol to join."""
    table = bars("META", range(6))

    assert universe.named(table, change("FB", "META", 3)).equals(table)


def wide(seed: int, count: int = 90, symbols: int = 12) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return random money traded and closes [T, S] with holes and a symbol that ends, and the sessions' numbers."""
    random = np.random.default_rng(seed)
    close = random.uniform(2, 20, (count, symbols))
    close[random.random(close.shape) < 0.1] = np.nan
    close[50:, 3] = np.nan
    close[:40, 5] = np.nan
    traded = np.where(np.isnan(close), np.nan, close * random.uniform(1, 1e6, close.shape))
    return traded, close, np.arange(count)


def naive(traded: np.ndarray, close: np.ndarray, rules: Universe, gone: np.ndarray) -> np.ndarray:
    """Return membership by a loop over days, symbols and their own last bars."""
    out = np.zeros(close.shape, dtype=bool)
    for t in range(len(close)):
        sizes = {}
        for s in range(close.shape[1]):
            had = [row for row in range(t) if not np.isnan(close[row, s])]
            if len(had) >= rules.window_bars and t - had[-1] <= rules.grace_sessions and close[had[-1], s] >= rules.price_min:
                sizes[s] = float(traded[had[-rules.window_bars :], s].mean())
        best = sorted((s for s in sizes if not gone[t, s]), key=lambda s: (-sizes[s], s))[: rules.top]
        out[t, best] = True
    return out


NAMES = [f"S{s:02d}" for s in range(12)]
RULES = [
    Universe(top=4, window_bars=5),
    Universe(price_min=8.0, window_bars=1),
    Universe(top=3, price_min=5.0, window_bars=10, grace_sessions=2),
]


@pytest.mark.parametrize("rules", RULES)
def test_members_are_those_that_a_loop_chooses(rules: Universe) -> None:
    """By the bars before alone, holes, endings and late beginnings included."""
    traded, close, ordinal = wide(4)
    gone = np.zeros(close.shape, dtype=bool)
    gone[70:, 0] = True

    found = Membership.of(rules, NAMES).advance(traded, close, ordinal, gone)

    np.testing.assert_array_equal(found, naive(traded, close, rules, gone))
    assert found.any()


@pytest.mark.parametrize("rules", RULES)
def test_members_do_not_depend_on_what_comes_later_nor_on_chunks(rules: Universe) -> None:
    """Bar by bar, in lumps, or with the future cut off."""
    traded, close, ordinal = wide(5)
    gone = np.zeros(close.shape, dtype=bool)
    whole = Membership.of(rules, NAMES).advance(traded, close, ordinal, gone)

    walking = Membership.of(rules, NAMES)
    edges = [0, 1, 2, 3, 17, 50, 51, 90]
    parts = [walking.advance(traded[a:b], close[a:b], ordinal[a:b], gone[a:b]) for a, b in pairwise(edges)]
    cut = Membership.of(rules, NAMES).advance(traded[:60], close[:60], ordinal[:60], gone[:60])

    np.testing.assert_array_equal(np.concatenate(parts), whole)
    np.testing.assert_array_equal(cut, whole[:60])


def test_delistings_hold_from_the_first_bar_that_opens_when_they_are_known() -> None:
    """Told on Wednesday for Monday: Thursday's bar is the first without it."""
    opened = session.naive(DAYS["opened_at"])
    words = told(("B", "delisted", evening(0), evening(2)), ("B", "listed", evening(5), evening(5)))

    found = universe.delisted(words, ["A", "B"], opened)

    assert found[:, 0].any() is np.False_
    assert np.flatnonzero(found[:, 1]).tolist() == [3, 4, 5]


def test_the_evenings_of_2015_and_2016_hold_exactly_what_was_printed() -> None:
    """Of 778 symbols that came and went: with one session of grace, those of the evening; with five, those of the last five."""
    frame = pl.read_parquet(shelf.real("equities_daily_broad_pit.parquet")).sort("symbol", "session")
    hours = session.sessions("XNYS", date(2015, 3, 1), date(2016, 12, 1)).select("session", "opened_at", "closed_at")
    table = frame.join(hours, on="session", maintain_order="left").with_columns(known_at="closed_at")
    days = hours["session"].filter(hours["session"].is_in(frame["session"].unique().implode()))
    random = np.random.default_rng(1)

    for day in [*random.choice(len(days) - 5, 25, replace=False).tolist(), len(days) - 1]:
        now = hours.filter(session=days[day])["closed_at"][0]
        last = hours.filter(pl.col("session") <= days[day])["session"].tail(5)
        for grace, window in ((1, last.tail(1)), (5, last)):
            expected = frame.filter(pl.col("session").is_in(window.implode()))["symbol"].unique().sort().to_list()
            assert list(universe.at(table, told(), market(grace_sessions=grace), now)) == expected


def test_what_ended_early_is_a_member_for_five_sessions_more_and_what_began_late_not_before() -> None:
    """Fifteen symbols of the point-in-time panel end before its last months; WINS of the long histories lists in October 2015."""
    frame = pl.read_parquet(shelf.real("equities_daily_broad_pit.parquet"))
    hours = session.sessions("XNYS", date(2015, 1, 1), date(2017, 3, 1)).select("session", "opened_at", "closed_at")
    table = frame.join(hours, on="session").with_columns(known_at="closed_at")
    ends = table.group_by("symbol").agg(pl.col("session").max()).filter(pl.col("session") < date(2016, 9, 1)).sort("symbol")
    long = pl.read_parquet(shelf.real("equities_daily_long.parquet")).filter(pl.col("session") >= date(2015, 6, 1))
    long = long.join(hours, on="session").with_columns(known_at="closed_at")

    assert ends.height == 15
    for symbol, ended in ends.rows():
        evenings = hours.filter(pl.col("session") >= ended)["closed_at"]
        assert [symbol in universe.at(table, told(), market(), evenings[after]) for after in (0, 4, 5, 30)] == [
            True,
            True,
            False,
            False,
        ]
    first = hours.filter(session=date(2015, 10, 29)).row(0, named=True)
    assert "WINS" not in universe.at(long, told(), market(), first["opened_at"])
    assert "WINS" in universe.at(long, told(), market(), first["closed_at"])


def test_nothing_was_told_of_a_market_without_listings(tmp_path: Path) -> None:
    """The table need not exist."""
    assert universe.listings(Store(tmp_path), market(), datetime(2024, 1, 1, tzinfo=UTC)).is_empty()
