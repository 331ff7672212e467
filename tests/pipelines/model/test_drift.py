"""Drift is seen where something moved, and only there."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from pipelines.model import drift

RECENT = 120
ROWS, NAMES = 1200, 8


def world(seed: int = 1, edge: float = 0.3) -> tuple[np.ndarray, FloatArray, FloatArray]:
    """Return features [T, S, 4] of different kinds, forecasts [T, S, Q] and what came of them, none of it drifting."""
    generator = np.random.default_rng(seed)
    slow = np.zeros((ROWS, NAMES))
    for t in range(1, ROWS):
        slow[t] = 0.98 * slow[t - 1] + generator.normal(size=NAMES)
    weekday = np.repeat((np.arange(ROWS) % 5)[:, None], NAMES, axis=1).astype(float)
    quick, tails = generator.normal(size=(ROWS, NAMES)), generator.standard_t(3, (ROWS, NAMES))
    features = np.stack([quick, tails, slow, weekday], axis=-1).astype(np.float32)
    forecasts = 0.01 * (edge * quick[..., None] + stats.norm.ppf(LEVELS))
    forward = 0.01 * (edge * quick + generator.normal(size=(ROWS, NAMES)))
    forward[-6:] = np.nan
    return features, forecasts, forward


KINDS = ("quick", "tails", "slow", "weekday")


def measured(features: np.ndarray, forecasts: FloatArray, forward: FloatArray) -> drift.Drift:
    """Measure with the limits of params.yaml."""
    return drift.measure(features, KINDS, forecasts, forward, RECENT, 0.25, 5)


def test_a_hand_computed_index() -> None:
    """Half and half against a quarter and three quarters: 0.25 ln 1.5 + 0.25 ln 2 = 0.2746530721670274."""
    found = drift.psi(np.array([50, 50]), np.array([25, 75]))

    assert found == pytest.approx(0.25 * math.log(0.75 / 0.5) - 0.25 * math.log(0.25 / 0.5), rel=1e-15)
    assert found == pytest.approx(0.2746530721670274, rel=1e-12)
    assert drift.psi(np.array([3, 4]), np.array([3, 4])) == 0.0
    assert math.isnan(drift.psi(np.array([0, 0]), np.array([3, 4])))


def test_an_empty_bin_counts_as_one_in_ten_thousand() -> None:
    """All of the mass moves: (1 - 1e-4) ln 1e4 twice over, not infinity."""
    found = drift.psi(np.array([10, 0]), np.array([0, 10]))

    assert found == pytest.approx(2 * (1 - 1e-4) * math.log(1e4), rel=1e-12)


@settings(max_examples=60, deadline=None)
@given(
    first=arrays.arrays(np.float64, st.integers(2, 60), elements=st.integers(-5, 5) | st.floats(-1e3, 1e3)),
    second=arrays.arrays(np.float64, st.integers(2, 60), elements=st.integers(-5, 5) | st.floats(-1e3, 1e3)),
)
def test_the_distance_is_the_largest_gap_between_two_distribution_functions(first: FloatArray, second: FloatArray) -> None:
    """Against a naive twin that looks at every point, ties included; missing values change nothing."""
    points = np.concatenate([first, second])
    naive = max(abs(float((first <= x).mean()) - float((second <= x).mean())) for x in points)

    distance, chance = drift.ks(np.append(first, np.nan), np.append(np.nan, second))

    assert distance == pytest.approx(naive, abs=1e-12)
    assert chance == pytest.approx(stats.ks_2samp(first, second, method="asymp").pvalue, abs=1e-12)


@settings(max_examples=40, deadline=None)
@given(values=arrays.arrays(np.float64, (40, 5), elements=st.floats(-100, 100) | st.integers(-3, 3) | st.just(math.nan)))
def test_the_histogram_counts_every_value_once(values: FloatArray) -> None:
    """Against a loop: a value lies above the edges smaller than it; what is missing has a bin of its own."""
    inner = drift.edges(values[:20])

    counts = drift.histogram(values, inner)

    naive = np.zeros_like(counts)
    for row, line in enumerate(values):
        for value in line:
            naive[row, len(inner) + 1 if math.isnan(value) else sum(edge < value for edge in inner)] += 1
    assert (counts == naive).all()
    assert len(inner) <= 9


def test_ten_bins_of_a_continuous_reference_hold_a_tenth_each() -> None:
    """The bins are quantiles of the reference."""
    reference = np.random.default_rng(2).normal(size=(1000, 10))

    counts = drift.histogram(reference, drift.edges(reference)).sum(axis=0)

    assert (np.abs(counts[:-1] - 1000) <= 1).all()
    assert counts[-1] == 0


def test_a_world_that_stays_has_not_drifted() -> None:
    """Neither fat tails nor weekdays nor slow features, which differ between any two windows, are taken for drift."""
    for seed in range(5):
        found = measured(*world(seed))

        assert found.share == 0.0
        assert not found.table["drifted"].any()
        assert found.table.height == 6
        assert found.skill_p > 0.001


MOVES = {
    "shifted": lambda values: values + 1.5,
    "widened": lambda values: values * 4,
    "frozen": np.zeros_like,
    "gone": lambda values: np.full_like(values, np.nan),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_feature_that_moved_is_named(move: str) -> None:
    """A shift, another width, a frozen feed and one that stopped each show in that feature alone."""
    features, forecasts, forward = world()
    features[-RECENT:, :, 0] = MOVES[move](features[-RECENT:, :, 0])

    found = measured(features, forecasts, forward)

    assert found.drifted(drift.FEATURE) == ["quick"]
    assert found.share == 0.25
    assert found.table["series"][0] == "quick"


def test_a_model_that_lost_its_skill_is_seen() -> None:
    """The rank IC of the recent bars falls and the p value tells; the features have not moved."""
    features, forecasts, forward = world()
    known = forward[-RECENT:-6]
    known[:] = np.random.default_rng(9).normal(0, 0.01, known.shape)

    found = measured(features, forecasts, forward)

    assert found.share == 0.0
    assert found.skill_reference - found.skill_recent > 0.1
    assert found.skill_p < 0.01


def test_errors_that_moved_are_seen_apart_from_features() -> None:
    """Twice the noise around the same forecasts moves the residual alone; a moved median moves the forecast."""
    features, forecasts, forward = world()
    median = forecasts[..., MEDIAN]
    forward[-RECENT:] = median[-RECENT:] + 3 * (forward - median)[-RECENT:]

    noisy = measured(features, forecasts, forward)
    moved = measured(features, np.concatenate([forecasts[:-RECENT], forecasts[-RECENT:] + 0.05]), forward)

    assert (noisy.drifted(drift.FEATURE), noisy.drifted(drift.FORECAST), noisy.drifted(drift.RESIDUAL)) == (
        [],
        [],
        ["outcome minus median"],
    )
    assert moved.drifted(drift.FORECAST) == ["median"]


def test_warming_up_and_unknown_outcomes_are_not_drift() -> None:
    """Features that start late, forecasts that start later and outcomes that lie in the future leave the verdict as it was."""
    features, forecasts, forward = world()
    features[:200, :, 2] = np.nan
    forecasts[:600] = np.nan

    found = measured(features, forecasts, forward)

    assert not found.table["drifted"].any()


def test_a_young_market_has_nothing_to_compare() -> None:
    """Less reference than recent bars: an empty table, no share, no skill, and no error."""
    features, forecasts, forward = world()

    found = measured(features[:150], forecasts[:150], forward[:150])
    unforecast = measured(features, np.full_like(forecasts, np.nan), forward)

    assert found.table.is_empty()
    assert (found.share, found.drifted(drift.FEATURE)) == (0.0, [])
    assert set(unforecast.table["kind"]) == {drift.FEATURE}
    assert math.isnan(unforecast.skill_p)
