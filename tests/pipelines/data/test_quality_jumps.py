"""Jumps: actions that prices were not adjusted for, told from news by the money traded, and moves too large to pass unseen."""

from datetime import date

import polars as pl
import pytest

from domain.market import Market
from pipelines.data.quality import Knowledge, inspection, rows
from tests.pipelines.data import clean

DAILY = clean.market()
BARS = clean.bars(DAILY, date(2023, 1, 3), date(2023, 12, 29), symbols=1)
COUNT = len(BARS)


def found(frame: pl.DataFrame, where: Market = DAILY) -> list[int]:
    """Return the places of the rows that carry a jump."""
    return inspection.examine(frame, where, clean.LIMITS).filter("price_jump")["row"].to_list()


def gapped(place: int, price: float, volume: float = 1.0, days: int = 1) -> pl.DataFrame:
    """Return bars whose prices change by a factor at the open of one, for good, and their volume for some days."""
    row = pl.int_range(pl.len())
    prices = [pl.when(row >= place).then(pl.col(name) * price).otherwise(name).alias(name) for name in rows.PRICES]
    traded = pl.when(row.is_between(place, place + days - 1)).then(pl.col("volume") * volume).otherwise("volume")
    return BARS.with_columns(*prices, volume=traded)


@pytest.mark.parametrize("price", [0.72, 0.84, 0.63, 1.3])
def test_a_gap_without_a_crowd_is_an_action_not_adjusted_for(price: float) -> None:
    """YUM fell by 28% on 2016-11-01 (spin-off) with three times the shares; a 16% special dividend is seen as well."""
    assert found(gapped(120, price, volume=2.0)) == [120]


@pytest.mark.parametrize("price", [0.72, 0.84, 1.3])
def test_a_gap_with_a_crowd_is_news(price: float) -> None:
    """Results and offers multiply the money traded; the price is right and no row is flagged."""
    assert found(gapped(120, price, volume=15.0, days=3)) == []


def test_an_ordinary_dividend_is_no_jump() -> None:
    """Less than five percent is not worth a flag, however quiet the stock."""
    quiet = clean.bars(DAILY, date(2023, 1, 3), date(2023, 12, 29), symbols=1, sigma=0.002)
    later = pl.int_range(pl.len()) >= 90
    frame = quiet.with_columns(pl.when(later).then(pl.col(name) * 0.96).otherwise(name).alias(name) for name in rows.PRICES)

    assert found(frame) == []


def test_a_fall_that_the_day_takes_back_is_no_action() -> None:
    """The open of a flash crash is far away, the close is not."""
    low = BARS["open"][100] * 0.8
    frame = clean.change(BARS, 100, open=low, low=low)

    assert found(frame) == []


def test_a_gap_after_missing_sessions_is_no_action() -> None:
    """Seven weeks of ordinary moves add up."""
    frame = gapped(120, 0.8)

    assert found(frame.filter(~pl.int_range(pl.len()).is_between(85, 119))) == []


@pytest.mark.parametrize(("factor", "jumped"), [(1.45, True), (1.35, False), (0.55, True), (0.68, False)])
def test_moves_of_forty_percent_are_jumps_with_or_without_news(factor: float, jumped: bool) -> None:
    """AMD gained 52% on 2016-04-22: genuine, kept, and flagged for a look."""
    frame = gapped(150, factor, volume=30.0, days=2)

    assert found(frame) == ([150] if jumped else [])
    assert inspection.examine(frame, DAILY, clean.LIMITS)["decimal_shift"].sum() == 0


def test_a_move_that_is_partly_taken_back_is_a_jump_all_the_same() -> None:
    """PEOPLE gained 47%, 45% and lost 40% within three hours of 2024-01-03: not one of them is an ordinary move."""
    hourly = clean.market("24/7", "1h")
    frame = clean.bars(hourly, date(2024, 1, 2), date(2024, 1, 12), symbols=1)
    row = pl.int_range(pl.len())
    factor = pl.when(row == 100).then(1.5).when(row > 100).then(1.2).otherwise(1.0)

    assert found(frame.with_columns(pl.col(name) * factor for name in rows.PRICES), hourly) == [100]


def test_the_way_back_from_a_lone_close_is_no_jump() -> None:
    """LTC closed at 1.00 at 10:00 on 2013-06-24, between 2.75 and 2.69: one row is wrong, not two."""
    row = pl.int_range(pl.len())
    factor = pl.when(row == 100).then(0.4).otherwise(1.0)
    table = inspection.examine(BARS.with_columns(pl.col(name) * factor for name in rows.PRICES), DAILY, clean.LIMITS)

    assert table.filter("price_spike")["row"].to_list() == [100]
    assert table.filter("price_jump")["row"].to_list() == []


def test_a_listing_far_from_its_first_price_is_a_jump() -> None:
    """ETHFI opened at 0.23 on 2024-03-18, the price of its sale, and closed the hour at 3.62."""
    frame = clean.change(BARS, 0, open=BARS["close"][0] / 15, low=BARS["close"][0] / 15)

    assert found(frame) == [0]


def test_continuous_markets_have_no_actions() -> None:
    """A coin or a currency that opens elsewhere has been traded elsewhere."""
    hourly = clean.market("24/7", "1h")
    frame = clean.bars(hourly, date(2024, 1, 2), date(2024, 1, 12), symbols=1)
    later = pl.int_range(pl.len()) >= 100

    assert found(frame.with_columns(pl.when(later).then(pl.col(n) * 0.8).otherwise(n).alias(n) for n in rows.PRICES), hourly) == []


@pytest.mark.parametrize(("price", "volume", "jumped"), [(0.9, 1.5, True), (1 / 0.9, 1.5, False), (0.9, 3.2, False)])
def test_a_quiet_fall_needs_fewer_deviations(price: float, volume: float, jumped: bool) -> None:
    """APD handed out 7% of itself on 2016-10-03: nine deviations, down, and hardly more shares traded than usual."""
    assert found(gapped(120, price, volume=volume)) == ([120] if jumped else [])


def test_a_known_action_is_found_however_small() -> None:
    """Of 8% in a crowd nothing is said without the table of actions; with it the ex-date is named."""
    frame = gapped(120, 0.92, volume=10.0, days=2)
    at, cash = frame["opened_at"][120], 0.08 * frame["close"][119]
    told = pl.DataFrame({"symbol": ["S0"], "event_at": [at], "known_at": [at], "kind": ["spinoff"], "value": [cash]})
    near = told.with_columns(pl.col("event_at").dt.offset_by("7d"))

    counts = [
        inspection.examine(frame, DAILY, clean.LIMITS, Knowledge(actions=actions)).filter("price_jump")["row"].to_list()
        for actions in (None, told, near)
    ]

    assert counts == [[], [120], []]


def test_a_way_back_is_no_longer_than_twice_the_way_out() -> None:
    """MS fell by 22% on 2008-10-10, after worse days, and rose by 87%: that is a move of its own."""
    factors = {98: 0.8, 99: 0.7, 100: 0.52}
    row = pl.int_range(pl.len())
    factor = pl.lit(1.0)
    for place, value in factors.items():
        factor = pl.when(row == place).then(value).otherwise(factor)
    frame = BARS.with_columns((pl.col(name) * factor).alias(name) for name in rows.PRICES)

    assert 101 in found(frame)
