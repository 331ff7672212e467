"""Sampling: trades and quotes become bars, by the clock or by what was traded.

A bar holds the prints from its first to its last moment in the order of the exchange's time and is known when it closes: by the
clock at its end, by a count with the print that fills it. Prints come in any chunks; the bars are the same. Where a market has
quotes alone, as currencies do, bars are of the bid and their volume counts quotes.

Source: Lopez de Prado 2018, Advances in Financial Machine Learning, chapter 2.3 (tick, volume and dollar bars; tick and volume
imbalance bars); the tick rule is Lee and Ready 1991, J. Finance 46(2), p. 735.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl

from domain import bar, session
from domain.error import ConfigurationError, DataError
from domain.market import Market
from pipelines.data import sampler
from pipelines.data.sampler import Kind, Rows

Word = Literal["time", "tick", "volume", "dollar", "tick_imbalance", "volume_imbalance"]
SIDES = {"buy": 1, "sell": -1}
MICROSECONDS = pl.Datetime("us")


@dataclass(frozen=True)
class Rule:
    """When a bar is full."""

    word: Word = "time"
    """By the market's timeframe, or by a count of trades, of shares, of money, or by how one-sided they are."""
    size: float = 0.0
    """How much fills a bar; for imbalance bars how many trades the first bar is expected to have. The clock needs none."""
    memory: float = 0.1
    """Imbalance bars: weight of the newest bar in what the next one is expected to have."""
    ticks_max: float = 10.0
    """Imbalance bars: the expected trades of a bar stay within `size` divided and multiplied by this, or they run away."""

    def __post_init__(self) -> None:
        if self.word != "time" and not self.size > 0:
            raise ConfigurationError(f"{self.word} bars were asked for with size {self.size:g}: it must be above zero")

    @property
    def timeframe(self) -> str | None:
        """Return what stands for the timeframe in the bar table, such as tick:500; None for bars of the clock."""
        return None if self.word == "time" else f"{self.word}:{self.size:g}"


@dataclass
class Sampling:
    """Makes the bars of one market from its ticks and remembers the bars that are not full yet."""

    market: Market
    rule: Rule = Rule()
    quotes_alone: bool = False
    """Whether bars are made of bids because nobody reports trades."""
    _states: dict[str, sampler.State] = field(default_factory=dict, repr=False)

    def advance(self, trades: pl.DataFrame | None, quotes: pl.DataFrame | None = None) -> pl.DataFrame:
        """Return the bars that these ticks fill, BAR_SCHEMA, sorted by symbol and time.

        Rows of the tables `trades` and `quotes`, one a print (see `newest`); a symbol's rows may come in any order but not before
        what was handed over earlier. A print of size 0 moves no price and only says when its bar was last corrected. Ticks outside
        the market's hours are in no bar of the clock. Raises DataError for ticks that come too late.
        """
        events = _events(trades, quotes, quotes_alone=self.quotes_alone)
        frames = [bar.empty_bars()]
        for (symbol,), rows in events.group_by("symbol", maintain_order=True):
            frames.append(self._told(str(symbol), self._filled(str(symbol), rows)))
        return pl.concat(frames).sort("symbol", "opened_at")

    def until(self, at: datetime) -> pl.DataFrame:
        """Return the bars of the clock that have ended by `at` and are waiting for a tick that would say so."""
        if self.rule.word != "time":
            return bar.empty_bars()
        now = int(session.moment(at).astype(np.int64))
        ended = {symbol: sampler.ended(state, now) for symbol, state in self._states.items()}
        return pl.concat([bar.empty_bars(), *(self._told(symbol, rows) for symbol, rows in ended.items())]).sort(
            "symbol", "opened_at"
        )

    def _filled(self, symbol: str, rows: pl.DataFrame) -> Rows:
        state = self._states.setdefault(symbol, sampler.opened(self.rule.size))
        at = session.naive(rows["event_at"])
        if int(at[0].astype(np.int64)) < state.last_at:
            raise DataError(
                f"ticks of '{symbol}' go back to {at[0]} after later ones were made into bars: hand them over in order of time"
            )
        opened, closed = session.holding(self.market, at) if self.rule.word == "time" else (at, at)
        numbers = [rows[name].to_numpy() for name in ("first", "second", "third")]
        return sampler.advance(
            state, sampler.Limits.of(self.rule.word, self.rule.size, self.rule.memory, self.rule.ticks_max),
            rows["kind"].to_numpy(), at.view(np.int64), opened.view(np.int64), closed.view(np.int64),
            session.naive(rows["known_at"]).view(np.int64), *numbers,
        )  # fmt: skip

    def _told(self, symbol: str, rows: Rows) -> pl.DataFrame:
        """Return bars as a table."""
        timeframe = self.rule.timeframe or self.market.timeframe
        times = [pl.col(name).cast(MICROSECONDS).dt.replace_time_zone("UTC") for name in ("opened_at", "event_at", "known_at")]
        table = pl.DataFrame(dict(rows)).with_columns(
            *times, pl.col("vwap", "buy_volume", "spread").fill_nan(None), trades=None if self.quotes_alone else pl.col("trades"),
            market=pl.lit(self.market.name), symbol=pl.lit(symbol), timeframe=pl.lit(timeframe), flags=pl.lit(0),
        )  # fmt: skip
        return bar.conform(table)


def bars(
    trades: pl.DataFrame | None, market: Market, quotes: pl.DataFrame | None = None, *, rule: Rule = Rule(),
    known_at: datetime | None = None,
) -> pl.DataFrame:  # fmt: skip
    """Return all bars that the rows of the tables `trades` and `quotes` fill, as they were known by `known_at`.

    Of a print's rows the newest known counts. A bar of the clock shows when its end has passed: by `known_at`, by default by the
    newest tick. Raises DataError when there is neither a trade nor a quote.
    """
    known = [None if table is None else newest(table, known_at) for table in (trades, quotes)]
    ticks = [table for table in known if table is not None and not table.is_empty()]
    if not ticks:
        raise DataError(f"bars of market '{market.name}' were to be made of trades or quotes, but there are none")
    sampled = Sampling(market, rule, quotes_alone=known[0] is None or known[0].is_empty())
    made = sampled.advance(known[0], known[1])
    last = known_at or max(table["event_at"].max() for table in ticks)  # type: ignore[type-var]
    return pl.concat([made, sampled.until(last)]).sort("symbol", "opened_at")  # type: ignore[arg-type]


def newest(ticks: pl.DataFrame, known_at: datetime | None = None) -> pl.DataFrame:
    """Return one row a print: the newest that was known by `known_at`; prints without an id have only one.

    An id counts for one symbol, exchange and UTC day: exchanges begin them anew. Taken-back prints stay, with their size of zero.
    """
    known = ticks if known_at is None else ticks.filter(pl.col("known_at") <= known_at)
    name = "trade_id" if "trade_id" in known.columns else "sequence"
    told = known.with_columns(day=pl.col("event_at").dt.date()).sort("known_at", maintain_order=True)
    named, nameless = told.filter(pl.col(name).is_not_null()), told.filter(pl.col(name).is_null())
    key = ["symbol", "exchange", "day", name] if name == "trade_id" else ["symbol", "exchange", "event_at", name]
    return pl.concat([named.unique(key, keep="last", maintain_order=True), nameless]).drop("day")


def _events(trades: pl.DataFrame | None, quotes: pl.DataFrame | None, *, quotes_alone: bool) -> pl.DataFrame:
    """Return ticks of both kinds as symbol, event_at, known_at, kind and three numbers, by symbol and time, quotes before trades.

    A trade's numbers are price, size and side (1 buy, -1 sell, 0 unknown); a quote's are bid, nothing and ask.
    """
    tables = []
    if quotes is not None and not quotes.is_empty():
        kind = pl.lit(int(Kind.BID if quotes_alone else Kind.QUOTE), pl.Int64)
        tables.append(quotes.select(
            "symbol", "event_at", "known_at", kind=kind, order=pl.col("sequence").cast(pl.Int64),
            first="bid", second=pl.lit(0.0), third="ask",
        ))  # fmt: skip
    if trades is not None and not trades.is_empty():
        order = pl.col("trade_id").cast(pl.Int64, strict=False)
        side = pl.col("side").replace_strict(SIDES, default=0, return_dtype=pl.Float64)
        tables.append(trades.select(
            "symbol", "event_at", "known_at", kind=pl.lit(int(Kind.TRADE), pl.Int64), order=order, first="price",
            second="size", third=side,
        ))  # fmt: skip
    if not tables:
        return pl.DataFrame(schema={"symbol": pl.String()})
    numbers = pl.col("first", "second", "third").cast(pl.Float64).fill_null(float("nan"))
    return pl.concat(tables).with_columns(numbers).sort("symbol", "event_at", "kind", "order", maintain_order=True)
