"""What single kernels cost beside a plain copy, and what gaps cost: `python -m benchmarks.features.kernels`.

Kernels are timed on 64 rows x 500 symbols that stay in the cache, ranks on values of three distributions, and the common set of
`talib.py` on a panel without gaps, with 2% of its bars missing, and with symbols that are listed late or end early as well.
Nanoseconds of processor time a value (a symbol-bar for the set), the least of interleaved rounds.
"""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.features import talib
from domain.clock import SystemClock
from domain.panel import FloatArray, Panel
from features import indicators as plain
from features.engine import FeatureEngine
from features.feature import Feature
from features.kernels import cross_section
from tests.features import panels

ROWS, SYMBOLS, ROUNDS, CALLS = 64, 500, 15, 20
Work = tuple[str, Callable[[], object], int]
ALONE: tuple[Feature, ...] = (
    plain.ema("close", 20),
    plain.sma("close", 20),
    plain.regression("close", 20),
    plain.deviation("close", 20),
    plain.highest("close", 20),
    plain.rsi("close", 14),
    plain.cci("close", 20),
    plain.correlation("close", "open", 20),
    plain.beta("close", "open", 20),
    plain.logarithm("close"),
)


def kernels() -> list[Work]:
    """Return a copy, kernels alone, and ranks, each to be called with warm inputs."""
    draw = np.random.default_rng(1)
    shape, out = (ROWS, SYMBOLS), np.zeros((ROWS, SYMBOLS))
    inputs = {"close": draw.uniform(50.0, 100.0, shape), "open": draw.uniform(50.0, 100.0, shape)}
    made: list[Work] = [("a copy", lambda: np.copyto(out, inputs["close"]), CALLS)]
    made += [(f.name, called(f, [inputs[str(i)] for i in f.inputs], out), CALLS) for f in ALONE]
    values = {"normal": draw.normal(size=shape), "Student t, 3": draw.standard_t(3, shape), "Cauchy": draw.standard_cauchy(shape)}
    rank = Feature("rank", cross_section.rank, ("close",), (), cross_section.RANK_SLOTS)
    return made + [(f"rank, {name}", called(rank, [x], out), CALLS) for name, x in values.items()]


def called(feature: Feature, inputs: list[FloatArray], out: FloatArray) -> Callable[[], object]:
    """Return the call of one kernel on the rows, with a state of its own."""
    state = np.zeros((feature.slots, SYMBOLS))
    return lambda: feature.kernel(*inputs, *feature.parameters, state, out, 0, SYMBOLS)


def sets() -> list[Work]:
    """Return the common set over whole panels, the more of whose bars are missing the further down."""
    every = tuple(dict.fromkeys(feature for _, features, _ in talib.COMMON for feature in features))
    panel, out = talib.market(), np.zeros((len(every), talib.BARS, talib.SYMBOLS))
    draw = np.random.default_rng(3)
    scattered, unlisted = draw.random(panel.close.shape) < 0.02, np.zeros(panel.close.shape, dtype=bool)
    for s in range(0, SYMBOLS, 4):
        unlisted[: draw.integers(0, 2000), s] = True
    for s in range(1, SYMBOLS, 5):
        unlisted[draw.integers(500, talib.BARS) :, s] = True
    gapped = {"2% missing": panels.mask(panel, scattered), "and listings": panels.mask(panel, scattered | unlisted)}
    return [(f"the common set, {name}", over(every, each, out), 1) for name, each in {"no gaps": panel, **gapped}.items()]


def over(features: tuple[Feature, ...], panel: Panel, out: FloatArray) -> Callable[[], object]:
    """Return one run of the engine over a panel."""
    return lambda: FeatureEngine(features, SYMBOLS, precision=np.float64).advance(panel, out)


def race(works: list[Work], values: int) -> list[tuple[str, float]]:
    """Return names and the least nanoseconds a value."""
    best = {name: float("inf") for name, *_ in works}
    for _ in range(ROUNDS):
        for name, work, calls in works:
            begun = time.process_time_ns()
            for _ in range(calls):
                work()
            best[name] = min(best[name], (time.process_time_ns() - begun) / calls / values)
    return list(best.items())


def main() -> None:
    """Measure, print, and write the table beside this script."""
    rows = race(kernels(), ROWS * SYMBOLS) + race(sets(), talib.BARS * talib.SYMBOLS)
    lines = ["# What kernels cost", "", f"`python -m benchmarks.features.kernels`, {SystemClock().now():%Y-%m-%d}.", ""]
    lines += ["| what | ns a value |", "|---|---|", *(f"| {name} | {found:.2f} |" for name, found in rows)]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
