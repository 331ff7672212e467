"""Reading: headlines from the files that people keep, into the store's table `news`."""

import html
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import polars as pl

from domain import session
from domain.bar import UTC_MICROSECONDS
from domain.error import NoData, UnreadableFile
from domain.market import Market
from domain.params import Params
from models import sentiment
from pipelines.data import plain, quality
from pipelines.data.news.entities import Entities
from pipelines.data.sources.files import stamps
from pipelines.store import Store

#: What files call the columns, the best first.
HEADLINES = ("headline", "title", "text", "news", "summary")
SYMBOLS = ("symbol", "symbols", "ticker", "tickers", "stock", "stocks")
TIMES = ("event_at", "published_at", "published", "publish_time", "created_at", "ts", "timestamp", "datetime", "time", "date")
KNOWN = ("known_at", "received_at")
SOURCES = ("source", "publisher", "provider")
#: Share of stamps at a zone's midnight from which a file holds days and no times: of true times one in 1,440 is there.
DAYS_SHARE = 0.5


@dataclass(frozen=True)
class Imported:
    """What became of a file of headlines."""

    rows: int
    """Rows stored, one a headline and symbol."""
    symbols: int
    unnamed: int
    """Rows that name no symbol of the market."""
    dated: int
    """Rows whose publication is known to the day alone: they count from that day's end."""
    skipped: int
    """Rows without a headline."""
    version: int
    """Version of the table `news` after."""


def store_file(path: Path, market: Market, params: Params, store: Store, entities: Entities | None = None) -> Imported:
    """Read a file of headlines, link and score them, and store them; the same file twice changes nothing.

    Raises UnreadableFile, NoData for a file without headlines, and what the reader of sentiment and the store raise.
    """
    rows, skipped = read(path, market, params.store.publication_delay_s, entities)
    settings = params.sources.news
    reader = sentiment.load(settings.sentiment, settings.model, settings.device)
    headlines = rows["headline"].unique(maintain_order=True)
    scores = pl.DataFrame({"headline": headlines, "sentiment": reader.score(headlines.to_list())})
    rows = rows.join(scores, on="headline", how="left", maintain_order="left")
    version = quality.keep("news", rows.drop("dated"), market, params.quality, store, source=path.name).version
    unnamed, dated = (int((rows["symbol"] == "").sum()), int(rows["dated"].sum()))
    return Imported(len(rows), rows.filter(pl.col("symbol") != "")["symbol"].n_unique(), unnamed, dated, skipped, version)


def read(path: Path, market: Market, delay_s: float = 0.0, entities: Entities | None = None) -> tuple[pl.DataFrame, int]:
    """Return the headlines as rows of the table `news` with `dated`, and how many rows had none.

    `event_at` is the publication. A stamp without an offset is the market's own clock. One that is only a day is known at that
    day's last microsecond, by that clock: when it was published is unknown, and the end of the day is never too early, in a
    market that has sessions and in one that has none. A file's own `known_at` is believed. Rows without symbols are linked by
    `entities`, and where that finds none they belong to the whole market ("").
    """
    table = plain.table(path, "headlines")
    headline, time = _column(path, table, HEADLINES, "the headline"), _column(path, table, TIMES, "its time")
    lines = pl.Series([f"row {i + 1}" for i in range(len(table))], dtype=pl.String)
    published = _published(stamps.parse(table[time], path, lines), stamps.dated(table[time]), market)
    known = next((name for name in KNOWN if name in table.columns), None)
    source = _first(table, SOURCES)
    rows = published.with_columns(
        headline=_clean(table[headline]),
        symbol=_symbols(table),
        source=pl.lit(path.stem.split(".")[0]) if source is None else table[source].cast(pl.String),
        market=pl.lit(market.name),
    )
    rows = rows.with_columns(known_at=_known(rows, delay_s) if known is None else _moments(table[known], path, lines))
    kept = rows.filter(pl.col("headline") != "")
    if kept.is_empty():
        raise NoData(f"headlines were to be read from {path}, but its {len(table):,} rows have none")
    return _linked(kept, entities).select(
        "market", "symbol", "event_at", "known_at", "headline", "source", "dated"
    ).cast({"event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS}), len(rows) - len(kept)  # fmt: skip


def _first(table: pl.DataFrame, names: tuple[str, ...]) -> str | None:
    return next((name for name in names if name in table.columns), None)


def _column(path: Path, table: pl.DataFrame, names: tuple[str, ...], what: str) -> str:
    found = _first(table, names)
    if found is None:
        raise UnreadableFile(
            f"headlines were to be read from {path}, but of its columns ({', '.join(table.columns)}) none is {what}: "
            f"one must be called {' or '.join(names[:3])}"
        )
    return found


def _clean(column: pl.Series) -> pl.Series:
    return pl.Series([" ".join(html.unescape(text or "").split()) for text in column.cast(pl.String)], dtype=pl.String)


def _symbols(table: pl.DataFrame) -> pl.Series:
    """Return a list of symbols a row, upper case; empty where the row names none."""
    name = _first(table, SYMBOLS)
    if name is None:
        return pl.Series([[]] * len(table), dtype=pl.List(pl.String))
    column = table[name]
    if isinstance(column.dtype, pl.List):
        column = column.list.join(",")
    found = column.cast(pl.String).fill_null("").str.to_uppercase().str.extract_all(r"[A-Z0-9^=.-]+")
    return pl.Series(found)


def _published(parsed: pl.DataFrame, dated: bool, market: Market) -> pl.DataFrame:
    """Return `event_at` and `dated`; times without an offset are the market's own."""
    zone = session.zone(market.calendar)
    if "utc" in parsed.columns:
        return _days(parsed["utc"], _zone_of_days(parsed["utc"], zone), whole=dated)
    # Of an hour that a clock repeats in autumn the second is meant, and one that it skips in spring is the hour after: never early.
    moments, later = (
        wall.dt.replace_time_zone(zone, ambiguous="latest", non_existent="null")
        for wall in (parsed["wall"], parsed["wall"] + timedelta(hours=1))
    )
    return _days(moments.fill_null(later).dt.convert_time_zone("UTC"), zone, whole=dated)


def _zone_of_days(moments: pl.Series, zone: str) -> str:
    """Return the zone whose midnight marks the days of a file: that of most stamps, else the market's."""
    for candidate in dict.fromkeys((zone, "America/New_York", "UTC")):
        if _midnight(moments, candidate).mean() > DAYS_SHARE:  # type: ignore[operator]
            return candidate
    return zone


def _midnight(moments: pl.Series, zone: str) -> pl.Series:
    wall = moments.dt.convert_time_zone(zone).dt.replace_time_zone(None)
    return wall.dt.truncate("1d") == wall


def _days(moments: pl.Series, zone: str, *, whole: bool) -> pl.DataFrame:
    tomorrow = moments.dt.convert_time_zone(zone).dt.offset_by("1d").dt.convert_time_zone("UTC")
    return pl.DataFrame({"event_at": moments, "dated": _midnight(moments, zone) | whole, "tomorrow": tomorrow})


def _known(rows: pl.DataFrame, delay_s: float) -> pl.Series:
    delay = pl.duration(microseconds=round(delay_s * 1e6))
    day_end = pl.col("tomorrow") - pl.duration(microseconds=1)
    return rows.select(known=pl.when("dated").then(day_end).otherwise(pl.col("event_at") + delay))["known"]


def _moments(column: pl.Series, path: Path, lines: pl.Series) -> pl.Series:
    parsed = stamps.parse(column, path, lines)
    if "utc" not in parsed.columns:
        raise UnreadableFile(f"{path} says when headlines were known without an offset from UTC: write {column.name} with one")
    return parsed["utc"]


def _linked(rows: pl.DataFrame, entities: Entities | None) -> pl.DataFrame:
    """Give every row one symbol: those it names, else those that its text names, else none."""
    if entities is not None:
        named = [list(entities.link(text)) for text in rows["headline"]]
        rows = rows.with_columns(
            symbol=pl.when(pl.col("symbol").list.len() > 0).then("symbol").otherwise(pl.Series(named, dtype=pl.List(pl.String)))
        )
    nobody = pl.when(pl.col("symbol").list.len() > 0).then("symbol").otherwise(pl.lit([""]))
    return rows.with_columns(symbol=nobody).explode("symbol").unique(maintain_order=True)
