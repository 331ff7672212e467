"""Adjustment: raw prints become total returns, and nothing that was known is ever rewritten."""

import os
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from domain import bar
from domain.bar import Defect
from domain.cost import Cost
from domain.error import DataError
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from pipelines.data import adjustment, reading
from pipelines.data.adjustment import Adjustment
from pipelines.store import Store

NEW_YORK = "America/New_York"
FIRST = date(2024, 1, 1)
ROOT = Path(__file__).parents[3]
DATA = ROOT / os.environ.get("NIGHTSHIFT_DATA", "../shared/data")
FREE = Cost(fee_bps=0, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)
STOCKS = Market("m", AssetClass.EQUITY, "XNYS", "1d", "files", 5, FREE, Instrument())
real = pytest.mark.skipif(not DATA.exists(), reason=f"real data is not at {DATA}: set NIGHTSHIFT_DATA")
#: Below this factor, and above 1, a day of the derived file is a split; the most that is handed out in cash there is 23%.
SPLIT_BELOW = 0.76


def at(day: int, hour: float = 9.5) -> datetime:
    """Return a moment of a day counted from FIRST, on New York's clock."""
    local = datetime(FIRST.year, FIRST.month, FIRST.day, tzinfo=ZoneInfo(NEW_YORK)) + timedelta(days=day, hours=hour)
    return local.astimezone(UTC)


def raw(
    closes: Sequence[float | None], symbol: str = "ABC", volume: float = 100.0, days: Sequence[int] | None = None
) -> pl.DataFrame:
    """Return daily bars, 9:30 to 16:00, whose four prices are the close."""
    rows = [
        {"market": "m", "symbol": symbol, "timeframe": "1d", "opened_at": at(day), "event_at": at(day, 16), "known_at": at(day, 16),
         **dict.fromkeys(("open", "high", "low", "close", "vwap"), close), "volume": volume, "buy_volume": volume / 2, "flags": 0}
        for day, close in zip(days or range(len(closes)), closes, strict=True)
    ]  # fmt: skip
    return bar.conform(pl.DataFrame(rows, infer_schema_length=None))


def actions(*rows: tuple[int, str, float] | tuple[int, str, float, datetime], symbol: str = "ABC") -> pl.DataFrame:
    """Return rows of the table `actions`: day, kind, value, and since when known, by default the open of the ex-date."""
    table = [
        {"market": "m", "symbol": symbol, "event_at": at(row[0]), "known_at": row[3] if len(row) > 3 else at(row[0]),
         "kind": row[1], "value": row[2], "other": None}
        for row in rows
    ]  # fmt: skip
    return pl.DataFrame(table, schema_overrides={"other": pl.String, "value": pl.Float64})


def laid(bars: pl.DataFrame, *rows: tuple[int, str, float] | tuple[int, str, float, datetime]) -> pl.DataFrame:
    """Return bars adjusted forward."""
    return adjustment.adjusted(bars, actions(*rows), NEW_YORK)


def test_a_split_multiplies_prices_and_divides_volume_from_its_ex_date_on() -> None:
    """Money traded stays what it was."""
    found = laid(raw([100.0, 102.0, 51.0, 52.0]), (2, "split", 2.0))

    assert found["close"].to_list() == [100.0, 102.0, 102.0, 104.0]
    assert found["vwap"].to_list() == [100.0, 102.0, 102.0, 104.0]
    assert found["volume"].to_list() == [100.0, 100.0, 50.0, 50.0]
    assert found["buy_volume"].to_list() == [50.0, 50.0, 25.0, 25.0]
    assert found["adjustment"].to_list() == [1.0, 1.0, 2.0, 2.0]


def test_a_dividend_is_reinvested_at_the_close_before_and_leaves_volume_alone() -> None:
    """5 of 100 handed out and a close of 95 is a day without return."""
    found = laid(raw([100.0, 95.0, 96.9]), (1, "dividend", 5.0))

    np.testing.assert_allclose(found["close"], [100.0, 100.0, 102.0], rtol=1e-15)
    assert found["volume"].to_list() == [100.0] * 3


@pytest.mark.parametrize("kind", ["special_dividend", "capital_gain", "spinoff"])
def test_all_that_is_handed_out_counts_like_cash(kind: str) -> None:
    """The holder has it, whatever it is called."""
    assert laid(raw([100.0, 80.0]), (1, kind, 20.0))["close"].to_list() == pytest.approx([100.0, 100.0], rel=1e-15)


def test_actions_of_one_day_add_their_cash_and_multiply_their_shares() -> None:
    """A share at 100 becomes 3 of 30 with 6 + 4 in cash: the holder has 100."""
    found = laid(
        raw([100.0, 30.0]), (1, "dividend", 6.0), (1, "special_dividend", 4.0), (1, "split", 2.0), (1, "stock_dividend", 0.5)
    )

    np.testing.assert_allclose(found["close"], [100.0, 100.0], rtol=1e-15)
    np.testing.assert_allclose(found["volume"], [100.0, 100.0 / 3.0], rtol=1e-15)


def test_an_action_on_a_day_without_a_bar_counts_from_the_next_bar_against_the_last_close() -> None:
    """A halted symbol splits all the same."""
    found = laid(raw([100.0, 51.0], days=[0, 4]), (2, "split", 2.0))

    assert found["close"].to_list() == [100.0, 102.0]


def test_an_action_before_the_first_bar_changes_nothing() -> None:
    """There is no price that it could be joined to."""
    found = laid(raw([50.0, 51.0], days=[3, 4]), (1, "split", 2.0), (3, "dividend", 1.0))

    assert found["close"].to_list() == [50.0, 51.0]
    assert found["adjustment"].to_list() == [1.0, 1.0]


def test_a_dividend_of_the_whole_close_is_refused_with_both_numbers() -> None:
    """Pence taken for pounds must not turn a price negative."""
    with pytest.raises(DataError, match="'ABC' hands out 120 a share from 2024-01-02 on, but closed at 100 before"):
        laid(raw([100.0, 98.0]), (1, "dividend", 120.0))


def test_hours_before_the_open_of_the_ex_date_trade_ex_already() -> None:
    """The pre-market print of the split's morning is the new share's, though the action is stamped at the open."""
    bars = raw([100.0, 51.0, 52.0]).with_columns(
        opened_at=pl.Series([at(0), at(1, 5), at(1)]), event_at=pl.Series([at(0, 16), at(1, 6), at(1, 16)]),
        flags=pl.Series([0, int(Defect.EXTENDED_HOURS), 0]),
    )  # fmt: skip

    assert adjustment.adjusted(bars, actions((1, "split", 2.0)), NEW_YORK, known_at=at(1, 16))["close"].to_list() == [
        100.0,
        102.0,
        104.0,
    ]


def test_an_action_that_is_known_by_its_open_is_known_at_six_that_morning() -> None:
    """What was seen in the pre-market is not rewritten when the session opens."""
    told = actions((1, "split", 2.0), (1, "dividend", 1.0, at(1, 12)))

    early, later = adjustment.heard(told, NEW_YORK, at(1, 6)), adjustment.heard(told, NEW_YORK, at(1, 13))

    assert early["kind"].to_list() == ["split"]
    assert later["kind"].to_list() == ["split", "dividend"]


def test_a_dividend_is_measured_against_the_regular_close_not_the_evening() -> None:
    """CRSP and Yahoo take the official close; an evening's thin print is none."""
    bars = raw([100.0, 50.0, 95.0]).with_columns(
        opened_at=pl.Series([at(0), at(0, 17), at(1)]), event_at=pl.Series([at(0, 16), at(0, 18), at(1, 16)]),
        flags=pl.Series([0, int(Defect.EXTENDED_HOURS), 0]),
    )  # fmt: skip

    assert adjustment.adjusted(bars, actions((1, "dividend", 5.0)), NEW_YORK)["close"][2] == pytest.approx(100.0)


def test_a_late_action_counts_from_the_first_bar_that_closes_when_it_is_known() -> None:
    """A live reader saw the jump of the ex-date, and a backtest may not see less."""
    found = laid(raw([100.0, 50.0, 50.0, 50.0]), (1, "split", 2.0, at(2, 20)))

    assert found["close"].to_list() == [100.0, 50.0, 50.0, 100.0]


def test_a_correction_counts_from_when_it_is_known_and_the_first_word_until_then() -> None:
    """The dividend was first told as 5 and is 10, then it is taken back."""
    found = laid(
        raw([100.0] * 5), (1, "dividend", 5.0), (1, "dividend", 10.0, at(2, 12)), (1, "dividend", 0.0, at(4, 12))
    )  # fmt: skip

    np.testing.assert_allclose(found["close"], [100.0, 100 / 0.95, 100 / 0.9, 100 / 0.9, 100.0], rtol=1e-14)


def test_a_chart_has_the_newest_raw_price_and_late_actions_at_their_ex_date() -> None:
    """People expect the last price to be the one on the screen, and no jump that was none."""
    bars, told = raw([100.0, 50.0, 45.0, 46.0]), actions((1, "split", 2.0, at(2, 20)), (2, "dividend", 5.0))

    found = adjustment.adjusted(bars, told, NEW_YORK, toward="last")

    np.testing.assert_allclose(found["close"], [45.0, 45.0, 45.0, 46.0], rtol=1e-14)
    np.testing.assert_allclose(found["volume"], [200.0, 100.0, 100.0, 100.0], rtol=1e-14)


def test_toward_none_leaves_the_prints() -> None:
    """Whoever trades needs the price that a broker will see."""
    bars = raw([100.0, 50.0])

    found = adjustment.adjusted(bars, actions((1, "split", 2.0)), NEW_YORK, toward="none")

    assert found.drop("adjustment", "shares").equals(bars)


def test_actions_known_later_than_asked_do_not_count() -> None:
    """The reader of the evening before does not know tomorrow's announcement."""
    told = actions((1, "split", 2.0, at(1, 20)))

    found = adjustment.adjusted(raw([100.0, 50.0, 50.0]), told, NEW_YORK, known_at=at(1, 16))

    assert found["close"].to_list() == [100.0, 50.0, 50.0]


def test_without_any_action_bars_are_what_they_were() -> None:
    """An empty table of actions is a table."""
    found = adjustment.adjusted(raw([1.0, 2.0]), actions((1, "split", 2.0)).clear(), NEW_YORK)

    assert found["close"].to_list() == [1.0, 2.0]


def test_missing_prices_stay_missing_and_are_no_reference() -> None:
    """A null close before the ex-date is passed over for the one before it."""
    found = laid(raw([100.0, None, 95.0]), (2, "dividend", 5.0))

    assert found["close"].to_list() == [100.0, None, pytest.approx(100.0)]


def wild(seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return random bars with holes of three symbols and random actions, some late and some corrected."""
    random = np.random.default_rng(seed)
    days = sorted(random.choice(60, 45, replace=False).tolist())
    bars = pl.concat([raw(random.uniform(20, 200, 45).tolist(), symbol, days=days) for symbol in ("AAA", "BBB", "CCC")])
    told = []
    for symbol in ("AAA", "CCC"):
        for day in random.choice(60, 12, replace=False).tolist():
            kind = str(random.choice(["dividend", "split", "spinoff", "stock_dividend"]))
            value = float(random.uniform(0.2, 3.0))
            late = [at(day), at(day + int(random.integers(-3, 6)), 12)]
            told += [actions((day, kind, value, late[0]), symbol=symbol)]
            told += [actions((day, kind, value * 0.9, late[1]), symbol=symbol)] if random.random() < 0.3 else []
    return bars.sort("symbol", "opened_at"), pl.concat(told)


def naive(bars: pl.DataFrame, told: pl.DataFrame) -> list[float]:
    """Return adjusted closes bar by bar, by the words of the module and nothing else."""
    zone, out = ZoneInfo(NEW_YORK), []
    for (symbol,), rows in bars.group_by("symbol", maintain_order=True):
        seen: list[dict[str, object]] = []
        product: dict[date, float] = {}
        for row in rows.iter_rows(named=True):
            for day in {r["event_at"].astimezone(zone).date() for r in told.filter(symbol=symbol).iter_rows(named=True)}:
                known = [
                    r for r in told.filter(symbol=symbol).sort("known_at").iter_rows(named=True)
                    if r["event_at"].astimezone(zone).date() == day and r["known_at"] <= row["event_at"]
                ]  # fmt: skip
                earlier = [r for r in seen if r["opened_at"].astimezone(zone).date() < day]  # type: ignore[attr-defined]
                if row["opened_at"].astimezone(zone).date() < day or not known or not earlier:
                    continue
                newest = {r["kind"]: r["value"] for r in known}
                cash = sum(newest.get(kind, 0.0) for kind in ("dividend", "spinoff"))
                shares = newest.get("split", 1.0) * (1.0 + newest.get("stock_dividend", 0.0))
                product[day] = shares / (1.0 - cash / float(earlier[-1]["close"]))  # type: ignore[arg-type]
            out.append(row["close"] * float(np.prod(list(product.values()))))
            seen.append(row)
    return out


@pytest.mark.parametrize("seed", range(4))
def test_a_loop_over_days_finds_the_same(seed: int) -> None:
    """Late, early, corrected, on holes, before the first bar: all at random."""
    bars, told = wild(seed)

    found = adjustment.adjusted(bars, told, NEW_YORK)

    np.testing.assert_allclose(found["close"], naive(bars, told), rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_any_stretches_of_time_give_the_same_bits_and_every_prefix_is_one(seed: int) -> None:
    """History in blocks, the live bar, and what was known last month: all the same numbers."""
    bars, told = wild(seed)
    whole = adjustment.adjusted(bars, told, NEW_YORK).sort("opened_at", "symbol")
    edges = [at(0, 0), at(11, 0), at(12, 0), at(40, 0), at(61, 0)]

    walking = Adjustment.of(told, NEW_YORK)
    blocks = [
        walking.advance(bars.filter(pl.col("opened_at").is_between(first, last, closed="left"))) for first, last in pairwise(edges)
    ]
    known = adjustment.adjusted(bars.filter(pl.col("known_at") <= at(30)), told, NEW_YORK, known_at=at(30))

    assert pl.concat(blocks).sort("opened_at", "symbol").equals(whole)
    assert known.sort("opened_at", "symbol").equals(whole.filter(pl.col("known_at") <= at(30)))


def test_coins_and_currencies_have_no_actions(tmp_path: Path) -> None:
    """And a stock market into which none were imported has none either."""
    coins = Market("c", AssetClass.CRYPTO, "24/7", "1h", "files", 5, FREE, Instrument())

    assert adjustment.actions(Store(tmp_path), coins).is_empty()
    assert adjustment.actions(Store(tmp_path), STOCKS).is_empty()


def prints() -> pl.DataFrame:
    """Return the point-in-time panel: what was printed each evening of 2015 and 2016, and Yahoo's factor to the next session."""
    frame = pl.read_parquet(DATA / "equities_daily_broad_pit.parquet").sort("symbol", "session")
    closed = pl.col("session").dt.combine(pl.time(16)).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
    opened = pl.col("session").dt.combine(pl.time(9, 30)).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
    table = frame.with_columns(
        opened_at=opened, event_at=closed, known_at=closed, market=pl.lit("m"), timeframe=pl.lit("1d"), flags=0
    )
    return bar.conform(table).with_columns(factor=frame["adj_factor_next"])


def derived() -> pl.DataFrame:
    """Return the derived actions as rows of the table `actions`: cash as implied, splits as the factor turned round."""
    frame = pl.read_parquet(DATA / "corporate_actions_pit.parquet")
    split = (pl.col("factor") < SPLIT_BELOW) | (pl.col("factor") > 1.0)
    opened = pl.col("ex_date").dt.combine(pl.time(9, 30)).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
    return frame.select(
        market=pl.lit("m"), symbol="symbol", event_at=opened, known_at=opened, other=pl.lit(None, pl.String),
        kind=pl.when(split).then(pl.lit("split")).otherwise(pl.lit("dividend")),
        value=pl.when(split).then(1.0 / pl.col("factor")).otherwise("implied_cash"),
    )  # fmt: skip


@pytest.mark.fault("F44")
@real
def test_the_point_in_time_panel_is_rebuilt_evening_by_evening(tmp_path: Path) -> None:
    """What a reader of 2015 and 2016 saw each evening follows from the prints and Yahoo's factors alone.

    778 symbols, 3,173 actions, every twentieth evening: prices are the prints times Yahoo's factors, and no evening changes
    what an evening before it said.
    """
    bars, told, store = prints(), derived(), Store(tmp_path)
    store.upsert("bars", bars.drop("factor"))
    store.upsert("actions", told)
    before = pl.col("factor").shift(1).over("symbol").fill_null(1.0)
    yahoo = bars.with_columns(expected=pl.col("close") * (1.0 / before).cum_prod().over("symbol"))
    evenings = bars["event_at"].unique().sort().gather_every(20, offset=5)
    last: pl.DataFrame | None = None
    for evening in evenings:
        found = reading.bars(store, STOCKS, known_at=evening)
        expected = yahoo.filter(pl.col("known_at") <= evening)
        np.testing.assert_allclose(found["close"], expected["expected"], rtol=2e-9)
        if last is not None:
            assert found.filter(pl.col("known_at") <= last["known_at"].max()).equals(last)
        last = found


@real
def test_returns_over_ex_dates_equal_those_of_yahoo() -> None:
    """Every one of the 3,177 ex-dates, and every other day: 308,250 returns."""
    bars = prints()
    found = adjustment.adjusted(bars.drop("factor"), derived(), NEW_YORK)

    same = bars["symbol"] == bars["symbol"].shift(1)
    mine = (found["close"] / found["close"].shift(1)).filter(same)
    yahoo = (bars["close"] / (bars["close"] * bars["factor"]).shift(1)).filter(same)

    np.testing.assert_allclose(mine, yahoo, rtol=2e-9)


@real
def test_apples_own_dividends_give_yahoos_adjusted_closes() -> None:
    """Dividends as Apple declared them, not as prices imply them: the closes agree to the rounding of Yahoo's six decimals."""
    declared = {
        date(2014, 8, 7): 0.47, date(2014, 11, 6): 0.47, date(2015, 2, 5): 0.47, date(2015, 5, 7): 0.52, date(2015, 8, 6): 0.52,
        date(2015, 11, 5): 0.52, date(2016, 2, 4): 0.52, date(2016, 5, 5): 0.57, date(2016, 8, 4): 0.57, date(2016, 11, 3): 0.57,
    }  # fmt: skip
    frame = pl.read_parquet(DATA / "equities_daily_yahoo_adj.parquet")
    frame = frame.filter((pl.col("symbol") == "AAPL") & pl.col("session").is_between(date(2014, 6, 10), date(2017, 2, 7))).sort(
        "ts"
    )
    closed = {"event_at": pl.col("ts"), "known_at": pl.col("ts"), "market": pl.lit("m"), "timeframe": pl.lit("1d"), "flags": 0}
    bars = bar.conform(frame.select(pl.exclude("ts"), opened_at="ts", **closed))
    rows = [{"symbol": "AAPL", "ex": day, "value": value} for day, value in declared.items()]
    at_open = pl.col("ex").cast(pl.Datetime("us")).dt.replace_time_zone(NEW_YORK).dt.convert_time_zone("UTC")
    told = pl.DataFrame(rows).with_columns(
        event_at=at_open, known_at=at_open, kind=pl.lit("dividend"), other=pl.lit(None, pl.String)
    )

    found = adjustment.adjusted(bars, told, NEW_YORK, toward="last")

    scale = frame["adj_close"][-1] / frame["close"][-1]
    np.testing.assert_allclose(found["close"] * scale, frame["adj_close"], rtol=2e-6)
