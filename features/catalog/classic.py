"""The classic families: averages, momentum, volatility, volume, statistics, the cross-section and the calendar."""

from collections.abc import Callable
from typing import Any

from features import indicators as plain
from features.catalog.rows import named, row
from features.feature import Feature
from features.kernels import average, calendar, cross_section, momentum, statistics, volatility, volume

#: The feature that doubles as the scale of labels and forecasts: the volatility of one bar's log return.
SCALE = "volatility_ewma_60"

_LOG_OPEN, _LOG_HIGH, _LOG_LOW, _LOG_CLOSE, _LOG_VOLUME = (
    plain.logarithm(column) for column in ("open", "high", "low", "close", "volume")
)
_BAR = (_LOG_OPEN, _LOG_HIGH, _LOG_LOW, _LOG_CLOSE)
_RETURN = plain.change(_LOG_CLOSE)
_RETURN_5, _RETURN_20, _RETURN_60 = (plain.change(_LOG_CLOSE, bars) for bars in (5, 20, 60))
_POWERS = (_RETURN, *(plain.pointwise(f"return_power_{k}", statistics.power, _RETURN, parameters=(k,)) for k in (2, 3, 4)))
_MOMENTS = tuple(plain.sma(power, 60) for power in _POWERS)
_TYPICAL = plain.typical()
_VALUE = plain.pointwise("traded_value", volume.traded, _TYPICAL, "volume")
_VWAP = plain.over(plain.total(_VALUE, 20), plain.total("volume", 20))
_MARKET = Feature("market_return", cross_section.mean, (_RETURN,), whole_row=True)
_EWMA = plain.pointwise(SCALE, volatility.root, plain.ema(plain.pointwise("return_squared", volatility.square, _RETURN), 60))
_VOLUME_SCORE = plain.score(_LOG_VOLUME, 20)


def _from(average_of: Feature, name: str, meaning: str, source: str) -> Feature:
    return row("average", name, meaning, source, average.distance, "close", average_of)


def _range_volatility(name: str, meaning: str, source: str, kernel: Callable[..., Any], *inputs: Feature) -> Feature:
    variance = plain.sma(plain.pointwise(f"{name}_bar", kernel, *inputs), 20)
    return row("volatility", f"{name}_20", meaning, source, volatility.root, variance)


def _rank(name: str, meaning: str, of: Feature) -> Feature:
    return row(
        "cross_section",
        name,
        meaning,
        "Jegadeesh, Titman 1993, J. Finance 48(1)",
        cross_section.rank,
        of,
        slots=cross_section.RANK_SLOTS,
        whole_row=True,
    )


def _cycle(name: str, meaning: str, period_us: int, offset_us: int, quarter: int) -> Feature:
    parameters = (period_us, offset_us, quarter)
    return row("calendar", name, meaning, "", calendar.cycle, "event_at", "close", parameters=parameters)


_AVERAGE = (
    _from(plain.sma("close", 20), "close_over_sma_20", "distance from the 20-bar mean", "TA-Lib SMA"),
    _from(plain.sma("close", 60), "close_over_sma_60", "distance from the 60-bar mean", "TA-Lib SMA"),
    _from(plain.ema("close", 60), "close_over_ema_60", "distance from the 60-bar exponential average", "TA-Lib EMA"),
    _from(plain.wma("close", 20), "close_over_wma_20", "distance from the 20-bar weighted average", "TA-Lib WMA"),
    _from(
        plain.dema("close", 20),
        "close_over_dema_20",
        "distance from the 20-bar double exponential average",
        "Mulloy 1994, TASC 12(1)",
    ),
)

_MOMENTUM = (
    named("momentum", "return_1", "log return of the bar", "", _RETURN),
    named("momentum", "return_5", "log return of 5 bars", "", _RETURN_5),
    named("momentum", "return_20", "log return of 20 bars", "", _RETURN_20),
    named("momentum", "return_60", "log return of 60 bars", "", _RETURN_60),
    named("momentum", "rsi_14", "share of gains among moves, 0 to 100", "Wilder 1978, section VI", plain.rsi("close", 14)),
    named(
        "momentum",
        "macd_histogram",
        "MACD less its signal, over price",
        "Appel 1979",
        plain.over(plain.macd_histogram("close"), "close"),
    ),
    named("momentum", "trix_15", "percent change of a triply smoothed price", "Hutson 1983, TASC 1(5)", plain.trix("close", 15)),
    named(
        "momentum",
        "stochastic_14",
        "place of the close in the 14-bar range, 0 to 100",
        "Lane 1984, TASC 2(3)",
        plain.stochastic(14),
    ),
    named("momentum", "williams_60", "place of the close in the 60-bar range, -100 to 0", "Williams 1979", plain.williams(60)),
    named("momentum", "cci_20", "distance from the mean in mean deviations", "Lambert 1980", plain.cci(_TYPICAL, 20)),
    named("momentum", "adx_14", "strength of the trend, 0 to 100", "Wilder 1978, section IV", plain.adx(14)),
    named(
        "momentum",
        "di_14",
        "direction of the trend, -100 to 100",
        "Wilder 1978, section IV",
        plain.difference(plain.plus_di(14), plain.minus_di(14)),
    ),
)

_VOLATILITY = (
    named(
        "volatility",
        "atr_14_over_close",
        "average true range over price",
        "Wilder 1978, section III",
        plain.over(plain.atr(14), "close"),
    ),
    row(
        "volatility",
        "bollinger_b_20",
        "place between bands of 2 deviations, 0 to 1",
        "Bollinger 2001, ch. 8",
        volatility.affine,
        plain.score("close", 20),
        parameters=(0.25, 0.5),
    ),
    named("volatility", "volatility_20", "standard deviation of 20 log returns", "", plain.deviation(_RETURN, 20)),
    named(
        "volatility",
        SCALE,
        "one-bar volatility: EWMA of span 60 of squared log returns, seeded by their first 60",
        "RiskMetrics 1996, 5.2",
        _EWMA,
    ),
    _range_volatility(
        "parkinson", "volatility from ranges", "Parkinson 1980, J. Business 53(1)", volatility.parkinson, _LOG_HIGH, _LOG_LOW
    ),
    _range_volatility(
        "garman_klass", "volatility from ranges and bodies", "Garman, Klass 1980, J. Business 53(1)", volatility.garman_klass, *_BAR
    ),
    _range_volatility(
        "rogers_satchell",
        "volatility free of drift",
        "Rogers, Satchell 1991, Ann. Appl. Prob. 1(4)",
        volatility.rogers_satchell,
        *_BAR,
    ),
    named("volatility", "gap_1", "log open less the log close before", "", plain.difference(_LOG_OPEN, plain.lagged(_LOG_CLOSE))),
)

_VOLUME = (
    named("volume", "log_volume_score_20", "log volume in deviations from its 20-bar mean", "", _VOLUME_SCORE),
    named(
        "volume",
        "obv_trend_20",
        "slope of on-balance volume over mean volume",
        "Granville 1963",
        plain.over(plain.slope(plain.obv(), 20), plain.sma("volume", 20)),
    ),
    named("volume", "mfi_14", "share of traded value on rising prices, 0 to 100", "Quong, Soudack 1989, TASC 7(3)", plain.mfi(14)),
    _from(_VWAP, "close_over_vwap_20", "distance from the 20-bar volume-weighted price", "Berkowitz et al. 1988, J. Finance 43(1)"),
    named(
        "volume",
        "log_amihud_20",
        "log of mean absolute return per traded value",
        "Amihud 2002, J. Financial Markets 5(1)",
        plain.logarithm(plain.sma(plain.pointwise("illiquidity", volume.illiquidity, _RETURN, _VALUE), 20)),
    ),
    named(
        "volume",
        "volume_return_correlation_20",
        "correlation of log returns and changes of log volume",
        "Karpoff 1987, JFQA 22(1)",
        plain.correlation(_RETURN, plain.change(_LOG_VOLUME), 20),
    ),
    named(
        "volume",
        "money_flow_20",
        "volume on closes near the high less near the low, -1 to 1",
        "Chaikin",
        plain.over(plain.total(plain.pressure(), 20), plain.total("volume", 20)),
    ),
)

_STATISTICS = (
    named("statistics", "score_60", "distance from the 60-bar mean in deviations", "", plain.score("close", 60)),
    row("statistics", "skewness_60", "skewness of 60 log returns", "", statistics.skewness, *_MOMENTS[:3]),
    row("statistics", "kurtosis_60", "excess kurtosis of 60 log returns", "", statistics.kurtosis, *_MOMENTS),
    named(
        "statistics",
        "autocorrelation_60",
        "correlation of a log return with the one before",
        "",
        plain.correlation(_RETURN, plain.lagged(_RETURN), 60),
    ),
    named("statistics", "slope_20", "least-squares slope of the log close per bar", "", plain.slope(_LOG_CLOSE, 20)),
    named(
        "statistics",
        "market_beta_60",
        "slope on the mean log return of the row",
        "Sharpe 1964, J. Finance 19(3)",
        plain.beta(_MARKET, _RETURN, 60),
    ),
    named(
        "statistics",
        "drawdown_60",
        "log close less its 60-bar highest",
        "",
        plain.difference(_LOG_CLOSE, plain.highest(_LOG_CLOSE, 60)),
    ),
)

_CROSS_SECTION = (
    _rank("rank_return_5", "rank of the 5-bar log return in its row, -0.5 to 0.5", _RETURN_5),
    _rank("rank_return_20", "rank of the 20-bar log return in its row", _RETURN_20),
    _rank("rank_volatility", "rank of the one-bar volatility in its row", _EWMA),
    _rank("rank_volume", "rank of the log volume score in its row", _VOLUME_SCORE),
    row("cross_section", "return_1_demeaned", "log return less the row's mean", "", momentum.difference, _RETURN, _MARKET),
)

_CALENDAR = tuple(
    _cycle(f"{name}_{wave}", f"{wave} of the {meaning} of the bar's close, UTC", period_us, offset_us, quarter)
    for name, meaning, period_us, offset_us in (
        ("week", "place in the week", calendar.WEEK_US, calendar.THURSDAY_US),
        ("year", "place in the year", calendar.YEAR_US, 0),
        ("day", "time of day", calendar.DAY_US, 0),
    )
    for wave, quarter in (("sine", 0), ("cosine", 1))
)

FEATURES: tuple[Feature, ...] = _AVERAGE + _MOMENTUM + _VOLATILITY + _VOLUME + _STATISTICS + _CROSS_SECTION + _CALENDAR
