"""Source: Alpaca as the rest of the house asks it."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

from domain import action
from domain.clock import Clock, SystemClock
from domain.error import ConfigurationError, NoData
from domain.market import AssetClass, Market
from domain.params import Alpaca as Parameters
from pipelines.data.sources.alpaca import checking, listening, rows
from pipelines.data.sources.alpaca.access import Access
from pipelines.data.sources.alpaca.asking import SYMBOLS_MAX, Desk, Question
from pipelines.data.sources.alpaca.checking import Kind
from pipelines.data.sources.contract import Update

if TYPE_CHECKING:
    from alpaca.data.timeframe import TimeFrame

LOG = logging.getLogger(__name__)
DAY = timedelta(days=1)
#: Before this Alpaca has nothing; without a beginning it would answer with the present day alone.
OLDEST = datetime(2015, 1, 1, tzinfo=UTC)
#: What the delayed consolidated feed waits.
DELAY = timedelta(minutes=15)
#: Where each asset class is asked.
SERVICES = {AssetClass.EQUITY: ("stocks", "/stocks/"), AssetClass.CRYPTO: ("crypto", "/crypto/us/")}
#: Our timeframes by minutes asked for. Alpaca begins its longer bars on the hour or at a midnight that is not ours: those are put
#: together from finer ones. It has the day of a stock, closing auction included, as the exchange tells it.
MINUTES = {
    AssetClass.EQUITY: {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 30, "2h": 30, "4h": 30, "1d": 1440, "1w": 1440},
    AssetClass.CRYPTO: {"1m": 1, "5m": 5, "15m": 15, "30m": 30, "1h": 60, "2h": 60, "4h": 60, "1d": 60, "1w": 60},
}
ROWS_MAX, ARTICLES_MAX, EVENTS_MAX = 10_000, 50, 1_000
#: Alpaca finds actions and headlines by days of its own (processed, updated) around the one that counts for us.
AROUND = timedelta(days=90)


@dataclass
class Alpaca:
    """Prices as they were printed, of the feed that the parameters choose. Crypto's history needs no key, everything else does."""

    parameters: Parameters
    access: Access = field(default_factory=Access.from_environment)
    publication_delay_s: float = 0.0
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep
    pause: Callable[[float], Awaitable[None]] = asyncio.sleep

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the closed bars of the market's symbols, opened from `since` to `until`, pre-market and post-market included.

        Raises NoData when a symbol asked for from its beginning has nothing, or all have nothing; ConfigurationError for a missing
        or refused key or a market that Alpaca does not have; ResourceError when it cannot be reached or limits us; DataError when
        its answer is not whole.
        """
        minutes = _minutes(market)
        length = timedelta(minutes=minutes)
        reach = market.bar if length == DAY or length != market.bar else timedelta(0)
        asked = self._series(market, checking.BARS, _less(since, reach), _more(until, reach), timeframe=_timeframe(minutes))
        delay = timedelta(seconds=self.publication_delay_s) + self._delay(market)
        told = rows.delayed(rows.between([rows.bars(table, market, length) for table in asked], "opened_at", since, until), delay)
        closed = told.filter(pl.col("known_at") <= self.clock.now())
        silent = sorted(set(market.symbols) - set(closed["symbol"].unique()))
        if silent and (since is None or len(silent) == len(market.symbols)):
            raise NoData(
                f"Alpaca has no {market.timeframe} bars of {', '.join(silent)} {_span(since, until)}: correct or remove the symbol"
            )
        return closed

    def actions(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return what happened to shares as rows of the store's table `actions`, known from the open of the ex-date.

        Dividends, splits, stock dividends, spin-offs and changes of symbol. Raises as `bars` does.
        """
        if market.asset_class is not AssetClass.EQUITY:
            return rows.no_events()
        first, last = (since or OLDEST) - AROUND, min(until or self.clock.now(), self.clock.now()) + AROUND
        told = []
        for symbols in _blocks(market):
            fields = _events(symbols, first, last)
            what = "corporate actions"
            question = Question("actions", "/corporate-actions", fields, "corporate_actions", symbols, first, last, what)
            told.append(self._desk().answer(question, rows.Events(question, market)))
        past = rows.between(told, "event_at", since, until).filter(pl.col("event_at") <= self.clock.now())
        return rows.merged(self._priced(past, market))

    def news(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return headlines as rows of the store's table `news`: published from `since` to `until`, known since last updated."""
        from alpaca.data.requests import NewsRequest

        now = self.clock.now()
        first, last = since or OLDEST, min(_more(until, AROUND) or now, now)
        told = []
        for symbols in _blocks(market):
            names = ",".join(rows.written(symbol) for symbol in symbols)
            fields = NewsRequest(start=first, end=last, symbols=names, limit=ARTICLES_MAX, sort="asc").to_request_fields()
            question = Question("news", "/news", fields, "news", symbols, first, last, "headlines")
            told.append(self._desk().answer(question, rows.Articles(question, market)))
        published = rows.between(told, "event_at", since, until).unique(maintain_order=True)
        return published.sort("event_at", "symbol", "headline")

    def trades(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return prints as rows of the store's table `trades`. A liquid symbol has a million a day: ask for a stretch."""
        asked = self._series(market, checking.TRADES, since, _next(until))
        return self._ticks([rows.trades(table, market) for table in asked], market, since, until)

    def quotes(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return best quotes as rows of the store's table `quotes`. A liquid symbol has millions a day: ask for a stretch."""
        asked = self._series(market, checking.QUOTES, since, _next(until))
        return self._ticks([rows.quotes(table, market) for table in asked], market, since, until)

    def updates(self, market: Market) -> AsyncIterator[Update]:
        """Yield what arrives on the channels of the parameters: see `contract.LiveSource`."""
        _blocks(market)
        return listening.listen(market, self.parameters, self.access, self.clock, self.pause, self._delay(market))

    def _priced(self, events: pl.DataFrame, market: Market) -> pl.DataFrame:
        """Return the events with spin-offs worth money: the shares handed out at the new company's first open on the ex-date.

        One whose new company Alpaca has no price of is left out with a word in the log: quality will see the jump it leaves.
        """
        spinoffs = events.filter(pl.col("kind") == action.Kind.SPINOFF)
        if spinoffs.is_empty():
            return events
        companies = replace(market, timeframe="1d", symbols=tuple(spinoffs["other"].unique().sort()))
        days = spinoffs["event_at"].sort().to_list()
        asked = self._series(companies, checking.BARS, days[0] - DAY, days[-1], timeframe=_timeframe(1440))
        opens = pl.concat(rows.bars(table, companies, DAY) for table in asked)
        opens = opens.select("open", event_at="opened_at", other="symbol")
        found = events.join(opens, on=["other", "event_at"], how="left", maintain_order="left")
        spun = pl.col("kind") == action.Kind.SPINOFF
        unpriced = found.filter(spun & pl.col("open").is_null())
        for symbol, company, at in unpriced.select("symbol", "other", "event_at").rows():
            LOG.warning("left out a spin-off: Alpaca has no price of %s, which %s handed out on %s", company, symbol, at)
        priced = found.with_columns(value=pl.when(spun).then(pl.col("value") * pl.col("open")).otherwise("value"))
        return priced.filter(~spun | pl.col("open").is_not_null()).drop("open")

    def _ticks(self, told: list[pl.DataFrame], market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        delay = timedelta(seconds=self.publication_delay_s) + self._delay(market)
        return rows.delayed(rows.between(told, "event_at", since, until), delay)

    def _series(
        self, market: Market, kind: Kind, since: datetime | None, until: datetime | None, **more: Any
    ) -> Iterator[pl.DataFrame]:
        """Yield the rows of each block of symbols."""
        service, path = SERVICES[market.asset_class]
        newest = self.clock.now() - self._delay(market)
        first, last = since or OLDEST, min(until or newest, newest)
        what = f"{market.timeframe} bars" if kind is checking.BARS else kind.name
        for symbols in _blocks(market):
            fields = _request(market, kind, symbols, first, last, self.parameters.feed, more) | {"limit": ROWS_MAX}
            question = Question(service, path + kind.name, fields, kind.name, symbols, first, last, what)
            series = checking.Series(question, kind)
            yield self._desk().answer(question, series) if first <= last else series({})

    def _desk(self) -> Desk:
        return Desk(self.access, self.parameters.retries, self.parameters.timeout_s, self.clock, self.sleep)

    def _delay(self, market: Market) -> timedelta:
        late = market.asset_class is AssetClass.EQUITY and self.parameters.feed == "delayed_sip"
        return DELAY if late else timedelta(0)


def _request(
    market: Market, kind: Kind, symbols: tuple[str, ...], first: datetime, last: datetime, feed: str, more: dict[str, Any]
) -> dict[str, Any]:
    """Return the fields of a question as the genuine client's own requests make them."""
    from alpaca.data import requests
    from alpaca.data.enums import Adjustment, DataFeed

    common = {"symbol_or_symbols": list(symbols), "start": first, "end": last}
    if market.asset_class is AssetClass.CRYPTO:
        made = {"bars": requests.CryptoBarsRequest, "trades": requests.CryptoTradesRequest, "quotes": requests.CryptoQuoteRequest}
    else:
        made = {"bars": requests.StockBarsRequest, "trades": requests.StockTradesRequest, "quotes": requests.StockQuotesRequest}
        # What is delayed live is the consolidated feed in history, as long as nothing of the last minutes is asked for.
        common["feed"] = DataFeed("sip" if feed == "delayed_sip" else feed)
        common |= {"adjustment": Adjustment.RAW} if kind is checking.BARS else {}
    fields: dict[str, Any] = made[kind.name](**common, **more).to_request_fields()
    return {name: str(value) if name == "timeframe" else value for name, value in fields.items()}


def _events(symbols: tuple[str, ...], first: datetime, last: datetime) -> dict[str, Any]:
    """Return the fields of a question for corporate actions: lists become words, as the genuine client makes them."""
    from alpaca.data.enums import CorporateActionsType
    from alpaca.data.requests import CorporateActionsRequest

    kinds = [CorporateActionsType(kind) for kind in rows.EVENTS]
    asked = CorporateActionsRequest(types=kinds, symbols=list(symbols), start=first.date(), end=last.date(), limit=EVENTS_MAX)
    fields: dict[str, Any] = asked.to_request_fields()
    return fields | {name: ",".join(fields[name]) for name in ("symbols", "types")}


def _timeframe(minutes: int) -> "TimeFrame":
    from alpaca.data.timeframe import TimeFrame, TimeFrameUnit

    amount, unit = (1, TimeFrameUnit.Day) if minutes == 1440 else (minutes, TimeFrameUnit.Minute)
    amount, unit = (1, TimeFrameUnit.Hour) if minutes == 60 else (amount, unit)
    return TimeFrame(amount, unit)


def _minutes(market: Market) -> int:
    if market.asset_class not in MINUTES:
        raise ConfigurationError(
            f"market '{market.name}' asks Alpaca for {market.asset_class} bars; it has {' and '.join(MINUTES)}: name another source"
        )
    return MINUTES[market.asset_class][market.timeframe]


def _blocks(market: Market) -> list[tuple[str, ...]]:
    _minutes(market)
    if not market.symbols:
        raise ConfigurationError(f"market '{market.name}' asks Alpaca for no symbol: list them in markets.{market.name}.symbols")
    return [market.symbols[i : i + SYMBOLS_MAX] for i in range(0, len(market.symbols), SYMBOLS_MAX)]


def _less(at: datetime | None, by: timedelta) -> datetime | None:
    return None if at is None else at - by


def _more(at: datetime | None, by: timedelta) -> datetime | None:
    return None if at is None else at + by


def _next(until: datetime | None) -> datetime | None:
    """Return a microsecond later: Alpaca counts nanoseconds, and the last moment is wanted whole."""
    return _more(until, timedelta(microseconds=1))


def _span(since: datetime | None, until: datetime | None) -> str:
    first = "from the beginning" if since is None else f"from {since:%Y-%m-%d %H:%M}"
    return f"{first} to now" if until is None else f"{first} to {until:%Y-%m-%d %H:%M}"
