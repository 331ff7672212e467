"""Tests of WorldQuant's alphas against the paper's formulas, evaluated on tables in pandas."""

import numpy as np
import pytest

from domain.panel import PRICES, FloatArray
from features import steps
from features.catalog import alpha101
from tests.features import beside, naive_alpha101, panels

TWINS = {
    "percentile": "by rank",
    "scale": "by scale",
    "extreme_place": "by ts_argmax and ts_argmin",
}


@pytest.fixture(scope="module")
def both() -> tuple[FloatArray, dict[int, FloatArray]]:
    """Return the features and their twins of one market without gaps."""
    panel = beside.market(320, 14, 121)
    with np.errstate(invalid="ignore", divide="ignore"):
        return beside.values(alpha101.FEATURES, panel), naive_alpha101.tables(panel)


def test_all_alphas_but_two_are_there() -> None:
    """Number 45 is rounding noise, number 56 needs market capitalisation."""
    assert list(alpha101.ALPHAS) == list(naive_alpha101.FORMULAS) == [n for n in range(1, 102) if n not in {45, 56}]


@pytest.mark.parametrize("number", alpha101.ALPHAS)
def test_an_alpha_is_the_papers_formula(number: int, both: tuple[FloatArray, dict[int, FloatArray]]) -> None:
    """Every bar of every symbol from the end of the warm-up on."""
    found, expected = both
    place = list(alpha101.ALPHAS).index(number)
    known = slice(alpha101.FEATURES[place].warm_up, None)

    np.testing.assert_allclose(found[known, :, place], expected[number][known], rtol=1e-7, atol=1e-9)


def test_alphas_keep_the_promises_of_the_catalogue() -> None:
    """Warm-up to the bar, finite after it, free of scale."""
    beside.check_promises(alpha101.FEATURES)


def test_a_rank_is_the_exact_quotient() -> None:
    """The best of any number of symbols ranks 1, and 20 of 40 ties with 21 of 42; a rounded reciprocal would not let them."""
    symbols = 60
    close = np.tile(np.arange(1.0, symbols + 1.0), (symbols, 1))
    for row in range(symbols):
        close[row, row + 1 :] = np.nan
    panel = panels.from_prices(dict.fromkeys(PRICES, close))

    found = beside.values([steps.percentile("close")], panel)[:, :, 0]

    for row in range(symbols):
        assert found[row, : row + 1].tolist() == [place / (row + 1) for place in range(1, row + 2)]
