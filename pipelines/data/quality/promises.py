"""What bars promise: the suite of the bars table, natively and through the columns of their defects."""

from collections.abc import Iterator

import polars as pl

from domain.bar import IMPOSSIBLE, Defect
from pipelines.data.quality.rows import PRICES, ROUNDING
from pipelines.data.quality.suite import Expectation, promised

#: Which column is never below which; the rounded ones leave room for ROUNDING.
ORDER = (
    ("high_rounded_up", "low"),
    ("high_rounded_up", "open"),
    ("high_rounded_up", "close"),
    ("open", "low_rounded_down"),
    ("close", "low_rounded_down"),
)

#: What each defect's column promises, for readers of the Data Docs.
PROMISES: dict[Defect, str] = {
    Defect.MISSING_PRICE: "Every bar has four finite prices",
    Defect.NONPOSITIVE_PRICE: "Every price is above zero",
    Defect.RANGE_BROKEN: "Open and close lie between low and high",
    Defect.NEGATIVE_VOLUME: "Volume is a finite number, zero or more",
    Defect.DUPLICATE_KEY: "A bar is there once",
    Defect.TIME_BACKWARDS: "The rows of a symbol run in one direction of time",
    Defect.MARKET_CLOSED: "No bar lies outside the sessions of the calendar, extended hours included",
    Defect.DECIMAL_SHIFT: "No price is a power of ten away from its neighbours",
    Defect.EXTENDED_HOURS: "Bars lie in the regular session",
    Defect.PRICE_SPIKE: "No lone print is reversed at once",
    Defect.VOLUME_BREAK: "The scale of volume stays what it was",
    Defect.AFTER_GAP: "No bars that the calendar expects are missing before a bar",
    Defect.PRICE_JUMP: "No jump stays: no split, spin-off or shock is left in the prices",
    Defect.UNLIKELY: "Moves, ranges and volumes are those that the profile of the symbol knows",
}


def expectations() -> Iterator[Expectation]:
    """Yield the suite: what the library can say natively, then what calendar and neighbours say, through the defect columns."""
    for price in PRICES:
        yield Expectation("ExpectColumnValuesToNotBeNull", {"column": price})
        yield Expectation("ExpectColumnValuesToBeBetween", {"column": price, "min_value": 0, "strict_min": True})
    for higher, lower in ORDER:
        pair = {"column_A": higher, "column_B": lower, "or_equal": True, "ignore_row_if": "either_value_is_missing"}
        yield Expectation("ExpectColumnPairValuesAToBeGreaterThanB", pair)
    yield Expectation("ExpectColumnValuesToBeBetween", {"column": "volume", "min_value": 0})
    yield Expectation("ExpectCompoundColumnsToBeUnique", {"column_list": ["symbol", "opened_at", "known_at"]})
    for defect, promise in PROMISES.items():
        yield promised(str(defect.name).lower(), promise, bool(defect & IMPOSSIBLE))


def batch(table: pl.DataFrame) -> pl.DataFrame:
    """Return what the suite reads; `high_rounded_up` and `low_rounded_down` are high and low with room for rounding."""
    flags = [str(defect.name).lower() for defect in PROMISES]
    return table.select(
        pl.col("symbol").cast(pl.Categorical),
        "opened_at",
        "known_at",
        *PRICES,
        "volume",
        *flags,
        high_rounded_up=pl.col("high") * (1 + ROUNDING),
        low_rounded_down=pl.col("low") * (1 - ROUNDING),
    )
