"""The other indicators of charts, as TA-Lib knows them: oscillators, adaptive averages, channels, volume."""

from features import indicators as plain
from features import steps
from features.feature import Feature, Source
from features.kernels import adaptive, arithmetic, cycle, directional, oscillator, smoothing, volatility
from features.kernels import phase as phases

#: The periods of Kaufman's fastest and slowest average.
KAUFMAN_FAST, KAUFMAN_SLOW = 2, 30
#: Bars before the Hilbert transform begins, and before TA-Lib writes its first value: period and phasor, phase and trendline.
EARLY, EARLY_BARS, LATE, LATE_BARS = 12, 32, 37, 63


def total_of(a: Source, b: Source, weight: float = 1.0) -> Feature:
    """Return a + weight * b."""
    return steps.linear(a, b, 1.0, weight)


def quotient(x: Source, y: Source, scale: float = 1.0, empty: float = 0.0) -> Feature:
    """Return scale * x / y, `empty` where y is zero."""
    return steps.step("quotient", oscillator.quotient, x, y, parameters=(scale, empty))


def between(x: Source, low: Source, high: Source, middle: float = 0.0) -> Feature:
    """Return the place of x between two series, 0 to 1 within them, `middle` where they are equal."""
    return steps.step("between", oscillator.between, x, low, high, parameters=(middle,))


def side(x: Source, sign: float) -> Feature:
    """Return x where it is positive (`sign` 1), -x where it is negative (`sign` -1), else 0."""
    return steps.step(
        "side", volatility.affine, steps.step("one_sided", arithmetic.one_sided, x, parameters=(sign,)), parameters=(sign, 0.0)
    )


def reach() -> Feature:
    """Return high less low."""
    return plain.difference("high", "low")


def median_price() -> Feature:
    """Return the middle of high and low."""
    return steps.linear("high", "low", 0.5, 0.5)


def path(source: Source, bars: int) -> Feature:
    """Return the sum of the last absolute changes."""
    return plain.total(steps.magnitude(plain.change(source)), bars)


def triangular(source: Source, bars: int) -> Feature:
    """Return the mean of means (TRIMA)."""
    half = (bars + 1) // 2
    return plain.sma(plain.sma(source, half), bars + 1 - half)


def tillson(source: Source, bars: int, factor: float = 0.7) -> Feature:
    """Return Tillson's T3: the generalised double average, three times."""
    e3 = plain.ema(plain.ema(plain.ema(source, bars), bars), bars)
    e4 = plain.ema(e3, bars)
    e5 = plain.ema(e4, bars)
    e6 = plain.ema(e5, bars)
    a, b = factor**2, factor**3
    older = steps.linear(e6, e5, -b, 3.0 * (a + b))
    newer = steps.linear(e4, e3, -6.0 * a - 3.0 * (factor + b), 1.0 + 3.0 * factor + b + 3.0 * a)
    return total_of(older, newer)


def hull(source: Source, bars: int) -> Feature:
    """Return Hull's average."""
    return plain.wma(steps.linear(plain.wma(source, bars // 2), plain.wma(source, bars), 2.0, -1.0), int(bars**0.5))


def zero_lag(source: Source, bars: int) -> Feature:
    """Return the exponential average of a series less its own lag (ZLEMA)."""
    return plain.ema(steps.linear(source, plain.lagged(source, (bars - 1) // 2), 2.0, -1.0), bars)


def efficiency(source: Source, bars: int) -> Feature:
    """Return Kaufman's efficiency ratio, 0 to 1."""
    return steps.step("efficiency", adaptive.efficiency, plain.change(source, bars), path(source, bars))


def kaufman(source: Source, bars: int) -> Feature:
    """Return Kaufman's adaptive average (KAMA)."""
    parameters, slots = (KAUFMAN_FAST, KAUFMAN_SLOW), adaptive.KAUFMAN_SLOTS
    return steps.step("kaufman", adaptive.kaufman, source, efficiency(source, bars), parameters=parameters, slots=slots)


def volume_weighted(bars: int) -> Feature:
    """Return the volume-weighted mean of the close (VWMA)."""
    return quotient(plain.total(steps.product("close", "volume"), bars), plain.total("volume", bars))


def percent_oscillator(source: Source, fast: int, slow: int) -> Feature:
    """Return the fast less the slow exponential average in percent of the slow one (PPO, PVO)."""
    slowly = plain.ema(source, slow)
    return quotient(plain.difference(plain.ema(source, fast), slowly), slowly, 100.0)


def price_oscillator(source: Source, fast: int, slow: int) -> Feature:
    """Return the fast less the slow exponential average (APO)."""
    return plain.difference(plain.ema(source, fast), plain.ema(source, slow))


def fast_stochastic(source: Source, high: Source, low: Source, bars: int) -> Feature:
    """Return the place of a series in the range of the last bars, 0 to 100; 0 in an empty range (STOCHF)."""
    return steps.step(
        "percent", volatility.affine, between(source, plain.lowest(low, bars), plain.highest(high, bars)), parameters=(100.0, 0.0)
    )


def aroon(bars: int) -> Feature:
    """Return the step that writes Aroon up, Aroon down and their difference."""
    slots, parts = directional.AROON_HEAD + 4 * (bars + 1), directional.AROON_PARTS
    return steps.step("aroon", directional.aroon, "high", "low", parameters=(bars,), slots=slots, delay=bars, parts=parts)


def vortex(bars: int, place: int) -> Feature:
    """Return the vortex indicator, plus (`place` 0) or minus (1)."""
    parts, slots = directional.VORTEX_PARTS, directional.VORTEX_SLOTS
    moves = steps.step("vortex", directional.vortex, "high", "low", slots=slots, delay=1, parts=parts)
    return quotient(plain.total(steps.part(moves, place), bars), plain.total(plain.true_range(), bars))


def parabolic(step: float = 0.02, limit: float = 0.2) -> Feature:
    """Return the parabolic stop and reverse (SAR)."""
    slots = directional.PARABOLIC_SLOTS
    return steps.step("parabolic", directional.parabolic, "high", "low", parameters=(step, limit), slots=slots, delay=1)


def balance() -> Feature:
    """Return the balance of power, -1 to 1 (BOP)."""
    return steps.step("balance", oscillator.balance, "open", "high", "low", "close")


def ultimate(bars: tuple[int, int, int] = (7, 14, 28)) -> Feature:
    """Return Williams' ultimate oscillator, 0 to 100 (ULTOSC)."""
    pressure = steps.step("buying_pressure", oscillator.buying_pressure, "low", "close", slots=oscillator.CLOSE_SLOTS, delay=1)
    one, two, four = (quotient(plain.total(pressure, n), plain.total(plain.true_range(), n)) for n in reversed(bars))
    return steps.linear(total_of(one, two, 2.0), four, 100.0 / 7.0, 400.0 / 7.0)


def intraday_momentum(bars: int) -> Feature:
    """Return Chande's intraday momentum index, 0 to 100 (IMI)."""
    body = plain.difference("close", "open")
    gains, losses = (plain.total(side(body, sign), bars) for sign in (1.0, -1.0))
    return quotient(gains, total_of(gains, losses), 100.0, 50.0)


def relative_volatility(bars: int, spread_bars: int) -> Feature:
    """Return Dorsey's relative volatility index, 0 to 100 (RVI)."""
    up, down = (
        plain.wilder(
            steps.product(
                plain.deviation("close", spread_bars),
                steps.step("moved", volatility.square, steps.sign(side(plain.change("close"), sign))),
            ),
            bars,
        )
        for sign in (1.0, -1.0)
    )
    return quotient(up, total_of(up, down), 100.0, 50.0)


def true_strength(source: Source, slow: int, fast: int) -> Feature:
    """Return Blau's true strength index, -100 to 100 (TSI)."""
    change = plain.change(source)
    moved, size = (plain.ema(plain.ema(series, slow), fast) for series in (change, steps.magnitude(change)))
    return quotient(moved, size, 100.0)


def stochastic_momentum(bars: int, fast: int, slow: int) -> Feature:
    """Return Blau's stochastic momentum index, -100 to 100 (SMI)."""
    top, bottom = plain.highest("high", bars), plain.lowest("low", bars)
    distance = plain.difference("close", plain.midpoint("high", "low", bars))
    moved, size = (plain.ema(plain.ema(series, slow), fast) for series in (distance, plain.difference(top, bottom)))
    return quotient(moved, size, 200.0)


def vertical_horizontal(bars: int) -> Feature:
    """Return White's vertical horizontal filter (VHF)."""
    return quotient(plain.difference(plain.highest("close", bars), plain.lowest("close", bars)), path("close", bars))


def coppock(bars: int, one: int, two: int) -> Feature:
    """Return Coppock's curve (COPPOCK)."""
    return plain.wma(total_of(plain.rate("close", one, 100.0), plain.rate("close", two, 100.0)), bars)


def know_sure_thing() -> Feature:
    """Return Pring's know sure thing: smoothed rates of 10, 15, 20 and 30 bars, weighted 1 to 4."""
    smooth = [plain.sma(plain.rate("close", rate, 100.0), bars) for rate, bars in ((10, 10), (15, 10), (20, 10), (30, 15))]
    return total_of(total_of(smooth[0], smooth[1], 2.0), steps.linear(smooth[2], smooth[3], 3.0, 4.0))


def awesome() -> Feature:
    """Return Williams' awesome oscillator (AO)."""
    return plain.difference(plain.sma(median_price(), 5), plain.sma(median_price(), 34))


def mass(bars: int, fast: int) -> Feature:
    """Return Dorsey's mass index (MASSI)."""
    once = plain.ema(reach(), fast)
    return plain.total(quotient(once, plain.ema(once, fast), 1.0, 1.0), bars)


def choppiness(bars: int) -> Feature:
    """Return Dreiss's choppiness index, 0 to 100."""
    width = plain.difference(plain.highest("high", bars), plain.lowest("low", bars))
    ratio = plain.logarithm(quotient(plain.total(plain.true_range(), bars), width, 1.0, float(bars)))
    bound = plain.logarithm(quotient("close", "close", float(bars), float(bars)))
    return quotient(ratio, bound, 100.0)


def range_volatility(bars: int) -> Feature:
    """Return Chaikin's volatility, the percent change of a smoothed range (CVI)."""
    return plain.rate(plain.ema(reach(), bars), bars, 100.0)


def mean_deviation(source: Source, bars: int) -> Feature:
    """Return the mean absolute deviation (AVGDEV)."""
    slots = oscillator.DEVIATION_HEAD + 2 * bars
    return steps.step("mean_deviation", oscillator.mean_deviation, source, plain.sma(source, bars), parameters=(bars,), slots=slots)


def forecast(source: Source, bars: int) -> Feature:
    """Return the least-squares line's value one bar ahead (TSF)."""
    return total_of(plain.regression(source, bars), plain.slope(source, bars))


def intercept(source: Source, bars: int) -> Feature:
    """Return the least-squares line's value at its oldest bar (LINEARREG_INTERCEPT)."""
    return total_of(plain.regression(source, bars), plain.slope(source, bars), 1.0 - bars)


def acceleration_band(bars: int, sign: float) -> Feature:
    """Return Headley's acceleration band, upper (`sign` 1) or lower (-1) (ACCBANDS)."""
    price = "high" if sign > 0.0 else "low"
    width = quotient(reach(), total_of("high", "low"), 4.0 * sign)
    return plain.sma(total_of(price, steps.product(price, width)), bars)


def from_first(source: Source, bars: int, need: int) -> Feature:
    """Return the exponential average that begins as the first value, from bar `need` on."""
    return steps.step("ema_from_first", adaptive.from_first, source, parameters=(bars, need), slots=smoothing.SLOTS, delay=need - 1)


def chaikin_oscillator(fast: int, slow: int) -> Feature:
    """Return the fast less the slow average of accumulation/distribution (ADOSC)."""
    return plain.difference(from_first(plain.ad(), fast, slow), from_first(plain.ad(), slow, slow))


def force(bars: int) -> Feature:
    """Return Elder's force index (EFI)."""
    return plain.ema(steps.product(plain.change("close"), "volume"), bars)


def accumulation() -> Feature:
    """Return what a bar adds to Williams' accumulation/distribution (WAD)."""
    slots = oscillator.CLOSE_SLOTS
    return steps.step("accumulation", oscillator.accumulation, "high", "low", "close", slots=slots, delay=1)


def ease_of_movement(bars: int) -> Feature:
    """Return Arms's ease of movement: the middle's percent move times the percent range, over volume in means of it."""
    middle = median_price()
    wide = quotient(reach(), middle, 100.0)
    light = quotient(plain.sma("volume", bars), "volume")
    return plain.sma(steps.product(steps.product(plain.rate(middle, 1, 100.0), wide), light), bars)


def hilbert(source: Source, begin: int) -> Feature:
    """Return the step that writes the smoothed price, the dominant period, and the phasor, from bar `begin` + 1 on."""
    parts = cycle.HILBERT_PARTS
    return steps.step("hilbert", cycle.hilbert, source, parameters=(begin,), slots=cycle.HILBERT_SLOTS, delay=begin, parts=parts)


def from_bar(source: Source, bars: int) -> Feature:
    """Return a series without its first values."""
    return steps.step("from_bar", cycle.from_bar, source, parameters=(bars,), slots=1, delay=bars)


def phasor(source: Source, place: int) -> Feature:
    """Return the dominant period (`place` 1), or the in-phase (2) or quadrature (3) component (HT_DCPERIOD, HT_PHASOR)."""
    return from_bar(steps.part(hilbert(source, EARLY), place), EARLY_BARS - EARLY)


def mesa(source: Source, place: int, bars: int = 0, fast: float = 0.5, slow: float = 0.05) -> Feature:
    """Return the MESA adaptive average (`place` 0) or the one that follows it (1), `bars` bars later than TA-Lib does (MAMA)."""
    in_phase, quadrature = (steps.part(hilbert(source, EARLY), part) for part in (2, 3))
    inputs, parts, slots = (source, in_phase, quadrature), cycle.MESA_PARTS, cycle.MESA_SLOTS
    made = steps.step("mesa", cycle.mesa, *inputs, parameters=(fast, slow), slots=slots, parts=parts)
    return from_bar(steps.part(made, place), EARLY_BARS - EARLY + bars)


def phase(source: Source, place: int) -> Feature:
    """Return the phase in degrees (`place` 0), its sine (1), its lead sine (2), the trendline (3) or the trend mode (4)."""
    smooth, period = (steps.part(hilbert(source, LATE), part) for part in (0, 1))
    made = steps.step("phase", phases.phase, source, smooth, period, slots=phases.SLOTS, parts=phases.PARTS)
    return from_bar(steps.part(made, place), LATE_BARS - LATE)
