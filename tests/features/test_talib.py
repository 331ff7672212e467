"""Tests of the plain indicators against TA-Lib (C), on random walks and on real stocks with gaps."""

import numpy as np
import pytest

from benchmarks.features import talib as benchmark
from domain.panel import FloatArray, Panel
from features.engine import FeatureEngine
from tests.features import panels

NAMES = [name for name, *_ in benchmark.COMMON]
#: A value that is a difference of larger ones is compared against their size, not its own: both libraries round.
RELATIVE = 1e-9


def compare(panel: Panel, name: str) -> None:
    """Assert that the engine equals TA-Lib, which gets each symbol's own bars, joined."""
    _, features, call = next(row for row in benchmark.COMMON if row[0] == name)
    values = FeatureEngine(features, len(panel.symbols), precision=np.float64).advance(panel)
    for s in range(len(panel.symbols)):
        own = ~np.isnan(panel.close[:, s])
        answers = call(
            {column: np.ascontiguousarray(getattr(panel, column)[own, s]) for column in ("high", "low", "close", "volume")}
        )
        for ours, theirs in zip(values[own, s].T, answers if isinstance(answers, tuple) else (answers,), strict=True):
            agree(ours, theirs)


def agree(ours: FloatArray, theirs: FloatArray) -> None:
    """Assert that two series begin together and agree; NaN of ours stands where TA-Lib calls 0 / 0 zero."""
    begun = np.isfinite(theirs)
    undefined = np.isnan(ours) & (theirs == 0.0)
    size = np.median(np.abs(theirs[begun])) if begun.any() else 1.0

    assert not np.isnan(ours[begun & ~undefined]).any()
    np.testing.assert_allclose(ours[begun & ~undefined], theirs[begun & ~undefined], rtol=RELATIVE, atol=RELATIVE * size)


@pytest.mark.parametrize("name", NAMES)
def test_an_indicator_equals_talib_on_random_walks(name: str) -> None:
    """Two thousand bars of random prices, long past every warm-up and every anchor."""
    compare(panels.random(2000, 6, 12), name)


@pytest.mark.parametrize("name", NAMES)
def test_an_indicator_equals_talib_on_real_stocks(name: str) -> None:
    """Real prices and volumes; where a stock has gaps TA-Lib gets its bars without them."""
    compare(panels.real(40), name)
