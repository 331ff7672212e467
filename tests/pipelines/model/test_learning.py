"""The night shift does what its policy says and tells it in the morning."""

import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import params
from pipelines.model import alarms, drift, learning
from pipelines.model.alarms import Alarm
from pipelines.model.drift import Drift
from pipelines.model.learning import Action, Night, Plan
from pipelines.model.promotion import Criterion, Report

LIMITS = params.load(Path(__file__).parents[3] / "params.yaml").learning


def moved(share: float = 0.0, residual: bool = False, recent: float = 0.04, chance: float = 0.5, alarm: str | None = None) -> Drift:
    """Return a drift of ten features, the given share of which moved, and perhaps with an alarm."""
    features = [(f"feature {i}", drift.FEATURE, 0.5 - i / 100, 0.1, 0.2, 0.0, 0.0, i < round(share * 10)) for i in range(10)]
    raised = (Alarm(alarm, "ADWIN", 700),) if alarm is not None else ()
    errors = [("outcome minus median", drift.RESIDUAL, 0.3, 0.1, 0.2, 0.0, 0.0, residual)]
    return Drift(pl.DataFrame(features + errors, schema=drift.SCHEMA, orient="row"), share, 0.05, recent, chance, raised)


POLICY = {
    "no champion": (None, 5, 0, Action.RETRAIN, "this market has no champion yet"),
    "no new bars": (moved(share=1.0), 0, 500, Action.NOTHING, "no bar has arrived since the last night"),
    "the world moved": (moved(share=0.4), 5, 0, Action.RETRAIN, "40% of the features drifted, above the limit of 30%"),
    "skill went": (
        moved(recent=-0.01, chance=0.002),
        5,
        0,
        Action.RETRAIN,
        "the rank IC fell from 0.050 to -0.010 (p = 0.0020, limit 0.01)",
    ),
    "skill fell but is there": (moved(recent=0.01, chance=0.002), 5, 0, Action.NOTHING, None),
    "skill fell by chance": (moved(recent=-0.01, chance=0.2), 5, 0, Action.NOTHING, None),
    "some features moved": (moved(share=0.3), 5, 0, Action.RETRAIN, "30% of the features drifted, feature 0 most"),
    "the champion is old": (moved(), 5, 120, Action.RETRAIN, "the champion has not seen the last 120 bars, 120 or more are due"),
    "an alarm about the ranking": (moved(alarm=alarms.SKILL), 5, 0, Action.RETRAIN, "ADWIN raised an alarm about the rank IC"),
    "an alarm about the loss": (
        moved(alarm=alarms.LOSS),
        5,
        0,
        Action.RECALIBRATE,
        "the forecast errors moved while the features did not: ADWIN raised an alarm about the pinball loss",
    ),
    "errors moved": (moved(residual=True), 5, 119, Action.RECALIBRATE, "the forecast errors moved while the features did not"),
    "nothing moved": (moved(), 5, 119, Action.NOTHING, "nothing drifted, and the champion has missed only 119 bars"),
    "skill unknown": (moved(chance=math.nan, recent=math.nan), 5, 1, Action.NOTHING, None),
}


@pytest.mark.parametrize("case", POLICY)
def test_the_policy_gives_its_action_and_its_reason(case: str) -> None:
    """Each line of the written policy, at its limits."""
    found, new_bars, age_bars, action, reason = POLICY[case]

    plan = learning.plan(found, new_bars, age_bars, LIMITS)

    assert plan.action == action
    assert plan.urgent is (case in {"no champion", "the world moved", "skill went"})
    assert reason is None or plan.reason == reason


RANK = [Action.NOTHING, Action.RECALIBRATE, Action.FINE_TUNE, Action.RETRAIN]


@given(share=st.integers(0, 9), more=st.integers(1, 5), residual=st.booleans(), age=st.integers(0, 300))
def test_more_drift_never_asks_for_less(share: int, more: int, residual: bool, age: int) -> None:
    """The action grows with the share of features that moved, whatever else is true."""
    calm = learning.plan(moved(share / 10, residual), 5, age, LIMITS)
    worse = learning.plan(moved(min(share + more, 10) / 10, residual), 5, age, LIMITS)

    assert RANK.index(worse.action) >= RANK.index(calm.action)


def test_the_morning_report_tells_the_whole_night() -> None:
    """What came in, what moved, what was done and why, every gate, who trades now, and how long it took."""
    gates = Report((Criterion("rank_ic_t", 2.1, 3.0, ">=", passed=False, note="HAC t of the rank IC"),), promoted=False)
    night = Night(
        "crypto",
        "2024-06-30",
        {"rows read": 4_800, "quarantined": 2},
        moved(share=0.4),
        Plan(Action.RETRAIN, "40% of the features drifted, above the limit of 30%"),
        version=7,
        gates=gates,
        champion=5,
        seconds={"ingest": 1.25, "training": 12.0},
    )

    told = learning.report(night)

    for words in (
        "# crypto: the night before 2024-06-30",
        "**Retrain**: 40% of the features drifted, above the limit of 30%.",
        "Version 7 was refused by rank_ic_t; version 5 trades.",
        "| quarantined | 2 |",
        "| feature 0 | feature | 0.5 | 0.1 | 0.2 | 0 | yes |",
        "1 more moved less.",
        "| rank_ic_t | 2.1 | >= 3 | **no** | HAC t of the rank IC |",
        "| training | 12.0 |",
    ):
        assert words in told


def test_a_quiet_night_tells_only_what_happened() -> None:
    """No version, no gates, no drift: no empty sections and no placeholders."""
    told = learning.report(Night("fx", "2024-06-30", {}, None, Plan(Action.NOTHING, "no bar has arrived since the last night")))

    assert told == (
        "# fx: the night before 2024-06-30\n\n**Nothing**: no bar has arrived since the last night.\n\n"
        "No new version was made; no model trades this market.\n"
    )


def test_a_promotion_names_the_version_that_trades() -> None:
    """The champion of the morning is the version of the night."""
    gates = Report((), promoted=True)
    night = Night("fx", "2024-06-30", {}, moved(), Plan(Action.FINE_TUNE, "it was due"), version=3, gates=gates, champion=3)

    assert "Version 3 passed every gate; version 3 trades." in learning.report(night)
    assert np.isfinite(night.drift.share if night.drift else np.nan)
