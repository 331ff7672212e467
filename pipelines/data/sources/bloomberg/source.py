"""Source: what Bloomberg has of a market's symbols, in the house's tables."""

import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from domain import bar
from domain.clock import Clock, SystemClock
from domain.error import ConfigurationError, NoData
from domain.market import Market
from domain.params import Bloomberg as Parameters
from pipelines.data.sources.bloomberg import answers, live, questions
from pipelines.data.sources.bloomberg.terminal import Terminal, asking
from pipelines.data.sources.contract import Update
from pipelines.store import TABLES

#: Bloomberg's words for a trade, and for a change of either side of the best quote.
TRADE, SIDES = ["TRADE"], ["BID", "ASK"]


@dataclass
class Bloomberg:
    """A terminal on this machine or another. A symbol is a ticker ("IBM", whose yellow key is a parameter) or a whole security.

    Every answer is one session's; a second run asks for everything again.
    """

    parameters: Parameters
    publication_delay_s: float = 0.0
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the closed bars of the market's symbols, opened from `since` to `until`, both included, as they were printed.

        Raises NoData for a symbol that Bloomberg does not know, or when all are silent; ConfigurationError for bars of minutes
        older than it keeps them, or without blpapi; ResourceError when the terminal is not there or falls silent, DataError when it
        refuses or limits us.
        """
        questions.refuse_weeks(market)
        if market.timeframe != "1d":
            since = questions.earliest(market, since, self.clock.now(), f"{market.timeframe} bars")
        with asking(self._terminal()) as terminal:
            tables = [self._bars(terminal, market, name, since, until) for name in self._named(market)]
        found = _symbols(tables, market)
        if found.is_empty():
            raise NoData(f"Bloomberg has no {market.timeframe} bars of {', '.join(market.symbols)} in that time: ask for another")
        constant = {"market": market.name, "timeframe": market.timeframe, "flags": 0}
        rows = found.with_columns(known_at=self._known(), **{name: pl.lit(value) for name, value in constant.items()})
        bounds = _between("opened_at", since, until)
        return bar.conform(rows.filter(pl.col("known_at") <= self.clock.now(), *bounds))

    def actions(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return dividends, gains and splits as rows of the store's table `actions`, known from the open of their ex-date.

        Spin-offs and rights are left out and logged: Bloomberg tells their ratio, not their worth. Raises as `bars` does.
        """
        first, last = (questions.BEGINNING if since is None else since), self._last(until)
        span = {"DVD_START_DT": f"{first:%Y%m%d}", "DVD_END_DT": f"{last:%Y%m%d}"}
        return self._facts(market, "actions", ["DVD_HIST_ALL"], span, _between("event_at", since, last))

    def listings(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return when symbols were first traded, and their sector today, as rows of `listings`. Raises as `bars` does."""
        fields = ["EQY_INIT_PO_DT", "GICS_SECTOR_NAME"]
        return self._facts(market, "listings", fields, {}, _between("event_at", since, self._last(until)))

    def trades(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return single prints as rows of `trades`; their id is the place within their moment. Raises as `bars` does."""
        rows = self._ticks(market, TRADE, since, until)
        return rows.filter(pl.col("value") > 0.0, *_between("event_at", since, until)).select(
            "market", "symbol", "event_at", "known_at", "size", "exchange", "conditions",
            price="value", side=pl.lit(None, pl.String), trade_id=pl.col("number").cast(pl.String),
        )  # fmt: skip

    def quotes(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return changes of the best quote as rows of `quotes`; a side is null until the day's first of it. Raises as `bars`."""
        rows = self._ticks(market, SIDES, since, until).with_columns(pl.when(pl.col("value") > 0.0).then("value"))
        day = pl.col("event_at").dt.date()
        sides = [
            pl.when(pl.col("type") == side.upper()).then(column).forward_fill().over("symbol", day).alias(f"{side}{suffix}")
            for side in ("bid", "ask")
            for column, suffix in (("value", ""), ("size", "_size"))
        ]
        return rows.with_columns(sides).filter(*_between("event_at", since, until)).select(
            "market", "symbol", "event_at", "known_at", pl.col("number").cast(pl.Int64).alias("sequence"),
            "bid", "bid_size", "ask", "ask_size", "exchange",
        )  # fmt: skip

    def updates(self, market: Market) -> AsyncIterator[Update]:
        """Yield bars, trades and quotes of the market's symbols as they arrive, until closed; see `contract.LiveSource`."""
        names = dict(zip(self._named(market), market.symbols, strict=True))
        return live.updates(market, names, self.parameters, self.clock)

    def _bars(self, terminal: Terminal, market: Market, name: str, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        last = self._last(until)
        if market.timeframe == "1d":
            return answers.days(terminal.ask(questions.days(name, since, last)), market)
        assert since is not None  # noqa: S101  # bars of minutes have an earliest
        return answers.minutes(terminal.ask(questions.minutes(name, market, since, last + market.bar)), market)

    def _facts(
        self, market: Market, table: str, fields: list[str], overrides: dict[str, str], bounds: Sequence[pl.Expr]
    ) -> pl.DataFrame:
        """Ask one question for all symbols, and return its rows of a table."""
        read = answers.actions if table == "actions" else lambda _, told, market: answers.listings(told, market)
        symbols = dict(zip(self._named(market), market.symbols, strict=True))
        with asking(self._terminal()) as terminal:
            parts = terminal.ask(questions.facts(list(symbols), fields, overrides))
        found = [{"symbol": symbols[name], **row} for name, told in answers.securities(parts) for row in read(name, told, market)]
        layout = TABLES[table].schema
        rows = pl.DataFrame(found, schema={c: layout[c] for c in layout.names() if c not in {"market", "known_at", "other"}})
        rows = rows.with_columns(market=pl.lit(market.name), known_at=pl.col("event_at")).filter(*bounds)
        if table == "actions":
            # Two distributions of one kind on one day, as funds have, are one payment to a holder.
            together = pl.when(pl.col("kind").first() == "split").then(pl.col("value").product()).otherwise(pl.col("value").sum())
            rows = rows.group_by("market", "symbol", "event_at", "known_at", "kind", maintain_order=True).agg(value=together)
            rows = rows.with_columns(other=pl.lit(None, pl.String))
        return rows.sort("event_at", "symbol", "kind")

    def _ticks(self, market: Market, kinds: list[str], since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the events of whole UTC days that hold the stretch: what stood at its beginning came before it."""
        first, last = questions.earliest(market, since, self.clock.now(), "ticks"), self._last(until)
        tables = []
        with asking(self._terminal()) as terminal:
            for name in self._named(market):
                told = [
                    part
                    for begin, end in questions.by_day(first, last)
                    for part in terminal.ask(questions.ticks(name, kinds, begin, end))
                ]
                tables.append(answers.ticks(told))
        rows = _symbols(tables, market).with_columns(market=pl.lit(market.name), known_at=self._known())
        return rows.filter(pl.col("known_at") <= self.clock.now())

    def _known(self) -> pl.Expr:
        return pl.col("event_at") + timedelta(seconds=self.publication_delay_s)

    def _last(self, until: datetime | None) -> datetime:
        now = self.clock.now()
        return now if until is None else min(until, now)

    def _named(self, market: Market) -> list[str]:
        if not market.symbols:
            raise ConfigurationError(
                f"market '{market.name}' asks Bloomberg for no symbol: list them in markets.{market.name}.symbols"
            )
        return [questions.security(symbol, self.parameters.yellow_key) for symbol in market.symbols]

    def _terminal(self) -> Terminal:
        return Terminal(self.parameters.retries, self.parameters.timeout_s, self.sleep)


def _symbols(tables: Sequence[pl.DataFrame], market: Market) -> pl.DataFrame:
    """Return one table of several, each with its symbol."""
    return pl.concat(table.with_columns(symbol=pl.lit(symbol)) for table, symbol in zip(tables, market.symbols, strict=True))


def _between(column: str, since: Any, until: Any) -> list[pl.Expr]:
    bounds = [] if since is None else [pl.col(column) >= since]
    return bounds if until is None else [*bounds, pl.col(column) <= until]
