"""Formulas that read like those of papers on trading signals: expressions of series that become steps of kernels.

The words are those of Kakushadze 2016 (arXiv:1601.00991, appendix A.1). An expression remembers its own text.
"""

from dataclasses import dataclass

from features import indicators as plain
from features import steps
from features.feature import Feature, Source
from features.kernels import arithmetic, statistics, volatility

#: Correlations, and what is computed from ranks and them before it is ranked again, are rounded to a billionth: values that are
#: equal by their formula tie, and no rounding error decides an order.
GRID = 1e9


@dataclass(frozen=True)
class Expression:
    """A series and how it is written."""

    source: Source
    text: str
    discrete: bool = False
    """It is made of ranks, correlations, places and truths alone, so that equal values are common."""
    exact: bool = True
    """Equal values are equal to the bit."""

    def __add__(self, other: "Expression | float") -> "Expression":
        """Return the sum."""
        return self._linear(other, 1.0, "+")

    def __radd__(self, other: float) -> "Expression":
        """Return a number plus the series."""
        return self._like(_affine(self.source, 1.0, other), f"({other:g} + {self.text})")

    def __sub__(self, other: "Expression | float") -> "Expression":
        """Return the difference."""
        return self._linear(other, -1.0, "-")

    def __rsub__(self, other: float) -> "Expression":
        """Return a number less the series."""
        return self._like(_affine(self.source, -1.0, other), f"({other:g} - {self.text})")

    def __neg__(self) -> "Expression":
        """Return the negative."""
        return Expression(_affine(self.source, -1.0, 0.0), f"-{self.text}", self.discrete, self.exact)

    def __mul__(self, other: "Expression | float") -> "Expression":
        """Return the product."""
        if isinstance(other, Expression):
            return self._like(steps.product(self.source, other.source), f"{self.text} * {other.text}", other)
        return self._like(_affine(self.source, other, 0.0), f"{other:g} * {self.text}")

    def __rmul__(self, other: float) -> "Expression":
        """Return a number times the series."""
        return self * other

    def __truediv__(self, other: "Expression | float") -> "Expression":
        """Return the quotient; unknown where the divisor is zero."""
        if isinstance(other, Expression):
            return self._like(plain.over(self.source, other.source), f"{self.text} / {other.text}", other)
        return self._like(_affine(self.source, 1.0 / other, 0.0), f"{self.text} / {other:g}")

    def __rtruediv__(self, other: float) -> "Expression":
        """Return a number over the series."""
        return self._like(plain.over(self._constant(other), self.source), f"{other:g} / {self.text}")

    def __lt__(self, other: "Expression | float") -> "Expression":
        """Return 1 where the series is less than another or a number, else 0."""
        than = other.source if isinstance(other, Expression) else self._constant(other)
        made = steps.step("below", arithmetic.below, self.source, than)
        return Expression(made, f"({self.text} < {_text(other)})", discrete=True)

    def __gt__(self, other: float) -> "Expression":
        """Return 1 where the series is greater than a number, else 0."""
        made = steps.step("below", arithmetic.below, self._constant(other), self.source)
        return Expression(made, f"({other:g} < {self.text})", discrete=True)

    def __pow__(self, exponent: "Expression | float") -> "Expression":
        """Return a positive series to a power: whole, or a series."""
        if isinstance(exponent, Expression):
            power = steps.product(plain.logarithm(self.source), exponent.source)
            return self._like(steps.antilogarithm(power), f"{self.text} ^ {exponent.text}", exponent)
        made = steps.step("power", statistics.power, self.source, parameters=(int(exponent),))
        return Expression(made, f"{self.text} ^ {exponent:g}", self.discrete, self.exact)

    def _linear(self, other: "Expression | float", sign: float, operator: str) -> "Expression":
        text = f"({self.text} {operator} {_text(other)})"
        if isinstance(other, Expression):
            return self._like(steps.linear(self.source, other.source, 1.0, sign), text, other)
        return self._like(_affine(self.source, 1.0, sign * other), text)

    def _constant(self, value: float) -> Feature:
        """Return a number as a series that is known where this one is."""
        return _affine(self.source, 0.0, value)

    def _like(self, source: Source, text: str, other: "Expression | None" = None) -> "Expression":
        """Return what is computed from this series, and another one, with rounding."""
        return Expression(source, text, self.discrete and (other is None or other.discrete), exact=False)

    @property
    def tied(self) -> Source:
        """The series with its ties made whole."""
        return steps.rounded(self.source, GRID) if self.discrete and not self.exact else self.source


def _affine(x: Source, scale: float, shift: float) -> Feature:
    return steps.step("affine", volatility.affine, x, parameters=(float(scale), float(shift)))


def _call(name: str, made: Feature, *arguments: Expression | float, discrete: bool = False, exact: bool = False) -> Expression:
    return Expression(made, f"{name}({', '.join(map(_text, arguments))})", discrete, exact)


def _text(x: Expression | float) -> str:
    return x.text if isinstance(x, Expression) else f"{x:g}"


def column(name: str) -> Expression:
    """Return a column of the panel."""
    return Expression(name, name)


def where(condition: Expression, yes: Expression | float, no: Expression | float) -> Expression:
    """Return `yes` where the condition (0 or 1) holds, else `no`; unknown where any of the three is."""
    text = f"({condition.text} ? {_text(yes)} : {_text(no)})"
    if not isinstance(yes, Expression) and not isinstance(no, Expression):
        return Expression(_affine(condition.source, yes - no, no), text, discrete=True)
    branches = (b.source if isinstance(b, Expression) else _affine(condition.source, 0.0, b) for b in (yes, no))
    return Expression(steps.step("choose", arithmetic.choose, condition.source, *branches), text)


def rank(x: Expression) -> Expression:
    """Return the rank in the row, in (0, 1]."""
    return _call("rank", steps.percentile(x.tied), x, discrete=True, exact=True)


def scale(x: Expression) -> Expression:
    """Return x over the sum of the row's absolute values."""
    return _call("scale", steps.scaled(x.source), x, discrete=x.discrete)


def indneutralize(x: Expression) -> Expression:
    """Return x less the mean of its sector."""
    return _call("indneutralize", steps.demeaned(x.source), x)


def delay(x: Expression, bars: int) -> Expression:
    """Return the value of some bars ago."""
    return _call("delay", plain.lagged(x.source, bars), x, bars, discrete=x.discrete, exact=x.exact)


def delta(x: Expression, bars: int) -> Expression:
    """Return the change over some bars."""
    return _call("delta", plain.change(x.source, bars), x, bars, discrete=x.discrete)


def correlation(x: Expression, y: Expression, bars: int) -> Expression:
    """Return the rolling correlation to nine digits, 0 where either is flat."""
    return _call("correlation", steps.correlation(x.source, y.source, bars, GRID), x, y, bars, discrete=True, exact=True)


def covariance(x: Expression, y: Expression, bars: int) -> Expression:
    """Return the rolling population covariance to nine digits, 0 where x is flat."""
    return _call("covariance", steps.covariance(x.source, y.source, bars, GRID), x, y, bars, discrete=True, exact=True)


def stddev(x: Expression, bars: int) -> Expression:
    """Return the rolling population deviation."""
    return _call("stddev", plain.deviation(x.source, bars), x, bars)


def ts_sum(x: Expression, bars: int) -> Expression:
    """Return the rolling sum."""
    return _call("sum", plain.total(x.source, bars), x, bars, discrete=x.discrete)


def mean(x: Expression, bars: int) -> Expression:
    """Return the rolling mean."""
    return _call("mean", plain.sma(x.source, bars), x, bars, discrete=x.discrete)


def ts_min(x: Expression, bars: int) -> Expression:
    """Return the rolling minimum."""
    return _call("ts_min", plain.lowest(x.source, bars), x, bars, discrete=x.discrete, exact=x.exact)


def ts_max(x: Expression, bars: int) -> Expression:
    """Return the rolling maximum."""
    return _call("ts_max", plain.highest(x.source, bars), x, bars, discrete=x.discrete, exact=x.exact)


def ts_argmax(x: Expression, bars: int) -> Expression:
    """Return the place of the maximum, 1 the oldest bar."""
    return _call("ts_argmax", steps.extreme_place(x.tied, bars, 1.0), x, bars, discrete=True, exact=True)


def ts_argmin(x: Expression, bars: int) -> Expression:
    """Return the place of the minimum, 1 the oldest bar."""
    return _call("ts_argmin", steps.extreme_place(x.tied, bars, -1.0), x, bars, discrete=True, exact=True)


def ts_rank(x: Expression, bars: int) -> Expression:
    """Return the rank in the window, in (0, 1]."""
    return _call("ts_rank", steps.rolling_share(x.tied, bars), x, bars, discrete=True, exact=True)


def decay_linear(x: Expression, bars: int) -> Expression:
    """Return the average with weights that fall linearly to the oldest bar."""
    return _call("decay_linear", plain.wma(x.source, bars), x, bars, discrete=x.discrete)


def larger(x: Expression, y: Expression) -> Expression:
    """Return the larger of two series."""
    return _call(
        "max",
        steps.step("max", arithmetic.larger, x.source, y.source, parameters=(1.0,)),
        x,
        y,
        discrete=x.discrete and y.discrete,
        exact=x.exact and y.exact,
    )


def smaller(x: Expression, y: Expression) -> Expression:
    """Return the smaller of two series."""
    return _call(
        "min",
        steps.step("min", arithmetic.larger, x.source, y.source, parameters=(-1.0,)),
        x,
        y,
        discrete=x.discrete and y.discrete,
        exact=x.exact and y.exact,
    )


def sign(x: Expression) -> Expression:
    """Return -1, 0 or 1."""
    return _call("sign", steps.sign(x.source), x, discrete=True, exact=True)


def magnitude(x: Expression) -> Expression:
    """Return the absolute value."""
    return _call("abs", steps.magnitude(x.source), x, discrete=x.discrete, exact=x.exact)


def log(x: Expression) -> Expression:
    """Return the natural logarithm."""
    return _call("log", plain.logarithm(x.source), x, discrete=x.discrete)


def root(x: Expression) -> Expression:
    """Return the square root."""
    return _call("sqrt", steps.step("root", volatility.root, x.source), x)
