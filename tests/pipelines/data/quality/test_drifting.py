"""Drift of raw data: same distributions stay quiet, others are named, and volume's regimes have a date."""

from datetime import date

import numpy as np
import polars as pl
from scipy import stats

from pipelines.data.quality import drifting, inspection
from tests.pipelines.data import clean

DAILY = clean.market()
BARS = clean.bars(DAILY, date(2022, 1, 3), date(2023, 12, 29), symbols=12)
DAYS = BARS.filter(pl.col("symbol") == "S0")["opened_at"].to_list()


def test_what_stays_as_it_was_has_not_drifted() -> None:
    """Twelve symbols, four measures: twenty days of each are compared with 240, and none is named."""
    assert not drifting.drift(BARS, clean.LIMITS)["drifted"].any()


def test_volume_of_another_scale_has_drifted_and_nothing_else() -> None:
    """The newest twenty days of two symbols trade a tenth."""
    late = pl.col("symbol").is_in(["S3", "S5"]) & (pl.col("opened_at") >= DAYS[-20])
    changed = BARS.with_columns(volume=pl.when(late).then(pl.col("volume") / 10).otherwise("volume"))

    found = drifting.drift(changed, clean.LIMITS).filter("drifted")

    assert sorted(found.select("symbol", "measure").rows()) == [("S3", "volume"), ("S5", "volume")]


def test_the_index_is_that_of_its_definition() -> None:
    """Sum of (q - p) ln(q / p), by hand."""
    p, q = np.array([10, 20, 70]), np.array([30, 30, 40])

    by_hand = sum((b - a) * np.log(b / a) for a, b in zip(p / 100, q / 100, strict=True))

    assert np.isclose(drifting.psi(p, q), by_hand)


def test_the_probability_of_independent_values_is_that_of_scipy() -> None:
    """Without memory all values count, and p is the asymptotic one of the library."""
    random = np.random.default_rng(8)
    reference, recent = random.normal(size=2000), random.normal(0.2, size=400)

    found = drifting._compared(reference, recent)

    assert np.isclose(found[3], stats.ks_2samp(reference, recent).statistic)
    assert np.isclose(np.log(found[4]), np.log(stats.ks_2samp(reference, recent, method="asymp").pvalue), rtol=0.25)


def test_values_that_remember_count_for_less() -> None:
    """Of an autoregression with coefficient 0.8 a ninth is independent."""
    random = np.random.default_rng(9)
    noise, series = random.normal(size=5000), np.zeros(5000)
    for place in range(1, 5000):
        series[place] = 0.8 * series[place - 1] + noise[place]

    assert 400 < drifting.effective(series) < 750
    assert drifting.effective(noise) > 4500


def test_a_regime_of_volume_is_named_with_its_date() -> None:
    """As on 2026-01-22, when one venue became all: most symbols together, by a factor of thirty."""
    change = DAYS[300]
    frame = BARS.with_columns(volume=pl.when(pl.col("opened_at") >= change).then(pl.col("volume") * 30).otherwise("volume"))

    found = drifting.regimes(inspection.examine(frame, DAILY, clean.LIMITS))

    assert found.select("session", "symbols", "of", "shared").rows() == [(change.date(), 12, 12, True)]
    assert 20 < found["ratio"][0] < 45
