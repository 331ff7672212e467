"""What the local Alpaca has in tests: days of stocks around a change of clocks, hours of crypto, ticks, headlines, actions."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any

from domain.clock import Clock, ReplayClock
from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from domain.params import Alpaca as Parameters
from pipelines.data.sources.alpaca import Access, Alpaca
from tests.alpaca import history
from tests.alpaca.history import KEY, SECRET, Fault, Row, Vendor

COST = Cost(fee_bps=1, spread_bps=1, slippage_bps=1, impact=0, borrow_bps_year=0)
DAILY = Market("us", AssetClass.EQUITY, "XNYS", "1d", "alpaca", 5, COST, Instrument(), ("AAPL", "MSFT"))
FIVE = replace(DAILY, name="us_5m", timeframe="5m", symbols=("AAPL",))
HOURLY = replace(DAILY, name="us_1h", timeframe="1h", symbols=("AAPL",))
COINS = Market(
    "coins", AssetClass.CRYPTO, "24/7", "5m", "alpaca", 6, COST, Instrument(lot=1e-4, shortable=False), ("BTC/USD", "ETH/USD")
)
COIN_DAYS = replace(COINS, name="coin_days", timeframe="1d", symbols=("BTC/USD",))
LATER = datetime(2026, 1, 1, tzinfo=UTC)

#: Sessions around New York's change of clocks on 13 March 2022, by their midnights in UTC.
DAYS = ["2022-03-09T05:00:00Z", "2022-03-10T05:00:00Z", "2022-03-11T05:00:00Z", "2022-03-14T04:00:00Z", "2022-03-15T04:00:00Z"]


def parameters(**others: object) -> Parameters:
    """Return parameters with two retries and a short patience."""
    chosen = {"feed": "iex", "channels": ["bars"], "retries": 2, "timeout_s": 5.0, "silence_s": 60.0, **others}
    return Parameters.model_validate(chosen)


def alpaca(vendor: Vendor, slept: list[float] | None = None, clock: Clock | None = None, **others: object) -> Alpaca:
    """Return the source, asking the local Alpaca; waits are noted and not slept."""
    waits = [] if slept is None else slept
    access = Access(KEY, SECRET, vendor.url)
    return Alpaca(parameters(**others), access, clock=clock or ReplayClock(LATER), sleep=waits.append)


def day(stamp: str, i: int) -> Row:
    """Return a day's bar; every price is told apart by its day."""
    return {
        "t": stamp,
        "o": 160.0 + i,
        "h": 165.5 + i,
        "l": 158.25 + i,
        "c": 163.0 + i,
        "v": 88_496_480 + i,
        "n": 700_291 + i,
        "vw": 161.9 + i,
    }


def series(first: datetime, step: timedelta, count: int) -> list[Row]:
    """Return bars in a row."""
    return [
        history.bar(first + i * step, 100.0 + i, 101.5 + i, 99.5 + i, 100.5 + i, 10.0 + i, n=3 + i, vw=100.25 + i)
        for i in range(count)
    ]


def stocked() -> Vendor:
    """Return a vendor with something of everything."""
    midnight, five = datetime(2022, 3, 9, tzinfo=UTC), timedelta(minutes=5)
    days = {name: [day(stamp, 10 * k + i) for i, stamp in enumerate(DAYS)] for k, name in enumerate(DAILY.symbols)}
    # From an hour before the open to an hour after it.
    early = series(midnight + timedelta(hours=13.5), five, 24)
    fives = {"AAPL": early, "BTC/USD": series(midnight, five, 12), "ETH/USD": series(midnight, five, 7)}
    # From an hour and a half before the open to an hour after the close.
    halves = {"AAPL": series(midnight + timedelta(hours=13), timedelta(minutes=30), 18)}
    hours = {"BTC/USD": series(midnight, timedelta(hours=1), 60)}
    return Vendor(
        bars={"1Day": days, "5Min": fives, "30Min": halves, "1Hour": hours},
        trades={"BTC/USD": trades("BTC/USD"), "ETH/USD": trades("ETH/USD")},
        quotes={"BTC/USD": quotes(), "ETH/USD": quotes()},
        articles=articles(),
        actions=actions(),
    )


def trades(symbol: str) -> list[Row]:
    """Return crypto prints, two of them in one microsecond."""
    moments = ["05:00:02.183Z", "05:00:16.91Z", "05:00:16.910000100Z", "05:00:17Z", "05:00:18.5Z", "05:00:21.000001Z"]
    return [
        {
            "t": f"2022-03-09T{moment}",
            "p": 41_516.08 + i,
            "s": 0.001 * (i + 1),
            "tks": "BS"[i % 2],
            "i": 293_648_598 + i + len(symbol),
        }
        for i, moment in enumerate(moments)
    ]


def quotes() -> list[Row]:
    """Return crypto quotes: three in one microsecond, and one without an ask."""
    moments = ["09:00:00.000059Z", "09:00:00.000059Z", "09:00:00.000059900Z", "09:00:01Z", "09:00:02Z", "09:00:03.5Z"]
    rows: list[Row] = [
        {"t": f"2022-03-09T{moment}", "bp": 100.0 + i, "bs": 1.5, "ap": 101.0 + i, "as": 2} for i, moment in enumerate(moments)
    ]
    rows[3] |= {"ap": 0, "as": 0}
    return rows


def articles() -> list[Row]:
    """Return headlines as Benzinga sends them, one of them changed an hour later."""
    texts = {
        "2022-03-09T09:16:41Z": ("Apple &amp; Microsoft <b>rise</b>", ["AAPL", "MSFT", "QQQ"]),
        "2022-03-09T10:00:00Z": ("Johnson &#39;s view: AT&amp;amp;T up", ["AAPL"]),
        "2022-03-10T12:00:00Z": ("Microsoft wins a contract", ["MSFT"]),
        "2022-03-11T12:00:00Z": ("Apple cuts its outlook", ["AAPL", "TSLA"]),
    }
    same = {"source": "benzinga", "summary": "", "content": "", "author": "Benzinga Newsdesk", "images": [], "url": ""}
    rows: list[Row] = [
        {"id": 41_799_100 + i, "headline": text, "created_at": at, "updated_at": at, "symbols": symbols, **same}
        for i, (at, (text, symbols)) in enumerate(texts.items())
    ]
    rows[2]["updated_at"] = "2022-03-10T13:00:00Z"
    return rows


def actions() -> dict[str, list[Row]]:
    """Return one of each kind that is known."""
    tenth, eleventh, fourteenth, fifteenth = (
        {"ex_date": f"2022-03-{day}", "process_date": f"2022-03-{day}"} for day in (10, 11, 14, 15)
    )
    paid = {"symbol": "AAPL", "foreign": False, **tenth, "process_date": "2022-03-24"}
    handed_out = {"source_symbol": "MSFT", "source_rate": 4, "new_symbol": "AAPL", "new_rate": 1, **fourteenth}
    return {
        "cash_dividends": [
            {"id": "a1", "rate": 0.22, "special": False, **paid},
            {"id": "a2", "rate": 0.03, "special": False, **paid},
            {"id": "a3", "rate": 2.5, "special": True, **paid},
        ],
        "forward_splits": [{"id": "b1", "symbol": "AAPL", "new_rate": 4, "old_rate": 1, **fourteenth}],
        "reverse_splits": [{"id": "b2", "symbol": "MSFT", "new_rate": 1, "old_rate": 50, **eleventh}],
        "stock_dividends": [{"id": "c1", "symbol": "MSFT", "rate": 0.05, **fifteenth}],
        "spin_offs": [{"id": "d1", **handed_out}],
        "name_changes": [{"id": "e1", "old_symbol": "MSFT", "new_symbol": "MSF", "process_date": "2022-03-15"}],
    }


def failing(vendor: Vendor, fault: Fault) -> Callable[[int | None], None]:
    """Return the switch that the contract of faults asks for."""

    def fail(times: int | None) -> None:
        vendor.faults[:] = [fault] * (times or 0)
        vendor.always = fault if times is None else None

    return fail


@contextmanager
def answering(vendor: Vendor, page_rows: int = 3) -> Iterator[Vendor]:
    """Let a vendor answer in pages of a few rows."""
    vendor.page_rows = page_rows
    with history.running(vendor) as started:
        yield started


def session_day(text: str) -> date:
    """Return a date."""
    return date.fromisoformat(text)


def values(row: Row, names: str) -> list[Any]:
    """Return the fields that are called so, one letter each."""
    return [row[name] for name in names]
