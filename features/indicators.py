"""The plain indicators, as charts and TA-Lib know them, and the steps that they share. Two equal steps are computed once."""

from features.feature import Feature, Source, label
from features.kernels import average, momentum, smoothing, statistics, volatility, volume, window
from features.kernels import logarithm as logarithms


def _windowed(kind: str, kernel: object, source: Source, bars: int, slots: int, *more: float) -> Feature:
    return Feature(f"{label(source)}_{kind}_{bars}", kernel, (source,), (bars, *more), slots, bars - 1)  # type: ignore[arg-type]


def sma(source: Source, bars: int) -> Feature:
    """Return the mean of the last `bars` bars."""
    return _windowed("sma", average.simple, source, bars, window.HEAD + 1 + bars)


def total(source: Source, bars: int) -> Feature:
    """Return the sum of the last `bars` bars."""
    return _windowed("total", window.rolling_total, source, bars, window.HEAD + 1 + bars, 1.0)


def ema(source: Source, bars: int) -> Feature:
    """Return the exponential average of span `bars`."""
    return _windowed("ema", average.exponential, source, bars, smoothing.SLOTS)


def wilder(source: Source, bars: int) -> Feature:
    """Return Wilder's average."""
    return _windowed("wilder", average.wilder, source, bars, smoothing.SLOTS)


def wilder_sum(source: Source, bars: int, need: int) -> Feature:
    """Return Wilder's sum, from the series' bar `need` on."""
    return Feature(
        f"{label(source)}_wilder_sum_{bars}_{need}", average.wilder_sum, (source,), (bars, need), smoothing.SLOTS, need - 1
    )


def wma(source: Source, bars: int) -> Feature:
    """Return the linearly weighted average."""
    return _windowed("wma", average.weighted, source, bars, average.WEIGHTED_HEAD + bars)


def slope(source: Source, bars: int) -> Feature:
    """Return the least-squares slope per bar."""
    return _windowed("slope", average.slope, source, bars, average.WEIGHTED_HEAD + bars)


def regression(source: Source, bars: int) -> Feature:
    """Return the value of the least-squares line at its newest bar (LINEARREG)."""
    return _windowed("regression", average.regression, source, bars, average.WEIGHTED_HEAD + bars)


def deviation(source: Source, bars: int) -> Feature:
    """Return the population standard deviation."""
    return _windowed("deviation", statistics.deviation, source, bars, statistics.MOMENT_HEAD + bars)


def score(source: Source, bars: int) -> Feature:
    """Return the distance from the mean in standard deviations."""
    return _windowed("score", statistics.score, source, bars, statistics.MOMENT_HEAD + bars)


def highest(source: Source, bars: int) -> Feature:
    """Return the highest of the last `bars` bars."""
    return _windowed("highest", window.rolling_extreme, source, bars, window.HEAD + 1 + 2 * bars, 1.0)


def lowest(source: Source, bars: int) -> Feature:
    """Return the lowest of the last `bars` bars."""
    return _windowed("lowest", window.rolling_extreme, source, bars, window.HEAD + 1 + 2 * bars, -1.0)


def variance(source: Source, bars: int) -> Feature:
    """Return the population variance."""
    return pointwise(f"{label(source)}_variance_{bars}", volatility.square, deviation(source, bars))


def midpoint(source: Source, other: Source, bars: int) -> Feature:
    """Return the middle between the highest of one series and the lowest of another (MIDPOINT, MIDPRICE)."""
    name = f"{label(source)}_{label(other)}_midpoint_{bars}"
    return pointwise(name, average.middle, highest(source, bars), lowest(other, bars))


def cci(source: Source, bars: int) -> Feature:
    """Return the commodity channel index."""
    return _windowed("cci", momentum.channel_index, source, bars, momentum.CCI_HEAD + bars)


def lagged(source: Source, bars: int = 1) -> Feature:
    """Return the value of `bars` bars ago."""
    return Feature(f"{label(source)}_lag_{bars}", window.lagged, (source,), (bars,), window.HEAD + bars, bars)


def pointwise(name: str, kernel: object, *inputs: Source, parameters: tuple[int | float, ...] = ()) -> Feature:
    """Return a feature of the same bar's inputs alone."""
    return Feature(name, kernel, inputs, parameters)  # type: ignore[arg-type]


def logarithm(source: Source) -> Feature:
    """Return the natural logarithm."""
    return Feature(f"log_{label(source)}", logarithms.logarithm, (source,), (), logarithms.SLOTS)


def change(source: Source, bars: int = 1) -> Feature:
    """Return x minus its value `bars` bars ago (MOM)."""
    return Feature(f"{label(source)}_change_{bars}", window.change, (source,), (bars,), window.HEAD + bars, bars)


def rate(source: Source, bars: int, scale: float = 1.0) -> Feature:
    """Return scale * (x / its value `bars` bars ago - 1) (ROC with scale 100)."""
    return Feature(f"{label(source)}_rate_{bars}_{scale:g}", window.rate, (source,), (bars, scale), window.HEAD + bars, bars)


def difference(a: Source, b: Source) -> Feature:
    """Return a - b."""
    return pointwise(f"{label(a)}_minus_{label(b)}", momentum.difference, a, b)


def over(a: Source, b: Source, scale: float = 1.0) -> Feature:
    """Return scale * a / b."""
    return pointwise(f"{label(a)}_over_{label(b)}_{scale:g}", momentum.over, a, b, parameters=(scale,))


def dema(source: Source, bars: int) -> Feature:
    """Return the double exponential average."""
    once = ema(source, bars)
    return pointwise(f"{label(source)}_dema_{bars}", average.twice, once, ema(once, bars))


def tema(source: Source, bars: int) -> Feature:
    """Return the triple exponential average."""
    once = ema(source, bars)
    twice = ema(once, bars)
    return pointwise(f"{label(source)}_tema_{bars}", average.thrice, once, twice, ema(twice, bars))


def trix(source: Source, bars: int) -> Feature:
    """Return the percent change of the triply smoothed average."""
    return rate(ema(ema(ema(source, bars), bars), bars), 1, 100.0)


def macd(source: Source, fast: int = 12, slow: int = 26) -> Feature:
    """Return the fast less the slow average; both begin at the bar where the slow one does, as in TA-Lib."""
    skipped = slow - fast
    name = f"{label(source)}_late_ema_{fast}_{skipped}"
    return difference(Feature(name, average.late, (source,), (fast, skipped), smoothing.SLOTS, slow - 1), ema(source, slow))


def macd_signal(source: Source, fast: int = 12, slow: int = 26, signal: int = 9) -> Feature:
    """Return the exponential average of the MACD line."""
    return ema(macd(source, fast, slow), signal)


def macd_histogram(source: Source, fast: int = 12, slow: int = 26, signal: int = 9) -> Feature:
    """Return the MACD line less its signal."""
    return difference(macd(source, fast, slow), macd_signal(source, fast, slow, signal))


def rsi(source: Source, bars: int) -> Feature:
    """Return Wilder's relative strength index, 0 to 100."""
    return Feature(f"{label(source)}_rsi_{bars}", momentum.relative_strength, (source,), (bars,), momentum.RSI_SLOTS, bars)


def cmo(source: Source, bars: int) -> Feature:
    """Return Chande's momentum oscillator in Wilder's averages, -100 to 100."""
    return pointwise(f"{label(source)}_cmo_{bars}", volatility.affine, rsi(source, bars), parameters=(2.0, -100.0))


def stochastic(bars: int) -> Feature:
    """Return %K, 0 to 100 (STOCHF)."""
    inputs = ("close", highest("high", bars), lowest("low", bars))
    return pointwise(f"fast_k_{bars}", momentum.stochastic, *inputs)


def williams(bars: int) -> Feature:
    """Return %R, -100 to 0 (WILLR)."""
    return pointwise(f"percent_r_{bars}", volatility.affine, stochastic(bars), parameters=(1.0, -100.0))


def typical() -> Feature:
    """Return the typical price."""
    return pointwise("typical", momentum.typical, "high", "low", "close")


def true_range() -> Feature:
    """Return the true range; unknown on a symbol's first bar."""
    return Feature("true_range", volatility.true_range, ("high", "low", "close"), (), volatility.RANGE_SLOTS, 1)


def atr(bars: int) -> Feature:
    """Return Wilder's average true range."""
    return wilder(true_range(), bars)


def natr(bars: int) -> Feature:
    """Return the average true range in percent of the close."""
    return over(atr(bars), "close", 100.0)


def directional_move(bars: int, *, plus: bool) -> Feature:
    """Return Wilder's sum of the directional movement (PLUS_DM, MINUS_DM)."""
    name = "plus_move" if plus else "minus_move"
    move = Feature(name, momentum.directional_move, ("high", "low"), (plus,), momentum.MOVE_SLOTS, 1)
    return wilder_sum(move, bars, bars - 1)


def plus_di(bars: int) -> Feature:
    """Return the plus directional indicator, 0 to 100."""
    return over(directional_move(bars, plus=True), wilder_sum(true_range(), bars, bars), 100.0)


def minus_di(bars: int) -> Feature:
    """Return the minus directional indicator, 0 to 100."""
    return over(directional_move(bars, plus=False), wilder_sum(true_range(), bars, bars), 100.0)


def dx(bars: int) -> Feature:
    """Return the directional movement index, 0 to 100."""
    return pointwise(f"dx_{bars}", momentum.directional_index, plus_di(bars), minus_di(bars))


def adx(bars: int) -> Feature:
    """Return Wilder's average directional movement index, 0 to 100."""
    return wilder(dx(bars), bars)


def adxr(bars: int) -> Feature:
    """Return the mean of the ADX and its value `bars - 1` bars ago, 0 to 100."""
    return pointwise(f"adxr_{bars}", average.middle, adx(bars), lagged(adx(bars), bars - 1))


def band(source: Source, bars: int, width: float) -> Feature:
    """Return a Bollinger band: mean plus `width` standard deviations."""
    inputs = (sma(source, bars), deviation(source, bars))
    return pointwise(f"{label(source)}_band_{bars}_{width:g}", volatility.band, *inputs, parameters=(width,))


def obv() -> Feature:
    """Return the on-balance volume."""
    return Feature("obv", volume.on_balance, ("close", "volume"), (), volume.BALANCE_SLOTS)


def ad() -> Feature:
    """Return the accumulation/distribution line."""
    return Feature("ad", volume.cumulative, (pressure(),), (), 1)


def pressure() -> Feature:
    """Return volume times where the close lies in the bar, -1 to 1."""
    return pointwise("pressure", volume.pressure, "high", "low", "close", "volume")


def mfi(bars: int) -> Feature:
    """Return the money flow index, 0 to 100."""
    up, down = (
        Feature(name, volume.flow, (typical(), "volume"), (side,), volume.FLOW_SLOTS, 1)
        for name, side in (("inflow", 1.0), ("outflow", -1.0))
    )
    return pointwise(f"mfi_{bars}", volume.share, total(up, bars), total(down, bars))


def correlation(a: Source, b: Source, bars: int) -> Feature:
    """Return the rolling correlation of two series."""
    name = f"{label(a)}_{label(b)}_correlation_{bars}"
    return Feature(name, statistics.correlation, (a, b), (bars,), statistics.PAIR_HEAD + 2 * bars, bars - 1)


def beta(a: Source, b: Source, bars: int) -> Feature:
    """Return the rolling slope of b on a."""
    name = f"{label(a)}_{label(b)}_beta_{bars}"
    return Feature(name, statistics.beta, (a, b), (bars,), statistics.PAIR_HEAD + 2 * bars, bars - 1)
