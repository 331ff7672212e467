"""Tests of labels: by hand, net of cost, and knowing nothing past their horizon."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from domain import cost as costs
from domain.cost import Cost
from domain.panel import FloatArray, Panel
from features import labels
from tests.features import panels

COST = Cost(fee_bps=1.0, spread_bps=4.0, slippage_bps=1.0, impact=0.5, borrow_bps_year=0.0)


def by_hand(opening: list[float], close: list[float]) -> Panel:
    """Return a panel of one symbol."""
    columns = {name: np.array(close)[:, None] for name in ("high", "low", "close", "volume")}
    return panels.from_prices({**columns, "open": np.array(opening)[:, None]})


def test_the_forward_label_runs_from_the_next_open_to_the_open_a_horizon_later() -> None:
    """A forecast made at the close of row t trades at the open of row t + 1."""
    panel = by_hand([10.0, 11.0, 12.0, 14.0, math.nan, 15.0], [1.0] * 6)

    label = labels.forward(panel, 2)[:, 0]

    np.testing.assert_allclose(label, [math.log(14 / 11), math.nan, math.log(15 / 14), math.nan, math.nan, math.nan])


def test_a_label_longer_than_the_panel_is_unknown() -> None:
    """A panel shorter than the horizon has no labels at all."""
    assert np.isnan(labels.forward(panels.random(4, 2), 9)).all()


def test_the_scaled_label_counts_volatilities_of_the_horizon() -> None:
    """A move of two one-bar volatilities over four bars is one volatility of the horizon."""
    label = labels.scaled(np.array([[0.04, 0.04, 0.04]]), np.array([[0.02, 0.0, math.nan]]), 4)

    np.testing.assert_allclose(label, [[1.0, math.nan, math.nan]])


def test_the_net_label_pays_a_round_trip_and_never_changes_its_sign() -> None:
    """What the better side kept after entering and leaving at the one cost model's price."""
    forward, scale = np.array([[0.03, -0.03, 0.0001, math.nan]]), np.full((1, 4), 0.02)
    paid = 2.0 * ((1.0 + 2.0 + 1.0) * 1e-4 + 0.5 * 0.02 * math.sqrt(labels.SHARE))

    label = labels.net(forward, COST, scale)

    np.testing.assert_allclose(label, [[0.03 - paid, paid - 0.03, 0.0, math.nan]])
    assert paid == pytest.approx(2.0 * costs.one_way(COST.rates(), labels.SHARE, 0.02))


def test_the_barrier_label_stops_at_the_first_close_beyond_the_barrier() -> None:
    """Up, down, and neither: then the horizon's open decides."""
    scale = np.full((6, 1), 0.05)
    up = by_hand([0.0, 100.0, 103.0, 120.0, 130.0, 100.0], [0.0, 104.0, 112.0, 120.0, 130.0, 1.0])
    down = by_hand([0.0, 100.0, 99.0, 97.0, 96.0, 100.0], [0.0, 80.0, 200.0, 97.0, 96.0, 1.0])
    neither = by_hand([0.0, 100.0, 99.0, 97.0, 96.0, 100.0], [0.0, 101.0, 99.0, 97.0, 96.0, 1.0])

    first = [labels.barrier(panel, 3, scale, 1.0)[0, 0] for panel in (up, down, neither)]

    np.testing.assert_allclose(first, [math.log(1.12), math.log(0.8), math.log(0.96)])


def test_the_barrier_label_skips_missing_closes_and_needs_an_entry() -> None:
    """A close that does not exist touches nothing; without an open to enter at, or a scale, there is no label."""
    panel = by_hand([0.0, 100.0, math.nan, 100.0, 101.0, 99.0], [0.0, math.nan, 101.0, 150.0, 101.0, 99.0])

    label = labels.barrier(panel, 2, np.array([[0.1], [0.1], [math.nan], [0.1], [0.1], [0.1]]), 1.0)[:, 0]

    np.testing.assert_allclose(label, [0.0, math.nan, math.nan, math.nan, math.nan, math.nan])


def forward(panel: Panel) -> FloatArray:
    """Return the forward label."""
    return labels.forward(panel, 3)


def barrier(panel: Panel) -> FloatArray:
    """Return the barrier label with a narrow barrier, so that many are touched."""
    return labels.barrier(panel, 3, np.full(panel.close.shape, 0.02), 0.7)


@pytest.mark.parametrize("make", [forward, barrier])
def test_a_label_knows_nothing_past_its_horizon(make: Callable[[Panel], FloatArray]) -> None:
    """At every boundary: with the rows it is known after a label is final, with one row less it is unknown."""
    panel = panels.random(60, 5, 31, 0.1)
    ahead = labels.known_after(3)
    final = make(panel)

    for bars in range(1, 61):
        label = make(panel.rows(0, bars))
        np.testing.assert_array_equal(label[: max(0, bars - ahead)], final[: max(0, bars - ahead)])
        assert np.isnan(label[max(0, bars - ahead) :]).all()


@pytest.mark.parametrize("make", [forward, barrier])
def test_changing_the_future_changes_no_label_before_it(make: Callable[[Panel], FloatArray]) -> None:
    """Prices after row t + known_after can be anything."""
    panel, other = panels.random(60, 5, 32), panels.random(60, 5, 33)
    changed = {
        name: np.vstack([getattr(panel, name)[:40], getattr(other, name)[40:]])
        for name in ("open", "high", "low", "close", "volume")
    }

    label = make(panels.from_prices(changed))

    np.testing.assert_array_equal(label[: 40 - labels.known_after(3)], make(panel)[: 40 - labels.known_after(3)])


def test_net_and_scaled_labels_look_at_their_own_row_alone() -> None:
    """They are functions of the forward label and of what was known at the bar."""
    forward, scale = np.random.default_rng(34).normal(0.0, 0.02, (2, 30, 4))
    scale = np.abs(scale)

    np.testing.assert_array_equal(labels.net(forward, COST, scale)[:20], labels.net(forward[:20], COST, scale[:20]))
    np.testing.assert_array_equal(labels.scaled(forward, scale, 5)[:20], labels.scaled(forward[:20], scale[:20], 5))
