"""Sixteen common indicators against TA-Lib, polars and pandas, one core: `python -m benchmarks.features.peers`.

The set of a usual chart: SMA, EMA, RSI, MACD with signal and histogram, ATR, two Bollinger bands, a z-score, a correlation of
price and volume, highest high, lowest low, realised volatility, OBV and a rolling VWAP. Two shapes, 500 symbols x 2,520 bars
and 50 x 200,000. TA-Lib and NumPy get each symbol's contiguous columns, polars one long table and `.over("symbol")`, pandas one
and `groupby`; our engine the time-major panel, results in float64 and in the float32 that models read. All results are kept
until a round ends. CPU seconds, rounds interleaved, ratios within a round, medians. A second process measures two threads
against one. Writes peers.md.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

# One core for every peer, before it is imported.
os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np
import pandas as pd
import polars as pl
import talib

from benchmarks.features.markets import market
from benchmarks.features.talib import Columns, columns, seconds
from domain.panel import FloatArray, Panel
from features import indicators as plain
from features.engine import FeatureEngine
from features.kernels import volume

SHAPES = ((500, 2520, 7), (50, 200_000, 3))
#: Pairs of runs of one thread and two, and the history that they run over.
PAIRS, SYMBOLS, BARS = 9, 500, 20_000
PRICES = ("high", "low", "close", "volume")
_RETURN = plain.change(plain.logarithm("close"))
_VALUE = plain.pointwise("traded_value", volume.traded, plain.typical(), "volume")
SET = (
    plain.sma("close", 20),
    plain.ema("close", 20),
    plain.rsi("close", 14),
    plain.macd("close"),
    plain.macd_signal("close"),
    plain.macd_histogram("close"),
    plain.atr(14),
    plain.band("close", 20, 2.0),
    plain.band("close", 20, -2.0),
    plain.score("close", 20),
    plain.correlation("close", "volume", 20),
    plain.highest("high", 20),
    plain.lowest("low", 20),
    plain.deviation(_RETURN, 20),
    plain.obv(),
    plain.over(plain.total(_VALUE, 20), plain.total("volume", 20)),
)


def by_talib(symbols: list[Columns]) -> list[list[FloatArray]]:
    """Return the set of each symbol."""
    return [_talib(c["high"], c["low"], c["close"], c["volume"]) for c in symbols]


def _talib(high: FloatArray, low: FloatArray, close: FloatArray, traded: FloatArray) -> list[FloatArray]:
    upper, middle, lower = talib.BBANDS(close, 20, 2.0, 2.0)
    value = talib.TYPPRICE(high, low, close) * traded
    return [
        talib.SMA(close, 20), talib.EMA(close, 20), talib.RSI(close, 14), *talib.MACD(close), talib.ATR(high, low, close, 14),
        upper, lower, (close - middle) / talib.STDDEV(close, 20), talib.CORREL(close, traded, 20), talib.MAX(high, 20),
        talib.MIN(low, 20), talib.STDDEV(talib.MOM(talib.LN(close), 1), 20), talib.OBV(close, traded),
        talib.SUM(value, 20) / talib.SUM(traded, 20),
    ]  # fmt: skip


def by_polars(table: pl.DataFrame) -> pl.DataFrame:
    """Return the set as columns of the long table."""
    close, high, low, traded = (pl.col(name) for name in ("close", "high", "low", "volume"))
    mean, deviation = close.rolling_mean(20), close.rolling_std(20, ddof=0)
    move = close.diff()
    gain, loss = (side.clip(lower_bound=0.0).ewm_mean(alpha=1 / 14, adjust=False) for side in (move, -move))
    line = close.ewm_mean(span=12, adjust=False) - close.ewm_mean(span=26, adjust=False)
    signal = line.ewm_mean(span=9, adjust=False)
    span = pl.max_horizontal(high - low, (high - close.shift()).abs(), (low - close.shift()).abs())
    value = (high + low + close) / 3.0 * traded
    made = (
        mean, close.ewm_mean(span=20, adjust=False), 100.0 * gain / (gain + loss), line, signal, line - signal,
        span.ewm_mean(alpha=1 / 14, adjust=False), mean + 2.0 * deviation, mean - 2.0 * deviation, (close - mean) / deviation,
        pl.rolling_corr(close, traded, window_size=20), high.rolling_max(20), low.rolling_min(20),
        close.log().diff().rolling_std(20, ddof=0), (move.sign() * traded).cum_sum(),
        value.rolling_sum(20) / traded.rolling_sum(20),
    )  # fmt: skip
    return table.select(expression.over("symbol").alias(f"f{i}") for i, expression in enumerate(made))


def by_pandas(table: pd.DataFrame) -> list[pd.Series]:
    """Return the set of the long table."""
    symbol = table["symbol"]
    close, traded = table["close"], table["volume"]

    def rolling(series: pd.Series) -> "pd.api.typing.RollingGroupby":
        return series.groupby(symbol, sort=False).rolling(20)

    def smooth(series: pd.Series, **how: float) -> pd.Series:
        return series.groupby(symbol, sort=False).ewm(adjust=False, **how).mean().droplevel(0)

    mean, deviation = rolling(close).mean().droplevel(0), rolling(close).std(ddof=0).droplevel(0)
    before = close.groupby(symbol, sort=False).shift()
    move = close - before
    gain, loss = (smooth(side.clip(lower=0.0), alpha=1 / 14) for side in (move, -move))
    line = smooth(close, span=12) - smooth(close, span=26)
    signal = smooth(line, span=9)
    span = np.maximum(table["high"] - table["low"], np.maximum((table["high"] - before).abs(), (table["low"] - before).abs()))
    value = (table["high"] + table["low"] + close) / 3.0 * traded
    paired = table.groupby("symbol", sort=False)[["close", "volume"]].rolling(20).corr().iloc[0::2, 1]
    return [
        mean, smooth(close, span=20), 100.0 * gain / (gain + loss), line, signal, line - signal, smooth(span, alpha=1 / 14),
        mean + 2.0 * deviation, mean - 2.0 * deviation, (close - mean) / deviation, paired, rolling(table["high"]).max(),
        rolling(table["low"]).min(), rolling(np.log(close / before)).std(ddof=0),
        (np.sign(move) * traded).groupby(symbol, sort=False).cumsum(), rolling(value).sum() / rolling(traded).sum(),
    ]  # fmt: skip


def by_us(panel: Panel, out: FloatArray) -> FloatArray:
    """Return the set of the panel, written where the results of the round before were."""
    return FeatureEngine(SET, len(panel.symbols), precision=out.dtype).advance(panel, out)


def long(panel: Panel, symbols: list[Columns]) -> pl.DataFrame:
    """Return the panel as one long table, symbol after symbol."""
    names = pl.Series(panel.symbols).gather(np.repeat(np.arange(len(panel.symbols)), panel.bars))
    return pl.DataFrame({"symbol": names, **{name: np.concatenate([c[name] for c in symbols]) for name in PRICES}})


def race(symbols: int, bars: int, rounds: int) -> list[str]:
    """Return a row of the table for each runner on one shape."""
    panel = market(bars, symbols)
    cut = columns(panel)
    table = long(panel, cut)
    frame = table.to_pandas()
    double, single = (np.zeros((len(SET), bars, symbols), dtype=kind) for kind in (np.float64, np.float32))
    runners: dict[str, Callable[[], object]] = {
        "ours, float64": lambda: by_us(panel, double), "ours, float32": lambda: by_us(panel, single),
        "TA-Lib": lambda: by_talib(cut), "polars": lambda: by_polars(table), "pandas": lambda: by_pandas(frame),
    }  # fmt: skip
    measured = [{name: seconds(run) for name, run in runners.items()} for _ in range(rounds + 1)][1:]
    lines = []
    for name in runners:
        ns = statistics.median(r[name] for r in measured) / (symbols * bars) * 1e9
        ratio, narrow = (statistics.median(r[name] / r[f"ours, {kind}"] for r in measured) for kind in ("float64", "float32"))
        lines.append(f"| {symbols} x {bars:,} | {name} | {ns:.1f} | {ratio:.1f} | {narrow:.1f} |")
    return lines


def threads() -> tuple[float, float]:
    """Return how many times as fast two threads are as one, by the clock, in the median of interleaved pairs.

    First of one engine, then of two engines of half the symbols each: what the machine has to give.
    """
    panels = market(BARS, SYMBOLS), market(BARS, SYMBOLS // 2)
    outs = [np.zeros((len(SET), BARS, width), dtype=np.float32) for width in (SYMBOLS, SYMBOLS // 2, SYMBOLS // 2)]
    whole = [partial(_run, panels[0], outs[0], count) for count in (1, 2)]
    halves = [partial(_run, panels[1], out, 1) for out in outs[1:]]
    rounds = []
    with ThreadPoolExecutor(2) as pool:
        for _ in range(PAIRS):
            one, two = map(clocked, whole)
            rounds.append((one / two, sum(map(clocked, halves)) / clocked(partial(_together, pool, halves))))
    threaded, apart = (statistics.median(ratios[1:]) for ratios in zip(*rounds, strict=True))
    return threaded, apart


def _run(panel: Panel, out: FloatArray, threads: int) -> None:
    FeatureEngine(SET, len(panel.symbols), threads=threads).advance(panel, out)


def _together(pool: ThreadPoolExecutor, works: Sequence[Callable[[], object]]) -> None:
    for running in [pool.submit(work) for work in works]:
        running.result()


def clocked(work: Callable[[], object]) -> float:
    """Return the seconds that one call takes by the clock."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def main() -> None:
    """Measure, print, and write the table beside this script."""
    if "--threads" in sys.argv:
        print(json.dumps(threads()))
        return
    lines = [
        "# Sixteen common indicators against TA-Lib, polars and pandas", "",
        "One core, CPU time, all results kept until a round ends, medians of interleaved rounds.", "",
        "| symbols x bars | runner | ns a symbol-bar, 16 values | times ours in float64 | times ours in float32 |",
        "|---|---|---|---|---|",
    ]  # fmt: skip
    for shape in SHAPES:
        lines += race(*shape)
        print("\n".join(lines[-5:]), flush=True)
    told = subprocess.run(
        [sys.executable, "-m", "benchmarks.features.peers", "--threads"], check=True, capture_output=True, text=True
    )
    one, two = json.loads(told.stdout)
    lines += [
        "",
        f"Two threads against one, by the clock, {SYMBOLS} symbols x {BARS:,} bars: {one:.2f} times as fast.",
        f"Two engines of half the symbols, at the same time against one after the other: {two:.2f} times.",
    ]
    print("\n".join(lines[-2:]))
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
