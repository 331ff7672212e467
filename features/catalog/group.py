"""Groups: a symbol against the market, against its sector, and what the row does as a whole."""

from features import indicators as plain
from features import steps
from features.catalog.rows import named
from features.catalog.series import (
    LOG_CLOSE,
    LOG_HIGH,
    LOG_LOW,
    LOG_VOLUME,
    MARKET_RETURN,
    RETURN,
    RETURN_5,
    RETURN_20,
    RETURN_60,
    SQUARE,
    VALUE,
    root,
)
from features.feature import Feature
from features.kernels import group

_BETA = plain.beta(MARKET_RETURN, RETURN, 60)
_CORRELATION = steps.correlation(MARKET_RETURN, RETURN, 60)
_RESIDUAL = steps.residual(RETURN, MARKET_RETURN, _BETA)
_DEVIATION = plain.deviation(RETURN, 60)
_UNEXPLAINED = steps.step("unexplained", group.unexplained, _DEVIATION, _CORRELATION)
_VOLATILITY = root(plain.ema(SQUARE, 20))
_RANGE = plain.difference(LOG_HIGH, LOG_LOW)
_REVERSAL = plain.score(LOG_CLOSE, 20)
_VOLUME_SCORE = plain.score(LOG_VOLUME, 60)
_SIZE = plain.logarithm(plain.sma(VALUE, 20))
_SKIPPED = plain.lagged(RETURN_60, 5)
_SUMMARY, _SUMMARY_20 = steps.row_summary(RETURN), steps.row_summary(RETURN_20)
_ABOVE = steps.row_summary(plain.difference(LOG_CLOSE, plain.sma(LOG_CLOSE, 60)))

#: What is ranked or scored in its row: name, meaning, series.
_FAMILIES: tuple[tuple[str, str, Feature], ...] = (
    ("return_1", "log return of the bar", RETURN),
    ("return_60", "log return of 60 bars", RETURN_60),
    ("momentum_skipped", "log return of 60 bars that ended 5 bars ago", _SKIPPED),
    ("reversal", "20-bar score of the log close", _REVERSAL),
    ("range", "log range of the bar", _RANGE),
    ("size", "log of mean traded value, 20 bars", _SIZE),
    ("residual_volatility", "deviation of what the market leaves, 60 bars", _UNEXPLAINED),
    ("beta", "slope on the market, 60 bars", _BETA),
)
_SCORED: tuple[tuple[str, str, Feature], ...] = (
    ("return_5", "log return of 5 bars", RETURN_5),
    ("return_20", "log return of 20 bars", RETURN_20),
    ("volatility", "volatility of span 20", _VOLATILITY),
    ("volume", "60-bar score of log volume", _VOLUME_SCORE),
)
_NEUTRAL: tuple[tuple[str, str, Feature], ...] = (
    ("return_1", "log return of the bar", RETURN),
    ("return_5", "log return of 5 bars", RETURN_5),
    ("return_20", "log return of 20 bars", RETURN_20),
    ("return_60", "log return of 60 bars", RETURN_60),
)


def _row(name: str, meaning: str, source: str, feature: Feature) -> Feature:
    return named("group", name, meaning, source, feature)


_TITMAN = "Jegadeesh, Titman 1993, J. Finance 48(1)"
_GRINBLATT = "Moskowitz, Grinblatt 1999, J. Finance 54(4)"
_SHARPE = "Sharpe 1964, J. Finance 19(3)"

FEATURES: tuple[Feature, ...] = (
    *(
        _row(f"row_rank_{name}", f"rank in the row, -0.5 to 0.5: {meaning}", _TITMAN, steps.row_rank(x))
        for name, meaning, x in _FAMILIES
    ),
    *(
        _row(f"row_score_{name}", f"deviations from the row's mean: {meaning}", "", steps.row_score(x))
        for name, meaning, x in _SCORED
    ),
    *(
        _row(f"sector_demeaned_{name}", f"less the sector's mean: {meaning}", _GRINBLATT, steps.demeaned(x))
        for name, meaning, x in _NEUTRAL
    ),
    *(
        _row(f"sector_rank_{name}", f"rank in the sector, -0.5 to 0.5: {meaning}", _GRINBLATT, steps.sector_rank(x))
        for name, meaning, x in (*_NEUTRAL[1:], ("volatility", "volatility of span 20", _VOLATILITY))
    ),
    _row("market_correlation_60", "correlation with the mean log return of the row", _SHARPE, _CORRELATION),
    _row("market_residual_1", "log return less 60-bar beta times the row's mean", _SHARPE, _RESIDUAL),
    _row(
        "market_residual_20",
        "the same, added up over 20 bars",
        "Blitz, Huij, Martens 2011, J. Empirical Finance 18(3)",
        plain.total(_RESIDUAL, 20),
    ),
    _row(
        "residual_volatility_60",
        "deviation of what the market leaves of a log return",
        "Ang et al. 2006, J. Finance 61(1)",
        _UNEXPLAINED,
    ),
    _row("row_dispersion_1", "deviation of the row's log returns", "Stivers, Sun 2010, JFQA 45(4)", steps.part(_SUMMARY, 0)),
    _row("row_breadth_1", "share of rising symbols", "", steps.part(_SUMMARY, 1)),
    _row("row_breadth_60", "share of symbols above their 60-bar mean log close", "", steps.part(_ABOVE, 1)),
    _row(
        "row_dispersion_20",
        "deviation of the row's 20-bar log returns",
        "Stivers, Sun 2010, JFQA 45(4)",
        steps.part(_SUMMARY_20, 0),
    ),
    _row("behind_leader_20", "20-bar log return less the row's best", "", plain.difference(RETURN_20, steps.part(_SUMMARY_20, 2))),
    _row(
        "relative_strength_60",
        "60-bar log return less the row's mean",
        "Levy 1967, J. Finance 22(4)",
        plain.difference(RETURN_60, steps.row_mean(RETURN_60)),
    ),
)
