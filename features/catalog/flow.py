"""Order flow: volume-weighted prices, who started the trades, what trades move, what trading costs."""

from features import indicators as plain
from features import steps
from features.catalog.rows import named
from features.catalog.series import LOG_CLOSE, LOG_HIGH, LOG_LOW, LOG_VOLUME, RETURN, VALUE, VWAP, affine, log_ratio
from features.feature import Feature
from features.kernels import arithmetic, average, volatility

_MEAN_VOLUME = plain.sma("volume", 50)
_RELATIVE_VOLUME = plain.over("volume", _MEAN_VOLUME)
_SIDE = steps.tick_rule()
_TICKED = steps.product(_SIDE, "volume")
_SHARE = steps.buyer_share(plain.over(RETURN, plain.deviation(RETURN, 20)))
_IMBALANCE = affine(_SHARE, 2.0, -1.0)
_SIGNED = steps.product(_IMBALANCE, "volume")
_SIGNED_RELATIVE = steps.product(_IMBALANCE, _RELATIVE_VOLUME)
_RELATIVE_VALUE = plain.over(VALUE, plain.sma(VALUE, 50))
_ROOT_VALUE = steps.product(steps.sign(RETURN), steps.step("root", volatility.root, _RELATIVE_VALUE))
_TRADE_SIZE = plain.over("volume", "trades")


def _row(name: str, meaning: str, source: str, feature: Feature) -> Feature:
    return named("flow", name, meaning, source, feature)


def _rolling_vwap(bars: int) -> Feature:
    return plain.over(plain.total(VALUE, bars), plain.total("volume", bars))


def _away(average_price: Feature) -> Feature:
    return steps.step("distance", average.distance, "close", average_price)


def _roll(bars: int) -> Feature:
    """Return 2 sqrt(-cov(r, r before)), 0 where the covariance is positive."""
    negative = steps.step(
        "one_sided",
        arithmetic.one_sided,
        affine(steps.covariance(plain.lagged(RETURN), RETURN, bars), -4.0, 0.0),
        parameters=(1.0,),
    )
    return steps.step("root", volatility.root, negative)


_VWAP_SOURCE = "Berkowitz, Logue, Noser 1988, J. Finance 43(1)"
_TICK = "Lee, Ready 1991, J. Finance 46(2)"
_BULK = "Easley, Lopez de Prado, O'Hara 2012, Rev. Financial Studies 25(5)"
_KYLE = "Kyle 1985, Econometrica 53(6)"

FEATURES: tuple[Feature, ...] = (
    _row(
        "close_over_vwap_1", "distance from the bar's volume-weighted price (typical price without one)", _VWAP_SOURCE, _away(VWAP)
    ),
    _row("close_over_vwap_5", "distance from the volume-weighted price of 5 bars", _VWAP_SOURCE, _away(_rolling_vwap(5))),
    _row("close_over_vwap_60", "distance from the volume-weighted price of 60 bars", _VWAP_SOURCE, _away(_rolling_vwap(60))),
    _row(
        "kyle_lambda_60",
        "slope of log returns on signed volume in mean volumes, per bar",
        _KYLE,
        plain.beta(_SIGNED_RELATIVE, RETURN, 60),
    ),
    _row(
        "impact_60",
        "slope of log returns on the signed root of traded value in mean values",
        "Hasbrouck 2009, J. Finance 64(3), section III",
        plain.beta(_ROOT_VALUE, RETURN, 60),
    ),
    _row("roll_spread_60", "spread from the covariance of neighbouring returns", "Roll 1984, J. Finance 39(4)", _roll(60)),
    _row(
        "corwin_schultz_20",
        "mean spread from the ranges of neighbouring bars",
        "Corwin, Schultz 2012, J. Finance 67(2)",
        plain.sma(steps.two_bar_spread(LOG_HIGH, LOG_LOW, LOG_CLOSE), 20),
    ),
    _row(
        "volume_price_correlation_20",
        "correlation of close and volume",
        "Kakushadze 2016, arXiv:1601.00991, alpha 6 with the close",
        steps.correlation("close", "volume", 20),
    ),
    _row(
        "volume_move_correlation_20",
        "correlation of absolute log returns and log volume",
        "Karpoff 1987, JFQA 22(1)",
        steps.correlation(steps.magnitude(RETURN), LOG_VOLUME, 20),
    ),
    _row(
        "volume_lead_correlation_60",
        "correlation of log returns with the change of log volume one bar before",
        "Chordia, Swaminathan 2000, J. Finance 55(2)",
        steps.correlation(RETURN, plain.lagged(plain.change(LOG_VOLUME)), 60),
    ),
    _row("tick_side", "side of the last move, -1 to 1", _TICK, _SIDE),
    _row(
        "tick_volume_20",
        "volume on rises less on falls over all volume, unchanged closes counting as before",
        _TICK,
        plain.over(plain.total(_TICKED, 20), plain.total("volume", 20)),
    ),
    _row(
        "imbalance_1",
        "volume bought less sold over volume: counted where buy_volume is known, else classified in bulk",
        _BULK,
        _IMBALANCE,
    ),
    _row("imbalance_5", "the same over 5 bars", _BULK, plain.over(plain.total(_SIGNED, 5), plain.total("volume", 5))),
    _row("imbalance_20", "the same over 20 bars", _BULK, plain.over(plain.total(_SIGNED, 20), plain.total("volume", 20))),
    _row(
        "imbalance_correlation_20",
        "correlation of log returns and the imbalance",
        _BULK,
        steps.correlation(RETURN, _IMBALANCE, 20),
    ),
    _row("vpin_50", "mean absolute imbalance of 50 buckets of a mean bar's volume", _BULK, steps.vpin(_SHARE, _MEAN_VOLUME, 50)),
    _row(
        "relative_volume_50",
        "log of volume over its 50-bar mean",
        "",
        plain.logarithm(_RELATIVE_VOLUME),
    ),
    _row(
        "trade_intensity_20",
        "log of the number of trades over its 20-bar mean (needs trades)",
        "Jones, Kaul, Lipson 1994, Rev. Financial Studies 7(4)",
        log_ratio("trades", plain.sma("trades", 20)),
    ),
    _row(
        "trade_size_20",
        "log of volume a trade over its 20-bar mean (needs trades)",
        "Jones, Kaul, Lipson 1994, Rev. Financial Studies 7(4)",
        log_ratio(_TRADE_SIZE, plain.sma(_TRADE_SIZE, 20)),
    ),
    _row("spread_20", "mean quoted spread over price (needs spread)", "", plain.sma("spread", 20)),
    _row("spread_score_60", "quoted spread in deviations from its 60-bar mean (needs spread)", "", plain.score("spread", 60)),
    _row(
        "spread_over_volatility_20",
        "quoted spread over the deviation of 20 log returns (needs spread)",
        "",
        plain.over(plain.sma("spread", 20), plain.deviation(RETURN, 20)),
    ),
)
