"""FeatureEngine: runs the catalogue's kernels over a panel, a whole history or one bar at a time, with the same machine code."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from domain.compiled import kernel
from domain.error import DataError, ResourceError
from domain.panel import FloatArray, Panel
from features import plan
from features.feature import Feature, label
from features.plan import Buffers, Series
from features.program import Call, Program

#: Values of one step that are computed at a time: what is read again soon stays near the processor.
TILE = 65_536
#: A panel below this many values is not worth a second thread.
PARALLEL_MIN = 2_000_000
#: One bar of fewer symbols is not worth a second thread.
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


class _Call(NamedTuple):
    """One kernel's call on one block of columns, ready to be made tile after tile."""

    kernel: Callable[..., Any]
    inputs: tuple[str | Series, ...]
    """Panel columns and features by name, where each tile has its own; the buffers of other steps."""
    rest: tuple[Any, ...]
    """Parameters and state."""
    target: str | Series
    """Where the values go: a feature by name, or the step's buffer."""
    narrowed: tuple[tuple[int, Series], ...]
    """Features that are among the values: their place in the result, and the buffer they are copied from."""
    first: int
    last: int


class FeatureEngine:
    """Computes features bar by bar and remembers what the next bar needs.

    `advance` continues where the last call ended: one call over N rows and N calls over one row are equal to the bit.
    """

    def __init__(
        self, features: Sequence[Feature], symbols: int, *, precision: npt.DTypeLike = np.float32, threads: int = 1
    ) -> None:
        self.names = tuple(feature.name for feature in features)
        self.warm_up = max((feature.warm_up for feature in features), default=0)
        self._features, self._symbols, self._threads = tuple(features), symbols, threads
        self._precision = np.dtype(precision)
        self._steps = plan.ordered(features)
        self._inputs = plan.inputs(self._steps)
        self._state = _states(self._steps, symbols)
        self._straight = self._written_straight()
        self._plans: dict[tuple[int, int], list[list[list[_Call]]]] = {}
        #: Kernels in plain Python cannot be part of a program; then a bar is a tile of one row.
        self._compiled = all(hasattr(step.kernel, "overloads") for step in self._steps)
        self._live: _Live | None = None

    def advance(self, panel: Panel, out: Series | None = None) -> Series:
        """Return the features of the panel's rows, [T, S, F], known at each row's `event_at`; NaN where a bar is missing.

        The result is a transposed view of C-contiguous [F, T, S], which is `out` where given. Raises DataError when the
        panel has another number of symbols than the engine was made for.
        """
        if len(panel.symbols) != self._symbols:
            raise DataError(f"features of {len(panel.symbols)} symbols were asked of an engine that was made for {self._symbols}")
        if out is None:
            out = np.empty((len(self.names), panel.bars, self._symbols), dtype=self._precision)
        columns = {name: plan.column(panel, name) for name in self._inputs}
        if panel.bars == 1 and self._compiled:
            if self._live is None:
                threads = self._threads if self._symbols >= PARALLEL_SYMBOLS else 1
                self._live = _Live(self._stages(1, threads), columns, self._straight, out)
            self._live.advance(columns, out)
        elif self._threads > 1 and panel.bars * self._symbols >= PARALLEL_MIN:
            with ThreadPoolExecutor(self._threads) as pool:
                self._sweep(columns, out, self._threads, pool.map)
        else:
            self._sweep(columns, out, 1, map)
        return out.transpose(1, 2, 0)

    def state(self) -> dict[str, FloatArray]:
        """Return a copy of all that the next bar needs, one array a step; `numpy.savez` can write it."""
        return {name: rows.copy() for name, rows in self._state.items() if len(rows)}

    def restore(self, state: dict[str, FloatArray]) -> None:
        """Continue from a saved state; raise DataError, changing nothing, when it belongs to other features or symbols."""
        mine = {name: rows.shape for name, rows in self._state.items() if len(rows)}
        theirs = {name: rows.shape for name, rows in state.items()}
        if theirs != mine:
            name = min(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
            raise DataError(
                f"a feature state was offered whose '{name}' has shape {theirs.get(name)}, but {mine.get(name)} was needed"
            )
        for name, rows in state.items():
            self._state[name][:] = rows

    def _sweep(self, columns: Buffers, out: Series, threads: int, over: Callable[..., Iterable[None]]) -> None:
        """Run all steps tile by tile; a tile is a few rows of every symbol, threads share its columns."""
        bars, rows = out.shape[1], max(1, TILE * threads**3 // max(1, self._symbols))
        for first in range(0, bars, rows):
            last = min(first + rows, bars)
            tile = {name: column[first:last] for name, column in columns.items()}
            target = out[:, first:last]
            tile.update((name, target[place]) for name, place in self._straight.items())
            for blocks in self._plan(last - first, threads):
                for _ in over(lambda calls, tile=tile, target=target: _run(calls, tile, target), blocks):
                    pass

    def _plan(self, rows: int, threads: int) -> list[list[list[_Call]]]:
        """Return the calls to make on a tile of so many rows; the last plan is kept."""
        if (rows, threads) not in self._plans:
            self._plans = {(rows, threads): self._stages(rows, threads)}
        return self._plans[rows, threads]

    def _stages(self, rows: int, threads: int) -> list[list[list[_Call]]]:
        """Return for each stage and each block of columns the calls to make; a stage that compares symbols has one block."""
        buffers = plan.recycled(self._steps, self._straight, rows, self._symbols)
        edges = np.linspace(0, self._symbols, threads + 1).astype(int).tolist()
        called = [step for step in self._steps if step.part is None]
        stages = [(whole, list(steps)) for whole, steps in groupby(called, key=lambda step: step.whole_row)]
        return [
            [self._calls(steps, buffers, *block) for block in ([(0, self._symbols)] if whole_row else pairwise(edges))]
            for whole_row, steps in stages
        ]

    def _calls(self, steps: list[Feature], buffers: Buffers, first: int, last: int) -> list[_Call]:
        narrowed: dict[str, list[tuple[int, Series]]] = {}
        for place, feature in enumerate(self._features):
            if feature.name not in self._straight:
                narrowed.setdefault(plan.maker(feature).name, []).append((place, buffers[feature.name]))
        return [
            _Call(
                step.kernel,
                tuple(buffers.get(label(source), label(source)) for source in step.inputs),
                (*step.parameters, self._state[step.name]),
                buffers.get(step.name, step.name),
                tuple(narrowed.get(step.name, ())),
                first,
                last,
            )
            for step in steps
        ]

    def _written_straight(self) -> dict[str, int]:
        """Return the features that go straight into the result, and where: single precision is copied from full."""
        if self._precision != np.float64:
            return {}
        return {f.name: place for place, f in enumerate(self._features) if f.part is None and f.parts == 1}


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


class _Live:
    """One bar of all symbols as one program; a feature is narrowed while its step's values are still at hand."""

    def __init__(self, stages: list[list[list[_Call]]], columns: Buffers, straight: dict[str, int], out: Series) -> None:
        self._columns = list(columns)
        tile = columns | {name: out[place] for name, place in straight.items()}
        bound = [[[one for call in calls for one in _bound(call, tile, out)] for calls in blocks] for blocks in stages]
        self._program = Program(bound, (*columns.values(), out))

    def advance(self, columns: Buffers, out: Series) -> None:
        """Write the features of the row in `columns` to out [F, 1, S]."""
        self._program(*(columns[name] for name in self._columns), out)


def _bound(call: _Call, tile: Buffers, out: Series) -> Iterator[Call]:
    """Yield a call with all its arguments, and those that narrow the features among its values."""
    arrays = (tile[source] if isinstance(source, str) else source for source in call.inputs)
    target = tile[call.target] if isinstance(call.target, str) else call.target
    yield call.kernel, (*arrays, *call.rest, target, call.first, call.last)
    for place, values in call.narrowed:
        yield _narrow, (values, out[place], call.first, call.last)


@kernel
def _narrow(values: Series, out: Series, first: int, last: int) -> None:
    """Round values to the precision of the features."""
    for t in range(values.shape[0]):
        v, o = values[t, first:last], out[t, first:last]
        for s in range(v.size):
            o[s] = v[s]


def _run(calls: list[_Call], tile: Buffers, out: Series) -> None:
    """Make one block's calls in order and narrow the features on their way out."""
    for function, inputs, rest, target, narrowed, first, last in calls:
        arrays = [tile[source] if isinstance(source, str) else source for source in inputs]
        function(*arrays, *rest, tile[target] if isinstance(target, str) else target, first, last)
        for place, values in narrowed:
            out[place, :, first:last] = values[:, first:last]


def _states(steps: list[Feature], symbols: int) -> dict[str, FloatArray]:
    """Return the steps' states, zero, one after the other in one block of memory: few pages, and the next one is fetched early."""
    edges = np.cumsum([0, *(step.slots for step in steps)]).tolist()
    block = np.zeros((edges[-1], symbols))
    return {step.name: block[first:last] for step, (first, last) in zip(steps, pairwise(edges), strict=True)}
