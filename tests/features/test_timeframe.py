"""Tests of higher timeframes: a twin that groups first, and proof that an unfinished higher bar never shows."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from features import steps
from features.catalog import timeframe
from tests.features import beside, naive_timeframe, panels

TWINS = {
    "every": "by all higher features",
    "held": "by all higher features",
    "calendar": "on its own, against pandas' resampling",
}
HOUR_US, DAY_US = 3_600_000_000, 86_400_000_000
NAMES = ("open", "high", "low", "close", "volume")


@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_higher_timeframes_equal_their_naive_twin(gaps: float) -> None:
    """Every feature at every bar; where bars are missing a symbol's higher bars are made of those that it had."""
    beside.compare(timeframe.FEATURES, naive_timeframe.table, beside.market(330, 3, 111, gaps))


def test_higher_timeframes_keep_the_promises_of_the_catalogue() -> None:
    """Warm-up to the bar, finite after it, free of scale."""
    beside.check_promises(timeframe.FEATURES)


def test_an_unfinished_higher_bar_never_shows() -> None:
    """Whatever the bars after a complete higher bar are, no feature moves before the next one is complete."""
    panel = beside.market(400, 4, 112)
    wild = {name: getattr(panel, name).copy() for name in NAMES}
    for values in wild.values():
        values[380:399] *= 7.0
    found, other = (beside.values(timeframe.FEATURES, p) for p in (panel, replace(panel, **wild)))

    for f, feature in enumerate(timeframe.FEATURES):
        frame = int(feature.name.split("_")[1])
        unfinished = slice(380, 380 + frame - 1)
        np.testing.assert_array_equal(other[unfinished, :, f], found[unfinished, :, f], err_msg=feature.name)
        assert (found[unfinished, :, f] == found[379, :, f]).all(), feature.name
    assert not np.array_equal(other[384], found[384])


@pytest.mark.parametrize(("period_us", "rule"), [(HOUR_US, "1h"), (DAY_US, "24h"), (7 * DAY_US, "168h")])
def test_calendar_bars_are_pandas_resampled_and_show_when_they_are_complete(period_us: int, rule: str) -> None:
    """Hours, days and weeks (that begin on Thursday, as 1970 did) of 25-minute bars with holes, some of a whole period."""
    panel = _every_25_minutes()
    made = steps.calendar_bars(period_us)

    found = beside.values(made, panel)

    for s in range(2):
        own = panel.present[:, s]
        frame = pd.DataFrame({name: getattr(panel, name)[own, s] for name in NAMES}, index=panel.event_at[own])
        rules = {"open": "first", "high": "max", "low": "min", "close": "last", "volume": "sum"}
        higher = frame.resample(rule, origin="epoch", closed="right", label="right").agg(rules).dropna()
        shown = ~np.isnan(found[:, s, 0])
        np.testing.assert_allclose(found[shown, s], higher.iloc[: shown.sum()], rtol=1e-12)
        assert (panel.event_at[shown] >= higher.index[: shown.sum()]).all()
        completed = np.searchsorted(panel.event_at[own], higher.index[: shown.sum()])
        # Two that are complete at one bar show one after the other.
        at = np.maximum.accumulate(completed - np.arange(len(completed))) + np.arange(len(completed))
        np.testing.assert_array_equal(panel.event_at[shown], panel.event_at[own][at])


def _every_25_minutes() -> beside.Panel:
    panel = panels.random(3000, 2, 113)
    missing = np.random.default_rng(19).random(panel.close.shape) < 0.2
    missing[600:800], missing[1500:1504] = True, True
    at = np.datetime64("2024-02-26T00:00", "us") + np.arange(3000) * np.timedelta64(25, "m")
    return replace(panels.mask(panel, missing), opened_at=at, event_at=at + np.timedelta64(25, "m"))
