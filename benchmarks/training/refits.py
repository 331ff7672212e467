"""Walk-forward refits of trees against a fresh DMatrix a fold: `python -m benchmarks.training.refits`.

A planted market of 50 symbols x 2,500 bars x 50 features: slow and fast ones, heavy tails, few values, one of the whole market, a
mostly missing one, 2% of everything missing. Eight expanding folds, each fitted as the house fits: early stopping on the newest
rows, location, spread. Three runners with the shipped parameters: `DMatrix` builds a matrix for the rows learned from, one for the
rows watched and one for both, `QuantileDMatrix` is the same with XGBoost's leaner matrix, which the house did before; ours. One
thread, CPU seconds, runners interleaved fold by fold; then one seed with ten times the rounds. Two threads are not measured: where
anything else runs they wait for each other longer than they work. Writes refits.md.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import xgboost

from domain import params as parameters
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from domain.params import Training
from features import labels
from flows import home as homes
from models import forest, metrics, splits
from models.baseline import PAST_RETURN
from models.contract import BoolArray, Dataset, Float32Array, IntArray
from models.forest import Ground, Plan
from models.splits import Fold
from models.trees import Trees
from pipelines.model.training import VALID_SHARE

SYMBOLS, BARS, FEATURES, HORIZON, FOLDS = 50, 2500, 50, 5, 8
SEEDS = range(5)
EDGE = 0.08


@dataclass(frozen=True)
class Anew:
    """Samples of which every set of rows gets a matrix of its own, of a kind to be chosen, with as many bins as XGBoost has."""

    features: Float32Array
    kind: Callable[..., Any]
    threads: int

    def ask(self, work: Callable[..., Any], plan: Plan, *columns: FloatArray | BoolArray) -> Any:
        """Grow on all samples, or choose the rounds on the ones that are learned from."""
        settings = plan.settings | {"max_bin": 256}
        if work is forest.grow:
            self.both.set_label(columns[0])
            return bytes(xgboost.train(settings, self.both, num_boost_round=plan.rounds).save_raw("ubj"))
        label, learned = columns
        matrix = self._matrix(self.features[learned], label[learned])
        like = {"ref": matrix} if self.kind is xgboost.QuantileDMatrix else {}
        check = self._matrix(self.features[~learned], label[~learned], **like)
        stop = xgboost.callback.EarlyStopping(rounds=forest.STOP_ROUNDS)
        watch: dict[str, Any] = {"evals": [(check, "valid")], "callbacks": [stop], "verbose_eval": False}
        return int(xgboost.train(settings, matrix, num_boost_round=plan.rounds, **watch).best_iteration) + 1

    @cached_property
    def both(self) -> Any:
        """The matrix of all samples, from which location and spread are grown."""
        return self._matrix(self.features, np.zeros(len(self.features)))

    def _matrix(self, features: Float32Array, label: FloatArray, **like: Any) -> Any:
        return self.kind(features, label=label, nthread=self.threads, **like)


class Fresh(Trees):
    """The recipe of before: a matrix for every set of rows, of a kind to be chosen."""

    kind: Callable[..., Any] = xgboost.DMatrix

    @contextmanager
    def _ground(self, features: Float32Array, label: FloatArray, bars: IntArray) -> Iterator[Ground]:
        yield Anew(features, type(self).kind, self.threads)


class Lean(Fresh):
    """The same with the matrix that XGBoost recommends for `hist`."""

    kind = xgboost.QuantileDMatrix


RUNNERS: dict[str, type[Trees]] = {"DMatrix a fold": Fresh, "QuantileDMatrix a fold (before)": Lean, "ours": Trees}


def market(seed: int) -> Dataset:
    """Return the planted market."""
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((BARS, SYMBOLS, FEATURES)).astype(np.float32)
    for t in range(1, BARS):
        x[t, :, ::3] = 0.95 * x[t - 1, :, ::3] + math.sqrt(1.0 - 0.95**2) * x[t, :, ::3]
    x[..., 2::7] = np.exp(x[..., 2::7])
    x[..., 4], x[..., 5] = np.round(2.0 * x[..., 4]), x[:, :1, 5]
    signal = x[..., 1] + np.sin(2.0 * x[..., 3]) * x[..., 6] + 0.7 * (np.abs(x[..., 7]) - 0.8) + 0.5 * np.sign(x[..., 8])
    noise = rng.standard_t(5, x.shape[:2]) / math.sqrt(5 / 3) * np.exp(0.4 * np.tanh(x[..., 10].astype(np.float64)))
    label = EDGE * (signal / signal.std()).astype(np.float64) + noise + rng.standard_normal((BARS, 1))
    scale = 0.01 * np.exp(0.3 * rng.standard_normal(x.shape[:2]))
    x[rng.random(x.shape) < 0.02] = np.nan
    x[..., 9][rng.random(x.shape[:2]) < 0.97] = np.nan
    label[-HORIZON - 1 :] = np.nan
    times = np.datetime64("2015-01-01T00:00:00", "us") + np.arange(BARS) * np.timedelta64(1, "D")
    names = tuple(PAST_RETURN if f == 1 else f"feature_{f}" for f in range(FEATURES))
    symbols = tuple(f"S{s}" for s in range(SYMBOLS))
    return Dataset(x, label * scale * math.sqrt(HORIZON), label, scale, times, names, symbols, HORIZON)


def refit(kind: type[Trees], training: Training, dataset: Dataset, fold: Fold) -> tuple[float, ...]:
    """Return the CPU seconds of one fold, its rounds, and the mean rank IC and pinball loss of its forecasts, in basis points."""
    gap = labels.known_after(HORIZON)
    inner = splits.tail(fold.train, VALID_SHARE, gap, training.embargo_bars)
    model = kind.create(training, HORIZON)
    begun = time.process_time()
    model.fit(dataset, inner.train, inner.test)
    took = time.process_time() - begun
    forecast, outcome = model.predict(dataset.features[fold.test], dataset.scale[fold.test]), dataset.forward[fold.test]
    loss = metrics.pinball_rows(forecast, outcome, LEVELS)
    return took, model.rounds, metrics.mean(metrics.rank_ic(forecast[..., MEDIAN], outcome)), 1e4 * metrics.mean(loss)


def race(training: Training, seeds: range) -> FloatArray:
    """Return [runner, seed and fold, 4] what `refit` says."""
    told: list[list[tuple[float, ...]]] = [[] for _ in RUNNERS]
    for seed in seeds:
        dataset = market(seed)
        gap = labels.known_after(HORIZON)
        for fold in splits.walk_forward(BARS, FOLDS, training.train_fraction, gap, training.embargo_bars):
            for rows, kind in zip(told, RUNNERS.values(), strict=True):
                rows.append(refit(kind, training.model_copy(update={"seed": seed}), dataset, fold))
    return np.array(told)


def table(told: FloatArray) -> list[str]:
    """Return the lines of a table: seconds in sum, the median fold's ratio, means, and differences from the first runner."""
    lines = [
        "| runner | seconds | times the first | rounds | rank IC | against the first | pinball, bp | against the first |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, rows in zip(RUNNERS, told, strict=True):
        seconds, rounds, ic, loss = rows[:, 0].sum(), *rows[:, 1:].mean(axis=0)
        apart = [f"{gap.mean():+.5f} +- {gap.std(ddof=1) / math.sqrt(len(gap)):.5f}" for gap in (rows - told[0])[:, 2:].T]
        ratio = np.median(rows[:, 0] / told[0][:, 0])
        lines.append(f"| {name} | {seconds:.1f} | {ratio:.2f} | {rounds:.0f} | {ic:.4f} | {apart[0]} | {loss:.3f} | {apart[1]} |")
    return lines


def main() -> None:
    """Measure, print, and write the tables beside this script."""
    shipped = parameters.load(homes.parameters(), "sim_equity").training
    one = shipped.model_copy(update={"threads": 1})
    long = one.model_copy(update={"trees": one.trees.model_copy(update={"rounds": 10 * one.trees.rounds})})
    cases = {f"At most {one.trees.rounds} rounds, {len(SEEDS)} seeds": partial(race, one, SEEDS)}
    cases |= {f"At most {long.trees.rounds} rounds, one seed": partial(race, long, SEEDS[:1])}
    lines = [
        "# Walk-forward refits of trees", "",
        f"{SYMBOLS} symbols x {BARS:,} bars x {FEATURES} features, {FOLDS} expanding folds, the shipped parameters, one thread,",
        "CPU seconds. Times the first: the median fold's. Differences with their standard errors over folds.",
    ]  # fmt: skip
    for title, measure in cases.items():
        lines += ["", f"## {title}", "", *table(measure())]
        print("\n".join(lines), flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
