"""The feature engine on a GPU: the same kernels, a column of the panel a thread, compiled for CUDA from the same functions.

Steps that compare the symbols of a row take a row a thread, with a state that is new: they carry nothing that they could not find
anew. Plain Python kernels run on the host. What comes out equals the CPU's within rounding (1e-6 relative), not to the bit: the
GPU contracts other multiplies and adds. Needs a GPU and its toolkit, or numba's simulator (NUMBA_ENABLE_CUDASIM=1 and
NUMBA_DISABLE_JIT=1, for tests).
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from numba import config, cuda

from domain.error import DataError, ResourceError
from domain.panel import FloatArray, Panel
from features import plan
from features.feature import Feature, label
from features.plan import Series

#: An array on the device; numba.cuda has no types.
Device = Any

#: Values of one step that lie on the device at a time.
TILE = 1 << 22
#: Threads of a block: columns are few, so that small blocks reach more of the GPU's processors.
BLOCK = 32


class CudaEngine:
    """Computes features as `FeatureEngine` does, on the GPU that numba.cuda chose."""

    def __init__(self, features: Sequence[Feature], symbols: int, *, precision: npt.DTypeLike = np.float32) -> None:
        """Raise ResourceError when there is no GPU."""
        _require_device()
        self.names = tuple(feature.name for feature in features)
        self.warm_up = max((feature.warm_up for feature in features), default=0)
        self._features, self._symbols, self._precision = tuple(features), symbols, np.dtype(precision)
        self._steps = plan.ordered(features)
        self._inputs = plan.inputs(self._steps)
        self._state = {step.name: cuda.to_device(np.zeros((step.slots, symbols))) for step in self._steps if step.slots}

    def advance(self, panel: Panel, out: Series | None = None) -> Series:
        """Return what `FeatureEngine.advance` returns."""
        if len(panel.symbols) != self._symbols:
            raise DataError(f"features of {len(panel.symbols)} symbols were asked of an engine that was made for {self._symbols}")
        if out is None:
            out = np.empty((len(self.names), panel.bars, self._symbols), dtype=self._precision)
        columns = {name: plan.column(panel, name) for name in self._inputs}
        rows = max(1, TILE // max(1, self._symbols))
        for first in range(0, panel.bars, rows):
            tile = {name: cuda.to_device(values[first : first + rows]) for name, values in columns.items()}
            self._sweep(tile, out[:, first : first + rows])
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

    def _sweep(self, tile: dict[str, Device], out: Series) -> None:
        """Run all steps over the rows of one tile and copy the features out as they come."""
        rows = out.shape[1]
        buffers = tile | self._buffers(rows)
        wanted: dict[str, list[tuple[int, Device]]] = {}
        for place, feature in enumerate(self._features):
            wanted.setdefault(plan.maker(feature).name, []).append((place, buffers[feature.name]))
        for step in self._steps:
            if step.part is None:
                self._call(step, [buffers[label(source)] for source in step.inputs], buffers[step.name], rows)
                for place, values in wanted.get(step.name, ()):
                    np.copyto(out[place], values.copy_to_host(), casting="same_kind")

    def _buffers(self, rows: int) -> dict[str, Device]:
        """Return an array for each step, [T, S], or [parts, T, S] where it writes several series."""
        places, sizes = plan.placed(self._steps)
        made = [cuda.device_array((size.parts, rows, self._symbols), dtype=np.float64) for size in sizes]
        whole = {step.name for step in self._steps if step.parts > 1}
        return {name: made[place.buffer] if name in whole else made[place.buffer][place.part] for name, place in places.items()}

    def _call(self, step: Feature, arrays: list[Device], target: Device, rows: int) -> None:
        if not (config.ENABLE_CUDASIM or hasattr(step.kernel, "py_func")):
            self._on_host(step, arrays, target)
        elif step.whole_row:
            scratch = cuda.device_array((rows, max(1, step.slots), self._symbols))
            launch = _rowwise(step.kernel, len(arrays), step.parts > 1)
            launch[-(-rows // BLOCK), BLOCK](*arrays, step.parameters, scratch, target, self._symbols)
        else:
            state = self._state.get(step.name)
            state = cuda.device_array((1, self._symbols)) if state is None else state
            launch = _columnwise(step.kernel)
            launch[-(-self._symbols // BLOCK), BLOCK]((*arrays, *step.parameters, state, target), self._symbols)

    def _on_host(self, step: Feature, arrays: list[Device], target: Device) -> None:
        values = np.empty(target.shape)
        state = self._state[step.name].copy_to_host() if step.slots else np.zeros((0, self._symbols))
        step.kernel(*(array.copy_to_host() for array in arrays), *step.parameters, state, values, 0, self._symbols)
        target.copy_to_device(values)
        if step.slots:
            self._state[step.name].copy_to_device(state)


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
