"""Realised volatility: what bars say about variance, its jumps, its sides and its memory."""

import math

from features import indicators as plain
from features import steps
from features.catalog.rows import named
from features.catalog.series import (
    LOG_CLOSE,
    LOG_HIGH,
    LOG_LOW,
    LOG_OPEN,
    LONG_VARIANCE,
    LONG_VOLATILITY,
    RETURN,
    SQUARE,
    affine,
    log_ratio,
    root,
)
from features.feature import Feature
from features.kernels import realised, volatility

#: GARCH(1, 1) of daily stock returns, about what fits of many give: Bollerslev 1986; persistence 0.98.
ALPHA, BETA = 0.06, 0.92
#: E ln(range) = 0.43 + ln(volatility) for a random walk without drift (Alizadeh, Brandt, Diebold 2002, section I.B).
LOG_RANGE = 0.43

_PARKINSON = steps.step("parkinson", volatility.parkinson, LOG_HIGH, LOG_LOW)
_DRIFT_FREE = steps.step("rogers_satchell", volatility.rogers_satchell, LOG_OPEN, LOG_HIGH, LOG_LOW, LOG_CLOSE)
_OVERNIGHT = plain.difference(LOG_OPEN, plain.lagged(LOG_CLOSE))
_BODY = plain.difference(LOG_CLOSE, LOG_OPEN)
_BIPOWER = steps.step("bipower", realised.bipower, RETURN, plain.lagged(RETURN))
_DOWN, _UP = (steps.step("semivariance", realised.semivariance, RETURN, parameters=(side,)) for side in (-1.0, 1.0))
_GARCH = steps.garch(SQUARE, LONG_VARIANCE, ALPHA, BETA)
_LOG_EWMA = plain.logarithm(root(plain.ema(SQUARE, 20)))


def _row(name: str, meaning: str, source: str, feature: Feature) -> Feature:
    return named("realised", name, meaning, source, feature)


def _squared(x: Feature) -> Feature:
    return steps.step("squared", volatility.square, x)


def _mean_root(of: Feature, bars: int) -> Feature:
    return root(plain.sma(of, bars))


def _jumps(bars: int) -> Feature:
    return steps.step("jump_share", realised.excess, plain.sma(SQUARE, bars), plain.sma(_BIPOWER, bars))


_YANG_ZHANG = "Yang, Zhang 2000, J. Business 73(3), equation 9"
_BIPOWER_SOURCE = "Barndorff-Nielsen, Shephard 2004, J. Financial Econometrics 2(1)"
_SEMI = "Barndorff-Nielsen, Kinnebrock, Shephard 2010, Volatility and Time Series Econometrics, ch. 7"
_CORSI = "Corsi 2009, J. Financial Econometrics 7(2), equation 11"
_RISK_METRICS = "RiskMetrics 1996, 5.2"

FEATURES: tuple[Feature, ...] = (
    _row(
        "yang_zhang_20",
        "volatility from gaps, bodies and ranges, free of drift",
        _YANG_ZHANG,
        root(steps.yang_zhang(_OVERNIGHT, _BODY, _DRIFT_FREE, 20)),
    ),
    _row(
        "yang_zhang_60",
        "the same over 60 bars",
        _YANG_ZHANG,
        root(steps.yang_zhang(_OVERNIGHT, _BODY, _DRIFT_FREE, 60)),
    ),
    _row("bipower_20", "volatility without jumps: root of mean bipower variation", _BIPOWER_SOURCE, _mean_root(_BIPOWER, 20)),
    _row("jump_share_20", "share of jumps in 20 squared returns, 0 to 1", _BIPOWER_SOURCE, _jumps(20)),
    _row("jump_share_60", "share of jumps in 60 squared returns, 0 to 1", _BIPOWER_SOURCE, _jumps(60)),
    _row("semideviation_down_20", "root mean square of falls, rises counting as zero", _SEMI, _mean_root(_DOWN, 20)),
    _row("semideviation_up_20", "root mean square of rises, falls counting as zero", _SEMI, _mean_root(_UP, 20)),
    _row(
        "downside_share_20",
        "share of falls in 20 squared returns, 0 to 1",
        _SEMI,
        plain.over(plain.sma(_DOWN, 20), plain.sma(SQUARE, 20)),
    ),
    _row(
        "downside_deviation_60",
        "root mean square of falls over 60 bars, against a target of zero",
        "Sortino, van der Meer 1991, J. Portfolio Management 17(4)",
        _mean_root(_DOWN, 60),
    ),
    _row("har_1", "root of the bar's range variance, the daily term of HAR", _CORSI, root(_PARKINSON)),
    _row("har_5", "root of 5 bars' mean range variance, the weekly term", _CORSI, _mean_root(_PARKINSON, 5)),
    _row("har_22", "root of 22 bars' mean range variance, the monthly term", _CORSI, _mean_root(_PARKINSON, 22)),
    _row(
        "har_5_over_22",
        "log of weekly over monthly volatility",
        _CORSI,
        log_ratio(_mean_root(_PARKINSON, 5), _mean_root(_PARKINSON, 22)),
    ),
    _row(
        "ewma_5_over_20",
        "log of fast over slow exponential volatility, spans 5 and 20",
        _RISK_METRICS,
        log_ratio(root(plain.ema(SQUARE, 5)), root(plain.ema(SQUARE, 20))),
    ),
    _row(
        "ewma_20_over_120",
        "log of fast over slow exponential volatility, spans 20 and 120",
        _RISK_METRICS,
        log_ratio(root(plain.ema(SQUARE, 20)), root(plain.ema(SQUARE, 120))),
    ),
    _row(
        "volatility_of_volatility_20",
        "deviation of 20 changes of log volatility",
        "",
        plain.deviation(plain.change(_LOG_EWMA), 20),
    ),
    _row(
        "garch",
        "next bar's volatility by GARCH(1, 1) with alpha 0.06, beta 0.92 and the long-run variance of span 250",
        "Bollerslev 1986, J. Econometrics 31(3)",
        root(_GARCH),
    ),
    _row(
        "garch_over_long",
        "log of GARCH volatility over its long run",
        "Bollerslev 1986, J. Econometrics 31(3)",
        log_ratio(root(_GARCH), LONG_VOLATILITY),
    ),
    _row(
        "log_range_20",
        "log volatility from 20 log ranges",
        "Alizadeh, Brandt, Diebold 2002, J. Finance 57(3)",
        affine(plain.sma(plain.logarithm(plain.difference(LOG_HIGH, LOG_LOW)), 20), 1.0, -LOG_RANGE),
    ),
    _row(
        "range_over_close_20",
        "log of range volatility over close-to-close volatility: trading hours against the rest",
        "",
        log_ratio(_mean_root(_PARKINSON, 20), _mean_root(SQUARE, 20)),
    ),
    _row(
        "quarticity_20",
        "log of realised quarticity over squared variance: 0 for normal returns of one size, high when few moves make it",
        "Barndorff-Nielsen, Shephard 2002, J. R. Stat. Soc. B 64(2)",
        affine(log_ratio(plain.sma(_squared(SQUARE), 20), _squared(plain.sma(SQUARE, 20))), 1.0, -math.log(3.0)),
    ),
)
