"""What was printed comes back out of what Yahoo makes of it: divided by later splits and kept in single precision."""

from datetime import UTC, datetime

import numpy as np
import polars as pl
import pytest

from pipelines.data.sources.yahoo import printed

RATIOS = [1.0, 2.0, 3.0, 4.0, 7.0, 20.0, 1.5, 1.281, 0.1, 1.0 / 15.0, 28.0]


def answered(price: np.ndarray, ratio: float) -> np.ndarray:
    """Return what Yahoo would answer after a split: single precision, told as doubles."""
    return (price / ratio).astype(np.float32).astype(np.float64)


@pytest.mark.parametrize("ratio", RATIOS)
def test_every_price_in_cents_comes_back_to_the_last_bit(ratio: float) -> None:
    """From a cent to 9,999.99, whatever the split."""
    cents = np.arange(1, 1_000_000) / 100.0

    found = printed.shortest(answered(cents, ratio) * ratio)

    assert np.array_equal(found, cents)


def test_a_number_is_written_as_single_precision_writes_it() -> None:
    """With no more digits than numpy prints for a single, and no farther from it than half its last place can be."""
    values = np.random.default_rng(5).uniform(0.001, 90_000.0, 20_000).astype(np.float32)

    found = printed.shortest(values.astype(np.float64))

    digits = [len(str(value).replace(".", "").strip("0")) for value in found]
    np.testing.assert_allclose(found, values.astype(np.float64), rtol=2.0**-24 * 1.00001)
    assert all(ours <= len(str(theirs).replace(".", "").strip("0")) for ours, theirs in zip(digits, values, strict=True))


def test_what_is_no_number_stays() -> None:
    """Missing prices are for quality to see."""
    found = printed.shortest(np.array([np.nan, 0.0, np.inf, -1.4500000476837158]))

    assert np.array_equal(found, [np.nan, 0.0, np.inf, -1.45], equal_nan=True)


def test_splits_are_undone_by_hand() -> None:
    """Two for one on the 3rd, one for ten on the 5th: the 2nd counts by 2/10, the 3rd and 4th by 1/10, the 5th by 1.

    What the 3rd and the 5th pay is for a share of the day before.
    """
    days = [datetime(2020, 1, day, 14, 30, tzinfo=UTC) for day in (2, 3, 4, 5)]
    prices = [500.0, 240.0, 250.0, 26.0]
    rows = pl.DataFrame({
        "opened_at": days, **dict.fromkeys(printed.PRICES, prices), "volume": [100.0, 60.0, 61.0, 7.0],
        "dividend": [1.0, 0.3, 0.5, 0.2], "capital_gain": [0.0, 0.0, 0.0, 0.0],
    })  # fmt: skip
    split_at = np.array(["2020-01-03T14:30", "2020-01-05T14:30"], dtype="datetime64[us]")

    found = printed.undo(rows, split_at, np.array([2.0, 0.1]))

    assert found["close"].to_list() == [100.0, 24.0, 25.0, 26.0]
    assert found["volume"].to_list() == [500.0, 600.0, 610.0, 7.0]
    assert found["dividend"].to_list() == [0.2, 0.06, 0.05, 0.02]
