"""Bootstrap: intervals hold the truth about as often as promised, and tests reject about as often as they should."""

import math
from functools import partial

import numpy as np
import pytest
from scipy import signal, stats

from domain.error import DataError
from models import bootstrap, metrics

MEAN = 0.05


def _autoregressive(seed: int, rows: int, memory: float) -> np.ndarray:
    """Return returns of mean MEAN, each keeping `memory` of the last one's distance from it, begun in equilibrium."""
    shocks = np.random.default_rng(seed).standard_normal(rows + 200)
    return MEAN + np.asarray(signal.lfilter([1.0], [1.0, -memory], shocks))[200:]


def _coverage(memory: float, statistic, truth: float, histories: int = 200) -> float:
    """Return the share of intervals of 90% that hold the truth."""
    held = 0
    for seed in range(histories):
        found = bootstrap.interval(_autoregressive(seed, 400, memory), statistic, 0.9, seed, draws=200)
        held += found.low <= truth <= found.high
    return held / histories


@pytest.mark.parametrize("memory", [0.0, 0.4])
def test_intervals_of_the_mean_hold_it_about_as_often_as_promised(memory):
    """200 histories of 400 returns: 90% is known to within 2%; blocks shorten what depends on the past, hence the lower bound."""
    assert 0.82 <= _coverage(memory, metrics.mean, MEAN) <= 0.96


def test_intervals_of_the_sharpe_ratio_hold_it_about_as_often_as_promised():
    """The deviation of an autoregressive return is 1 / sqrt(1 - memory^2)."""
    assert 0.82 <= _coverage(0.4, metrics.sharpe, MEAN * math.sqrt(1.0 - 0.4**2)) <= 0.96


def test_rows_resampled_one_by_one_would_promise_too_much():
    """The textbook interval takes returns as independent: with a memory of 0.4 it is 1.5 times too narrow and holds far less."""
    held = 0
    for seed in range(200):
        returns = _autoregressive(seed, 400, 0.4)
        low, high = stats.t.interval(0.9, 399, returns.mean(), stats.sem(returns))
        held += low <= MEAN <= high

    assert held / 200 < _coverage(0.4, metrics.mean, MEAN) - 0.1


def test_an_interval_of_independent_returns_is_about_the_textbooks():
    """Of 2000 normal returns: within a tenth of the Student t interval's width, and around the same mean."""
    returns = np.random.default_rng(9).standard_normal(2_000)
    low, high = stats.t.interval(0.95, 1_999, returns.mean(), stats.sem(returns))

    found = bootstrap.interval(returns, metrics.mean, 0.95, 1, draws=4_000)

    assert found.found == pytest.approx(returns.mean())
    assert found.high - found.low == pytest.approx(high - low, rel=0.1)
    assert (found.low, found.high) == pytest.approx((low, high), abs=0.006)


def test_a_wider_promise_is_a_wider_interval_around_the_narrower():
    """Percentiles of the same draws."""
    returns = _autoregressive(3, 300, 0.3)
    narrow, wide = (bootstrap.interval(returns, metrics.sharpe, level, 5) for level in (0.8, 0.99))

    assert wide.low < narrow.low < narrow.found < narrow.high < wide.high


def test_an_interval_of_the_drawdown_holds_the_drawdown_of_like_histories():
    """Of 200 fresh histories from the same independent returns, about the promised share draws down within the interval."""
    draw = partial(np.random.default_rng(11).normal, 0.0005, 0.01)
    found = bootstrap.interval(draw(size=5_000)[:1_000], bootstrap.compounded_drawdown, 0.9, 7)

    fresh = np.array([bootstrap.compounded_drawdown(draw(size=1_000)) for _ in range(200)])

    assert 0.75 <= np.mean((fresh >= found.low) & (fresh <= found.high)) <= 1.0


def test_a_drawdown_by_hand():
    """Up 10%, down 20%, down 50%, up: from 1.1 to 0.44, which is 60%; a fall from the start counts; an unknown row is none."""
    assert bootstrap.compounded_drawdown(np.array([0.1, -0.2, np.nan, -0.5, 0.3])) == pytest.approx(0.6)
    assert bootstrap.compounded_drawdown(np.array([-0.25, 0.1])) == pytest.approx(0.25)


def test_blocks_grow_with_memory():
    """Independent rows need blocks of about one row, rows of memory 0.9 far longer ones; the slowest column decides."""
    fresh, slow = _autoregressive(1, 2_000, 0.0), _autoregressive(1, 2_000, 0.9)

    assert 1.0 <= bootstrap.block_rows(fresh) < 6.0
    assert bootstrap.block_rows(slow) > 15.0
    assert bootstrap.block_rows(np.column_stack([fresh, slow])) == bootstrap.block_rows(slow)
    assert bootstrap.block_rows(np.full(50, 0.1)) == 1.0


def test_the_same_seed_gives_the_same_bits_and_unknown_rows_change_nothing():
    """Intervals and p values."""
    returns, losses = _autoregressive(2, 200, 0.2), np.random.default_rng(2).standard_normal((200, 5))
    holed = np.insert(returns, 50, np.nan)
    gaps = np.insert(losses, [20, 90], 7.0, axis=0)
    gaps[20, 0], gaps[91, 4] = np.nan, np.nan

    assert bootstrap.interval(returns, metrics.sharpe, 0.9, 4) == bootstrap.interval(holed, metrics.sharpe, 0.9, 4)
    assert bootstrap.interval(returns, metrics.sharpe, 0.9, 4) != bootstrap.interval(returns, metrics.sharpe, 0.9, 5)
    first, second = bootstrap.superior(losses[:, :3], losses[:, 3:], 4), bootstrap.superior(gaps[:, :3], gaps[:, 3:], 4)
    assert first.spa.tolist() == second.spa.tolist()
    assert first.reality_check.tolist() == second.reality_check.tolist()


def _losses(seed: int, models: int) -> tuple[np.ndarray, np.ndarray]:
    """Return losses [250, models] and [250] of a baseline as good as they, all sharing half of each row's luck."""
    rng = np.random.default_rng(seed)
    shared = rng.standard_normal((250, 1))
    made = shared + rng.standard_normal((250, models + 1))
    return made[:, 1:], made[:, 0]


def test_a_better_model_is_found_by_both_tests():
    """One of five loses 0.4 less a row, which is about 4.5 standard errors of its difference."""
    found = []
    for seed in range(20):
        models, baseline = _losses(seed, 5)
        models[:, 2] -= 0.4
        found.append(bootstrap.superior(models, baseline, seed, draws=300))

    assert np.mean([each.spa_p < 0.05 for each in found]) >= 0.95
    assert np.mean([each.reality_check_p < 0.05 for each in found]) >= 0.95


def test_models_as_good_as_the_baseline_are_rejected_about_as_often_as_the_level_says():
    """200 times the best of five equals: a level of 10% is known to within 2.1%."""
    found = [bootstrap.superior(*_losses(seed, 5), seed, draws=200) for seed in range(200)]

    assert 0.05 <= np.mean([each.spa_p < 0.1 for each in found]) <= 0.16
    assert 0.05 <= np.mean([each.reality_check_p < 0.1 for each in found]) <= 0.16


def test_the_best_of_many_equals_would_fool_a_test_of_one():
    """Handing over the best of twenty alone rejects far above its level; handing over all of them does not."""
    alone, all_of_them = [], []
    for seed in range(60):
        models, baseline = _losses(seed, 20)
        best = models[:, models.mean(axis=0).argmin()]
        alone.append(bootstrap.superior(best, baseline, seed, draws=200).spa_p)
        all_of_them.append(bootstrap.superior(models, baseline, seed, draws=200).spa_p)

    assert np.mean(np.array(alone) < 0.1) > 0.3
    assert np.mean(np.array(all_of_them) < 0.1) <= 0.2


def test_far_worse_models_blunt_the_reality_check_and_not_the_superiority_test():
    """Hansen 2005, section 3: beside a model better by 2.5 standard errors stand thirty that are noisy and hopeless.

    Counted as equals, the best of 31 passes 2.5 errors in a fifth of all draws; uncounted, in less than a hundredth.
    """
    found = []
    for seed in range(20):
        models, baseline = _losses(seed, 31)
        models[:, 0] = baseline - 0.25 + 1.58 * stats.zscore(models[:, 0])
        models[:, 1:] += 3.0 + 5.0 * np.random.default_rng(100 + seed).standard_normal((250, 30))
        found.append(bootstrap.superior(models, baseline, seed, draws=200))

    assert np.median([each.spa_p for each in found]) < 0.04
    assert np.median([each.reality_check_p for each in found]) > 0.4


def test_the_unit_of_one_models_luck_moves_the_reality_check_alone():
    """Differences are studentised for the superiority test: one that is as good as the baseline may be a hundred times as loud."""
    models, baseline = _losses(5, 3)
    models[:, 0] -= 0.25
    louder = models.copy()
    louder[:, 2] = baseline + 100.0 * (models[:, 2] - baseline)

    quiet, loud = (bootstrap.superior(each, baseline, 3) for each in (models, louder))

    assert loud.spa_p == pytest.approx(quiet.spa_p, abs=0.02)
    assert quiet.spa_p < 0.05
    assert loud.reality_check_p > quiet.reality_check_p + 0.2


def test_a_claim_against_several_baselines_is_as_weak_as_its_weakest():
    """Better than the first baseline beyond doubt, as good as the second: the largest p value counts."""
    models, baseline = _losses(8, 1)
    both = np.column_stack([models[:, 0] + 1.0 + 0.1 * baseline, baseline])

    found = bootstrap.superior(models[:, 0], both, 2)

    assert found.spa[0] < 0.01
    assert found.spa_p == found.spa[1] > 0.05
    assert found.reality_check_p == found.reality_check.max()


def test_a_model_that_never_differs_is_not_better():
    """A p value of 1; one that always loses the same amount less has 0."""
    losses = np.random.default_rng(0).integers(0, 64, 100) / 8.0

    assert bootstrap.superior(losses, np.column_stack([losses, losses + 0.5]), 1).spa.tolist() == [1.0, 0.0]


def test_too_few_rows_are_refused_in_one_sentence():
    """Of returns and of losses."""
    with pytest.raises(DataError, match=r"^a bootstrap was asked of 29 known rows, but 30 or more are needed$"):
        bootstrap.interval(np.append(np.arange(29.0), np.nan), metrics.mean, 0.9, 1)
    with pytest.raises(DataError, match=r"^a bootstrap was asked of 29 known rows, but 30 or more are needed$"):
        bootstrap.superior(np.arange(29.0), np.arange(29.0), 1)
