"""The feature engine on a GPU: the same kernels, a column of the panel a thread, compiled for CUDA from the same functions.

Columns are far fewer than a GPU has processors, so that steps which do not need each other run at the same time, on streams.
Steps that compare the symbols of a row take a row a thread, with a state that is new: they carry nothing that they could not find
anew. Plain Python kernels run on the host. What comes out equals the CPU's within rounding (1e-6 relative), not to the bit: the
GPU contracts other multiplies and adds. Needs a GPU and its toolkit, or numba's simulator (NUMBA_ENABLE_CUDASIM=1 and
NUMBA_DISABLE_JIT=1, for tests).
"""

import math
import os
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import config, cuda

from domain.error import DataError, ResourceError
from domain.panel import FloatArray, Panel
from features import plan
from features.feature import Feature, label
from features.plan import Series

#: An array or a stream of the device; numba.cuda has no types.
Device = Any

#: Share of the device's free memory that an engine takes.
SHARE = 0.6
#: Steps that run at the same time; the driver by itself lets eight queues in at once, and reads this when it begins.
STREAMS = 32
os.environ.setdefault("CUDA_DEVICE_MAX_CONNECTIONS", str(STREAMS))
# Each of those is small on purpose: nobody need be warned of it.
config.CUDA_LOW_OCCUPANCY_WARNINGS = 0
#: Threads of a block: columns are few, so that small blocks reach more of the GPU's processors.
BLOCK = 32
#: Rows that one thread rounds.
STRETCH = 64


class CudaEngine:
    """Computes features as `FeatureEngine` does, on the GPU that numba.cuda chose."""

    def __init__(
        self, features: Sequence[Feature], symbols: int, *, precision: npt.DTypeLike = np.float32, memory: float | None = None
    ) -> None:
        """Take up to so many bytes of the device, by default a share of what is free. Raise ResourceError when there is no GPU."""
        _require_device()
        self.names = tuple(feature.name for feature in features)
        self.warm_up = max((feature.warm_up for feature in features), default=0)
        self._features, self._symbols, self._precision = tuple(features), symbols, np.dtype(precision)
        self._steps = plan.ordered(features)
        self._levels = _levels(self._steps)
        self._inputs = plan.inputs(self._steps)
        self._state = {step.name: cuda.to_device(np.zeros((step.slots, symbols))) for step in self._steps if step.slots}
        self._stateless = cuda.device_array((1, symbols))
        self._streams = [cuda.stream() for _ in range(STREAMS)]
        self._room = memory
        self._memory: _Memory | None = None

    def advance(self, panel: Panel, out: Series | None = None) -> Series:
        """Return what `FeatureEngine.advance` returns."""
        if len(panel.symbols) != self._symbols:
            raise DataError(f"features of {len(panel.symbols)} symbols were asked of an engine that was made for {self._symbols}")
        if out is None:
            out = np.empty((len(self.names), panel.bars, self._symbols), dtype=self._precision)
        columns = {name: plan.column(panel, name) for name in self._inputs}
        memory = self._reserved(panel.bars, out.dtype)
        for first in range(0, panel.bars, memory.rows):
            tile = {name: cuda.to_device(values[first : first + memory.rows]) for name, values in columns.items()}
            self._sweep(tile, memory, out[:, first : first + memory.rows])
        return out.transpose(1, 2, 0)

    def state(self) -> dict[str, FloatArray]:
        """Return a copy of all that the next bar needs, as `FeatureEngine.state` does."""
        return {name: rows.copy_to_host() for name, rows in self._state.items()}

    def restore(self, state: dict[str, FloatArray]) -> None:
        """Continue from a state that an engine of the same features saved, on either device; raise DataError for another's."""
        mine, theirs = ({name: rows.shape for name, rows in held.items()} for held in (self._state, state))
        if mine != theirs:
            raise DataError(f"a feature state of {len(theirs)} steps was offered that are not the {len(mine)} steps of this engine")
        self._state = {name: cuda.to_device(np.ascontiguousarray(rows)) for name, rows in state.items()}

    def _reserved(self, bars: int, precision: npt.DTypeLike) -> "_Memory":
        """Return the device's memory for tiles of at most so many rows, as many as fit; what is held already where it will do."""
        if self._memory is None or self._memory.asked < bars or self._memory.results.dtype != precision:
            self._memory = None
            called = [step for step in self._steps if step.part is None]
            slots = STREAMS * max((max(1, step.slots) for step in called if step.whole_row), default=1)
            sizes = sum(step.parts for step in called), slots, len(self.names)
            room = SHARE * cuda.current_context().get_memory_info().free if self._room is None else self._room
            row = self._symbols * 8 * (sum(sizes) + len(self._inputs))
            rows = int(max(1, min(bars, room / max(1, row))))
            series, scratch, results = (size * rows * self._symbols for size in sizes)
            self._memory = _Memory(
                bars,
                rows,
                cuda.device_array(series),
                cuda.device_array(scratch).reshape(STREAMS, -1),
                cuda.device_array(results, dtype=precision),
            )
        return self._memory

    def _sweep(self, tile: dict[str, Device], memory: "_Memory", out: Series) -> None:
        """Compute the features of one tile and copy them out."""
        results = self._computed(tile, memory, out.shape[1])
        for i in range(len(self._features)):
            results[i].copy_to_host(out[i])

    def _computed(self, tile: dict[str, Device], memory: "_Memory", rows: int) -> Device:
        """Run all steps over the rows of one tile, level by level; return the features [F, T, S], on the device."""
        buffers = tile | self._buffers(memory.series, rows)
        for level in self._levels:
            for i, step in enumerate(level):
                arrays = [buffers[label(source)] for source in step.inputs]
                self._call(step, arrays, buffers[step.name], memory.scratch[i % STREAMS], self._streams[i % STREAMS])
            cuda.synchronize()
        grid = -(-self._symbols // BLOCK), -(-rows // STRETCH)
        results = _cut(memory.results, (len(self._features), rows, self._symbols))
        for i, feature in enumerate(self._features):
            _round[grid, BLOCK, self._streams[i % STREAMS]](buffers[feature.name], results[i])
        cuda.synchronize()
        return results

    def _buffers(self, series: Device, rows: int) -> dict[str, Device]:
        """Return an array for each step, [T, S], or [parts, T, S] where it writes several series."""
        made: dict[str, Device] = {}
        first = 0
        for step in self._steps:
            if step.part is not None:
                made[step.name] = made[plan.maker(step).name][step.part]
                continue
            size = step.parts * rows * self._symbols
            shape = (step.parts, rows, self._symbols) if step.parts > 1 else (rows, self._symbols)
            made[step.name], first = series[first : first + size].reshape(shape), first + size
        return made

    def _call(self, step: Feature, arrays: list[Device], target: Device, scratch: Device, stream: Device) -> None:
        rows = arrays[0].shape[0]
        if not (config.ENABLE_CUDASIM or hasattr(step.kernel, "py_func")):
            self._on_host(step, arrays, target)
        elif step.whole_row:
            state = _cut(scratch, (rows, max(1, step.slots), self._symbols))
            launch = _rowwise(step.kernel, len(arrays), step.parts > 1)
            launch[-(-rows // BLOCK), BLOCK, stream](*arrays, step.parameters, state, target, self._symbols)
        else:
            state = self._state.get(step.name, self._stateless)
            launch = _columnwise(step.kernel)
            launch[-(-self._symbols // BLOCK), BLOCK, stream]((*arrays, *step.parameters, state, target), self._symbols)

    def _on_host(self, step: Feature, arrays: list[Device], target: Device) -> None:
        values = np.empty(target.shape)
        state = self._state[step.name].copy_to_host() if step.slots else np.zeros((0, self._symbols))
        step.kernel(*(array.copy_to_host() for array in arrays), *step.parameters, state, values, 0, self._symbols)
        target.copy_to_device(values)
        if step.slots:
            self._state[step.name].copy_to_device(state)


class _Memory(NamedTuple):
    """What an engine holds of the device's memory, each in one piece."""

    asked: int
    """Rows that were asked for: where fewer fit, no more would the next time."""
    rows: int
    series: Device
    scratch: Device
    results: Device


def _cut(piece: Device, shape: tuple[int, ...]) -> Device:
    """Return the beginning of a piece of memory as an array."""
    return piece[: math.prod(shape)].reshape(shape)


def _levels(steps: Sequence[Feature]) -> list[list[Feature]]:
    """Return the steps that are called, in levels: none needs another of its own level."""
    depths: dict[str, int] = {}
    levels: list[list[Feature]] = []
    for step in steps:
        depth = max((depths[source.name] for source in step.inputs if isinstance(source, Feature)), default=0)
        depths[step.name] = depth if step.part is not None else depth + 1
        if step.part is None:
            levels.extend([] for _ in range(depth + 1 - len(levels)))
            levels[depth].append(step)
    return levels


@cuda.jit  # type: ignore[untyped-decorator]
def _round(values: Device, out: Device) -> None:
    """Round a series [T, S] to the precision of `out`; a thread takes a stretch of a column."""
    s, first = cuda.blockIdx.x * BLOCK + cuda.threadIdx.x, cuda.blockIdx.y * STRETCH
    if s < values.shape[1]:
        for t in range(first, min(first + STRETCH, values.shape[0])):
            out[t, s] = values[t, s]


@cache
def _columnwise(kernel: Callable[..., Any]) -> Any:
    """Return a CUDA kernel that lets one thread advance one column."""

    def column(arguments: Any, columns: int) -> None:
        s = cuda.grid(1)
        if s < columns:
            kernel(*(arguments + (s, s + 1)))  # noqa: RUF005  # what numba.cuda understands

    return cuda.jit(column)


@cache
def _rowwise(kernel: Callable[..., Any], arrays: int, several: bool) -> Any:
    """Return a CUDA kernel that lets one thread compute one row of all symbols, from one array or two, as one series or several."""
    clear = cuda.jit(device=True)(_clear)

    def one(a: Device, rest: Any, scratch: Device, out: Device, columns: int) -> None:
        t = cuda.grid(1)
        if t < a.shape[0]:
            clear(scratch[t])
            kernel(*((a[t : t + 1],) + rest + (scratch[t], out[t : t + 1], 0, columns)))  # noqa: RUF005

    def two(a: Device, b: Device, rest: Any, scratch: Device, out: Device, columns: int) -> None:
        t = cuda.grid(1)
        if t < a.shape[0]:
            clear(scratch[t])
            kernel(*((a[t : t + 1], b[t : t + 1]) + rest + (scratch[t], out[t : t + 1], 0, columns)))  # noqa: RUF005

    def one_to_several(a: Device, rest: Any, scratch: Device, out: Device, columns: int) -> None:
        t = cuda.grid(1)
        if t < a.shape[0]:
            clear(scratch[t])
            kernel(*((a[t : t + 1],) + rest + (scratch[t], out[:, t : t + 1], 0, columns)))  # noqa: RUF005

    return cuda.jit({(1, False): one, (2, False): two, (1, True): one_to_several}[arrays, several])


def _clear(rows: Device) -> None:
    for k in range(rows.shape[0]):
        for s in range(rows.shape[1]):
            rows[k, s] = 0.0


def _require_device() -> None:
    if not cuda.is_available():
        raise ResourceError(
            "features were asked of a GPU, but none is to be seen here: set features.device to cpu, or install its driver"
        )
