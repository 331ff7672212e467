"""The defects that the shared data's README records, as rules or as dates; nothing here asks the code under test.

A record is skipped where its symbol or day is not in the file, so that the same list serves other extracts of the same kinds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time

import polars as pl

from domain.bar import Defect

NEW_YORK = "America/New_York"
PRICES = ("open", "high", "low", "close")


@dataclass(frozen=True)
class Known:
    """One recorded defect: which rows have it and by which flags it counts as caught."""

    text: str
    rows: Callable[[pl.DataFrame], pl.Expr]
    flags: Defect
    whole: bool = True
    """Whether every row must carry the flag, or one row a symbol and day."""


def local(unit: str) -> pl.Expr:
    """Return the local date or time of day in New York."""
    at = pl.col("opened_at").dt.convert_time_zone(NEW_YORK)
    return at.dt.date() if unit == "date" else at.dt.time()


def on(symbol: str, *days: str) -> Callable[[pl.DataFrame], pl.Expr]:
    """Select one symbol's bars on these days."""
    chosen = [date.fromisoformat(day) for day in days]
    return lambda _: (pl.col("symbol") == symbol) & local("date").is_in(chosen)


def inconsistent(_: pl.DataFrame) -> pl.Expr:
    """Select bars whose open or close lies outside [low, high]."""
    high, low = pl.max_horizontal("open", "close", "low"), pl.min_horizontal("open", "close", "high")
    return ((high > pl.col("high")) | (low < pl.col("low"))).fill_null(False)


def without_price(_: pl.DataFrame) -> pl.Expr:
    """Select bars with a null price."""
    return pl.any_horizontal(pl.col(PRICES).is_null())


def at_zero(_: pl.DataFrame) -> pl.Expr:
    """Select bars with a price of zero or less."""
    return pl.any_horizontal(pl.col(PRICES) <= 0).fill_null(False)


def tenth(_: pl.DataFrame) -> pl.Expr:
    """Select bars of PCG whose lowest price is about a tenth of their highest."""
    ratio = pl.max_horizontal(PRICES) / pl.min_horizontal(PRICES)
    return (pl.col("symbol") == "PCG") & ratio.is_between(9, 11)


def outside_hours(_: pl.DataFrame) -> pl.Expr:
    """Select bars before 09:30 or from 16:00 New York, up to 20:00."""
    return (local("time") < time(9, 30)) | (local("time") >= time(16))


def at_eight(_: pl.DataFrame) -> pl.Expr:
    """Select the prints stamped 20:00 New York, on half days 17:00."""
    half = (local("date") == date(2025, 7, 3)) & (local("time") >= time(17))
    return (local("time") >= time(20)) | half


def volume_regime(frame: pl.DataFrame) -> pl.Expr:
    """Select 2026-01-22 of the symbols that traded before and after it, and the single-venue days of March."""
    change = date(2026, 1, 22)
    days = frame.select("symbol", day=local("date"))
    spans = days.group_by("symbol").agg(before=(pl.col("day") < change).sum(), after=(pl.col("day") >= change).sum())
    both = spans.filter((pl.col("before") > 0) & (pl.col("after") > 0))["symbol"]
    march = local("date").is_between(date(2026, 3, 9), date(2026, 3, 11))
    return pl.col("symbol").is_in(both.to_list()) & ((local("date") == change) | march) & ~outside_hours(frame)


def single_venue(frame: pl.DataFrame) -> pl.Expr:
    """Select the regular bars of 2026-03-10 to 12."""
    return local("date").is_between(date(2026, 3, 10), date(2026, 3, 12)) & ~outside_hours(frame)


def hole(days: int) -> Callable[[pl.DataFrame], pl.Expr]:
    """Select the first bar after so many calendar days without any."""
    return lambda _: (pl.col("opened_at").diff().over("symbol") > pl.duration(days=days)).fill_null(False)


def silence(minutes: int) -> Callable[[pl.DataFrame], pl.Expr]:
    """Select the first bar that opened more than so many minutes after the one before."""
    return lambda _: (pl.col("opened_at").diff().over("symbol") > pl.duration(minutes=minutes)).fill_null(False)


def wick(share: float) -> Callable[[pl.DataFrame], pl.Expr]:
    """Select bars whose high or low lies that share beyond open, close and the closes beside them."""
    beside = ["open", "close", pl.col("close").shift(1).over("symbol"), pl.col("close").shift(-1).over("symbol")]
    above = pl.col("high") / pl.max_horizontal(beside) - 1 > share
    below = 1 - pl.col("low") / pl.min_horizontal(beside) > share
    return lambda _: (above | below).fill_null(False)


SHIFTED = Defect.DECIMAL_SHIFT
MOVED = Defect.PRICE_SPIKE | Defect.PRICE_JUMP

RECORDED: dict[str, tuple[Known, ...]] = {
    "equities_daily_sp500": (
        Known("null open, high, low", without_price, Defect.MISSING_PRICE),
        Known("OHLC inconsistent", inconsistent, Defect.RANGE_BROKEN),
        Known("LNT 2016-05-19 close below low", on("LNT", "2016-05-19"), Defect.PRICE_SPIKE),
        Known("NWL 2017-09-14 bar 30% low", on("NWL", "2017-09-14"), Defect.PRICE_SPIKE),
        Known("spin-offs BAX, NI unadjusted", lambda _: on("BAX", "2015-07-01")(_) | on("NI", "2015-07-02")(_), Defect.PRICE_JUMP),
        Known("spin-off EBAY unadjusted", on("EBAY", "2015-07-20"), Defect.PRICE_JUMP),
        Known("DISCA, DISCK 2014-08-07", lambda _: on("DISCA", "2014-08-07")(_) | on("DISCK", "2014-08-07")(_), Defect.PRICE_JUMP),
    ),
    "equities_daily_long": (
        Known("PCG fields 10x too small", tenth, SHIFTED),
        Known("PCG, the three named days", on("PCG", "2000-04-19", "2010-08-17", "2012-09-27"), SHIFTED),
        Known("zero price", at_zero, Defect.NONPOSITIVE_PRICE),
        Known("OHLC inconsistent", inconsistent, Defect.RANGE_BROKEN),
    ),
    "equities_1m": (Known("volume regime 2026-01-22, March", volume_regime, Defect.VOLUME_BREAK, whole=False),),
    "equities_1m_extended": (Known("20:00 prints after the session", at_eight, Defect.MARKET_CLOSED),),
    "equities_5m": (
        Known("extended-hours bars", outside_hours, Defect.EXTENDED_HOURS),
        Known("single-venue days of March", single_venue, Defect.VOLUME_BREAK, whole=False),
    ),
    "equities_5m_extended": (
        Known("seven-week holes", hole(28), Defect.AFTER_GAP),
        Known("extended-hours bars", outside_hours, Defect.EXTENDED_HOURS),
        Known("PLTR 2023-01-24/25 bad prints", on("PLTR", "2023-01-24", "2023-01-25"), MOVED, whole=False),
    ),
    "index_daily": (Known("OHLC inconsistent", inconsistent, Defect.RANGE_BROKEN),),
    "crypto_1h_long": (
        Known("three hours missing and more", silence(180), Defect.AFTER_GAP),
        Known("wicks beyond 40%", wick(0.4), Defect.PRICE_SPIKE | SHIFTED),
    ),
    "crypto_1h": (),
    "crypto_5m": (),
    "crypto_1m": (Known("three minutes missing and more", silence(3), Defect.AFTER_GAP),),
    "fx_1h": (),
    "equities_daily_yahoo_adj": (),
    "equities_daily_broad_pit": (),
}  # fmt: skip
