"""Decisions: what is wanted, why, and at which risk."""

import math

import numpy as np
import pytest

from domain.decision import Reason
from pipelines.execution import decisions
from tests.pipelines.execution import recorded

SIGMA, HORIZON = 0.02, 5


def decide(views, *, held=None, close=100.0, volume=1e9, scale=SIGMA, equity=1e6, market="us_equity", state=None, **sections):
    """Decide one bar on views in volatilities of the horizon; return what was wanted."""
    chosen, params = recorded.terms(market, **sections)
    count = len(views)
    close, volume, scale = (np.broadcast_to(np.asarray(v, dtype=float), count).copy() for v in (close, volume, scale))
    forecast = (np.asarray(views, dtype=float)[:, None] + recorded.NORMAL) * (SIGMA * math.sqrt(HORIZON))
    held = np.zeros(count) if held is None else np.asarray(held, dtype=float)
    out = decisions.Targets.blank(count)
    state = decisions.State.blank(count) if state is None else state
    decisions.step(decisions.settings(chosen, params), forecast, close, volume, scale, held, equity, state, out)
    return out


def reasons(out):
    return [Reason(code) for code in out.reason]


def test_the_first_step_toward_a_full_position_is_rate_of_it():
    """One crypto long, sigma 2% an hour: the whole 10% volatility target would be 0.1 / sqrt(8760) / 0.02 = 5.3% of equity."""
    out = decide([1.0], market="crypto", decisions={"rate": 0.5})

    full = 0.10 / math.sqrt(8760) / SIGMA
    assert out.full[0] == pytest.approx(full, rel=1e-12)
    assert out.quantity[0] == pytest.approx(math.floor(0.5 * full * 1e6 / 100 * 1e4) / 1e4, rel=1e-12)
    assert reasons(out) == [Reason.FORECAST]


def test_conviction_grows_with_the_expected_return_and_is_full_at_the_edge():
    """Half the full edge is half a position; twice of it is one position."""
    half, full, twice = (decide([view], market="crypto").aim[0] for view in (0.125, 0.25, 0.5))

    assert half == pytest.approx(0.5)
    assert full == pytest.approx(1.0)
    assert twice == 1.0


def test_what_is_not_worth_its_cost_is_not_traded():
    """A view of 0.1% of the horizon's volatility earns half a basis point, less than the two it costs to trade."""
    out = decide([0.001], market="crypto")

    assert reasons(out) == [Reason.HOLD]
    assert out.quantity.tolist() == [0.0]


def test_a_small_change_is_held_and_a_wide_band_holds_more():
    """Within the band the position stays as it is."""
    aim = decide([0.25], market="crypto", decisions={"rate": 1.0}).quantity[0]

    near = decide([0.25], held=[0.98 * aim], market="crypto")
    far = decide([0.25], held=[0.2 * aim], market="crypto")
    patient = decide([0.25], held=[0.2 * aim], market="crypto", decisions={"band": 50.0})

    assert (reasons(near), reasons(far), reasons(patient)) == ([Reason.HOLD], [Reason.FORECAST], [Reason.HOLD])
    assert near.quantity[0] == 0.98 * aim


def test_what_is_large_for_its_market_is_moved_in_part():
    """A full view gains 0.25 * 2% * sqrt(5) = 1.118%, a round trip may cost as much, one way 0.559%.

    Fee and touch are 0.1%, which leaves 0.459% for impact: 0.5 * 2% * sqrt(share) = 0.459% at a share of 21.07% of the volume.
    """
    share = ((0.25 * SIGMA * math.sqrt(HORIZON) / 2 - 0.001) / (0.5 * SIGMA)) ** 2

    thin = decide([1.0], volume=100.0, market="crypto")
    liquid = decide([1.0], volume=1e6, market="crypto")
    twice = decide([1.0], volume=100.0, market="crypto", decisions={"band": 2.0})
    free = decide([1.0], volume=100.0, market="crypto", decisions={"band": 0.0})

    assert share == pytest.approx(0.2107, abs=1e-4)
    assert thin.quantity[0] == pytest.approx(100 * share, abs=1e-4)
    assert reasons(thin) == [Reason.FORECAST]
    assert twice.quantity[0] == pytest.approx(
        100 * ((0.25 * SIGMA * math.sqrt(HORIZON) / 4 - 0.001) / (0.5 * SIGMA)) ** 2, abs=1e-4
    )
    assert free.quantity[0] == liquid.quantity[0] > 200


@pytest.mark.parametrize("gap", ["forecast", "close", "scale"])
def test_missing_input_changes_nothing(gap):
    """No forecast, no price or no volatility: what is held stays, and nothing is added."""
    missing = {"forecast": {}, "close": {"close": [math.nan, 100.0]}, "scale": {"scale": [math.nan, SIGMA]}}[gap]

    out = decide([math.nan if gap == "forecast" else 1.0, 1.0], held=[70, 0], market="crypto", **missing)

    assert out.quantity[0] == 70
    assert reasons(out) == [Reason.NO_FORECAST, Reason.FORECAST]
    assert math.isnan(out.aim[0])


def test_where_shorting_is_not_possible_a_falling_view_closes():
    """A negative view sells what is held, down to nothing and not below."""
    out = decide([-1.0, -1.0], held=[100, 0], market="crypto", decisions={"rate": 1.0})

    assert out.quantity.tolist() == [0.0, 0.0]
    assert reasons(out) == [Reason.NO_EDGE, Reason.HOLD]


def test_the_last_crumbs_of_a_position_without_a_view_are_sold():
    """Halving for ever would leave dust: where the band lets it trade, what is worth less than the smallest order goes."""
    out = decide([0.0], held=[1.5], market="crypto", decisions={"band": 0.0}, orders={"notional_min": 100.0})

    assert out.quantity.tolist() == [0.0]


def test_the_book_keeps_to_the_volatility_target():
    """Whatever the views, the book's own volatility at the aim is at most the target, and a full neutral book reaches it."""
    rng = np.random.default_rng(5)
    free = {"risk": {"gross_max": 99.0, "net_max": 99.0, "symbol_weight_max": 9.0}}
    for market in ("us_equity", "crypto"):
        chosen, params = recorded.terms(market, **free)
        target = params.decisions.volatility_target / math.sqrt(chosen.bars_a_year)
        for views in (rng.normal(0, 1, 40), np.full(40, 3.0), np.repeat([3.0, -3.0], 20), rng.normal(0.3, 0.2, 40)):
            out = decide(views, market=market, **free)
            risk = out.aim * out.full * SIGMA
            rho = decisions.CORRELATION_PRIOR
            volatility = math.sqrt((1 - rho) * np.sum(risk**2) + rho * np.sum(risk) ** 2)

            assert volatility <= target * (1 + 1e-9)
    neutral = decide(np.repeat([3.0, -3.0], 20), **free)
    assert np.sqrt(np.sum((neutral.aim * neutral.full * SIGMA) ** 2)) == pytest.approx(0.10 / math.sqrt(252), rel=0.2)


def test_the_aim_keeps_within_the_gate():
    """Targets that the gate would cut are not asked for in the first place."""
    out = decide([3.0] * 4 + [-3.0] * 4, scale=0.001, decisions={"rate": 1.0, "volatility_target": 2.0})

    weights = out.quantity * 100.0 / 1e6
    assert abs(weights).max() <= 0.15 + 1e-12
    assert abs(weights).sum() <= 1.5 + 1e-12
    assert abs(weights.sum()) <= 0.75 + 1e-12


@pytest.mark.parametrize("rho", [0.0, 0.2, 0.6])
def test_the_correlation_is_measured(rho):
    """On a thousand bars of equally correlated symbols the estimate ends near the truth, gaps included."""
    rng = np.random.default_rng(11)
    bars, symbols = 1500, 40
    returns = SIGMA * (math.sqrt(rho) * rng.normal(size=(bars, 1)) + math.sqrt(1 - rho) * rng.normal(size=(bars, symbols)))
    close = 100 * np.cumprod(1 + returns, axis=0)
    close[rng.random(close.shape) < 0.05] = math.nan
    state, scale = decisions.State.blank(symbols), np.full(symbols, SIGMA)

    found = [decisions.observe(state, close[t], scale) for t in range(bars)]

    assert np.mean(found[500:]) == pytest.approx(rho, abs=0.08)


def blocks(bars, within, symbols=20, seed=13):
    """Return closes [T, S] of two sectors of equal size, `within` correlated inside and not at all between, equally volatile."""
    rng = np.random.default_rng(seed)
    shared = np.repeat(rng.normal(size=(bars, 2)), symbols // 2, axis=1)
    own = rng.normal(size=(bars, symbols))
    return 100 * np.cumprod(1 + SIGMA * (math.sqrt(within) * shared + math.sqrt(1 - within) * own), axis=0)


def live(close, views):
    """Decide every bar on the same views and return the memory and the last bar's targets."""
    chosen, params = recorded.terms(risk={"gross_max": 99.0, "net_max": 99.0, "symbol_weight_max": 9.0})
    count = close.shape[1]
    forecast = (np.asarray(views, dtype=float)[:, None] + recorded.NORMAL) * (SIGMA * math.sqrt(HORIZON))
    state, out = decisions.State.blank(count), decisions.Targets.blank(count)
    for row in close:
        volume, scale, held = np.full(count, 1e9), np.full(count, SIGMA), np.zeros(count)
        decisions.step(decisions.settings(chosen, params), forecast, row, volume, scale, held, 1e6, state, out)
    return state, out


def test_a_book_that_one_correlation_misjudges_is_made_smaller():
    """Long one sector of ten, short the other, 0.2 correlated inside and not at all between.

    A pair is 0.2 * 90 / 190 = 0.0947 correlated on average, so the balanced book is claimed to have (1 - 0.0947) * 20 = 18.1 times
    a position's variance; it has 2 * (10 + 90 * 0.2) = 56. The true book must come out at the target all the same.
    """
    claimed, true = (1 - 0.2 * 90 / 190) * 20, 2 * (10 + 90 * 0.2)
    found = []
    for seed in range(12):
        state, out = live(blocks(500, 0.2, seed=seed), np.repeat([3.0, -3.0], 10))
        found.append((state.bias[0], (out.aim * out.full * SIGMA)[0] * math.sqrt(true)))
    bias, volatility = np.mean(found, axis=0)

    assert bias == pytest.approx(true / claimed, rel=0.15)
    assert volatility == pytest.approx(0.10 / math.sqrt(252), rel=0.1)


def test_a_book_calmer_than_claimed_is_made_no_larger():
    """The same sectors, but half of each bought and half sold: what they share cancels, and the size stays that of the formula."""
    state, out = live(blocks(500, 0.6), np.tile([3.0, -3.0], 10))
    rho = decisions.correlation(state)

    assert state.bias[0] < 0.8
    assert out.full == pytest.approx(np.full(20, 0.10 / math.sqrt(252) / (math.sqrt((1 - rho) * 20) * SIGMA)))


def test_one_wild_bar_says_little_of_a_books_risk():
    """A false print that moves the book by twenty claimed deviations counts as five: the average of 60 bars rises by 24 / 60."""
    close = np.full((2, 2), 100.0)
    state = decisions.State.blank(2)
    decisions.observe(state, close[0], np.full(2, SIGMA))
    state.weight[:], state.risk[:] = (0.1, -0.1), (0.1 * SIGMA, -0.1 * SIGMA)
    deviation = math.sqrt((1 - decisions.CORRELATION_PRIOR) * 2) * 0.1 * SIGMA

    decisions.observe(state, np.array([100.0 * (1 + 20 * deviation / 0.1), 100.0]), np.full(2, SIGMA))

    assert state.bias[0] == pytest.approx(1 + 24 / 60)
