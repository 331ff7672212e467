"""The family `technical`: what else charts show, made free of the price's and the volume's scale; plain forms equal TA-Lib's."""

from features import indicators as plain
from features import steps
from features import technical as chart
from features.catalog.rows import named, row
from features.feature import Feature, Source
from features.kernels import average, volatility

#: Bars after which the MESA averages owe less than 0.1% of their value to having begun as zero: 0.95^150.
MESA_BARS = 150

_RETURN = plain.rate("close", 1)
_MEAN_VOLUME = plain.sma("volume", 20)
_RANGE_SUM = plain.total(plain.true_range(), 20)
_STOCHASTIC = plain.sma(chart.fast_stochastic("close", "high", "low", 14), 3)
_STOCHASTIC_RSI = chart.fast_stochastic(*(plain.rsi("close", 14),) * 3, 14)
_WIDE = chart.reach()
_CHANNEL_TOP, _CHANNEL_BOTTOM = (steps.linear(plain.ema("close", 20), plain.atr(10), 1.0, width) for width in (2.0, -2.0))
_CONVERSION, _BASE = (plain.midpoint("high", "low", bars) for bars in (9, 26))
_SPAN_A = plain.lagged(steps.linear(_CONVERSION, _BASE, 0.5, 0.5), 26)
_SPAN_B = plain.lagged(plain.midpoint("high", "low", 52), 26)
_KST = chart.know_sure_thing()
_AROON = chart.aroon(25)


def _row(name: str, meaning: str, source: str, feature: Feature) -> Feature:
    return named("technical", name, meaning, source, feature)


def _from(name: str, meaning: str, source: str, average_of: Source) -> Feature:
    return row("technical", f"close_over_{name}", f"distance from {meaning}", source, average.distance, "close", average_of)


def _priced(feature: Feature) -> Feature:
    return plain.over(feature, "close")


_AVERAGES = (
    _from("tema_20", "the 20-bar triple exponential average", "Mulloy 1994, TASC 12(2); TA-Lib TEMA", plain.tema("close", 20)),
    _from("trima_30", "the 30-bar mean of means", "TA-Lib TRIMA", chart.triangular("close", 30)),
    _from("t3_20", "Tillson's average of span 20", "Tillson 1998, TASC 16(1); TA-Lib T3", chart.tillson("close", 20)),
    _from("hma_20", "Hull's 20-bar average", "Hull 2005; TA-Lib HMA", chart.hull("close", 20)),
    _from("zlema_20", "the 20-bar average of a price less its lag", "Ehlers, Way 2010, TASC 28(11); TA-Lib ZLEMA",
          chart.zero_lag("close", 20)),
    _from("kama_20", "Kaufman's 20-bar adaptive average", "Kaufman 1995; TA-Lib KAMA", chart.kaufman("close", 20)),
    _from("vwma_20", "the 20-bar volume-weighted mean of closes", "TA-Lib VWMA", chart.volume_weighted(20)),
    _from("mama", "the MESA adaptive average", "Ehlers 2001, TASC 19(9); TA-Lib MAMA", chart.mesa("close", 0, MESA_BARS)),
    _from("fama", "the average that follows the MESA average", "Ehlers 2001, TASC 19(9); TA-Lib MAMA",
          chart.mesa("close", 1, MESA_BARS)),
    _from("midprice_14", "the middle of the 14-bar range", "TA-Lib MIDPRICE", plain.midpoint("high", "low", 14)),
    _from("midpoint_14", "the middle of 14 closes' range", "TA-Lib MIDPOINT", plain.midpoint("close", "close", 14)),
    _from("regression_14", "the newest value of the 14-bar line", "TA-Lib LINEARREG", plain.regression("close", 14)),
    _from("forecast_14", "what the 14-bar line foresaw for the next bar", "TA-Lib TSF", chart.forecast("close", 14)),
    _from("intercept_14", "the oldest value of the 14-bar line", "TA-Lib LINEARREG_INTERCEPT", chart.intercept("close", 14)),
    _from("trendline", "the mean over one dominant cycle", "Ehlers 2001, ch. 10; TA-Lib HT_TRENDLINE", chart.phase("close", 3)),
    _from("sar", "the parabolic stop", "Wilder 1978, section II; TA-Lib SAR", chart.parabolic()),
)  # fmt: skip

_TREND = (
    _row("apo_12_26", "fast less slow exponential average, over price", "Appel 1979; TA-Lib APO",
         _priced(chart.price_oscillator("close", 12, 26))),
    _row("ppo_12_26", "fast less slow exponential average, percent of the slow", "TA-Lib PPO",
         chart.percent_oscillator("close", 12, 26)),
    _row("dx_14", "how one-sided directional movement is, 0 to 100", "Wilder 1978, section IV; TA-Lib DX", plain.dx(14)),
    _row("adxr_14", "mean of the ADX now and 13 bars ago", "Wilder 1978, section IV; TA-Lib ADXR", plain.adxr(14)),
    _row("plus_di_14", "upward directional movement in true ranges, 0 to 100", "Wilder 1978; TA-Lib PLUS_DI", plain.plus_di(14)),
    _row("minus_di_14", "downward directional movement in true ranges, 0 to 100", "Wilder 1978; TA-Lib MINUS_DI",
         plain.minus_di(14)),
    _row("aroon_up_25", "how recent the 25-bar high is, 0 to 100", "Chande 1995, TASC 13(9); TA-Lib AROON", steps.part(_AROON, 0)),
    _row("aroon_down_25", "how recent the 25-bar low is, 0 to 100", "Chande 1995, TASC 13(9); TA-Lib AROON", steps.part(_AROON, 1)),
    _row("aroon_25", "Aroon up less down", "Chande 1995, TASC 13(9); TA-Lib AROONOSC", steps.part(_AROON, 2)),
    _row("vortex_plus_14", "upward reach in true ranges", "Botes, Siepman 2010, TASC 28(1); TA-Lib VORTEX", chart.vortex(14, 0)),
    _row("vortex_minus_14", "downward reach in true ranges", "Botes, Siepman 2010, TASC 28(1); TA-Lib VORTEX", chart.vortex(14, 1)),
    _row("vhf_28", "range of 28 closes over their path", "White 1991, Futures; TA-Lib VHF", chart.vertical_horizontal(28)),
    _row("choppiness_14", "log of path over range, 0 (trend) to 100", "Dreiss", chart.choppiness(14)),
    _row("linear_slope_14", "slope of the 14-bar line, over price", "TA-Lib LINEARREG_SLOPE", _priced(plain.slope("close", 14))),
    _row("coppock", "weighted average of 11- and 14-bar rates", "Coppock 1962, Barron's; TA-Lib COPPOCK",
         chart.coppock(10, 11, 14)),
    _row("kst", "smoothed rates of 10, 15, 20 and 30 bars, weighted 1 to 4", "Pring 1992, TASC 10(9)", _KST),
    _row("kst_signal", "9-bar mean of the KST", "Pring 1992, TASC 10(9)", plain.sma(_KST, 9)),
    _row("awesome", "5- less 34-bar mean of the middle, over price", "Williams 1998; TA-Lib AO", _priced(chart.awesome())),
    _row("acceleration", "awesome oscillator less its 5-bar mean, over price", "Williams 1998; TA-Lib AC",
         _priced(plain.difference(chart.awesome(), plain.sma(chart.awesome(), 5)))),
    _row("dpo_20", "close of 11 bars ago less the 20-bar mean, over price", "TA-Lib DPO",
         _priced(plain.difference(plain.lagged("close", 11), plain.sma("close", 20)))),
)  # fmt: skip

_OSCILLATORS = (
    _row("balance_of_power", "body over range, -1 to 1", "Livshin 2001, TASC 19(8); TA-Lib BOP", chart.balance()),
    _row("cmo_14", "gains less losses over both, Wilder's averages, -100 to 100", "Chande 1994; TA-Lib CMO",
         plain.cmo("close", 14)),
    _row("slow_stochastic_k_14", "3-bar mean of the place in the 14-bar range", "Lane 1984; TA-Lib STOCH", _STOCHASTIC),
    _row("slow_stochastic_d_14", "3-bar mean of the slow stochastic", "Lane 1984; TA-Lib STOCH", plain.sma(_STOCHASTIC, 3)),
    _row("stochastic_5", "place of the close in the 5-bar range, 0 to 100", "Lane 1984; TA-Lib STOCHF",
         chart.fast_stochastic("close", "high", "low", 5)),
    _row("stochastic_rsi_14", "place of the RSI in its 14-bar range, 0 to 100", "Chande, Kroll 1994; TA-Lib STOCHRSI",
         _STOCHASTIC_RSI),
    _row("stochastic_rsi_d_14", "3-bar mean of the stochastic RSI", "Chande, Kroll 1994; TA-Lib STOCHRSI",
         plain.sma(_STOCHASTIC_RSI, 3)),
    _row("ultimate", "buying pressure in true ranges over 7, 14, 28 bars", "Williams 1985, TASC 3(4); TA-Lib ULTOSC",
         chart.ultimate()),
    _row("imi_14", "gains among bodies of 14 bars, 0 to 100", "Chande, Kroll 1994; TA-Lib IMI", chart.intraday_momentum(14)),
    _row("true_strength", "doubly smoothed change over its size, -100 to 100", "Blau 1991, TASC 9(11); TA-Lib TSI",
         chart.true_strength("close", 25, 13)),
    _row("stochastic_momentum", "doubly smoothed distance from the middle, -100 to 100", "Blau 1993, TASC 11(1); TA-Lib SMI",
         chart.stochastic_momentum(13, 2, 25)),
    _row("qstick_10", "mean body of 10 bars, over price", "Chande, Kroll 1994; TA-Lib QSTICK",
         _priced(plain.sma(plain.difference("close", "open"), 10))),
    _row("bull_power_13", "high less the 13-bar average, over price", "Elder 1993; TA-Lib ERI",
         _priced(plain.difference("high", plain.ema("close", 13)))),
    _row("bear_power_13", "low less the 13-bar average, over price", "Elder 1993; TA-Lib ERI",
         _priced(plain.difference("low", plain.ema("close", 13)))),
)  # fmt: skip

_CHANNELS = (
    _row("donchian_55", "place of the close in the 55-bar range, 0 to 1", "Donchian 1960; TA-Lib DONCHIAN",
         chart.between("close", plain.lowest("low", 55), plain.highest("high", 55), 0.5)),
    _row("keltner_20", "place between averages of 20 bars -+ 2 true ranges of 10", "Keltner 1960; Raschke",
         chart.between("close", _CHANNEL_BOTTOM, _CHANNEL_TOP, 0.5)),
    _row("acceleration_band_20", "place between Headley's bands", "Headley 2002; TA-Lib ACCBANDS",
         chart.between("close", chart.acceleration_band(20, -1.0), chart.acceleration_band(20, 1.0), 0.5)),
    _from("ichimoku_conversion", "the middle of the 9-bar range", "Hosoda 1969", _CONVERSION),
    _from("ichimoku_base", "the middle of the 26-bar range", "Hosoda 1969", _BASE),
    _row("ichimoku_cross", "conversion over base line less 1", "Hosoda 1969",
         plain.pointwise("ichimoku_cross", average.distance, _CONVERSION, _BASE)),
    _from("ichimoku_span_a", "the mean of conversion and base line of 26 bars ago", "Hosoda 1969", _SPAN_A),
    _from("ichimoku_span_b", "the middle of the 52-bar range of 26 bars ago", "Hosoda 1969", _SPAN_B),
    _row("ichimoku_cloud", "span A less span B, over price", "Hosoda 1969", _priced(plain.difference(_SPAN_A, _SPAN_B))),
)  # fmt: skip

_SPREADS = (
    _row("chaikin_volatility_10", "percent change of a smoothed range over 10 bars", "Chaikin; TA-Lib CVI",
         chart.range_volatility(10)),
    _row("mass_25", "sum of smoothed over doubly smoothed ranges", "Dorsey 1992, TASC 10(6); TA-Lib MASSI", chart.mass(25, 9)),
    _row("relative_volatility_14", "RSI of deviations, 0 to 100", "Dorsey 1993, TASC 11(6); TA-Lib RVI",
         chart.relative_volatility(14, 10)),
    _row("mean_deviation_14", "mean absolute deviation of 14 closes, over price", "TA-Lib AVGDEV",
         _priced(chart.mean_deviation("close", 14))),
    _row("mean_range_14", "mean high less low of 14 bars, over price", "TA-Lib ADR", _priced(plain.sma(_WIDE, 14))),
    _row("true_range_ratio_14", "true range over its 14-bar average", "Wilder 1978; TA-Lib TRANGE",
         plain.over(plain.true_range(), plain.atr(14))),
    row("technical", "squared_deviation_5", "variance of 5 closes, over squared price", "TA-Lib VAR",
        volatility.square, _priced(plain.deviation("close", 5))),
    _row("high_low_correlation_30", "correlation of high and low over 30 bars", "TA-Lib CORREL",
         plain.correlation("high", "low", 30)),
    _row("high_low_beta_5", "slope of the low's rates on the high's over 5 bars", "TA-Lib BETA",
         plain.beta(plain.rate("high", 1), plain.rate("low", 1), 5)),
)  # fmt: skip

_VOLUME = (
    _row("chaikin_oscillator", "fast less slow average of accumulation, over mean volume", "Chaikin; TA-Lib ADOSC",
         plain.over(chart.chaikin_oscillator(3, 10), _MEAN_VOLUME)),
    _row("force_13", "smoothed change times volume, over mean volume and price", "Elder 1993; TA-Lib EFI",
         plain.over(_priced(chart.force(13)), _MEAN_VOLUME)),
    _row("ease_14", "percent moved times percent range, per relative volume", "Arms", chart.ease_of_movement(14)),
    _row("williams_ad_20", "Williams' accumulation of 20 bars in true ranges", "Williams; TA-Lib WAD",
         plain.over(plain.total(chart.accumulation(), 20), _RANGE_SUM)),
    _row("price_volume_trend_20", "volume-weighted rates of 20 bars over volume", "TA-Lib PVT",
         plain.over(plain.total(steps.product(_RETURN, "volume"), 20), plain.total("volume", 20))),
    _row("volume_oscillator_12_26", "PPO of volume", "TA-Lib PVO", chart.percent_oscillator("volume", 12, 26)),
    _row("relative_volume_20", "volume over the mean of the 20 bars before", "TA-Lib RVOL",
         chart.quotient("volume", plain.lagged(_MEAN_VOLUME), 1.0, 1.0)),
)  # fmt: skip

_CYCLES = (
    _row("cycle_period", "bars of the dominant cycle, 6 to 50", "Ehlers 2001, ch. 7; TA-Lib HT_DCPERIOD", chart.phasor("close", 1)),
    _row("cycle_in_phase", "in-phase component, over price", "Ehlers 2001, ch. 6; TA-Lib HT_PHASOR",
         _priced(chart.phasor("close", 2))),
    _row("cycle_quadrature", "quadrature component, over price", "Ehlers 2001, ch. 6; TA-Lib HT_PHASOR",
         _priced(chart.phasor("close", 3))),
    _row("cycle_phase", "phase of the dominant cycle, -45 to 315 degrees", "Ehlers 2001, ch. 9; TA-Lib HT_DCPHASE",
         chart.phase("close", 0)),
    _row("cycle_sine", "sine of the phase", "Ehlers 2001, ch. 9; TA-Lib HT_SINE", chart.phase("close", 1)),
    _row("cycle_lead_sine", "sine of the phase 45 degrees on", "Ehlers 2001, ch. 9; TA-Lib HT_SINE", chart.phase("close", 2)),
    _row("cycle_trend", "1 in a trend, 0 in a cycle", "Ehlers 2001, ch. 11; TA-Lib HT_TRENDMODE", chart.phase("close", 4)),
)  # fmt: skip

FEATURES: tuple[Feature, ...] = _AVERAGES + _TREND + _OSCILLATORS + _CHANNELS + _SPREADS + _VOLUME + _CYCLES
