"""Bloomberg through a stand-in for its library, which speaks the shapes and the order of events of the genuine one."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from domain import session
from domain.clock import ReplayClock
from domain.cost import Cost
from domain.error import ConfigurationError, DataError, NoData, ResourceError
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from domain.params import Bloomberg as Parameters
from pipelines.data.sources.bloomberg import Bloomberg
from pipelines.data.sources.contract import LiveSource
from tests.pipelines.data.sources.contract import (
    ActionContract,
    FaultContract,
    LiveContract,
    SourceContract,
    TickContract,
    heard,
    require_rows,
)

DOUBLE = Path(__file__).parents[3] / "blpapi_double"
COST = Cost(fee_bps=1, spread_bps=1, slippage_bps=1, impact=0, borrow_bps_year=0)
DAYS = Market("us", AssetClass.EQUITY, "XNYS", "1d", "bloomberg", 5, COST, Instrument(), ("IBM", "MSFT"))
MINUTES = replace(DAYS, timeframe="5m", symbols=("IBM",))
HOURS = replace(MINUTES, timeframe="1h")
EURO = Market("fx", AssetClass.FX, "24/5", "1h", "bloomberg", 5, COST, Instrument(), ("EURUSD Curncy",))
IBM, MSFT = "IBM US Equity", "MSFT US Equity"
NOW = datetime(2024, 6, 28, 23, tzinfo=UTC)
SPLIT = date(2024, 3, 20)


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Put the stand-in where the library would be, and yield what it knows."""
    monkeypatch.syspath_prepend(str(DOUBLE))
    monkeypatch.delenv("NIGHTSHIFT_BLOOMBERG", raising=False)
    import blpapi

    blpapi.terminal.reset()
    fill(blpapi.terminal)
    yield blpapi.terminal
    for name in [name for name in sys.modules if name.split(".")[0] == "blpapi"]:
        del sys.modules[name]


def day_of(day: date, price: float, place: int) -> dict[str, Any]:
    """Return a day as it was printed."""
    prices = {"PX_OPEN": price, "PX_HIGH": price + 1.5, "PX_LOW": price - 1.25, "PX_LAST": price + 0.5}
    return {"date": day, **prices, "PX_VOLUME": 1000.0 + place}


def minute_of(at: datetime, price: float) -> dict[str, Any]:
    """Return a minute of three events and ten shares."""
    prices = {"open": price, "high": price + 1.0, "low": price - 0.5, "close": price + 0.5}
    return {"time": at, **prices, "volume": 10, "numEvents": 3, "value": 10.0 * price + 5.0}


def fill(terminal: Any) -> None:
    """Give the stand-in half a year of days, two days of minutes and ticks, a split and some dividends."""
    days = session.sessions("XNYS", date(2024, 1, 2), date(2024, 6, 28))["session"].to_list()
    terminal.days[IBM] = [day_of(day, (400.0 + i) / (4.0 if day >= SPLIT else 1.0), i) for i, day in enumerate(days)]
    terminal.days[MSFT] = [day_of(day, 370.0 + i, i) for i, day in enumerate(days)]
    terminal.splits[IBM] = {SPLIT: 4.0}
    opened = [datetime(2024, 6, day, 13, 30) for day in (27, 28)]  # noqa: DTZ001  # naive UTC, as the library gives it
    moments = [first + timedelta(minutes=i) for first in opened for i in range(390)]
    terminal.minutes[IBM] = [minute_of(at, 100.0 + i) for i, at in enumerate(moments)]
    terminal.ticks[IBM] = [
        {"time": first + timedelta(seconds=i // 2), "type": kind, "value": 100.0 + i / 100, "size": 100 + i, "exchangeCode": "N"}
        for first in opened
        for i, kind in enumerate(["TRADE", "BID", "ASK", "TRADE"] * 15)
    ]
    dividend = {"Ex-Date": date(2024, 2, 8), "Dividend Amount": 1.66, "Dividend Type": "Regular Cash"}
    split = {"Ex-Date": SPLIT, "Dividend Amount": 4.0, "Dividend Type": "Stock Split"}
    special = {"Ex-Date": date(2024, 5, 9), "Dividend Amount": 0.5, "Dividend Type": "Special Cash"}
    none = {"Ex-Date": date(2024, 4, 9), "Dividend Amount": None, "Dividend Type": "Omitted"}
    terminal.facts[IBM] = {
        "DVD_HIST_ALL": [special, none, split, dividend],
        "EQY_INIT_PO_DT": date(1962, 1, 2),
        "GICS_SECTOR_NAME": "IT",
    }
    terminal.facts[MSFT] = {"DVD_HIST_ALL": [dict(dividend, **{"Dividend Amount": 0.75})], "EQY_INIT_PO_DT": date(1986, 3, 13)}


@pytest.fixture
def slept() -> list[float]:
    """Return the seconds that were waited."""
    return []


@pytest.fixture
def bloomberg(terminal: Any, slept: list[float]) -> Bloomberg:
    """Return the source, with one retry."""
    return Bloomberg(Parameters(yellow_key="US Equity", retries=1, timeout_s=5), clock=ReplayClock(NOW), sleep=slept.append)


class TestBloombergDays(SourceContract, ActionContract, FaultContract):
    """Two securities of half a year."""

    @pytest.fixture
    def source(self, bloomberg: Bloomberg) -> Bloomberg:
        """Return the source under test."""
        return bloomberg

    @pytest.fixture
    def market(self) -> Market:
        """Return daily equities."""
        return DAYS

    @pytest.fixture(params=["silence", "terminated", "failure", "internal"])
    def fail(self, terminal: Any, request: pytest.FixtureRequest) -> Callable[[int | None], None]:
        """Let the stand-in fail in each of its ways, in the middle of an answer where that can be."""
        terminal.fault = request.param

        def fail(times: int | None) -> None:
            terminal.failures = -1 if times is None else times

        return fail


class TestBloombergMinutes(SourceContract):
    """Two days of one security."""

    @pytest.fixture
    def source(self, bloomberg: Bloomberg) -> Bloomberg:
        """Return the source under test."""
        return bloomberg

    @pytest.fixture
    def market(self) -> Market:
        """Return five-minute bars."""
        return MINUTES


class TestBloombergTicks(TickContract):
    """A minute of each of two days."""

    @pytest.fixture
    def source(self, bloomberg: Bloomberg) -> Bloomberg:
        """Return the source under test."""
        return bloomberg

    @pytest.fixture
    def market(self) -> Market:
        """Return one security."""
        return MINUTES


def test_days_are_as_printed(bloomberg: Bloomberg, terminal: Any) -> None:
    """Four hundred and not a hundred before the split, whatever the terminal's settings; from the open to the close."""
    rows = bloomberg.bars(DAYS, None, None).filter(symbol="IBM")

    told = terminal.days[IBM]
    assert rows["open"].to_list() == [day["PX_OPEN"] for day in told]
    assert rows["close"].to_list() == [day["PX_LAST"] for day in told]
    assert rows["volume"].to_list() == [day["PX_VOLUME"] for day in told]
    assert rows["opened_at"].equals(session.sessions("XNYS", date(2024, 1, 2), date(2024, 6, 28))["opened_at"], check_names=False)


def test_partial_responses_are_joined(bloomberg: Bloomberg, terminal: Any) -> None:
    """Half a year takes several messages a security."""
    rows = bloomberg.bars(DAYS, None, None)

    assert rows.height == len(terminal.days[IBM]) + len(terminal.days[MSFT])
    assert rows["symbol"].unique(maintain_order=True).to_list() == ["IBM", "MSFT"]


def test_five_minutes_are_bloombergs_own(bloomberg: Bloomberg) -> None:
    """The first of a day by hand: minutes 0 to 4, three events of ten shares each; vwap is value over volume."""
    rows = bloomberg.bars(MINUTES, None, None)

    first = rows.select("opened_at", "event_at", "open", "high", "low", "close", "volume", "trades", "vwap").row(0)
    opened = datetime(2024, 6, 27, 13, 30, tzinfo=UTC)
    assert first == (opened, opened + timedelta(minutes=5), 100.0, 105.0, 99.5, 104.5, 50.0, 15, (1005 * 5 + 100) / 50)
    assert rows.height == 2 * 78


def test_hours_begin_at_the_open(bloomberg: Bloomberg) -> None:
    """At half past, not at the hour: they are made of half hours; the last of a day is short."""
    rows = bloomberg.bars(HOURS, None, None)

    assert rows["opened_at"].dt.strftime("%H:%M").unique().sort().to_list() == [f"{hour}:30" for hour in range(13, 20)]
    assert rows["trades"].to_list() == [180] * 6 + [90] + [180] * 6 + [90]
    assert rows["event_at"].max() == datetime(2024, 6, 28, 20, tzinfo=UTC)


def test_minutes_that_are_no_longer_kept_are_refused(bloomberg: Bloomberg) -> None:
    """In one sentence that says from when on there are some."""
    with pytest.raises(ConfigurationError, match="keeps them for 140 trading days: ask from 2023-12-15"):
        bloomberg.bars(MINUTES, datetime(2023, 1, 1, tzinfo=UTC), None)


def test_weeks_are_made_here(bloomberg: Bloomberg) -> None:
    """The sentence says of what."""
    with pytest.raises(ConfigurationError, match=r"asks Bloomberg for 1w bars: set markets\.us\.stored to 1d"):
        bloomberg.bars(replace(DAYS, timeframe="1w"), None, None)


def test_a_currency_is_asked_by_its_bids(bloomberg: Bloomberg, terminal: Any) -> None:
    """It has no trades; a whole security keeps its yellow key."""
    at = datetime(2024, 6, 27, 9)  # noqa: DTZ001  # naive UTC, as the library gives it
    bar = {"open": 1.07, "high": 1.08, "low": 1.06, "close": 1.075, "volume": 0, "numEvents": 9, "value": 0.0}
    terminal.minutes["EURUSD Curncy"] = [{"time": at, **bar}]

    rows = bloomberg.bars(EURO, None, None)

    assert terminal.asked[-1].content["eventType"] == "BID"
    assert rows.select("symbol", "opened_at", "close", "trades").row(0) == ("EURUSD Curncy", at.replace(tzinfo=UTC), 1.075, 9)


def test_actions_are_what_was_declared(bloomberg: Bloomberg) -> None:
    """What was omitted is nothing; ex-dates open their sessions."""
    rows = bloomberg.actions(DAYS, None, None)

    assert rows.select("symbol", pl.col("event_at").dt.date(), "kind", "value").rows() == [
        ("IBM", date(2024, 2, 8), "dividend", 1.66),
        ("MSFT", date(2024, 2, 8), "dividend", 0.75),
        ("IBM", SPLIT, "split", 4.0),
        ("IBM", date(2024, 5, 9), "special_dividend", 0.5),
    ]


def test_what_has_no_worth_is_left_out_aloud(bloomberg: Bloomberg, terminal: Any, caplog: pytest.LogCaptureFixture) -> None:
    """A spin-off's ratio is no price."""
    terminal.facts[IBM]["DVD_HIST_ALL"] = [{"Ex-Date": date(2024, 4, 4), "Dividend Amount": 0.2, "Dividend Type": "Spinoff"}]

    rows = bloomberg.actions(replace(DAYS, symbols=("IBM",)), None, None)

    assert rows.is_empty()
    assert "left out: Spinoff of IBM US Equity on 2024-04-04" in caplog.text


def test_listings_know_the_first_day_and_the_sector(bloomberg: Bloomberg) -> None:
    """A sector that is not told is null."""
    rows = bloomberg.listings(DAYS, None, None)

    require_rows("listings", rows, DAYS)
    assert rows.select("symbol", pl.col("event_at").dt.date(), "kind", "sector").rows() == [
        ("IBM", date(1962, 1, 2), "listed", "IT"),
        ("MSFT", date(1986, 3, 13), "listed", None),
    ]


def test_a_quote_carries_its_other_side_through_the_day(bloomberg: Bloomberg) -> None:
    """A bid, then an ask beside it; the next day begins with a bid alone."""
    rows = bloomberg.quotes(MINUTES, None, None)

    assert rows.select("bid", "ask").rows()[:3] == [(100.01, None), (100.01, 100.02), (100.05, 100.02)]
    assert rows.filter(pl.col("event_at").dt.day() == 28)["ask"][0] is None


def test_an_error_for_one_security_names_it(bloomberg: Bloomberg) -> None:
    """Of days, of minutes, of ticks and of facts."""
    gone = replace(DAYS, symbols=("IBM", "GONE"))

    for asked, error in ((bloomberg.bars, NoData), (bloomberg.actions, NoData)):
        with pytest.raises(error, match="Bloomberg does not know 'GONE US Equity'"):
            asked(gone, None, None)
    for asked in (lambda: bloomberg.bars(replace(gone, timeframe="5m"), None, None), lambda: bloomberg.trades(gone, None, None)):
        with pytest.raises(DataError, match="GONE US Equity and refuses it"):
            asked()


def test_a_limit_is_not_asked_against(bloomberg: Bloomberg, terminal: Any, slept: list[float]) -> None:
    """The day's capacity is used up: asking again would use up tomorrow's patience."""
    terminal.failures, terminal.fault = -1, "limit"

    with pytest.raises(DataError, match=r"limits us .*Daily capacity reached.*go on tomorrow"):
        bloomberg.bars(DAYS, None, None)

    assert slept == []


def test_a_terminal_that_is_not_there_is_one_sentence(bloomberg: Bloomberg, terminal: Any) -> None:
    """It is closed, or somebody else's."""
    terminal.up = False

    with pytest.raises(ResourceError, match="at localhost:8194, but no terminal answers there: start it and log in"):
        bloomberg.bars(DAYS, None, None)


def test_the_address_is_environment(bloomberg: Bloomberg, terminal: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal on another machine; an address without a port is refused."""
    terminal.address = ("desk", 9000)
    monkeypatch.setenv("NIGHTSHIFT_BLOOMBERG", "desk:9000")
    assert bloomberg.bars(DAYS, None, None).height > 0

    monkeypatch.setenv("NIGHTSHIFT_BLOOMBERG", "desk")
    with pytest.raises(ConfigurationError, match="is 'desk', which names no port: right would be localhost:8194"):
        bloomberg.bars(DAYS, None, None)


def test_a_session_is_closed_when_it_is_done(bloomberg: Bloomberg, terminal: Any) -> None:
    """Also after an error."""
    bloomberg.bars(DAYS, None, None)
    with pytest.raises(NoData):
        bloomberg.bars(replace(DAYS, symbols=("GONE",)), None, None)

    assert terminal.sessions == terminal.stopped == 2


def test_without_the_library_one_sentence_says_how_to_get_it() -> None:
    """It is on no public registry."""
    source = Bloomberg(Parameters(yellow_key="US Equity", retries=1, timeout_s=5), clock=ReplayClock(NOW))

    with pytest.raises(ConfigurationError, match="blpapi is not installed: with a terminal's licence, install it as"):
        source.bars(DAYS, None, None)


def bar(word: str, minute: int, **numbers: float) -> tuple[str, str, dict[str, Any]]:
    """Return an event of Bloomberg's own bars."""
    at = datetime(2024, 6, 28, 13, minute, tzinfo=UTC)
    return "//blp/mktbar/ticker/IBM US Equity", word, {"DATE_TIME": at, **numbers}


def told(kind: str, detail: str, **content: Any) -> tuple[str, str, dict[str, Any]]:
    """Return an event of market data."""
    return IBM, "MarketDataEvents", {"MKTDATA_EVENT_TYPE": kind, "MKTDATA_EVENT_SUBTYPE": detail, **content}


EVENTS = [
    told("SUMMARY", "INITPAINT", LAST_PRICE=99.0, BID=98.5, BID_SIZE=3, ASK=99.5, ASK_SIZE=4),
    told("TRADE", "NEW", LAST_PRICE=100.0, SIZE_LAST_TRADE=50, EVT_TRADE_IDENTIFIER_RT="7",
         TRADE_UPDATE_STAMP_RT=datetime(2024, 6, 28, 13, 31, 1, tzinfo=UTC)),
    told("QUOTE", "BID", BID=99.75, BID_SIZE=2, BID_UPDATE_STAMP_RT=datetime(2024, 6, 28, 13, 31, 2, tzinfo=UTC)),
    bar("MarketBarStart", 30, OPEN=100.0, HIGH=100.0, LOW=100.0, CLOSE=100.0, VOLUME=50, NUMBER_OF_TICKS=1, VALUE=5000.0),
    bar("MarketBarUpdate", 30, HIGH=101.0, CLOSE=101.0, VOLUME=100, NUMBER_OF_TICKS=2, VALUE=10050.0),
    bar("MarketBarStart", 35, OPEN=101.0, HIGH=101.0, LOW=101.0, CLOSE=101.0, VOLUME=5, NUMBER_OF_TICKS=1, VALUE=505.0),
    bar("MarketBarIntervalEnd", 40),
    told("TRADE", "NEW", LAST_PRICE=101.0, SIZE_LAST_TRADE=5),
]  # fmt: skip


class TestBloombergLive(LiveContract):
    """A few minutes of one security, told again in every session."""

    @pytest.fixture
    def source(self, bloomberg: Bloomberg, terminal: Any) -> Bloomberg:
        """Return the source under test."""
        terminal.events = EVENTS * 3
        return bloomberg

    @pytest.fixture
    def market(self) -> Market:
        """Return five-minute bars."""
        return MINUTES


def listen(bloomberg: LiveSource, count: int) -> list[tuple[str, dict[str, Any]]]:
    """Return the first updates: their table and row."""
    return [(update.table, dict(update.row)) for update in heard(bloomberg, MINUTES, count)]


def test_live_rows_by_hand(bloomberg: Bloomberg, terminal: Any) -> None:
    """The first picture is no event, but its other side stands; a bar ends with its interval or with the next one's start."""
    terminal.events = EVENTS

    trade, quote, first, second, last = listen(bloomberg, 5)

    assert [table for table, _ in (trade, quote, first, second, last)] == ["trades", "quotes", "bars", "bars", "trades"]
    assert (trade[1]["price"], trade[1]["size"], trade[1]["trade_id"]) == (100.0, 50.0, "7")
    assert trade[1]["event_at"] == datetime(2024, 6, 28, 13, 31, 1, tzinfo=UTC)
    assert [quote[1][name] for name in ("bid", "bid_size", "ask", "ask_size")] == [99.75, 2, 99.5, 4]
    assert [first[1][name] for name in ("open", "high", "low", "close", "volume", "trades", "vwap")] == [
        100,
        101,
        100,
        101,
        100,
        2,
        100.5,
    ]
    assert first[1]["event_at"] == second[1]["opened_at"] == datetime(2024, 6, 28, 13, 35, tzinfo=UTC)
    assert last[1]["event_at"] == last[1]["known_at"] == NOW


def test_a_lost_session_is_opened_again(bloomberg: Bloomberg, terminal: Any) -> None:
    """Each session tells a trade and is lost; the reader sees nothing of it."""
    terminal.events = [EVENTS[1], ("", "SessionTerminated", {})]

    rows = listen(bloomberg, 2)

    assert [row["trade_id"] for _, row in rows] == ["7", "7"]
    assert terminal.sessions == 2


def test_a_refused_subscription_names_the_security(bloomberg: Bloomberg, terminal: Any) -> None:
    """It is for a person to mend."""
    reason = {"category": "BAD_SEC", "description": "Invalid security", "errorCode": 2, "source": "BBDB"}
    terminal.events = [(IBM, "SubscriptionFailure", {"reason": reason})]

    with pytest.raises(ConfigurationError, match=r"refuses a subscription to 'IBM US Equity' \(BAD_SEC : Invalid security\)"):
        listen(bloomberg, 1)


def test_a_terminal_that_stays_away_ends_listening(bloomberg: Bloomberg, terminal: Any) -> None:
    """After as many tries as there are."""
    terminal.up = False

    with pytest.raises(ResourceError, match="no terminal answers there"):
        listen(bloomberg, 1)

    assert terminal.sessions == 2
