"""The live record: scores that other libraries agree with, and bounds that are asked about at every bar without crying wolf."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats
from sklearn.metrics import mean_pinball_loss

from domain import params as parameters
from domain.forecast import LEVELS
from features import labels
from pipelines.execution import record
from pipelines.execution.record import Evidence, LiveRecord, Score, Waiting
from tests.pipelines.execution import recorded

SERVING = parameters.load(recorded.ROOT / "params.yaml").serving
HORIZON = 3


def quantiles(rng, symbols=6):
    return np.sort(rng.normal(0, 0.03, (symbols, len(LEVELS))), axis=1)


def serving(**values):
    """Return the settings of params.yaml with some of them changed."""
    return SERVING.model_copy(update=values)


def test_a_score_is_what_other_libraries_say():
    """Pinball loss, rank correlation and the share within the range; a symbol without outcome or forecast counts nowhere."""
    rng = np.random.default_rng(1)
    forecast, reference, outcome = quantiles(rng, 9), quantiles(rng, 9), rng.normal(0, 0.03, 9)
    outcome[2], forecast[5], reference[7] = np.nan, np.nan, np.nan
    known = [0, 1, 3, 4, 6, 8]

    found = record.score(4, forecast, reference, outcome)

    for name, said in (("loss", forecast), ("reference", reference)):
        losses = [mean_pinball_loss(outcome[known], said[known, k], alpha=level) for k, level in enumerate(LEVELS)]
        assert getattr(found, name) == pytest.approx(np.mean(losses), rel=1e-12)
    # Nine symbols have a median, of which all but one have an outcome: climatology has no say in a ranking.
    ranked = [s for s in range(9) if s not in {2, 5}]
    assert found.rank_ic == pytest.approx(stats.spearmanr(forecast[ranked, 2], outcome[ranked]).statistic, rel=1e-12)
    assert found.covered == np.mean([forecast[s, 0] < outcome[s] <= forecast[s, 4] for s in known])
    assert found.bar == 4
    assert record.score(4, forecast, reference, np.full(9, np.nan)) is None


def test_the_excess_of_one_symbol_by_hand():
    """One quantile differs, by 0.1: its losses differ by 0.095 at most, as they do on one side of it, and by 0.005 on the other."""
    reference = np.array([[-0.2, -0.1, 0.0, 0.1, 0.2]])
    forecast = reference - [[0.1, 0, 0, 0, 0]]

    above, below = (record.score(0, forecast, reference, np.array([y])).excess for y in (0.0, -1.0))

    assert above == pytest.approx(0.05 / 0.95)
    assert below == pytest.approx(-1.0)
    low = record.score(0, reference - [[0, 0, 0, 0, 0.1]], reference, np.array([1.0])).excess
    assert low == pytest.approx(1.0)
    assert record.score(0, reference, reference, np.array([0.0])).excess == 0.0


ROWS = st.integers(1, 5)
NUMBERS = st.floats(-1e3, 1e3)


@given(st.data(), ROWS)
@settings(max_examples=200, deadline=None)
def test_no_outcome_moves_the_excess_beyond_its_bound(data, symbols):
    """Whatever was forecast and whatever came, missing symbols included."""
    shape = (symbols, len(LEVELS))
    forecast, reference = (np.sort(data.draw(arrays.arrays(np.float64, shape, elements=NUMBERS)), axis=1) for _ in range(2))
    outcome = data.draw(arrays.arrays(np.float64, symbols, elements=NUMBERS | st.just(math.nan)))

    found = record.score(0, forecast, reference, outcome)

    assert (found is None) == bool(np.isnan(outcome).all())
    if found is not None:
        assert -1.0 - 1e-9 <= found.excess <= 1.0 + 1e-9


def test_forecasts_are_scored_against_the_labels_of_training():
    """Bar by bar the outcome that training would have learned from, and climatology from the outcomes known by then."""
    panel = recorded.panel(40, 5, seed=3)
    sigma = recorded.scale(panel)
    forecasts = recorded.forecasts(panel, sigma, horizon=HORIZON)
    forward = labels.forward(panel, HORIZON)
    waiting, found = Waiting(HORIZON, 12), {}
    for t in range(panel.bars):
        heard = waiting.hear(panel.open[t])
        if heard is not None:
            found[heard.bar] = heard
        waiting.say(t, sigma[t], forecasts[t])

    expected = {}
    for t in range(panel.bars - HORIZON - 1):
        known = np.abs(forward / (sigma * math.sqrt(HORIZON)))[max(0, t - HORIZON - 12) : max(0, t - HORIZON)]
        moves = known[np.isfinite(known)]
        if len(moves):
            share = [abs(2 * level - 1) for level in LEVELS]
            unit = np.percentile(moves, 100 * np.array(share)) * np.sign(np.array(LEVELS) - 0.5)
            expected[t] = record.score(t, forecasts[t], np.outer(sigma[t] * math.sqrt(HORIZON), unit), forward[t])
    assert len(expected) > 25
    assert set(found) == {t for t, each in expected.items() if each is not None}
    for t, each in found.items():
        for name in ("loss", "reference", "excess", "rank_ic", "covered"):
            assert getattr(each, name) == pytest.approx(getattr(expected[t], name), rel=1e-9, nan_ok=True)


def naive(scores, horizon, terms):
    """Return the first bound whose richest gambler was worth enough, and after how many bars, in plain arithmetic."""
    purses = {(g, name): [1.0] * 6 for g in range(horizon + 1) for name in record.BOUNDS}
    asked = (horizon + 1) * 3 / terms.false_alarm_max
    for count, each in enumerate(scores, 1):
        promised = 0.9 - terms.coverage_error_max
        payoff = {"skill": each.excess, "coverage": (promised - each.covered) / (1 - promised), "ranking": -each.rank_ic}
        for name, win in payoff.items():
            if not math.isnan(win):
                purse = purses[each.bar % (horizon + 1), name]
                purses[each.bar % (horizon + 1), name] = [
                    money * (1 + stake * win) for money, stake in zip(purse, (0.02, 0.05, 0.1, 0.2, 0.4, 0.8), strict=True)
                ]
        rich = [name for name in record.BOUNDS if max(sum(purses[g, name]) / 6 for g in range(horizon + 1)) >= asked]
        if rich and count >= terms.judged_bars_min:
            return rich[0], count
    return None, len(scores)


@pytest.mark.parametrize(
    ("skewed", "bound"),
    [
        ({"excess": 0.4}, "skill"),
        ({"covered": -0.35}, "coverage"),
        ({"rank_ic": -0.3}, "ranking"),
        ({}, None),
    ],
)
def test_the_bets_are_settled_as_in_plain_arithmetic(skewed, bound):
    """Whichever bound is broken, after the very bar at which the naive twin says so."""
    rng = np.random.default_rng(5)
    terms = serving(judged_bars_min=30)
    scores = []
    for bar in range(300):
        values = {"excess": rng.uniform(-0.5, 0.5), "rank_ic": rng.uniform(-0.5, 0.5), "covered": rng.choice([0.8, 0.9, 1.0])}
        shifted = {name: float(value + skewed.get(name, 0.0)) for name, value in values.items()}
        scores.append(Score(bar, 1.0, 1.0, **(shifted if bar % 7 else shifted | {"rank_ic": math.nan})))
    evidence, count = Evidence(HORIZON, terms), 0
    while evidence.broken is None and count < len(scores):
        evidence.add(scores[count])
        count += 1

    assert (evidence.broken, count) == naive(scores, HORIZON, terms)
    assert evidence.broken == bound


def test_nothing_is_judged_before_its_time():
    """However bad the first bars were; the first bar after that decides."""
    evidence = Evidence(1, serving(judged_bars_min=50))
    for bar in range(50):
        assert evidence.broken is None
        evidence.add(Score(bar, 1.0, 0.5, 1.0, -1.0, 0.0))

    assert evidence.broken == "skill"
    assert evidence.against["skill"] > 1.0


def test_versions_that_keep_their_bounds_are_rarely_accused():
    """At the very edge of every bound, and looked at after every bar, no more of 200 are accused than the parameter allows."""
    rng = np.random.default_rng(7)
    allowed, accused = 0.2, 0
    for _ in range(200):
        evidence = Evidence(1, serving(judged_bars_min=1, false_alarm_max=allowed))
        coins = np.where(rng.random((300, 3)) < [0.5, 0.8, 0.5], 1.0, [-1.0, 0.0, -1.0])
        for bar, (excess, covered, rank_ic) in enumerate(coins):
            evidence.add(Score(bar, 1.0, 1.0, excess, rank_ic, covered))
        accused += evidence.broken is not None

    assert accused <= stats.binom.ppf(0.999, 200, allowed)
    assert accused > 0


def test_a_fact_reads_back_to_the_last_bit():
    """NaN has no JSON and is null; the evidence made of facts is that of the scores."""
    found = Score(9, 0.1 + 0.2, 1 / 3, -0.1, math.nan, 0.9)

    told = record.fact("7", "challenger", HORIZON, found)

    assert told["rank_ic"] is None
    assert {**told, "rank_ic": 0} == {"version": "7", "role": "challenger", "horizon": 3, "bar": 9, "loss": 0.1 + 0.2,
                                      "reference": 1 / 3, "excess": -0.1, "rank_ic": 0, "covered": 0.9}  # fmt: skip
    again = record.told(told)
    assert (again.bar, again.loss, again.reference, again.excess, again.covered) == (9, 0.1 + 0.2, 1 / 3, -0.1, 0.9)
    assert math.isnan(again.rank_ic)


def test_every_version_is_judged_by_its_own_bars():
    """One breaks its bound in either role, and stays accused when better bars follow; the other is not touched."""
    kept = LiveRecord(serving(judged_bars_min=5))
    for bar in range(60):
        bad = Score(bar, 1.0, 0.5, 1.0 if bar < 50 else -1.0, 0.0, 0.9)
        kept.add(record.fact("1", "challenger" if bar < 5 else "champion", 1, bad))
        kept.add(record.fact("2", "challenger", 1, Score(bar, 0.5, 0.5, 0.0, 0.0, 0.9)))

    assert kept.broken == {"1": "skill"}
    assert (kept.of("1").bars, kept.of("2").bars, kept.of("3")) == (60, 60, None)
