"""LEAN: the files of QuantConnect's engine, whose names hold the day, symbol, resolution and kind that the rows leave out.

Source: Data/{equity,forex,crypto}/readme.md of QuantConnect/Lean. No file has a header. Ticks, seconds and minutes begin with
milliseconds since midnight of the day in the file's name, hours and days with YYYYMMDD HH:MM; all stamps are opens. Equity is
in New York time and in deci-cents (a price times 10,000), the others in plain decimals; crypto is in UTC; of forex Oanda is in
UTC and FXCM in EST without daylight saving (its ticks of 2014-05-04 agree with Oanda's minutes to a tenth of a pip when read
five hours later, and at no other shift).
"""

import re
from dataclasses import replace
from pathlib import PurePath

import polars as pl

from domain.market import AssetClass, Market
from pipelines.data.sources.files import delimited, numbers, table
from pipelines.data.sources.files.columns import PRICES, NotBars
from pipelines.data.sources.files.table import EST, UTC, Layout, Table

NAME = re.compile(r"(\d{8})_([^_]+)_(?:(tick|second|minute)_(trade|quote)|(trade|quote)_(tick|second|minute))", re.IGNORECASE)
SLOW = re.compile(rb"\d{8} \d\d:\d\d,")
DECI_CENTS = 10_000.0
NEW_YORK = "America/New_York"
CLASSES = {"equity": AssetClass.EQUITY, "forex": AssetClass.FX, "crypto": AssetClass.CRYPTO}

QUOTE_BAR = (*(f"bid_{price}" for price in PRICES), "bid_size", *(f"ask_{price}" for price in PRICES), "ask_size")
TAIL = ("exchange", "condition", "suspicious")

#: Columns after the stamp, by what the name says a row is and by how many there are.
NAMES: dict[tuple[str, int], tuple[str, ...]] = {
    ("bar", 5): (*PRICES, "volume"),
    ("bar", 10): QUOTE_BAR,
    ("quote", 2): ("bid", "ask"),
    ("quote", 4): ("bid", "bid_size", "ask", "ask_size"),
    ("quote", 7): ("bid", "bid_size", "ask", "ask_size", *TAIL),
    ("trade", 2): ("price", "size"),
    ("trade", 5): ("price", "size", *TAIL),
}


def recognise(path: PurePath, data: bytes) -> bool:
    """Say whether this is a text file of LEAN."""
    return NAME.match(path.name) is not None or SLOW.match(data) is not None


def read(path: PurePath, data: bytes, market: Market) -> Table:
    """Read one file; ticks that the vendor marks as suspicious are no part of its bars and are left out here too.

    The folders say whether it is equity, forex or crypto; without them the market does. Raises NotBars or UnreadableFile.
    """
    asset_class = next((CLASSES[part] for part in reversed(path.parts) if part in CLASSES), market.asset_class)
    lines = delimited.split(path, data)
    width = lines[0][1].count(",")
    named = NAME.match(path.name)
    names = NAMES.get((_row(named), width))
    if names is None:
        raise NotBars(f"{path} has the name of a LEAN file, but {width} columns after its stamps, which no such file has")
    frame, places = delimited.fields(path, lines, ("stamp", *names))
    if named:
        frame = frame.with_columns(_moments(frame["stamp"], named[1]))
    if "suspicious" in frame.columns:
        kept = (frame["suspicious"].str.strip_chars() != "1").fill_null(value=True)
        frame, places = frame.filter(kept), places.filter(kept)
    found = table.assemble(path, frame, places, Layout(_zone(path, asset_class), opens=True))
    symbol = named[2] if named else path.stem
    rows = found.rows.with_columns(pl.lit(symbol.upper()).alias("symbol"))
    if asset_class is AssetClass.EQUITY:
        rows = numbers.divided(rows, pl.Series([DECI_CENTS]))
    return replace(found, rows=rows)


def _row(named: re.Match[str] | None) -> str:
    if named is None or "tick" not in {(named[3] or "").lower(), (named[6] or "").lower()}:
        return "bar"
    return (named[4] or named[5]).lower()


def _moments(milliseconds: pl.Series, day: str) -> pl.Series:
    """Write milliseconds since midnight as text that `stamps` reads; what is no number stays as it is, to be refused there."""
    count = milliseconds.str.strip_chars().cast(pl.Float64, strict=False)
    midnight = pl.Series([day], dtype=pl.String()).str.to_date("%Y%m%d").cast(pl.Datetime("us"))[0]
    moment: pl.Series = midnight + (count * 1000).round().cast(pl.Duration("us"))
    return moment.dt.strftime("%Y-%m-%d %H:%M:%S%.6f").fill_null(milliseconds).alias("stamp")


def _zone(path: PurePath, asset_class: AssetClass) -> str | None:
    if asset_class is AssetClass.EQUITY:
        return NEW_YORK
    known = {"fxcm": EST, "oanda": UTC}
    return UTC if asset_class is AssetClass.CRYPTO else next((known[part] for part in path.parts if part in known), None)
