"""Forecasts of trees against XGBoost's own predictors: `python -m benchmarks.serving.trees`.

100 and 500 trees of depth 6 on 50 features with 2% missing, one thread. Every call gets rows that it has not seen before: a
repeated row flatters whoever branches. Rounds are interleaved, ratios are taken within a round, both are medians; all answers are
compared. Writes trees.md.
"""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

# XGBoost's threads sleep while they wait; it is asked for one.
os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import numpy as np
import xgboost
from xgboost import Booster, DMatrix

from domain.panel import FloatArray
from models.contract import Float32Array
from models.walker import Forest

FEATURES, SAMPLES, DEPTH = 50, 40_000, 6
TREES = (100, 500)
ROWS = (1, 50, 500)
ROUNDS, CALLS = 25, 80


def samples() -> tuple[Float32Array, FloatArray]:
    """Return [N, F] values and the [N] label that they say something of."""
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((SAMPLES, FEATURES)).astype(np.float32)
    label = rows[:, :10] @ rng.normal(size=10) * 0.1 + np.sin(rows[:, 10]) * rows[:, 11] + rng.standard_normal(SAMPLES)
    rows[rng.random(rows.shape) < 0.02] = np.nan
    return rows, label.astype(np.float64)


def batches(rows: Float32Array, size: int) -> Iterator[list[Float32Array]]:
    """Yield for each round the arrays of `size` rows that are asked about."""
    rng = np.random.default_rng(1)
    for _ in range(ROUNDS):
        yield [rows[rng.integers(0, len(rows), size)] for _ in range(CALLS)]


def timed(predict: Callable[[Float32Array], Float32Array], asked: list[Float32Array]) -> tuple[FloatArray, Float32Array]:
    """Return the microseconds of each call and all answers."""
    took, answers = np.empty(len(asked)), []
    for i, rows in enumerate(asked):
        begun = time.perf_counter_ns()
        answers.append(predict(rows))
        took[i] = time.perf_counter_ns() - begun
    return took / 1e3, np.concatenate(answers)


def runners(booster: Booster) -> dict[str, Callable[[Float32Array], Float32Array]]:
    """Return who answers, ours first."""
    return {
        "ours": Forest.read(bytes(booster.save_raw("ubj"))).predict,
        "inplace_predict": lambda rows: booster.inplace_predict(rows, validate_features=False),
        "predict(DMatrix)": lambda rows: booster.predict(DMatrix(rows, nthread=1), validate_features=False),
    }


def race(booster: Booster, rows: Float32Array, size: int) -> list[str]:
    """Return a line of the table for each runner on batches of one size."""
    chosen = runners(booster)
    took: dict[str, list[FloatArray]] = {name: [] for name in chosen}
    for asked in batches(rows, size):
        told = {name: timed(predict, asked) for name, predict in chosen.items()}
        for name, (microseconds, answers) in told.items():
            if not np.array_equal(answers, told["ours"][1]):
                raise ValueError(f"{name} and the walker differ")
            took[name].append(microseconds)
    lines = []
    for name, each in took.items():
        ratio = np.median([np.median(ours) / np.median(theirs) for ours, theirs in zip(took["ours"], each, strict=True)])
        middle, late = np.percentile(np.concatenate(each), (50.0, 99.0))
        one = f"1/{1.0 / ratio:.1f}"
        lines.append(f"| {booster.num_boosted_rounds()} | {size} | {name} | {middle:.2f} | {late:.2f} | {one} |")
    return lines


def main() -> None:
    """Measure, print, and write the table beside this script."""
    rows, label = samples()
    lines = [
        "# Forecasts of trees, one thread", "",
        f"Depth {DEPTH}, {FEATURES} features, 2% missing, new rows at every call; all answers are equal to the last bit.", "",
        "| trees | rows | runner | p50, us | p99, us | ours takes |",
        "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for trees in TREES:
        settings = {"tree_method": "hist", "max_depth": DEPTH, "eta": 0.05, "nthread": 1, "max_bin": 64}
        booster = xgboost.train(settings, xgboost.QuantileDMatrix(rows, label=label, max_bin=64), trees)
        for size in ROWS:
            lines += race(booster, rows, size)
            print("\n".join(lines[-3:]), flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
