"""The catalogue on a GPU against the CPU: `python -m benchmarks.features.cuda`.

With a GPU: nanoseconds of wall time a value on both, and the largest difference of any feature, relative where its size exceeds
one. Without one, but with the CUDA toolkit's compiler: whether every kernel compiles for compute capability 9.0, and nothing else.
Writes cuda.md beside this file.
"""

import re
import statistics
import time
from pathlib import Path
from typing import Any

import numpy as np
from numba import cuda, types
from numba.cuda import dispatcher

from benchmarks.features.equality import known
from benchmarks.features.talib import market
from domain.panel import FloatArray, Panel
from features import catalog, plan
from features import cuda as gpu
from features.engine import FeatureEngine
from features.feature import Feature

SHAPES = ((2520, 500), (2520, 5000))
ROUNDS = 5
CAPABILITY = (9, 0)
#: What the compiler colours its messages with.
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def seconds(engine: Any, panel: Panel, out: FloatArray) -> float:
    """Return the wall time of one call."""
    begun = time.perf_counter()
    engine.advance(panel, out)
    return time.perf_counter() - begun


def raced(bars: int, symbols: int) -> str:
    """Return a row of the table: both devices on one shape, rounds interleaved."""
    panel = known(market(bars, symbols))
    shape = (len(catalog.CATALOG), bars, symbols)
    mine, theirs = np.empty(shape, np.float32), np.empty(shape, np.float32)
    rounds = []
    for _ in range(ROUNDS + 1):
        engines = FeatureEngine(catalog.CATALOG, symbols), gpu.CudaEngine(catalog.CATALOG, symbols)
        rounds.append((seconds(engines[0], panel, mine), seconds(engines[1], panel, theirs)))
    cpu, device = (statistics.median(r[i] for r in rounds[1:]) / mine.size * 1e9 for i in (0, 1))
    exact = [make(catalog.CATALOG, symbols, precision=np.float64) for make in (FeatureEngine, gpu.CudaEngine)]
    a, b = (engine.advance(panel.rows(0, 600)) for engine in exact)
    worst = np.nanmax(np.abs(a - b) / np.maximum(1.0, np.abs(a)), axis=(0, 1))
    at = int(worst.argmax())
    return f"| {symbols} x {bars} | {cpu:.2f} | {device:.2f} | {cpu / device:.1f} | {worst[at]:.1e} ({catalog.CATALOG[at].name}) |"


class _Assumed:
    """Stands in for the GPU that is not here: the compiler asks it for its capability only."""

    compute_capability = CAPABILITY


def compiled() -> tuple[int, list[str]]:
    """Compile every step of the catalogue for a GPU that is not here; return how many and those that fail, with the reason."""
    dispatcher.get_current_device = _Assumed
    steps = [step for step in plan.ordered(catalog.CATALOG) if step.part is None]
    failed, different = [], {signature(step): step for step in steps}
    for step in different.values():
        try:
            cuda.compile_ptx(*launch(step), cc=CAPABILITY)
        except Exception as problem:  # whatever the compiler says is the result
            told = " ".join(COLOURS.sub("", str(problem)).split())[:300]
            failed.append(f"{step.kernel.__module__}.{step.kernel.__name__}: {told}")
    return len(different), failed


def signature(step: Feature) -> tuple[Any, ...]:
    """Return what decides the machine code of a step."""
    return step.kernel, step.whole_row, step.parts, tuple(map(kind, step.parameters)), tuple(map(source, step.inputs))


def kind(parameter: float) -> Any:
    """Return the type of a parameter."""
    return types.boolean if isinstance(parameter, bool) else types.int64 if isinstance(parameter, int) else types.float64


def source(name: Any) -> Any:
    """Return the type of an input."""
    return types.int64[::1] if isinstance(name, str) and name.endswith("_at") else types.float64[:, ::1]


def launch(step: Feature) -> tuple[Any, tuple[Any, ...]]:
    """Return the function that a GPU would run for a step, and the types of its arguments."""
    arrays, parameters = [source(name) for name in step.inputs], [kind(parameter) for parameter in step.parameters]
    out = types.float64[:, :, ::1] if step.parts > 1 else types.float64[:, ::1]
    if step.whole_row:
        rest = types.Tuple(parameters)
        return gpu._rowwise(step.kernel, len(arrays), step.parts > 1).py_func, (
            *arrays,
            rest,
            types.float64[:, :, ::1],
            out,
            types.int64,
        )
    return gpu._columnwise(step.kernel).py_func, (types.Tuple([*arrays, *parameters, types.float64[:, ::1], out]), types.int64)


def main() -> None:
    """Measure or compile, print and write the table."""
    lines = ["# The catalogue on a GPU", "", f"{len(catalog.CATALOG)} features."]
    if cuda.is_available():
        lines += [
            f"{cuda.get_current_device().name.decode()}, float32 out, wall time with all copies, median of {ROUNDS} rounds.", "",
            "| symbols x bars | CPU, one core, ns a value | GPU | ratio | largest difference, float64 |", "|---|---|---|---|---|",
            *(raced(*shape) for shape in SHAPES),
        ]  # fmt: skip
    else:
        count, failed = compiled()
        lines += [
            f"No GPU was here: not measured. Kernels that do not compile for one: {len(failed)} of {count}.",
            "",
            *(f"- {line}" for line in failed),
        ]
    text = "\n".join(lines).rstrip() + "\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
