"""One bar of 500 symbols: what the default features cost, and what the whole catalogue does: `python -m benchmarks.features.live`.

Wall time of `FeatureEngine.advance` with one row into an array of the caller's, after 300 bars of history without gaps.
Writes live.md beside this file.
"""

import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from benchmarks.features.markets import known, market
from domain import params as parameters
from domain.panel import Panel
from features import catalog
from features.engine import FeatureEngine
from features.feature import Feature

SYMBOLS, HISTORY, BARS, SKIPPED = 500, 300, 400, 20
ROOT = Path(__file__).parents[2]


def timed(features: Sequence[Feature], panel: Panel, threads: int) -> tuple[float, float]:
    """Return median and 99th percentile of one bar, in microseconds."""
    engine = FeatureEngine(features, SYMBOLS, threads=threads)
    engine.advance(panel.rows(0, HISTORY))
    out = np.empty((len(features), 1, SYMBOLS), dtype=np.float32)
    took = []
    for bar in panel.rows(HISTORY, HISTORY + BARS).each():
        begun = time.perf_counter_ns()
        engine.advance(bar, out)
        took.append((time.perf_counter_ns() - begun) / 1e3)
    middle, late = np.percentile(took[SKIPPED:], [50, 99])
    return float(middle), float(late)


def main() -> None:
    """Measure, print, and write the table."""
    panel = known(market(HISTORY + BARS, SYMBOLS))
    sets = {
        "the default families": catalog.select(parameters.load(ROOT / "params.yaml").features.families),
        "all but alpha101": [feature for feature in catalog.CATALOG if feature.family != "alpha101"],
        "all": list(catalog.CATALOG),
    }
    lines = ["# One bar of 500 symbols", "", "| features | number | threads | p50, us | p99, us |", "|---|---|---|---|---|"]
    for name, features in sets.items():
        for threads in (1, 2):
            middle, late = timed(features, panel, threads)
            lines.append(f"| {name} | {len(features)} | {threads} | {middle:,.0f} | {late:,.0f} |")
            print(lines[-1], flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
