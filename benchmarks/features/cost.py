"""What each feature costs alone, for the catalogue's page: `python -m benchmarks.features.cost` writes docs/features.json.

Nanoseconds of processor time a value, 500 symbols x 2,520 bars on one core, everything that the feature is made from included, the
fastest of a few runs: one run is short enough for a neighbour to spoil it.
"""

import json

import numpy as np

from benchmarks.features.markets import BARS, SYMBOLS, market
from benchmarks.features.talib import seconds
from docs.catalogue import COSTS
from domain.panel import Panel
from features import catalog
from features.engine import FeatureEngine
from features.feature import Feature

RUNS = 4


def cost(feature: Feature, panel: Panel) -> float:
    """Return the nanoseconds a value of one feature."""
    out = np.zeros((1, BARS, SYMBOLS), dtype=np.float32)
    runs = [seconds(lambda: FeatureEngine((feature,), SYMBOLS).advance(panel, out)) for _ in range(RUNS + 1)]
    return min(runs[1:]) / (BARS * SYMBOLS) * 1e9


def main() -> None:
    """Measure all features and write what they cost."""
    panel = market()
    measured = {feature.name: round(cost(feature, panel), 1) for feature in catalog.CATALOG}
    COSTS.write_text(json.dumps(measured, indent=1) + "\n", encoding="utf-8")
    print(f"{len(measured)} features, {sum(measured.values()):.0f} ns in sum, the dearest:")
    for name in sorted(measured, key=lambda name: -measured[name])[:20]:
        print(f"{measured[name]:8.1f}  {name}")


if __name__ == "__main__":
    main()
