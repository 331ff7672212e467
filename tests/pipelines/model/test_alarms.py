"""Alarms are raised when a record has become worse, and seldom otherwise."""

from collections import Counter

import numpy as np
import pytest

from domain.panel import FloatArray
from pipelines.model import alarms

RECENT, OVERLAP = 120, 6


def noise(seed: int, bars: int = 1800) -> FloatArray:
    """Return a record without change whose neighbours share OVERLAP - 1 of OVERLAP shocks, as overlapping outcomes do."""
    shocks = np.random.default_rng(seed).standard_normal(bars + OVERLAP - 1)
    return np.convolve(shocks, np.ones(OVERLAP) / np.sqrt(OVERLAP), mode="valid")


def worse(seed: int) -> FloatArray:
    """Return a record that has become worse by two standard deviations for the recent bars."""
    record = noise(seed)
    record[-RECENT:] += 2.0
    return record


def test_a_record_that_became_worse_is_found_by_both_detectors() -> None:
    """By each in 18 or more of twenty worlds, after the change and not before."""
    found = [alarm for seed in range(20) for alarm in alarms.raised({alarms.SKILL: worse(seed)}, RECENT, OVERLAP)]

    assert all(alarm.series == alarms.SKILL and alarm.row >= 1800 - RECENT for alarm in found)
    counts = Counter(alarm.detector for alarm in found)
    assert set(counts) == {"ADWIN", "Page-Hinkley"}
    assert min(counts.values()) >= 18


def test_a_record_that_did_not_change_seldom_raises_one() -> None:
    """At most 2 of 60 worlds: with an error rate of 1% more would happen once in 40 runs, and the seeds are fixed."""
    assert sum(bool(alarms.raised({alarms.LOSS: noise(seed)}, RECENT, OVERLAP)) for seed in range(60)) <= 2


def test_a_record_that_became_better_raises_none() -> None:
    """It is the other side that costs money."""
    assert not any(alarms.raised({alarms.SKILL: -worse(seed)}, RECENT, OVERLAP) for seed in range(20))


def test_what_is_not_known_is_left_out() -> None:
    """Holes, and outcomes that are still to come, change neither that there is an alarm nor make one."""
    for record, expected in ((worse(3), True), (noise(3), False)):
        record[::7], record[-OVERLAP:] = np.nan, np.nan
        assert bool(alarms.raised({alarms.SKILL: record}, RECENT, OVERLAP)) is expected


@pytest.mark.parametrize("bars", [0, RECENT, RECENT + OVERLAP * (alarms.VALUES_MIN - 1)])
def test_a_short_record_is_not_judged(bars: int) -> None:
    """However bad it looks."""
    record = worse(5)[-bars:] if bars else np.empty(0)
    assert alarms.raised({alarms.SKILL: record}, RECENT, OVERLAP) == ()


def test_a_record_that_never_moves_is_not_judged() -> None:
    """There is no standard deviation to measure it by."""
    assert alarms.raised({alarms.LOSS: np.ones(1800)}, RECENT, OVERLAP) == ()
