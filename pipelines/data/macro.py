"""Macro: published series of the whole economy, from files into the store, and from the store to the covariates of a panel."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from domain.bar import UTC_MICROSECONDS
from domain.error import DataError, NoData, UnreadableFile
from domain.panel import FloatArray, Panel
from domain.params import Quality
from features.catalog.macro import COVARIATES
from pipelines.data import plain, publication, quality
from pipelines.data.sources.files import stamps
from pipelines.store import Store

#: What files call the columns, the best first.
SERIES = ("series", "series_id", "symbol", "name", "indicator")
VALUES = ("value", "close", "price", "rate")
DAYS = ("session", "observation_date", "date", "event_at", "ts", "timestamp", "time")
KNOWN = ("known_at", "realtime_start", "release_date", "published_at")

#: The series that a covariate is made of: the first of these names that is stored.
NAMES: dict[str, tuple[str, ...]] = {
    "macro_treasury_3m": ("UST_3month", "DGS3MO"),
    "macro_treasury_2y": ("UST_2year", "DGS2"),
    "macro_treasury_10y": ("UST_10year", "DGS10"),
    "macro_corporate_aaa": ("MOODYS_AAA", "AAA", "DAAA"),
    "macro_corporate_baa": ("MOODYS_BAA", "BAA", "DBAA"),
    "macro_vix": ("VIX", "VIXCLS", "^VIX"),
    "macro_vix_rank": ("VIX", "VIXCLS", "^VIX"),
    "macro_index_volatility": ("SP500_CLOSE", "SP500", "^GSPC"),
    "macro_index_return": ("SP500_CLOSE", "SP500", "^GSPC"),
    "macro_oil_return": ("DCOILWTICO", "WTI_SPOT"),
    "macro_inflation": ("CPILFESL", "CORE_CPI"),
    "macro_inflation_surprise": ("CPILFESL", "CORE_CPI"),
}
SESSIONS_A_YEAR = 252


@dataclass(frozen=True)
class Imported:
    """What became of a file of series."""

    rows: int
    series: int
    skipped: int
    """Observations without a value: days on which nothing was published."""
    version: int
    """Version of the table `macro` after."""


def store_file(path: Path, limits: Quality, store: Store) -> Imported:
    """Read a file of series and store it; the same file twice changes nothing. Raises what `read` and the store raise."""
    rows, skipped = read(path)
    kept = quality.keep("macro", rows, None, limits, store, source=path.name)
    return Imported(len(rows), rows["series"].n_unique(), skipped, kept.version)


def read(path: Path) -> tuple[pl.DataFrame, int]:
    """Return a file's observations as rows of the table `macro`, and how many had no value.

    Long tables: series, day, value, or a day and OHLC, of which the close counts. `event_at` is the observation's day at 00:00 UTC,
    `known_at` the file's own, where it has such a column (vintages), else what `publication` says of the series. Raises
    UnreadableFile, NoData, and DataError for a series whose publication is unknown.
    """
    table = plain.table(path, "series")
    series, day, value = (_column(path, table, names) for names in (SERIES, DAYS, VALUES))
    lines = pl.Series([f"row {i + 1}" for i in range(len(table))], dtype=pl.String)
    rows = pl.DataFrame({
        "source": pl.Series([path.stem.split(".")[0]] * len(table), dtype=pl.String),
        "series": table[series].cast(pl.String).str.strip_chars(),
        "day": _days(table[day], path, lines),
        "value": table[value].cast(pl.Float64, strict=False),
    })  # fmt: skip
    own = next((name for name in KNOWN if name in table.columns), None)
    if own is not None:
        rows = rows.with_columns(known_at=_moments(table[own], path, lines))
    kept = rows.filter(pl.col("value").is_finite())
    if kept.is_empty():
        raise NoData(f"series were to be read from {path}, but none of its {len(table):,} rows has a value")
    kept = kept if own is not None else _published(kept, path)
    event_at = pl.col("day").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    kept = kept.with_columns(event_at=event_at, known_at=pl.col("known_at").cast(UTC_MICROSECONDS))
    return kept.select("source", "series", "event_at", "known_at", "value"), len(rows) - len(kept)


def join(store: Store, panel: Panel) -> dict[str, FloatArray]:
    """Return COVARIATES, float64 [T, S], equal for all symbols; those whose series are not stored are left out.

    A row holds what was published by its close: of every period the newest revision known then. NaN before the first one. Raises
    what the store raises, but for a store without series, which has no covariates.
    """
    try:
        stored = store.read("macro")
    except NoData:
        return {}
    closes = panel.event_at.astype("datetime64[us]").astype(np.int64)
    known = {name for (name,) in stored.select("series").unique().iter_rows()}
    covariates = {}
    for covariate in COVARIATES:
        series = next((name for name in NAMES[covariate] if name in known), None)
        if series is not None:
            values = as_known(stored.filter(pl.col("series") == series), closes, *STATISTICS[covariate])
            covariates[covariate] = np.repeat(values[:, None], len(panel.symbols), axis=1)
    return covariates


def as_known(rows: pl.DataFrame, at: npt.NDArray[np.int64], window: int, statistic: Callable[[FloatArray], float]) -> FloatArray:
    """Return `statistic` of the newest `window` periods of one series, as they were known at each of `at` (microseconds, sorted).

    NaN while fewer periods are known. Each publication is looked at once; a revision replaces the value of its own period.
    """
    rows = rows.sort("known_at", "event_at", "source")
    known = rows["known_at"].dt.timestamp("us").to_numpy()
    period, value = rows["event_at"].dt.timestamp("us").to_list(), rows["value"].to_list()
    moments, results = [], []
    values: dict[int, float] = {}
    for i in range(len(rows)):
        values[period[i]] = value[i]
        if i + 1 == len(rows) or known[i + 1] > known[i]:
            moments.append(int(known[i]))
            # Publications come nearly in order: only what is older than the window is forgotten, and revisions of it with it.
            newest = sorted(values)[-window:]
            values = {key: values[key] for key in newest}
            results.append(statistic(np.array([values[key] for key in newest])) if len(newest) == window else np.nan)
    place = np.searchsorted(np.array(moments, dtype=np.int64), at, side="right") - 1
    return np.where(place >= 0, np.array([*results, np.nan])[place], np.nan)


def _rank(values: FloatArray) -> float:
    """Return the place of the newest among all, -0.5 to 0.5; equal values count half."""
    others, newest = values[:-1], values[-1]
    return float(((others < newest).sum() + 0.5 * (others == newest).sum()) / len(others) - 0.5)


def _volatility(values: FloatArray) -> float:
    return float(100.0 * np.sqrt(SESSIONS_A_YEAR) * np.diff(np.log(values)).std(ddof=1))


def _surprise(values: FloatArray) -> float:
    """Return the newest change against the twelve before, in their deviations; 0 where those do not vary."""
    changes = np.diff(np.log(values))
    deviation = changes[:-1].std(ddof=1)
    return float((changes[-1] - changes[:-1].mean()) / deviation) if deviation > 0.0 else 0.0


def _newest(values: FloatArray) -> float:
    return float(values[-1])


def _log_change(values: FloatArray) -> float:
    return float(np.log(values[-1] / values[0])) if values[-1] > 0.0 < values[0] else float("nan")


#: How many of the newest periods a covariate looks at, and what it makes of them.
STATISTICS: dict[str, tuple[int, Callable[[FloatArray], float]]] = {
    **dict.fromkeys(COVARIATES[:6], (1, _newest)),
    "macro_vix_rank": (SESSIONS_A_YEAR, _rank),
    "macro_index_volatility": (22, _volatility),
    "macro_index_return": (21, _log_change),
    "macro_oil_return": (21, _log_change),
    "macro_inflation": (13, _log_change),
    "macro_inflation_surprise": (14, _surprise),
}


def _published(rows: pl.DataFrame, path: Path) -> pl.DataFrame:
    try:
        known = [publication.known_at(series, day) for series, day in rows.select("series", "day").iter_rows()]
    except DataError as problem:
        raise DataError(f"{path}: {problem}") from None
    return rows.with_columns(known_at=pl.Series(known, dtype=UTC_MICROSECONDS))


def _days(column: pl.Series, path: Path, lines: pl.Series) -> pl.Series:
    """Return the day of each observation: moments are days in New York, where these series are kept."""
    parsed = stamps.parse(column, path, lines)
    local = parsed["utc"].dt.convert_time_zone(str(publication.NEW_YORK)) if "utc" in parsed.columns else parsed["wall"]
    return local.dt.date()


def _moments(column: pl.Series, path: Path, lines: pl.Series) -> pl.Series:
    """Return when values were known: a mere day, as vintages have it, from its end in New York on."""
    parsed = stamps.parse(column, path, lines)
    if stamps.dated(column):
        end: pl.Series = parsed["wall"].dt.replace_time_zone(str(publication.NEW_YORK)).dt.offset_by("1d")
        return end.dt.convert_time_zone("UTC").dt.offset_by("-1us")
    if "utc" not in parsed.columns:
        raise UnreadableFile(f"{path} says when values were known without an offset from UTC: write {column.name} with one")
    return parsed["utc"]


def _column(path: Path, table: pl.DataFrame, names: tuple[str, ...]) -> str:
    found = next((name for name in names if name in table.columns), None)
    if found is None:
        raise UnreadableFile(
            f"series were to be read from {path}, but it has the columns {', '.join(table.columns)}: "
            f"a series, a day and a value are needed, and none is called {' or '.join(names[:3])}"
        )
    return found
