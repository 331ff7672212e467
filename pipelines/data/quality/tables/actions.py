"""Actions: the suite of splits, dividends and spin-offs, against the prices around their ex-dates."""

import math

import polars as pl

from domain import action
from domain.action import CASH, SHARES
from domain.error import DataError
from pipelines.data.quality import calendars, effects
from pipelines.data.quality.jumps import ACTION_MIN
from pipelines.data.quality.suite import Expectation
from pipelines.data.quality.tables.rule import DUPLICATE, FUTURE, MISSING, Around, Rule, Suite, at, keyed, timed, value

#: Where more than half of at least so many actions are not in the prices, these are adjusted already, and none is wrong.
TOLD_MIN = 3
#: Splits that companies make, new shares for old: a price jump by one of them is told apart from news.
RATIOS = (2, 3, 4, 5, 6, 7, 8, 10, 15, 20, 25, 50, 100, 3 / 2, 4 / 3, 5 / 4, 5 / 2)
#: News moves prices by 5:4 and 4:3 every day: only larger ratios look like a split.
NEWS_MAX = 3 / 2
#: How near (log) the overnight move must be to a ratio: markets move by this much around a split.
RATIO_NEAR = 0.04

_ACTION = pl.format("{} of {}", pl.col("kind"), value("value"))

RULES = (
    Rule("impossible_action", "An action has a known kind and a value that it can have",
         pl.format("impossible_action: {}", pl.col("refused").fill_null("")), impossible=True),
    Rule("cash_exceeds_price", "No company hands out more than it is worth",
         pl.format("cash_exceeds_price: found a {} at a close of {}; expected less", _ACTION, value("close_before")),
         impossible=True),
    MISSING, DUPLICATE, FUTURE,
    Rule("no_session", "An ex-date is a session",
         pl.format("no_session: found a {} on {}; expected a day on which the market is open", _ACTION, at("event_at"))),
    Rule("factor_implausible", "Prices move on the ex-date by what is handed out",
         pl.format("factor_implausible: found a {}, which should move the price by {}%, and a move of {}%", _ACTION,
                   (pl.col("expected").exp() * 100 - 100).round(1), (pl.col("gap").exp() * 100 - 100).round(1))),
)  # fmt: skip


def examine(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Examine actions: single rows, keys, the calendar, and the prices around the ex-date where bars are at hand.

    `known_at` may lie before `event_at`: actions are announced.
    """
    rows = rows.with_columns(refused=pl.Series(_refused(rows), dtype=pl.String))
    rows = rows.with_columns(impossible_action=pl.col("refused").is_not_null())
    rows = keyed(rows, ["symbol", "event_at", "known_at", "kind"], ["value", "other"])
    announced = around.now is not None and pl.col("known_at") > pl.lit(around.now).cast(pl.Datetime("us", "UTC"))
    rows = timed(rows, around).with_columns(from_the_future=announced)
    return _priced(_opened(rows, around), around.bars)


def unexplained(bars: pl.DataFrame, actions: pl.DataFrame | None) -> pl.DataFrame:
    """Return the examined bars with price_jump whose overnight move no action explains: symbol, opened_at, move, likely.

    `likely` names the split that the move looks like, such as "split 2:1", and is null for what may be a spin-off, a special
    dividend or news. Bars as `quality.inspection.examine` returns them.
    """
    jumped = bars.sort("symbol", "opened_at").with_columns(close_before=pl.col("close").shift(1).over("symbol"))
    jumped = jumped.filter("price_jump").with_columns(move=(pl.col("open") / pl.col("close_before")).log())
    if actions is not None and not actions.is_empty():
        effective = actions.filter(pl.col("kind").is_in([str(kind) for kind in (*CASH, *SHARES)]))
        told = effects.priced(effective, bars).filter(
            (pl.col("gap") - pl.col("expected")).abs() <= effects.SEEN * pl.col("expected").abs()
        )
        told = told.select("symbol", opened_at="ex_at").unique()
        jumped = jumped.join(told, on=["symbol", "opened_at"], how="anti", maintain_order="left")
    return jumped.select("symbol", "opened_at", "move", likely=_ratio(pl.col("move")))


def _ratio(move: pl.Expr) -> pl.Expr:
    said = pl.lit(None, pl.String)
    for ratio in (ratio for ratio in RATIOS if ratio >= NEWS_MAX):
        old = next(old for old in (1, 2, 3, 4) if abs(ratio * old - round(ratio * old)) < 1e-9)
        new = round(ratio * old)
        for shares, text in ((ratio, f"split {new}:{old}"), (1 / ratio, f"split {old}:{new}")):
            said = pl.when((move + math.log(shares)).abs() <= RATIO_NEAR).then(pl.lit(text)).otherwise(said)
    return said


def _refused(rows: pl.DataFrame) -> list[str | None]:
    """Return for each row why `domain.action` refuses it, or None."""
    if _refusal(rows) is None:
        return [None] * len(rows)
    return [_refusal(rows[place]) for place in range(len(rows))]


def _refusal(rows: pl.DataFrame) -> str | None:
    try:
        action.refuse(rows)
    except DataError as problem:
        return str(problem)
    return None


def _opened(rows: pl.DataFrame, around: Around) -> pl.DataFrame:
    """Add `no_session`, by the calendar of the market; a midnight stamp stands for its day."""
    if around.market is None:
        return rows.with_columns(no_session=pl.lit(None, pl.Boolean))
    noon = pl.col("event_at") + pl.duration(hours=12)
    hours = calendars.hours(rows.select("row", opened_at=noon), around.market)
    stamped = calendars.hours(rows.select("row", opened_at=pl.col("event_at")), around.market)
    closed = hours.join(stamped, on="row", suffix="_stamped")
    closed = closed.select("row", no_session=pl.col("market_closed") & pl.col("market_closed_stamped"))
    return rows.join(closed, on="row", how="left", maintain_order="left")


def _priced(rows: pl.DataFrame, bars: pl.DataFrame | None) -> pl.DataFrame:
    """Add `cash_exceeds_price` and `factor_implausible` where bars tell."""
    if bars is None or bars.is_empty():
        nothing = {"close_before": pl.Float64, "gap": pl.Float64, "expected": pl.Float64}
        judged = {"cash_exceeds_price": pl.Boolean, "factor_implausible": pl.Boolean}
        return rows.with_columns(pl.lit(None, kind).alias(name) for name, kind in {**nothing, **judged}.items())
    judged_rows = effects.priced(rows, bars)
    cash = pl.col("kind").is_in([str(kind) for kind in CASH])
    exceeds = cash & (pl.col("value") >= pl.col("close_before"))
    large = pl.col("expected").is_finite() & (pl.col("expected").abs() >= ACTION_MIN) & pl.col("gap").is_not_null()
    judged_rows = judged_rows.with_columns(cash_exceeds_price=exceeds, told=large & ~exceeds.fill_null(value=False))
    unseen = (pl.col("gap") - pl.col("expected")).abs() > effects.SEEN * pl.col("expected").abs()
    adjusted = (pl.col("told").sum() >= TOLD_MIN) & ((pl.col("told") & unseen).sum() * 2 > pl.col("told").sum())
    return judged_rows.with_columns(factor_implausible=pl.col("told") & unseen & ~adjusted).sort("row")


SUITE = Suite(
    "actions", RULES, examine,
    (
        Expectation("ExpectColumnValuesToNotBeNull", {"column": "kind"}),
        Expectation("ExpectColumnValuesToBeInSet", {"column": "kind", "value_set": [str(kind) for kind in action.Kind]}),
        Expectation("ExpectCompoundColumnsToBeUnique", {"column_list": ["symbol", "event_at", "known_at", "kind"]}),
    ),
)  # fmt: skip
