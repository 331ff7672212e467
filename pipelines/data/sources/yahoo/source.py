"""Source: asks Yahoo for what is not held yet, and answers in the house's tables."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from domain import bar, session
from domain.action import Kind
from domain.clock import Clock, SystemClock
from domain.error import ConfigurationError, NoData
from domain.market import Market
from domain.params import Yahoo as Parameters
from pipelines.data.sources.yahoo import printed, rows, stretches
from pipelines.data.sources.yahoo.asking import Asking, Question
from pipelines.data.sources.yahoo.cache import Cache, Held
from pipelines.data.sources.yahoo.line import Line

DAY = timedelta(days=1)
#: Yahoo's days begin up to a day before ours and end up to two hours after.
REACH = timedelta(hours=3)
#: Columns of rows by what they are.
ACTIONS = {"dividend": str(Kind.DIVIDEND), "capital_gain": str(Kind.CAPITAL_GAIN), "split": str(Kind.SPLIT)}


@dataclass
class Yahoo:
    """Bars as they were printed: Yahoo's adjustment for splits is undone with the splits of the same answer.

    Symbols that were delisted it no longer has. What was repaired is told by `repairs`.
    """

    parameters: Parameters
    session: Any = None
    """A requests.Session or curl_cffi session; None makes one."""
    cache: Path | None = None
    """Folder for closed history; None keeps none."""
    publication_delay_s: float = 0.0
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep
    _asking: Asking | None = field(default=None, repr=False)
    _answered: dict[tuple[object, ...], pl.DataFrame] = field(default_factory=dict, repr=False)

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the closed bars of the market's symbols, opened from `since` to `until`, both included.

        Raises NoData when a symbol asked for from its beginning has nothing, or all have nothing; ResourceError when Yahoo cannot
        be reached or limits us; DataError when its answer cannot be read; ConfigurationError for bars that it does not have.
        """
        self._answered.clear()
        return bar.conform(self._closed(market, since, until))

    def actions(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return dividends, capital gains and splits as rows of the store's table `actions`, known from the open of their ex-date.

        Cash is what was paid for a share of that day. They come out of the daily bars, whatever the market's own. Raises as `bars`.
        """
        days = self._histories(replace(market, timeframe="1d"), since, until)
        long = days.select("symbol", *ACTIONS, event_at="opened_at").unpivot(
            list(ACTIONS), index=["symbol", "event_at"], variable_name="kind", value_name="value"
        )
        told = long.filter((pl.col("value") > 0.0) & (pl.col("event_at") <= self.clock.now()))
        return told.with_columns(
            pl.col("kind").replace_strict(ACTIONS),
            market=pl.lit(market.name),
            known_at=pl.col("event_at"),
            other=pl.lit(None, pl.String),
        ).sort("event_at", "symbol", "kind")

    def repairs(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return what Yahoo had answered for every bar that was repaired, as rows of the store's table `quarantine`.

        Prices are adjusted for splits as it answered them; `reason` says what was found, what was stored and by which rule.
        """
        replaced = self._closed(market, since, until).filter(pl.col("reason").is_not_null())
        answered = replaced.with_columns(**{ours: pl.col(told) for told, ours in rows.REPAIRS.items()})
        return bar.conform(answered).with_columns(answered["reason"], source=pl.lit("yahoo"))

    def clear(self) -> int:
        """Forget every answer that is held, and return of how many symbols and bar lengths."""
        self._answered.clear()
        return 0 if self.cache is None else Cache(self.cache).clear()

    def _closed(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        histories = self._histories(market, since, until)
        silent = set(market.symbols) - set(histories["symbol"])
        if silent and (since is None or histories.is_empty()):
            names = ", ".join(symbol for symbol in market.symbols if symbol in silent)
            raise NoData(f"Yahoo has no {market.timeframe} bars of {names} {_span(since, until)}: correct or remove the symbol")
        delay = pl.duration(microseconds=round(self.publication_delay_s * 1e6))
        constant = {"market": market.name, "timeframe": market.timeframe, "flags": 0}
        found = histories.with_columns(known_at=pl.col("event_at") + delay, **{name: pl.lit(v) for name, v in constant.items()})
        # A dividend of a day without a bar has a row of its own, without prices.
        priced = ~pl.all_horizontal(pl.col(printed.PRICES).is_nan())
        return found.filter((pl.col("known_at") <= self.clock.now()) & priced)

    def _histories(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the printed rows of all symbols between the bounds, the unfinished ones too."""
        asked = (market, since, until)
        if asked not in self._answered:
            if not market.symbols:
                raise ConfigurationError(
                    f"market '{market.name}' asks Yahoo for no symbol: list them in markets.{market.name}.symbols"
                )
            first = stretches.earliest(market, since, self.clock.now())
            tables = [self._symbol(market, symbol, first, until) for symbol in market.symbols]
            self._answered[asked] = _between(pl.concat(tables), since, until)
        return self._answered[asked]

    def _symbol(self, market: Market, symbol: str, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the printed rows of one symbol from `since` on: those that are held, and those that are asked for."""
        held = self._held(market, symbol, since)
        if held is not None and until is not None and until + market.bar + REACH <= held.through:
            return held.rows
        now = self.clock.now()
        # Days are asked until now whatever the end: the splits after it have changed what comes before.
        last = now if market.timeframe == "1d" or until is None else min(until, now)
        if held is None:
            found, first = self._printed(market, symbol, since, last), since
        else:
            fresh = self._printed(market, symbol, stretches.context(market, held.through, now), last)
            found, first = pl.concat([held.rows, fresh.filter(pl.col("event_at") > held.through)]), held.since
        self._hold(market, symbol, found, first, min(last, now - timedelta(days=self.parameters.settled_days)))
        return found

    def _held(self, market: Market, symbol: str, since: datetime | None) -> Held | None:
        held = None if self.cache is None else Cache(self.cache).read(symbol, self._kind(market), rows.SCHEMA)
        return held if held is not None and held.reaches(since) else None

    def _hold(self, market: Market, symbol: str, found: pl.DataFrame, since: datetime | None, through: datetime) -> None:
        """Keep the bars that Yahoo no longer corrects; never an empty answer, which may be a fault."""
        settled = found.filter(pl.col("event_at") <= through)
        if self.cache is not None and not settled.is_empty():
            Cache(self.cache).write(symbol, self._kind(market), Held(settled, since, through))

    def _kind(self, market: Market) -> str:
        """Name what else decides the rows that are held: the stamps of a day are those of its calendar."""
        calendar = market.calendar.replace("/", "-")
        return f"{calendar}.{market.timeframe}.{'repaired' if self.parameters.repair else 'told'}"

    def _printed(self, market: Market, symbol: str, since: datetime | None, until: datetime) -> pl.DataFrame:
        """Ask Yahoo for every stretch, and undo its adjustment with the splits until now."""
        told = [self._line().ask(question) for question in self._questions(market, symbol, since, until)]
        tables = [rows.empty() if answer is None else rows.build(answer, market, symbol) for answer in told]
        found = pl.concat(tables).unique(["opened_at"], keep="first", maintain_order=True)
        # Bars of minutes come without the splits after them.
        days = found if market.timeframe == "1d" else self._symbol(replace(market, timeframe="1d"), symbol, since, None)
        splits = days.filter(pl.col("split") > 0.0)
        return printed.undo(found, session.naive(splits["opened_at"]), splits["split"].to_numpy())

    def _questions(self, market: Market, symbol: str, since: datetime | None, until: datetime) -> list[Question]:
        # Yahoo's end is excluded, and its days begin up to a day before ours.
        before, after = (DAY, 2 * DAY) if market.timeframe == "1d" else (timedelta(0), market.bar)
        interval, repair = stretches.limit(market).interval, self.parameters.repair
        return [
            Question(symbol, interval, None if first is None else first - before, last + after, repair)
            for first, last in stretches.cut(market, since, until)
        ]

    def _line(self) -> Asking:
        if self._asking is None:
            self._asking = Asking(self.parameters.retries, Line(self.parameters.spacing_s, self.clock, self.sleep), self.session)
        return self._asking


def _between(table: pl.DataFrame, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    bounds = [pl.lit(value=True)]
    bounds += [] if since is None else [pl.col("opened_at") >= since]
    bounds += [] if until is None else [pl.col("opened_at") <= until]
    return table.filter(*bounds)


def _span(since: datetime | None, until: datetime | None) -> str:
    first = "from the beginning" if since is None else f"from {since:%Y-%m-%d %H:%M}"
    return f"{first} to now" if until is None else f"{first} to {until:%Y-%m-%d %H:%M}"
