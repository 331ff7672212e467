"""What one row, its key and its place say: every rule against a hand-made case."""

import itertools
import math
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.bar import BAR_SCHEMA
from pipelines.data.quality import rows
from tests.pipelines.data import clean

DAILY = clean.market()


def week() -> pl.DataFrame:
    """Return one symbol's bars of two weeks, numbered."""
    return clean.bars(DAILY, date(2024, 3, 4), date(2024, 3, 15), symbols=1)


def found(frame: pl.DataFrame, name: str) -> list[int]:
    """Return the places of the rows that carry a defect of the row rules."""
    table = rows.single(rows.keys(rows.order(frame.with_row_index("row"))))
    return table.filter(name)["row"].to_list()


def test_clean_bars_carry_nothing() -> None:
    """No rule speaks where nothing is wrong."""
    names = ["missing_price", "nonpositive_price", "range_broken", "negative_volume", "duplicate_key", "time_backwards"]

    assert [found(week(), name) for name in names] == [[]] * 6


@pytest.mark.parametrize("value", [None, math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("price", rows.PRICES)
def test_a_price_that_is_no_number_is_missing(price: str, value: float | None) -> None:
    """Null, NaN and infinities are missing, and nothing else is said of their range."""
    frame = clean.change(week(), 4, **{price: value})

    assert found(frame, "missing_price") == [4]
    assert found(frame, "range_broken") == []


@pytest.mark.parametrize("value", [0.0, -0.01])
@pytest.mark.parametrize("price", rows.PRICES)
def test_zero_and_negative_prices_are_found(price: str, value: float) -> None:
    """A price is above zero."""
    assert found(clean.change(week(), 2, **{price: value}), "nonpositive_price") == [2]


@pytest.mark.parametrize(
    ("bar", "broken"),
    [
        ((10.0, 11.0, 9.0, 10.5), False),
        ((10.0, 10.0, 10.0, 10.0), False),
        ((10.0, 9.0, 11.0, 10.5), True),
        ((11.1, 11.0, 9.0, 10.5), True),
        ((8.9, 11.0, 9.0, 10.5), True),
        ((10.0, 11.0, 9.0, 11.001), True),
        ((10.0, 11.0, 9.0, 8.999), True),
        ((10.0, 11.0, 9.0, 11.000005), False),
        ((22.03, 22.87, 22.06, 22.06), True),
        ((35.3, 35.9, 35.085, 17.87), True),
    ],
)
def test_a_range_holds_open_and_close_up_to_rounding(bar: tuple[float, ...], broken: bool) -> None:
    """Single-precision rounding is no defect, a hundredth of a percent is; the last two are VIX 1999-04-01 and LNT 2016-05-19."""
    frame = clean.change(week(), 3, **dict(zip(rows.PRICES, bar, strict=True)))

    assert found(frame, "range_broken") == ([3] if broken else [])


@pytest.mark.parametrize(("volume", "wrong"), [(-1.0, True), (math.inf, True), (math.nan, True), (0.0, False), (None, False)])
def test_volume_is_a_finite_quantity_or_unknown(volume: float | None, wrong: bool) -> None:
    """A missing volume is no defect, a negative or infinite one is."""
    assert found(clean.change(week(), 5, volume=volume), "negative_volume") == ([5] if wrong else [])


def test_of_equal_rows_the_first_is_kept() -> None:
    """Saying the same twice leaves one bar."""
    frame = pl.concat([week(), week()[3:4]])

    assert found(frame, "duplicate_key") == [10]


def test_rows_that_contradict_each_other_are_all_wrong() -> None:
    """Nobody knows which of two different bars is right."""
    other = week()[3:4].with_columns(pl.col("close") * 1.0001)
    frame = pl.concat([week(), other])

    assert found(frame, "duplicate_key") == [3, 10]


def test_a_revision_known_later_is_no_duplicate() -> None:
    """The same bar with another known_at is a correction."""
    later = week()[3:4].with_columns(pl.col("known_at") + pl.duration(days=1))

    assert found(pl.concat([week()[:4], later, week()[4:]]), "duplicate_key") == []


@pytest.mark.parametrize("step", [1, -1])
def test_a_whole_file_may_run_either_way(step: int) -> None:
    """Descending is an order, not a defect."""
    assert found(week()[::step], "time_backwards") == []


@pytest.mark.parametrize(("order", "wrong"), [([0, 1, 4, 2, 3, 5], [2]), ([0, 2, 3, 4, 1, 5], [4]), ([5, 4, 1, 3, 2, 0], [2])])
def test_the_fewest_rows_that_break_the_order_are_named(order: list[int], wrong: list[int]) -> None:
    """One displaced row is one defect, not all the rows that it passed."""
    assert found(week()[order], "time_backwards") == wrong


def test_symbols_interleaved_by_time_are_in_order() -> None:
    """Time runs backwards within a symbol or not at all."""
    both = clean.bars(DAILY, date(2024, 3, 4), date(2024, 3, 15))

    assert found(both.sort("opened_at", "symbol"), "time_backwards") == []
    assert found(both.sort("symbol", "opened_at", descending=[True, False]), "time_backwards") == []


@pytest.mark.parametrize(("column", "earlier"), [("known_at", 1), ("event_at", 60 * 24)])
def test_a_bar_known_before_it_closed_runs_backwards(column: str, earlier: int) -> None:
    """A bar opens, closes and is known, in this order: otherwise a feature reads the future."""
    here = pl.int_range(pl.len()) == 4
    frame = week().with_columns(pl.when(here).then(pl.col(column) - pl.duration(minutes=earlier)).otherwise(column).alias(column))

    assert found(frame, "time_backwards") == [4]


@settings(deadline=None)
@given(st.permutations(range(9)))
def test_what_remains_in_order_is_as_much_as_possible(order: list[int]) -> None:
    """The rows not named are sorted, and no larger set would be (every subset tried)."""
    frame = week()[order]
    wrong = set(found(frame, "time_backwards"))

    kept = [order[place] for place in range(9) if place not in wrong]
    sign = 1 if sum(b > a for a, b in itertools.pairwise(order)) >= 4 else -1
    signed = [sign * value for value in order]
    best = max(bits.bit_count() for bits in range(512) if _rising([signed[i] for i in range(9) if bits >> i & 1]))
    assert _rising([sign * value for value in kept])
    assert len(kept) == best


def _rising(values: list[int]) -> bool:
    return all(a < b for a, b in itertools.pairwise(values))


def test_the_schema_is_only_added_to() -> None:
    """Rules add columns and leave the bars as they came."""
    frame = clean.change(week(), 4, open=None)

    table = rows.single(rows.keys(rows.order(frame.with_row_index("row"))))

    assert table.sort("row").select(list(BAR_SCHEMA)).equals(frame)
