"""Simulated: bars, ticks, headlines and listings of a market whose truth is known.

`world` says how it works and what was planted, `prints` what a bar is made of. Nothing is split and nothing pays.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime

import numpy as np
import polars as pl

from domain import bar, session
from domain.bar import UTC_MICROSECONDS
from domain.market import AssetClass, Market
from domain.panel import FloatArray
from domain.params import Simulated as Parameters
from pipelines.data.sources import prints, world
from pipelines.data.sources.world import World
from pipelines.store import TABLES

GOOD = (
    "{} raises its outlook",
    "{} beats expectations",
    "Large buyer seen in {}",
    "{} wins a major contract",
    "Regulator clears {}",
)
BAD = (
    "{} cuts its outlook",
    "{} misses expectations",
    "Large seller seen in {}",
    "{} loses a major contract",
    "Regulator probes {}",
)


@dataclass
class Simulated:
    """The source that needs no network. A seed decides every byte; more bars lengthen history and never change it."""

    parameters: Parameters
    publication_delay_s: float = 0.0
    _worlds: dict[Market, World] = field(default_factory=dict, repr=False)

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return BAR_SCHEMA rows opened from `since` to `until`, by symbol and time; a few are missing, as in life."""
        made = self._world(market)
        prices = self._prices(market)
        delay = pl.duration(microseconds=round(self.publication_delay_s * 1e6))
        columns, rows = np.nonzero(made.present.T)
        table = pl.DataFrame(
            {
                "symbol": pl.Series(made.symbols).gather(columns),
                "opened_at": made.opened_at[rows],
                "event_at": made.event_at[rows],
                **{name: values[rows, columns] for name, values in prices.items()},
            }
        ).with_columns(pl.col("opened_at", "event_at").dt.replace_time_zone("UTC"))
        constant = {"market": market.name, "timeframe": market.timeframe, "flags": 0}
        table = table.with_columns(known_at=pl.col("event_at") + delay, **{n: pl.lit(v) for n, v in constant.items()})
        return bar.conform(_between(table, "opened_at", since, until))

    def news(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the headlines of the store's table `news`, by time.

        With edge > 0 their tone leads prices, without it the words mean nothing.
        """
        made = self._world(market)
        news = made.news
        opened, closed = made.opened_at[news.row], made.event_at[news.row]
        seconds = ((closed - opened) / np.timedelta64(1, "s") - 60.0) * news.moment
        event_at = opened + (seconds * 1e6).astype("timedelta64[us]")
        names = [made.symbols[column] for column in news.column.tolist()]
        wording = [
            (GOOD if tone > 0 else BAD)[i % len(GOOD)]
            for tone, i in zip(news.polarity.tolist(), news.wording.tolist(), strict=True)
        ]
        table = pl.DataFrame(
            {
                "market": [market.name] * len(names),
                "symbol": names,
                "event_at": event_at,
                "known_at": event_at + np.timedelta64(30, "s"),
                "headline": [words.format(name) for words, name in zip(wording, names, strict=True)],
                "source": ["simulated"] * len(names),
            },
            schema_overrides={"market": pl.String, "symbol": pl.String, "headline": pl.String, "source": pl.String},
        ).with_columns(pl.col("event_at", "known_at").dt.replace_time_zone("UTC").cast(UTC_MICROSECONDS))
        return _between(table, "event_at", since, until).sort("event_at", "symbol", "headline")

    def listings(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return when each symbol's first bar opened, and its sector, as rows of the store's table `listings`."""
        made = self._world(market)
        begun = np.flatnonzero(made.present.any(axis=0))
        at = made.opened_at[made.present.argmax(axis=0)[begun]]
        symbols, sectors = [made.symbols[s] for s in begun.tolist()], [f"sector {k}" for k in made.sector[begun].tolist()]
        table = pl.DataFrame({"symbol": symbols, "event_at": at, "known_at": at, "sector": sectors})
        table = table.with_columns(
            pl.col("event_at", "known_at").dt.replace_time_zone("UTC"), market=pl.lit(market.name), kind=pl.lit("listed")
        )
        return _between(table.select(list(TABLES["listings"].schema)), "event_at", since, until)

    def trades(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the trades that the bars are made of, as rows of the store's table `trades`, by symbol and time."""
        told = self._prints(market, since, until).with_columns(
            side=pl.when("bought").then(pl.lit("buy")).otherwise(pl.lit("sell")), trade_id=pl.col("number").cast(pl.String)
        )
        return told.select(list(TABLES["trades"].schema))

    def quotes(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the bid and the ask, one of which each trade took, as rows of the store's table `quotes`, by symbol and time."""
        told = self._prints(market, since, until)
        price, spread = told["price"].to_numpy(), 1.0 + market.cost.spread_bps / 1e4
        bid = np.where(told["bought"], _to_tick(price / spread, market.asset_class, np.floor), price)
        ask = np.where(told["bought"], price, _to_tick(price * spread, market.asset_class, np.ceil))
        return told.with_columns(sequence="number", bid=bid, ask=ask, bid_size="shown", ask_size="shown").select(
            list(TABLES["quotes"].schema)
        )

    def last(self, market: Market) -> datetime:
        """Return the close of the last bar that there will ever be."""
        return self._world(market).event_at[-1].astype(datetime).replace(tzinfo=UTC)  # type: ignore[no-any-return]

    def truth(self, market: Market) -> FloatArray:
        """Return float64 [T, S]: the planted log return from the next open over the horizon, as known at each bar's close.

        Rows are the calendar's grid from the first bar on, columns the symbols in order; zero without edge. No model can know more.
        """
        return self._world(market).expected

    def _world(self, market: Market) -> World:
        if market not in self._worlds:
            self._worlds[market] = world.create(market, self.parameters)
        return self._worlds[market]

    def _prices(self, market: Market) -> dict[str, FloatArray]:
        return _prices(market, self._world(market), np.random.default_rng([self.parameters.seed, *b"path"]))

    def _prints(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the prints from `since` to `until`, with the columns that trades and quotes have alike."""
        made, prices = self._world(market), self._prices(market)
        first = made.opened_at[0] if since is None else session.moment(since)
        last = made.event_at[-1] if until is None else session.moment(until)
        tables = [pl.DataFrame(schema=prints.SCHEMA)]
        for row in np.flatnonzero((made.event_at > first) & (made.opened_at <= last)).tolist():
            bars = {name: values[row] for name, values in prices.items()}
            told = prints.of(self.parameters.seed, row, made.opened_at[row], made.event_at[row], bars)
            tables.append(told.filter(pl.Series(made.present[row]).gather(told["column"])))
        delay = pl.duration(microseconds=round(self.publication_delay_s * 1e6))
        table = pl.concat(tables).sort("column", "event_at").with_columns(pl.col("event_at").dt.replace_time_zone("UTC"))
        table = table.with_columns(
            market=pl.lit(market.name),
            symbol=pl.Series(made.symbols, dtype=pl.String).gather(table["column"]),
            known_at=pl.col("event_at") + delay,
            exchange=pl.lit("simulated"),
            conditions=pl.lit(None, pl.String),
        )
        return _between(table, "event_at", since, until)


def _prices(market: Market, made: World, generator: np.random.Generator) -> dict[str, FloatArray]:
    """Return open, high, low, close, volume.

    High and low are those of a Brownian bridge from open to close, drawn from the law of its maximum
    (Karatzas and Shreve, Brownian Motion and Stochastic Calculus, 2nd ed., p. 265).
    """
    log_close = np.cumsum(made.gap + made.day, axis=0)
    log_open = log_close - made.day
    chance = 1.0 - generator.random((*made.day.shape, 2))
    reach = np.sqrt(made.day[..., None] ** 2 - 2.0 * made.sigma[..., None] ** 2 * np.log(chance))
    high = log_open + 0.5 * (made.day + reach[..., 0])
    low = log_open + 0.5 * (made.day - reach[..., 1])
    prices = {"open": log_open, "high": high, "low": low, "close": log_close}
    rounded = {name: _to_tick(np.exp(log), market.asset_class) for name, log in prices.items()}
    return {**rounded, "volume": np.maximum(np.rint(made.volume), 1.0)}


def _to_tick(price: FloatArray, asset_class: AssetClass, whole: Callable[[FloatArray], FloatArray] = np.rint) -> FloatArray:
    """Round to cents (a hundredth of one below a dollar), or to six digits of the price where there are no cents."""
    cents = asset_class is AssetClass.EQUITY
    digits = np.where(price < 1.0, 4.0, 2.0) if cents else np.clip(5.0 - np.floor(np.log10(price)), 0.0, 12.0)
    return np.asarray(np.maximum(whole(price * 10.0**digits), 1.0) / 10.0**digits)


def _between(table: pl.DataFrame, column: str, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    first = datetime.min.replace(tzinfo=UTC) if since is None else since
    last = datetime.max.replace(tzinfo=UTC) if until is None else until
    return table.filter(pl.col(column).is_between(first, last))
