"""Clocks: on which clock a file's stamps were read, and whether they mark the beginning or the end of bars.

Both are inferred from all the stamps of the file against the market's calendar, never from one row or from a name.
"""

from datetime import timedelta

import numpy as np
import polars as pl

from domain import session
from domain.error import UnreadableFile
from domain.market import Market
from domain.panel import FloatArray
from pipelines.data.sources.files.table import EST, UTC, Table

#: MetaTrader brokers keep New York time plus seven hours, so that the FX day ends at their midnight.
BROKER = "New York + 7 h"
BROKER_AHEAD = timedelta(hours=7)

#: Clocks of FX files; of two that fit equally the first is taken.
FX_CLOCKS = (UTC, BROKER, session.FX_ZONE, EST, "Europe/Athens", "Europe/London", "Etc/GMT-2", "Etc/GMT-3")

#: Exchanges open and close on the half hour.
ROUND = timedelta(minutes=30)


def moments(table: Table, market: Market, bar: timedelta) -> pl.Series:
    """Return the stamps as moments in UTC.

    Epochs and stamps with an offset are moments already, and a format may fix its zone. Otherwise:

    - "24/7": UTC, the clock of every crypto exchange.
    - "24/5": the clock of FX_CLOCKS under which the stamps begin and end their weeks at Sunday and Friday 17:00 New York most
      closely and leave the fewest outside; for a file that counts ticks, as terminals do, the broker's unless more than one week
      speaks against it; when there is no weekend to tell by, UTC for others.
    - an exchange: its local time, unless more of the stamps fall into its sessions when they are taken as UTC, or as read from
      the clock of the file's vendor.

    Raises UnreadableFile for a reading that the clock skipped.
    """
    if "utc" in table.rows.columns:
        return table.rows["utc"]
    wall = table.rows["wall"]
    zone = table.layout.zone or _infer(table, market, bar)
    found = _moments(wall, zone)
    skipped = found.is_null()
    if skipped.any():
        reading = wall.filter(skipped)[0]
        raise UnreadableFile(f"{table.path} has a stamp {reading}, which the clock of {zone} skipped when it was put forward")
    return found


def ended(stamps: pl.Series, market: Market, bar: timedelta) -> bool:
    """Say whether stamps mark the ends of bars; known for exchanges only, elsewhere bars are stamped by their open.

    Sessions have a stamp at their open by the one custom, at their close by the other; with extended hours at both, and at the
    open or the close of those. End-stamped files therefore have stamps at closes twice as often as at opens, or at closes only;
    half again as often decides, for prints out of order leave stamps anywhere. When no session has either, because the file's
    hours are not the calendar's, days that begin one bar after a half hour and end on one are end-stamped.
    """
    if market.calendar in {session.CONTINUOUS, session.FX_WEEK}:
        return False
    table = sessions(market, stamps)
    unique = session.naive(stamps.unique())
    opens = int(np.isin(unique, np.union1d(session.naive(table["opened_at"]), session.naive(table["pre_opened_at"]))).sum())
    closes = int(np.isin(unique, np.union1d(session.naive(table["closed_at"]), session.naive(table["post_closed_at"]))).sum())
    return 2 * closes > 3 * opens if opens or closes else _ends_on_the_half_hour(stamps, market, bar)


def _ends_on_the_half_hour(stamps: pl.Series, market: Market, bar: timedelta) -> bool:
    if bar >= ROUND:
        return False
    local = stamps.dt.convert_time_zone(session.zone(market.calendar)).dt.replace_time_zone(None).alias("at")
    edges = local.to_frame().group_by(pl.col("at").dt.date().alias("day")).agg(first=pl.col("at").min(), last=pl.col("at").max())
    past = [edges.select((pl.col(edge) - pl.col(edge).dt.truncate("30m")).mode().min()).item() for edge in ("first", "last")]
    return bool(past == [bar, timedelta(0)])


def _infer(table: Table, market: Market, bar: timedelta) -> str:
    if market.calendar == session.CONTINUOUS:
        return UTC
    unique = table.rows["wall"].unique().sort()
    if market.calendar == session.FX_WEEK:
        misfits = {zone: _misfit(_moments(unique, zone).drop_nulls(), market, bar) for zone in FX_CLOCKS}
        best = min(misfits, key=lambda zone: misfits[zone])
        return BROKER if table.layout.terminal and misfits[BROKER] <= misfits[best] + _one_week(unique) else best
    candidates = (session.zone(market.calendar), UTC, *table.layout.clocks)
    return max(candidates, key=lambda zone: _inside(_moments(unique, zone).drop_nulls(), market))


def _one_week(wall: pl.Series) -> float:
    """Return by how much a single week that opens or closes an hour off, as weeks of holidays do, adds to a misfit."""
    span: timedelta = wall[-1] - wall[0]
    return 1.0 / max(1, span // timedelta(days=7))


def _moments(wall: pl.Series, zone: str) -> pl.Series:
    """Read a wall clock; of an hour that came twice, the first."""
    if zone == BROKER:
        wall, zone = wall - BROKER_AHEAD, session.FX_ZONE
    return wall.dt.replace_time_zone(zone, ambiguous="earliest", non_existent="null").dt.convert_time_zone("UTC")


def _misfit(stamps: pl.Series, market: Market, bar: timedelta) -> float:
    """Return how badly weeks fit: hours they typically miss open and close by, how unevenly they do, and percent of stamps outside.

    The right clock misses by as much in summer as in winter: gold opens an hour late all year, and on no other clock.
    """
    if stamps.is_empty():
        return float("inf")
    at = np.sort(session.naive(stamps))
    table = sessions(market, stamps)
    opened, closed = session.naive(table["opened_at"]), session.naive(table["closed_at"])
    weekend = opened[1:] > closed[:-1]
    opened, closed = opened[np.append([True], weekend)], closed[np.append(weekend, [True])]
    week = np.searchsorted(opened, at, side="right") - 1
    change = week[1:] != week[:-1]
    late = (at[1:] - opened[week[1:]])[change]
    early = (closed[week[:-1]] - at[:-1] - np.timedelta64(bar))[change]
    outside = float(np.mean(at >= closed[week])) * 100
    return round(outside + sum(_miss(gaps.astype(np.int64) / 3.6e9) for gaps in (late, early)), 6)


def _miss(hours: FloatArray) -> float:
    if len(hours) == 0:
        return 0.0
    typical = float(np.median(hours))
    return abs(typical) + float(np.mean(np.abs(hours - typical)))


def _inside(stamps: pl.Series, market: Market) -> float:
    """Return the share of stamps in regular sessions plus the share in extended ones, both edges counted as inside; 0 for none."""
    if stamps.is_empty():
        return 0.0
    at = session.naive(stamps)
    table = sessions(market, stamps)
    share = 0.0
    for first, last in (("opened_at", "closed_at"), ("pre_opened_at", "post_closed_at")):
        opened, closed = session.naive(table[first]), session.naive(table[last])
        share += float(np.mean(at <= closed[np.searchsorted(opened, at, side="right") - 1]))
    return round(share, 6)


def sessions(market: Market, stamps: pl.Series) -> pl.DataFrame:
    """Return the sessions around all stamps, the last before the first of them and the first after the last included."""
    first, last = session.moment(stamps.min()), session.moment(stamps.max())  # type: ignore[arg-type]
    days = [at.astype("datetime64[D]").item() for at in (first, last)]
    return session.sessions(market.calendar, days[0] - session.REACH, days[1] + session.REACH)
