"""Regimes: trend or noise, calm or wild, and whether something has changed. All from what is known at the bar."""

import math

from features import indicators as plain
from features import steps
from features.catalog.rows import named
from features.catalog.series import LOG_CLOSE, LONG_VOLATILITY, RETURN, SQUARE, STANDARDISED, affine, log_ratio, root
from features.feature import Feature
from features.kernels import volatility

#: Two states of a daily return in units of its long-run volatility: calm ones last 50 bars, wild ones 20 (the orders of magnitude
#: of Hamilton, Susmel 1994, J. Econometrics 64, for weekly stock returns); together their variance is one.
STAY_CALM, STAY_WILD, CALM, WILD = 0.98, 0.95, 0.7, 1.5
#: Three states: each lasts 30 bars; means and deviations of the falling, the calm (mean 0) and the rising one.
STAY, MEANS, DEVIATIONS = 1.0 - 1.0 / 30.0, (-0.25, 0.25), (1.4, 0.6, 0.9)
#: Half a deviation: Page's test is then quickest at a shift of one deviation (Hawkins, Olwell 1998, section 3.2).
DRIFT = 0.5

_VOLATILITY = root(plain.ema(SQUARE, 20))
_STATES = steps.three_states(STANDARDISED, STAY, MEANS, DEVIATIONS)
_SUMS = steps.cusum(STANDARDISED, DRIFT)


def _row(name: str, meaning: str, source: str, feature: Feature) -> Feature:
    return named("regime", name, meaning, source, feature)


def _efficiency(bars: int) -> Feature:
    """Return |the move over `bars` bars| / the way that it took."""
    moved = steps.magnitude(plain.change(LOG_CLOSE, bars))
    return plain.over(moved, plain.total(steps.magnitude(RETURN), bars))


def _log_variance_ratio(lag: int, bars: int) -> Feature:
    """Return half the log of Var(`lag`-bar returns) / (lag Var(one-bar returns))."""
    ratio = log_ratio(plain.deviation(plain.change(LOG_CLOSE, lag), bars), plain.deviation(RETURN, bars))
    return affine(ratio, 1.0, -0.5 * math.log(lag))


def _hurst(lag: int, bars: int) -> Feature:
    """Return H of Var(lag-bar returns) ~ lag^(2 H)."""
    return affine(_log_variance_ratio(lag, bars), 1.0 / math.log(lag), 0.5)


def _drawdown(bars: int) -> Feature:
    return plain.difference(LOG_CLOSE, plain.highest(LOG_CLOSE, bars))


def _surprise() -> Feature:
    """Return the squared standardised return less its expectation, in deviations of a squared normal variable."""
    return affine(steps.step("squared", volatility.square, STANDARDISED), 1.0 / math.sqrt(2.0), -1.0 / math.sqrt(2.0))


_KAUFMAN = "Kaufman 1995, Smarter Trading, ch. 7"
_LO = "Lo, MacKinlay 1988, Rev. Financial Studies 1(1), equation 2b"
_HAMILTON = "Hamilton 1989, Econometrica 57(2)"
_PAGE = "Page 1954, Biometrika 41(1/2)"

FEATURES: tuple[Feature, ...] = (
    _row("adx_28", "strength of the trend over 28 bars, 0 to 100", "Wilder 1978, section IV", plain.adx(28)),
    _row("efficiency_10", "move of 10 bars over the way it took, 0 to 1", _KAUFMAN, _efficiency(10)),
    _row("efficiency_60", "move of 60 bars over the way it took, 0 to 1", _KAUFMAN, _efficiency(60)),
    _row(
        "log_variance_ratio_5",
        "log of 5-bar volatility over sqrt(5) one-bar volatility, 120 bars: above 0 trending, below 0 reverting",
        _LO,
        _log_variance_ratio(5, 120),
    ),
    _row("hurst_20", "Hurst exponent from 20-bar against one-bar variance, 120 bars", _LO, _hurst(20, 120)),
    _row(
        "volatility_over_long",
        "log of volatility of span 20 over the long run of span 250",
        "",
        log_ratio(_VOLATILITY, LONG_VOLATILITY),
    ),
    _row(
        "volatility_rank_120", "rank of volatility of span 20 among its last 120, 0 to 1", "", steps.rolling_share(_VOLATILITY, 120)
    ),
    _row("drawdown_250", "log close less its 250-bar highest", "", _drawdown(250)),
    _row(
        "drawdown_over_volatility_60",
        "60-bar drawdown in one-bar volatilities",
        "",
        plain.over(_drawdown(60), _VOLATILITY),
    ),
    _row(
        "wild_probability",
        "probability of the wild one of two states, deviations 0.7 and 1.5 of the long run, filtered forward",
        _HAMILTON,
        steps.wild_probability(STANDARDISED, STAY_CALM, STAY_WILD, CALM, WILD),
    ),
    _row("fall_probability", "probability of the falling one of three states, filtered forward", _HAMILTON, steps.part(_STATES, 0)),
    _row("calm_probability", "probability of the calm one of three states, filtered forward", _HAMILTON, steps.part(_STATES, 1)),
    _row("rise_probability", "probability of the rising one of three states, filtered forward", _HAMILTON, steps.part(_STATES, 2)),
    _row("cusum_up", "evidence in deviations that the mean return has risen", _PAGE, steps.part(_SUMS, 0)),
    _row("cusum_down", "evidence in deviations that the mean return has fallen", _PAGE, steps.part(_SUMS, 1)),
    _row(
        "cusum_volatility",
        "evidence that the variance has risen: the upper sum of squared standardised returns less one",
        _PAGE,
        steps.part(steps.cusum(_surprise(), DRIFT), 0),
    ),
)
