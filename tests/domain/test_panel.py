"""Panel: bars as time-major arrays."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from domain import panel
from domain.bar import BAR_SCHEMA

START = datetime(2024, 1, 1, tzinfo=UTC)


def bar(symbol: str, hour: int, close: float) -> dict[str, object]:
    opened = START + timedelta(hours=hour)
    closed = opened + timedelta(hours=1)
    prices = {"open": close, "high": close, "low": close, "close": close, "volume": 1.0, "vwap": None, "trades": None, "flags": 0}
    return {
        "market": "m", "symbol": symbol, "timeframe": "1h", "opened_at": opened, "event_at": closed, "known_at": closed, **prices
    }  # fmt: skip


def table(*rows: dict[str, object]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=BAR_SCHEMA)


def test_a_missing_bar_is_nan_in_every_column() -> None:
    """B has no second bar."""
    built = panel.from_bars(table(bar("A", 0, 1.0), bar("B", 0, 2.0), bar("A", 1, 3.0)), "m", "1h")

    np.testing.assert_array_equal(built.close, [[1.0, 2.0], [3.0, np.nan]])
    np.testing.assert_array_equal(built.volume, [[1.0, 1.0], [1.0, np.nan]])
    np.testing.assert_array_equal(built.present, [[True, True], [True, False]])


def test_rows_and_symbols_do_not_depend_on_the_order_of_the_table() -> None:
    """Shuffled rows give the same panel."""
    rows = [bar(symbol, hour, hour + 1.0) for symbol in "AB" for hour in range(3)]

    forward, backward = panel.from_bars(table(*rows), "m", "1h"), panel.from_bars(table(*rows[::-1]), "m", "1h")

    assert forward.symbols == backward.symbols == ("A", "B")
    np.testing.assert_array_equal(forward.close, backward.close)
    np.testing.assert_array_equal(forward.opened_at, backward.opened_at)


def test_a_named_universe_keeps_its_order_and_its_absent_members() -> None:
    """A trader's columns must not move when a symbol has no bar."""
    built = panel.from_bars(table(bar("A", 0, 1.0)), "m", "1h", ("Z", "A"))

    np.testing.assert_array_equal(built.close, [[np.nan, 1.0]])


def test_until_returns_only_bars_that_had_closed() -> None:
    """The bar that closes at 02:00 is known at 02:00 and not before."""
    built = panel.from_bars(table(bar("A", 0, 1.0), bar("A", 1, 2.0)), "m", "1h")

    assert built.until(np.datetime64("2024-01-01T01:59:59")).bars == 1
    assert built.until(np.datetime64("2024-01-01T02:00:00")).bars == 2


def test_times_must_increase() -> None:
    """Time running backwards stops the line."""
    built = panel.from_bars(table(bar("A", 0, 1.0), bar("A", 1, 2.0)), "m", "1h")
    arrays = {name: getattr(built, name) for name in panel.PRICES}

    with pytest.raises(ValueError, match="strictly increasing"):
        panel.Panel("m", "1h", built.symbols, built.opened_at[::-1], built.event_at[::-1], **arrays)


def test_columns_must_be_contiguous_float64() -> None:
    """A transposed array is refused: kernels rely on the layout."""
    built = panel.from_bars(table(bar("A", 0, 1.0), bar("B", 0, 1.0), bar("A", 1, 2.0)), "m", "1h")
    arrays = {name: getattr(built, name) for name in panel.PRICES}

    with pytest.raises(ValueError, match="C-contiguous float64"):
        panel.Panel("m", "1h", built.symbols, built.opened_at, built.event_at, **{**arrays, "open": np.asfortranarray(built.open)})


def test_each_yields_the_bars_one_by_one() -> None:
    """Joined again they are the whole."""
    built = panel.from_bars(table(bar("A", 0, 1.0), bar("A", 1, 2.0), bar("B", 1, 4.0)), "m", "1h")

    np.testing.assert_array_equal(np.concatenate([one.close for one in built.each()]), built.close)


def test_covariates_are_cut_with_the_rows_and_held_to_the_same_layout() -> None:
    """What else is known of a bar goes wherever the bar goes."""
    built = panel.from_bars(table(bar("A", 0, 1.0), bar("B", 0, 1.0), bar("A", 1, 2.0)), "m", "1h")
    known = replace(built, covariates={"sector": np.array([[1.0, 2.0], [1.0, 2.0]])})

    np.testing.assert_array_equal(known.rows(1, 2).covariates["sector"], [[1.0, 2.0]])
    np.testing.assert_array_equal(known.until(np.datetime64("2024-01-01T01:00:00")).covariates["sector"], [[1.0, 2.0]])
    with pytest.raises(ValueError, match="'sector' must be C-contiguous float64"):
        replace(built, covariates={"sector": np.zeros((2, 1))})
