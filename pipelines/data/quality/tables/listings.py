"""Listings: the suite of when symbols came and went, against the bars that they have."""

from datetime import timedelta

import polars as pl

from pipelines.data.quality.suite import Expectation
from pipelines.data.quality.tables.rule import DUPLICATE, FUTURE, MISSING, Around, Rule, Suite, at, keyed, timed, value

KINDS = ("listed", "delisted", "sector")
#: Days by which bars may begin after a listing or end before a delisting: halts and thin first days.
ROOM = timedelta(days=7)

_LISTING = pl.format("{} {}", pl.col("symbol"), pl.col("kind"))

RULES = (
    Rule("unknown_kind", "A symbol is listed, delisted, or changes its sector",
         pl.format("unknown_kind: found '{}'; expected listed, delisted or sector", value("kind")), impossible=True),
    MISSING, DUPLICATE, FUTURE,
    Rule("out_of_turn", "Listings and delistings take turns",
         pl.format("out_of_turn: found {} on {} and the same before; expected the other between them", _LISTING, at("event_at"))),
    Rule("bars_before_listing", "A symbol has no bars before it is listed",
         pl.format("bars_before_listing: found {} on {} and a first bar of {}; expected none before", _LISTING, at("event_at"),
                   at("first_bar"))),
    Rule("bars_begin_late", "A symbol has bars from its listing on",
         pl.format("bars_begin_late: found {} on {} and a first bar of {}; expected one within a week", _LISTING, at("event_at"),
                   at("first_bar"))),
    Rule("bars_after_delisting", "A symbol has no bars after it is delisted",
         pl.format("bars_after_delisting: found {} on {} and a last bar of {}; expected none after", _LISTING, at("event_at"),
                   at("last_bar"))),
)  # fmt: skip


def examine(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Examine listings: single rows, keys, their turns, and where bars begin and end; these are silent on symbols without bars.

    `known_at` may lie before `event_at`: listings are announced. A symbol that was listed again is judged by its first listing and
    its last delisting alone.
    """
    rows = rows.with_columns(unknown_kind=~pl.col("kind").is_in(list(KINDS)).fill_null(value=False))
    rows = keyed(rows, ["symbol", "event_at", "known_at", "kind"], ["sector"])
    announced = around.now is not None and pl.col("known_at") > pl.lit(around.now).cast(pl.Datetime("us", "UTC"))
    rows = timed(rows, around).with_columns(from_the_future=announced)
    return _spanned(_turns(rows), around.bars)


def _turns(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `out_of_turn` to the second of two equal kinds in a row; another `known_at` of one moment corrects it and is none."""
    events = rows.filter(pl.col("kind").is_in(["listed", "delisted"])).sort("symbol", "event_at", "known_at", "row")
    again = (pl.col("kind") == pl.col("kind").shift(1)) & (pl.col("event_at") > pl.col("event_at").shift(1))
    found = events.select("row", out_of_turn=again.over("symbol"))
    return rows.join(found, on="row", how="left", maintain_order="left")


def _spanned(rows: pl.DataFrame, bars: pl.DataFrame | None) -> pl.DataFrame:
    """Add what first and last bars say of the first listing and the last delisting of each symbol."""
    if bars is None or bars.is_empty():
        times = [pl.lit(None, pl.Datetime("us", "UTC")).alias(name) for name in ("first_bar", "last_bar")]
        rules = ("bars_before_listing", "bars_begin_late", "bars_after_delisting")
        return rows.with_columns(*times, *(pl.lit(None, pl.Boolean).alias(name) for name in rules))
    spans = bars.group_by("symbol").agg(first_bar=pl.col("opened_at").min(), last_bar=pl.col("opened_at").max())
    begins = bars["opened_at"].min()
    rows = rows.join(spans, on="symbol", how="left", maintain_order="left")
    first = (pl.col("kind") == "listed") & (pl.col("event_at") == pl.col("event_at").min().over("symbol", "kind"))
    last = (pl.col("kind") == "delisted") & (pl.col("event_at") == pl.col("event_at").max().over("symbol", "kind"))
    day = timedelta(days=1)
    return rows.with_columns(
        bars_before_listing=first & (pl.col("first_bar") < pl.col("event_at") - day),
        # Of a symbol that was listed before the first bar of all nobody can expect one.
        bars_begin_late=first & (pl.col("event_at") >= pl.lit(begins)) & (pl.col("first_bar") > pl.col("event_at") + ROOM),
        bars_after_delisting=last & (pl.col("last_bar") > pl.col("event_at") + day),
    )


SUITE = Suite(
    "listings", RULES, examine,
    (
        Expectation("ExpectColumnValuesToNotBeNull", {"column": "symbol"}),
        Expectation("ExpectColumnValuesToBeInSet", {"column": "kind", "value_set": list(KINDS)}),
        Expectation("ExpectCompoundColumnsToBeUnique", {"column_list": ["symbol", "event_at", "known_at", "kind"]}),
    ),
)  # fmt: skip
