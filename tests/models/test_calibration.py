"""Calibration: quantiles move to where outcomes fell, as far as that is certain."""

import numpy as np
import pytest
from scipy import stats

from domain.error import ModelError
from domain.forecast import LEVELS, MEDIAN
from models import calibration

NORMAL = stats.norm.ppf(LEVELS)
HORIZON = 5


def forecast(bars: int, symbols: int = 10) -> np.ndarray:
    """Return [T, S, Q] the quantiles of normal outcomes, a hundredth wide, around a location that differs everywhere."""
    location = np.random.default_rng(1).standard_normal((bars, symbols)) * 0.02
    return location[..., None] + 0.01 * NORMAL


def outcomes(forecasts: np.ndarray, width: float, shift: float = 0.0) -> np.ndarray:
    """Return [T, S] normal outcomes around the forecast median, `width` and `shift` in what the forecast takes for a deviation."""
    noise = np.random.default_rng(2).standard_normal(forecasts.shape[:2])
    return forecasts[..., MEDIAN] + 0.01 * (shift + width * noise)


@pytest.mark.parametrize("width", [0.5, 1.0, 3.0])
def test_quantiles_become_as_wide_as_outcomes_were(width: float):
    """Those of a normal with that deviation, whatever unit the model keeps its own in."""
    shown = forecast(4000)

    found = calibration.refitted(7.0 + 2.0 * NORMAL, shown, outcomes(shown, width), HORIZON)

    np.testing.assert_allclose(found, 7.0 + 2.0 * width * NORMAL, atol=0.06 * width)


def test_a_lasting_shift_is_believed():
    """Outcomes half a deviation above the forecast for 4,000 bars."""
    shown = forecast(4000)

    found = calibration.refitted(NORMAL, shown, outcomes(shown, 1.0, shift=0.5), HORIZON)

    np.testing.assert_allclose(found, NORMAL + 0.5, atol=0.05)


def test_a_shift_that_may_be_chance_is_not():
    """The whole market, now up and now down: the median stays to the last digits, the range takes the market's moves in."""
    shown = forecast(60)
    common = np.resize(np.repeat([1.0, -1.0], 15), 60)[:, None] + 0.05

    found = calibration.refitted(NORMAL, shown, outcomes(shown, 1.0) + 0.01 * common, HORIZON)

    assert found[MEDIAN] == pytest.approx(0.0, abs=1e-12)
    assert found[-1] - found[0] > 1.2 * (NORMAL[-1] - NORMAL[0])


def test_what_was_not_forecast_or_is_not_known_counts_for_nothing():
    """Missing forecasts and outcomes change no digit."""
    shown = forecast(400)
    came = outcomes(shown, 2.0)
    expected = calibration.refitted(NORMAL, shown[:, :9], came[:, :9], HORIZON)
    came[:, 9] = np.nan

    np.testing.assert_array_equal(calibration.refitted(NORMAL, shown, came, HORIZON), expected)


def test_too_few_outcomes_are_refused():
    """One sentence with both numbers."""
    shown = forecast(19)

    with pytest.raises(ModelError, match=r"on 19 bars of 10 symbols, but only 190 .* 200 are needed"):
        calibration.refitted(NORMAL, shown, outcomes(shown, 1.0), HORIZON)
