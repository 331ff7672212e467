"""FeatureEngine: runs the catalogue's kernels over a panel, a whole history or one bar at a time, with the same machine code."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.error import ConfigurationError, DataError
from domain.panel import FloatArray, Panel
from features.feature import Feature

#: Values of one step that are computed at a time: what all steps take together stays near the processor.
TILE = 16_384
#: A panel below this many values is not worth a second thread.
PARALLEL_MIN = 2_000_000

Series = npt.NDArray[Any]
Stage = tuple[bool, list[Feature]]


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
        self._stages: list[Stage] = [(whole, list(group)) for whole, group in groupby(steps, key=lambda step: step.whole_row)]
        self._columns = sorted({source for step in steps for source in step.inputs if isinstance(source, str)})
        self._state = {step.name: np.zeros((step.slots, symbols)) for step in steps}
        self._series: dict[str, Series] = {}
        self._features = np.empty((len(self.names), 0, symbols))

    def advance(self, panel: Panel, out: Series | None = None) -> Series:
        """Return the features of the panel's rows, [T, S, F], known at each row's `event_at`; NaN where a bar is missing.

        The result is a transposed view of C-contiguous [F, T, S], which is `out` where given. Raises DataError when the
        panel has another number of symbols than the engine was made for.
        """
        if len(panel.symbols) != self._symbols:
            raise DataError(f"features of {len(panel.symbols)} symbols were asked of an engine that was made for {self._symbols}")
        if out is None:
            out = np.empty((len(self.names), panel.bars, self._symbols), dtype=self._precision)
        columns = {name: _column(panel, name) for name in self._columns}
        if self._threads > 1 and panel.bars * self._symbols >= PARALLEL_MIN:
            with ThreadPoolExecutor(self._threads) as pool:
                self._sweep(columns, out, pool)
        else:
            self._sweep(columns, out, None)
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

    def _sweep(self, columns: dict[str, Series], out: Series, pool: ThreadPoolExecutor | None) -> None:
        """Run all steps tile by tile; a tile is a few rows of every symbol."""
        bars = out.shape[1]
        rows = max(1, TILE * self._threads**2 // max(1, self._symbols)) if pool else max(1, TILE // max(1, self._symbols))
        for first in range(0, bars, rows):
            last = min(first + rows, bars)
            self._reserve(last - first)
            self._series.update({name: column[first:last] for name, column in columns.items()})
            for whole_row, steps in self._stages:
                if pool is None or whole_row:
                    self._run(steps, 0, self._symbols)
                else:
                    self._split(steps, pool)
            out[:, first:last] = self._features

    def _reserve(self, rows: int) -> None:
        """Make room for one tile; the features lie together, in order, so that one copy writes them out."""
        if self._features.shape[1] == rows and self._series:
            return
        self._features = np.empty((len(self.names), rows, self._symbols))
        self._series = {step.name: np.empty((rows, self._symbols)) for _, steps in self._stages for step in steps}
        self._series.update(zip(self.names, self._features, strict=True))

    def _run(self, steps: list[Feature], first: int, last: int) -> None:
        series, state = self._series, self._state
        for step in steps:
            inputs = [series[source if isinstance(source, str) else source.name] for source in step.inputs]
            step.kernel(*inputs, *step.parameters, state[step.name], series[step.name], first, last)

    def _split(self, steps: list[Feature], pool: ThreadPoolExecutor) -> None:
        edges = np.linspace(0, self._symbols, self._threads + 1).astype(int).tolist()
        for done in [pool.submit(self._run, steps, first, last) for first, last in pairwise(edges) if first < last]:
            done.result()


def _column(panel: Panel, name: str) -> Series:
    """Return one input of the panel: times as microseconds since 1970; a writable copy where it was read-only.

    Read-only arrays are another type to the compiler, and every kernel would be compiled anew.
    """
    column: Series = getattr(panel, name)
    if column.dtype.kind == "M":
        column = column.astype("datetime64[us]", copy=False).view(np.int64)
    return column if column.flags.writeable and column.flags.c_contiguous else column.copy()


def _ordered(features: Sequence[Feature]) -> list[Feature]:
    """Return the features and all that they are made from, inputs first, each once.

    Steps that compare symbols come as early and as much together as their inputs allow.
    """
    steps: dict[str, Feature] = {}
    for feature in features:
        _collect(feature, steps)
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
