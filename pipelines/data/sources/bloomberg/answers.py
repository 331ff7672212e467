"""Answers: takes Bloomberg's messages apart into rows, and says by name which security had an error."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import polars as pl

from domain import session
from domain.action import Kind
from domain.bar import UTC_MICROSECONDS
from domain.error import DataError, NoData
from domain.market import Market
from pipelines.data.sources import dated
from pipelines.data.sources.bloomberg.questions import DAY_FIELDS
from pipelines.data.sources.bloomberg.terminal import Answer, said
from pipelines.data.sources.files import fitting, timing

LOG = logging.getLogger(__name__)
NUMBERS = ("open", "high", "low", "close", "volume", "vwap")
BARS = pl.Schema(
    {"opened_at": UTC_MICROSECONDS, "event_at": UTC_MICROSECONDS} | dict.fromkeys(NUMBERS, pl.Float64()) | {"trades": pl.Int64()}
)
TICKS = pl.Schema(
    {"event_at": UTC_MICROSECONDS, "type": pl.String(), "value": pl.Float64(), "size": pl.Float64()}
    | {"exchange": pl.String(), "conditions": pl.String()}
)
#: What DVD_HIST_ALL calls them, by our kinds. Its amount of a split is the new shares for an old one.
KINDS = {
    "Regular Cash": Kind.DIVIDEND,
    "Income": Kind.DIVIDEND,
    "Interest on Capital": Kind.DIVIDEND,
    "Special Cash": Kind.SPECIAL_DIVIDEND,
    "Return of Capital": Kind.SPECIAL_DIVIDEND,
    "Long Term Cap Gain": Kind.CAPITAL_GAIN,
    "Short Term Cap Gain": Kind.CAPITAL_GAIN,
    "Capital Gains": Kind.CAPITAL_GAIN,
    "Stock Split": Kind.SPLIT,
}
#: Announcements that nothing was or will be paid for.
NOTHING = ("Omitted", "Discontinued", "Cancelled")


def securities(parts: Sequence[Answer]) -> Iterator[tuple[str, Any]]:
    """Yield what was said of each security; raise NoData, naming it, for one with an error, DataError for a refused field."""
    for part in parts:
        told = part["securityData"]
        for each in told if isinstance(told, list) else [told]:
            name = each["security"]
            if each.get("securityError"):
                raise NoData(f"Bloomberg does not know '{name}' ({said(each['securityError'])}): correct or remove the symbol")
            for problem in each.get("fieldExceptions") or []:
                raise DataError(f"Bloomberg has no {problem['fieldId']} of '{name}' ({said(problem['errorInfo'])})")
            yield name, each["fieldData"]


def days(parts: Sequence[Answer], market: Market) -> pl.DataFrame:
    """Return daily rows: BARS in the order of the answer; a field that a day lacks is null."""
    told = [day for _, rows in securities(parts) for day in rows]
    opened_at = dated.opens(market, np.array([_date(day["date"]) for day in told], dtype="datetime64[D]"))
    numbers = {ours: [_number(day.get(theirs)) for day in told] for theirs, ours in DAY_FIELDS.items()}
    return _rows({"opened_at": opened_at, "event_at": session.closes(market, opened_at), **numbers})


def minutes(parts: Sequence[Answer], market: Market) -> pl.DataFrame:
    """Return rows of the market's bars, put together from finer ones where those were asked for; vwap is value over volume."""
    told = [bar for part in parts for bar in part["barData"]["barTickData"]]
    opened_at = np.array([_utc(bar["time"]) for bar in told], dtype="datetime64[us]")
    numbers: dict[str, Any] = {name: [_number(bar.get(name)) for bar in told] for name in NUMBERS[:-1]}
    worth = [bar.get("value") or 0.0 for bar in told]
    numbers["vwap"] = [value / size if size and value else None for value, size in zip(worth, numbers["volume"], strict=True)]
    rows = _rows({"opened_at": opened_at, "event_at": opened_at, **numbers, "trades": [bar.get("numEvents") for bar in told]})
    bucket = pl.Series("bucket", timing.floor(opened_at, market, market.bar)).dt.replace_time_zone("UTC")
    finer = rows.with_columns(bucket.cast(UTC_MICROSECONDS), symbol=pl.lit(""), closed_at=pl.lit(None, UTC_MICROSECONDS))
    whole = fitting.together(finer)
    closes = pl.Series("event_at", session.closes(market, session.naive(whole["opened_at"]))).dt.replace_time_zone("UTC")
    return whole.with_columns(closes).select(BARS.names()).cast(BARS)


def ticks(parts: Sequence[Answer]) -> pl.DataFrame:
    """Return rows of event_at, type, value, size, exchange, conditions, and the number of the event within its moment."""
    told = [tick for part in parts for tick in part["tickData"]["tickData"]]
    columns: dict[str, list[Any]] = {
        "event_at": [_utc(tick["time"]).replace(tzinfo=UTC) for tick in told],
        "type": [tick["type"] for tick in told],
        "value": [_number(tick.get("value")) for tick in told],
        "size": [_number(tick.get("size")) for tick in told],
        "exchange": [tick.get("exchangeCode") for tick in told],
        "conditions": [tick.get("conditionCodes") for tick in told],
    }
    rows = pl.DataFrame(columns, schema=TICKS)
    rows = rows.sort("event_at", maintain_order=True)
    return rows.with_columns(number=pl.int_range(pl.len()).over("event_at"))


def actions(name: str, told: Answer, market: Market) -> list[dict[str, Any]]:
    """Return the actions of one security as rows without a market; what the store has no kind for is left out, and logged."""
    known = [row for row in told.get("DVD_HIST_ALL") or [] if row.get("Ex-Date") and row["Dividend Type"] not in NOTHING]
    strange = [row for row in known if row["Dividend Type"] not in KINDS]
    for row in strange:
        LOG.warning("left out: %s of %s on %s, whose worth Bloomberg does not tell", row["Dividend Type"], name, row["Ex-Date"])
    kept = [row for row in known if row["Dividend Type"] in KINDS and _number(row.get("Dividend Amount")) is not None]
    at = dated.opens(market, np.array([_date(row["Ex-Date"]) for row in kept], dtype="datetime64[D]"))
    return [
        {"event_at": moment.replace(tzinfo=UTC), "kind": str(KINDS[row["Dividend Type"]]), "value": float(row["Dividend Amount"])}
        for moment, row in zip(at.tolist(), kept, strict=True)
    ]


def listings(told: Answer, market: Market) -> list[dict[str, Any]]:
    """Return when a security was first traded, with its sector, as rows without a market; nothing where that is not known."""
    first = told.get("EQY_INIT_PO_DT")
    if not first:
        return []
    (at,) = dated.opens(market, np.array([_date(first)], dtype="datetime64[D]")).tolist()
    return [{"event_at": at.replace(tzinfo=UTC), "kind": "listed", "sector": told.get("GICS_SECTOR_NAME")}]


def _rows(columns: Mapping[str, Any]) -> pl.DataFrame:
    frame = pl.DataFrame(dict(columns), schema_overrides=dict.fromkeys(NUMBERS, pl.Float64) | {"trades": pl.Int64}, strict=False)
    times = pl.col("opened_at", "event_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    absent = [pl.lit(None, dtype).alias(name) for name, dtype in BARS.items() if name not in frame.columns]
    return frame.with_columns(times, *absent).select(BARS.names()).cast(BARS)


def _number(value: object) -> float | None:
    """Return a float; blpapi gives None and empty dictionaries for what is null."""
    return float(value) if isinstance(value, int | float) else None


def _date(value: date) -> date:
    return value.date() if isinstance(value, datetime) else value


def _utc(moment: datetime) -> datetime:
    """Return a naive UTC moment: Bloomberg's intraday stamps are UTC, with or without saying so."""
    return moment if moment.tzinfo is None else moment.astimezone(UTC).replace(tzinfo=None)
