"""Tests of Alpha158 against a naive twin in pandas, on random walks and on real stocks with gaps."""

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest

from domain.panel import PRICES, Panel
from features.catalog import alpha158
from features.engine import FeatureEngine
from features.feature import Feature
from features.kernels import candle, counting, extreme, nested, order_statistics
from tests.features import naive_alpha158, panels

#: Kernels whose twin is in this module, by the features that they make.
TWINS = {
    "shape": "by kmid to ksft2",
    "prices": "by open0, high0, low0",
    "sized_move": "by wvma",
    "lines": "by roc, ma, std, beta, rsqr, resi",
    "spreads": "by vma, vstd, wvma",
    "moves": "by cntp to sumd, vsump to vsumd",
    "extremes": "by max to imxd",
    "pairs": "by corr and cord",
    "clear": "by lines",
    "five": "by lines",
    "begin": "by quantiles",
    "replace": "by quantiles",
    "quantiles": "by qtlu, qtld, rank",
}
NAMES = [feature.name for feature in alpha158.FEATURES]


def with_vwap(panel: Panel) -> Panel:
    """Return the panel with a volume-weighted price between low and high."""
    vwap = 0.3 * panel.high + 0.3 * panel.low + 0.4 * panel.close
    columns = {name: getattr(panel, name) for name in PRICES}
    return Panel("test", "1d", panel.symbols, panel.opened_at, panel.event_at, **columns, covariates={"vwap": vwap})


def compare(panel: Panel) -> None:
    """Assert that each symbol's features equal the twin's over the bars that it really had."""
    values = FeatureEngine(alpha158.FEATURES, len(panel.symbols), precision=np.float64).advance(panel)
    for s in range(len(panel.symbols)):
        own = panel.present[:, s]
        with np.errstate(invalid="ignore"):
            twin = naive_alpha158.table(pd.DataFrame({name: column[own, s] for name, column in panel.columns().items()}))
        for f, name in enumerate(NAMES):
            np.testing.assert_allclose(values[own, s, f], twin[name].to_numpy(float), rtol=1e-9, atol=1e-10, err_msg=name)


def test_the_set_is_complete() -> None:
    """Nine of the candle, four prices and 29 operators over five windows, as Qlib's handler lists them."""
    assert len(NAMES) == len(set(NAMES)) == 158
    assert set(NAMES) == set(naive_alpha158.table(pd.DataFrame(np.ones((2, 6)), columns=[*PRICES, "vwap"])).columns)


@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_alpha158_equals_its_naive_twin_on_random_walks(gaps: float) -> None:
    """Every feature at every bar, with bars missing and symbols listed late."""
    compare(with_vwap(panels.random(170, 3, 41, gaps)))


def test_alpha158_equals_its_naive_twin_on_real_stocks() -> None:
    """Real prices, rounded to cents, with their ties and their gaps."""
    compare(with_vwap(panels.columns(panels.real(40), slice(0, 40, 13)).rows(0, 300)))


def test_a_flat_market_is_decided_not_left() -> None:
    """Where nothing moves, shares of moves are zero, places those of the oldest bar, and only what is 0 / 0 is unknown."""
    flat = np.full((70, 1), 20.0)
    panel = with_vwap(panels.from_prices(dict.fromkeys(PRICES, flat)))

    last = dict(zip(NAMES, FeatureEngine(alpha158.FEATURES, 1, precision=np.float64).advance(panel)[-1, 0], strict=True))

    unknown = {name for name, value in last.items() if np.isnan(value)}
    assert unknown == {f"alpha158_{name}_{n}" for name in ("corr", "cord", "rsqr") for n in alpha158.WINDOWS}
    assert all(last[f"alpha158_{name}_20"] == 0.0 for name in ("std", "beta", "rsv", "cntp", "sumd", "vsump", "wvma", "imxd"))
    assert last["alpha158_imax_20"] == 1 / 20
    assert last["alpha158_rank_20"] == 21 / 40


def test_sums_about_the_newest_value_keep_their_digits_far_from_zero() -> None:
    """At a million steps above zero, past a jump of that size, deviations keep nine digits: nothing is carried from bar to bar."""
    x = 1e6 + np.cumsum(np.random.default_rng(8).normal(0.0, 1.0, 300))
    x[150] *= 3.0
    flat = np.ones_like(x)
    panel = with_vwap(panels.from_prices({name: (x if name != "volume" else flat)[:, None] for name in PRICES}))
    chosen = tuple(feature for feature in alpha158.FEATURES if feature.name in {"alpha158_std_20", "alpha158_beta_20"})

    values = FeatureEngine(chosen, 1, precision=np.float64).advance(panel)[:, 0]

    windows: npt.NDArray[np.float64] = np.lib.stride_tricks.sliding_window_view(x, 20).astype(np.longdouble)
    centred = windows - windows.mean(axis=1, keepdims=True)
    steps = np.arange(20) - 9.5
    np.testing.assert_allclose(values[19:, 0] * x[19:], np.sqrt((centred**2).sum(axis=1) / 19).astype(float), rtol=1e-9)
    np.testing.assert_allclose(values[19:, 1] * x[19:], (centred @ steps / (steps @ steps)).astype(float), rtol=1e-9)


def test_every_step_is_called_once_for_all_windows() -> None:
    """The 145 windowed features come from nine scans; a live bar pays for calls, not for names."""
    makers = {
        feature.inputs[0].name
        for feature in alpha158.FEATURES
        if feature.part is not None and isinstance(feature.inputs[0], Feature)
    }

    assert len(makers) == 11
    assert {room.__name__ for room in (candle, counting, extreme, nested, order_statistics)} == {
        feature.kernel.__module__ for feature in alpha158.FEATURES if feature.part is not None
    }
