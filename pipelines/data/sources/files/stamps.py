"""Stamps: reads written moments, and says whether they name moments or only readings of some clock."""

from datetime import datetime, timedelta
from pathlib import PurePath

import polars as pl

from domain.bar import UTC_MICROSECONDS
from domain.error import UnreadableFile

WALL = pl.Datetime("us")

#: A date, then perhaps a time of day with perhaps a fraction (HistData writes it without a point), then perhaps an offset.
PATTERN = (
    r"^\s*(?P<date>.*?\d)(?:[T ]\s*(?P<hour>\d{1,2}):?(?P<minute>\d{2})(?::?(?P<second>\d{2})(?:[.,]?(?P<fraction>\d{1,9}))?)?"
    r"\s*(?P<half>[AaPp][Mm])?\s*(?P<offset>Z|(?:UTC|GMT)?[+-]\d{2}:?\d{2}|UTC|GMT)?)?\s*$"
)

#: Which group of PATTERN the hour is.
HOUR = 2

DATES = (
    "%Y-%m-%d", "%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%m/%d/%Y", "%d/%m/%Y", "%m-%d-%Y", "%d-%m-%Y",
    "%d-%B-%Y", "%d-%B-%y", "%d/%B/%Y", "%d %B %Y", "%B %d, %Y", "%m/%d/%y", "%d/%m/%y", "%d.%m.%y",
)  # fmt: skip

#: Layouts that no language but English has.
MONTH_FIRST = ("%m/%d/%Y", "%m-%d-%Y", "%m/%d/%y", "%B %d, %Y")

#: No bar is older or younger; a year outside is a slip of the pen or a misread column.
EARLIEST, LATEST = datetime(1700, 1, 1), datetime(2100, 1, 1)  # noqa: DTZ001

#: Days that step by this were read with day and month exchanged.
MONTH = timedelta(days=28)

EPOCH = r"^\d{9,19}(\.\d+)?$"


def parse(column: pl.Series, path: PurePath, lines: pl.Series, *, day_first: bool = False) -> pl.DataFrame:
    """Return `wall`, and `utc` when every stamp is an epoch or carries an offset.

    Takes text, dates, datetimes (aware or not), epoch numbers and dates written as numbers (20130208). `lines` names the row
    in sentences. With `day_first` 05/03/2024 is the 5th of March. Raises UnreadableFile naming the first stamp that cannot be
    read.
    """
    kind = column.dtype
    if kind.is_integer() and (column < 100_000_000).all():
        return parse(column.cast(pl.String), path, lines, day_first=day_first)
    if isinstance(kind, pl.Datetime):
        parsed = _datetimes(column.cast(pl.Datetime("us", kind.time_zone)))
    elif kind == pl.Date:
        parsed = pl.DataFrame({"wall": column.cast(WALL)})
    elif kind == pl.String and not column.str.contains(EPOCH).all():
        layouts = [layout for layout in DATES if not day_first or layout not in MONTH_FIRST]
        parsed = _texts(column, path, layouts)
    else:
        parsed = _epochs(column)
    return _checked(parsed, column, path, lines)


def dated(column: pl.Series) -> bool:
    """Say whether stamps are days, written without a time of day."""
    if column.dtype == pl.Date:
        return True
    text = column.cast(pl.String)
    return not bool(text.str.contains(EPOCH).any()) and text.str.extract(PATTERN, HOUR).null_count() == len(text)


def _datetimes(column: pl.Series) -> pl.DataFrame:
    wall = column.dt.replace_time_zone(None)
    if column.dtype.time_zone is None:  # type: ignore[attr-defined]
        return pl.DataFrame({"wall": wall})
    return pl.DataFrame({"wall": wall, "utc": column.dt.convert_time_zone("UTC")})


def _epochs(column: pl.Series) -> pl.DataFrame:
    """Tell seconds, milliseconds, microseconds and nanoseconds apart by their size: they meet nowhere after 1973."""
    whole = column.cast(pl.Float64, strict=False)
    exact = column.cast(pl.String).str.extract(r"^(\d+)", 1).cast(pl.Int64, strict=False)
    microseconds = (
        pl.when(pl.col("whole") < 1e11).then((pl.col("whole") * 1e6).round().cast(pl.Int64))
        .when(pl.col("whole") < 1e14).then((pl.col("whole") * 1e3).round().cast(pl.Int64))
        .when(pl.col("whole") < 1e17).then(pl.col("exact"))
        .otherwise(pl.col("exact") // 1000)
    )  # fmt: skip
    # A number too small to be an epoch after 1973 is no stamp: a row count, say.
    moment = pl.when(pl.col("whole") >= 1e8).then(microseconds).cast(WALL)
    wall = pl.DataFrame({"whole": whole, "exact": exact}).select(wall=moment)
    return wall.with_columns(utc=pl.col("wall").dt.replace_time_zone("UTC"))


def _texts(column: pl.Series, path: PurePath, layouts: list[str]) -> pl.DataFrame:
    parts = column.str.extract_groups(PATTERN).struct.unnest()
    parts = parts.with_columns(_dates(parts["date"], path, layouts).alias("day"))
    hour = pl.col("hour").cast(pl.Int64).fill_null(0)
    twelve = pl.col("half").str.to_lowercase()
    hour = pl.when(twelve == "pm").then(hour % 12 + 12).when(twelve == "am").then(hour % 12).otherwise(hour)
    minute, second = (pl.col(name).cast(pl.Int64).fill_null(0) for name in ("minute", "second"))
    fraction = pl.col("fraction").str.pad_end(6, "0").str.slice(0, 6).cast(pl.Int64).fill_null(0)
    possible = (hour < 24) & (minute < 60) & (second < 60)
    clock = pl.duration(hours=hour, minutes=minute, seconds=second, microseconds=fraction)
    wall = pl.when(possible).then(pl.col("day").cast(WALL) + clock)
    parsed = parts.select(wall=wall, offset=pl.col("offset"))
    return _shifted(parsed, path)


def _shifted(parsed: pl.DataFrame, path: PurePath) -> pl.DataFrame:
    """Add `utc` where offsets are written; they must then be written in every row."""
    without = parsed["offset"].null_count()
    if without == parsed.height:
        return parsed.select("wall")
    if without:
        raise UnreadableFile(f"{path} writes an offset from UTC in some stamps and none in {without}: it must be in all or none")
    digits = pl.col("offset").str.replace_all("[A-Z:]", "")
    minutes = digits.str.slice(1, 2).cast(pl.Int64, strict=False) * 60 + digits.str.slice(3, 2).cast(pl.Int64, strict=False)
    signed = pl.when(digits.str.starts_with("-")).then(-minutes).otherwise(minutes).fill_null(0)
    moment = (pl.col("wall") - pl.duration(minutes=signed)).dt.replace_time_zone("UTC")
    return parsed.select("wall", utc=moment.cast(UTC_MICROSECONDS))


def _dates(texts: pl.Series, path: PurePath, layouts: list[str]) -> pl.Series:
    """Read days in the layout that fits most rows; of 01/02 and 02/01 take the one whose days run in order and lie close."""
    days = texts.unique(maintain_order=True)
    readings = [_real(days.str.to_date(layout, strict=False)) for layout in layouts]
    failures = min(reading.null_count() for reading in readings)
    fitting = [reading for reading in readings if reading.null_count() == failures]
    distinct = [reading for i, reading in enumerate(fitting) if not any(reading.equals(other) for other in fitting[:i])]
    ordered = [reading for reading in distinct if reading.is_sorted() or reading.is_sorted(descending=True)] or distinct
    # January the 2nd, 3rd and 6th, not the 1st of February, of March and of June.
    ordered = [reading for reading in ordered if _apart(reading) < MONTH] or ordered
    if len(ordered) > 1 and failures < len(days):
        raise UnreadableFile(f"{path} writes dates such as '{days[0]}', which may be day or month first: write them as YYYY-MM-DD")
    return pl.DataFrame({"text": texts}).join(
        pl.DataFrame({"text": days, "day": ordered[0]}), on="text", how="left", maintain_order="left"
    )["day"]


def _apart(days: pl.Series) -> timedelta:
    typical: timedelta | None = days.sort().diff().median()  # type: ignore[assignment]
    return MONTH if typical is None else typical


def _real(days: pl.Series) -> pl.Series:
    """Refuse the first centuries: a year of two digits read as one of four."""
    return days.set(days < EARLIEST.date(), None)


def _checked(parsed: pl.DataFrame, column: pl.Series, path: PurePath, lines: pl.Series) -> pl.DataFrame:
    missing = ~parsed["wall"].is_between(EARLIEST, LATEST).fill_null(value=False)
    if not missing.any():
        return parsed
    first = int(missing.arg_true()[0])
    raise UnreadableFile(f"{path}, {lines[first]}: '{column[first]}' in column '{column.name}' is not a date or time")
