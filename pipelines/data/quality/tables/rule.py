"""Rule: one thing that the rows of a table hold to, by name; a suite is the rules of one table and who examines them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import polars as pl

from domain.market import Market
from domain.params import Quality
from pipelines.data.quality import rows as raw
from pipelines.data.quality.suite import Expectation


@dataclass(frozen=True)
class Rule:
    """A defect that a row may have; examining adds one boolean column of its name."""

    name: str
    promise: str
    """What rows without it hold to."""
    found: pl.Expr
    """The sentence for a row that has it: what was found, what was expected."""
    impossible: bool = False
    """Whether such a row goes to quarantine; otherwise it stays and is counted."""


@dataclass(frozen=True)
class Around:
    """What a batch is judged by beside itself; everything but the limits may be absent, and then says nothing."""

    limits: Quality
    market: Market | None = None
    stored: pl.DataFrame | None = None
    """Rows of the same table that are stored already: they judge and are not judged."""
    bars: pl.DataFrame | None = None
    """Bars of the market as printed, BAR_SCHEMA."""
    quotes: pl.DataFrame | None = None
    """Rows of the table `quotes`."""
    now: datetime | None = None
    """Nothing can have happened or have been known later."""


@dataclass(frozen=True)
class Suite:
    """The suite of one table."""

    table: str
    rules: tuple[Rule, ...]
    examine: Callable[[pl.DataFrame, Around], pl.DataFrame]
    """Adds one boolean column a rule to rows with `row`, in the source's own order; null says that nothing can be told."""
    natively: tuple[Expectation, ...] = field(default=())
    """What the library can say by itself of the raw columns."""


def at(name: str) -> pl.Expr:
    """Return a time as readers see it."""
    return pl.col(name).dt.strftime("%Y-%m-%d %H:%M:%S UTC")


def value(name: str) -> pl.Expr:
    """Return a value as readers see it."""
    return pl.col(name).cast(pl.String).fill_null("null")


MISSING = Rule(
    "missing_key",
    "A row says what it is about, when it happened and since when it is known",
    pl.lit("missing_key: found a row without its name or one of its times; expected all of them"),
    impossible=True,
)
DUPLICATE = Rule(
    "duplicate_key",
    "A fact is there once",
    pl.when("conflict")
    .then(pl.lit("duplicate_key: found rows of one key that contradict each other; expected one"))
    .otherwise(pl.lit("duplicate_key: found the same row again; expected it once")),
    impossible=True,
)
EARLY = Rule(
    "time_backwards",
    "Nothing is known before it happened",
    pl.format("time_backwards: found a row of {} known at {}; expected it to be known later", at("event_at"), at("known_at")),
    impossible=True,
)
FUTURE = Rule(
    "from_the_future",
    "Nothing happened later than now",
    pl.format("from_the_future: found a row of {} known at {}; expected no later time than now", at("event_at"), at("known_at")),
    impossible=True,
)
DISORDERED = Rule(
    "out_of_order",
    "The rows of a symbol come in one order of time",
    pl.format("out_of_order: found {} out of the order of the rows around it; expected one direction of time", at("event_at")),
)
CLOSED = Rule(
    "market_closed",
    "Nothing happens outside the sessions of the calendar, extended hours included",
    pl.format("market_closed: found a row at {}; expected none while the market is closed", at("event_at")),
    impossible=True,
)


def keyed(rows: pl.DataFrame, key: Sequence[str], content: Sequence[str]) -> pl.DataFrame:
    """Add `duplicate_key` and `conflict`: rows with the same key, and whether they differ in content."""
    return raw.keys(rows, key, content)


def timed(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Add `time_backwards`, known before it happened, and `from_the_future`."""
    future = pl.lit(None, pl.Boolean)
    if around.now is not None:
        limit = pl.lit(around.now).cast(pl.Datetime("us", "UTC"))
        future = (pl.col("event_at") > limit) | (pl.col("known_at") > limit)
    return rows.with_columns(time_backwards=pl.col("known_at") < pl.col("event_at"), from_the_future=future)


def number(name: str) -> pl.Expr:
    """Return where a column holds a finite number."""
    return pl.col(name).is_finite().fill_null(value=False)
