"""Indices, currencies, futures, crypto, funds and foreign shares: each kind of symbol at its own times, from recorded answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd
import polars as pl
import pytest
import yfinance

from domain import params
from domain.clock import ReplayClock
from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from domain.params import Yahoo as Parameters
from pipelines.data import quality
from pipelines.data.sources.yahoo import Yahoo
from tests.pipelines.data.sources.chart_server import DATA, ROOT, Exchange, recorded, serving, speak

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded answers of Yahoo are not in {DATA}")

COST = Cost(fee_bps=1, spread_bps=1, slippage_bps=1, impact=0, borrow_bps_year=0)
EQUITY, CRYPTO, FX = AssetClass.EQUITY, AssetClass.CRYPTO, AssetClass.FX


@dataclass(frozen=True)
class Kind:
    """A symbol, the calendar that fits it, and when the first recorded bar opened and was whole."""

    symbol: str
    asset_class: AssetClass
    calendar: str
    opened_at: str
    event_at: str
    bars: int
    close: float


KINDS = [
    # Yahoo's day of a currency runs from midnight to midnight in London, two hours longer than the session of New York.
    Kind("EURUSD=X", FX, "24/5", "2019-12-31 22:00", "2020-01-02 00:00", 3, 1.1220826),
    Kind("BTC-USD", CRYPTO, "24/7", "2020-01-01 00:00", "2020-01-02 00:00", 3, 7200.1743),
    # Globex: from 18:00 New York of the evening before to 17:00.
    Kind("GC=F", EQUITY, "CMEGlobex_Gold", "2020-01-01 23:00", "2020-01-02 22:00", 1, 1524.5),
    Kind("AZT.OL", EQUITY, "XOSL", "2020-01-02 08:00", "2020-01-02 15:20", 1, 4.99),
    # A fund is priced in the evening: known from midnight in Toronto.
    Kind("0P000071W8.TO", EQUITY, "XTSE", "2020-01-02 14:30", "2020-01-03 05:00", 1, 73.72),
]
INDEX = Kind("^GSPC", EQUITY, "XNYS", "2024-01-16 14:30", "2024-01-16 21:00", 1, 4790.75)


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    """Yield a running stand-in."""
    yfinance.set_tz_cache_location(str(tmp_path))
    with serving() as stand_in:
        yield stand_in


def source(exchange: Exchange, *, repair: bool = False) -> Yahoo:
    """Return the source, asking the stand-in years later."""
    parameters = Parameters(retries=0, spacing_s=0.0, settled_days=7, repair=repair)
    return Yahoo(parameters, exchange.client(), clock=ReplayClock(datetime(2026, 1, 1, tzinfo=UTC)), sleep=lambda _: None)


def market(kind: Kind) -> Market:
    """Return a market with this symbol alone."""
    return Market("one", kind.asset_class, kind.calendar, "1d", "yahoo", 5, COST, Instrument(), (kind.symbol,))


def times(rows: pl.DataFrame) -> list[str]:
    """Return when the first bar opened and when it was whole."""
    return [f"{moment:%Y-%m-%d %H:%M}" for moment in rows.select("opened_at", "event_at").row(0)]


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.symbol)
def test_a_day_is_at_its_own_times(exchange: Exchange, kind: Kind) -> None:
    """It opens with its session and is not known before all of it has happened; quality finds it where it expects it."""
    exchange.answers[kind.symbol] = [(200, recorded(f"{kind.symbol}-2020-01-01-to-2020-01-03"))]

    rows = source(exchange).bars(market(kind), None, None)

    assert rows.height == kind.bars
    assert times(rows) == [kind.opened_at, kind.event_at]
    assert rows["close"][0] == pytest.approx(kind.close, rel=2.0**-23)
    assert quality.inspect(rows, market(kind), params.load(ROOT / "params.yaml").quality).quarantined.is_empty()


def test_an_index_has_the_hours_of_its_exchange(exchange: Exchange) -> None:
    """Its name begins with a caret, which an address must write otherwise."""
    table = pd.DataFrame(
        {"Open": [4770.0], "High": [4800.5], "Low": [4760.25], "Close": [4790.75], "Volume": [3_000_000]},
        index=pd.DatetimeIndex(["2024-01-16"]).tz_localize("America/New_York"),
    )
    facts = {"symbol": "^GSPC", "currency": "USD", "instrumentType": "INDEX", "exchangeTimezoneName": "America/New_York"}
    exchange.answers["^GSPC"] = [speak(table, facts)]

    rows = source(exchange, repair=True).bars(market(INDEX), None, None)

    assert [f"{moment:%Y-%m-%d %H:%M}" for moment in rows.select("opened_at", "event_at").row(0)] == [
        INDEX.opened_at,
        INDEX.event_at,
    ]
    assert rows["close"][0] == INDEX.close


def test_hours_of_a_currency_lie_on_the_hour(exchange: Exchange) -> None:
    """From Sunday evening on, in UTC, whatever the clocks of London do."""
    stamps = pd.date_range("2024-06-02 22:00", periods=5, freq="h", tz="UTC").tz_convert("Europe/London")
    table = pd.DataFrame(dict.fromkeys(["Open", "High", "Low", "Close"], 1.085), index=stamps).assign(Volume=0)
    facts = {"symbol": "EURUSD=X", "currency": "USD", "instrumentType": "CURRENCY", "exchangeTimezoneName": "Europe/London"}
    days = table.iloc[3:4].set_axis(pd.DatetimeIndex(["2024-06-03"], tz="Europe/London"))
    hour, day = speak(table, facts, "1h"), speak(days, facts)
    exchange.answers["EURUSD=X"] = [lambda query: (hour if query.get("interval") == "1h" else day)(query)]
    hours = Market("fx", FX, "24/5", "1h", "yahoo", 5, COST, Instrument(), ("EURUSD=X",))
    asked = source(exchange)
    asked.clock = ReplayClock(datetime(2024, 6, 4, tzinfo=UTC))

    rows = asked.bars(hours, None, None)

    assert rows["opened_at"].to_list() == [stamp.to_pydatetime() for stamp in stamps.tz_convert("UTC")]
