"""Sizing: settings change when earlier rows prove them better, and are left alone where nothing can be earned."""

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from domain.params import Sizing
from models.splits import walk_forward
from pipelines.execution import sizing
from pipelines.execution.sizing import Tried
from tests.pipelines.execution import recorded

BARS, SYMBOLS, FIRST = 700, 8, 262
#: What is tried beside settings by which next to nothing is worth its cost.
HANDICAPPED = {"edge_sigma_full": 0.25, "band": 60.0, "rate": 0.5}
SEARCH = {"edge_sigma_full": [], "band": [1.0], "rate": [], "half_life": 0.5, "p_max": 0.05}


def terms(**search):
    """Return a market and parameters whose own settings hardly trade."""
    return recorded.terms("us_equity", decisions=HANDICAPPED, learning={"sizing": SEARCH | search})


def world(strength, seed=3):
    """Return a panel, forecasts that know a share `strength` of what an order will earn, from FIRST on, and volatilities."""
    panel = recorded.panel(BARS, SYMBOLS, seed=seed, gaps=0.0)
    sigma = recorded.scale(panel)
    told = np.zeros(panel.open.shape)
    told[: BARS - 6] = np.log(panel.open[6:] / panel.open[1 : BARS - 5])
    noise = np.random.default_rng(seed).normal(0.0, 1.0, told.shape)
    view = strength * told / (sigma * math.sqrt(5.0)) + 0.3 * noise
    forecasts = (view[:, :, None] + recorded.NORMAL) * (sigma * math.sqrt(5.0))[:, :, None]
    forecasts[:FIRST] = np.nan
    return panel, forecasts, sigma


def folds():
    """Return three folds, of which the first begins where forecasts do."""
    return walk_forward(BARS, 3, FIRST / BARS, 6, 5)


def found(strength, params=None, market=None, seed=3):
    """Search a world."""
    if params is None:
        market, params = terms()
    panel, forecasts, sigma = world(strength, seed)
    return sizing.search(panel, forecasts, market, params, folds(), sigma)


def test_the_grid_is_every_combination_once_and_its_own_first():
    """Three values of each of three settings are 27, whether or not params.yaml's own stand among those listed."""
    listed = {"edge_sigma_full": [0.125, 0.25, 0.5], "band": [0.5, 2.0], "rate": [0.25, 1.0], "half_life": 0.5, "p_max": 0.05}
    _, params = recorded.terms(learning={"sizing": listed})

    tried = sizing.grid(params)

    assert tried[0] == Sizing(edge_sigma_full=0.25, band=1.0, rate=0.5)
    assert len(tried) == 27
    assert {(each.edge_sigma_full, each.band, each.rate) for each in tried} == {
        (edge, band, rate) for edge in (0.125, 0.25, 0.5) for band in (0.5, 1.0, 2.0) for rate in (0.25, 0.5, 1.0)
    }


def test_a_grid_of_one_searches_nothing():
    """Without values to try the settings are params.yaml's, in every fold and after."""
    market, params = terms(band=[])

    result = found(0.3, params, market)

    assert (result.turns, result.chosen, result.tried) == ((), None, ())


@given(rows=st.integers(1, 500), share=st.floats(0.05, 3.0))
def test_weights_average_one_and_halve_with_age(rows, share):
    """Each is the fraction of the next one that a half-life of so many rows means."""
    weight = sizing.weights(rows, share)

    assert weight.mean() == pytest.approx(1.0)
    assert weight[:-1] / weight[1:] == pytest.approx(2.0 ** (-1.0 / (share * rows)))


def test_a_row_of_weight_two_counts_like_two_rows():
    """The weighted Sharpe ratio is the plain one of rows written out as often as they weigh."""
    earned = np.array([[0.01, 0.0], [-0.02, 0.0], [0.03, 0.0], [0.005, 0.0]])
    times = np.array([1, 2, 4, 1])
    repeated = np.repeat(earned[:, 0], times)

    ratios = sizing.sharpe(earned, (times / times.mean())[:, None], 252.0)

    assert ratios[0] == pytest.approx(repeated.mean() / repeated.std() * math.sqrt(252.0))
    assert ratios[1] == 0.0


def test_utility_and_its_p_value_are_those_of_the_formulas():
    """Mean less half of mean square over the target, yearly; Bonferroni over Newey and West's t in plain loops."""
    market, params = recorded.terms(learning={"sizing": SEARCH | {"band": [0.5, 2.0], "half_life": 1e9}})
    earned = np.random.default_rng(5).normal((0.0, 0.0005, 0.0008), 0.004, (400, 3))

    judged = sizing.judge(earned, sizing.grid(params), market, params)

    utility = earned - earned**2 / (2.0 * 0.10)
    for k, each in enumerate(judged):
        assert each.utility == pytest.approx(252.0 * utility[:, k].mean(), rel=1e-6)
    for k in (1, 2):
        claims = [naive_p(list(utility[:, k] - other)) for other in (utility[:, 0], 0.0)]
        assert judged[k].p == pytest.approx(min(2.0 * max(claims), 1.0), rel=1e-5)
    assert judged[0].p == 1.0


def naive_p(difference, lags=15):
    """Return the one-sided p value of Diebold and Mariano with the factor of Harvey, Leybourne and Newbold."""
    count, mean = len(difference), sum(difference) / len(difference)
    variance = 0.0
    for i in range(count):
        for j in range(max(i - lags, 0), min(i + lags + 1, count)):
            variance += (1.0 - abs(i - j) / (lags + 1)) * (difference[i] - mean) * (difference[j] - mean) / count
    factor = math.sqrt((count + 1 - 2 * (lags + 1) + (lags + 1) * lags / count) / count)
    return stats.t.sf(factor * mean / math.sqrt(variance / count), count - 1)


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        ([], 0),
        ([(0.9, 2.0, 0.06)], 0),
        ([(0.9, 0.9, 0.01)], 0),
        ([(0.2, 1.5, 0.05), (0.9, 1.2, 0.001)], 1),
        ([(0.2, 9.0, 0.9), (0.9, 1.2, 0.001)], 2),
    ],
)
def test_the_best_ratio_beyond_luck_is_chosen_or_none(others, expected):
    """(utility, ratio, p) against a default of ratio 1: what may be luck, or earns less for its risk, changes nothing."""
    settings = [Sizing(edge_sigma_full=1.0 + k, band=1.0, rate=0.5) for k in range(len(others) + 1)]
    tried = [Tried(settings[0], 0.1, 1.0, 1.0)]
    tried += [Tried(each, *numbers) for each, numbers in zip(settings[1:], others, strict=True)]

    assert sizing.best(tried, 0.05) == settings[expected]


def test_a_clear_edge_is_traded_once_it_was_seen():
    """Settings that hardly trade give way where trading pays: not in the first fold, which has seen nothing, but from then on."""
    _, params = terms()
    own, better = params.decisions.sizing, Sizing(**HANDICAPPED | {"band": 1.0})

    result = found(0.3)

    assert [row for row, _ in result.turns] == [int(fold.test[0]) for fold in folds()]
    assert [settings for _, settings in result.turns] == [own, better, better]
    assert result.chosen == better
    assert [each.sizing for each in result.tried] == [own, better]


def test_without_an_edge_settings_stay():
    """Nothing can be earned: on 20 markets no fold is traded by other settings, though params.yaml's own are bad ones."""
    market, params = recorded.terms()
    results = [found(0.0, params, market, seed) for seed in range(20)]

    changed = [result for result in results if result.chosen or any(each != result.tried[0].sizing for _, each in result.turns)]
    assert len(changed) <= 1


def test_a_fold_is_chosen_for_without_its_own_rows():
    """Whatever bars and forecasts become from a fold's purge on, its settings and those of the folds before stay as they were."""
    market, params = terms()
    panel, forecasts, sigma = world(0.3)
    before = sizing.search(panel, forecasts, market, params, folds(), sigma)

    for number, fold in enumerate(folds()):
        first = int(fold.train[-1]) + 1
        changed = forecasts.copy()
        changed[first:] *= -1.0
        after = sizing.search(panel, changed, market, params, folds(), sigma)
        assert after.turns[: number + 1] == before.turns[: number + 1]
        assert after.tried != before.tried


def test_too_few_rows_choose_nothing():
    """A handful of rows proves nothing, however good they were."""
    market, params = terms()
    panel, forecasts, sigma = world(1.0)
    forecasts[: BARS - 20] = np.nan

    result = sizing.search(panel, forecasts, market, params, folds(), sigma)

    assert result.chosen is None
    assert {each for _, each in result.turns} == {params.decisions.sizing}
    assert result.tried == ()


def test_what_was_found_survives_being_written():
    """As JSON, to the bit; the budget is not among it."""
    result = found(0.3)

    told = json.loads(json.dumps(result.to_dict(), allow_nan=False))

    assert tuple(sizing.turns(told)) == result.turns
    assert set(told["chosen"]) == {"edge_sigma_full", "band", "rate"}
    assert [each["p"] for each in told["tried"]] == [each.p for each in result.tried]
