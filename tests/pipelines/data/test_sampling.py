"""Sampling: bars of trades and quotes, against loops over the prints and the bars that others made of them."""

import csv
import io
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise

import numpy as np
import pandas as pd
import polars as pl
import pytest

from domain import bar
from domain.error import ConfigurationError, DataError
from pipelines.data import sampling
from pipelines.data.sampling import Rule, Sampling
from pipelines.data.sources.files import ticks
from pipelines.store import TABLES
from tests.pipelines.data.sources import shelf

START = datetime(2024, 1, 2, 15, tzinfo=UTC)


def second(at: float) -> datetime:
    """Return a moment counted from START."""
    return START + timedelta(seconds=at)


def trades(*rows: tuple[float, float, float], side: str | None = None, late: float = 0.0) -> pl.DataFrame:
    """Return prints of second, price and size, known `late` seconds after they happened."""
    table = [
        {"market": "shelf", "symbol": "ABC", "event_at": second(at), "known_at": second(at + late), "price": price, "size": size,
         "side": side, "trade_id": str(i), "exchange": None, "conditions": None}
        for i, (at, price, size) in enumerate(rows)
    ]  # fmt: skip
    return pl.DataFrame(table, schema=TABLES["trades"].schema)


def quotes(*rows: tuple[float, float, float]) -> pl.DataFrame:
    """Return quotes of second, bid and ask."""
    table = [
        {"market": "shelf", "symbol": "ABC", "event_at": second(at), "known_at": second(at), "sequence": i, "bid": bid,
         "bid_size": 1.0, "ask": ask, "ask_size": 1.0, "exchange": None}
        for i, (at, bid, ask) in enumerate(rows)
    ]  # fmt: skip
    return pl.DataFrame(table, schema=TABLES["quotes"].schema)


MINUTE = shelf.crypto("1m")


def test_a_minute_is_summed_up_by_hand() -> None:
    """First, highest, lowest, last; volume 6, of which buyers began what rose and what followed it."""
    told = trades((1, 10.0, 2.0), (20, 12.0, 1.0), (30, 12.0, 1.0), (59.9, 9.0, 2.0), (60, 11.0, 5.0), (130, 11.0, 1.0))

    found = sampling.bars(told, MINUTE)

    first, last = found.row(0, named=True), found.row(1, named=True)
    assert (first["open"], first["high"], first["low"], first["close"], first["volume"], first["trades"]) == (10, 12, 9, 9, 6, 4)
    assert first["vwap"] == pytest.approx((20 + 12 + 12 + 18) / 6)
    # Nobody knows who began the first print; two rose or followed; one fell.
    assert first["buy_volume"] == 0.5 * 2 + 1 + 1
    assert (first["opened_at"], first["event_at"], first["known_at"]) == (second(0), second(60), second(60))
    assert (last["open"], last["volume"], last["buy_volume"]) == (11.0, 5.0, 5.0)
    assert found.height == 2
    assert found.schema == pl.Schema(bar.BAR_SCHEMA)


def test_the_last_bar_shows_when_its_end_has_passed() -> None:
    """At 2:59 the third minute is still being made."""
    sampled = Sampling(MINUTE)
    assert sampled.advance(trades((10, 1.0, 1.0))).is_empty()

    assert sampled.until(second(59)).is_empty()
    assert sampled.until(second(60)).height == 1
    assert sampled.until(second(60)).is_empty()


def test_who_began_a_trade_is_told_by_the_exchange_where_it_says_so() -> None:
    """A seller hits a rising price all the same."""
    told = pl.concat([trades((1, 10.0, 2.0), (2, 11.0, 3.0), side="sell"), trades((61, 11.0, 1.0))])

    assert sampling.bars(told, MINUTE)["buy_volume"].to_list() == [0.0]


def test_the_spread_is_weighted_by_the_time_that_it_stood() -> None:
    """30 s at 2/100, 10 s crossed and not counted, 20 s at 1/100.5; the next minute begins with what stood."""
    told = quotes((0, 99.0, 101.0), (30, 101.0, 100.0), (40, 100.0, 101.0))

    found = sampling.bars(trades((5, 100.0, 1.0), (70, 100.0, 1.0), (125, 100.0, 1.0)), MINUTE, told)

    assert found["spread"].to_list() == pytest.approx([(30 * 0.02 + 20 * 1 / 100.5) / 50, 1 / 100.5], rel=1e-12)


def test_a_corrected_print_counts_as_corrected_and_a_taken_back_one_not_at_all() -> None:
    """The bar is then known when the last of its corrections was."""
    told = trades((1, 10.0, 1.0), (2, 99.0, 1.0), (3, 50.0, 1.0), (61, 10.0, 1.0))
    corrected = told[1:2].with_columns(price=pl.lit(10.5), known_at=pl.lit(second(90), told["known_at"].dtype))
    cancelled = told[2:3].with_columns(size=pl.lit(0.0), known_at=pl.lit(second(120), told["known_at"].dtype))
    everything = pl.concat([told, corrected, cancelled])

    at_close, later = sampling.bars(everything, MINUTE, known_at=second(61)), sampling.bars(everything, MINUTE)

    assert at_close.select("high", "volume", "known_at").row(0) == (99.0, 3.0, second(60))
    assert later.select("high", "close", "volume", "trades", "known_at").row(0) == (10.5, 10.5, 2.0, 2, second(120))


def test_a_bar_is_known_no_earlier_than_its_prints() -> None:
    """A slow feed tells a minute two seconds after it ended."""
    assert sampling.bars(trades((59, 1.0, 1.0), (61, 1.0, 1.0), late=3.0), MINUTE)["known_at"].to_list() == [second(62)]


def test_stocks_have_bars_in_their_hours_alone() -> None:
    """Prints before the open make a bar of their own where the market wants them, and none elsewhere."""
    early, regular = (datetime(2024, 1, 2, 14, 29, 59, tzinfo=UTC), datetime(2024, 1, 2, 14, 30, tzinfo=UTC))
    told = trades((0, 1.0, 1.0), (1, 2.0, 1.0), (600, 3.0, 1.0)).with_columns(
        event_at=pl.Series([early, regular, second(0)]), known_at=pl.Series([early, regular, second(0)])
    )  # fmt: skip

    assert sampling.bars(told, shelf.equity("5m"))["close"].to_list() == [2.0]
    assert sampling.bars(told, shelf.extended("5m"))["close"].to_list() == [1.0, 2.0]


def test_ticks_that_come_too_late_are_refused() -> None:
    """A bar that was told is told."""
    sampled = Sampling(MINUTE)
    sampled.advance(trades((100, 1.0, 1.0)))

    with pytest.raises(DataError, match="ticks of 'ABC' go back to"):
        sampled.advance(trades((50, 1.0, 1.0)))


def test_a_rule_without_a_size_and_bars_of_nothing_are_refused() -> None:
    """One sentence each."""
    with pytest.raises(ConfigurationError, match="volume bars were asked for with size 0"):
        Rule("volume")
    with pytest.raises(DataError, match="there are none"):
        sampling.bars(trades().clear(), MINUTE)


def test_bars_of_one_moment_open_one_after_another() -> None:
    """Two bars of a burst would otherwise have one key."""
    found = sampling.bars(trades(*[(1.0, 10.0 + i, 1.0) for i in range(6)]), MINUTE, rule=Rule("tick", 2))

    assert found["opened_at"].is_unique().all()
    assert (found["event_at"] > found["opened_at"]).all()
    assert found["timeframe"].to_list() == ["tick:2"] * 3


@pytest.fixture(scope="module")
def recorded() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the trades and quotes of the recorded stream."""
    found = ticks.read(shelf.real("raw/binance_ws/btcusdt_20240808.gz"), MINUTE)
    assert found is not None
    return found.trades, found.quotes


def test_real_trades_give_what_pandas_resamples(recorded: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """9,757 trades by the minute: prices and counts to the bit, sums to rounding."""
    told = recorded[0].to_pandas().set_index("event_at")
    expected = told["price"].resample("1min").ohlc()
    grouped = told.assign(paid=told["price"] * told["size"], bought=told["size"].where(told["side"] == "buy", 0.0)).resample("1min")

    found = sampling.bars(recorded[0], MINUTE)

    whole = len(found)
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(found[name], expected[name][:whole])
    np.testing.assert_allclose(found["volume"], grouped["size"].sum()[:whole], rtol=1e-12)
    np.testing.assert_allclose(found["vwap"], (grouped["paid"].sum() / grouped["size"].sum())[:whole], rtol=1e-12)
    np.testing.assert_allclose(found["buy_volume"], grouped["bought"].sum()[:whole], rtol=1e-12)
    np.testing.assert_array_equal(found["trades"], grouped["price"].count()[:whole])
    assert whole == 6


def test_the_spread_of_real_quotes_is_that_of_a_step_function(recorded: tuple[pl.DataFrame, pl.DataFrame]) -> None:
    """28,040 quotes, integrated microsecond by microsecond by pandas' intervals."""
    told = recorded[1].to_pandas()
    relative = 2 * (told["ask"] - told["bid"]) / (told["ask"] + told["bid"])
    series = pd.Series(relative.to_numpy(), index=told["event_at"]).groupby(level=0).last()

    found = sampling.bars(*recorded[:1], MINUTE, recorded[1])

    for row in found.iter_rows(named=True):
        edges = series[(series.index > row["opened_at"]) & (series.index < row["event_at"])].index
        begun = max(pd.Timestamp(row["opened_at"]), series.index[0])
        cuts = pd.DatetimeIndex([begun, *edges[edges > begun], pd.Timestamp(row["event_at"])])
        lasted = np.diff(cuts.as_unit("ns").asi8)
        stood = series.asof(cuts[:-1])
        assert row["spread"] == pytest.approx(float((lasted * stood.to_numpy()).sum() / lasted.sum()), rel=1e-9)


def loop(told: pl.DataFrame, full: Callable[[list[dict[str, float]]], bool]) -> list[tuple[float, float, int]]:
    """Return open, close and count of bars that are full when `full` says so of their prints."""
    out, prints = [], []
    for row in told.iter_rows(named=True):
        prints.append(row)
        if full(prints):
            out.append((prints[0]["price"], row["price"], len(prints)))
            prints = []
    return out


@pytest.mark.parametrize(
    ("rule", "full"),
    [
        (Rule("tick", 700), lambda prints: len(prints) == 700),
        (Rule("volume", 5), lambda prints: sum(p["size"] for p in prints) >= 5),
        (Rule("dollar", 500_000), lambda prints: sum(p["size"] * p["price"] for p in prints) >= 500_000),
    ],
)
def test_bars_of_trade_are_full_when_a_loop_says_so(
    recorded: tuple[pl.DataFrame, pl.DataFrame], rule: Rule, full: Callable[[list[dict[str, float]]], bool]
) -> None:
    """Every bar, print by print."""
    found = sampling.bars(recorded[0], MINUTE, rule=rule)

    assert found.select("open", "close", "trades").rows() == loop(recorded[0], full)


@pytest.mark.parametrize("word", ["tick_imbalance", "volume_imbalance"])
def test_imbalance_bars_are_full_when_the_books_formula_says_so(recorded: tuple[pl.DataFrame, pl.DataFrame], word: str) -> None:
    """Lopez de Prado 2018, 2.3.2.1: |sum of signed ticks| >= E[T] |E[b]|, expectations smoothed over the bars before."""
    expected_ticks, part = 150.0, float("nan")
    theta, count, ends = 0.0, 0, []
    for n, row in enumerate(recorded[0].iter_rows(named=True)):
        weight = 1.0 if word == "tick_imbalance" else row["size"]
        theta, count = theta + (weight if row["side"] == "buy" else -weight), count + 1
        if (np.isnan(part) and count >= 150) or (not np.isnan(part) and abs(theta) >= expected_ticks * abs(part)):
            ends.append(n)
            if np.isnan(part):
                part = theta / count
            else:
                expected_ticks = min(max(expected_ticks + 0.1 * (count - expected_ticks), 15.0), 1500.0)
                part += 0.1 * (theta / count - part)
            theta, count = 0.0, 0

    found = sampling.bars(recorded[0], MINUTE, rule=Rule(word, 150))  # type: ignore[arg-type]

    assert found["trades"].to_list() == np.diff([-1, *ends]).tolist()


RULES = [
    Rule(),
    Rule("tick", 333),
    Rule("volume", 3.0),
    Rule("dollar", 1e5),
    Rule("tick_imbalance", 90),
    Rule("volume_imbalance", 90),
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.word)
def test_any_chunks_of_ticks_give_the_same_bars(recorded: tuple[pl.DataFrame, pl.DataFrame], rule: Rule) -> None:
    """Print by print at first, then in lumps, cut in the middle of a millisecond: to the bit what one call gives."""
    told, quoted = recorded
    random = np.random.default_rng(3)
    edges = [*range(40), *sorted(random.choice(np.arange(40, told.height), 60, replace=False).tolist()), told.height]
    whole = Sampling(MINUTE, rule).advance(told, quoted)

    sampled, made, asked = Sampling(MINUTE, rule), [], quoted["event_at"][0] - timedelta(seconds=1)
    for first, last in pairwise(edges):
        until = told["event_at"][last - 1]
        now = quoted.filter((pl.col("event_at") > asked) & (pl.col("event_at") <= until))
        made.append(sampled.advance(told[first:last], now))
        asked = until
    made.append(sampled.advance(None, quoted.filter(pl.col("event_at") > asked)))

    assert pl.concat(made).equals(whole)


def test_freqtrades_minutes_are_those_of_its_trades() -> None:
    """Its own conversion of 12,477 trades of XRP/ETH lies beside them."""
    found = ticks.read(shelf.real("raw/freqtrade/XRP_ETH-trades.json.gz"), MINUTE)
    assert found is not None
    theirs = pl.read_ipc(shelf.real("raw/freqtrade/XRP_ETH-1m.feather"))

    mine = sampling.bars(found.trades, MINUTE).with_columns(date=pl.col("opened_at").cast(theirs["date"].dtype))

    both = mine.join(theirs, on="date", suffix="_theirs")
    assert both.height > 1000
    for name in ("open", "high", "low", "close"):
        assert both[name].equals(both[f"{name}_theirs"], check_names=False)
    np.testing.assert_allclose(both["volume"], both["volume_theirs"], rtol=1e-12)


def test_currencies_have_bars_of_the_bid_that_count_quotes() -> None:
    """Six hours of HistData, against pandas."""
    found = ticks.read(shelf.real("ticks_fx_quotes.parquet"), shelf.fx("5m"))
    assert found is not None
    bids = pl.read_parquet(shelf.real("ticks_fx_quotes.parquet")).to_pandas().set_index("ts")["bid"].resample("5min")

    mine = sampling.bars(None, shelf.fx("5m"), found.quotes)

    expected = bids.ohlc().dropna()[: mine.height]
    for name in ("open", "high", "low", "close"):
        np.testing.assert_array_equal(mine[name], expected[name])
    np.testing.assert_array_equal(mine["volume"], bids.count()[bids.count() > 0][: mine.height])
    assert mine["trades"].null_count() == mine.height


def test_leans_ticks_of_one_broker_lie_on_its_minutes_of_another() -> None:
    """FXCM's ticks and Oanda's minutes of 2014-05-04: bid and spread put the middle within half a pip in nine minutes of ten."""
    found = ticks.read(shelf.real("raw/lean/Data/forex/fxcm/tick/eurusd/20140504_quote.zip"), shelf.fx("1m"))
    assert found is not None
    mine = sampling.bars(None, shelf.fx("1m"), found.quotes)
    with zipfile.ZipFile(shelf.real("raw/lean/Data/forex/oanda/minute/eurusd/20140504_quote.zip")) as archive:
        rows = csv.reader(io.StringIO(archive.read(archive.namelist()[0]).decode()))
    midnight = datetime(2014, 5, 4, tzinfo=UTC)
    theirs = {midnight + timedelta(milliseconds=int(row[0])): (float(row[4]) + float(row[9])) / 2 for row in rows}

    middles = {row["opened_at"]: row["close"] * (1 + row["spread"] / 2) for row in mine.iter_rows(named=True)}
    apart = [abs(middles[opened] - theirs[opened]) for opened in middles.keys() & theirs.keys()]

    assert len(apart) == 140
    assert np.quantile(apart, 0.9) < 0.00005
