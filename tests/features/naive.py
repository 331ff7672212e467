"""Naive twins of the kernels: each as its textbook says it, in plain Python, over one symbol's own bars."""

import math
import statistics
from collections.abc import Callable, Sequence
from fractions import Fraction

import numpy as np
import scipy.stats

Values = Sequence[float]
NAN = math.nan


def rolling(bars: int, measure: Callable[[list[float]], float], x: Values) -> list[float]:
    """Return the measure of each full window."""
    return [measure(list(x[i - bars + 1 : i + 1])) if i >= bars - 1 else NAN for i in range(len(x))]


def exact(x: Values) -> list[Fraction]:
    """Return the values as exact fractions."""
    return [Fraction(v) for v in x]


def total(x: Values, bars: int, scale: float) -> list[float]:
    """Return the scaled rolling sum."""
    return rolling(bars, lambda w: scale * math.fsum(w), x)


def simple(x: Values, bars: int) -> list[float]:
    """Return the rolling mean."""
    return rolling(bars, statistics.fmean, x)


def extreme(x: Values, bars: int, sign: float) -> list[float]:
    """Return the rolling maximum or minimum."""
    return rolling(bars, max if sign > 0 else min, x)


def lagged(x: Values, bars: int) -> list[float]:
    """Return what was `bars` bars ago."""
    return [x[i - bars] if i >= bars else NAN for i in range(len(x))]


def change(x: Values, bars: int) -> list[float]:
    """Return the difference to `bars` bars ago."""
    return [a - b for a, b in zip(x, lagged(x, bars), strict=True)]


def rate(x: Values, bars: int, scale: float) -> list[float]:
    """Return the scaled relative change."""
    return [scale * (a / b - 1.0) for a, b in zip(x, lagged(x, bars), strict=True)]


def exponential(x: Values, bars: int) -> list[float]:
    """Return the exponential average of span `bars`."""
    return _seeded(x, bars, 2.0 / (bars + 1.0))


def wilder(x: Values, bars: int) -> list[float]:
    """Return Wilder's average."""
    return _seeded(x, bars, 1.0 / bars)


def _seeded(x: Values, bars: int, gain: float) -> list[float]:
    out = [NAN] * len(x)
    for i in range(bars - 1, len(x)):
        out[i] = statistics.fmean(x[:bars]) if i == bars - 1 else (1.0 - gain) * out[i - 1] + gain * x[i]
    return out


def wilder_sum(x: Values, bars: int, need: int) -> list[float]:
    """Return Wilder's sum."""
    sums = [math.fsum(x[: i + 1]) for i in range(bars - 1)]
    for value in x[bars - 1 :]:
        sums.append(sums[-1] - sums[-1] / bars + value)
    return [NAN] * (need - 1) + sums[need - 1 :]


def late(x: Values, bars: int, skipped: int) -> list[float]:
    """Return the exponential average of x without its beginning."""
    return [NAN] * skipped + exponential(x[skipped:], bars)


def weighted(x: Values, bars: int) -> list[float]:
    """Return the linearly weighted average."""
    weights = np.arange(1, bars + 1)
    return rolling(bars, lambda w: float(np.average(w, weights=weights)), x)


def slope(x: Values, bars: int) -> list[float]:
    """Return the least-squares slope, in exact arithmetic."""

    def fit(w: list[float]) -> float:
        middle = Fraction(bars - 1, 2)
        return float(sum((j - middle) * v for j, v in enumerate(exact(w))) / sum((j - middle) ** 2 for j in range(bars)))

    return rolling(bars, fit, x)


def regression(x: Values, bars: int) -> list[float]:
    """Return the least-squares line's value at its newest bar."""

    def fit(w: list[float]) -> float:
        line = scipy.stats.linregress(np.arange(bars), w)
        return float(line.intercept + line.slope * (bars - 1))

    return rolling(bars, fit, x)


def deviation(x: Values, bars: int) -> list[float]:
    """Return the population standard deviation, in exact arithmetic up to the root."""
    return rolling(bars, lambda w: math.sqrt(statistics.pvariance(exact(w))), x)


def score(x: Values, bars: int) -> list[float]:
    """Return the distance from the mean in deviations."""
    return rolling(
        bars, lambda w: float(Fraction(w[-1]) - statistics.mean(exact(w))) / math.sqrt(statistics.pvariance(exact(w))), x
    )


def _pairs(x: Values, y: Values, bars: int, measure: Callable[[Values, Values], float]) -> list[float]:
    return [measure(x[i - bars + 1 : i + 1], y[i - bars + 1 : i + 1]) if i >= bars - 1 else NAN for i in range(len(x))]


def correlation(x: Values, y: Values, bars: int) -> list[float]:
    """Return Pearson's correlation."""
    return _pairs(x, y, bars, lambda a, b: float(scipy.stats.pearsonr(a, b).statistic))


def beta(x: Values, y: Values, bars: int) -> list[float]:
    """Return the least-squares slope of y on x."""
    return _pairs(x, y, bars, lambda a, b: float(scipy.stats.linregress(a, b).slope))


def relative_strength(x: Values, bars: int) -> list[float]:
    """Return Wilder's RSI."""
    moves = change(x, 1)[1:]
    gains = wilder([max(m, 0.0) for m in moves], bars)
    losses = wilder([max(-m, 0.0) for m in moves], bars)
    return (
        [NAN] + [100.0 if d == 0.0 else 100.0 - 100.0 / (1.0 + g / d) for g, d in zip(gains, losses, strict=True)]
        if moves
        else [NAN]
    )


def channel_index(x: Values, bars: int) -> list[float]:
    """Return Lambert's commodity channel index."""

    def index(w: list[float]) -> float:
        mean = statistics.fmean(w)
        return (w[-1] - mean) / (0.015 * statistics.fmean(abs(v - mean) for v in w))

    return rolling(bars, index, x)


def directional_move(high: Values, low: Values, plus: bool) -> list[float]:
    """Return Wilder's directional movement from the second bar on."""
    moves = [math.nan]
    for i in range(1, len(high)):
        rise, fall = high[i] - high[i - 1], low[i - 1] - low[i]
        mine, other = (rise, fall) if plus else (fall, rise)
        moves.append(mine if mine > max(other, 0.0) else 0.0)
    return moves


def true_range(high: Values, low: Values, close: Values) -> list[float]:
    """Return the largest of the three distances, from the second bar on."""
    later = zip(high[1:], low[1:], close, strict=False)
    return [math.nan, *(max(h - low, abs(h - before), abs(low - before)) for h, low, before in later)]


def on_balance(close: Values, volume: Values) -> list[float]:
    """Return the running sum of volume, signed by the change of the close; the first bar counts as a rise."""
    sides = [1.0, *np.sign(np.diff(close))]
    return list(np.cumsum([side * v for side, v in zip(sides, volume, strict=True)]))


def flow(price: Values, volume: Values, side: float) -> list[float]:
    """Return the traded value on bars whose price moved to one side, from the second bar on."""
    moves = zip(price[1:], np.diff(price), volume[1:], strict=True)
    return [math.nan, *(p * v if side * move > 0 else 0.0 for p, move, v in moves)]


def pressure(high: float, low: float, close: float, volume: float) -> float:
    """Return Chaikin's close location value times volume."""
    return volume * ((close - low) - (high - close)) / (high - low) if high > low else 0.0


def skewness(values: Values) -> float:
    """Return the population skewness."""
    return float(scipy.stats.skew(values))


def kurtosis(values: Values) -> float:
    """Return the population excess kurtosis."""
    return float(scipy.stats.kurtosis(values))
