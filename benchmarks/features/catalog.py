"""What the catalogue's families cost beside a copy of their bytes, and a live bar: `python -m benchmarks.features.catalog`.

History: 500 symbols x 2,520 bars on one core, results in single precision, in blocks of a year; each block's results are written
over the last one's. The copy is the machine's floor: 64 MiB of double precision, far larger than its caches, from one place to
another, a value. Times are CPU seconds of the process, rounds are interleaved, medians are reported and the ratio is the median of
the rounds' ratios. Everything that a family is made from is included, so that the families' costs add up to more than the whole
catalogue's; `steps` says how many series are computed for its features.

Live: one bar of 500 symbols a call, one thread, by the wall clock and by the processor's: on a machine that is shared, the tail of
the wall clock is that of the neighbours.
"""

import statistics
import time
from pathlib import Path

import numpy as np

from benchmarks.features.markets import BARS, SYMBOLS, market
from benchmarks.features.talib import seconds
from domain.clock import SystemClock
from domain.panel import Panel
from features import catalog, plan
from features.engine import FeatureEngine
from features.feature import Feature
from tests.features import panels

ROUNDS, ROWS, WARM, LIVE = 3, 252, 100, 500
#: Values of the copy.
COPIED = 1 << 23
Features = tuple[Feature, ...]


def families() -> dict[str, Features]:
    """Return the features of each family, and all."""
    named = {family: tuple(f for f in catalog.CATALOG if f.family == family) for family in catalog.FAMILIES}
    fewer = tuple(f for f in catalog.CATALOG if f.family != "alpha101")
    return {**named, "all but alpha101": fewer, "**all**": catalog.CATALOG}


def history(features: Features, blocks: list[Panel]) -> tuple[float, float, float]:
    """Return nanoseconds a value of the engine and of a copy, and the median of their ratios."""
    out = np.zeros((len(features), ROWS, SYMBOLS), dtype=np.float32)
    one, other = np.ones(COPIED), np.zeros(COPIED)

    def work() -> None:
        engine = FeatureEngine(features, SYMBOLS)
        for block in blocks:
            engine.advance(block, out)

    def copy() -> None:
        np.copyto(other, one)

    rounds = [(seconds(work), seconds(copy)) for _ in range(ROUNDS + 1)][1:]
    values = len(features) * BARS * SYMBOLS / 1e9
    costs = [(mine / values, copied / (COPIED / 1e9)) for mine, copied in rounds]
    ours, theirs = (statistics.median(column) for column in zip(*costs, strict=True))
    return ours, theirs, statistics.median(mine / copied for mine, copied in costs)


def live(features: Features, bars: list[Panel]) -> tuple[list[float], list[float]]:
    """Return microseconds of the wall clock and of the processor for one bar, sorted."""
    engine = FeatureEngine(features, SYMBOLS)
    out = np.zeros((len(features), 1, SYMBOLS), dtype=np.float32)
    wall, own = [], []
    for bar in bars:
        begun, used = time.perf_counter_ns(), time.process_time_ns()
        engine.advance(bar, out)
        own.append((time.process_time_ns() - used) / 1e3)
        wall.append((time.perf_counter_ns() - begun) / 1e3)
    return sorted(wall[WARM:]), sorted(own[WARM:])


def main() -> None:
    """Measure, print, and write the table beside this script."""
    panel = panels.covered(market())
    blocks = [panel.rows(first, first + ROWS) for first in range(0, BARS, ROWS)]
    bars = [panel.rows(t, t + 1) for t in range(WARM + LIVE)]
    lines = ["# What the catalogue costs", "", f"`python -m benchmarks.features.catalog`, {SystemClock().now():%Y-%m-%d}.", ""]
    lines += [
        "| family | features | steps | ns a value | a copy | ratio | live bar, p50 us | p99 | of the processor, p50 | p99 |",
        10 * "|---" + "|",
    ]
    for name, features in families().items():
        ours, copied, ratio = history(features, blocks)
        wall, own = live(features, bars)
        last = [f"{column[int(share * LIVE)]:.0f}" for column in (wall, own) for share in (0.5, 0.99)]
        counts = f"{len(features)} | {len(plan.ordered(features))}"
        lines.append(f"| {name} | {counts} | {ours:.2f} | {copied:.2f} | {ratio:.1f} | {' | '.join(last)} |")
        print(lines[-1], flush=True)
        Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
