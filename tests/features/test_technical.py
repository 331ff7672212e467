"""Tests of the other chart indicators against TA-Lib (C), on random walks and on real stocks with gaps."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import talib

from domain.panel import PRICES, FloatArray, Panel
from features import indicators as plain
from features import steps, technical
from features.engine import FeatureEngine
from features.feature import Feature
from features.kernels import volume
from tests.features import panels
from tests.features.test_talib import agree

Columns = dict[str, FloatArray]
_AD, _WAD = plain.ad(), technical.accumulation()
_STOCHASTIC_RSI = technical.fast_stochastic(*(plain.rsi("close", 14),) * 3, 5)
_STILL = technical.intraday_momentum(14)
#: Kernels whose twin is TA-Lib in this module.
TWINS = {
    "aroon": "by AROON, AROONOSC",
    "vortex": "by VORTEX",
    "parabolic": "by SAR",
    "from_first": "by ADOSC",
    "kaufman": "by KAMA",
    "efficiency": "by ER",
    "buying_pressure": "by ULTOSC",
    "accumulation": "by WAD",
    "balance": "by BOP",
    "between": "by STOCHF, STOCHRSI",
    "quotient": "by PPO and others",
    "mean_deviation": "by AVGDEV",
    "hilbert": "by HT_DCPERIOD, HT_PHASOR",
    "from_bar": "by HT_DCPERIOD",
    "mesa": "by MAMA",
    "phase": "by HT_DCPHASE, HT_SINE, HT_TRENDLINE, HT_TRENDMODE",
}

TABLE: tuple[tuple[str, tuple[Feature, ...], Callable[[Columns], Any]], ...] = (
    ("TRIMA 30", (technical.triangular("close", 30),), lambda c: talib.TRIMA(c["close"], 30)),
    ("TRIMA 15", (technical.triangular("close", 15),), lambda c: talib.TRIMA(c["close"], 15)),
    ("T3 5", (technical.tillson("close", 5),), lambda c: talib.T3(c["close"], 5)),
    ("HMA 20", (technical.hull("close", 20),), lambda c: talib.HMA(c["close"], 20)),
    ("ZLEMA 30", (technical.zero_lag("close", 30),), lambda c: talib.ZLEMA(c["close"], 30)),
    ("ER 10", (technical.efficiency("close", 10),), lambda c: talib.ER(c["close"], 10)),
    ("KAMA 30", (technical.kaufman("close", 30),), lambda c: talib.KAMA(c["close"], 30)),
    ("VWMA 30", (technical.volume_weighted(30),), lambda c: talib.VWMA(c["close"], c["volume"], 30)),
    ("PPO 12 26", (technical.percent_oscillator("close", 12, 26),), lambda c: talib.PPO(c["close"], 12, 26, 1)),
    ("PVO 12 26", (technical.percent_oscillator("volume", 12, 26),), lambda c: talib.PVO(c["volume"], 12, 26, 1)),
    (
        "STOCHF 5 3",
        (technical.fast_stochastic("close", "high", "low", 5), plain.sma(technical.fast_stochastic("close", "high", "low", 5), 3)),
        lambda c: talib.STOCHF(c["high"], c["low"], c["close"], 5, 3),
    ),
    ("STOCHRSI 14 5 3", (_STOCHASTIC_RSI, plain.sma(_STOCHASTIC_RSI, 3)), lambda c: talib.STOCHRSI(c["close"], 14, 5, 3)),
    (
        "AROON 14",
        (steps.part(technical.aroon(14), 1), steps.part(technical.aroon(14), 0)),
        lambda c: talib.AROON(c["high"], c["low"], 14),
    ),
    ("AROONOSC 25", (steps.part(technical.aroon(25), 2),), lambda c: talib.AROONOSC(c["high"], c["low"], 25)),
    ("VORTEX 14", (technical.vortex(14, 0), technical.vortex(14, 1)), lambda c: talib.VORTEX(c["high"], c["low"], c["close"], 14)),
    ("SAR", (technical.parabolic(),), lambda c: talib.SAR(c["high"], c["low"])),
    ("BOP", (technical.balance(),), lambda c: talib.BOP(c["open"], c["high"], c["low"], c["close"])),
    ("ULTOSC", (technical.ultimate(),), lambda c: talib.ULTOSC(c["high"], c["low"], c["close"])),
    ("IMI 14", (technical.intraday_momentum(14),), lambda c: talib.IMI(c["open"], c["close"], 14)),
    ("RVI 14 10", (technical.relative_volatility(14, 10),), lambda c: talib.RVI(c["close"], 14, 10)),
    ("TSI 25 13", (technical.true_strength("close", 25, 13),), lambda c: talib.TSI(c["close"], 25, 13)),
    (
        "SMI 13 2 25",
        (technical.stochastic_momentum(13, 2, 25),),
        lambda c: talib.SMI(c["high"], c["low"], c["close"], 13, 2, 25, 9)[0],
    ),
    ("VHF 28", (technical.vertical_horizontal(28),), lambda c: talib.VHF(c["close"], 28)),
    ("COPPOCK", (technical.coppock(10, 11, 14),), lambda c: talib.COPPOCK(c["close"])),
    ("AO", (technical.awesome(),), lambda c: talib.AO(c["high"], c["low"])),
    ("AC", (plain.difference(technical.awesome(), plain.sma(technical.awesome(), 5)),), lambda c: talib.AC(c["high"], c["low"])),
    ("MASSI", (technical.mass(25, 9),), lambda c: talib.MASSI(c["high"], c["low"])),
    ("CVI 10", (technical.range_volatility(10),), lambda c: talib.CVI(c["high"], c["low"])),
    ("ADR 14", (plain.sma(technical.reach(), 14),), lambda c: talib.ADR(c["high"], c["low"], 14)),
    ("AVGDEV 14", (technical.mean_deviation("close", 14),), lambda c: talib.AVGDEV(c["close"], 14)),
    ("TSF 14", (technical.forecast("close", 14),), lambda c: talib.TSF(c["close"], 14)),
    ("LINEARREG_INTERCEPT 14", (technical.intercept("close", 14),), lambda c: talib.LINEARREG_INTERCEPT(c["close"], 14)),
    (
        "ACCBANDS 20",
        (technical.acceleration_band(20, 1.0), plain.sma("close", 20), technical.acceleration_band(20, -1.0)),
        lambda c: talib.ACCBANDS(c["high"], c["low"], c["close"], 20),
    ),
    (
        "ADOSC 3 10",
        (technical.chaikin_oscillator(3, 10),),
        lambda c: talib.ADOSC(c["high"], c["low"], c["close"], c["volume"], 3, 10),
    ),
    ("EFI 13", (technical.force(13),), lambda c: talib.EFI(c["close"], c["volume"], 13)),
    (
        "WAD",
        (steps.step("wad", volume.cumulative, _WAD, slots=1),),
        lambda c: np.where(np.arange(c["close"].size) > 0, talib.WAD(c["high"], c["low"], c["close"]), np.nan),
    ),
    (
        "PVT",
        (steps.step("pvt", volume.cumulative, steps.product(plain.rate("close", 1), "volume"), slots=1),),
        lambda c: np.where(np.arange(c["close"].size) > 0, talib.PVT(c["close"], c["volume"]), np.nan),
    ),
    ("HT_DCPERIOD", (technical.phasor("close", 1),), lambda c: talib.HT_DCPERIOD(c["close"])),
    ("HT_PHASOR", (technical.phasor("close", 2), technical.phasor("close", 3)), lambda c: talib.HT_PHASOR(c["close"])),
    ("MAMA", (technical.mesa("close", 0), technical.mesa("close", 1)), lambda c: talib.MAMA(c["close"])),
    ("HT_DCPHASE", (technical.phase("close", 0),), lambda c: talib.HT_DCPHASE(c["close"])),
    ("HT_SINE", (technical.phase("close", 1), technical.phase("close", 2)), lambda c: talib.HT_SINE(c["close"])),
    ("HT_TRENDLINE", (technical.phase("close", 3),), lambda c: talib.HT_TRENDLINE(c["close"])),
    (
        "HT_TRENDMODE",
        (technical.phase("close", 4),),
        lambda c: np.where(np.arange(c["close"].size) >= 63, talib.HT_TRENDMODE(c["close"]), np.nan),
    ),
    ("QSTICK 10", (plain.sma(plain.difference("close", "open"), 10),), lambda c: talib.QSTICK(c["open"], c["close"], 10)),
    ("DPO 20", (plain.difference(plain.lagged("close", 11), plain.sma("close", 20)),), lambda c: talib.DPO(c["close"], 20)),
    (
        "ERI 13",
        (plain.difference("high", plain.ema("close", 13)), plain.difference("low", plain.ema("close", 13))),
        lambda c: talib.ERI(c["high"], c["low"], c["close"], 13),
    ),
)
NAMES = [name for name, *_ in TABLE]


def compare(panel: Panel, name: str) -> None:
    """Assert that the engine equals TA-Lib, which gets each symbol's own bars, joined."""
    _, features, call = next(row for row in TABLE if row[0] == name)
    values = FeatureEngine(features, len(panel.symbols), precision=np.float64).advance(panel)
    for s in range(len(panel.symbols)):
        own = panel.present[:, s]
        answers = call({column: np.ascontiguousarray(getattr(panel, column)[own, s]) for column in PRICES})
        for ours, theirs in zip(values[own, s].T, answers if isinstance(answers, tuple) else (answers,), strict=True):
            agree(ours, theirs)


@pytest.fixture(scope="module")
def stocks() -> Panel:
    """Return real stocks, those with gaps among them."""
    return panels.real(16)


@pytest.mark.parametrize("name", NAMES)
def test_an_indicator_equals_talib_on_random_walks(name: str) -> None:
    """A thousand bars of random prices, past every warm-up."""
    compare(panels.random(1000, 4, 52), name)


@pytest.mark.parametrize("name", NAMES)
def test_an_indicator_equals_talib_on_real_stocks(name: str, stocks: Panel) -> None:
    """Real prices and volumes; where a stock has gaps TA-Lib gets its bars without them."""
    compare(stocks, name)


def test_an_empty_range_is_decided_as_talib_decides_it() -> None:
    """A market that stands still has its close at 0 of its range, no efficiency lost, and no balance; nothing is left 0 / 0."""
    flat = panels.from_prices(dict.fromkeys(PRICES, np.full((60, 1), 20.0)))
    features = (
        technical.fast_stochastic("close", "high", "low", 5),
        technical.balance(),
        technical.efficiency("close", 10),
        _STILL,
    )

    last = FeatureEngine(features, 1, precision=np.float64).advance(flat)[-1, 0]

    np.testing.assert_array_equal(last[:3], [0.0, 0.0, 1.0])
    assert last[3] == talib.IMI(*(np.full(60, 20.0),) * 2, 14)[-1]
