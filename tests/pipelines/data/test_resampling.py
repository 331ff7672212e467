"""Resampling: longer bars from shorter ones, against the bars that others made of the same trades."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from domain import bar, session
from domain.market import Market
from pipelines.data import resampling
from pipelines.data.sources import files
from tests.pipelines.data import clean
from tests.pipelines.data.sources import shelf

PRICES = ("open", "high", "low", "close")


def both(fine: str, coarse: str, finer: Market, market: Market) -> pl.DataFrame:
    """Return the bars made of one shared file beside those of another."""
    made = resampling.resampled(files.read(shelf.real(fine), finer), market)
    return made.join(files.read(shelf.real(coarse), market), on=["symbol", "opened_at"], suffix="_theirs")


def apart(table: pl.DataFrame, name: str) -> np.ndarray:
    """Return the relative distance of a column from theirs."""
    return (table[name] / table[f"{name}_theirs"] - 1.0).abs().to_numpy()


def test_minutes_of_bitfinex_are_its_hours() -> None:
    """Three months of two coins, minutes without trades absent: all 4,318 hours equal to the last bit, volume too."""
    table = both("crypto_1m.parquet", "crypto_1h_long.parquet", shelf.crypto("1m"), shelf.crypto("1h"))

    assert table.height == 4318
    for name in (*PRICES, "volume"):
        assert (apart(table, name) == 0).all()


def test_five_minutes_of_binance_are_its_hours() -> None:
    """Both come from the exchange: 33,432 hours, of which it tells six opens otherwise itself."""
    table = both("crypto_5m.parquet", "crypto_1h.parquet", shelf.crypto("5m"), shelf.crypto("1h"))

    assert table.height == 33_432
    assert (apart(table, "close") == 0).all()
    assert [int((apart(table, name) > 0).sum()) for name in ("open", "high", "low")] == [6, 1, 1]
    np.testing.assert_allclose(table["volume"], table["volume_theirs"], rtol=1e-15)


def test_minutes_of_new_york_are_the_five_minutes_of_another_vendor() -> None:
    """SPY in July 2025, a half day among them: two feeds print closes within a cent and a half of 600 dollars of each other."""
    table = both("equities_1m_extended.parquet", "equities_5m.parquet", shelf.equity("1m"), shelf.equity("5m"))

    assert table.height == 1602
    assert apart(table, "close").max() < 4e-5
    assert np.quantile(apart(table, "open"), 0.99) < 1e-5
    half = table.filter(pl.col("opened_at").dt.date() == date(2025, 7, 3))
    assert half["opened_at"].max() == datetime(2025, 7, 3, 16, 55, tzinfo=UTC)


def test_hours_of_currencies_are_four_hours_from_five_in_new_york() -> None:
    """One terminal's EURUSD hours and another's four hours, 2017 and 2018, both sides of every change of the clocks."""
    table = both("raw/other_csv/EURUSD.csv", "fx_4h.parquet", shelf.fx("1h"), shelf.fx("4h"))

    assert table.height > 1000
    assert np.quantile(apart(table, "close"), 0.95) < 5e-4


@pytest.mark.parametrize(("calendar", "fine", "coarse"), [("XNYS", "5m", "30m"), ("24/7", "15m", "2h"), ("24/5", "1h", "4h")])
def test_what_was_made_is_the_grid_of_the_calendar(calendar: str, fine: str, coarse: str) -> None:
    """No bar is missing, none begins elsewhere, and a half day ends early."""
    where = clean.market(calendar, fine)
    table = clean.bars(where, date(2024, 11, 20), date(2024, 12, 6))

    found = resampling.resampled(table, replace(where, timeframe=coarse)).filter(symbol="S0")

    expected = session.grid(replace(where, timeframe=coarse), table["opened_at"].min(), table["opened_at"].max())  # type: ignore[arg-type]
    np.testing.assert_array_equal(session.naive(found["opened_at"]), expected)
    np.testing.assert_array_equal(session.naive(found["event_at"]), session.closes(replace(where, timeframe=coarse), expected))


def test_days_become_the_weeks_of_pandas() -> None:
    """A year of weeks to Friday; the one under way is not shown."""
    where = clean.market("XNYS", "1d")
    table = clean.bars(where, date(2023, 1, 2), date(2023, 12, 27), symbols=1)

    found = resampling.resampled(table, replace(where, timeframe="1w"))

    days = table.to_pandas().set_index("opened_at")
    theirs = days.resample("W-FRI").agg({"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"})[:-1]
    for name in PRICES:
        np.testing.assert_array_equal(found[name], theirs[name])
    np.testing.assert_allclose(found["volume"], theirs["volume"], rtol=1e-12)


def minutes(*rows: dict[str, object]) -> pl.DataFrame:
    """Return minute bars from midnight on, with what each has otherwise."""
    table = []
    for i, row in enumerate(rows):
        opened = datetime(2024, 1, 1, tzinfo=UTC) + timedelta(minutes=i)
        closed = opened + timedelta(minutes=1)
        plain = {"market": "shelf", "symbol": "ABC", "timeframe": "1m", "opened_at": opened, "event_at": closed, "known_at": closed}
        table.append({**plain, **dict.fromkeys(PRICES, 1.0), "volume": 1.0, "flags": 0, **row})
    return bar.conform(pl.DataFrame(table, infer_schema_length=None))


def test_every_column_follows_from_its_parts() -> None:
    """Vwap by volume, a quiet minute without one left out; flags of all; known when the last part was."""
    late = datetime(2024, 1, 1, 0, 9, tzinfo=UTC)
    quiet = {"vwap": None, "volume": 0.0, "trades": 0, "buy_volume": 0.0}
    parts = [
        {"vwap": 1.0, "volume": 3.0, "trades": 2, "buy_volume": 1.0, "spread": 0.01, "flags": 256},
        {"vwap": 2.0, "volume": 1.0, "trades": 1, "buy_volume": 1.0, "spread": 0.03, "known_at": late},
        {**quiet, "spread": 0.02}, {**quiet, "spread": 0.02, "flags": 512}, {**quiet, "spread": 0.02},
    ]  # fmt: skip

    row = resampling.resampled(minutes(*parts), shelf.crypto("5m")).row(0, named=True)

    assert (row["vwap"], row["volume"], row["trades"], row["buy_volume"], row["flags"], row["known_at"]) == (
        1.25,
        4.0,
        3,
        2.0,
        768,
        late,
    )
    assert row["spread"] == pytest.approx(0.02)
    assert row["timeframe"] == "5m"


def test_what_one_part_does_not_know_the_whole_does_not_know() -> None:
    """Half of the trades is no number of trades."""
    row = resampling.resampled(minutes({"trades": 2}, {}, {}, {}, {}), shelf.crypto("5m")).row(0, named=True)

    assert row["trades"] is None
    assert row["vwap"] is None


def test_a_bar_that_may_still_grow_is_not_shown() -> None:
    """At 00:09 the second five minutes lack one; at 00:10 they are whole, though nothing traded in the last."""
    table = minutes(*[{}] * 9)

    assert resampling.resampled(table, shelf.crypto("5m")).height == 1
    assert resampling.resampled(table, shelf.crypto("5m"), datetime(2024, 1, 1, 0, 10, tzinfo=UTC)).height == 2


def test_extended_hours_are_summed_up_apart_from_the_session_or_left_out() -> None:
    """SPY, July 2025: pre-market, session and post-market make 5 + 7 + 4 hours; a regular market has the 7."""
    table = files.read(shelf.real("equities_1m_extended.parquet"), shelf.equity("1m"))
    day = pl.col("opened_at").dt.convert_time_zone("America/New_York").dt.date() == date(2025, 7, 8)

    extended = resampling.resampled(table, shelf.extended("1h")).filter(day)
    regular = resampling.resampled(table, shelf.equity("1h")).filter(day)

    assert (extended.height, regular.height) == (6 + 7 + 4, 7)
    assert regular.drop("known_at").equals(
        extended.filter(pl.col("opened_at").is_in(regular["opened_at"].implode())).drop("known_at")
    )
