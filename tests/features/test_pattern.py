"""Tests of candlestick patterns against TA-Lib (C)."""

import numpy as np
import numpy.typing as npt
import pytest
import talib

from domain.panel import PRICES, Panel
from features.catalog import pattern
from features.engine import FeatureEngine
from tests.features import panels

TWINS = {"patterns": "by every feature of the family"}
#: Real prices are whole cents, so that a body can be exactly as long as what it is compared with; rounding decides those.
TIES_MAX = 2e-4


def wild(bars: int, symbols: int, seed: int) -> Panel:
    """Return markets of gaps and long and short bodies, drawn so that every pattern comes up."""
    draw = np.random.default_rng(seed)
    shape = (bars, symbols)
    drift = np.cumsum(draw.normal(0.0, 0.3, shape), axis=0)
    body = draw.normal(0.0, 1.0, shape) * draw.choice([0.02, 0.3, 1.0, 2.5], shape)
    upper, lower = (
        np.abs(draw.normal(0.0, 0.5, shape)) * draw.choice([0.02, 0.5, 2.0], shape, p=[0.5, 0.3, 0.2]) for _ in range(2)
    )
    opening = 200.0 + drift + draw.normal(0.0, 1.2, shape)
    close = opening + body
    high, low = np.maximum(opening, close) + upper, np.minimum(opening, close) - lower
    prices = {"open": opening, "high": high, "low": low, "close": close, "volume": np.full(shape, 1000.0)}
    return panels.from_prices(prices)


def differences(panel: Panel) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], int]:
    """Return for each pattern how often TA-Lib sees another one, how often it sees any, and how many bars there are."""
    values = FeatureEngine(pattern.FEATURES, len(panel.symbols), precision=np.float64).advance(panel)
    other, seen = np.zeros((2, len(pattern.FEATURES)), dtype=np.int64)
    for s in range(len(panel.symbols)):
        own = panel.present[:, s]
        prices = [np.ascontiguousarray(getattr(panel, name)[own, s]) for name in PRICES[:4]]
        for f, feature in enumerate(pattern.FEATURES):
            theirs = getattr(talib, feature.source.removeprefix("TA-Lib "))(*prices)[feature.warm_up :] / 100.0
            ours = values[own, s, f][feature.warm_up :]
            assert not np.isnan(ours).any()
            other[f] += (ours != theirs).sum()
            seen[f] += (theirs != 0.0).sum()
    return other, seen, int(panel.present.sum())


def test_every_pattern_equals_talib_where_prices_are_drawn() -> None:
    """Forty thousand bars in which each pattern comes up: not one is seen otherwise."""
    other, seen, _ = differences(wild(4000, 10, 61))

    assert dict(zip((f.name for f in pattern.FEATURES), other.tolist(), strict=True)) == {f.name: 0 for f in pattern.FEATURES}
    assert seen.min() > 0, [f.name for f, n in zip(pattern.FEATURES, seen, strict=True) if n == 0]


def test_patterns_equal_talib_on_real_stocks_but_for_exact_ties() -> None:
    """Real prices with gaps; of all bars and patterns at most a few in ten thousand differ, where rounding decides a tie."""
    other, seen, bars = differences(panels.real(24))

    assert seen.sum() > 1000
    assert other.sum() <= TIES_MAX * bars * len(pattern.FEATURES)


@pytest.mark.parametrize(("name", "places"), [("candle_doji", 1), ("candle_engulfing", 2), ("candle_tristar", 3)])
def test_a_pattern_waits_for_the_means_of_each_of_its_bars(name: str, places: int) -> None:
    """Ten bars before the first of a pattern's bars."""
    feature = next(feature for feature in pattern.FEATURES if feature.name == name)

    assert feature.warm_up == 10 + places - 1
