"""Adjustment: lay splits, dividends and spin-offs on raw bars while they are read.

Bars are stored as they were printed and stay so. What features, labels and simulation read runs **forward**: each price is
multiplied by the factors of all actions that took effect by its bar, volume is divided by the shares of all splits. A later action
changes later bars alone, so every history is the beginning of the longer one, and state that a kernel carries stays valid over a
split.

An action that is **known late** takes effect with the first bar that closes when it is known: between its ex-date and that bar a
live reader saw the jump, and a backtest sees what a live reader saw. Written back to the ex-date it would show a backtest prices
that nobody had. A correction is the same: from then on the corrected factor holds. History that was bought later is not late: its
source says when the action could have been known, and known by the open of its ex-date is known when that day begins.

A chart is drawn for people: `toward="last"` takes what is known at the end for the whole past, and the newest price is the raw one.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

import numpy as np
import numpy.typing as npt
import polars as pl

from domain import action, session
from domain.action import CASH, SHARES, Kind
from domain.bar import Defect
from domain.compiled import money
from domain.error import DataError, NoData
from domain.market import AssetClass, Market
from domain.panel import FloatArray
from pipelines.store import TABLES, Store

Times = npt.NDArray[np.int64]
Toward = Literal["first", "last", "none"]
#: Columns in the currency of the price, and those that count shares.
PRICED = ("open", "high", "low", "close", "vwap")
COUNTED = ("volume", "buy_volume")


@dataclass
class Adjustment:
    """Factors of one market's actions, laid on its bars from the oldest to the newest; it remembers what the next bars need.

    One call over all bars and any number of calls over stretches of time give the same bits.
    """

    symbols: tuple[str, ...]
    """[A] symbols that have actions."""
    events: pl.DataFrame
    """[E] one row a revision of an ex-date, by symbol, ex-date and `known_at`, with what all of the day's actions come to."""
    first: Times
    """[A + 1] a symbol's events are first[a]:first[a + 1]."""
    before: Times
    """[E] the event that an event revises, else -1."""
    reference: FloatArray
    """[E] last raw close of a regular session before the ex-date; NaN until the ex-date has passed, or when there is none."""
    passed: Times
    """[A] events whose ex-date has passed."""
    waiting: Times
    """[A] the first event that has not taken effect."""
    placed: npt.NDArray[np.bool_]
    """[E] whether it has taken effect."""
    close: FloatArray
    """[A] last raw close of a regular session."""
    price: FloatArray
    """[A] product of the factors in effect."""
    shares: FloatArray
    """[A] product of the new shares for an old one."""

    @classmethod
    def of(cls, actions: pl.DataFrame, zone: str) -> Self:
        """Return the factors of rows of the table `actions`, before any bar; an ex-date begins at midnight in `zone`.

        Raises DataError for rows that no action can have (`action.refuse`).
        """
        action.refuse(actions)
        events = _events(heard(actions, zone), zone)
        symbols = tuple(events["symbol"].unique(maintain_order=True))
        counts = events.group_by("symbol", maintain_order=True).len()["len"].to_numpy()
        first = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        same = np.zeros(events.height, dtype=np.bool_)
        same[1:] = (events["symbol"][1:] == events["symbol"][:-1]) & (events["ex_at"][1:] == events["ex_at"][:-1])
        before = np.where(same, np.arange(events.height) - 1, -1)
        place, one, none = first[:-1].copy(), np.ones(len(symbols)), np.full(len(symbols), np.nan)
        return cls(
            symbols, events, first, before, np.full(events.height, np.nan), place, place.copy(),
            np.zeros(events.height, dtype=np.bool_), none, one, one.copy(),
        )  # fmt: skip

    def advance(self, bars: pl.DataFrame) -> pl.DataFrame:
        """Return the next bars, adjusted forward, with their factors as the columns `adjustment` and `shares`; others are kept.

        Bars are BAR_SCHEMA rows, raw, each symbol's in the order of time and after all that was handed over before. Prices that are
        missing stay so, and bars of extended hours are no reference for a dividend. Raises DataError for cash of the whole close or
        more.
        """
        price, shares = np.ones(bars.height), np.ones(bars.height)
        code = {symbol: a for a, symbol in enumerate(self.symbols)}
        owner = bars["symbol"].replace_strict(code, default=-1, return_dtype=pl.Int64).to_numpy()
        opened_at, event_at = (_microseconds(bars[name]) for name in ("opened_at", "event_at"))
        regular = (bars["flags"] & int(Defect.EXTENDED_HOURS) == 0) & bars["close"].is_finite().fill_null(value=False)
        closes = bars["close"].fill_null(float("nan")).to_numpy()
        ex_at, known_at = (_microseconds(self.events[name]) for name in ("ex_at", "known_at"))
        cash, new = (self.events[name].to_numpy() for name in ("cash", "shares"))
        _advance(
            owner, opened_at, event_at, closes, regular.to_numpy(), self.first, ex_at, known_at, cash, new, self.before,
            self.reference, self.passed, self.waiting, self.placed, self.close, self.price, self.shares, price, shares,
        )  # fmt: skip
        self._refuse_whole_closes()
        return _multiplied(bars, price, shares)

    def _refuse_whole_closes(self) -> None:
        """Raise DataError for an action in effect that hands out all that a share was worth, or more."""
        wrong = np.flatnonzero(self.placed & (self.events["cash"].to_numpy() >= self.reference))
        if len(wrong):
            row = self.events.row(int(wrong[0]), named=True)
            raise DataError(
                f"'{row['symbol']}' hands out {row['cash']:g} a share from {row['ex_at']:%Y-%m-%d} on, but closed at "
                f"{self.reference[wrong[0]]:g} before: correct its row in the table actions, perhaps its currency or unit"
            )


def adjusted(
    bars: pl.DataFrame, actions: pl.DataFrame, zone: str, *, known_at: datetime | None = None, toward: Toward = "first"
) -> pl.DataFrame:
    """Return BAR_SCHEMA rows adjusted for the actions known by `known_at`, with their factors as `adjustment` and `shares`.

    `bars` are raw, sorted by symbol and time, from the beginning: an action counts where a bar precedes its ex-date. `toward` is
    "first" (forward: the first price is the raw one; see the module), "last" (backward: the newest price is the raw one, as charts
    are drawn) or "none". Raises DataError for impossible actions.
    """
    known = heard(actions, zone, known_at)
    if toward == "none":
        return bars.with_columns(adjustment=pl.lit(1.0), shares=pl.lit(1.0))
    if toward == "first":
        return Adjustment.of(known, zone).advance(bars)
    newest = known.sort("known_at").unique(["symbol", "event_at", "kind"], keep="last", maintain_order=True)
    laid = Adjustment.of(newest.with_columns(known_at=pl.min_horizontal("known_at", "event_at")), zone)
    forward = laid.advance(bars)
    last = pl.DataFrame(
        {"symbol": laid.symbols, "price": 1.0 / laid.price, "shares": 1.0 / laid.shares}, schema_overrides={"symbol": pl.String}
    )
    by = forward.select("symbol").join(last, on="symbol", how="left", maintain_order="left").fill_null(1.0)
    factors = forward.select(adjustment=pl.col("adjustment") * by["price"], shares=pl.col("shares") * by["shares"])
    return _multiplied(forward, by["price"].to_numpy(), by["shares"].to_numpy()).with_columns(factors)


def actions(store: Store, market: Market, known_at: datetime | None = None) -> pl.DataFrame:
    """Return the rows of the table `actions` that were known; none for a market that has none."""
    if market.asset_class is not AssetClass.EQUITY:
        return pl.DataFrame(schema=TABLES["actions"].schema)
    try:
        told = store.read("actions", where={"market": market.name})
    except NoData:
        return pl.DataFrame(schema=TABLES["actions"].schema)
    return heard(told, session.zone(market.calendar), known_at)


def heard(actions: pl.DataFrame, zone: str, known_at: datetime | None = None) -> pl.DataFrame:
    """Return the actions that were known, as of days: what is known by the open of its day is known from that day's midnight on.

    Sources stamp the open of the ex-date, but the pre-market trades ex already, and under the new symbol.
    """
    day = _midnight(zone)
    known = pl.when(pl.col("known_at") <= pl.col("event_at")).then(pl.min_horizontal("known_at", day)).otherwise("known_at")
    moved = pl.when(pl.col("kind") == Kind.SYMBOL_CHANGE).then(day).otherwise("event_at")
    told = actions.with_columns(known_at=known, event_at=moved)
    return told if known_at is None else told.filter(pl.col("known_at") <= known_at)


def _midnight(zone: str) -> pl.Expr:
    return pl.col("event_at").dt.convert_time_zone(zone).dt.truncate("1d").dt.convert_time_zone("UTC")


def _events(actions: pl.DataFrame, zone: str) -> pl.DataFrame:
    """Return symbol, ex_at (midnight of the ex-date, UTC), known_at, cash and shares: a day's actions as of each revision.

    Cash of one day adds up and shares multiply: both are stated for a share held the evening before.
    """
    value, kind = pl.col("value"), pl.col("kind")
    rows = actions.filter(kind.is_in([*CASH, *SHARES])).select(
        "symbol", "known_at", "kind", ex_at=_midnight(zone),
        cash=pl.when(kind.is_in(list(CASH))).then(value).otherwise(0.0),
        shares=pl.when(kind == Kind.SPLIT).then(value).when(kind == Kind.STOCK_DIVIDEND).then(1.0 + value).otherwise(1.0),
    ).sort("symbol", "ex_at", "known_at", "kind")  # fmt: skip
    revised, of_day = ["symbol", "ex_at", "kind"], ["symbol", "ex_at"]
    rows = rows.with_columns(
        cash=(pl.col("cash") - pl.col("cash").shift(1, fill_value=0.0)).over(revised),
        shares=(pl.col("shares") / pl.col("shares").shift(1, fill_value=1.0)).over(revised),
    )
    rows = rows.with_columns(cash=pl.col("cash").cum_sum().over(of_day), shares=pl.col("shares").cum_prod().over(of_day))
    whole = rows.unique([*of_day, "known_at"], keep="last", maintain_order=True)
    return whole.select("symbol", "ex_at", "known_at", "cash", "shares")


def _multiplied(bars: pl.DataFrame, price: FloatArray, shares: FloatArray) -> pl.DataFrame:
    factor, count = pl.Series("adjustment", price), pl.Series("shares", shares)
    prices = [(bars[name] * factor).alias(name) for name in PRICED]
    return bars.with_columns(*prices, *((bars[name] / count).alias(name) for name in COUNTED), factor, count)


def _microseconds(times: pl.Series) -> Times:
    return session.naive(times).view(np.int64)


@money
def _advance(
    owner: Times, opened_at: Times, event_at: Times, closes: FloatArray, regular: npt.NDArray[np.bool_], first: Times, ex_at: Times,
    known_at: Times, cash: FloatArray, shares: FloatArray, before: Times, reference: FloatArray, passed: Times, waiting: Times,
    placed: npt.NDArray[np.bool_], close: FloatArray, price: FloatArray, split: FloatArray, out_price: FloatArray,
    out_shares: FloatArray,
) -> None:  # fmt: skip
    """Walk over bars and events in step; all arrays are those of Adjustment, `owner` [N] is a bar's symbol or -1."""
    for n in range(len(owner)):
        a = owner[n]
        if a < 0:
            continue
        while passed[a] < first[a + 1] and ex_at[passed[a]] <= opened_at[n]:
            reference[passed[a]] = close[a]
            passed[a] += 1
        for e in range(waiting[a], passed[a]):
            if not placed[e] and known_at[e] <= event_at[n]:
                placed[e] = True
                # Before the first bar there is nothing that a factor could join.
                if not np.isnan(reference[e]):
                    price[a] *= action.factor(cash[e], shares[e], reference[e])
                    split[a] *= shares[e]
                    if before[e] >= 0:
                        price[a] /= action.factor(cash[before[e]], shares[before[e]], reference[e])
                        split[a] /= shares[before[e]]
        while waiting[a] < passed[a] and placed[waiting[a]]:
            waiting[a] += 1
        out_price[n], out_shares[n] = price[a], split[a]
        if regular[n]:
            close[a] = closes[n]
