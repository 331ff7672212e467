"""Shifts, spikes and jumps: recorded cases by hand, and planted ones that must be found wherever they lie."""

import math
from datetime import date

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.data.quality import inspection, rows
from tests.pipelines.data import clean

DAILY = clean.market()
BARS = clean.bars(DAILY, date(2023, 1, 3), date(2023, 12, 29), symbols=2)
COUNT = len(BARS) // 2


def found(frame: pl.DataFrame, name: str) -> list[int]:
    """Return the places of the rows that carry a defect."""
    return inspection.examine(frame, DAILY, clean.LIMITS).filter(name)["row"].to_list()


def scaled(frame: pl.DataFrame, places: list[int], factor: float, prices: tuple[str, ...] = rows.PRICES) -> pl.DataFrame:
    """Return the frame with prices of some rows multiplied."""
    here = pl.int_range(pl.len()).is_in(places)
    return frame.with_columns(pl.when(here).then(pl.col(price) * factor).otherwise(price).alias(price) for price in prices)


def series(closes: list[float], prices: list[tuple[float, float, float, float]] | None = None) -> pl.DataFrame:
    """Return one symbol's daily bars with these closes (open, high and low equal) or these prices."""
    frame = BARS[: len(prices or closes)]
    values = prices or [(close,) * 4 for close in closes]
    return frame.with_columns(
        pl.Series(name, list(column)) for name, column in zip(rows.PRICES, zip(*values, strict=True), strict=True)
    )


def test_clean_bars_have_no_outliers() -> None:
    """A random walk jumps nowhere by twelve deviations."""
    for name in ("decimal_shift", "price_spike", "price_jump"):
        assert found(BARS, name) == []


@settings(max_examples=40, deadline=None)
@given(
    place=st.integers(3, COUNT - 4),
    length=st.integers(1, 3),
    decades=st.sampled_from([-4, -3, -2, -1, 1, 2, 3]),
)
def test_shifted_bars_are_found_wherever_they_lie(place: int, length: int, decades: int) -> None:
    """One to three whole bars off by a power of ten, and no other row."""
    places = [spot for spot in range(place, place + length) if spot < COUNT - 1]
    frame = scaled(BARS, places, 10.0**decades)

    assert found(frame, "decimal_shift") == places
    assert found(frame, "price_jump") == []


@settings(max_examples=40, deadline=None)
@given(
    place=st.integers(3, COUNT - 4),
    prices=st.sets(st.sampled_from(rows.PRICES), min_size=1, max_size=3),
    decades=st.sampled_from([-2, -1, 1, 2]),
)
def test_shifted_fields_are_found(place: int, prices: set[str], decades: int) -> None:
    """Some of a bar's prices off by a power of ten, as PCG 2012-09-27 had them."""
    frame = scaled(BARS, [place], 10.0**decades, tuple(prices))

    assert found(frame, "decimal_shift") == [place]


@pytest.mark.parametrize("factor", [0.1, 10.0, 0.5, 0.05])
def test_a_split_is_a_jump_and_no_shift(factor: float) -> None:
    """A step that stays has one side only, even when it is a power of ten."""
    frame = scaled(BARS, list(range(100, COUNT)), factor)

    assert found(frame, "decimal_shift") == []
    assert found(frame, "price_spike") == []
    assert found(frame, "price_jump") == [100]


def test_a_series_in_two_units_is_wholly_in_doubt() -> None:
    """AET.L, May 2022: 14.55 and 0.1455 by turns (the real file); more than a third shifted, so nobody knows which is right."""
    frame = series([0.1455] * 4 + [14.55] * 9 + [0.1455] * 10)

    assert found(frame, "decimal_shift") == list(range(23))


def test_a_bad_unit_in_two_fields_is_found() -> None:
    """ASAI.L, 2024-10-24: low and close in pounds, open and high in pence (the real file, shortened)."""
    prices = [
        (69.0, 69.0, 68.9, 69.0), (70.3, 70.3, 70.3, 70.3), (69.0, 69.0, 67.75, 67.75), (68.25, 70.07, 68.25, 68.25),
        (68.5, 68.5, 68.5, 68.5), (66.1, 66.1, 57.16, 57.16), (61.5, 61.5, 61.5, 61.5), (58.5, 61.5, 0.6, 0.6),
        (58.07, 58.07, 58.07, 58.07), (58.0, 58.0, 58.0, 58.0), (61.5, 62.0, 61.5, 61.5), (62.0, 63.0, 62.0, 63.0),
    ]  # fmt: skip

    assert found(series([], prices), "decimal_shift") == [7]


def test_half_the_price_for_a_day_is_a_spike() -> None:
    """CNE.L, 2023-05-09: one bar adjusted for a split that came a week later (the real closes)."""
    frame = series([469.6, 476.0, 218.4, 456.9, 456.1, 448.4, 461.2, 205.1, 197.9, 196.8])

    assert found(frame, "price_spike") == [2]
    assert found(frame, "price_jump") == [7]


def test_a_whole_bar_too_low_is_a_spike() -> None:
    """NWL, 2017-09-14: the bar lies about 30% below both of its neighbours."""
    assert found(scaled(BARS, [77], 0.7), "price_spike") == [77]


def test_a_close_below_its_low_is_broken_and_a_spike() -> None:
    """LNT, 2016-05-19: close 17.87 under a low of 35.085, as a share of the price."""
    frame = clean.change(BARS, 60, close=BARS["low"][60] * 17.87 / 35.085)

    assert found(frame, "price_spike") == [60]
    assert found(frame, "range_broken") == [60]
    assert found(frame, "price_jump") == []


@settings(max_examples=40, deadline=None)
@given(place=st.integers(2, COUNT - 4), sigmas=st.floats(25, 60), sign=st.sampled_from([-1, 1]))
def test_lone_prints_are_found_wherever_they_lie(place: int, sigmas: float, sign: int) -> None:
    """A bar 25 or more deviations away from both neighbours, and no other row."""
    assert found(scaled(BARS, [place], math.exp(sign * sigmas * 0.01)), "price_spike") == [place]


@pytest.mark.parametrize(("price", "factor"), [("high", 1.4), ("low", 0.6), ("high", 1.3), ("low", 0.75)])
def test_wicks_beyond_everything_around_are_found(price: str, factor: float) -> None:
    """A high or a low that no close near it confirms."""
    assert found(scaled(BARS, [50], factor, (price,)), "price_spike") == [50]


@settings(max_examples=30, deadline=None)
@given(place=st.integers(4, COUNT - 9), length=st.integers(2, 3), sign=st.sampled_from([-1, 1]))
def test_prints_in_a_row_are_found(place: int, length: int, sign: int) -> None:
    """Bad prints come in batches: two or three bars away and back, and no other row."""
    places = list(range(place, place + length))

    assert found(scaled(BARS, places, math.exp(sign * 0.5)), "price_spike") == places


@pytest.mark.parametrize(("price", "factor"), [("high", 1.45), ("low", 0.6)])
def test_no_unrest_excuses_a_wick_of_forty_percent(price: str, factor: float) -> None:
    """LTC moved by 8% an hour in late 2013, where twelve deviations were 96%: 19.99 between 8.00 and 10.26 is a wick still."""
    wild = clean.bars(DAILY, date(2023, 1, 3), date(2023, 12, 29), symbols=1, sigma=0.06)

    assert 90 in found(scaled(wild, [90], factor, (price,)), "price_spike")


def test_a_wick_of_many_symbols_at_once_is_the_market() -> None:
    """On 2024-06-07 at 18:00 eighteen coins fell by twelve deviations and came back, and most of the others by four."""
    many = clean.bars(DAILY, date(2023, 1, 3), date(2023, 6, 30), symbols=10)
    size = len(many) // 10
    moment = [symbol * size + 60 for symbol in range(6)]
    alone = size * 8 + 80

    assert found(scaled(many, [*moment, alone], 0.8, ("low",)), "price_spike") == [alone]


def test_even_a_shared_wick_of_forty_percent_is_flagged() -> None:
    """ETFs at half their price on 2010-05-06 were traded together, and the trades were cancelled."""
    many = clean.bars(DAILY, date(2023, 1, 3), date(2023, 6, 30), symbols=10)
    size = len(many) // 10
    moment = [symbol * size + 60 for symbol in range(6)]

    assert found(scaled(many, moment, 0.5, ("low",)), "price_spike") == moment


@pytest.mark.parametrize("low", [0.1, 0.01])
def test_a_low_a_decade_away_is_impossible_for_stocks_and_suspicious_for_crypto(low: float) -> None:
    """BTC traded at 13 on 2013-04-26, between 127 and 134: an order. PCG's low of 1.7777 on 1999-10-15 was 17.777."""
    hourly = clean.market("24/7", "1h")
    coin = clean.bars(hourly, date(2024, 1, 2), date(2024, 1, 12), symbols=1)
    spotted = inspection.examine(scaled(coin, [100], low, ("low",)), hourly, clean.LIMITS)

    assert found(scaled(BARS, [100], low, ("low",)), "decimal_shift") == [100]
    assert spotted.filter("decimal_shift").is_empty()
    assert spotted.filter("price_spike")["row"].to_list() == [100]


def test_a_crypto_bar_wholly_in_another_unit_is_impossible() -> None:
    """Open and close are no orders of one moment."""
    hourly = clean.market("24/7", "1h")
    coin = clean.bars(hourly, date(2024, 1, 2), date(2024, 1, 12), symbols=1)

    assert inspection.examine(scaled(coin, [50], 100.0), hourly, clean.LIMITS).filter("decimal_shift")["row"].to_list() == [50]


def test_a_crash_that_stays_is_no_spike() -> None:
    """News moves a price and leaves it there."""
    frame = scaled(BARS, list(range(120, COUNT)), 0.6)

    assert found(frame, "price_spike") == []
    assert found(frame, "price_jump") == [120]


def test_one_tick_in_a_sleepy_series_is_no_spike() -> None:
    """WMT in 1973: prices rounded to a fifth of their value stand still for weeks, and one tick is not an outlier."""
    closes = [0.04251 if day % 7 else 0.03403 for day in range(120)]

    assert found(series(closes), "price_spike") == []


def test_nothing_is_said_of_the_first_and_the_last_bar() -> None:
    """Without both sides neither a shift nor a spike can be told from a jump."""
    frame = scaled(BARS, [0, COUNT - 1], 100.0)

    assert found(frame, "decimal_shift") == []
    assert found(frame, "price_spike") == []
    assert found(frame, "price_jump") == [1, COUNT - 1]


def test_a_symbol_is_judged_by_itself() -> None:
    """The last bar of one symbol and the first of the next are no neighbours."""
    frame = BARS.with_columns(pl.when(pl.col("symbol") == "S1").then(pl.col(p) * 1000).otherwise(p).alias(p) for p in rows.PRICES)

    assert (
        inspection.examine(frame, DAILY, clean.LIMITS).select(pl.any_horizontal("decimal_shift", "price_jump").any()).item()
        is False
    )
