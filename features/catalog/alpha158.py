"""The family `alpha158`: Qlib's Alpha158, feature by feature (microsoft/qlib, contrib/data/handler.py and data/ops.py).

The formulas and conventions are Qlib's: sample deviations, quantiles between neighbours, ranks as shares, places counted from the
oldest bar, 1e-12 added to divisors that may be zero. Two things are not. Qlib writes a value from a window's first bar on
(min_periods 1); here a window waits until it is full, and a change needs the bar before it. And where a window is flat, so that a
correlation or R squared is 0 / 0, the value is unknown; Qlib calls windows flat that deviate by less than 2e-5, whatever the
price is.
"""

from typing import NamedTuple

from features import indicators as plain
from features import steps
from features.catalog.rows import named, row
from features.feature import Feature
from features.kernels import candle, counting, extreme, momentum, nested, order_statistics, volatility

WINDOWS = (5, 10, 20, 30, 60)
LONGEST = WINDOWS[-1]
SOURCE = "Qlib Alpha158"


class _Part(NamedTuple):
    """One of the series that a step writes for each window."""

    place: int
    name: str
    meaning: str
    """What it is, with {n} for the length of the window."""
    late: int = 0
    """Bars that it is known after the window is full."""


def _step(name: str, kernel: object, inputs: tuple[str | Feature, ...], parts: int, slots: int, *parameters: float) -> Feature:
    return Feature(
        f"alpha158_{name}",
        kernel,  # type: ignore[arg-type]
        inputs,
        (*parameters, *WINDOWS),
        slots,
        parts=parts * len(WINDOWS),
    )


def _windows(step: Feature, *parts: _Part) -> tuple[Feature, ...]:
    """Return the named parts of a step for every window."""
    width = step.parts // len(WINDOWS)
    return tuple(
        named(
            "alpha158",
            f"alpha158_{part.name}_{bars}",
            part.meaning.format(n=bars),
            SOURCE,
            steps.part(step, width * i + part.place, bars - 1 + part.late),
        )
        for part in parts
        for i, bars in enumerate(WINDOWS)
    )


def _bar(step: Feature, *rows: tuple[str, str]) -> tuple[Feature, ...]:
    """Return all parts of a step that looks at one bar."""
    return tuple(named("alpha158", f"alpha158_{name}", of, SOURCE, steps.part(step, i)) for i, (name, of) in enumerate(rows))


_BAR = ("open", "high", "low", "close")
_RINGS = 2 * (LONGEST + 1)
_CHANGE, _VOLUME_CHANGE = plain.change("close"), plain.change("volume")
_SIZED = plain.pointwise("alpha158_sized_move", candle.sized_move, plain.rate("close", 1), "volume")
_LOG_VOLUME = plain.logarithm(plain.pointwise("volume_plus_one", volatility.affine, "volume", parameters=(1.0, 1.0)))
_RATIO = plain.pointwise("close_ratio", momentum.over, "close", plain.lagged("close"), parameters=(1.0,))
_VOLUME_RATIO = plain.pointwise("volume_ratio", momentum.over, "volume", plain.lagged("volume"), parameters=(1.0,))
_LOG_VOLUME_RATIO = plain.logarithm(
    plain.pointwise("volume_ratio_plus_one", volatility.affine, _VOLUME_RATIO, parameters=(1.0, 1.0))
)

_SHAPE = Feature("alpha158_kbar", candle.shape, _BAR, parts=candle.SHAPE_PARTS)
_PRICES = Feature("alpha158_prices", candle.prices, _BAR, parts=candle.PRICE_PARTS)
_LINES = _step("lines", nested.lines, ("close",), nested.LINE_PARTS, nested.LINE_HEAD + _RINGS)
_EXTREMES = _step("extremes", extreme.extremes, ("high", "low", "close"), extreme.PARTS, extreme.HEAD + 2 * _RINGS)
_QUANTILES = _step(
    "quantiles",
    order_statistics.quantiles,
    ("close",),
    order_statistics.PARTS,
    order_statistics.HEAD + _RINGS + sum(WINDOWS),
    0.8,
    0.2,
)
_CORRELATION = _step("correlation", nested.pairs, ("close", _LOG_VOLUME), 1, nested.PAIR_HEAD + 2 * _RINGS)
_CHANGE_CORRELATION = _step("change_correlation", nested.pairs, (_RATIO, _LOG_VOLUME_RATIO), 1, nested.PAIR_HEAD + 2 * _RINGS)
_MOVES = _step("moves", counting.moves, (_CHANGE,), counting.PARTS, counting.HEAD + _RINGS)
_VOLUME_MOVES = _step("volume_moves", counting.moves, (_VOLUME_CHANGE,), counting.PARTS, counting.HEAD + _RINGS)
_VOLUME = _step("volume", nested.spreads, ("volume",), nested.SPREAD_PARTS, nested.SPREAD_HEAD + _RINGS)
_SIZED_SPREAD = _step("sized", nested.spreads, (_SIZED,), nested.SPREAD_PARTS, nested.SPREAD_HEAD + _RINGS)

FEATURES: tuple[Feature, ...] = (
    *_bar(
        _SHAPE,
        ("kmid", "(close - open) / open"),
        ("klen", "(high - low) / open"),
        ("kmid2", "(close - open) / (high - low)"),
        ("kup", "upper shadow / open"),
        ("kup2", "upper shadow / (high - low)"),
        ("klow", "lower shadow / open"),
        ("klow2", "lower shadow / (high - low)"),
        ("ksft", "(2 close - high - low) / open"),
        ("ksft2", "(2 close - high - low) / (high - low)"),
    ),
    *_bar(_PRICES, ("open0", "open / close"), ("high0", "high / close"), ("low0", "low / close")),
    row(
        "alpha158",
        "alpha158_vwap0",
        "volume-weighted price of the bar / close",
        SOURCE,
        momentum.over,
        "vwap",
        "close",
        parameters=(1.0,),
    ),
    *_windows(
        _LINES,
        _Part(5, "roc", "close of {n} bars ago / close", 1),
        _Part(0, "ma", "mean of {n} closes / close"),
        _Part(1, "std", "sample deviation of {n} closes / close"),
        _Part(2, "beta", "least-squares slope of {n} closes / close"),
        _Part(3, "rsqr", "R squared of the least-squares line through {n} closes"),
        _Part(4, "resi", "close less the least-squares line through {n} closes, / close"),
    ),
    *_windows(
        _EXTREMES,
        _Part(0, "max", "highest of {n} bars / close"),
        _Part(1, "min", "lowest of {n} bars / close"),
        _Part(2, "rsv", "place of the close between the lowest and the highest of {n} bars, 0 to 1"),
        _Part(3, "imax", "place of the highest among {n} bars, newest 1"),
        _Part(4, "imin", "place of the lowest among {n} bars, newest 1"),
        _Part(5, "imxd", "place of the highest less place of the lowest among {n} bars"),
    ),
    *_windows(
        _QUANTILES,
        _Part(0, "qtlu", "0.8 quantile of {n} closes / close"),
        _Part(1, "qtld", "0.2 quantile of {n} closes / close"),
        _Part(2, "rank", "rank of the close among {n}, highest 1"),
    ),
    *_windows(_CORRELATION, _Part(0, "corr", "correlation of close and log(volume + 1) over {n} bars")),
    *_windows(
        _CHANGE_CORRELATION,
        _Part(0, "cord", "correlation of the ratios to the bar before of close and, log(1 + it), volume over {n} bars"),
    ),
    *_windows(
        _MOVES,
        _Part(0, "cntp", "share of {n} bars whose close rose"),
        _Part(1, "cntn", "share of {n} bars whose close fell"),
        _Part(2, "cntd", "share of {n} bars whose close rose less share of those whose close fell"),
        _Part(3, "sump", "sum of rises / sum of moves of the close over {n} bars"),
        _Part(4, "sumn", "sum of falls / sum of moves of the close over {n} bars"),
        _Part(5, "sumd", "sum of rises less sum of falls / sum of moves of the close over {n} bars"),
    ),
    *_windows(
        _VOLUME,
        _Part(0, "vma", "mean of {n} volumes / volume"),
        _Part(1, "vstd", "sample deviation of {n} volumes / volume"),
    ),
    *_windows(_SIZED_SPREAD, _Part(2, "wvma", "sample deviation / mean of |return| * volume over {n} bars")),
    *_windows(
        _VOLUME_MOVES,
        _Part(3, "vsump", "sum of rises / sum of moves of volume over {n} bars"),
        _Part(4, "vsumn", "sum of falls / sum of moves of volume over {n} bars"),
        _Part(5, "vsumd", "sum of rises less sum of falls / sum of moves of volume over {n} bars"),
    ),
)
