"""What each family of the catalogue costs: `python -m benchmarks.features.families`.

One bar of 500 symbols at a time, as a live trader runs it, after 320 bars of warm-up; and a history of 320 bars in one call. Random
walks with all covariates, single precision, one thread. Processor time: the median of 80 bars, and the least of three histories.
"""

import time
from pathlib import Path

import numpy as np

from domain.clock import SystemClock
from features import catalog, plan
from features.engine import FeatureEngine
from features.feature import Feature
from tests.features import beside

SYMBOLS, WARM, BARS, ROUNDS = 500, 320, 80, 3


def cost(features: tuple[Feature, ...]) -> tuple[float, float]:
    """Return microseconds a live bar and nanoseconds a value of a history."""
    panel = beside.market(WARM + BARS, SYMBOLS, 1)
    live, spent = FeatureEngine(features, SYMBOLS), []
    live.advance(panel.rows(0, WARM))
    for bar in panel.rows(WARM, WARM + BARS).each():
        begun = time.process_time_ns()
        live.advance(bar)
        spent.append(time.process_time_ns() - begun)
    whole = []
    for _ in range(ROUNDS):
        machine = FeatureEngine(features, SYMBOLS)
        begun = time.process_time_ns()
        machine.advance(panel.rows(0, WARM))
        whole.append(time.process_time_ns() - begun)
    return float(np.median(spent[3:])) / 1e3, min(whole) / (WARM * SYMBOLS * len(features))


def line(name: str, features: tuple[Feature, ...]) -> str:
    """Return one row of the table."""
    steps = sum(step.part is None for step in plan.ordered(features))
    live, history = cost(features)
    return f"| {name} | {len(features)} | {steps} | {live:,.0f} | {live / len(features):.1f} | {history:.1f} |"


def main() -> None:
    """Measure, print, and write the table beside this script."""
    made = {name: tuple(f for f in catalog.CATALOG if f.family == name) for name in catalog.FAMILIES}
    heavy = {"alpha101"}
    lines = ["# What families cost", "", f"`python -m benchmarks.features.families`, {SystemClock().now():%Y-%m-%d}.", ""]
    lines += [
        "| family | features | steps | us a live bar of 500 symbols | us a feature | ns a value of history |",
        "|---|---|---|---|---|---|",
    ]
    lines += [line(name, features) for name, features in made.items()]
    lines += [
        line("all but " + ", ".join(heavy), tuple(f for f in catalog.CATALOG if f.family not in heavy)),
        line("all", catalog.CATALOG),
    ]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
