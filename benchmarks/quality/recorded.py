"""The defects that the shared data's README records, as rules or as dates; nothing here asks the code under test.

A record is skipped where its symbol or day is not in the file, so that the same list serves other extracts of the same kinds.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, time
from pathlib import Path

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


def shut(_: pl.DataFrame) -> pl.Expr:
    """Select days without a session: Good Friday, hurricane Gloria, the mourning for Reagan."""
    days = [date(1978, 3, 24), date(1985, 9, 27), date(2004, 6, 11)]
    return local("date").is_in(days)


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


def outage(_: pl.DataFrame) -> pl.Expr:
    """Select the first bar after three to ten hours without any, which no weekend explains."""
    hours = pl.col("opened_at").diff().over("symbol").dt.total_hours() - 1
    return hours.is_between(3, 10).fill_null(False)


def wick(share: float) -> Callable[[pl.DataFrame], pl.Expr]:
    """Select bars whose high or low lies that share beyond open, close and the closes beside them."""
    beside = ["open", "close", pl.col("close").shift(1).over("symbol"), pl.col("close").shift(-1).over("symbol")]
    above = pl.col("high") / pl.max_horizontal(beside) - 1 > share
    below = 1 - pl.col("low") / pl.min_horizontal(beside) > share
    return lambda _: (above | below).fill_null(False)


def other_actions(frame: pl.DataFrame) -> pl.Expr:
    """Select actions that the README does not name, dated from the companies' announcements."""
    days = (
        ("A", "2014-11-03"),
        ("ADP", "2014-10-01"),
        ("APD", "2016-10-03"),
        ("CAG", "2016-11-10"),
        ("TDG", "2013-07-11"),
        ("TDG", "2014-06-12"),
        ("VAR", "2017-01-30"),
        ("VTR", "2015-08-18"),
        ("YUM", "2016-11-01"),
    )
    return pl.any_horizontal(on(symbol, day)(frame) for symbol, day in days)


def listing(_: pl.DataFrame) -> pl.Expr:
    """Select first bars of symbols that closed more than 40% away from their own open."""
    first = pl.col("opened_at") == pl.col("opened_at").min().over("symbol")
    return (first & ((pl.col("close") / pl.col("open") - 1).abs() > 0.4)).fill_null(False)


def moves(frame: pl.DataFrame) -> pl.Expr:
    """Select bars that closed more than 40% away from the close before, unless that led back to within 25% of the one before it.

    This is the last count of the README's table, less the second leg of lone prints.
    """
    before = [pl.col("close").shift(lag).over("symbol") for lag in (1, 2)]
    away = [(pl.col("close") / close - 1).abs() for close in before]
    return ((away[0] > 0.4) & ~(away[1] < 0.25).fill_null(False)).fill_null(False)


def lacking(frame: pl.DataFrame) -> pl.Expr:
    """Select the first bar after a day on which the symbol has none, though half of those listed have one, and it has all others.

    Listed are symbols between their own first and last day; all others means at most two days missing within the whole file.
    """
    days = frame.select("symbol", day=local("date")).unique()
    spans = days.group_by("symbol").agg(first=pl.col("day").min(), last=pl.col("day").max())
    dates = days.group_by("day").len("there")
    listed = spans.join(dates, how="cross").filter(pl.col("day").is_between("first", "last"))
    open_days = listed.group_by("day").agg(pl.col("there").first(), listed=pl.len()).filter(pl.col("there") * 2 >= pl.col("listed"))
    missing = listed.join(open_days, on="day", how="semi").join(days, on=["symbol", "day"], how="anti")
    few = missing.filter(pl.len().over("symbol") <= 2)
    later = few.rename({"day": "missing"}).join(days, on="symbol").filter(pl.col("day") > pl.col("missing"))
    after = later.group_by("symbol", "missing").agg(pl.col("day").min())
    keys = after.select(pl.concat_str("symbol", pl.col("day").cast(pl.String)))["symbol"].to_list()
    return pl.concat_str("symbol", local("date").cast(pl.String)).is_in(keys)


def actions(folder: Path) -> Known:
    """Return the splits and large distributions that corporate_actions_pit derives from Yahoo's factors, 10% and more."""
    table = pl.read_parquet(folder / "corporate_actions_pit.parquet").filter(pl.col("factor").log().abs() > 0.1)
    keys = table.select(pl.concat_str("symbol", pl.col("ex_date").cast(pl.String)))["symbol"].to_list()
    large = pl.concat_str("symbol", local("date").cast(pl.String)).is_in(keys)
    # The price did not move with ZAIS's factor of 2016-06-28, so that one is wrong.
    visible = (pl.col("open") / pl.col("close").shift(1).over("symbol")).log().abs() > 0.1
    return Known("splits and distributions of 10% visible at the open", lambda _: (large & visible).fill_null(False), MOVED)


SHIFTED = Defect.DECIMAL_SHIFT
MOVED = Defect.PRICE_SPIKE | Defect.PRICE_JUMP | SHIFTED

RECORDED: dict[str, tuple[Known, ...]] = {
    "equities_daily_sp500": (
        Known("null open, high, low", without_price, Defect.MISSING_PRICE),
        Known("OHLC inconsistent", inconsistent, Defect.RANGE_BROKEN),
        Known("LNT 2016-05-19 close below low", on("LNT", "2016-05-19"), Defect.PRICE_SPIKE),
        Known("NWL 2017-09-14 bar 30% low", on("NWL", "2017-09-14"), Defect.PRICE_SPIKE),
        Known("spin-offs BAX, NI unadjusted", lambda _: on("BAX", "2015-07-01")(_) | on("NI", "2015-07-02")(_), Defect.PRICE_JUMP),
        Known("spin-off EBAY unadjusted", on("EBAY", "2015-07-20"), Defect.PRICE_JUMP),
        Known("spin-off DHR unadjusted", on("DHR", "2016-07-05"), Defect.PRICE_JUMP),
        Known("spin-offs A, ADP, APD, CAG, VAR, VTR, YUM, special dividends of TDG", other_actions, Defect.PRICE_JUMP),
        Known("moves beyond 40%", moves, MOVED),
        Known("sessions missing", lacking, Defect.AFTER_GAP),
        Known("DISCA, DISCK 2014-08-07", lambda _: on("DISCA", "2014-08-07")(_) | on("DISCK", "2014-08-07")(_), Defect.PRICE_JUMP),
    ),
    "equities_daily_long": (
        Known("PCG fields 10x too small", tenth, SHIFTED),
        Known("PCG, the three named days", on("PCG", "2000-04-19", "2010-08-17", "2012-09-27"), SHIFTED),
        Known("moves beyond 40%", moves, MOVED),
        Known("sessions missing", lacking, Defect.AFTER_GAP),
        Known("New York was closed", shut, Defect.MARKET_CLOSED),
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
    "index_daily": (
        Known("OHLC inconsistent", inconsistent, Defect.RANGE_BROKEN),
        Known("moves beyond 40%", moves, MOVED),
        Known("New York was closed", shut, Defect.MARKET_CLOSED),
    ),
    "crypto_1h_long": (
        Known("three hours missing and more", silence(180), Defect.AFTER_GAP),
        Known("wicks beyond 40%", wick(0.4), Defect.PRICE_SPIKE | SHIFTED),
        Known("moves beyond 40%", moves, MOVED | Defect.AFTER_GAP),
    ),
    "crypto_1h": (Known("moves beyond 40%", moves, MOVED), Known("listings at another price", listing, Defect.PRICE_JUMP)),
    "crypto_5m": (),
    "crypto_1m": (Known("three minutes missing and more", silence(3), Defect.AFTER_GAP),),
    "fx_1h": (Known("three hours missing and more", outage, Defect.AFTER_GAP),),
    "fx_4h": (),
    "fx_1m": (),
    "equities_1m_2019": (),
    "equities_daily_yahoo_adj": (Known("sessions missing", lacking, Defect.AFTER_GAP),),
    "equities_daily_broad_pit": (
        Known("moves beyond 40%", moves, MOVED),
        Known("sessions missing", lacking, Defect.AFTER_GAP),
    ),
}  # fmt: skip
