"""The series that several families are made of."""

from features import indicators as plain
from features import steps
from features.feature import Feature
from features.kernels import cross_section, volatility

LOG_OPEN, LOG_HIGH, LOG_LOW, LOG_CLOSE, LOG_VOLUME = (
    plain.logarithm(column) for column in ("open", "high", "low", "close", "volume")
)
RETURN, RETURN_5, RETURN_20, RETURN_60 = (plain.change(LOG_CLOSE, bars) for bars in (1, 5, 20, 60))
SQUARE = plain.pointwise("return_squared", volatility.square, RETURN)
MARKET_RETURN = Feature("market_return", cross_section.mean, (RETURN,), whole_row=True)
VWAP = steps.vwap()
VALUE = steps.traded_value()
#: Bars of what is called the long run.
LONG = 250
_LEVEL = plain.ema(SQUARE, LONG)
#: Long-run volatility of one bar: exponential, about a year of days.
LONG_VOLATILITY = plain.pointwise("long_volatility", volatility.root, _LEVEL)
LONG_VARIANCE = _LEVEL
#: The return in units of the volatility that was known before the bar.
STANDARDISED = plain.over(RETURN, plain.lagged(LONG_VOLATILITY))


def root(x: Feature) -> Feature:
    """Return the square root."""
    return steps.step("root", volatility.root, x)


def log_ratio(x: Feature | str, y: Feature | str) -> Feature:
    """Return ln(x / y)."""
    return plain.logarithm(plain.over(x, y))


def affine(x: Feature, scale: float, shift: float) -> Feature:
    """Return scale * x + shift."""
    return steps.step("affine", volatility.affine, x, parameters=(float(scale), float(shift)))
