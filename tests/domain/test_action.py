"""Action: what may happen to a share and the factor that makes returns of prices again."""

from datetime import UTC, datetime

import polars as pl
import pytest

from domain import action
from domain.error import DataError

EX = datetime(2024, 3, 1, 14, 30, tzinfo=UTC)


def told(kind: str, value: float | None, other: str | None = None) -> pl.DataFrame:
    """Return one row of the table `actions`."""
    row = {"market": "m", "symbol": "ABC", "event_at": EX, "known_at": EX, "kind": kind, "value": value, "other": other}
    return pl.DataFrame([row], schema_overrides={"value": pl.Float64, "other": pl.String})


@pytest.mark.parametrize(
    ("cash", "shares", "close", "expected"),
    [
        (0.0, 2.0, 100.0, 2.0),  # two for one: half the price is no loss
        (1.0, 1.0, 100.0, 100.0 / 99.0),  # one percent handed out
        (2.0, 4.0, 50.0, 4.0 * 50.0 / 48.0),  # both on one day, the cash stated for an old share
        (0.0, 0.1, 1.0, 0.1),  # ten old shares become one
    ],
)
def test_a_holder_is_as_rich_after_the_action_as_before(cash: float, shares: float, close: float, expected: float) -> None:
    """The theoretical ex price (close - cash) / shares times the factor is the close before."""
    found = action.factor(cash, shares, close)

    assert found == pytest.approx(expected, rel=1e-15)
    assert (close - cash) / shares * found == pytest.approx(close, rel=1e-14)


@pytest.mark.parametrize(
    ("kind", "value", "other"),
    [("dividend", -1.0, None), ("split", 0.0, None), ("split", None, None), ("dividend", float("nan"), None),
     ("stock_dividend", -1.0, None), ("symbol_change", None, None), ("spinoff", float("inf"), None)],
)  # fmt: skip
def test_impossible_values_are_refused_with_their_row(kind: str, value: float | None, other: str | None) -> None:
    """A vendor's bad row stops the line before it moves a price."""
    with pytest.raises(DataError, match=f"the {kind} of 'ABC' on 2024-03-01 has the value"):
        action.refuse(told(kind, value, other))


def test_an_unknown_kind_is_refused_with_the_nearest_right_one() -> None:
    """A misspelled kind must not pass as no action at all."""
    with pytest.raises(DataError, match="did you mean 'dividend'"):
        action.refuse(told("dividends", 1.0))


@pytest.mark.parametrize(
    ("kind", "value", "other"), [("dividend", 0.0, None), ("split", 0.1, None), ("symbol_change", None, "XYZ")]
)
def test_possible_values_pass(kind: str, value: float | None, other: str | None) -> None:
    """Zero takes a dividend back, a tenth is a reverse split, and a change needs no value."""
    action.refuse(told(kind, value, other))
