"""Yahoo through the genuine yfinance, against a server on this machine that gives recorded answers."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import yfinance

from domain import session
from domain.clock import ReplayClock
from domain.cost import Cost
from domain.error import ConfigurationError, DataError, NoData, ResourceError
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from domain.params import Yahoo as Parameters
from pipelines.data.sources.yahoo import Yahoo
from pipelines.store import TABLES
from tests.pipelines.data.sources.chart_server import DATA, Answer, Exchange, Redirected, recorded, serving
from tests.pipelines.data.sources.contract import ActionContract, FaultContract, SourceContract

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded answers of Yahoo are not in {DATA}")

COST = Cost(fee_bps=1, spread_bps=1, slippage_bps=1, impact=0, borrow_bps_year=0)
EQUITY = Market("us", AssetClass.EQUITY, "XNYS", "1d", "yahoo", 5, COST, Instrument(), ("AAPL",))
BITCOIN = Market("coins", AssetClass.CRYPTO, "24/7", "1d", "yahoo", 5, COST, Instrument(), ("BTC-USD",))
SINCE, UNTIL = datetime(2020, 8, 31, tzinfo=UTC), datetime(2020, 11, 7, tzinfo=UTC)
LATER = ReplayClock(datetime(2026, 1, 1, tzinfo=UTC))
BUSY = (429, b"Too Many Requests")
PARAMETERS = Parameters(retries=2, spacing_s=0.0, settled_days=7, repair=False)
WEEKS = "AAPL-2020-08-31-to-2020-11-07"
SILENT = "AAPL-2025-02-01-to-2025-02-02-includePrePost-false-interval-1m"


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    """Yield a running stand-in."""
    yfinance.set_tz_cache_location(str(tmp_path))
    with serving() as stand_in:
        yield stand_in


@pytest.fixture
def slept() -> list[float]:
    """Return the seconds that were waited."""
    return []


@pytest.fixture
def yahoo(exchange: Exchange, slept: list[float]) -> Yahoo:
    """Return the source, asking the stand-in, with two retries."""
    exchange.answers["AAPL"] = [(200, recorded(WEEKS))]
    exchange.answers["BTC-USD"] = [(200, recorded("BTC-USD-2020-01-01-to-2020-01-03"))]
    return Yahoo(PARAMETERS, exchange.client(), clock=LATER, sleep=slept.append)


class TestYahooEquities(SourceContract, ActionContract, FaultContract):
    """Ten weeks of Apple, a split and a dividend among them."""

    @pytest.fixture
    def fail(self, exchange: Exchange) -> Callable[[int | None], None]:
        """Let the stand-in limit us."""
        good = exchange.answers["AAPL"][0]

        def fail(times: int | None) -> None:
            # yfinance itself asks a refused question a second time, with another cookie.
            exchange.answers["AAPL"] = [BUSY] if times is None else [BUSY] * (2 * times) + [good]

        return fail

    @pytest.fixture
    def source(self, yahoo: Yahoo) -> Yahoo:
        """Return the source under test."""
        return yahoo

    @pytest.fixture
    def market(self) -> Market:
        """Return daily equities."""
        return EQUITY


def test_bars_are_the_recorded_numbers(yahoo: Yahoo) -> None:
    """Read from the recording by hand, in its single precision; days run from the session's open to its close."""
    answer = json.loads(recorded(WEEKS))["chart"]["result"][0]
    quote = answer["indicators"]["quote"][0]

    rows = yahoo.bars(EQUITY, SINCE, UNTIL)

    sessions = session.sessions("XNYS", date(2020, 8, 31), date(2020, 11, 6))
    for name in ("open", "high", "low", "close", "volume"):
        np.testing.assert_allclose(rows[name].to_numpy(), quote[name], rtol=2.0**-24)
    assert rows["opened_at"].to_list() == [datetime.fromtimestamp(stamp, UTC) for stamp in answer["timestamp"]]
    assert rows["event_at"].equals(sessions["closed_at"], check_names=False)


def test_a_split_and_a_dividend_become_actions(yahoo: Yahoo) -> None:
    """Four for one on 31 August, 20.5 cents ex 6 November 2020, both known at that day's open."""
    actions = yahoo.actions(EQUITY, SINCE, UNTIL)

    split, dividend = datetime(2020, 8, 31, 13, 30, tzinfo=UTC), datetime(2020, 11, 6, 14, 30, tzinfo=UTC)
    chosen = actions.select("symbol", "kind", "value", "event_at", "known_at").rows()
    assert chosen == [("AAPL", "split", 4.0, split, split), ("AAPL", "dividend", 0.205, dividend, dividend)]
    assert set(actions.columns) == set(TABLES["actions"].schema)


def test_bars_and_actions_cost_one_question(yahoo: Yahoo, exchange: Exchange) -> None:
    """The second comes out of the answer to the first."""
    yahoo.bars(EQUITY, SINCE, UNTIL)
    asked = len(exchange.asked)

    yahoo.actions(EQUITY, SINCE, UNTIL)

    assert len(exchange.asked) == asked


def test_a_continuous_market_opens_at_midnight(yahoo: Yahoo) -> None:
    """Bitcoin, three days."""
    rows = yahoo.bars(BITCOIN, None, None)

    assert rows["opened_at"].to_list() == [datetime(2020, 1, day, tzinfo=UTC) for day in (1, 2, 3)]
    assert rows["event_at"].to_list() == [datetime(2020, 1, day, tzinfo=UTC) for day in (2, 3, 4)]


def test_a_bar_that_is_still_running_is_left_out(yahoo: Yahoo) -> None:
    """Asked in the middle of the last session, a second after the close of the one before."""
    yahoo.clock = ReplayClock(datetime(2020, 11, 6, 18, tzinfo=UTC))

    rows = yahoo.bars(EQUITY, SINCE, UNTIL)

    assert rows["event_at"].max() == datetime(2020, 11, 5, 21, tzinfo=UTC)


def test_a_limit_is_waited_out(yahoo: Yahoo, exchange: Exchange, slept: list[float]) -> None:
    """Twice too many requests, then the answer; each wait is twice the one before."""
    good = exchange.answers["AAPL"][0]
    # yfinance itself asks a refused question a second time, with another cookie.
    exchange.answers["AAPL"] = [BUSY] * 4 + [good]

    rows = yahoo.bars(EQUITY, SINCE, UNTIL)

    assert rows.height == 49
    assert slept == [2.0, 4.0]


def test_a_garbled_answer_is_asked_for_again(yahoo: Yahoo, exchange: Exchange, slept: list[float]) -> None:
    """And is not taken from a cache."""
    good = exchange.answers["AAPL"][0]
    exchange.answers["AAPL"] = [(200, b"<html>"), good]

    rows = yahoo.bars(EQUITY, SINCE, UNTIL)

    assert rows.height == 49
    assert slept == [2.0]


@pytest.mark.parametrize(
    ("answer", "error", "sentence"),
    [
        ((429, b"Too Many Requests"), ResourceError, "'AAPL' and limits us"),
        ((200, b"<html>oops"), DataError, "'AAPL' and its answer cannot be read: JSONDecodeError"),
        ((200, b'{"chart": {"result": [{"meta": {}}]}}'), DataError, "'AAPL' and its answer cannot be read"),
        ((500, b""), ResourceError, r"'AAPL' and fails \(HTTP 500\)"),
        ((200, b"Edge: Too Many Requests"), ResourceError, "'AAPL' and limits us"),
        ((200, recorded(WEEKS)[:900]), DataError, "'AAPL' and its answer cannot be read: JSONDecodeError"),
        ("BTC-USD-2020-01-01-to-2020-01-03", DataError, "cannot be read: ValueError: it is about 'BTC-USD'"),
        ("notimestamp-quotes-length.fake", DataError, "'AAPL' and its answer cannot be read: KeyError: 'timestamp'"),
        (SILENT, NoData, "no 1d bars of AAPL from the beginning"),
    ],
)  # fmt: skip
def test_a_bad_answer_is_one_sentence(
    yahoo: Yahoo, exchange: Exchange, answer: Answer | str, error: type[Exception], sentence: str
) -> None:
    """After all retries, naming the symbol."""
    exchange.answers["AAPL"] = [(200, recorded(answer)) if isinstance(answer, str) else answer]

    with pytest.raises(error, match=sentence) as caught:
        yahoo.bars(EQUITY, None, None)

    assert "\n" not in str(caught.value)


def test_a_server_that_is_not_there_is_one_sentence(yahoo: Yahoo, slept: list[float]) -> None:
    """Nobody listens on port 9 of this machine."""
    yahoo.session.mount("https://", Redirected(9))

    with pytest.raises(ResourceError, match="'AAPL' and cannot be reached"):
        yahoo.bars(EQUITY, SINCE, UNTIL)

    assert slept == [2.0, 4.0]


def test_a_symbol_without_news_does_not_hold_up_the_others(yahoo: Yahoo, exchange: Exchange) -> None:
    """Nothing since a moment is fine for one of two; nothing ever is not."""
    exchange.answers["GONE"] = [(200, recorded(SILENT))]
    both = replace(EQUITY, symbols=("AAPL", "GONE"))

    rows = yahoo.bars(both, SINCE, UNTIL)

    assert rows["symbol"].unique().to_list() == ["AAPL"]
    with pytest.raises(NoData, match="Yahoo has no 1d bars of GONE from the beginning"):
        yahoo.bars(both, None, UNTIL)


@pytest.mark.parametrize(
    ("market", "sentence"),
    [
        (replace(EQUITY, symbols=()), "list them in markets.us.symbols"),
        (replace(EQUITY, timeframe="4h"), "it has 1m, 5m, 15m, 1h, 1d"),
    ],
)
def test_what_yahoo_cannot_be_asked_is_a_fault_of_the_parameters(market: Market, sentence: str) -> None:
    """No symbols, or a timeframe that it does not have."""
    with pytest.raises(ConfigurationError, match=sentence):
        Yahoo(PARAMETERS).bars(market, None, None)


def test_volume_and_prices_are_floats(yahoo: Yahoo) -> None:
    """Yahoo counts volume in whole numbers."""
    rows = yahoo.bars(EQUITY, SINCE, UNTIL)

    assert rows.schema["volume"] == pl.Float64
