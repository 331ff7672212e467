"""Events: files of corporate actions and of listings, as rows of the tables `actions` and `listings`.

A file of actions has symbol, ex-date, kind (`domain.action.Kind`) and value, and may have the other symbol of a change. A file of
listings has symbol and the days on which it was listed and delisted, or symbol, day and kind (listed, delisted, sector). Days are
the exchange's: what happens on one happens at the open of its session, or of the next where it has none. A column `known_at` (also
announced, declared) says since when a row could be known; without it that is when it happens.
"""

import io
from pathlib import Path

import polars as pl

from domain import action, session
from domain.bar import UTC_MICROSECONDS
from domain.error import UnreadableFile
from domain.market import Market
from pipelines.data.sources.files import columns, contents, numbers, stamps
from pipelines.store import TABLES

#: Names of columns once lowered and stripped of everything but letters and digits; the first that a file has is taken.
NAMES: dict[str, tuple[str, ...]] = {
    "symbol": ("symbol", "ticker"),
    "day": ("exdate", "eventat", "date", "day", "ts", "effective"),
    "kind": ("kind", "type", "action", "event"),
    "value": ("value", "amount", "ratio"),
    "other": ("other", "newsymbol", "to"),
    "known": ("knownat", "announced", "declared", "declarationdate"),
    "listed": ("listed", "listedat", "listingdate", "ipodate"),
    "delisted": ("delisted", "delistedat", "delistingdate"),
    "sector": ("sector", "industry"),
}
LISTINGS = ("listed", "delisted", "sector")


def read(path: Path, market: Market) -> dict[str, pl.DataFrame]:
    """Return the rows of one file by the table that they belong to; nothing for a file about something else, and for folders.

    Raises UnreadableFile for days and values that cannot be read, DataError for values that no action can have.
    """
    if path.is_dir():
        return {}
    told = _frame(path)
    known = {columns.plain(name): name for name in reversed(told.columns)}
    found = {role: next((known[alias] for alias in aliases if alias in known), None) for role, aliases in NAMES.items()}
    part = {role: told[name].alias(role) for role, name in found.items() if name is not None}
    # Bars have days too, and may say in a column what kind of symbol each is of.
    dated = {"symbol", "day", "kind"} <= part.keys() and not {"open", "close", "price"} & known.keys()
    if dated and "value" in part:
        rows = _actions(path, part, market)
        action.refuse(rows)
        return {"actions": rows}
    if dated or ("symbol" in part and {"listed", "delisted"} & part.keys()):
        return {"listings": _listings(path, part, market)}
    return {}


def _frame(path: Path) -> pl.DataFrame:
    """Return a file's columns as they are, text where it is text; a file that is no single table has none."""
    try:
        data = path.read_bytes()
        if data.startswith(b"PAR1"):
            return pl.read_parquet(io.BytesIO(data))
        if data.startswith((b"ARROW1", b"FEA1")):
            return pl.read_ipc(io.BytesIO(data))
        if any(data.startswith(first) for first in contents.READERS):
            return pl.DataFrame()
        return pl.read_csv(io.BytesIO(data), infer_schema=False)
    except OSError as problem:
        raise UnreadableFile(f"{path} was to be read, but the system says: {problem.strerror}") from None
    except pl.exceptions.PolarsError:
        # What is damaged or in another layout is for the reader of bars to refuse, or to understand.
        return pl.DataFrame()


def _actions(path: Path, part: dict[str, pl.Series], market: Market) -> pl.DataFrame:
    lines = "row " + pl.int_range(1, len(part["symbol"]) + 1, eager=True).cast(pl.String)
    rows = pl.DataFrame([
        _text(part["symbol"]), _text(part["kind"]).str.to_lowercase().str.replace_all(r"[\s-]+", "_").alias("kind"),
        numbers.parse(part["value"], path, lines).alias("value"), _opens(path, part["day"], market).alias("event_at"),
        _text(part["other"]) if "other" in part else pl.Series("other", [None] * len(lines), pl.String),
    ])  # fmt: skip
    return _finished("actions", path, rows, part, market)


def _listings(path: Path, part: dict[str, pl.Series], market: Market) -> pl.DataFrame:
    """Return one row an event, of a file with a row an event or with a row a symbol."""
    sector = _text(part["sector"]) if "sector" in part else pl.Series("sector", [None] * len(part["symbol"]), pl.String)
    if "day" in part:
        kind = _text(part["kind"]).str.to_lowercase().alias("kind")
        if not kind.is_in(LISTINGS).all():
            wrong = kind.filter(~kind.is_in(LISTINGS))[0]
            raise UnreadableFile(f"{path} has listings of the kind '{wrong}': they are {', '.join(LISTINGS)}")
        rows = pl.DataFrame([_text(part["symbol"]), kind, sector, _opens(path, part["day"], market).alias("event_at")])
        return _finished("listings", path, rows, part, market)
    plain = {role: series for role, series in part.items() if role != "known"}
    frames = []
    for word in ("listed", "delisted"):
        days = _text(part[word]) if word in part else pl.Series("", [], pl.String)
        here = (days.is_not_null() & (days != "")).fill_null(value=False)
        if here.any():
            rows = pl.DataFrame([_text(part["symbol"]), sector]).filter(here)
            rows = rows.with_columns(_opens(path, days.filter(here), market).alias("event_at"), kind=pl.lit(word))
            frames.append(_finished("listings", path, rows, plain, market))
    return pl.concat(frames)


def _finished(table: str, path: Path, rows: pl.DataFrame, part: dict[str, pl.Series], market: Market) -> pl.DataFrame:
    known = _opens(path, part["known"], market) if "known" in part else rows["event_at"]
    rows = rows.with_columns(market=pl.lit(market.name), known_at=known)
    schema = TABLES[table].schema
    return rows.select(schema.names()).cast(schema)


def _opens(path: Path, days: pl.Series, market: Market) -> pl.Series:
    """Return moments as they are written, and days as the open of their session or of the next."""
    lines = "row " + pl.int_range(1, len(days) + 1, eager=True).cast(pl.String)
    parsed = stamps.parse(days, path, lines)
    zone = session.zone(market.calendar)
    local = parsed["utc"].dt.convert_time_zone(zone).dt.replace_time_zone(None) if "utc" in parsed.columns else parsed["wall"]
    first, last = local.min().date(), local.max().date()  # type: ignore[union-attr]
    table = session.sessions(market.calendar, first, last + session.REACH).select("session", "opened_at")
    dated = pl.DataFrame({"session": local.dt.date(), "place": pl.int_range(len(local), eager=True)}).sort("session")
    opened = dated.join_asof(table, on="session", strategy="forward").sort("place")["opened_at"]
    midnight = local == local.dt.truncate("1d")
    moments = local.dt.replace_time_zone(zone).dt.convert_time_zone("UTC").cast(UTC_MICROSECONDS)
    return opened.zip_with(midnight, moments)


def _text(column: pl.Series) -> pl.Series:
    return column.cast(pl.String).str.strip_chars()
