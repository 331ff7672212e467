"""Panel: one market's bars as time-major arrays."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

FloatArray = npt.NDArray[np.float64]
TimeArray = npt.NDArray[np.datetime64]
PRICES = ("open", "high", "low", "close", "volume")
#: What a panel may hold beside prices and volume, by name.
COVARIATES: dict[str, str] = {
    "vwap": "volume-weighted price of the bar's trades",
    "trades": "number of trades",
    "buy_volume": "volume of the trades that a buyer started",
    "spread": "mean quoted spread over the bar, a fraction of the mid price",
    "adjustment": "product of the price factors of splits and dividends: a price divided by it is what was printed",
    "sector": "code of the symbol's sector, equal numbers for equal sectors",
    "since_open": "minutes from the session's open to the bar's close, by the market's calendar",
    "until_close": "minutes from the bar's close to the session's close, by the market's calendar",
    # Headlines that became known since the row before, each faded to the row's close by 2^(-age / half-life).
    "news_sentiment_6h": "sum of the scores of the symbol's headlines, repetitions left out, half-life 6h",
    "news_sentiment_1d": "sum of the scores of the symbol's headlines, repetitions left out, half-life 1d",
    "news_sentiment_5d": "sum of the scores of the symbol's headlines, repetitions left out, half-life 5d",
    "news_news_1d": "number of the symbol's headlines, repetitions left out, half-life 1d",
    "news_news_5d": "number of the symbol's headlines, repetitions left out, half-life 5d",
    "news_square_5d": "sum of the squared scores of the symbol's headlines, half-life 5d",
    "news_novel_1d": "sum of the scores times novelty of the symbol's headlines, half-life 1d",
    "news_novel_5d": "sum of the scores times novelty of the symbol's headlines, half-life 5d",
    "news_volume_1d": "number of the symbol's headlines, half-life 1d",
    "news_volume_60d": "number of the symbol's headlines, half-life 60d",
    "news_latest": "publication of the newest of those headlines, microseconds since 1970",
    "news_market_sentiment_1d": "sum of the scores of all headlines, repetitions left out, half-life 1d",
    "news_market_sentiment_5d": "sum of the scores of all headlines, repetitions left out, half-life 5d",
    "news_market_news_1d": "number of all headlines, repetitions left out, half-life 1d",
    "news_market_news_5d": "number of all headlines, repetitions left out, half-life 5d",
    "news_unnamed_sentiment_5d": "sum of the scores of the market's unnamed headlines, repetitions left out, half-life 5d",
    "news_unnamed_news_5d": "number of the market's unnamed headlines, repetitions left out, half-life 5d",
    # Series as published by the row's close, equal for all symbols.
    "macro_treasury_3m": "3-month Treasury yield, percent",
    "macro_treasury_2y": "2-year Treasury yield, percent",
    "macro_treasury_10y": "10-year Treasury yield, percent",
    "macro_corporate_aaa": "Moody's Aaa corporate yield, percent",
    "macro_corporate_baa": "Moody's Baa corporate yield, percent",
    "macro_vix": "Cboe VIX at its newest published close",
    "macro_vix_rank": "rank of that close among the last 252, -0.5 to 0.5",
    "macro_index_volatility": "volatility of 21 log returns of the S&P 500, percent a year",
    "macro_index_return": "log return of the S&P 500 over 20 closes",
    "macro_oil_return": "log change of crude oil over 20 prices",
    "macro_inflation": "log change of the core consumer price index over 12 months",
    "macro_inflation_surprise": "newest monthly log change of that index less the mean of the 12 before, in their deviations",
    "shares": "product of the new shares for an old one of all splits: a volume times it is what was printed",
}


@dataclass(frozen=True)
class Panel:
    """Bars of one market and timeframe as `float64 [T, S]` arrays, C-contiguous, symbols along the fast axis.

    A missing bar is NaN in every price and in volume. Times are `datetime64[us]` in UTC, strictly increasing.
    """

    market: str
    timeframe: str
    symbols: tuple[str, ...]
    opened_at: TimeArray
    """[T] first moment of each bar."""
    event_at: TimeArray
    """[T] close of each bar: nothing in row t is known before event_at[t]."""
    open: FloatArray
    high: FloatArray
    low: FloatArray
    close: FloatArray
    volume: FloatArray
    covariates: Mapping[str, FloatArray] = field(default_factory=dict)
    """What else was known by the close of each bar: float64 [T, S] by the names in COVARIATES, NaN where it was unknown."""

    def __post_init__(self) -> None:
        shape = (len(self.opened_at), len(self.symbols))
        for name, values in self.columns().items():
            if values.shape != shape or values.dtype != np.float64 or not values.flags.c_contiguous:
                raise ValueError(f"panel column '{name}' must be C-contiguous float64 {shape}, was {values.dtype} {values.shape}")
        if len(self.opened_at) > 1 and not (np.diff(self.opened_at) > np.timedelta64(0, "us")).all():
            raise ValueError("panel times must be strictly increasing")

    def columns(self) -> dict[str, FloatArray]:
        """Return prices, volume and covariates by name."""
        return {**{name: getattr(self, name) for name in PRICES}, **self.covariates}

    @property
    def bars(self) -> int:
        """Number of rows T."""
        return len(self.opened_at)

    @property
    def present(self) -> npt.NDArray[np.bool_]:
        """[T, S] true where a bar exists."""
        return ~np.isnan(self.close)

    def rows(self, first: int, last: int) -> "Panel":
        """Return rows first:last as a panel over the same symbols; arrays are views."""
        whole = {"market", "timeframe", "symbols", "covariates"}
        cut = {f.name: getattr(self, f.name)[first:last] for f in fields(self) if f.name not in whole}
        covariates = {name: values[first:last] for name, values in self.covariates.items()}
        return Panel(self.market, self.timeframe, self.symbols, **cut, covariates=covariates)

    def until(self, known_at: np.datetime64) -> "Panel":
        """Return the bars that had closed by `known_at`."""
        return self.rows(0, int(np.searchsorted(self.event_at, known_at, side="right")))

    def each(self) -> Iterator["Panel"]:
        """Yield the panel bar by bar, as a live trader would meet it."""
        for t in range(self.bars):
            yield self.rows(t, t + 1)


def from_bars(bars: pl.DataFrame, market: str, timeframe: str, symbols: tuple[str, ...] | None = None) -> Panel:
    """Pivot a bar table (one row a key) to a panel over `symbols`, by default all that occur, sorted.

    The time axis is every `opened_at` that any of the symbols traded. A row's `event_at` is the latest of its bars. Columns of
    the table that COVARIATES names come along where any bar has a value.
    """
    names = symbols if symbols is not None else tuple(sorted(bars["symbol"].unique().to_list()))
    bars = bars.filter(pl.col("symbol").is_in(list(names)))
    times = bars.group_by("opened_at").agg(pl.col("event_at").max()).sort("opened_at")
    opened_at = times["opened_at"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    event_at = times["event_at"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]")
    row = np.searchsorted(opened_at, bars["opened_at"].dt.replace_time_zone(None).to_numpy().astype("datetime64[us]"))
    place = {name: i for i, name in enumerate(names)}
    column = np.array([place[name] for name in bars["symbol"].to_list()], dtype=np.int64)
    told = [name for name in COVARIATES if name in bars.columns and bars[name].null_count() < bars.height]
    shape = (len(opened_at), len(names))
    arrays: dict[str, Any] = {name: _scatter(bars[name], row, column, shape) for name in (*PRICES, *told)}
    covariates = {name: arrays.pop(name) for name in told}
    return Panel(market, timeframe, names, opened_at, event_at, **arrays, covariates=covariates)


def _scatter(values: pl.Series, row: npt.NDArray[np.int64], column: npt.NDArray[np.int64], shape: tuple[int, int]) -> FloatArray:
    out = np.full(shape, np.nan)
    out[row, column] = values.cast(pl.Float64).to_numpy()
    return out
