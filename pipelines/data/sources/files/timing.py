"""Timing: from stamps to the first moment and the close of each bar, at the file's own bar length."""

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from domain import session
from domain.bar import UTC_MICROSECONDS
from domain.error import UnreadableFile
from domain.market import Market
from domain.panel import TimeArray
from pipelines.data.sources.files import clocks
from pipelines.data.sources.files.columns import NotBars
from pipelines.data.sources.files.table import UTC, Table

DAY = timedelta(days=1)
#: Daily stamps are a day apart but for daylight saving, weekly ones seven but for holidays.
DAY_LIKE, WEEK_LIKE = timedelta(hours=20), timedelta(days=6)
#: No market has bars as short: rows this close are ticks, whatever their columns are called.
TICK_LIKE = timedelta(minutes=1)
SATURDAY = 6


@dataclass(frozen=True)
class Timed:
    """Rows with their times understood."""

    rows: pl.DataFrame
    """A Table's rows with opened_at and closed_at (UTC us) for wall and utc; closed_at is null unless the row is a day."""
    bar: timedelta
    """Length of the file's bars; zero for ticks."""


def understand(table: Table, market: Market) -> Timed:
    """Return the table's rows with opened_at.

    The bar length is the difference between neighbouring stamps of a symbol that occurs most often, the least of equals; a
    single row is a day if no time is written, else as long as the market's bar. Rows less than a minute apart are ticks. A daily
    row is a session (see `_daily`); any other is stamped by its open or, if `clocks.ended` says so, by its close. Raises NotBars
    for one price a day, UnreadableFile for weekly bars and impossible times.
    """
    bar = _length(table, market)
    if bar >= WEEK_LIKE:
        raise UnreadableFile(
            f"{table.path} holds {_called(bar)} bars, which are not read: market '{market.name}' takes {market.timeframe} bars, so "
            f"import {'1d' if market.timeframe == '1w' else market.timeframe} bars or finer ones"
        )
    if bar >= DAY_LIKE and table.ticks:
        raise NotBars(f"{table.path} holds one price a day, and a bar needs open, high, low and close")
    rows = _daily(table, market) if bar >= DAY_LIKE else _intraday(table, market, bar)
    if bar >= DAY_LIKE:
        return Timed(rows, DAY)
    return Timed(rows, timedelta(0) if table.ticks or bar < TICK_LIKE else bar)


def floor(moments: TimeArray, market: Market, bar: timedelta) -> TimeArray:
    """Return the first moment of the bar of the given length that holds each moment: bars begin at the session's open.

    Before the open bars reach back from it, after the close they begin anew, so that no bar holds both what traded in the session
    and after it; around the clock they begin at midnight UTC.
    """
    step = np.timedelta64(bar).astype("timedelta64[us]")
    anchor: TimeArray = np.full(len(moments), np.datetime64(0, "us"))
    if market.calendar != session.CONTINUOUS and len(moments):
        table = clocks.sessions(market, pl.Series(moments).dt.replace_time_zone(UTC))
        place = np.searchsorted(session.naive(table["pre_opened_at"]), moments, side="right") - 1
        opened, closed = (session.naive(table[name])[place] for name in ("opened_at", "closed_at"))
        anchor = np.where(moments < closed, opened, closed)
    begun: TimeArray = anchor + (moments - anchor) // step * step
    return begun


def _length(table: Table, market: Market) -> timedelta:
    apart = (
        table.rows.select("symbol", "wall").unique().sort("symbol", "wall")
        .select(pl.col("wall").diff().over("symbol").alias("apart")).drop_nulls()
    )  # fmt: skip
    if apart.is_empty():
        exchange = market.calendar not in {session.CONTINUOUS, session.FX_WEEK}
        return DAY if table.dated or (exchange and _midnight(table.rows["wall"]).all()) else market.bar
    found: timedelta = apart.group_by("apart").len().sort(["len", "apart"], descending=[True, False])["apart"][0]
    return found


def _called(bar: timedelta) -> str:
    """Return what bars of a week or longer are called."""
    return "weekly" if bar.days <= 8 else "monthly" if bar.days <= 31 else f"{bar.days}-day"


def _midnight(wall: pl.Series) -> pl.Series:
    return wall == wall.dt.truncate("1d")


def _intraday(table: Table, market: Market, bar: timedelta) -> pl.DataFrame:
    stamps = clocks.moments(table, market, bar)
    if not table.layout.opens and not table.ticks and clocks.ended(stamps, market, bar):
        before = session.naive(stamps) - np.timedelta64(1, "us")
        stamps = pl.Series(floor(before, market, bar)).dt.replace_time_zone(UTC)
    return _timed(table.rows, stamps, pl.Series([None] * len(stamps), dtype=UTC_MICROSECONDS))


def _daily(table: Table, market: Market) -> pl.DataFrame:
    """Give each daily row the open and the close of what it sums up.

    - exchange: the session of its date (in the stamp's own offset at midnight, else on the exchange's clock). A date without
      a session gets the hours of the session before, so that quality can see that the market was closed.
    - "24/7": a day from midnight UTC, or from the moment stamped.
    - "24/5": dates without any weekend are trading days, 17:00 to 17:00 New York, as brokers have them; dates with Sundays are
      calendar days, in UTC unless the format says otherwise; moments begin a day. What reaches into the weekend is cut off.
    """
    rows, zone = table.rows, table.layout.zone
    if market.calendar not in {session.CONTINUOUS, session.FX_WEEK}:
        return _of_session(rows, _session_dates(rows, session.zone(market.calendar)), market)
    if "utc" in rows.columns:
        return _days_from(rows, rows["utc"], market)
    weekend = (rows["wall"].dt.weekday() >= SATURDAY).any()
    if market.calendar == session.FX_WEEK and not weekend and zone is None:
        return _of_session(rows, rows["wall"].dt.date(), market)
    midnights = rows["wall"].dt.truncate("1d").dt.replace_time_zone(zone or UTC).dt.convert_time_zone(UTC)
    return _days_from(rows, midnights, market)


def _session_dates(rows: pl.DataFrame, zone: str) -> pl.Series:
    if "utc" not in rows.columns:
        return rows["wall"].dt.date()
    local = pl.col("utc").dt.convert_time_zone(zone).dt.date()
    return rows.select(session=pl.when(pl.lit(_midnight(rows["wall"]))).then(pl.col("wall").dt.date()).otherwise(local))["session"]


def _of_session(rows: pl.DataFrame, dates: pl.Series, market: Market) -> pl.DataFrame:
    known = session.sessions(market.calendar, *_reach(dates))
    zone = session.zone(market.calendar)
    hours = [
        pl.col(name).dt.convert_time_zone(zone).dt.replace_time_zone(None) - pl.col("session")
        for name in ("opened_at", "closed_at")
    ]
    usual = known.select("session", opens=hours[0], closes=hours[1])
    days = dates.alias("session").to_frame().unique().sort("session").join_asof(usual, on="session", strategy="backward")
    local = [(pl.col("session").cast(pl.Datetime("us")) + pl.col(name)).dt.replace_time_zone(zone) for name in ("opens", "closes")]
    days = days.select("session", opened_at=local[0].dt.convert_time_zone(UTC), closed_at=local[1].dt.convert_time_zone(UTC))
    found = dates.alias("session").to_frame().join(days, on="session", how="left", maintain_order="left")
    return _timed(rows, found["opened_at"], found["closed_at"])


def _reach(dates: pl.Series) -> tuple[date, date]:
    first: date = dates.min()  # type: ignore[assignment]
    last: date = dates.max()  # type: ignore[assignment]
    return first - session.REACH, last + session.REACH


def _days_from(rows: pl.DataFrame, starts: pl.Series, market: Market) -> pl.DataFrame:
    opened = session.naive(starts)
    closed = opened + np.timedelta64(DAY).astype("timedelta64[us]")
    if market.calendar == session.FX_WEEK:
        table = clocks.sessions(market, starts)
        session_opens, session_closes = session.naive(table["opened_at"]), session.naive(table["closed_at"])
        first = np.searchsorted(session_closes, opened, side="right")
        last = np.searchsorted(session_opens, closed, side="left") - 1
        traded = first <= last
        opened = np.where(traded, np.maximum(opened, session_opens[first]), opened)
        closed = np.where(traded, np.minimum(closed, session_closes[last]), closed)
    return _timed(rows, *(pl.Series(times).dt.replace_time_zone(UTC) for times in (opened, closed)))


def _timed(rows: pl.DataFrame, opened_at: pl.Series, closed_at: pl.Series) -> pl.DataFrame:
    return rows.drop("wall", "utc", strict=False).with_columns(opened_at.alias("opened_at"), closed_at.alias("closed_at"))
