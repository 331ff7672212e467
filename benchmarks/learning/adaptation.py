"""Ways of adapting to a market that changes, against plain rolling retraining: `python -m benchmarks.learning.adaptation`.

Every way is a weight for each row of the same rolling window; trees are grown to the same rounds on the same rows, so that nothing
else differs. A weight of zero for the older part of the window is a shorter window. Block by block:

    plain            all rows alike
    recency          2^(-age / half-life)
    regime           a Gaussian kernel over volatility, trend and correlation, around where the newest bars are
    DDG-DA           weights of past units of time, learned: those with which a linear proxy, fitted to them, would have forecast
                     the unit that came next best, over all earlier tasks whose outcomes are known (Li et al. 2022, AAAI 36(4))

The fourth is a small version: weights are made of a unit's age and of how well its proxy forecasts the newest units.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Self

import numpy as np
import xgboost
from scipy import optimize

from benchmarks.learning import markets
from benchmarks.learning.markets import Case
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from domain.params import Training
from features import labels
from flows import home as homes
from models import inputs, metrics, tide, trees
from models.contract import Dataset, Float32Array, IntArray
from models.inputs import Scaler
from models.shape import MISS_SIGMA_MIN, Lesson, Shape
from models.trees import Settings
from models.walker import Forest

HERE = Path(__file__)
PLAIN = "plain"
#: Rows of the window and of a block, by market.
SIZES = {markets.SIMULATED: (1500, 125), "daily equities": (1500, 250), "hourly crypto": (1500, 250), "hourly FX": (6000, 1500)}
#: Units of the window that DDG-DA weighs.
UNITS = 12
#: Trailing bars of the regime's correlation, and newest bars that say where the market is.
CORRELATION_BARS, NEWEST_BARS = 60, 20
#: What a row of the most distant regime still weighs.
FLOOR = 0.1
#: Of the proxy's ridge, as a share of the samples, and of the squared parameters of its weights.
RIDGE, SHRINK = 0.1, 1e-4
#: Fewer earlier tasks than this teach no weights; fewer units are no history.
TASKS_MIN, HISTORY_MIN = 4, 4
#: Thresholds are the quantiles of so many samples, as in `models.trees`.
DRAWN_SAMPLES = 16_384


@dataclass(frozen=True)
class Samples:
    """What some rows of a dataset have to teach, sorted into bins once for all that learn from them."""

    lesson: Lesson
    features: Float32Array
    """[N, F]"""
    settings: Settings

    @classmethod
    def of(cls, dataset: Dataset, rows: IntArray, training: Training) -> Self:
        """Return the samples of rows; features that tell the date are missing, as in `models.trees`."""
        lesson = Lesson.of(dataset, rows)
        features = np.ascontiguousarray(lesson.features[lesson.known])
        features[:, inputs.clocks(lesson.features)] = np.nan
        return cls(lesson, features, Settings(**training.trees.model_dump(), seed=training.seed))

    @cached_property
    def matrix(self) -> "xgboost.QuantileDMatrix":
        """The bins, between quantiles of some of the samples."""
        build = partial(xgboost.QuantileDMatrix, max_bin=self.settings.booster()["max_bin"], nthread=1)
        drawn = np.random.default_rng(self.settings.seed).permutation(len(self.features))[:DRAWN_SAMPLES]
        return build(self.features, ref=build(self.features[drawn]))

    def grow(self, label: FloatArray, weight: FloatArray, rounds: int, **special: Any) -> Forest:
        """Return trees of samples with [N] labels and weights."""
        self.matrix.set_label(label)
        self.matrix.set_weight(weight.astype(np.float32))
        return Forest.read(
            bytes(xgboost.train(self.settings.booster(nthread=1, **special), self.matrix, num_boost_round=rounds).save_raw("ubj"))
        )


class Weighted:
    """The location and spread trees of `models.trees` in all rounds, their rows weighing differently; the shape does not weigh."""

    def __init__(self, samples: Samples, weight: FloatArray) -> None:
        """Fit to samples whose rows weigh `weight` [T]."""
        lesson, self.names, self.horizon = samples.lesson, samples.lesson.names, samples.lesson.horizon
        known, target = lesson.known, lesson.target()
        each = np.repeat(weight, known.sum(axis=1))
        each /= each.mean()
        self.location = samples.grow(target[known], each, samples.settings.rounds, base_score=0.0)
        score, width = np.zeros(known.shape), np.zeros(known.shape)
        score[known] = self.location.predict(samples.features)
        shape = Shape.fit(lesson)
        spread = np.log(np.abs(shape.miss(lesson, score)[known]) + MISS_SIGMA_MIN)
        self.spread = samples.grow(spread, each, trees.SPREAD_ROUNDS, base_score=float(spread.mean()), **trees.SPREAD)
        width[known] = self.spread.predict(samples.features)
        self.shape = shape.closed(lesson, score, width)

    def predict(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, Q] quantiles; see models.contract."""
        rows = np.ascontiguousarray(features.reshape(-1, features.shape[-1]), dtype=np.float32)
        score, width = (each.predict(rows).reshape(scale.shape).astype(np.float64) for each in (self.location, self.spread))
        return self.shape.forecast(score, width, features, scale, self.names, self.horizon)


@dataclass(frozen=True)
class Unit:
    """The sums that a linear proxy of some rows needs."""

    gram: FloatArray
    """[F, F]"""
    moment: FloatArray
    """[F]"""
    power: float
    count: int

    def loss(self, beta: FloatArray) -> float:
        """Return the squared error of a proxy over that of forecasting nothing."""
        return 1.0 + float(beta @ self.gram @ beta - 2.0 * beta @ self.moment) / self.power

    def slope(self, beta: FloatArray) -> FloatArray:
        """Return the gradient of `loss`."""
        return 2.0 * (self.gram @ beta - self.moment) / self.power

    def correlation(self, beta: FloatArray) -> float:
        """Return the correlation of a proxy's forecast with what came, both around zero."""
        return float(beta @ self.moment) / float(np.sqrt(max(float(beta @ self.gram @ beta), 1e-12) * self.power))


def proxy(units: list[Unit], weight: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return (A, A^-1 c) of the ridge over weighed units."""
    count = sum(unit.count for unit in units)
    moment: FloatArray = np.tensordot(weight, np.stack([unit.moment for unit in units]), axes=1)
    gram: FloatArray = np.tensordot(weight, np.stack([unit.gram for unit in units]), axes=1)
    matrix: FloatArray = gram + RIDGE * count * np.eye(len(moment))
    return matrix, np.asarray(np.linalg.solve(matrix, moment), dtype=np.float64)


@dataclass(frozen=True)
class Task:
    """A moment in the past: the units before it, what is known of each, and what came."""

    units: list[Unit]
    told: FloatArray
    """[U, 3] age, and correlation of the unit's proxy with the newest unit and with the newest three."""
    test: Unit | None

    def weight(self, theta: FloatArray) -> FloatArray:
        """Return [U] positive weights of mean 1."""
        score = np.exp(self.told @ theta - (self.told @ theta).max())
        return np.asarray(len(score) * score / score.sum())

    def loss(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return the proxy's loss on what came and its gradient."""
        assert self.test is not None  # noqa: S101  # only tasks that are over are learned from
        weight = self.weight(theta)
        matrix, beta = proxy(self.units, weight)
        pull = np.linalg.solve(matrix, self.test.slope(beta))
        slope = np.array([pull @ (unit.moment - unit.gram @ beta) for unit in self.units])
        # Of a softmax times its length.
        return self.test.loss(beta), (weight * (slope - (weight * slope).mean())) @ self.told


@dataclass
class Setting:
    """One market's window and blocks, and what is measured of its rows once."""

    case: Case
    window: int
    step: int
    _units: dict[int, Unit] = field(default_factory=dict)
    _proxies: dict[int, FloatArray] = field(default_factory=dict)

    @property
    def unit(self) -> int:
        """Rows of a unit."""
        return self.window // UNITS

    @property
    def gap(self) -> int:
        """Rows before a forecast that nothing is learned from."""
        return labels.known_after(self.case.dataset.horizon) + self.case.params.training.embargo_bars

    @cached_property
    def regime(self) -> FloatArray:
        """[T, 3] log volatility, trend and correlation, known at each row."""
        dataset = self.case.dataset
        scale = np.where(dataset.scale > 0.0, dataset.scale, np.nan)
        level = np.log(np.array([np.median(row[np.isfinite(row)]) if np.isfinite(row).any() else np.nan for row in scale]))
        moved = dataset.features[..., dataset.names.index("return_1")] / scale
        apart = np.sqrt(np.nan_to_num(metrics.row_mean(moved**2), nan=1.0))
        mean = np.nan_to_num(metrics.row_mean(moved))
        together = _trailing(mean**2) / np.maximum(_trailing(apart**2), 1e-12)
        return np.column_stack([level, tide.past(dataset.features, dataset.names, dataset.scale), together])

    @cached_property
    def scaler(self) -> Scaler:
        """Of the proxy's features, from the rows of the first window alone."""
        return Scaler.fit(self.case.dataset.features[: self.window])

    def sums(self, number: int) -> Unit:
        """Return the sums of a unit; only outcomes that are known when it ends are in them."""
        if number not in self._units:
            rows = np.arange(number * self.unit, (number + 1) * self.unit - self.gap, dtype=np.int64)
            lesson = Lesson.of(self.case.dataset, rows)
            seen = self.scaler.apply(lesson.features)[lesson.known].astype(np.float64)
            answer = lesson.target()[lesson.known]
            self._units[number] = Unit(seen.T @ seen, seen.T @ answer, float(answer @ answer), len(answer))
        return self._units[number]

    def alone(self, number: int) -> FloatArray:
        """Return the proxy of one unit."""
        if number not in self._proxies:
            self._proxies[number] = proxy([self.sums(number)], np.ones(1))[1]
        return self._proxies[number]

    def task(self, number: int, *, over: bool) -> Task:
        """Return the task of forecasting unit `number` by those before it."""
        past = range(max(number - UNITS, 0), number)
        told = [[(number - each) / UNITS, *(10.0 * self._agreement(each, number, newest) for newest in (1, 3))] for each in past]
        return Task([self.sums(each) for each in past], np.array(told), self.sums(number) if over else None)

    def _agreement(self, each: int, number: int, newest: int) -> float:
        """Return how well a unit's proxy goes with the newest units, itself left out."""
        others = [other for other in range(max(number - newest, 0), number) if other != each]
        return float(np.mean([self.sums(other).correlation(self.alone(each)) for other in others])) if others else 0.0


def _trailing(values: FloatArray) -> FloatArray:
    total = np.cumsum(np.concatenate([np.zeros(1), values]))
    first = np.maximum(np.arange(len(values)) + 1 - CORRELATION_BARS, 0)
    return np.asarray((total[1:] - total[first]) / (np.arange(len(values)) + 1 - first))


def recent(setting: Setting, now: int, half_life: float) -> FloatArray:
    """Return [T] weights of the window's rows that halve with age."""
    return np.asarray(2.0 ** (-np.arange(setting.window)[::-1] / half_life))


def shorter(setting: Setting, now: int) -> FloatArray:
    """Return [T] weights of the newer third of the window alone."""
    return (np.arange(setting.window) >= setting.window * 2 // 3).astype(np.float64)


def alike(setting: Setting, now: int) -> FloatArray:
    """Return [T] weights by how alike a row's regime is to that of the newest bars."""
    rows = setting.regime[now - setting.window : now]
    spread = np.nanstd(rows, axis=0)
    apart = (rows - np.nanmean(rows[-NEWEST_BARS:], axis=0)) / np.where(spread > 0.0, spread, 1.0)
    return np.asarray(FLOOR + np.exp(-0.5 * np.nan_to_num(np.sum(apart**2, axis=1), nan=9.0)))


def both(setting: Setting, now: int) -> FloatArray:
    """Return [T] weights by regime and, slowly, by age."""
    return alike(setting, now) * recent(setting, now, setting.window / 3)


def adapted(setting: Setting, now: int) -> FloatArray:
    """Return [T] weights of DDG-DA, learned on the tasks before row `now`; equal ones while these are too few."""
    number = now // setting.unit
    tasks = [setting.task(each, over=True) for each in range(HISTORY_MIN, number)]
    if len(tasks) < TASKS_MIN:
        return np.ones(setting.window)
    theta = optimize.minimize(partial(_meta_loss, tasks), np.zeros(3), jac=True, method="L-BFGS-B", bounds=[(-8.0, 8.0)] * 3).x
    return np.repeat(setting.task(number, over=False).weight(theta), setting.unit)


def _meta_loss(tasks: list[Task], theta: FloatArray) -> tuple[float, FloatArray]:
    told = [task.loss(theta) for task in tasks]
    loss, slope = sum(each for each, _ in told), np.sum([each for _, each in told], axis=0)
    return loss + SHRINK * float(theta @ theta), slope + 2.0 * SHRINK * theta


Weighting = Callable[[Setting, int], FloatArray]


def ways(window: int) -> dict[str, Weighting]:
    """Return every way by name."""
    found: dict[str, Weighting] = {
        PLAIN: lambda setting, now: np.ones(setting.window),
        f"plain, newest {window // 3} bars": shorter,
    }
    found |= {f"recency, half-life {window // part}": partial(recent, half_life=window / part) for part in (12, 6, 3)}
    return found | {"regime": alike, f"regime and recency {window // 3}": both, "DDG-DA": adapted}


def walk(setting: Setting, seed: int) -> tuple[dict[str, FloatArray], dict[str, float]]:
    """Return by way [2, T] rank IC and pinball loss of each row, NaN before the first forecast, and seconds of fitting."""
    dataset = setting.case.dataset
    training = markets.seeded(setting.case.params, seed).training
    chosen = ways(setting.window)
    series = {name: np.full((2, dataset.bars), np.nan) for name in chosen}
    seconds = dict.fromkeys(chosen, 0.0)
    for block in markets.blocks(dataset, setting.window, setting.step):
        view = markets.known(dataset, block.start, setting.window)
        rows = np.arange(view.bars - setting.gap)
        samples = Samples.of(view, rows, training)
        for name, way in chosen.items():
            began = time.process_time()
            model = Weighted(samples, way(setting, block.start)[rows])
            seconds[name] += time.process_time() - began
            series[name][:, block] = scored(model, dataset, block)
    return series, seconds


def scored(model: Weighted, dataset: Dataset, block: slice) -> FloatArray:
    """Return [2, rows] rank IC and pinball loss of a block's rows."""
    forecasts, outcome = model.predict(dataset.features[block], dataset.scale[block]), dataset.forward[block]
    return np.stack([metrics.rank_ic(forecasts[..., MEDIAN], outcome), metrics.pinball_rows(forecasts, outcome, LEVELS)])


def cases(chosen: list[str], seeds: range, bars: int) -> Iterator[tuple[str, list[tuple[Case, int]]]]:
    """Yield each market's name and what it is walked with: simulated markets differ by seed, recorded ones by the trees' alone."""
    for name in chosen:
        if name == markets.SIMULATED:
            yield name, [(markets.simulated(seed, bars), seed) for seed in seeds]
            continue
        with tempfile.TemporaryDirectory() as place:
            case = markets.recorded(name, Path(place))
        yield name, [(case, seed) for seed in seeds]


def pooled(name: str, told: list[dict[str, FloatArray]]) -> dict[str, FloatArray]:
    """Return [2, T] by way: simulated markets one after the other, the mean over the trees' seeds of a recorded one."""
    join = partial(np.concatenate, axis=1) if name == markets.SIMULATED else partial(np.mean, axis=0)
    return {way: np.asarray(join([each[way] for each in told])) for way in told[0]}


def table(series: dict[str, FloatArray], horizon: int, seconds: dict[str, float]) -> list[str]:
    """Return a row a way: its figures, and one-sided p values that it does no better than plain."""
    lines, lags, plain = [], metrics.OVERLAP_LAGS * horizon, series[PLAIN]
    for name, (ranked, loss) in series.items():
        better, cheaper = metrics.paired_p(ranked, plain[0], lags), metrics.paired_p(plain[1], loss, lags)
        numbers = f"{metrics.mean(ranked):.4f} | {metrics.overlap_t(ranked, horizon):.1f} | {1e4 * metrics.mean(loss):.3f}"
        tested = "- | - | - | -"
        if name != PLAIN:
            gain, saved = metrics.mean(ranked - plain[0]), 1e4 * metrics.mean(plain[1] - loss)
            tested = f"{gain:+.4f} | {better:.3f} | {saved:+.3f} | {cheaper:.3f}"
        lines.append(f"| {name} | {numbers} | {tested} | {seconds[name]:.0f} |")
    return lines


HEAD = [
    "| way | rank IC | t | pinball, bp | rank IC gained | p | pinball saved, bp | p | seconds |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
]


def measure(name: str, walked: list[tuple[Case, int]]) -> list[str]:
    """Return the lines of a market."""
    window, step = SIZES[name]
    told, seconds = [], dict.fromkeys(ways(window), 0.0)
    for case, seed in walked:
        series, took = walk(Setting(case, window, step), seed)
        told.append(series)
        seconds = {way: seconds[way] + took[way] for way in seconds}
        print(name, seed, {way: round(metrics.mean(each[0]), 4) for way, each in series.items()}, flush=True)
    bars, symbols = walked[0][0].dataset.forward.shape
    title = f"## {name}: {symbols} symbols x {bars} bars, {len(walked)} seeds, window {window}, refit every {step}"
    return ["", title, "", *HEAD, *table(pooled(name, told), walked[0][0].market.horizon, seconds)]


def main() -> None:
    """Measure and write adaptation.md."""
    parser = argparse.ArgumentParser(description="Compare ways of adapting with plain rolling retraining.")
    parser.add_argument("--markets", default=";".join(SIZES))
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--bars", type=int, default=4500, help="of a simulated market")
    parser.add_argument("--write", type=Path, default=HERE.with_suffix(".md"))
    asked = parser.parse_args()
    homes.quiet()
    seeds = range(100, 100 + asked.seeds)
    lines = [
        "# Ways of adapting against plain rolling retraining",
        "",
        f"`python -m benchmarks.learning.adaptation --seeds {asked.seeds} --bars {asked.bars}`;",
        "trees of the shipped parameters, 40 rounds, one thread. Each way weighs the rows of the same window; p is one-sided, that",
        "the way is no better than plain (HAC, paired by bar): above 0.95 it is worse. Simulated markets differ by seed and are",
        "taken together; of a recorded one the mean over seeds is tested.",
    ]
    for name, walked in cases(asked.markets.split(";"), seeds, asked.bars):
        lines += measure(name, walked)
        print("\n".join(lines), flush=True)
        asked.write.write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
