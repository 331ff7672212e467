"""A live bar's forecast by the whole ensemble, one thread: `python -m benchmarks.serving.ensemble`. Writes ensemble.md beside it.

Small fits of the shipped architectures on 52 features: what a forecast costs does not depend on what was learned, and trees are
grown to their full number. Bars come one after the other with their context, as a trader hands them over.
"""

import time
from pathlib import Path

import numpy as np

from domain import params as parameters
from domain.params import Training
from models import family
from models.contract import Dataset
from models.ensemble import Ensemble, equal
from tests.models.planted import HORIZON, planted

ROOT = Path(__file__).parents[2]
FEATURES, FITTED_BARS, BARS, SKIPPED = 52, 120, 400, 40
MEMBERS = {"trees": ("trees",), "trees and sequence": ("trees", "sequence"), "all three": ("trees", "sequence", "tft")}
TREES = 100


def shipped() -> Training:
    """Return the shipped parameters with a single pass, and trees that are always grown to their number."""
    training = parameters.load(ROOT / "params.yaml").training
    quick = {name: getattr(training, name).model_copy(update={"epochs": 1}) for name in ("sequence", "tft")}
    trees = training.trees.model_copy(update={"rounds": TREES, "depth": 6, "min_child_weight": 1.0})
    return training.model_copy(update={**quick, "trees": trees})


def timed(model: Ensemble, dataset: Dataset) -> tuple[float, float]:
    """Return median and 99th percentile of one bar's forecast, in milliseconds."""
    context, took = model.context_bars, []
    for last in range(context, context + BARS):
        begun = time.perf_counter_ns()
        model.predict(dataset.features[last - context : last], dataset.scale[last - context : last])
        took.append((time.perf_counter_ns() - begun) / 1e6)
    middle, late = np.percentile(took[SKIPPED:], [50, 99])
    return float(middle), float(late)


def main() -> None:
    """Measure, print, and write the table."""
    training = shipped()
    small = planted(bars=FITTED_BARS, symbols=50, features=FEATURES)
    fitted = {}
    for name in MEMBERS["all three"]:
        fitted[name] = family.create(training, HORIZON, family=name)
        fitted[name].fit(small, np.arange(FITTED_BARS), np.arange(0))
    lines = [f"# One bar's forecast, one thread, {TREES} trees of depth 6, 32 bars of context, {FEATURES} features", ""]
    lines += ["| members | symbols | p50, ms | p99, ms |", "|---|---|---|---|"]
    for symbols in (50, 500):
        dataset = planted(bars=BARS + 64, symbols=symbols, features=FEATURES)
        for name, members in MEMBERS.items():
            middle, late = timed(Ensemble([fitted[each] for each in members], equal(len(members))), dataset)
            lines.append(f"| {name} | {symbols} | {middle:.2f} | {late:.2f} |")
            print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
