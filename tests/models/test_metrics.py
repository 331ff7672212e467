"""Metrics against scipy, scikit-learn and figures worked out by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import d2_pinball_score, mean_pinball_loss

from models import metrics


@pytest.fixture
def pair() -> tuple[np.ndarray, np.ndarray]:
    """Return a [50, 9] forecast and outcome with ties, gaps and rows too thin to rank."""
    rng = np.random.default_rng(3)
    forecast = np.round(rng.standard_normal((50, 9)), 1)
    outcome = 0.3 * forecast + rng.standard_normal((50, 9))
    forecast[rng.random((50, 9)) < 0.1] = np.nan
    outcome[rng.random((50, 9)) < 0.1] = np.nan
    outcome[7, 2:] = np.nan
    forecast[9] = 1.0
    return forecast, outcome


def _by_row(statistic, forecast, outcome):
    found = []
    for f, y in zip(forecast, outcome, strict=True):
        known = np.isfinite(f) & np.isfinite(y)
        thin = known.sum() < 3 or np.ptp(f[known]) == 0 or np.ptp(y[known]) == 0
        found.append(math.nan if thin else statistic(f[known], y[known]).statistic)
    return np.array(found)


def test_rank_ic_equals_scipys_spearman_row_by_row(pair):
    """Ties, gaps, constant and thin rows included."""
    expected = _by_row(stats.spearmanr, *pair)

    found = metrics.rank_ic(*pair)

    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert np.isnan(found[[7, 9]]).all()


def test_ic_equals_scipys_pearson_row_by_row(pair):
    """The same rows, without ranks."""
    expected = _by_row(stats.pearsonr, *pair)

    found = metrics.ic(*pair)

    np.testing.assert_allclose(found, expected, rtol=1e-10)


def test_the_mean_of_pooled_ic_is_scipys_spearman_over_all_pairs(pair):
    """Rows differ in how many pairs they have; the mean over rows still is the correlation over pairs."""
    known = np.isfinite(pair[0]) & np.isfinite(pair[1])
    expected = stats.spearmanr(pair[0][known], pair[1][known]).statistic

    found = metrics.pooled_ic(*pair)

    assert np.nanmean(found) == pytest.approx(expected, rel=1e-12)


def test_pooled_ic_works_for_one_symbol():
    """Where no row can be ranked, time can."""
    outcome = np.random.default_rng(1).standard_normal((80, 1))

    assert np.nanmean(metrics.pooled_ic(outcome, outcome)) == pytest.approx(1.0)
    assert np.isnan(metrics.rank_ic(outcome, outcome)).all()


def test_newey_west_by_hand():
    """Series 1, 2, 4, 3 with one lag.

    Centred -1.5, -0.5, 1.5, 0.5: g0 = 5/4 = 1.25, g1 = (0.75 - 0.75 + 0.75) / 4 = 0.1875, so the long-run variance is
    1.25 + 2 * 0.5 * 0.1875 = 1.4375 and t = 2.5 / sqrt(1.4375 / 4).
    """
    series = np.array([1.0, np.nan, 2.0, 4.0, 3.0])

    assert metrics.hac_variance(series, 1) == pytest.approx(1.4375)
    assert metrics.hac_t(series, 1) == pytest.approx(2.5 / math.sqrt(1.4375 / 4))


def test_without_lags_the_hac_t_is_the_textbook_t_but_for_the_divisor():
    """Where scipy divides by n - 1, Newey and West divide by n."""
    series = np.random.default_rng(0).standard_normal(200) + 0.1
    expected = stats.ttest_1samp(series, 0.0).statistic * math.sqrt(200 / 199)

    assert metrics.hac_t(series, 0) == pytest.approx(expected)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=60), st.integers(0, 30))
def test_the_long_run_variance_is_never_negative(values, lags):
    """Bartlett weights make it a positive semi-definite form, whatever the series and the lag."""
    assert metrics.hac_variance(np.array(values), lags) >= 0.0


def test_overlapping_labels_shrink_the_t():
    """A moving sum over five bars repeats itself: five lags must halve the naive t, near 1 / sqrt(5)."""
    noise = np.random.default_rng(5).standard_normal(20_000) + 0.05
    overlapping = np.convolve(noise, np.ones(5), mode="valid")

    ratio = metrics.hac_t(overlapping, 20) / metrics.hac_t(overlapping, 0)

    assert ratio == pytest.approx(1 / math.sqrt(5), rel=0.12)


def test_icir_is_mean_over_standard_deviation():
    """Of 0.1, 0.3, NaN, 0.2: 0.2 / 0.1."""
    assert metrics.icir(np.array([0.1, 0.3, np.nan, 0.2])) == pytest.approx(2.0)


def test_hit_rate_counts_agreeing_signs_and_skips_zeros():
    """Agree, disagree, zero forecast, missing outcome, agree: 2 of 3."""
    forecast = np.array([1.0, -1.0, 0.0, 1.0, -2.0])
    outcome = np.array([0.5, 0.5, 1.0, np.nan, -0.1])

    assert metrics.hit_rate(forecast, outcome) == pytest.approx(2 / 3)


@pytest.mark.parametrize("level", [0.05, 0.25, 0.5, 0.75, 0.95])
def test_pinball_equals_scikit_learns(level):
    """Element by element, averaged."""
    rng = np.random.default_rng(2)
    quantile, outcome = rng.standard_normal(300), rng.standard_normal(300)
    expected = mean_pinball_loss(outcome, quantile, alpha=level)

    found = metrics.pinball(quantile, outcome, level)

    assert found.mean() == pytest.approx(expected, rel=1e-12)


def test_pinball_rows_average_levels_and_symbols():
    """The mean over a [20, 4] panel and two levels equals scikit-learn's two losses averaged; gaps are skipped."""
    rng = np.random.default_rng(2)
    quantiles, outcome = rng.standard_normal((20, 4, 2)), rng.standard_normal((20, 4))
    expected = np.mean([mean_pinball_loss(outcome.ravel(), quantiles[..., k].ravel(), alpha=a) for k, a in enumerate((0.1, 0.9))])

    found = metrics.pinball_rows(quantiles, outcome, (0.1, 0.9))

    assert found.mean() == pytest.approx(expected, rel=1e-12)
    outcome[3] = np.nan
    assert np.isnan(metrics.pinball_rows(quantiles, outcome, (0.1, 0.9))[3])


def test_skill_equals_scikit_learns_d2():
    """Against the constant that scikit-learn compares with, the outcome's own quantile."""
    rng = np.random.default_rng(2)
    outcome = rng.standard_normal(500)
    forecast = 0.5 * outcome
    expected = d2_pinball_score(outcome, forecast, alpha=0.25)

    reference = mean_pinball_loss(outcome, np.full(500, np.percentile(outcome, 25)), alpha=0.25)

    assert metrics.skill(mean_pinball_loss(outcome, forecast, alpha=0.25), reference) == pytest.approx(expected)


def test_coverage_counts_outcomes_at_or_below():
    """Of -1, 0, 1 and a gap against a quantile of 0: two of three."""
    outcome = np.array([-1.0, 0.0, 1.0, np.nan])

    assert metrics.coverage(np.zeros(4), outcome) == pytest.approx(2 / 3)


def test_crps_of_a_dense_normal_forecast_is_the_closed_form():
    """For N(0, 1) and outcome 0 the CRPS is 2 phi(0) - 1 / sqrt(pi) = 0.2337 (Gneiting and Raftery 2007, eq. 21)."""
    levels = tuple((np.arange(2_000) + 0.5) / 2_000)
    quantiles = stats.norm.ppf(levels)[None, None, :]
    expected = 2 * stats.norm.pdf(0) - 1 / math.sqrt(math.pi)

    assert metrics.crps(quantiles, np.zeros((1, 1)), levels) == pytest.approx(expected, rel=1e-3)


def test_sharpe_by_hand():
    """Returns 1%, 3%, 2%: mean 2%, deviation 1%, annualised over 4 periods."""
    assert metrics.sharpe(np.array([0.01, 0.03, np.nan, 0.02]), 4) == pytest.approx(4.0)
    assert metrics.sharpe(np.zeros(5)) == 0.0


def test_the_sharpe_ratios_standard_error_is_what_a_simulation_shows():
    """Of skewed, fat-tailed returns: the spread of 4,000 estimates from 250 returns each, within 6%."""
    rng = np.random.default_rng(11)
    samples = 0.1 - (rng.gamma(4.0, size=(4_000, 250)) - 4.0) / 2.0
    spread = np.std([metrics.sharpe(row) for row in samples])

    estimated = np.mean([metrics.sharpe_se(row) for row in samples])

    assert estimated == pytest.approx(spread, rel=0.06)


def test_the_standard_error_of_normal_returns_is_los():
    """Lo 2002: sqrt((1 + SR^2 / 2) / n) for skewness 0 and kurtosis 3; annualised by sqrt(252)."""
    levels = (np.arange(20_000) + 0.5) / 20_000
    returns = stats.norm.ppf(levels) + 0.1
    expected = math.sqrt((1 + 0.5 * 0.01) / 20_000 * 252)

    assert metrics.sharpe_se(returns, 252) == pytest.approx(expected, rel=1e-3)


def test_probabilistic_sharpe_by_hand():
    """Phi(SR / se): a Sharpe ratio of one standard error has probability 0.8413."""
    returns = np.random.default_rng(4).standard_normal(500)
    shifted = returns - returns.mean() + metrics.sharpe_se(returns - returns.mean()) * returns.std(ddof=1)

    assert metrics.probabilistic_sharpe(shifted) == pytest.approx(0.8413, abs=0.002)
    assert math.isnan(metrics.probabilistic_sharpe(np.zeros(10)))


def test_the_best_of_many_worthless_strategies_is_as_lucky_as_simulated():
    """Largest of 100 standard normals, averaged over 20,000 draws, within 1%."""
    simulated = np.random.default_rng(0).standard_normal((20_000, 100)).max(axis=1).mean()

    assert metrics.expected_best_sharpe(100, 1.0) == pytest.approx(simulated, rel=0.01)


def test_more_trials_deflate_more():
    """One trial deflates nothing; a hundred do."""
    returns = np.random.default_rng(4).standard_normal(500) + 0.1

    one, ten, hundred = (metrics.deflated_sharpe(returns, trials) for trials in (1, 10, 100))

    assert one == metrics.probabilistic_sharpe(returns)
    assert one > ten > hundred


def test_drawdown_by_hand():
    """From 120 to 90 is 25%; a later, smaller fall does not count."""
    assert metrics.drawdown(np.array([100.0, 120.0, np.nan, 90.0, 130.0, 117.0])) == pytest.approx(0.25)
    assert metrics.drawdown(np.array([1.0, 2.0, 3.0])) == 0.0


def test_turnover_by_hand():
    """Half into A, then all over to B: (0.5 + 1.0) / 2 a row; a NaN weight is no position."""
    weights = np.array([[0.0, np.nan], [0.5, 0.0], [0.0, 0.5]])

    assert metrics.turnover(weights) == pytest.approx(0.75)


def test_the_paired_test_without_lags_is_the_paired_t_test():
    """One-sided, scipy's ttest_rel on the same losses: with one step ahead the small-sample factor is sqrt((n - 1) / n)."""
    rng = np.random.default_rng(8)
    old = rng.standard_normal(60)
    new = old - 0.1 + 0.3 * rng.standard_normal(60)
    expected = stats.ttest_rel(old, new, alternative="greater").pvalue

    assert metrics.paired_p(old, new, 0) == pytest.approx(expected, rel=1e-9)


def test_the_paired_test_is_honest_on_overlapping_noise():
    """Of 400 pairs of equally good models with losses overlapping over 5 bars, 2 to 9% look better at 5%."""
    rng = np.random.default_rng(9)
    kernel = np.ones(5)

    found = [metrics.paired_p(np.convolve(rng.standard_normal(300), kernel, "valid"), np.zeros(296), 5) for _ in range(400)]

    assert 0.02 <= np.mean(np.array(found) < 0.05) <= 0.09


def test_equal_losses_prove_nothing():
    """No difference gives p = 1, a constant gain gives p = 0, too few points give NaN."""
    losses = np.linspace(0.0, 1.0, 20)

    assert metrics.paired_p(losses, losses, 5) == 1.0
    assert metrics.paired_p(np.ones(20), np.zeros(20), 5) == 0.0
    assert math.isnan(metrics.paired_p(losses[:2], losses[:2], 0))


def test_every_row_of_the_table_gives_one_number(pair):
    """Names are unique and each aggregation takes its own statistic."""
    found = {row.name: row.aggregation(row.statistic(*pair), 3) for row in metrics.METRICS}

    assert len(found) == len(metrics.METRICS)
    assert all(math.isfinite(value) for value in found.values())
    assert found["rank_ic"] == pytest.approx(np.nanmean(_by_row(stats.spearmanr, *pair)))


def test_overlapping_labels_do_not_pass_for_evidence() -> None:
    """Means of five shocks of pure noise, one a bar: beyond 3 must stay rare, below 1 in 100; lags of one horizon give 1.1."""
    shocks = np.random.default_rng(11).normal(size=(2000, 1205))
    series = np.lib.stride_tricks.sliding_window_view(shocks, 5, axis=1).mean(axis=2)

    found = [abs(metrics.overlap_t(each, 5)) for each in series]

    assert np.mean(np.array(found) > 3.0) < 0.01


def test_certainty_by_hand():
    """Series 1, 2, 4, 3 and horizon 0: variance 1.25, t = 2.5 / sqrt(1.25 / 4) = 4.472, so 1 - 1 / 20; below t = 1 nothing."""
    assert metrics.certainty(np.array([1.0, 2.0, 4.0, 3.0]), 0) == pytest.approx(0.95)
    assert metrics.certainty(np.array([1.0, -1.0, 1.0, -1.1]), 0) == 0.0
    assert metrics.certainty(np.zeros(1), 5) == 0.0


def test_row_medians_are_numpys_without_missing_values():
    """Odd and even counts, infinities, a single value and none at all."""
    rng = np.random.default_rng(3)
    values = rng.standard_normal((60, 9))
    values[rng.random(values.shape) < 0.4] = np.nan
    values[:3, 0] = 0.5
    values[0], values[1, 1:], values[2, :2] = np.nan, np.nan, np.inf

    found = metrics.row_median(values)

    assert np.isnan(found[0])
    np.testing.assert_array_equal(found[1:], np.nanmedian(values[1:], axis=1))
