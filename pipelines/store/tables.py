"""Tables: how each of them is laid out."""

from dataclasses import dataclass, field

import polars as pl

from domain.bar import BAR_KEY, BAR_SCHEMA, UTC_MICROSECONDS
from domain.error import DataError, nearest

#: Columns that say when a row's fact happened, the first that a table has is the one that its files are pruned by.
TIMES = ("opened_at", "event_at", "checked_at", "since")


@dataclass(frozen=True)
class Table:
    """How one table is laid out."""

    schema: pl.Schema
    key: tuple[str, ...]
    """Columns that make two rows the same fact; an upsert replaces the others."""
    partition: tuple[str, ...]
    required: tuple[str, ...] = ()
    """Columns that must not be null; by default those of the partition."""
    derived: dict[str, pl.Expr] = field(default_factory=dict)
    """Columns that exist inside the store only, by what makes them."""

    @property
    def time(self) -> str:
        """The column of the row's own time."""
        return next(column for column in TIMES if column in self.schema)

    @property
    def stored(self) -> pl.Schema:
        """The columns as they lie in the files and their folders."""
        return pl.Schema({**self.schema, **dict.fromkeys(self.derived, pl.String())})

    @property
    def needed(self) -> tuple[str, ...]:
        """The columns that must not be left out: the key, but where a whole row is its own key only those that must not be null."""
        return self.must if self.key == tuple(self.schema) else self.key

    @property
    def must(self) -> tuple[str, ...]:
        """The columns that must not be null."""
        return self.required or self.partition


#: Rows of other tables than bars name the table as their `timeframe`, and are whole in `row`, as JSON.
QUARANTINE_SCHEMA = pl.Schema({**BAR_SCHEMA, "reason": pl.String(), "source": pl.String(), "row": pl.String()})
QUALITY_SCHEMA = pl.Schema({
    "market": pl.String(), "timeframe": pl.String(), "checked_at": UTC_MICROSECONDS,
    "defect": pl.String(), "rows": pl.Int64(), "share": pl.Float64(), "severity": pl.String(),
})  # fmt: skip
NEWS_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "headline": pl.String(), "source": pl.String(), "sentiment": pl.Float64(),
})  # fmt: skip
#: One row a print. `event_at` is the exchange's time, `side` who started it: buy, sell or null. A row that is known later corrects
#: the print of the same id, and of a print that was taken back its size is zero.
TRADE_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "price": pl.Float64(), "size": pl.Float64(), "side": pl.String(), "trade_id": pl.String(),
    "exchange": pl.String(), "conditions": pl.String(),
})  # fmt: skip
#: One row a change of the best quote; `sequence` orders those of one moment.
QUOTE_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "sequence": pl.Int64(), "bid": pl.Float64(), "bid_size": pl.Float64(), "ask": pl.Float64(), "ask_size": pl.Float64(),
    "exchange": pl.String(),
})  # fmt: skip
#: One row an observation as it was published; a revision is a row of the same `event_at` that is known later.
MACRO_SCHEMA = pl.Schema({
    "source": pl.String(), "series": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS, "value": pl.Float64(),
})  # fmt: skip
#: When a symbol came to a market (`listed`), left it (`delisted`) or changed its `sector`.
LISTING_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "kind": pl.String(), "sector": pl.String(),
})  # fmt: skip
#: What happened to a symbol's shares, `event_at` at the open of the ex-date; kinds and what `value` counts: `domain/action.py`.
#: `other` is the symbol that a change leads to. A row that is known later corrects the one of its kind and ex-date.
ACTION_SCHEMA = pl.Schema({
    "market": pl.String(), "symbol": pl.String(), "event_at": UTC_MICROSECONDS, "known_at": UTC_MICROSECONDS,
    "kind": pl.String(), "value": pl.Float64(), "other": pl.String(),
})  # fmt: skip
#: Stretches of time that a source has answered for, bounds included: what is not stored of them, it did not have. `table` is what
#: was asked for, `symbol` is empty where it was asked for all it has.
ANSWERED_SCHEMA = pl.Schema({
    "market": pl.String(), "timeframe": pl.String(), "table": pl.String(), "symbol": pl.String(),
    "since": UTC_MICROSECONDS, "until": UTC_MICROSECONDS,
})  # fmt: skip

#: Ticks are many: a folder a day keeps a day's files few, and what is old can be left alone.
BY_DAY = {"day": pl.col("event_at").dt.strftime("%Y-%m-%d")}

TABLES: dict[str, Table] = {
    "bars": Table(pl.Schema(BAR_SCHEMA), tuple(BAR_KEY), ("market", "timeframe"), required=tuple(BAR_KEY)),
    # A quarantined row may lack any part of a key: all of it is its identity.
    "quarantine": Table(QUARANTINE_SCHEMA, tuple(QUARANTINE_SCHEMA), ("market", "timeframe")),
    "quality": Table(QUALITY_SCHEMA, ("market", "timeframe", "checked_at", "defect"), ("market", "timeframe")),
    "answered": Table(ANSWERED_SCHEMA, ("market", "timeframe", "table", "symbol", "since"), ("market", "timeframe")),
    "news": Table(NEWS_SCHEMA, ("market", "symbol", "event_at", "known_at", "headline", "source"), ("market",)),
    "actions": Table(ACTION_SCHEMA, ("market", "symbol", "event_at", "known_at", "kind"), ("market",)),
    "trades": Table(
        TRADE_SCHEMA, ("market", "symbol", "event_at", "trade_id", "known_at"), ("market", "day"), ("market", "event_at"), BY_DAY
    ),
    "quotes": Table(
        QUOTE_SCHEMA, ("market", "symbol", "event_at", "sequence", "known_at"), ("market", "day"), ("market", "event_at"), BY_DAY
    ),
    "macro": Table(MACRO_SCHEMA, ("source", "series", "event_at", "known_at"), ("source",)),
    "listings": Table(LISTING_SCHEMA, ("market", "symbol", "event_at", "known_at", "kind"), ("market",)),
}


def layout(table: str) -> Table:
    """Return how a table is laid out; raise DataError with the nearest name for one that does not exist."""
    if table not in TABLES:
        raise DataError(f"table '{table}' does not exist: {nearest(table, TABLES)}")
    return TABLES[table]
