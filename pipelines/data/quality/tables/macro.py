"""Macro: the suite of series of observations, such as consumer prices or yields."""

from datetime import timedelta

import polars as pl

from pipelines.data.quality.prices import MEDIAN
from pipelines.data.quality.suite import Expectation
from pipelines.data.quality.tables.rule import (
    DUPLICATE,
    EARLY,
    FUTURE,
    MISSING,
    Around,
    Rule,
    Suite,
    at,
    keyed,
    number,
    timed,
    value,
)

#: Where observations are dated: a series of dates has its midnights there.
ZONE = "America/New_York"
#: Spacing of observations from which on one stands for a month, a quarter, a year, and the months of it.
PERIODS = ((timedelta(days=350), 12), (timedelta(days=80), 3), (timedelta(days=25), 1))
#: The earliest fixing of a day; the value of a date cannot be known before.
FIXED = timedelta(hours=8)
#: Moves of the series before this one that say what is usual, and how many of them there must be.
HISTORY, MOVES_MIN = 250, 20
#: A move is reversed when the next one leads back so far.
REVERSED = 2 / 3

_VALUE = pl.format("{} = {}", pl.col("series"), value("value"))

RULES = (
    Rule("missing_value", "An observation is a finite number",
         pl.format("missing_value: found {}; expected a finite number", _VALUE), impossible=True),
    Rule("known_too_early", "Nothing is known before the period that it measures is over",
         pl.format("known_too_early: found {} of {} known at {}; expected it after {}, the end of what it measures", _VALUE,
                   at("event_at"), at("known_at"), at("earliest")), impossible=True),
    MISSING, DUPLICATE, EARLY, FUTURE,
    Rule("value_spike", "No lone value is reversed by the next",
         pl.format("value_spike: found {} at {} after {}; the next is back", _VALUE, at("event_at"), value("previous"))),
    Rule("value_jump", "Values move as they did before",
         pl.format("value_jump: found {} at {} after {}; moves are usually {}", _VALUE, at("event_at"), value("previous"),
                   pl.col("usual").round_sig_figs(3))),
)  # fmt: skip


def examine(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Examine observations: single rows, keys, when they can have been known, and moves against the series' own past."""
    rows = rows.with_columns(missing_value=~number("value"))
    rows = timed(keyed(rows, ["source", "series", "event_at", "known_at"], ["value"]), around)
    return _moved(_early(rows), around)


def _early(rows: pl.DataFrame) -> pl.DataFrame:
    """Add `known_too_early`, and `earliest`, the end of the calendar period that holds the observation's date.

    The period follows from the usual spacing of the series. Whether an observation is stamped with the first, the middle or the
    last day of its month, the month must be over. The value of a day is fixed at 08:00 at the earliest. A stamp with a time of day
    is a moment.
    """
    local = pl.col("event_at").dt.convert_time_zone(ZONE)
    steps = rows.select("source", "series", "event_at").unique().sort("source", "series", "event_at")
    spacing = steps.group_by("source", "series").agg(spacing=pl.col("event_at").diff().median())
    rows = rows.join(spacing, on=["source", "series"], how="left", maintain_order="left")
    ends = pl.when(local.dt.time() == pl.time(0, 0)).then(pl.col("event_at") + FIXED).otherwise("event_at")
    for least, months in reversed(PERIODS):
        first = local.dt.truncate({1: "1mo", 3: "1q", 12: "1y"}[months])
        ends = (
            pl.when(pl.col("spacing") >= least).then(first.dt.offset_by(f"{months}mo").dt.convert_time_zone("UTC")).otherwise(ends)
        )
    return rows.with_columns(earliest=ends).with_columns(known_too_early=pl.col("known_at") < pl.col("earliest"))


def _moved(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Add `value_jump` and `value_spike`: a move `spike_sigma` deviations large by the moves of the series before it.

    The deviation is the median of the last HISTORY moves that are not zero, over 0.6745, and never less than the smallest of them,
    the step in which the series is printed. A spike is taken back by the next move.
    """
    rows = rows.sort("source", "series", "event_at", "known_at", "row")
    by = ["source", "series"]
    move = pl.col("value").diff().over(by)
    rows = rows.with_columns(move=move, previous=pl.col("value").shift(1).over(by))
    size = pl.when(pl.col("move").abs() > 0).then(pl.col("move").abs())
    past = size.shift(1)
    rows = rows.with_columns(
        usual=past.rolling_median(HISTORY, min_samples=MOVES_MIN).over(by),
        least=past.rolling_min(HISTORY, min_samples=MOVES_MIN).over(by),
    )
    far = pl.col("move").abs() > around.limits.spike_sigma * pl.max_horizontal(pl.col("usual") / MEDIAN, "least")
    back = pl.col("move").shift(-1).over(by) * pl.col("move").sign() < -REVERSED * pl.col("move").abs()
    rows = rows.with_columns(far=far, value_spike=far & back.fill_null(value=False))
    after = pl.col("value_spike").shift(1, fill_value=False).over(by)
    return rows.with_columns(value_jump=pl.col("far") & ~pl.col("value_spike") & ~after).sort("row")


SUITE = Suite(
    "macro", RULES, examine,
    (
        Expectation("ExpectColumnValuesToNotBeNull", {"column": "value"}),
        Expectation("ExpectColumnValuesToNotBeNull", {"column": "series"}),
        Expectation("ExpectCompoundColumnsToBeUnique", {"column_list": ["source", "series", "event_at", "known_at"]}),
    ),
)  # fmt: skip
