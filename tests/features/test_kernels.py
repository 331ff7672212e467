"""Tests of every kernel against its naive twin, with gaps."""

import importlib
import math
import pkgutil
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import numpy as np
import pytest
import scipy.stats

import tests.features
from domain.panel import FloatArray
from features import indicators, kernels
from features.engine import FeatureEngine
from features.feature import Feature
from features.kernels import average, calendar, cross_section, logarithm, momentum, statistics, volatility, volume, window
from tests.features import naive, panels

INPUTS = ("close", "open", "high", "low")
LOG = math.log
Twin = Callable[..., Sequence[float]]


def each(of: Callable[..., float]) -> Twin:
    """Return a twin of a kernel that looks at one bar alone."""
    return lambda *columns: [of(*values) for values in zip(*columns, strict=True)]


def bound(of: Callable[..., float], *parameters: float) -> Twin:
    """Return a twin of one bar with its parameters."""
    return lambda *columns: [
        of(*values, *parameters) for values in zip(*(c for c in columns if isinstance(c, np.ndarray)), strict=True)
    ]


SERIES: list[tuple[Callable[..., object], int, tuple[float, ...], int, Twin]] = [
    (window.rolling_total, 1, (7, 2.0), window.HEAD + 8, naive.total),
    (window.rolling_extreme, 1, (6, 1.0), window.HEAD + 13, naive.extreme),
    (window.rolling_extreme, 1, (5, -1.0), window.HEAD + 11, naive.extreme),
    (window.lagged, 1, (3,), window.HEAD + 3, naive.lagged),
    (window.change, 1, (3,), window.HEAD + 3, naive.change),
    (window.rate, 1, (3, 100.0), window.HEAD + 3, naive.rate),
    (average.simple, 1, (7,), window.HEAD + 8, naive.simple),
    (average.exponential, 1, (7,), 2, naive.exponential),
    (average.wilder, 1, (7,), 2, naive.wilder),
    (average.wilder_sum, 1, (7, 6), 2, naive.wilder_sum),
    (average.late, 1, (7, 4), 2, naive.late),
    (average.weighted, 1, (7,), average.WEIGHTED_HEAD + 7, naive.weighted),
    (average.slope, 1, (7,), average.WEIGHTED_HEAD + 7, naive.slope),
    (average.regression, 1, (7,), average.WEIGHTED_HEAD + 7, naive.regression),
    (average.middle, 2, (), 0, each(lambda a, b: (a + b) / 2)),
    (average.twice, 2, (), 0, each(lambda a, b: 2 * a - b)),
    (average.thrice, 3, (), 0, each(lambda a, b, c: 3 * a - 3 * b + c)),
    (average.distance, 2, (), 0, each(lambda a, b: (a - b) / b)),
    (logarithm.logarithm, 1, (), logarithm.SLOTS, each(LOG)),
    (momentum.difference, 2, (), 0, each(lambda a, b: a - b)),
    (momentum.over, 2, (100.0,), 0, lambda a, b, scale: [scale * u / v for u, v in zip(a, b, strict=True)]),
    (momentum.relative_strength, 1, (7,), momentum.RSI_SLOTS, naive.relative_strength),
    (momentum.channel_index, 1, (7,), momentum.CCI_HEAD + 7, naive.channel_index),
    (momentum.directional_move, 2, (True,), momentum.MOVE_SLOTS, naive.directional_move),
    (momentum.directional_move, 2, (False,), momentum.MOVE_SLOTS, naive.directional_move),
    (momentum.directional_index, 2, (), 0, each(lambda a, b: 100 * abs(a - b) / (a + b))),
    (momentum.typical, 3, (), 0, each(lambda h, low, c: (h + low + c) / 3)),
    (volatility.band, 2, (2.0,), 0, lambda m, d, k: [a + k * b for a, b in zip(m, d, strict=True)]),
    (volatility.affine, 1, (0.25, 0.5), 0, lambda x, a, b: [a * v + b for v in x]),
    (volatility.root, 1, (), 0, each(math.sqrt)),
    (volatility.square, 1, (), 0, each(lambda v: v**2)),
    (volatility.parkinson, 2, (), 0, each(lambda h, low: (h - low) ** 2 / (4 * LOG(2)))),
    (volatility.garman_klass, 4, (), 0, each(lambda o, h, low, c: 0.5 * (h - low) ** 2 - (2 * LOG(2) - 1) * (c - o) ** 2)),
    (volatility.rogers_satchell, 4, (), 0, each(lambda o, h, low, c: (h - c) * (h - o) + (low - c) * (low - o))),
    (volume.on_balance, 2, (), volume.BALANCE_SLOTS, naive.on_balance),
    (volume.cumulative, 1, (), 1, lambda x: list(np.cumsum(x))),
    (volume.flow, 2, (1.0,), volume.FLOW_SLOTS, naive.flow),
    (volume.flow, 2, (-1.0,), volume.FLOW_SLOTS, naive.flow),
    (volume.share, 2, (), 0, each(lambda a, b: 100 * a / (a + b))),
    (volume.traded, 2, (), 0, each(lambda a, b: a * b)),
    (volume.illiquidity, 2, (), 0, each(lambda r, v: abs(r) / v)),
    (volume.pressure, 4, (), 0, each(naive.pressure)),
    (statistics.deviation, 1, (7,), statistics.MOMENT_HEAD + 7, naive.deviation),
    (statistics.score, 1, (7,), statistics.MOMENT_HEAD + 7, naive.score),
    (statistics.correlation, 2, (7,), statistics.PAIR_HEAD + 14, naive.correlation),
    (statistics.beta, 2, (7,), statistics.PAIR_HEAD + 14, naive.beta),
    (statistics.power, 1, (4,), 0, lambda x, k: [v**k for v in x]),
]
ELSEWHERE = {
    "recall": "by every window",
    "remember": "by every window",
    "smooth": "by exponential, wilder and wilder_sum",
    "line": "by weighted and slope",
    "true_range": "on its own",
    "stochastic": "on its own",
    "skewness": "on its own",
    "kurtosis": "on its own",
    "cycle": "on its own",
    "rank": "on its own",
    "mean": "on its own",
}


def run(feature: Feature, inputs: Sequence[FloatArray]) -> FloatArray:
    """Return the feature over columns that stand in for prices."""
    columns = dict(zip(INPUTS, inputs, strict=False))
    filler = np.where(np.isnan(inputs[0]), np.nan, 1.0)
    panel = panels.from_prices({name: columns.get(name, filler) for name in ("open", "high", "low", "close", "volume")})
    values: FloatArray = FeatureEngine((feature,), len(panel.symbols), precision=np.float64).advance(panel)[:, :, 0]
    return values


@pytest.mark.parametrize(("kernel", "inputs", "parameters", "slots", "twin"), SERIES, ids=lambda v: getattr(v, "__name__", None))
@pytest.mark.parametrize("gaps", [0.0, 0.15])
def test_a_kernel_equals_its_naive_twin(
    kernel: Callable[..., object], inputs: int, parameters: tuple[float, ...], slots: int, twin: Twin, gaps: float
) -> None:
    """Each column equals the twin over the bars that the column really had, and is NaN at the others."""
    draw = np.random.default_rng(11)
    columns = [np.exp(draw.normal(1.0, 0.4, (400, 6))) for _ in range(inputs)]
    missing = draw.random((400, 6)) < gaps
    for column in columns:
        column[missing] = np.nan

    values = run(Feature("tested", kernel, INPUTS[:inputs], parameters, slots), columns)

    for s in range(6):
        own = ~missing[:, s]
        expected = np.full(400, np.nan)
        expected[own] = twin(*(column[own, s] for column in columns), *parameters)
        np.testing.assert_allclose(values[:, s], expected, rtol=1e-9, atol=1e-11)


def test_every_kernel_has_a_twin() -> None:
    """No kernel that a feature can name goes untested; other modules list those that they compare as TWINS."""
    names, compared = set(), {kernel.__name__ for kernel, *_ in SERIES} | ELSEWHERE.keys()
    for module in pkgutil.iter_modules(tests.features.__path__, "tests.features."):
        compared |= getattr(importlib.import_module(module.name), "TWINS", {}).keys()
    for module in pkgutil.iter_modules(kernels.__path__):
        room = importlib.import_module(f"features.kernels.{module.name}")
        names |= {name for name, value in vars(room).items() if "state" in parameters(value) and not name.startswith("_")}

    assert names == compared


def parameters(value: object) -> Sequence[str]:
    """Return the parameter names of a compiled function, none for anything else."""
    code = getattr(getattr(value, "py_func", None), "__code__", None)
    return code.co_varnames[: code.co_argcount] if code else ()


def test_the_stochastic_is_the_place_in_the_range() -> None:
    """%K runs from 0 to 100, and an empty range has no place."""
    close, high, low = np.array([[5.0, 2.0, 3.0]]), np.array([[6.0, 2.0, 3.0]]), np.array([[2.0, 2.0, 1.0]])

    values = run(Feature("k", momentum.stochastic, ("close", "open", "high")), [close, high, low])

    np.testing.assert_allclose(values, [[75.0, np.nan, 100.0]])


def test_the_true_range_reaches_to_the_close_before() -> None:
    """A bar that contains the close before, one above it and one below it; unknown without a bar before."""
    high, low, close = (np.array([values]).T for values in ([9.0, 5.0, 5.0, 5.0], [1.0, 3.0, 3.0, 3.0], [4.0, 2.0, 7.0, 4.0]))
    feature = Feature("tr", volatility.true_range, ("close", "open", "high"), (), volatility.RANGE_SLOTS)

    ranges = run(feature, [high, low, close])

    np.testing.assert_array_equal(ranges[:, 0], [np.nan, 2.0, 3.0, 4.0])


def test_the_true_range_equals_its_naive_twin_across_gaps() -> None:
    """On bars whose high is above their low, the range between extremes is the largest of Wilder's three distances."""
    panel = panels.random(300, 5, 12, 0.2)

    ranges = FeatureEngine((indicators.true_range(),), 5, precision=np.float64).advance(panel)[:, :, 0]

    for s in range(5):
        own = ~np.isnan(panel.close[:, s])
        expected = naive.true_range(panel.high[own, s], panel.low[own, s], panel.close[own, s])
        np.testing.assert_allclose(ranges[own, s], expected, rtol=1e-12)


def test_skewness_and_kurtosis_equal_scipy() -> None:
    """Both follow from rolling means of powers."""
    x = np.random.default_rng(2).standard_t(4, (90, 3)) * 0.01
    powers = [indicators.pointwise(f"p{k}", statistics.power, "close", parameters=(k,)) for k in (1, 2, 3, 4)]
    means = [indicators.sma(power, 30) for power in powers]
    skewed = Feature("skewness", statistics.skewness, tuple(means[:3]))
    peaked = Feature("kurtosis", statistics.kurtosis, tuple(means))

    for s in range(3):
        np.testing.assert_allclose(run(skewed, [x])[:, s], naive.rolling(30, naive.skewness, list(x[:, s])), rtol=1e-9)
        np.testing.assert_allclose(run(peaked, [x])[:, s], naive.rolling(30, naive.kurtosis, list(x[:, s])), rtol=1e-9, atol=1e-9)


def test_ranks_are_averaged_over_ties_and_skip_missing_values() -> None:
    """The ranks are SciPy's, mapped to [-0.5, 0.5]."""
    x = np.round(np.random.default_rng(3).normal(0.0, 2.0, (60, 17)))
    x[np.random.default_rng(4).random(x.shape) < 0.2] = np.nan
    x[0], x[1, 1:] = np.nan, np.nan
    x[1, 0] = 3.0

    ranks = run(Feature("rank", cross_section.rank, ("close",), (), cross_section.RANK_SLOTS, whole_row=True), [x])

    assert np.isnan(ranks[0]).all()
    assert ranks[1, 0] == 0.0
    for t in range(2, 60):
        expected = scipy.stats.rankdata(x[t], nan_policy="omit")
        np.testing.assert_allclose(ranks[t], (expected - 1) / (np.isfinite(x[t]).sum() - 1) - 0.5, atol=1e-15)


def test_ranks_survive_values_of_any_size() -> None:
    """Outliers, infinities, tiny differences and rows of one value are ranked like any others."""
    draw = np.random.default_rng(7)
    x = draw.standard_cauchy((40, 31)) ** 3
    x[0, 3], x[1, 4], x[2, :] = np.inf, -np.inf, 7.0
    x[3, :] = draw.integers(0, 3, 31) * 5e-324
    x[4, :] = 1e308 * draw.choice([-1.0, 1.0], 31)

    ranks = run(Feature("rank", cross_section.rank, ("close",), (), cross_section.RANK_SLOTS, whole_row=True), [x])

    np.testing.assert_allclose(ranks, (scipy.stats.rankdata(x, axis=1) - 1) / 30 - 0.5, atol=1e-15)


def test_a_logarithm_is_as_close_as_a_double_can_be() -> None:
    """Within one unit in the last place of the logarithm in extended precision, over all sizes and close to one."""
    draw = np.random.default_rng(10)
    x = np.concatenate(
        [np.exp(draw.uniform(-700.0, 700.0, 4000)), 1.0 + draw.normal(0.0, 1e-9, 1000), [1.0, 2.0, 1.5e308, 2.3e-308]]
    )
    exact = np.log(x.astype(np.longdouble))

    values = run(indicators.logarithm("close"), [x[:, None]])[:, 0]

    assert (np.abs(values - exact) <= np.spacing(np.abs(exact.astype(np.float64)))).all()


def test_only_a_positive_number_has_a_logarithm() -> None:
    """Zero, a negative number and a missing one have none; that of infinity is infinite."""
    x = np.array([[0.0, -0.0, -1.0, -np.inf, np.nan, np.inf]])

    values = run(indicators.logarithm("close"), [x])

    np.testing.assert_array_equal(values, [[np.nan, np.nan, np.nan, np.nan, np.nan, np.inf]])


def test_the_mean_of_a_row_skips_missing_values() -> None:
    """The market's return is the mean over the symbols that have one."""
    x = np.random.default_rng(5).normal(0.0, 1.0, (20, 9))
    x[np.random.default_rng(6).random(x.shape) < 0.3] = np.nan

    values = run(Feature("mean", cross_section.mean, ("close",), whole_row=True), [x])

    expected = np.where(np.isnan(x), np.nan, np.nanmean(x, axis=1, keepdims=True))
    np.testing.assert_allclose(values, expected, rtol=1e-12)


def test_the_cycles_of_the_calendar_follow_the_clock() -> None:
    """The week begins on Monday, the day at midnight UTC; a missing bar has no time."""
    panel = panels.random(40, 2, gaps=0.2)
    hours = [calendar.WEEK_US, calendar.THURSDAY_US]
    week = tuple(Feature(f"w{q}", calendar.cycle, ("event_at", "close"), (*hours, q)) for q in (0, 1))

    values = FeatureEngine(week, 2, precision=np.float64).advance(panel)

    for t, at in enumerate(panel.event_at.astype(datetime)):
        monday = datetime(at.year, at.month, at.day) - timedelta(days=at.weekday())  # noqa: DTZ001
        angle = 2 * math.pi * (at - monday) / timedelta(days=7)
        expected = np.where(np.isnan(panel.close[t])[:, None], np.nan, [math.sin(angle), math.cos(angle)])
        np.testing.assert_allclose(values[t], expected, atol=1e-12)


@pytest.mark.parametrize("level", [1e2, 1e4, 1e6])
def test_a_deviation_is_accurate_far_from_zero(level: float) -> None:
    """At a million steps above zero, and after a jump of that size, the deviation keeps nine digits."""
    steps = np.random.default_rng(8).normal(0.0, 1.0, 3000)
    x = level + np.cumsum(steps)
    x[1500] *= 3.0
    x[2000:] -= 0.9 * level

    values = run(Feature("d", statistics.deviation, ("close",), (20,), statistics.MOMENT_HEAD + 20), [x[:, None]])[:, 0]

    np.testing.assert_allclose(values[19:], naive.deviation(x, 20)[19:], rtol=1e-9)


def test_a_flat_price_has_no_deviation_and_no_score() -> None:
    """A price that stops moving has deviation exactly 0; its score, correlation and RSI are unknown rather than noise."""
    x = np.concatenate([100.0 + np.cumsum(np.random.default_rng(9).normal(0, 1, 50)), np.full(60, 97.3)])[:, None]
    flat = slice(70, None)

    assert (run(Feature("d", statistics.deviation, ("close",), (20,), statistics.MOMENT_HEAD + 20), [x])[flat] == 0.0).all()
    assert np.isnan(run(Feature("s", statistics.score, ("close",), (20,), statistics.MOMENT_HEAD + 20), [x])[flat]).all()
    assert np.isnan(run(indicators.correlation("close", "open", 20), [x, np.arange(110.0)[:, None]])[flat]).all()
    assert np.isnan(run(indicators.rsi("close", 14), [np.full((30, 1), 5.0)])).all()
