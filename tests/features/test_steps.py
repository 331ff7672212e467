"""Tests of the steps that formulas are made of: arithmetic of series, exponentials, what is known."""

from collections.abc import Callable

import numpy as np
import pytest
import scipy.stats

from features import indicators as plain
from features import steps
from features.feature import Feature
from features.kernels import arithmetic, exponent, flow
from tests.features import beside, panels

TWINS = {
    "hyperbolic_tangent": "against numpy",
    "antilogarithm": "against numpy in extended precision",
    "linear": "against numpy",
    "larger": "against numpy",
    "below": "against numpy",
    "choose": "against numpy",
    "sign": "against numpy",
    "magnitude": "against numpy",
    "clip": "against numpy",
    "rounded": "against numpy",
    "one_sided": "against numpy",
    "first_known": "against numpy",
    "settle": "on its own",
}


def test_exponentials_are_as_close_as_a_double_can_be() -> None:
    """Within one unit in the last place of the exponential in extended precision; NaN stays NaN."""
    x = np.concatenate(
        [np.random.default_rng(8).uniform(-700.0, 700.0, 4000), np.random.default_rng(9).normal(0, 1e-8, 500), [0.0]]
    )
    panel = _series(np.append(x, np.nan))

    found = beside.values([steps.antilogarithm("close")], panel)[:, 0, 0]

    exact = np.exp(x.astype(np.longdouble))
    assert (np.abs(found[:-1] - exact) <= np.spacing(exact.astype(np.float64))).all()
    assert np.isnan(found[-1])


def test_the_hyperbolic_tangent_and_the_normal_distribution_are_the_libraries() -> None:
    """Against numpy and scipy over all sizes, the far tails included."""
    x = np.concatenate([np.linspace(-40.0, 40.0, 2001), np.random.default_rng(10).normal(0, 1, 2000)])
    tanh = Feature("tanh", exponent.hyperbolic_tangent, ("close",), (0.5, 3.0), exponent.PAIR_SLOTS)
    normal = Feature("normal", flow.buyer_share, ("buy_volume", "volume", "close"), (), exponent.PAIR_SLOTS)

    found = beside.values([tanh, normal], _series(x))[:, 0]

    np.testing.assert_allclose(found[:, 0], 3.0 * np.tanh(0.5 * x), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(found[:, 1], scipy.stats.norm.cdf(x), rtol=1e-11, atol=1e-16)


def _series(x: np.ndarray) -> beside.Panel:
    return panels.from_prices(dict.fromkeys(("open", "high", "low", "close", "volume"), x[:, None]))


X, Y = np.random.default_rng(11).normal(0.0, 2.0, (2, 200, 3))
X[np.random.default_rng(12).random(X.shape) < 0.1] = np.nan
Y[::7] = X[::7]
UNKNOWN = np.isnan(X) | np.isnan(Y)
SERIES: list[tuple[Callable[..., object], int, tuple[float, ...], Callable[..., np.ndarray]]] = [
    (arithmetic.linear, 2, (2.0, -3.0, 0.5), lambda x, y: 2 * x - 3 * y + 0.5),
    (arithmetic.larger, 2, (1.0,), np.maximum),
    (arithmetic.larger, 2, (-1.0,), np.minimum),
    (arithmetic.below, 2, (), lambda x, y: np.where(UNKNOWN, np.nan, x < y)),
    (arithmetic.first_known, 2, (), lambda x, y: np.where(np.isnan(x), y, x)),
    (arithmetic.choose, 3, (), lambda c, x, y: np.where(UNKNOWN, np.nan, np.where(c > 0, x, y))),
    (arithmetic.sign, 1, (), np.sign),
    (arithmetic.magnitude, 1, (), np.abs),
    (arithmetic.clip, 1, (-1.5, 0.5), lambda x: np.clip(x, -1.5, 0.5)),
    (arithmetic.rounded, 1, (100.0,), lambda x: np.round(x, 2)),
    (arithmetic.one_sided, 1, (-1.0,), lambda x: np.minimum(x, 0.0)),
]


@pytest.mark.parametrize(("kernel", "inputs", "parameters", "twin"), SERIES, ids=lambda value: getattr(value, "__name__", None))
def test_arithmetic_of_series_is_numpys(
    kernel: Callable[..., object], inputs: int, parameters: tuple[float, ...], twin: Callable[..., np.ndarray]
) -> None:
    """What formulas are made of; unknown where an operand is unknown."""
    panel = panels.from_prices({"open": X, "high": Y, "low": Y, "close": X, "volume": Y})
    given = (("close",), ("close", "high"), ("open", "close", "low"))[inputs - 1]

    found = beside.values([Feature("tested", kernel, given, parameters)], panel)[:, :, 0]

    np.testing.assert_allclose(found, twin(*((X,), (X, Y), (X, X, Y))[inputs - 1]), rtol=1e-12)


def test_the_floor_is_numpys() -> None:
    """The whole number below, of numbers of every size, whole ones and their neighbours, NaN and infinities."""
    draw = np.random.default_rng(7)
    whole = np.concatenate([np.arange(-300.0, 300.0), 2.0**52 + np.arange(-8.0, 8.0), -(2.0**52) + np.arange(-8.0, 8.0)])
    sizes = [draw.normal(0.0, 10.0**power, 500) for power in range(-3, 19)]
    values = np.concatenate(
        [*sizes, whole, whole + 0.5, *(np.nextafter(whole, way) for way in (np.inf, -np.inf)), [np.nan, np.inf]]
    )

    np.testing.assert_array_equal([arithmetic.floor(value) for value in [*values, -np.inf]], np.floor([*values, -np.inf]))


def test_a_correlation_with_a_flat_series_is_settled_at_zero() -> None:
    """It is unknown before its window is full and at missing bars, and zero where nothing varies."""
    x = np.random.default_rng(13).normal(0.0, 1.0, (60, 1))
    flat = np.full((60, 1), 2.0)
    flat[40], x[40] = np.nan, np.nan
    panel = panels.from_prices({"open": flat, "high": flat, "low": flat, "close": x, "volume": flat})

    found = beside.values([steps.correlation("close", "open", 5), plain.correlation("close", "open", 5)], panel)[:, 0]

    assert np.isnan(found[[0, 3, 40], 0]).all()
    assert np.isnan(found[:, 1]).all()
    assert (np.delete(found[4:, 0], 36) == 0.0).all()
