"""Features against their own past: ranks, robust scales, exponential scores, bounded forms; and fractional differences."""

from features import indicators as plain
from features import steps
from features.catalog.rows import named
from features.catalog.series import LOG_CLOSE, LOG_VOLUME, RETURN_5, RETURN_20, SQUARE, root
from features.feature import Feature

_VOLATILITY = root(plain.ema(SQUARE, 20))
_RANGE = plain.over(plain.difference("high", "low"), "close")
#: What is normalised, and its name.
_CHOSEN: tuple[tuple[str, Feature], ...] = (
    ("return_5", RETURN_5),
    ("return_20", RETURN_20),
    ("volatility", _VOLATILITY),
    ("range", _RANGE),
    ("log_volume", LOG_VOLUME),
)
_ORDERS = (0.3, 0.5)
#: At order 0.3 the weight of the 64th bar is 0.1% of the first.
_FRACTIONAL = steps.fractional(LOG_CLOSE, _ORDERS, 64)
_FRACTIONAL_SOURCE = "Hosking 1981, Biometrika 68(1); Lopez de Prado 2018, section 5.5"


def _row(name: str, meaning: str, source: str, feature: Feature) -> Feature:
    return named("normalised", name, meaning, source, feature)


def _forms(name: str, of: Feature) -> tuple[Feature, ...]:
    score = plain.score(of, 60)
    return (
        _row(f"{name}_rank_60", f"rank of the {_words(name)} among its last 60, 0 to 1", "", steps.rolling_share(of, 60)),
        _row(
            f"{name}_robust_60",
            f"the {_words(name)} less its median, in 60-bar interquartile ranges of a normal variable's deviation",
            "Hampel et al. 1986, Robust Statistics, section 2.3",
            steps.robust_score(of, 60),
        ),
        _row(
            f"{name}_winsorised_60",
            f"60-bar score of the {_words(name)}, held within 3 deviations",
            "Tukey 1962, Ann. Math. Stat. 33(1)",
            steps.clip(score, -3.0, 3.0),
        ),
        _row(
            f"{name}_ema_score_60",
            f"the {_words(name)} in exponential deviations of span 60 from its exponential mean",
            "Finch 2009, Incremental calculation of weighted mean and variance, section 9",
            steps.exponential_score(of, 60),
        ),
        _row(
            f"{name}_tanh_60",
            f"tanh of half the 60-bar score of the {_words(name)}, -1 to 1",
            "Jain, Nandakumar, Ross 2005, Pattern Recognition 38(12), equation 8",
            steps.hyperbolic_tangent(score, 0.5, 1.0),
        ),
    )


def _words(name: str) -> str:
    return name.replace("_", " ")


FEATURES: tuple[Feature, ...] = (
    *(feature for name, of in _CHOSEN for feature in _forms(name, of)),
    *(
        _row(
            f"fractional_{round(100 * order)}",
            f"log close differenced {order} times over 64 bars",
            _FRACTIONAL_SOURCE,
            steps.part(_FRACTIONAL, place),
        )
        for place, order in enumerate(_ORDERS)
    ),
)
