"""Feature engine against TA-Lib (C), one core, 500 symbols x 2,520 daily bars, float64: `python -m benchmarks.features.talib`.

Both get their best case. TA-Lib is called per symbol on contiguous float64 columns, cut outside the timing, and its results are
dropped at once. The engine gets the time-major panel in blocks of rows, also cut outside the timing, small enough for one block's
results to stay in the cache (`RESULTS`), and writes each block's over the last one's. A last line has both keep all results until
the round ends, which is bound by memory; so is a single indicator, which alone has to fetch its prices. Times are CPU seconds of
the process, rounds are interleaved, a ratio is taken within a round, and the median of the ratios is reported.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import talib

from benchmarks.features.markets import BARS, SYMBOLS, market
from domain.clock import SystemClock
from domain.panel import FloatArray, Panel
from features import indicators as plain
from features.engine import FeatureEngine
from features.feature import Feature

ROUNDS = 15
#: Values of one block's results, and the most rows it may have.
RESULTS, ROWS_MAX = 600_000, 64
RATE = plain.rate("close", 1)
OTHER = plain.rate("high", 1)
Columns = dict[str, FloatArray]
Pair = tuple[str, Callable[[], object], Callable[[], object]]

#: Name, what the engine computes, what TA-Lib computes from one symbol's columns.
COMMON: tuple[tuple[str, tuple[Feature, ...], Callable[[Columns], Any]], ...] = (
    ("SMA 20", (plain.sma("close", 20),), lambda c: talib.SMA(c["close"], 20)),
    ("EMA 20", (plain.ema("close", 20),), lambda c: talib.EMA(c["close"], 20)),
    ("WMA 20", (plain.wma("close", 20),), lambda c: talib.WMA(c["close"], 20)),
    ("DEMA 20", (plain.dema("close", 20),), lambda c: talib.DEMA(c["close"], 20)),
    ("TEMA 20", (plain.tema("close", 20),), lambda c: talib.TEMA(c["close"], 20)),
    ("TRIX 15", (plain.trix("close", 15),), lambda c: talib.TRIX(c["close"], 15)),
    (
        "MACD 12 26 9",
        (plain.macd("close"), plain.macd_signal("close"), plain.macd_histogram("close")),
        lambda c: talib.MACD(c["close"]),
    ),
    ("MOM 10", (plain.change("close", 10),), lambda c: talib.MOM(c["close"], 10)),
    ("ROC 10", (plain.rate("close", 10, 100.0),), lambda c: talib.ROC(c["close"], 10)),
    ("APO 12 26", (plain.difference(plain.ema("close", 12), plain.ema("close", 26)),), lambda c: talib.APO(c["close"], 12, 26, 1)),
    ("CMO 14", (plain.cmo("close", 14),), lambda c: talib.CMO(c["close"], 14)),
    ("RSI 14", (plain.rsi("close", 14),), lambda c: talib.RSI(c["close"], 14)),
    ("STOCHF 14 K", (plain.stochastic(14),), lambda c: talib.STOCHF(c["high"], c["low"], c["close"], 14, 1, 0)[0]),
    (
        "STOCH 14 3 3",
        (plain.sma(plain.stochastic(14), 3), plain.sma(plain.sma(plain.stochastic(14), 3), 3)),
        lambda c: talib.STOCH(c["high"], c["low"], c["close"], 14, 3, 0, 3, 0),
    ),
    ("WILLR 14", (plain.williams(14),), lambda c: talib.WILLR(c["high"], c["low"], c["close"], 14)),
    ("CCI 20", (plain.cci(plain.typical(), 20),), lambda c: talib.CCI(c["high"], c["low"], c["close"], 20)),
    ("PLUS_DM 14", (plain.directional_move(14, plus=True),), lambda c: talib.PLUS_DM(c["high"], c["low"], 14)),
    ("MINUS_DM 14", (plain.directional_move(14, plus=False),), lambda c: talib.MINUS_DM(c["high"], c["low"], 14)),
    ("PLUS_DI 14", (plain.plus_di(14),), lambda c: talib.PLUS_DI(c["high"], c["low"], c["close"], 14)),
    ("MINUS_DI 14", (plain.minus_di(14),), lambda c: talib.MINUS_DI(c["high"], c["low"], c["close"], 14)),
    ("DX 14", (plain.dx(14),), lambda c: talib.DX(c["high"], c["low"], c["close"], 14)),
    ("ADX 14", (plain.adx(14),), lambda c: talib.ADX(c["high"], c["low"], c["close"], 14)),
    ("ADXR 14", (plain.adxr(14),), lambda c: talib.ADXR(c["high"], c["low"], c["close"], 14)),
    ("TRANGE", (plain.true_range(),), lambda c: talib.TRANGE(c["high"], c["low"], c["close"])),
    ("ATR 14", (plain.atr(14),), lambda c: talib.ATR(c["high"], c["low"], c["close"], 14)),
    ("NATR 14", (plain.natr(14),), lambda c: talib.NATR(c["high"], c["low"], c["close"], 14)),
    ("VAR 20", (plain.variance("close", 20),), lambda c: talib.VAR(c["close"], 20)),
    ("STDDEV 20", (plain.deviation("close", 20),), lambda c: talib.STDDEV(c["close"], 20)),
    (
        "BBANDS 20",
        (plain.band("close", 20, 2.0), plain.sma("close", 20), plain.band("close", 20, -2.0)),
        lambda c: talib.BBANDS(c["close"], 20, 2.0, 2.0),
    ),
    ("MAX 20", (plain.highest("close", 20),), lambda c: talib.MAX(c["close"], 20)),
    ("MIN 20", (plain.lowest("close", 20),), lambda c: talib.MIN(c["close"], 20)),
    ("SUM 20", (plain.total("close", 20),), lambda c: talib.SUM(c["close"], 20)),
    ("MIDPOINT 20", (plain.midpoint("close", "close", 20),), lambda c: talib.MIDPOINT(c["close"], 20)),
    ("MIDPRICE 14", (plain.midpoint("high", "low", 14),), lambda c: talib.MIDPRICE(c["high"], c["low"], 14)),
    ("LINEARREG 20", (plain.regression("close", 20),), lambda c: talib.LINEARREG(c["close"], 20)),
    ("LINEARREG_SLOPE 20", (plain.slope("close", 20),), lambda c: talib.LINEARREG_SLOPE(c["close"], 20)),
    ("CORREL 20", (plain.correlation("close", "volume", 20),), lambda c: talib.CORREL(c["close"], c["volume"], 20)),
    ("BETA 20", (plain.beta(RATE, OTHER, 20),), lambda c: talib.BETA(c["close"], c["high"], 20)),
    ("OBV", (plain.obv(),), lambda c: talib.OBV(c["close"], c["volume"])),
    ("AD", (plain.ad(),), lambda c: talib.AD(c["high"], c["low"], c["close"], c["volume"])),
    ("MFI 14", (plain.mfi(14),), lambda c: talib.MFI(c["high"], c["low"], c["close"], c["volume"], 14)),
)


def columns(panel: Panel) -> list[Columns]:
    """Return each symbol's columns, contiguous."""
    turned = {name: np.ascontiguousarray(getattr(panel, name).T) for name in ("high", "low", "close", "volume")}
    return [{name: values[s] for name, values in turned.items()} for s in range(len(panel.symbols))]


def seconds(work: Callable[[], object]) -> float:
    """Return the CPU time that one call takes."""
    begun = time.process_time_ns()
    work()
    return (time.process_time_ns() - begun) / 1e9


def ours(features: tuple[Feature, ...], panel: Panel) -> Callable[[], object]:
    """Return one run of the engine over all blocks, each into the same array."""
    rows = min(ROWS_MAX, RESULTS // (len(features) * SYMBOLS))
    blocks = [panel.rows(first, min(first + rows, BARS)) for first in range(0, BARS, rows)]
    out = np.zeros((len(features), rows, SYMBOLS))

    def work() -> None:
        engine = FeatureEngine(features, SYMBOLS, precision=np.float64)
        for block in blocks:
            engine.advance(block, out[:, : block.bars])

    return work


def theirs(calls: list[Callable[[Columns], Any]], symbols: list[Columns]) -> Callable[[], object]:
    """Return one run of TA-Lib over all symbols."""

    def work() -> None:
        for call in calls:
            for symbol in symbols:
                call(symbol)

    return work


def kept(features: tuple[Feature, ...], panel: Panel, symbols: list[Columns]) -> tuple[Callable[[], object], Callable[[], object]]:
    """Return one run of each that holds on to all results."""
    out = np.zeros((len(features), BARS, SYMBOLS))
    mine = lambda: FeatureEngine(features, SYMBOLS, precision=np.float64).advance(panel, out)  # noqa: E731
    return mine, lambda: [[call(symbol) for symbol in symbols] for _, _, call in COMMON]


def pairs() -> tuple[list[Pair], list[Pair]]:
    """Return what is raced: each indicator alone and all of them together; then, for it empties the caches, all of them kept."""
    panel = market()
    symbols = columns(panel)
    every = tuple(dict.fromkeys(feature for _, features, _ in COMMON for feature in features))
    alone = [(name, ours(features, panel), theirs([call], symbols)) for name, features, call in COMMON]
    together = ("**all, one engine**", ours(every, panel), theirs([call for _, _, call in COMMON], symbols))
    return [*alone, together], [("all, results kept", *kept(every, panel, symbols))]


def race(raced: list[Pair]) -> list[tuple[str, float, float, float]]:
    """Return name, our and TA-Lib's median nanoseconds per symbol-bar, and the median ratio."""
    rounds = [[(seconds(mine), seconds(other)) for _, mine, other in raced] for _ in range(ROUNDS + 1)][1:]
    values = BARS * SYMBOLS / 1e9
    return [
        (
            name,
            statistics.median(r[i][0] for r in rounds) / values,
            statistics.median(r[i][1] for r in rounds) / values,
            statistics.median(r[i][1] / r[i][0] for r in rounds),
        )
        for i, (name, _, _) in enumerate(raced)
    ]


def main() -> None:
    """Measure, print, and write the table beside this script."""
    lines = [
        "# Feature engine against TA-Lib",
        "",
        f"{SYMBOLS} symbols x {BARS} bars, float64, one core, CPU time, median of {ROUNDS} interleaved rounds.",
        f"{SystemClock().now():%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}, "
        f"NumPy {np.__version__}, TA-Lib {talib.__ta_version__.decode().split()[0]}.",
        "",
        "| indicator | engine, ns per symbol-bar | TA-Lib | ratio |",
        "|---|---|---|---|",
    ]
    lines += [f"| {name} | {mine:.2f} | {other:.2f} | {ratio:.1f} |" for part in pairs() for name, mine, other, ratio in race(part)]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
