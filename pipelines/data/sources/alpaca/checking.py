"""Checking: a page of an answer as a table, or the sentence that says what is wrong with it.

Alpaca sorts its rows by symbol and time. What does not run on, was not asked for or has no price is a fault of the page.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import polars as pl

from domain.error import DataError
from pipelines.data.sources.alpaca.asking import Question, unreadable

NANOSECONDS = pl.Datetime("ns", "UTC")


@dataclass(frozen=True)
class Kind:
    """What the rows of one kind look like: Alpaca's own names, and which of them must be numbers."""

    name: str
    """As Alpaca has it in addresses and answers."""
    columns: Mapping[str, pl.DataType]
    needed: tuple[str, ...]
    once: bool
    """Whether a symbol has one row a moment."""


_PRICE, _COUNT, _TEXT = pl.Float64(), pl.Int64(), pl.String()
BARS = Kind(
    "bars",
    {"t": _TEXT, "o": _PRICE, "h": _PRICE, "l": _PRICE, "c": _PRICE, "v": _PRICE, "vw": _PRICE, "n": _COUNT},
    ("o", "h", "l", "c", "v"),
    once=True,
)
TRADES = Kind(
    "trades",
    {"t": _TEXT, "p": _PRICE, "s": _PRICE, "i": _COUNT, "x": _TEXT, "c": _TEXT, "tks": _TEXT, "u": _TEXT},
    ("p", "s", "i"),
    once=False,
)
QUOTES = Kind(
    "quotes",
    {"t": _TEXT, "bp": _PRICE, "bs": _PRICE, "ap": _PRICE, "as": _PRICE, "bx": _TEXT, "ax": _TEXT},
    ("bp", "bs", "ap", "as"),
    once=False,
)


@dataclass
class Series:
    """Reads the pages of one answer in turn: {symbol: [row, ...]} becomes `symbol`, `t` (ns, UTC) and the kind's columns."""

    question: Question
    kind: Kind
    _last: dict[str, datetime] = field(default_factory=dict)
    _page: pl.DataFrame | None = None

    def __call__(self, rows: Any) -> pl.DataFrame:
        """Return the page; raises DataError, after which the same page may be read again."""
        page = self._table(rows or {})
        self._require_asked(page)
        self._require_numbers(page)
        self._require_order(page)
        ends = page.group_by("symbol").agg(pl.col("t").max()).rows()
        self._last.update(ends)
        self._page = page
        return page

    def _table(self, rows: Any) -> pl.DataFrame:
        try:
            flat = [(symbol, row) for symbol, of in rows.items() for row in of]
            columns = {
                name: pl.Series([_value(row.get(name)) for _, row in flat], dtype=dtype)
                for name, dtype in self.kind.columns.items()
            }
            at = columns.pop("t").str.to_datetime("%+", time_unit="ns", time_zone="UTC")
            symbols = pl.Series([symbol for symbol, _ in flat], dtype=pl.String())
            return pl.DataFrame({"symbol": symbols, "t": at, **columns})
        except (AttributeError, TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as problem:
            raise unreadable(self.question, f"its rows are no {self.question.what}: {type(problem).__name__}") from None

    def _require_asked(self, page: pl.DataFrame) -> None:
        strange = page.filter(~pl.col("symbol").is_in(list(self.question.symbols)))
        if not strange.is_empty():
            self._refuse(strange, "which was not asked for")
        outside = page.filter(~pl.col("t").is_between(self.question.since, self.question.until).fill_null(value=False))
        if not outside.is_empty():
            self._refuse(outside, "outside what was asked")

    def _require_numbers(self, page: pl.DataFrame) -> None:
        known = [pl.col(name).is_finite().fill_null(value=False) for name in self.kind.needed if self.kind.columns[name] == _PRICE]
        known += [pl.col(name).is_not_null() for name in self.kind.needed if self.kind.columns[name] != _PRICE]
        lacking = page.filter(~pl.all_horizontal(known))
        if not lacking.is_empty():
            values = ", ".join(f"{name} {lacking[name][0]}" for name in self.kind.needed)
            self._refuse(lacking, f"with something that is no number ({values})")

    def _require_order(self, page: pl.DataFrame) -> None:
        """Rows of a symbol run on in time, within the page and from the pages before it; a page that comes twice does not."""
        before = page["symbol"].replace_strict(self._last, default=None, return_dtype=NANOSECONDS)
        previous = pl.coalesce(pl.col("t").shift(1).over("symbol"), pl.lit(before))
        back = pl.col("t") <= previous if self.kind.once else pl.col("t") < previous
        repeated = page.filter(back)
        if repeated.is_empty() and self._page is not None and page.height > 1 and page.equals(self._page):
            repeated = page
        if not repeated.is_empty():
            self._refuse(repeated, "a second time or out of order")

    def _refuse(self, rows: pl.DataFrame, why: str) -> None:
        symbol, at = rows.select("symbol", "t").row(0)
        more = f" and {rows.height - 1:,} rows like it" if rows.height > 1 else ""
        raise DataError(
            f"Alpaca was asked for {self.question} and answers with a row of {symbol} at {at}{more} {why}: "
            "none of the answer was taken, run it again in some minutes"
        )


def _value(value: Any) -> Any:
    """Return conditions, which are lists, as one word; anything else is the business of the column's type."""
    return " ".join(value) if isinstance(value, list) else value
