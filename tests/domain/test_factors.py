"""Factors against tables by hand: what was printed comes back to the last digit, and no action is seen twice."""

import numpy as np
from hypothesis import given, strategies

from domain import factors
from domain.factors import Factors
from domain.panel import Panel

AT = np.array(["2024-01-02T21:00", "2024-01-03T21:00", "2024-01-04T21:00"], dtype="datetime64[us]")
NAN = float("nan")


def panel(close, adjustment=None, shares=None, volume=1000.0, **covariates):
    """Return three days of two symbols; prices are equal."""
    close = np.array(close, dtype=np.float64)
    if adjustment is not None:
        covariates |= {"adjustment": np.array(adjustment), "shares": np.array(shares)}
    at, volumes = AT[: len(close)], np.where(np.isnan(close), NAN, volume)
    prices = (close.copy() for _ in range(4))
    return Panel("m", "1d", ("AAA", "BBB"), at - np.timedelta64(1, "D"), at, *prices, volumes, covariates)


@given(
    strategies.integers(1, 10**8), strategies.integers(0, 6), strategies.floats(0.01, 1000.0), strategies.integers(1, 60),
    strategies.integers(1, 60), strategies.integers(0, 10**10),
)  # fmt: skip
def test_what_was_printed_comes_back(digits, point, paid, new, old, traded):
    """Any price of up to eight digits under any factor, any whole volume under any split: the very same numbers."""
    price, share = digits / 10**point, new / old
    laid = panel([[price * paid, price]], [[paid, 1.0]], [[share, 1.0]], volume=np.array([[traded / share, traded]]))
    found = factors.printed(laid)

    assert found.close.tolist() == [[price, price]]
    assert found.volume.tolist() == [[traded, traded]]
    assert not found.covariates


def test_prices_without_factors_are_printed_ones():
    """A market without actions has none."""
    bare = panel([[100.0, 50.0]], vwap=np.full((1, 2), 75.0))

    assert factors.printed(bare) is bare


def test_what_is_not_a_price_stays():
    """Other covariates are neither prices nor shares, and a missing bar is missing."""
    found = factors.printed(
        panel([[200.0, NAN]], [[2.0, NAN]], [[2.0, NAN]], vwap=np.array([[210.0, NAN]]), sector=np.ones((1, 2)))
    )

    np.testing.assert_array_equal(found.close, [[100.0, NAN]])
    np.testing.assert_array_equal(found.covariates["vwap"], [[105.0, NAN]])
    assert found.covariates["sector"].tolist() == [[1.0, 1.0]]
    assert sorted(found.covariates) == ["sector", "vwap"]


def test_what_was_done_between_bars():
    """A split of 4 for 1 and a payout of a tenth, by hand; a symbol without a bar keeps what lay on it."""
    days = panel(
        [[100.0, 50.0], [NAN, 50.0], [100.0, 50.0]], [[1.0, 2.0], [NAN, 2.0], [4.0, 2.0 / 0.9]], [[1, 1], [NAN, 1], [4, 1]]
    )
    first = Factors.blank(2).after(days.rows(0, 1))
    second = first.after(days.rows(1, 2))

    assert first.between(days.rows(1, 2)) is None
    assert (second.adjustment.tolist(), second.shares.tolist()) == ([1.0, 2.0], [1.0, 1.0])
    done = second.between(days.rows(2, 3))
    assert (done.split.tolist(), done.growth.tolist()) == ([4.0, 1.0], [4.0, 1 / 0.9])
    assert Factors.blank(2).after(days).shares.tolist() == [4.0, 1.0]


def test_an_action_of_long_ago_that_becomes_known_moves_no_newest_price():
    """All bars are read anew under a factor of 4; those who followed them go on at the prices they know."""
    before = Factors(np.array([1.5, 1.0]), np.array([1.0, 1.0]))
    anew = panel([[600.0, 50.0], [612.0, 51.0]], [[6.0, 1.0], [6.0, 1.0]], [[4.0, 1.0], [4.0, 1.0]])
    found = before.beneath(anew, Factors.blank(2).after(anew.rows(0, 1)))

    assert found.close[1].tolist() == [153.0, 51.0]
    assert found.volume[1].tolist() == [4000.0, 1000.0]
    assert before.between(found.rows(1, 2)) is None
    assert factors.printed(found).close[1].tolist() == [102.0, 51.0]
    assert before.beneath(anew, before) is anew
