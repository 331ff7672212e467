"""History over time: later splits rewrite nothing, closed days are asked for once, and only what Yahoo keeps is asked for."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest
import yfinance

from domain import session
from domain.clock import ReplayClock
from domain.cost import Cost
from domain.error import ConfigurationError, NoData, ResourceError
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from domain.params import Yahoo as Parameters
from pipelines.data.sources.yahoo import Yahoo
from tests.pipelines.data.sources.chart_server import Exchange, serving, speak

COST = Cost(fee_bps=1, spread_bps=1, slippage_bps=1, impact=0, borrow_bps_year=0)
EQUITY = Market("us", AssetClass.EQUITY, "XNYS", "1d", "yahoo", 5, COST, Instrument(), ("ACME",))
FACTS = {"symbol": "ACME", "currency": "USD", "instrumentType": "EQUITY", "exchangeTimezoneName": "America/New_York"}
PARAMETERS = Parameters(retries=0, spacing_s=0.0, settled_days=7, repair=False)
SPLIT = "2024-03-20"
PRICES = ["Open", "High", "Low", "Close"]
BARS = ["open", "high", "low", "close", "volume"]


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    """Yield a running stand-in."""
    yfinance.set_tz_cache_location(str(tmp_path / "zones"))
    with serving() as stand_in:
        yield stand_in


def tape(until: str) -> pd.DataFrame:
    """Return what was printed each session of 2024: a walk in cents, four for one on 20 March, a dividend on 5 March."""
    days = session.sessions("XNYS", pd.Timestamp("2024-01-02").date(), pd.Timestamp(until).date())["session"].to_list()
    generator = np.random.default_rng(11)
    close = np.round(400.0 * np.exp(np.cumsum(generator.normal(0.0, 0.01, 252))), 2)[: len(days)]
    close = np.where(np.array(days) >= pd.Timestamp(SPLIT).date(), np.round(close / 4.0, 2), close)
    rows = pd.DataFrame(dict.fromkeys(PRICES, close), index=pd.DatetimeIndex(days).tz_localize("America/New_York"))
    rows["High"] = np.round(close + 0.37, 2)
    rows["Low"] = np.round(close - 0.41, 2)
    rows["Volume"] = generator.integers(1_000, 9_000, 252)[: len(days)]
    rows["Dividends"] = np.where(rows.index == pd.Timestamp("2024-03-05", tz="America/New_York"), 0.53, 0.0)
    rows["Stock Splits"] = np.where(rows.index == pd.Timestamp(SPLIT, tz="America/New_York"), 4.0, 0.0)
    return rows


def adjusted(printed: pd.DataFrame) -> pd.DataFrame:
    """Return what Yahoo makes of it on the last of its days: divided by later splits, in single precision."""
    splits = printed["Stock Splits"].replace(0.0, 1.0)
    later = (splits[::-1].cumprod()[::-1] / splits).to_numpy()
    rows = printed.copy()
    for name in [*PRICES, "Dividends"]:
        rows[name] = (printed[name] / later).astype("float32").astype("float64")
    rows["Volume"] = np.rint(printed["Volume"] * later)
    return rows


def on(day: str, exchange: Exchange, cache: Path | None = None, parameters: Parameters = PARAMETERS) -> Yahoo:
    """Return the source on the evening of a day, with what Yahoo then answers."""
    exchange.answers["ACME"] = [speak(adjusted(tape(day)), FACTS)]
    clock = ReplayClock(datetime.fromisoformat(f"{day}T23:00:00+00:00"))
    return Yahoo(parameters, exchange.client(), cache, clock=clock, sleep=lambda _: None)


def bars(source: Yahoo, since: datetime | None = None, until: datetime | None = None) -> pl.DataFrame:
    """Return the numbers of all bars."""
    return source.bars(EQUITY, since, until).select("opened_at", *BARS)


def test_bars_are_what_was_printed(exchange: Exchange) -> None:
    """Before the split in old shares, after it in new ones, to the last bit."""
    found = bars(on("2024-06-28", exchange))

    tape_ = tape("2024-06-28")
    for name in BARS:
        assert found[name].to_list() == tape_[name.capitalize()].to_list(), name


def test_a_later_split_rewrites_nothing(exchange: Exchange) -> None:
    """Asked before the split and after it, the same days are equal bit for bit."""
    before = bars(on("2024-03-18", exchange))

    after = bars(on("2024-06-28", exchange))

    assert before.height > 50
    assert after.head(before.height).equals(before)


def test_a_dividend_is_what_was_paid_for_a_share_of_its_day(exchange: Exchange) -> None:
    """53 cents an old share, though Yahoo divides it by four from the split on."""
    early, late = (on(day, exchange).actions(EQUITY, None, None) for day in ("2024-03-18", "2024-06-28"))

    assert early.select("kind", "value").rows() == [("dividend", 0.53)]
    assert late.select("kind", "value").rows() == [("dividend", 0.53), ("split", 4.0)]


def test_a_closed_day_is_asked_for_once(exchange: Exchange, tmp_path: Path) -> None:
    """By whoever asks next, in another process too; the rows are the same."""
    since, until = datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)
    first = bars(on("2024-06-28", exchange, tmp_path / "cache"), since, until)
    asked = len(exchange.asked)

    again = bars(on("2024-06-28", exchange, tmp_path / "cache"), since, until)

    assert len(exchange.asked) == asked
    assert again.equals(first)


def test_only_the_days_that_are_missing_are_asked_for(exchange: Exchange, tmp_path: Path) -> None:
    """Across the split: what is held from before it needs no change."""
    bars(on("2024-03-18", exchange, tmp_path / "cache"))
    exchange.queries.clear()

    found = bars(on("2024-12-13", exchange, tmp_path / "cache"))

    starts = [int(query["period1"]) for query in exchange.queries if "period1" in query]
    assert min(starts) > datetime(2023, 12, 1, tzinfo=UTC).timestamp()
    assert found.equals(bars(on("2024-12-13", exchange)))


def test_a_young_bar_is_asked_for_again(exchange: Exchange, tmp_path: Path) -> None:
    """Yahoo corrects the last days: neither an unfinished bar nor a fresh one is held."""
    first = on("2024-06-28", exchange, tmp_path / "cache")
    bars(first)
    wrong = adjusted(tape("2024-06-28"))
    wrong.iloc[-1, wrong.columns.get_loc("Close")] += 1.0
    exchange.answers["ACME"] = [speak(wrong, FACTS)]

    found = bars(first)

    assert found["close"][-1] == pytest.approx(tape("2024-06-28")["Close"].iloc[-1] + 1.0, abs=1e-4)


def test_earlier_days_than_those_held_are_asked_for(exchange: Exchange, tmp_path: Path) -> None:
    """What is held from March on says nothing about January."""
    bars(on("2024-06-28", exchange, tmp_path / "cache"), datetime(2024, 3, 1, tzinfo=UTC))

    found = bars(on("2024-06-28", exchange, tmp_path / "cache"))

    assert found["opened_at"][0] == datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


def test_a_damaged_file_is_asked_for_anew(exchange: Exchange, tmp_path: Path) -> None:
    """And is whole afterwards."""
    until = datetime(2024, 5, 1, tzinfo=UTC)
    first = bars(on("2024-06-28", exchange, tmp_path / "cache"), None, until)
    (held,) = (tmp_path / "cache").glob("*.parquet")
    held.write_bytes(held.read_bytes()[:100])

    found = bars(on("2024-06-28", exchange, tmp_path / "cache"), None, until)

    assert found.equals(first)
    assert pl.read_parquet(held).height > 0


def test_an_error_is_not_held(exchange: Exchange, tmp_path: Path) -> None:
    """Nor is nothing: it may be a fault."""
    source = on("2024-06-28", exchange, tmp_path / "cache")
    good = exchange.answers["ACME"]
    for answer, error in (((503, b""), ResourceError), ((404, b'{"chart": {"result": null, "error": null}}'), NoData)):
        exchange.answers["ACME"] = [answer]
        with pytest.raises(error):
            bars(source)
    exchange.answers["ACME"] = good

    assert bars(source).height == len(tape("2024-06-28"))


def test_what_is_held_can_be_cleared(exchange: Exchange, tmp_path: Path) -> None:
    """One file a symbol and bar length; then Yahoo is asked."""
    source = on("2024-06-28", exchange, tmp_path / "cache")
    bars(source)
    asked = len(exchange.asked)

    assert source.clear() == 1

    bars(source, None, datetime(2024, 2, 1, tzinfo=UTC))
    assert len(exchange.asked) > asked


def minutes(first: str, last: str) -> pd.DataFrame:
    """Return a bar of a minute every ten minutes of the sessions between two days."""
    days = session.sessions("XNYS", pd.Timestamp(first).date(), pd.Timestamp(last).date())["opened_at"].to_list()
    stamps = [day + timedelta(minutes=i) for day in days for i in range(0, 390, 10)]
    index = pd.DatetimeIndex(stamps).tz_convert("America/New_York")
    price = np.arange(len(index)) / 100.0 + 20.0
    return pd.DataFrame(dict.fromkeys(PRICES, price), index=index).assign(Volume=100)


MINUTES = replace(EQUITY, timeframe="1m")


def on_minutes(exchange: Exchange) -> Yahoo:
    """Return the source on 28 June 2024: Yahoo has minutes and days."""
    day, minute = speak(adjusted(tape("2024-06-28")), FACTS), speak(minutes("2024-05-30", "2024-06-28"), FACTS, "1m")
    exchange.answers["ACME"] = [lambda query: (minute if query.get("interval") == "1m" else day)(query)]
    clock = ReplayClock(datetime(2024, 6, 28, 23, tzinfo=UTC))
    return Yahoo(PARAMETERS, exchange.client(), clock=clock, sleep=lambda _: None)


def test_minutes_are_asked_for_in_stretches_of_a_week(exchange: Exchange) -> None:
    """Never more than seven days at once, never more than thirty days back, and nothing is missing or doubled."""
    found = on_minutes(exchange).bars(MINUTES, None, None)

    asked = [query for query in exchange.queries if query.get("interval") == "1m"]
    spans = [int(query["period2"]) - int(query["period1"]) for query in asked]
    oldest = datetime(2024, 5, 29, 23, tzinfo=UTC).timestamp()
    assert max(spans) <= 7 * 86_400
    assert min(int(query["period1"]) for query in asked) >= oldest
    assert found["opened_at"].to_list() == list(minutes("2024-05-30", "2024-06-28").index.tz_convert("UTC").to_pydatetime())


def test_minutes_that_yahoo_no_longer_has_are_refused(exchange: Exchange) -> None:
    """In one sentence that says from when on it has them."""
    with pytest.raises(ConfigurationError, match="keeps them for 30 days: ask from 2024-05-30 00:00 on, or for longer bars"):
        on_minutes(exchange).bars(MINUTES, datetime(2024, 3, 1, tzinfo=UTC), None)


def test_a_market_of_minutes_has_the_actions_of_its_days(exchange: Exchange) -> None:
    """A split of March is known to a market that keeps minutes of June."""
    found = on_minutes(exchange).actions(MINUTES, datetime(2024, 3, 1, tzinfo=UTC), None)

    assert found["kind"].to_list() == ["dividend", "split"]
