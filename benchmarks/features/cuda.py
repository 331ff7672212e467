"""The catalogue on a GPU against the CPU: `python -m benchmarks.features.cuda`.

With a GPU: nanoseconds of wall time a value on both, each in its own process, and how far the features of a market with gaps lie
apart. Without one, but with the CUDA toolkit's compiler: whether every kernel compiles for compute capability 9.0, and nothing
else. Writes cuda.md beside this file.
"""

import json
import platform
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from numba import cuda, types
from numba.cuda import dispatcher

from benchmarks.features import markets
from domain.panel import FloatArray
from features import catalog, engine, plan
from features import cuda as gpu
from features.feature import Feature

SHAPES = ((500, 2520), (5000, 252))
ROUNDS = 3
#: Symbols, bars and share of missing bars of the market on which both must agree.
AGREED = (60, 600, 0.1)
#: What the GPU may differ by, relative where a value's size exceeds one.
ALLOWED = 1e-6
CAPABILITY = (9, 0)
#: What the compiler colours its messages with.
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def measured(device: str, folder: Path) -> None:
    """Write a device's name, its times and its values in float64 to a folder."""
    symbols, bars, share = AGREED
    panel = markets.gappy(markets.known(markets.market(bars, symbols)), share)
    np.save(folder / f"{device}.npy", engine.create(catalog.CATALOG, symbols, device=device, precision=np.float64).advance(panel))
    times = [timed(device, *shape) for shape in SHAPES]
    name = cuda.get_current_device().name if device == "cuda" else platform.machine()
    name = name.decode() if isinstance(name, bytes) else name
    (folder / f"{device}.json").write_text(json.dumps({"name": name, "times": times}))


def timed(device: str, symbols: int, bars: int) -> tuple[float, float]:
    """Return nanoseconds a value of one call and, on a GPU, of what it computes without the copies to it and from it."""
    panel = markets.known(markets.market(bars, symbols))
    out = np.zeros((len(catalog.CATALOG), bars, symbols), np.float32)
    made = engine.create(catalog.CATALOG, symbols, device=device)
    whole, inner = [], []
    for _ in range(ROUNDS + 1):
        begun = time.perf_counter()
        made.advance(panel, out)
        whole.append(time.perf_counter() - begun)
        if isinstance(made, gpu.CudaEngine):
            inner.append(resident(made, panel))
    return tuple(statistics.median(took[1:]) / out.size * 1e9 if took else 0.0 for took in (whole, inner))  # type: ignore[return-value]


def resident(made: gpu.CudaEngine, panel: markets.Panel) -> float:
    """Return the seconds in which the device computes and rounds the features of a panel that lies on it, and leaves them there."""
    memory = made._reserved(panel.bars, np.dtype(np.float32))
    total = 0.0
    for first in range(0, panel.bars, memory.rows):
        part = panel.rows(first, min(first + memory.rows, panel.bars))
        tile = {name: cuda.to_device(plan.column(part, name)) for name in made._inputs}
        cuda.synchronize()
        begun = time.perf_counter()
        made._computed(tile, memory, part.bars)
        total += time.perf_counter() - begun
    return total


def apart(a: FloatArray, b: FloatArray) -> tuple[dict[str, float], list[str]]:
    """Return each feature's largest difference, relative where its size exceeds one, and those that are NaN at other places."""
    names = [feature.name for feature in catalog.CATALOG]
    elsewhere = (np.isnan(a) != np.isnan(b)).any(axis=(0, 1))
    equal = (a == b) | np.isnan(a) | np.isnan(b)
    with np.errstate(invalid="ignore"):
        differences = np.where(equal, 0.0, np.abs(a - b) / np.maximum(1.0, np.abs(a))).max(axis=(0, 1))
    return dict(zip(names, differences.tolist(), strict=True)), [names[i] for i in np.flatnonzero(elsewhere)]


def compared() -> list[str]:
    """Return the report of both devices."""
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        command = [sys.executable, "-m", "benchmarks.features.cuda", place]
        running = [subprocess.Popen([*command, device]) for device in ("cuda", "cpu")]
        if any(process.wait() for process in running):
            running[1].kill()
            raise SystemExit("one of the devices failed; see above")
        told = {device: json.loads((folder / f"{device}.json").read_text()) for device in ("cpu", "cuda")}
        differences, elsewhere = apart(*(np.load(folder / f"{device}.npy") for device in ("cpu", "cuda")))
    beyond = {name: size for name, size in differences.items() if size > ALLOWED}
    ranked = sorted(differences.items(), key=lambda item: -item[1])[:12]
    lines = [
        f"{told['cuda']['name']}, float32 out, wall time, median of {ROUNDS} rounds; CPU: one core.", "",
        "| symbols x bars | CPU, ns a value | GPU, with all copies | ratio | GPU, resident | ratio |", "|---|---|---|---|---|---|",
    ]  # fmt: skip
    for (symbols, bars), (cpu, _), (whole, inner) in zip(SHAPES, told["cpu"]["times"], told["cuda"]["times"], strict=True):
        lines.append(f"| {symbols} x {bars:,} | {cpu:.2f} | {whole:.2f} | {cpu / whole:.1f} | {inner:.3f} | {cpu / inner:.0f} |")
    symbols, bars, share = AGREED
    return [
        *lines, "",
        f"{symbols} symbols x {bars} bars, {share:.0%} missing, late and early ends, float64: {len(beyond)} features differ by "
        f"more than {ALLOWED:.0e}, {len(elsewhere)} are NaN elsewhere. The largest differences:", "",
        *(f"- {name}: {size:.1e}" for name, size in ranked),
        *(f"- {name}: NaN at other places" for name in elsewhere),
    ]  # fmt: skip


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
    if len(sys.argv) == 3:
        measured(sys.argv[2], Path(sys.argv[1]))
        return
    lines = ["# The catalogue on a GPU", "", f"{len(catalog.CATALOG)} features."]
    if cuda.is_available():
        lines += compared()
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
