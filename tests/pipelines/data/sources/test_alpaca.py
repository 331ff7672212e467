"""Alpaca's history through the genuine alpaca-py, against a server on this machine that speaks its protocol."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from domain import session
from domain.clock import ReplayClock
from domain.error import ConfigurationError, NoData
from domain.market import AssetClass, Market
from pipelines.data.sources.alpaca import Access, Alpaca
from pipelines.store import TABLES
from tests.alpaca import history
from tests.alpaca.history import Vendor
from tests.pipelines.data.sources import alpaca_shelf as shelf
from tests.pipelines.data.sources.alpaca_shelf import COIN_DAYS, COINS, DAILY, FIVE, HOURLY, LATER
from tests.pipelines.data.sources.contract import ActionContract, FaultContract, NewsContract, SourceContract, TickContract


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Yield a running vendor that answers in pages of three rows."""
    with shelf.answering(shelf.stocked()) as started:
        yield started


class TestAlpacaDays(SourceContract, ActionContract, NewsContract, FaultContract):
    """Daily stocks, their actions and headlines."""

    @pytest.fixture
    def source(self, vendor: Vendor) -> Alpaca:
        """Return the source under test."""
        return shelf.alpaca(vendor)

    @pytest.fixture
    def market(self) -> Market:
        """Return daily equities."""
        return DAILY

    @pytest.fixture
    def fail(self, vendor: Vendor) -> Callable[[int | None], None]:
        """Let Alpaca's servers be down."""
        return shelf.failing(vendor, history.down())


class TestAlpacaFiveMinutes(SourceContract):
    """Five minutes of stocks, pre-market included."""

    @pytest.fixture
    def source(self, vendor: Vendor) -> Alpaca:
        """Return the source under test; it waits for the delayed feed."""
        return shelf.alpaca(vendor, feed="delayed_sip")

    @pytest.fixture
    def market(self) -> Market:
        """Return five minutes."""
        return FIVE


class TestAlpacaHours(SourceContract):
    """Hours that are put together from halves."""

    @pytest.fixture
    def source(self, vendor: Vendor) -> Alpaca:
        """Return the source under test."""
        return shelf.alpaca(vendor)

    @pytest.fixture
    def market(self) -> Market:
        """Return hours."""
        return HOURLY


class TestAlpacaCoins(SourceContract, TickContract, FaultContract):
    """Crypto bars, prints and quotes, asked without a key."""

    @pytest.fixture
    def source(self, vendor: Vendor) -> Alpaca:
        """Return the source under test."""
        keyless = Access(data_url=vendor.url)
        return Alpaca(shelf.parameters(), keyless, clock=ReplayClock(LATER), sleep=lambda _: None)

    @pytest.fixture
    def market(self) -> Market:
        """Return two coins."""
        return COINS

    @pytest.fixture
    def fail(self, vendor: Vendor) -> Callable[[int | None], None]:
        """Let Alpaca limit us."""
        return shelf.failing(vendor, history.limited())


def test_a_day_runs_from_the_sessions_open_to_its_close(vendor: Vendor) -> None:
    """Alpaca stamps it with New York's midnight, before and after the clocks were changed."""
    rows = shelf.alpaca(vendor).bars(DAILY, None, None).filter(pl.col("symbol") == "AAPL")

    sessions = session.sessions("XNYS", shelf.session_day("2022-03-09"), shelf.session_day("2022-03-15"))
    assert rows["opened_at"].equals(sessions["opened_at"], check_names=False)
    assert rows["event_at"].equals(sessions["closed_at"], check_names=False)
    assert rows["known_at"].equals(rows["event_at"], check_names=False)


def test_numbers_are_those_of_the_answer(vendor: Vendor) -> None:
    """Vwap and the number of trades among them; unadjusted, of the chosen feed."""
    rows = shelf.alpaca(vendor).bars(DAILY, None, None)

    told = rows.select("open", "high", "low", "close", "volume", "trades", "vwap").rows()
    wanted = [
        tuple(row[name] for name in ("o", "h", "l", "c", "v", "n", "vw"))
        for name in DAILY.symbols
        for row in vendor.bars["1Day"][name]
    ]
    assert told == wanted
    assert {(asked["adjustment"], asked["feed"]) for _, asked in vendor.asked} == {("raw", "iex")}


def test_many_pages_are_one_answer(vendor: Vendor) -> None:
    """Ten rows in pages of three: four questions, each with the token of the answer before."""
    rows = shelf.alpaca(vendor).bars(DAILY, None, None)

    assert rows.height == 10
    assert len(vendor.asked) == 4
    assert len({asked.get("page_token") for _, asked in vendor.asked}) == 4


def test_extended_hours_are_kept(vendor: Vendor) -> None:
    """They are real; quality flags them, the source drops nothing."""
    rows = shelf.alpaca(vendor).bars(FIVE, None, None)

    assert rows.height == 24
    assert rows["opened_at"].min() == datetime(2022, 3, 9, 13, 30, tzinfo=UTC)


def test_the_delayed_feed_is_the_consolidated_one_a_quarter_of_an_hour_later(vendor: Vendor) -> None:
    """Nothing of the last fifteen minutes is asked for, which a free key may not, and nothing is known before they are over."""
    clock = ReplayClock(datetime(2022, 3, 9, 15, 2, tzinfo=UTC))

    rows = shelf.alpaca(vendor, clock=clock, feed="delayed_sip").bars(FIVE, None, None)

    assert rows["opened_at"].max() == datetime(2022, 3, 9, 14, 40, tzinfo=UTC)
    assert (rows["known_at"] - rows["event_at"]).unique().to_list() == [timedelta(minutes=15)]
    assert {asked["feed"] for _, asked in vendor.asked} == {"sip"}
    assert all(asked["end"] == "2022-03-09T14:47:00+00:00" for _, asked in vendor.asked)


@pytest.mark.fault("F29")
def test_a_bar_that_is_still_running_is_left_out(vendor: Vendor) -> None:
    """Asked two minutes after it opened."""
    clock = ReplayClock(datetime(2022, 3, 9, 14, 37, tzinfo=UTC))

    rows = shelf.alpaca(vendor, clock=clock).bars(FIVE, None, None)

    assert rows["event_at"].max() == datetime(2022, 3, 9, 14, 35, tzinfo=UTC)


def test_hours_begin_at_the_open_and_the_last_holds_nothing_of_the_post_market(vendor: Vendor) -> None:
    """By hand: halves from 8:00 New York; the session is 9:30 to 16:00, its last bar half an hour long."""
    rows = shelf.alpaca(vendor).bars(HOURLY, None, None)

    halves = vendor.bars["30Min"]["AAPL"]
    assert rows["opened_at"].dt.convert_time_zone("America/New_York").dt.to_string("%H:%M").to_list() == [
        "07:30", "08:30", "09:30", "10:30", "11:30", "12:30", "13:30", "14:30", "15:30", "16:00",
    ]  # fmt: skip
    first = rows.filter(pl.col("opened_at") == datetime(2022, 3, 9, 14, 30, tzinfo=UTC)).row(0, named=True)
    two = halves[3:5]
    assert (first["open"], first["close"]) == (two[0]["o"], two[1]["c"])
    assert (first["high"], first["low"]) == (two[1]["h"], two[0]["l"])
    assert (first["volume"], first["trades"]) == (two[0]["v"] + two[1]["v"], two[0]["n"] + two[1]["n"])
    assert first["vwap"] == pytest.approx(sum(row["vw"] * row["v"] for row in two) / sum(row["v"] for row in two), rel=1e-15)
    last = rows.filter(pl.col("opened_at") == datetime(2022, 3, 9, 20, 30, tzinfo=UTC)).row(0, named=True)
    assert last["event_at"] == datetime(2022, 3, 9, 21, tzinfo=UTC)
    assert last["volume"] == halves[15]["v"]


def test_a_day_of_crypto_is_a_day_of_utc(vendor: Vendor) -> None:
    """Alpaca's own begin at a midnight of America: ours are put together from hours."""
    rows = shelf.alpaca(vendor, clock=ReplayClock(datetime(2022, 3, 11, 12, tzinfo=UTC))).bars(COIN_DAYS, None, None)

    hours = vendor.bars["1Hour"]["BTC/USD"]
    assert rows["opened_at"].to_list() == [datetime(2022, 3, day, tzinfo=UTC) for day in (9, 10)]
    assert rows["volume"].to_list() == [sum(row["v"] for row in hours[:24]), sum(row["v"] for row in hours[24:48])]
    assert rows["close"].to_list() == [hours[23]["c"], hours[47]["c"]]


def test_actions_are_told_by_their_kinds(vendor: Vendor) -> None:
    """By hand: two dividends of one day are one, a reverse split 1 for 50 leaves a fiftieth, a quarter share at its open of 163."""
    rows = shelf.alpaca(vendor).actions(DAILY, None, None)

    told = rows.select(pl.col("event_at").dt.date().cast(pl.String), "symbol", "kind", "value", "other").rows()
    assert told == [
        ("2022-03-10", "AAPL", "dividend", 0.25, None),
        ("2022-03-10", "AAPL", "special_dividend", 2.5, None),
        ("2022-03-11", "MSFT", "split", 0.02, None),
        ("2022-03-14", "AAPL", "split", 4.0, None),
        ("2022-03-14", "MSFT", "spinoff", 163.0 / 4, None),
        ("2022-03-15", "MSFT", "stock_dividend", 0.05, None),
        ("2022-03-15", "MSFT", "symbol_change", None, "MSF"),
    ]
    assert rows["known_at"].equals(rows["event_at"], check_names=False)
    assert rows["event_at"][0] == datetime(2022, 3, 10, 14, 30, tzinfo=UTC)


def test_a_spin_off_without_a_price_is_left_out_with_a_word(vendor: Vendor, caplog: pytest.LogCaptureFixture) -> None:
    """Its worth is not known, and a made-up one would be worse than the jump that quality sees."""
    vendor.actions["spin_offs"][0]["new_symbol"] = "NEWCO"

    rows = shelf.alpaca(vendor).actions(DAILY, None, None)

    assert "spinoff" not in rows["kind"].to_list()
    assert "no price of NEWCO, which MSFT handed out" in caplog.text


def test_crypto_has_no_actions(vendor: Vendor) -> None:
    """And is not asked for any."""
    rows = shelf.alpaca(vendor).actions(COINS, None, None)

    assert rows.is_empty()
    assert rows.schema == TABLES["actions"].schema
    assert not vendor.asked


def test_headlines_are_plain_one_a_symbol_and_known_when_last_changed(vendor: Vendor) -> None:
    """History holds an article as it reads now: before it was updated nobody could read that."""
    rows = shelf.alpaca(vendor).news(DAILY, None, None)

    told = [(row["symbol"], row["headline"], f"{row['event_at']:%d %H}", f"{row['known_at']:%d %H}") for row in rows.to_dicts()]
    assert told == [
        ("AAPL", "Apple & Microsoft rise", "09 09", "09 09"),
        ("MSFT", "Apple & Microsoft rise", "09 09", "09 09"),
        ("AAPL", "Johnson 's view: AT&T up", "09 10", "09 10"),
        ("MSFT", "Microsoft wins a contract", "10 12", "10 13"),
        ("AAPL", "Apple cuts its outlook", "11 12", "11 12"),
    ]


def test_news_of_coins_are_asked_by_their_names_in_news(vendor: Vendor) -> None:
    """BTC/USD is BTCUSD there, and BTC/USD again here."""
    vendor.articles[0]["symbols"] = ["BTCUSD"]

    rows = shelf.alpaca(vendor).news(COINS, None, None)

    assert rows["symbol"].to_list() == ["BTC/USD"]


def test_prints_of_one_microsecond_are_all_kept(vendor: Vendor) -> None:
    """Alpaca counts nanoseconds: both bounds include the whole microsecond."""
    at = datetime(2022, 3, 9, 5, 0, 16, 910000, tzinfo=UTC)

    rows = shelf.alpaca(vendor).trades(COINS, at, at)

    assert rows.select("symbol", "side").rows() == [
        ("BTC/USD", "sell"),
        ("BTC/USD", "buy"),
        ("ETH/USD", "sell"),
        ("ETH/USD", "buy"),
    ]


def test_a_print_that_was_taken_back_has_no_size(vendor: Vendor) -> None:
    """And one that replaces another is a print like any."""
    market = replace(FIVE, symbols=("AAPL",))
    base: dict[str, Any] = {"t": "2022-03-09T15:00:02.183Z", "x": "D", "p": 159.07, "s": 100, "c": ["@", "T", "I"], "z": "C"}
    vendor.trades["AAPL"] = [
        base | {"i": 1},
        base | {"i": 2, "u": "canceled"},
        base | {"i": 3, "u": "incorrect"},
        base | {"i": 4, "u": "corrected"},
    ]

    rows = shelf.alpaca(vendor).trades(market, None, None)

    assert rows.select("trade_id", "size", "conditions").rows() == [
        ("D:1", 100.0, "@ T I"), ("D:2", 0.0, "@ T I"), ("D:3", 0.0, "@ T I"), ("D:4", 100.0, "@ T I"),
    ]  # fmt: skip


def test_quotes_of_one_moment_are_numbered(vendor: Vendor) -> None:
    """And a side that nobody quotes is null."""
    rows = shelf.alpaca(vendor).quotes(replace(COINS, symbols=("BTC/USD",)), None, None)

    assert rows["sequence"].to_list() == [0, 1, 2, 0, 0, 0]
    assert rows["ask"].to_list() == [101.0, 102.0, 103.0, None, 105.0, 106.0]
    assert rows["ask_size"][3] is None


@pytest.mark.parametrize("ask", ["bars", "news", "actions"])
def test_without_a_key_one_sentence_says_what_to_do(vendor: Vendor, ask: str) -> None:
    """It names both variables and what the key was needed for."""
    source = Alpaca(shelf.parameters(), Access(data_url=vendor.url), clock=ReplayClock(LATER))

    with pytest.raises(ConfigurationError, match=r"AAPL, MSFT .* needs a key, and ALPACA_API_KEY and ALPACA_SECRET_KEY is not set"):
        getattr(source, ask)(DAILY, None, None)

    assert not vendor.asked


def test_a_refused_key_is_one_sentence_without_the_key(vendor: Vendor) -> None:
    """And is not tried again."""
    source = Alpaca(shelf.parameters(), Access("PKWRONG", "secret-wrong", vendor.url), clock=ReplayClock(LATER))

    with pytest.raises(ConfigurationError, match=r"refuses it \(403 forbidden\.\): correct the key") as caught:
        source.bars(DAILY, None, None)

    assert len(vendor.asked) == 1
    assert "wrong" not in str(caught.value).lower()
    assert "wrong" not in repr(source).lower()


@pytest.mark.parametrize("names", [("ALPACA_API_KEY", "ALPACA_SECRET_KEY"), ("APCA_API_KEY_ID", "APCA_API_SECRET_KEY")])
def test_keys_are_found_by_the_names_that_people_have(names: tuple[str, str]) -> None:
    """Ours, and those of Alpaca's own clients; an empty variable is none."""
    found = Access.from_environment({names[0]: "k", names[1]: "s", "ALPACA_DATA_URL": ""})

    assert found.keys("anything") == ("k", "s")
    assert found.data_url is None


@pytest.mark.parametrize(
    ("market", "sentence"),
    [
        (replace(DAILY, symbols=()), "list them in markets.us.symbols"),
        (replace(DAILY, asset_class=AssetClass.FX, calendar="24/5"), "it has equity and crypto"),
    ],
)
def test_what_alpaca_cannot_be_asked_is_a_fault_of_the_parameters(vendor: Vendor, market: Market, sentence: str) -> None:
    """No symbols, or an asset class that it does not have."""
    with pytest.raises(ConfigurationError, match=sentence):
        shelf.alpaca(vendor).bars(market, None, None)


def test_a_symbol_that_has_nothing_from_its_beginning_is_named(vendor: Vendor) -> None:
    """Nothing since a moment is fine for one of two; nothing ever is not, nor nothing of anybody."""
    both, source = replace(DAILY, symbols=("AAPL", "GONE")), shelf.alpaca(vendor)

    rows = source.bars(both, datetime(2022, 3, 10, tzinfo=UTC), None)

    assert rows["symbol"].unique().to_list() == ["AAPL"]
    with pytest.raises(NoData, match="Alpaca has no 1d bars of GONE from the beginning to now"):
        source.bars(both, None, None)
    with pytest.raises(NoData, match="Alpaca has no 1d bars of AAPL, MSFT from 2022-03-12 00:00 to 2022-03-13 00:00"):
        source.bars(DAILY, datetime(2022, 3, 12, tzinfo=UTC), datetime(2022, 3, 13, tzinfo=UTC))
