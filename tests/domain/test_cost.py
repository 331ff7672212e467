"""The one cost model against arithmetic done by hand."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from domain import cost
from domain.cost import Cost

COST = Cost(fee_bps=0.5, spread_bps=2.0, slippage_bps=1.0, impact=0.5, borrow_bps_year=50)


def test_one_way_is_fee_half_spread_slippage_and_square_root_impact():
    """0.5 + 1 + 1 bps, and 0.5 * 2% * sqrt(4%) = 20 bps."""
    assert cost.one_way(COST.rates(), 0.04, 0.02) == pytest.approx(0.00225, rel=1e-12)


def test_the_price_moves_against_the_trader():
    """Up for a buy, down for a sale, by everything but the fee."""
    assert cost.execution_price(COST.rates(), 50.0, 1.0, 0.04, 0.02) == pytest.approx(50.11, rel=1e-12)
    assert cost.execution_price(COST.rates(), 50.0, -1.0, 0.04, 0.02) == pytest.approx(49.89, rel=1e-12)


@given(st.floats(0, 1), st.floats(0, 0.5), st.floats(0, 1))
def test_cost_grows_with_size_and_volatility(share, sigma, more):
    """Never free, never cheaper for more."""
    rates = COST.rates()

    assert cost.one_way(rates, share, sigma) >= 0.00025
    assert cost.one_way(rates, share + more, sigma) >= cost.one_way(rates, share, sigma)
    assert cost.one_way(rates, share, sigma + more) >= cost.one_way(rates, share, sigma)


def test_a_negative_share_costs_the_touch():
    """A volume that makes no sense does not make the cost a NaN."""
    assert cost.one_way(COST.rates(), -1.0, 0.02) == pytest.approx(0.00025)
    assert not math.isnan(cost.execution_price(COST.rates(), 50.0, 1.0, -1.0, 0.02))


def test_a_rebate_is_not_a_cost():
    """Nothing in the model may be negative."""
    with pytest.raises(ValidationError):
        Cost(fee_bps=-1, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)


def test_the_affordable_share_costs_what_may_be_paid():
    """Of 22.5 bps 20 are left for impact: 0.5 * 2% * sqrt(share) = 20 bps at 4%. Below 2.5 none is, and without impact all."""
    assert cost.affordable(COST.rates(), 0.00225, 0.02) == pytest.approx(0.04, rel=1e-12)
    assert cost.affordable(COST.rates(), 0.0002, 0.02) == 0.0
    assert cost.affordable(COST.model_copy(update={"impact": 0.0}).rates(), 0.00225, 0.02) == math.inf
