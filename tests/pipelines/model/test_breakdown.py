"""Breakdown: a regime is told by what was known, and its figures are those of its rows."""

import math
from dataclasses import replace

import numpy as np
import pytest

from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from models import metrics
from models.contract import Dataset
from pipelines.model import breakdown
from tests.models.planted import HORIZON, planted

BARS = 600


@pytest.fixture(scope="module")
def dataset() -> Dataset:
    """Return a planted market that lasts two calendar years."""
    return planted(bars=BARS, symbols=6, edge=0.5)


@pytest.fixture(scope="module")
def forecasts(dataset: Dataset) -> FloatArray:
    """Return quantiles around what moves the label, in sample from the first row on."""
    median = np.nan_to_num(dataset.features[..., 1].astype(np.float64)) * dataset.scale
    return np.asarray(median[..., None] + dataset.scale[..., None] * np.linspace(-3.0, 3.0, len(LEVELS)))


@pytest.fixture(scope="module")
def returns() -> FloatArray:
    """Return an account's simple returns; it was opened at row 100."""
    made = np.random.default_rng(1).normal(0.001, 0.01, BARS)
    made[:100] = math.nan
    return made


def test_regimes_are_told_by_a_slow_twin(dataset: Dataset) -> None:
    """Row by row: the sum of the 60 newest known outcomes' means, and the volatility against the median of all rows before."""
    found = breakdown.regimes(dataset)
    market = [float(np.nanmean(row)) if np.isfinite(row).any() else 0.0 for row in dataset.forward]
    volatility = [float(np.nanmean(row)) for row in dataset.scale]
    for t in range(BARS):
        newest = t - HORIZON - 1
        trend = sum(market[newest - 59 : newest + 1]) if newest >= 59 else math.nan
        excess = volatility[t] - float(np.median(volatility[:t])) if t >= 60 else math.nan
        mine = [name for name, rows in found.items() if rows[t]]
        expected = [str(dataset.event_at[t])[:4]]
        if not math.isnan(trend + excess):
            expected = [f"{'rising' if trend > 0 else 'falling'}, {'wild' if excess > 0 else 'calm'}", *expected]
        assert mine == expected


def test_no_later_row_changes_a_regime(dataset: Dataset) -> None:
    """Garbage from row 400 on, outcomes that reach there included, leaves what was told before."""
    spoilt = replace(dataset, forward=dataset.forward.copy(), scale=dataset.scale.copy())
    spoilt.forward[400 - HORIZON - 1 :], spoilt.scale[400:] = 9.0, 9.0

    before, after = breakdown.regimes(dataset), breakdown.regimes(spoilt)

    assert all((before[name][:400] == after[name][:400]).all() for name in before)


def test_a_regimes_figures_are_those_of_its_rows(dataset: Dataset, forecasts: FloatArray, returns: FloatArray) -> None:
    """Rank IC, its t, loss, and the account's Sharpe ratio and return, from the rows cut out by hand."""
    ranked = metrics.rank_ic(forecasts[..., MEDIAN], dataset.forward)
    table = breakdown.table(dataset, ranked, forecasts, returns, 252.0)

    assert {"2020", "2021"} <= set(table["regime"])
    for row in table.iter_rows(named=True):
        rows = breakdown.regimes(dataset)[row["regime"]]
        loss = metrics.pinball_rows(forecasts, dataset.forward, LEVELS)[rows]
        earned = returns[rows & np.isfinite(returns) & np.isfinite(metrics.pinball_rows(forecasts, dataset.forward, LEVELS))]
        assert row["rows"] == np.isfinite(loss).sum() >= 30
        assert row["rank_ic"] == pytest.approx(np.nanmean(ranked[rows]))
        assert row["pinball"] == pytest.approx(np.nanmean(loss))
        assert row["sharpe"] == pytest.approx(earned.mean() / earned.std(ddof=1) * math.sqrt(252.0))
        assert row["return"] == pytest.approx(math.exp(np.log1p(earned).sum()) - 1.0)


def test_intervals_hold_what_they_are_about(dataset: Dataset, forecasts: FloatArray, returns: FloatArray) -> None:
    """Each contains the figure of the whole; too few rows have none."""
    ranked = metrics.rank_ic(forecasts[..., MEDIAN], dataset.forward)
    found = breakdown.intervals(ranked, returns, 252.0, 0.95, seed=7)
    earned = returns[np.isfinite(returns)]

    assert found["rank_ic_boot_low"] < np.nanmean(ranked) < found["rank_ic_boot_high"]
    assert found["sharpe_boot_low"] < metrics.sharpe(earned, 252.0) < found["sharpe_boot_high"]
    assert found["return_boot_low"] < np.prod(1.0 + earned) - 1.0 < found["return_boot_high"]
    assert all(math.isnan(value) for value in breakdown.intervals(ranked[:20], returns[:20], 252.0, 0.95, seed=7).values())
