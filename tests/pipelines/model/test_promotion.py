"""Promotion lets through what has an edge, keeps out what has none, and never takes silence for an answer."""

import json
import math
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from domain import params
from domain.panel import FloatArray
from models import metrics
from pipelines.model import promotion
from pipelines.model.promotion import Evidence
from pipelines.registry import Lineage

LIMITS = params.load(Path(__file__).parents[3] / "params.yaml").registry
ORIGIN = Lineage("bars 3", "5eed", "2015-01-02T21:00:00+00:00", "2024-02-29T21:00:00+00:00", "c0ffee", "ab12", 7, "f00d")


def good(**changes: object) -> Evidence:
    """Return evidence that opens every gate, but for the changes."""
    returns = np.random.default_rng(1).normal(0.001, 0.01, 1000)
    measured = {"rank_ic_t": 5.0, "baseline_t": 1.0, "coverage_error": 0.01, "pinball_skill": 0.02}
    evidence = Evidence(measured, 500, returns, np.full(1000, 1.0), 20.0, 100.0, ORIGIN, horizon=5)
    return replace(evidence, **changes)  # type: ignore[arg-type]


def measured(**changes: float) -> dict[str, float]:
    """Return the good metrics with changes."""
    return {**good().metrics, **changes}


FALLING = np.concatenate([np.full(500, 0.002), np.full(250, -0.002), np.full(500, 0.002)]) + np.tile([1e-3, -1e-3], 625)
LOSING = np.random.default_rng(2).normal(-0.0005, 0.01, 200)
REFUSED: dict[str, dict[str, object]] = {
    "rank_ic_t": {"metrics": measured(rank_ic_t=2.99)},
    "sharpe_probability": {"returns": LOSING},
    "coverage_error": {"metrics": measured(coverage_error=0.051)},
    "pinball_skill": {"metrics": measured(pinball_skill=-0.001)},
    "baseline_t": {"metrics": measured(baseline_t=-2.01)},
    "drawdown": {"returns": FALLING},
    "trades": {"trades": 99},
    "latency_ms": {"latency_ms": 251.0},
    "memory_mb": {"memory_mb": 512.1},
    "lineage_gaps": {"lineage": replace(ORIGIN, commit="")},
}


def test_evidence_that_passes_every_gate_promotes() -> None:
    """Without a champion there is nothing to beat, and the report says so."""
    report = promotion.judge(good(), LIMITS)

    assert report.promoted
    assert report.refused_by() == ()
    assert report.criteria[-1].note == "no champion to beat yet"


@pytest.mark.parametrize("gate", REFUSED)
def test_each_gate_alone_can_refuse(gate: str) -> None:
    """One number on the wrong side of its limit, all others good, and the report names that gate."""
    report = promotion.judge(good(**REFUSED[gate]), replace_limits(drawdown_max=0.3))

    assert not report.promoted
    assert gate in report.refused_by()
    assert len(report.refused_by()) == 1


def replace_limits(**changes: float) -> params.Registry:
    """Return the shipped limits with changes."""
    return LIMITS.model_copy(update=changes)


def test_every_limit_of_params_yaml_is_asked() -> None:
    """No knob of the gates does nothing."""
    asked = {gate.limit for gate in promotion.GATES if isinstance(gate.limit, str)}

    assert asked == set(params.Registry.model_fields)


MISSING: dict[str, dict[str, object]] = {
    "rank_ic_t": {"metrics": {name: value for name, value in good().metrics.items() if name != "rank_ic_t"}},
    "coverage_error": {"metrics": measured(coverage_error=math.nan)},
    "pinball_skill": {"metrics": measured(pinball_skill=math.inf)},
    "baseline_t": {"metrics": measured(baseline_t=math.nan)},
    "sharpe_probability": {"returns": np.full(1000, np.nan)},
    "drawdown": {"returns": np.array([])},
    "trades": {"trades": math.nan},
    "latency_ms": {"latency_ms": math.nan},
    "memory_mb": {"memory_mb": math.nan},
}


@pytest.mark.parametrize("gate", MISSING)
def test_missing_evidence_never_passes(gate: str) -> None:
    """Absent, not a number or infinite: not passed, said so, and null in JSON."""
    report = promotion.judge(good(**MISSING[gate]), LIMITS)

    told = {criterion["name"]: criterion for criterion in json.loads(report.to_json())["criteria"]}
    assert gate in report.refused_by()
    assert told[gate]["found"] is None
    assert told[gate]["note"].startswith("missing: ")


@pytest.mark.parametrize("part", [field.name for field in fields(Lineage)])
def test_a_version_of_unknown_origin_is_refused(part: str) -> None:
    """Every part of the lineage is needed to make it again; a seed of 0 is a seed."""
    unknown = replace(ORIGIN, **{part: -1 if part == "seed" else ""})

    gaps = promotion.judge(good(lineage=unknown), LIMITS).refused_by()

    assert gaps == ("lineage_gaps",)
    assert promotion.judge(good(lineage=replace(ORIGIN, seed=0, tables="bars 0")), LIMITS).promoted


def test_a_challenger_must_beat_the_champion_on_the_same_bars() -> None:
    """Better, equal and worse losses on common bars; bars that only one of them forecast do not count."""
    noise = np.random.default_rng(3).normal(0, 0.1, 1000)
    champion = good(losses=np.where(np.arange(1000) < 300, np.nan, 1.0 + noise))
    own = np.random.default_rng(4).normal(0, 0.05, 1000)

    better = promotion.judge(good(losses=0.97 + noise + own), LIMITS, champion)
    equal = promotion.judge(good(losses=champion.losses), LIMITS, champion)
    worse = promotion.judge(good(losses=1.03 + noise + own), LIMITS, champion)
    lucky_elsewhere = good(losses=np.where(np.arange(1000) < 300, 0.0, 1.0 + noise + own))

    assert better.promoted
    assert equal.refused_by() == worse.refused_by() == ("challenger_p",)
    assert promotion.judge(lucky_elsewhere, LIMITS, champion).refused_by() == ("challenger_p",)


@pytest.mark.parametrize("bars", [12, 29, 30, 700])
def test_the_report_says_how_many_bars_the_comparison_needs(bars: int) -> None:
    """Equal evidence keeps the champion, and so does too little: the reader of the report finds both numbers in its sentence."""
    champion = good(losses=np.where(np.arange(1000) < bars, 1.0, np.nan))

    report = promotion.judge(good(losses=champion.losses), LIMITS, champion)

    told = report.criteria[-1]
    assert (told.name, told.passed, told.found is None) == ("challenger_p", False, bars < 30)
    assert f"on {bars} bars that neither had seen: with fewer than 30, or without a clear lead, the champion stays" in told.note
    assert told.note in report.markdown()
    assert told.note in json.loads(report.to_json())["criteria"][-1]["note"]


def test_the_paired_test_is_the_one_sided_t_test_where_bars_do_not_overlap() -> None:
    """With a horizon of 0 bars the p value is scipy's paired t test, but for the divisor of the variance."""
    generator = np.random.default_rng(5)
    first, second = generator.normal(1.0, 0.1, 400), generator.normal(0.99, 0.1, 400)

    found = promotion.judge(good(losses=second, horizon=0), LIMITS, good(losses=first)).criteria[-1].found

    assert found == pytest.approx(stats.ttest_rel(first, second, alternative="greater").pvalue, rel=5e-3)


@pytest.mark.parametrize("losses", [np.full(1000, np.nan), np.full(999, 1.0), np.r_[np.full(29, 1.0), np.full(971, np.nan)]])
def test_a_champion_that_cannot_be_compared_with_stays(losses: FloatArray) -> None:
    """No common bars, other bars, or too few of them: no promotion."""
    report = promotion.judge(good(losses=np.full(1000, 0.5)), LIMITS, good(losses=losses))

    assert report.refused_by() == ("challenger_p",)


def test_more_trials_need_a_better_sharpe() -> None:
    """The chance of skill falls with the number of configurations that were tried."""
    chances = [promotion.judge(good(trials=trials), LIMITS).criteria[2].found or 0.0 for trials in (1, 10, 100, 1000)]

    assert all(before > after for before, after in pairwise(chances))


def test_drawdown_counts_the_fall_from_the_starting_capital() -> None:
    """Losing half at once is a drawdown of a half; 1.1 * 0.5 * 1.2 = 0.66 of a peak of 1.1 was at worst 0.55, a half again."""
    for returns in ([-0.5, 0.1], [0.1, -0.5, 0.2]):
        found = promotion.judge(good(returns=np.array(returns)), LIMITS)

        assert {each.name: each.found for each in found.criteria}["drawdown"] == pytest.approx(0.5)


def test_the_report_shows_two_numbers_for_every_gate() -> None:
    """As a table for people and as JSON for the registry."""
    report = promotion.judge(good(trades=7), LIMITS)

    lines = report.markdown().splitlines()
    told = json.loads(report.to_json())
    assert lines[0] == "**Not promoted**: refused by trades."
    assert "| trades | 7 | >= 100 | **no** | fills of the simulated account |" in lines
    assert len([line for line in lines if line.startswith("| ")]) == len(promotion.GATES) + 1
    assert told["promoted"] is False
    assert [c["name"] for c in told["criteria"]] == [gate.name for gate in promotion.GATES]
    assert all(set(c) == {"name", "found", "limit", "comparison", "passed", "note"} for c in told["criteria"])


def traded(seed: int, edge: float, horizon: int = 5, rows: int = 1000, names: int = 24) -> Evidence:
    """Return the evidence on a market where `edge` is the correlation of the forecast with the next bars' returns.

    Forecasts are as slow as real ones (AR(1), 0.9), volatilities differ by name and returns share a market factor with fat tails.
    The account holds 1/24 long or short in each name by the sign of its forecast, and pays 2 basis points of what it trades.
    """
    generator = np.random.default_rng(seed)
    signal = np.zeros((rows, names))
    for t in range(1, rows):
        signal[t] = 0.9 * signal[t - 1] + math.sqrt(1 - 0.81) * generator.normal(size=names)
    noise = generator.standard_t(4, (rows + horizon, names)) / math.sqrt(2) + generator.standard_t(
        4, (rows + horizon, 1)
    ) / math.sqrt(2)
    volatility = 0.01 * generator.uniform(0.5, 2.0, names)
    returns = volatility * noise
    returns[1 : rows + 1] += edge * volatility * signal
    forward = np.stack([returns[t + 1 : t + 1 + horizon].sum(axis=0) for t in range(rows)])
    weights = np.sign(signal) / names
    earned = (weights * returns[1 : rows + 1]).sum(axis=1) - 2e-4 * np.abs(np.diff(weights, axis=0, prepend=0)).sum(axis=1)
    rank_ic_t = metrics.hac_t(metrics.rank_ic(signal, forward), horizon)
    measured = {"rank_ic_t": rank_ic_t, "baseline_t": 1.0, "coverage_error": 0.01, "pinball_skill": 0.001}
    return good(metrics=measured, returns=earned, losses=np.ones(rows), horizon=horizon)


def test_the_gates_have_power_and_are_rarely_fooled() -> None:
    """Of 300 markets without edge at most 1% pass, so of 20 nearly always at most one; of 40 with a clear edge at least 90% do.

    Coverage and skill are given as good here, so that the rank IC and the Sharpe gate carry it alone.
    """
    null = [promotion.judge(traded(seed, 0.0), LIMITS).promoted for seed in range(300)]
    planted = [promotion.judge(traded(seed, 0.05), LIMITS).promoted for seed in range(1000, 1040)]

    assert sum(null) <= 3, sum(null)
    assert sum(planted) >= 36, sum(planted)
