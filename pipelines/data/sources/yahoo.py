"""Yahoo: bars, dividends and splits of Yahoo Finance, through yfinance."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from domain import bar, session
from domain.bar import UTC_MICROSECONDS
from domain.clock import Clock, SystemClock
from domain.error import ConfigurationError, DataError, NightshiftError, NoData, ResourceError
from domain.market import Market
from domain.panel import TimeArray

if TYPE_CHECKING:
    import pandas

#: Our timeframes by Yahoo's words; it has no bars of four hours.
INTERVALS = {"1m": "1m", "5m": "5m", "15m": "15m", "1h": "60m", "1d": "1d"}
PRICES = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume"}
ACTIONS = {"Dividends": "dividend", "Stock Splits": "split"}
HISTORY_SCHEMA = pl.Schema(
    {"symbol": pl.String(), "opened_at": UTC_MICROSECONDS, "event_at": UTC_MICROSECONDS}
    | {name: pl.Float64() for name in [*PRICES.values(), *ACTIONS.values()]}
)
BACK_OFF_S = 2.0
TIMEOUT_S = 20.0


@dataclass
class Yahoo:
    """Bars as Yahoo gives them unadjusted for dividends; it has already adjusted them for splits, whenever it was asked."""

    retries: int
    session: Any = None
    """A requests.Session or curl_cffi session; None lets yfinance make its own."""
    publication_delay_s: float = 0.0
    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep
    _answered: dict[tuple[object, ...], pl.DataFrame] = field(default_factory=dict, repr=False)

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the closed bars of the market's symbols, opened from `since` to `until`, both included.

        Raises NoData when a symbol asked for from its beginning has nothing, or all have nothing; ResourceError when Yahoo cannot
        be reached or limits us; DataError when its answer cannot be read.
        """
        self._answered.clear()
        histories = self._histories(market, since, until)
        delay = pl.duration(microseconds=round(self.publication_delay_s * 1e6))
        constant = {"market": market.name, "timeframe": market.timeframe, "flags": 0}
        rows = histories.with_columns(known_at=pl.col("event_at") + delay, **{name: pl.lit(v) for name, v in constant.items()})
        closed = rows.filter(pl.col("known_at") <= self.clock.now())
        return bar.conform(closed)

    def actions(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return dividends and splits as rows of the store's table `actions`, known from the open of their ex-date."""
        rows = self._histories(market, since, until).select(
            "symbol", event_at="opened_at", **{v: pl.col(v) for v in ACTIONS.values()}
        )
        long = rows.unpivot(list(ACTIONS.values()), index=["symbol", "event_at"], variable_name="kind", value_name="value")
        told = long.filter((pl.col("value") != 0.0) & (pl.col("event_at") <= self.clock.now()))
        return told.with_columns(market=pl.lit(market.name), known_at=pl.col("event_at")).sort("event_at", "symbol", "kind")

    def _histories(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        asked = (market, since, until)
        if asked not in self._answered:
            self._answered[asked] = self._fetch(market, since, until)
        return self._answered[asked]

    def _fetch(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        if market.timeframe not in INTERVALS:
            raise ConfigurationError(
                f"market '{market.name}' asks Yahoo for {market.timeframe} bars; it has {', '.join(INTERVALS)}"
            )
        if not market.symbols:
            raise ConfigurationError(f"market '{market.name}' asks Yahoo for no symbol: list them in markets.{market.name}.symbols")
        tables = {symbol: self._history(market, symbol, since, until) for symbol in market.symbols}
        silent = [symbol for symbol, table in tables.items() if table.is_empty()]
        if silent and (since is None or len(silent) == len(tables)):
            raise NoData(
                f"Yahoo has no {market.timeframe} bars of {', '.join(silent)} {_span(since, until)}: correct or remove the symbol"
            )
        return pl.concat(tables.values())

    def _history(self, market: Market, symbol: str, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Ask until Yahoo answers: first at once, then after 2, 4, 8... seconds."""
        for turn in range(self.retries + 1):
            try:
                return _table(self._ask(market, symbol, since, until), market, symbol, since, until)
            except NoData:
                return _table(None, market, symbol, since, until)
            except NightshiftError:
                if turn == self.retries:
                    raise
                self.sleep(BACK_OFF_S * 2.0**turn)
        raise ResourceError(f"Yahoo was not asked for '{symbol}': sources.yahoo_retries must not be negative")

    def _ask(self, market: Market, symbol: str, since: datetime | None, until: datetime | None) -> "pandas.DataFrame":
        import yfinance
        from yfinance import data, exceptions

        # Its cache keeps bad answers too, and would hand them to every retry.
        data.YfData.cache_get.cache_clear()
        yfinance.config.debug.hide_exceptions = False
        # Yahoo's end is excluded, and its days begin up to a day before ours.
        end = None if until is None else until + max(market.bar, timedelta(days=2))
        period = {"period": "max"} if since is None else {"start": since - timedelta(days=1)}
        try:
            return yfinance.Ticker(symbol, session=self.session).history(
                **period,
                end=end,
                interval=INTERVALS[market.timeframe],
                auto_adjust=False,
                actions=True,
                prepost=False,
                timeout=TIMEOUT_S,
            )
        except exceptions.YFRateLimitError:
            raise ResourceError(
                f"Yahoo was asked for '{symbol}' and limits us (too many requests): run it again in some minutes"
            ) from None
        except exceptions.YFTickerMissingError as problem:
            raise NoData(f"Yahoo has no bars of '{symbol}': {problem}") from None
        except (ValueError, LookupError, TypeError, AttributeError, exceptions.YFException) as problem:
            # yfinance takes answers apart without looking. The JSON errors of requests are OSErrors too: values come first.
            raise DataError(f"Yahoo was asked for '{symbol}' and its answer cannot be read: {_short(problem)}") from None
        except OSError as problem:
            raise ResourceError(f"Yahoo was asked for '{symbol}' and cannot be reached: {_short(problem)}") from None


def _table(
    history: "pandas.DataFrame | None", market: Market, symbol: str, since: datetime | None, until: datetime | None
) -> pl.DataFrame:
    """Return symbol, opened_at, event_at, prices and actions of one symbol, or no rows."""
    if history is None or history.empty:
        return pl.DataFrame(schema=HISTORY_SCHEMA)
    opened_at = _opened(history, market)
    times = {"opened_at": opened_at, "event_at": session.closes(market, opened_at)}
    numbers = {ours: history[theirs].to_numpy(dtype=np.float64) for theirs, ours in {**PRICES, **ACTIONS}.items()}
    table = pl.DataFrame({"symbol": [symbol] * len(opened_at), **times, **numbers}).with_columns(
        pl.col(list(times)).cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    bounds = [pl.lit(value=True)]
    bounds += [] if since is None else [pl.col("opened_at") >= since]
    bounds += [] if until is None else [pl.col("opened_at") <= until]
    return table.filter(*bounds)


def _opened(history: "pandas.DataFrame", market: Market) -> TimeArray:
    """Return when each bar opened: Yahoo stamps a day with its midnight, we with the open of its session."""
    if market.timeframe != "1d":
        stamps: TimeArray = history.index.tz_convert(UTC).tz_localize(None).to_numpy(dtype="datetime64[us]")
        return stamps
    days = history.index.tz_localize(None).to_numpy(dtype="datetime64[D]")
    table = session.sessions(market.calendar, days.min().item(), days.max().item())
    dated = pl.DataFrame({"session": pl.Series(days.astype("datetime64[us]")).cast(pl.Date)})
    opened = dated.join(table, on="session", how="left", maintain_order="left")["opened_at"]
    # A day without a session keeps its own date, for quality to refuse.
    return session.naive(opened.fill_null(dated["session"].cast(pl.Datetime("us")).dt.replace_time_zone("UTC")))


def _span(since: datetime | None, until: datetime | None) -> str:
    first = "from the beginning" if since is None else f"from {since:%Y-%m-%d %H:%M}"
    return f"{first} to now" if until is None else f"{first} to {until:%Y-%m-%d %H:%M}"


def _short(problem: Exception) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
