"""Profiles: calibrated on what they have not seen, never taught by what they judge, and hard to poison."""

from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import stats

from domain.error import DataError, NoData
from pipelines.data.quality import Knowledge, inspect, profile, profiles
from pipelines.data.quality.profile import CUBIC, LEVELS, Profile
from tests.pipelines.data import clean

DAILY = clean.market()
BARS = clean.bars(DAILY, date(2015, 1, 2), date(2023, 12, 29), symbols=12)
CUT = BARS["known_at"].sort()[int(len(BARS) * 0.7)]
OLD, NEW = BARS.filter(pl.col("known_at") <= CUT), BARS.filter(pl.col("known_at") > CUT)
LEARNED = profile.learn(BARS, DAILY, clean.LIMITS, CUT)


def test_the_share_of_false_alarms_is_the_one_asked_for() -> None:
    """Of sound bars that came later one in a hundred is less likely than one in a hundred.

    The tail of a range of a random walk is thinner than a normal one, which is the least that is believed.
    """
    found = profile.judge(LEARNED, BARS, DAILY)

    shares = found.group_by("measure").agg((pl.col("p") < 0.01).mean()).sort("measure")
    assert found["opened_at"].min() > OLD["opened_at"].max() - timedelta(days=1)  # type: ignore[operator]
    assert shares["measure"].to_list() == ["range", "return", "volume"]
    assert all(least <= share <= 0.02 for least, share in zip((0.0, 0.005, 0.005), shares["p"], strict=True))


def test_nothing_known_later_teaches() -> None:
    """Whatever comes after the moment, the profile is the same to the last bit."""
    wild = pl.concat([OLD, NEW.with_columns(close=pl.col("close") * 3, high=pl.col("high") * 3)])

    assert profile.learn(wild, DAILY, clean.LIMITS, CUT).digest == LEARNED.digest


def test_what_has_taught_is_not_judged() -> None:
    """A profile would find its own history likely."""
    with pytest.raises(DataError, match="none is newer"):
        profile.judge(LEARNED, OLD, DAILY)
    with pytest.raises(DataError, match="learn one of their own"):
        profile.judge(LEARNED, NEW, clean.market("24/7", "1h"))


@pytest.mark.fault("F103")
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_poisoned_history_widens_it_within_limits(share: float) -> None:
    """However much of history is multiplied by a hundred, tails stay under the cubic one and scales within the cap."""
    random = np.random.default_rng(2)
    bad = pl.Series(random.random(len(OLD)) < share)
    poisoned = OLD.with_columns(pl.when(bad).then(pl.col(name) * 100).otherwise(name).alias(name) for name in ("high", "close"))

    learned = profile.learn(poisoned, DAILY, clean.LIMITS, CUT)

    cap = stats.t.isf(np.array(LEVELS) / 2, CUBIC) / (stats.t.ppf(0.75, CUBIC) / stats.norm.ppf(0.75))
    for name, tail in learned.tails.items():
        assert (np.array(tail) <= cap * (1 + 1e-3)).all(), name
        scales = [found[name].scale / learned.usual[name].scale for found in learned.symbols.values()]
        assert max(scales) <= clean.LIMITS.profile_cap * (1 + 1e-9)
        assert min(scales) >= 1 / clean.LIMITS.profile_cap * (1 - 1e-9)


def test_a_short_history_is_judged_by_its_market() -> None:
    """A symbol of thirty days is drawn to the others; one that nobody knows is judged as their median."""
    young = BARS.filter((pl.col("symbol") != "S0") | (pl.col("opened_at") > CUT - timedelta(days=45)))
    learned = profile.learn(young, DAILY, clean.LIMITS, CUT)
    stranger = NEW.filter(pl.col("symbol") == "S1").with_columns(symbol=pl.lit("NEW"))

    found = profile.judge(learned, stranger, DAILY)

    apart = abs(np.log(learned.symbols["S0"]["volume"].scale / learned.usual["volume"].scale))
    assert apart < 0.1
    assert (found["p"] < 1e-3).mean() < 0.01


def test_beyond_what_was_seen_probability_falls_with_the_third_power() -> None:
    """Twice as far is an eighth as likely; between levels it is interpolated, and a level is what it says."""
    tail = LEARNED.tails["return"]

    found = profile.probability(tail, np.array([tail[3], 2 * tail[-1], 4 * tail[-1], np.nan]))

    assert np.allclose(found[:3], [LEVELS[3], LEVELS[-1] / 8, LEVELS[-1] / 64])
    assert np.isnan(found[3])


def test_a_profile_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    """With its digest; a changed file, or one of another version, is refused in a sentence."""
    path = profiles.save(LEARNED, tmp_path)
    loaded = profiles.load(tmp_path, DAILY)

    assert isinstance(loaded, Profile)
    assert loaded.digest == LEARNED.digest
    assert profiles.load(tmp_path, DAILY, before=CUT) is None
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace('"rows": ', '"rows": 1', 1), encoding="utf-8")
    with pytest.raises(DataError, match="digest differs"):
        profiles.load(tmp_path, DAILY)
    path.write_text(text.replace('"version": 1', '"version": 0'), encoding="utf-8")
    with pytest.raises(DataError, match="version 0"):
        profiles.load(tmp_path, DAILY)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(DataError, match="cannot be read"):
        profiles.load(tmp_path, DAILY)


def test_too_little_history_teaches_nothing() -> None:
    """One sentence says how much there is and how much is needed."""
    with pytest.raises(NoData, match="200 are needed"):
        profile.learn(BARS.head(50), DAILY, clean.LIMITS, CUT)


def test_inspection_flags_what_the_profile_finds_unlikely() -> None:
    """A volume that is a thousand times the usual is kept, flagged, and explained; without a profile nobody says a word."""
    alone = NEW.filter(pl.col("symbol") == "S0")
    frame = clean.change(alone, 300, volume=float(alone["volume"][300] * 1e6))

    with_profile = inspect(frame, DAILY, clean.LIMITS, known=Knowledge(profile=LEARNED))
    without = inspect(frame, DAILY, clean.LIMITS)

    counts = [dict(found.summary.select("defect", "rows").iter_rows())["unlikely"] for found in (with_profile, without)]
    assert counts[0] >= 1
    assert counts[1] == 0
    flagged = with_profile.kept.filter((pl.col("flags") & 8192) != 0)
    assert alone["opened_at"][300] in flagged["opened_at"].to_list()
