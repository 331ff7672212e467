"""FeatureEngine: runs the catalogue's kernels over a panel, a whole history or one bar at a time, with the same machine code."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from domain.error import DataError, ResourceError
from domain.panel import FloatArray, Panel
from features import plan
from features.calls import Calls, blocks
from features.feature import Feature
from features.plan import Series
from features.program import Interpreted, Program
from features.state import State

#: Values of one step that a thread computes at a time: what is read again soon stays near the processor.
TILE = 16_384
#: Tiles after which a run comes back to Python, where it can be interrupted.
TILES = 64
#: Fewer symbols are not worth a second thread.
PARALLEL_SYMBOLS = 128


class Engine(Protocol):
    """What computes features, wherever it does."""

    names: tuple[str, ...]
    warm_up: int

    def advance(self, panel: Panel, out: Series | None = None) -> Series:
        """Continue over the panel's rows; see FeatureEngine."""
        ...

    def state(self) -> dict[str, FloatArray]:
        """Return a copy of all that the next bar needs."""
        ...

    def restore(self, state: dict[str, FloatArray]) -> None:
        """Continue from a saved state."""
        ...


class FeatureEngine:
    """Computes features bar by bar and remembers what the next bar needs.

    `advance` continues where the last call ended: one call over N rows and N calls over one row are equal to the bit.
    """

    def __init__(
        self, features: Sequence[Feature], symbols: int, *, precision: npt.DTypeLike = np.float32, threads: int = 1
    ) -> None:
        self.names = tuple(feature.name for feature in features)
        self.warm_up = max((feature.warm_up for feature in features), default=0)
        self._features, self._symbols = tuple(features), symbols
        self._precision = np.dtype(precision)
        self._steps = plan.ordered(features)
        self._inputs = plan.inputs(self._steps)
        self._blocks = blocks(symbols, threads if symbols >= PARALLEL_SYMBOLS else 1)
        self._state = State(self._steps, self._blocks)
        self._tile = max(1, TILE // max(1, *(last - first for first, last in self._blocks)))
        self._program: Program | Interpreted | None = None
        self._nothing: list[Series] = []

    def advance(self, panel: Panel, out: Series | None = None) -> Series:
        """Return the features of the panel's rows, [T, S, F], known at each row's `event_at`; NaN where a bar is missing.

        The result is a transposed view of C-contiguous [F, T, S], which is `out` where given. Raises DataError when the
        panel has another number of symbols than the engine was made for.
        """
        if len(panel.symbols) != self._symbols:
            raise DataError(f"features of {len(panel.symbols)} symbols were asked of an engine that was made for {self._symbols}")
        if out is None:
            out = np.empty((len(self.names), panel.bars, self._symbols), dtype=self._precision)
        arrays = [*(plan.column(panel, name) for name in self._inputs), out]
        if self._program is None:
            self._program = self._written(arrays)
        rows = TILES * self._tile
        for first in range(0, panel.bars, rows):
            self._program(arrays, panel.bars, first, min(first + rows, panel.bars))
        return out.transpose(1, 2, 0)

    def state(self) -> dict[str, FloatArray]:
        """Return a copy of all that the next bar needs, one array a step; `numpy.savez` can write it."""
        self._settle()
        return self._state.copy()

    def restore(self, state: dict[str, FloatArray]) -> None:
        """Continue from a saved state; raise DataError, changing nothing, when it belongs to other features or symbols."""
        self._state.restore(state)

    def _settle(self) -> None:
        """Let every window settle its columns (`window.remember`): another engine may go on in other blocks."""
        if self._program is not None:
            self._program(self._nothing, 0, 0, 0)

    def _written(self, arrays: Sequence[Series]) -> Program | Interpreted:
        """Return all calls, to be made on panels with columns, and a result, like these arrays."""
        *columns, out = arrays
        calls = Calls(self._features, self._state, self._blocks, dict(zip(self._inputs, columns, strict=True)), out)
        self._nothing = [array[..., :0, :].copy() if array.ndim > 1 else array[:0].copy() for array in arrays]
        buffers = calls.buffers(self._tile)
        # Kernels in plain Python cannot be part of a program.
        if all(hasattr(step.kernel, "overloads") for step in self._steps):
            return Program(calls.stages(), self._tile, buffers, len(arrays))
        return Interpreted(calls.stages(), self._tile, buffers)


def create(
    features: Sequence[Feature], symbols: int, *, device: str = "cpu", precision: npt.DTypeLike = np.float32, threads: int = 1
) -> "Engine":
    """Return an engine on the processor ("cpu") or on a GPU ("cuda"); raise ResourceError when that GPU cannot be used."""
    if device == "cpu":
        return FeatureEngine(features, symbols, precision=precision, threads=threads)
    try:
        from features.cuda import CudaEngine
    except ImportError as problem:
        raise ResourceError(f"features were asked of a GPU, but {problem}: pip install 'nightshift[cuda]'") from None
    return CudaEngine(features, symbols, precision=precision)
