"""Sizing against skfolio's optimisers: where one average correlation is the whole truth, the closed form is the optimum.

skfolio minimises and maximises with a conic solver and shares no line with ours. It takes returns: each case draws a sample that
has exactly the mean and the covariance of the case.
"""

import math

import numpy as np
import pytest
from skfolio.optimization import InverseVolatility, MeanRisk, ObjectiveFunction, RiskBudgeting

from pipelines.execution import decisions
from tests.pipelines.execution import recorded

HORIZON, EDGE, TARGET = 5, 0.25, 0.10 / math.sqrt(252)
SIGMA = 0.01 * np.array([0.8, 1.0, 1.1, 1.3, 1.5, 1.9, 2.2, 2.4, 2.8, 3.5])
#: Of the solver, which is asked for more than its default; ours is a formula.
SOLVER = {"tol_gap_abs": 1e-12, "tol_gap_rel": 1e-12}
TOLERANCE = {"rel": 1e-4, "abs": 1e-5}
FREE = {"gross_max": 99.0, "net_max": 99.0, "symbol_weight_max": 99.0}


def weights(views, rho, sigma=SIGMA, market="us_equity", **limits):
    """Return the weights that we aim at on views in full convictions, when symbols are `rho` correlated and trading is free."""
    chosen, params = recorded.terms(market, decisions={"edge_sigma_full": EDGE, "band": 0.0}, risk=FREE | limits)
    settings = decisions.settings(chosen, params)._replace(volatility_bar=TARGET)
    forecast = (EDGE * np.asarray(views)[:, None] + recorded.NORMAL) * (sigma * math.sqrt(HORIZON))[:, None]
    out = decisions.Targets.blank(len(sigma))
    active = decisions.convictions(settings, forecast, np.full(len(sigma), 100.0), sigma, out)
    decisions.size(settings, sigma, active, rho, 1.0, out)
    return out.aim * out.full


def correlated(rho, sigma=SIGMA):
    """Return the covariance of one bar."""
    return np.outer(sigma, sigma) * (rho + (1 - rho) * np.eye(len(sigma)))


def sample(mean, covariance):
    """Return returns [2N, N] whose mean and unbiased covariance are exactly these."""
    count = len(mean)
    raw = np.random.default_rng(3).normal(size=(2 * count, count))
    white, _ = np.linalg.qr(raw - raw.mean(axis=0))
    return mean + math.sqrt(2 * count - 1) * white @ np.linalg.cholesky(covariance).T


def expected(views, sigma=SIGMA):
    """Return the log return over the horizon that a view in full convictions means."""
    return EDGE * math.sqrt(HORIZON) * np.asarray(views) * sigma


def best(mean, covariance, **terms):
    """Return skfolio's optimal weights, of any budget."""
    estimator = MeanRisk(budget=None, solver_params=SOLVER, **{"min_weights": -99.0, "max_weights": 99.0} | terms)
    return estimator.fit(sample(mean, covariance)).weights_


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_a_neutral_book_is_the_optimum_of_mean_and_variance(rho):
    """Utility m'w - g w'Vw over the horizon h, with m = E sqrt(h) D a, V = h D C D, C = (1 - rho) I + rho 11', D the sigmas.

    It is largest at w = V^-1 m / 2g = E / (2 g sqrt(h)) D^-1 C^-1 a, and C^-1 a = a / (1 - rho) where 1'a = 0. That is our
    w = target / sqrt((1 - rho) N) D^-1 a for the aversion g = E sqrt(N) / (2 sqrt(h) sqrt(1 - rho) target).
    """
    views = np.array([0.9, -0.7, 0.4, -0.2, 0.1, -0.6, 0.8, -0.3, 0.2, -0.6])
    aversion = EDGE * math.sqrt(len(views)) / (2 * math.sqrt(HORIZON) * math.sqrt(1 - rho) * TARGET)

    optimum = best(
        expected(views),
        HORIZON * correlated(rho),
        objective_function=ObjectiveFunction.MAXIMIZE_UTILITY,
        risk_aversion=aversion,
    )

    assert weights(views, rho) == pytest.approx(optimum, **TOLERANCE)


def test_without_correlation_each_symbol_is_an_optimum_of_its_own_within_its_limits():
    """With C = I the utility is a sum over symbols: m_i / 2 g V_ii, or the nearest limit: 0 where none can be short, the cap above.

    Full convictions want target / sqrt(10) / sigma in the three calmest symbols, 0.249, 0.199 and 0.181: all are capped at 0.15.
    """
    views = np.array([1.0, 1.0, 1.0, -0.5, 0.0, 0.3, 1.0, -1.0, 0.7, 0.2])
    aversion = EDGE * math.sqrt(len(views)) / (2 * math.sqrt(HORIZON) * TARGET)

    optimum = best(
        expected(views),
        HORIZON * correlated(0.0),
        objective_function=ObjectiveFunction.MAXIMIZE_UTILITY,
        risk_aversion=aversion,
        min_weights=0.0,
        max_weights=0.15,
    )
    ours = weights(views, 0.0, market="crypto", symbol_weight_max=0.15)

    assert ours == pytest.approx(optimum, **TOLERANCE)
    assert ours[:3] == pytest.approx(np.full(3, 0.15))


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
def test_equal_views_earn_the_most_at_the_volatility_target(rho):
    """Largest m'w with w'Vw = target^2: w ~ D^-1 C^-1 1, and C^-1 1 = 1 / (1 + (N - 1) rho): equal risks, as we hold them.

    Only long, so that the average view, which is all there is, is not taken out.
    """
    views = np.ones(len(SIGMA))

    optimum = best(
        expected(views) / HORIZON,
        correlated(rho),
        objective_function=ObjectiveFunction.MAXIMIZE_RETURN,
        max_standard_deviation=TARGET,
        min_weights=0.0,
    )
    ours = weights(views, rho, market="crypto")

    assert ours == pytest.approx(optimum, **TOLERANCE)
    assert math.sqrt(ours @ correlated(rho) @ ours) == pytest.approx(TARGET)


@pytest.mark.parametrize("rho", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("optimiser", [InverseVolatility, RiskBudgeting])
def test_full_positions_share_the_risk_equally(optimiser, rho):
    """Under one correlation equal risk contributions are inverse volatilities (Maillard, Roncalli, Teiletche 2010, JPM 36(4))."""
    ours = weights(np.ones(len(SIGMA)), rho, market="crypto")

    parity = optimiser().fit(sample(np.zeros(len(SIGMA)), correlated(rho))).weights_

    assert ours / ours.sum() == pytest.approx(parity, **TOLERANCE)


def test_a_one_sided_book_of_unequal_views_is_not_the_optimum():
    """Where the closed form ends: two symbols, views 1 and 1/2, half correlated, none short.

    C^-1 a = (1 - 1/4, 1/2 - 1/2) / (1 - 1/4) = (1, 0): the second earns no more than the first's share in it, and the optimum
    leaves it out. We hold half of a full position in it.
    """
    sigma, views = SIGMA[:2], np.array([1.0, 0.5])

    optimum = best(
        expected(views, sigma) / HORIZON,
        correlated(0.5, sigma),
        objective_function=ObjectiveFunction.MAXIMIZE_RETURN,
        max_standard_deviation=TARGET,
        min_weights=0.0,
    )
    ours = weights(views, 0.5, sigma, market="crypto")

    assert optimum * sigma == pytest.approx([TARGET, 0.0], abs=1e-5)
    assert ours[1] * sigma[1] == pytest.approx(0.5 * ours[0] * sigma[0])
