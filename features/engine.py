"""FeatureEngine: runs the catalogue's kernels over a panel, a whole history or one bar at a time, with the same machine code."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from itertools import groupby, pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domain.error import ConfigurationError, DataError, nearest
from domain.panel import COVARIATES, FloatArray, Panel
from features.feature import Feature, label

#: Values of one step that are computed at a time: what is read again soon stays near the processor.
TILE = 65_536
#: A panel below this many values is not worth a second thread.
PARALLEL_MIN = 2_000_000

Series = npt.NDArray[Any]


class _Call(NamedTuple):
    """One kernel's call on one block of columns, ready to be made tile after tile."""

    kernel: Callable[..., Any]
    inputs: tuple[str | Series, ...]
    """Panel columns and features by name, where each tile has its own; the buffers of other steps."""
    rest: tuple[Any, ...]
    """Parameters and state."""
    target: str | Series
    """Where the values go: a feature by name, or the step's buffer."""
    place: int | None
    """Which feature the buffer has to be narrowed to, if any."""
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
        self._symbols, self._threads, self._precision = symbols, threads, np.dtype(precision)
        steps = _ordered(features)
        self._stages = [(whole, list(group)) for whole, group in groupby(steps, key=lambda step: step.whole_row)]
        self._inputs = sorted({source for step in steps for source in step.inputs if isinstance(source, str)})
        _refuse_unknown(self._inputs)
        self._state = {step.name: np.zeros((step.slots, symbols)) for step in steps}
        self._straight = self._written_straight(steps)
        self._plans: dict[tuple[int, int], list[list[list[_Call]]]] = {}

    def advance(self, panel: Panel, out: Series | None = None) -> Series:
        """Return the features of the panel's rows, [T, S, F], known at each row's `event_at`; NaN where a bar is missing.

        The result is a transposed view of C-contiguous [F, T, S], which is `out` where given. Raises DataError when the
        panel has another number of symbols than the engine was made for.
        """
        if len(panel.symbols) != self._symbols:
            raise DataError(f"features of {len(panel.symbols)} symbols were asked of an engine that was made for {self._symbols}")
        if out is None:
            out = np.empty((len(self.names), panel.bars, self._symbols), dtype=self._precision)
        columns = {name: _column(panel, name) for name in self._inputs}
        if self._threads > 1 and panel.bars * self._symbols >= PARALLEL_MIN:
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

    def _sweep(self, columns: dict[str, Series], out: Series, threads: int, over: Callable[..., Iterable[None]]) -> None:
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
        """Return for each stage and each block of columns the calls to make on a tile; the live trader's plan is kept for good."""
        key = (rows, threads)
        if key not in self._plans:
            self._plans = {old: plan for old, plan in self._plans.items() if old == (1, 1)}
            buffers = self._buffers(rows)
            edges = np.linspace(0, self._symbols, threads + 1).astype(int).tolist()
            self._plans[key] = [
                [self._calls(steps, buffers, *block) for block in ([(0, self._symbols)] if whole_row else pairwise(edges))]
                for whole_row, steps in self._stages
            ]
        return self._plans[key]

    def _calls(self, steps: list[Feature], buffers: dict[str, Series], first: int, last: int) -> list[_Call]:
        place = {name: i for i, name in enumerate(self.names) if name not in self._straight}
        calls = []
        for step in steps:
            inputs = tuple(buffers.get(label(source), label(source)) for source in step.inputs)
            rest = (*step.parameters, self._state[step.name])
            calls.append(_Call(step.kernel, inputs, rest, buffers.get(step.name, step.name), place.get(step.name), first, last))
        return calls

    def _written_straight(self, steps: list[Feature]) -> dict[str, int]:
        """Return the features that go straight into the result, and where.

        In single precision those that another step reads do not: it reads them in full.
        """
        read = {label(source) for step in steps for source in step.inputs} if self._precision != np.float64 else set()
        return {name: place for place, name in enumerate(self.names) if name not in read}

    def _buffers(self, rows: int) -> dict[str, Series]:
        """Return an array for each step whose values do not go straight out.

        One that nobody will read again is handed to the next step.
        """
        steps = [step for _, group in self._stages for step in group]
        straight = self._straight.keys()
        needed = {label(source): i for i, step in enumerate(steps) for source in step.inputs}
        buffers: dict[str, Series] = {}
        free: list[Series] = []
        for i, step in enumerate(steps):
            if step.name not in straight:
                buffers[step.name] = free.pop() if free else np.empty((rows, self._symbols))
            done = {source.name for source in step.inputs if isinstance(source, Feature)} | {step.name}
            free += [buffers[name] for name in sorted(done - straight) if needed.get(name, i) == i]
        return buffers


def _run(calls: list[_Call], tile: dict[str, Series], out: Series) -> None:
    """Make one block's calls in order and narrow the features on their way out."""
    for kernel, inputs, rest, target, place, first, last in calls:
        arrays = [tile[source] if isinstance(source, str) else source for source in inputs]
        values = tile[target] if isinstance(target, str) else target
        kernel(*arrays, *rest, values, first, last)
        if place is not None:
            out[place, :, first:last] = values[:, first:last]


def _column(panel: Panel, name: str) -> Series:
    """Return one input of the panel: times as microseconds since 1970; a writable copy where it was read-only.

    A covariate that the panel lacks is unknown. Read-only arrays are another type to the compiler, and every kernel would be
    compiled anew.
    """
    column: Series | None = panel.covariates.get(name, getattr(panel, name, None))
    if column is None:
        return np.full(panel.close.shape, np.nan)
    if column.dtype.kind == "M":
        column = column.astype("datetime64[us]", copy=False).view(np.int64)
    return column if column.flags.writeable and column.flags.c_contiguous else column.copy()


def _refuse_unknown(inputs: Sequence[str]) -> None:
    known = {*(field.name for field in fields(Panel)), *COVARIATES}
    for name in inputs:
        if name not in known:
            raise ConfigurationError(f"a feature reads '{name}', which no panel has: {nearest(name, known)}")


def _ordered(features: Sequence[Feature]) -> list[Feature]:
    """Return the features and all that they are made from, inputs first, each once.

    Steps that compare symbols come as early and as much together as their inputs allow.
    """
    steps: dict[str, Feature] = {}
    for feature in features:
        _collect(feature, steps)
    names = [feature.name for feature in features]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise ConfigurationError(f"the feature '{twice}' was asked for twice, but names must be unique")
    depth = {name: _comparisons(step) for name, step in steps.items()}
    return sorted(steps.values(), key=lambda step: (depth[step.name], step.whole_row))


def _collect(feature: Feature, steps: dict[str, Feature]) -> None:
    if feature is steps.get(feature.name):
        return
    for source in feature.inputs:
        if isinstance(source, Feature):
            _collect(source, steps)
    if steps.setdefault(feature.name, feature).recipe != feature.recipe:
        raise ConfigurationError(f"two different features are named '{feature.name}', but names must be unique")


def _comparisons(step: Feature) -> int:
    """Return how many whole-row steps stand before this one."""
    return max((_comparisons(i) + i.whole_row for i in step.inputs if isinstance(i, Feature)), default=0)
