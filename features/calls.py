"""Calls: which kernel is called for which step of a set of features, where its arguments lie, and on which thread."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise

import numpy as np

from domain.panel import FloatArray
from features import plan, stream
from features.feature import Feature, label
from features.plan import Series
from features.program import Call, Rows, Stage


class Calls:
    """All calls of a set of features, in stages, and the buffers between them."""

    def __init__(
        self, features: Sequence[Feature], state: Mapping[str, FloatArray], arrays: Mapping[str, Series], out: Series, threads: int
    ) -> None:
        """Place every step; panels have columns like `arrays`, by name in order, and results like `out` [F, T, S]."""
        self._state, self._threads, self._symbols = state, threads, out.shape[2]
        self._steps = plan.ordered(features)
        places, self.sizes = plan.placed(self._steps, apart=threads > 1)
        """How many series each buffer holds."""
        self._columns = {name: self._column(i, array) for i, (name, array) in enumerate(arrays.items())}
        self._made = {step.name: self._buffer(places[step.name], step.parts) for step in self._steps}
        self._leaving: dict[str, list[tuple[Rows, Rows]]] = {}
        for i, feature in enumerate(features):
            leaving = (self._made[feature.name], self._moving(len(arrays), out, i))
            self._leaving.setdefault(plan.maker(feature).name, []).append(leaving)

    def stages(self) -> list[Stage]:
        """Return the calls of each stage, thread by thread: of columns, a block each; of whole rows, some of the steps each."""
        edges = np.linspace(0, self._symbols, self._threads + 1).astype(int).tolist()
        called = [step for step in self._steps if step.part is None]
        stages: list[Stage] = []
        for (_, whole_row), group in groupby(called, key=lambda step: step.stage):
            steps = list(group)
            if whole_row:
                stages.append([self._block(steps[i :: self._threads], 0, self._symbols) for i in range(self._threads)])
            else:
                stages.append([self._block(steps, first, last) for first, last in pairwise(edges)])
        return stages

    def _block(self, steps: Sequence[Feature], first: int, last: int) -> list[Call]:
        return [call for step in steps for call in self._calls(step, first, last)]

    def _calls(self, step: Feature, first: int, last: int) -> Iterator[Call]:
        """Yield a step's call, and those that let the features among its values leave while they are at hand."""
        inputs = (self._made.get(label(source)) or self._columns[label(source)] for source in step.inputs)
        yield step.kernel, (*inputs, *step.parameters, self._state[step.name], self._made[step.name], first, last)
        for values, result in self._leaving.get(step.name, ()):
            yield stream.leave, (values, result, first, last)

    def _buffer(self, place: plan.Place, parts: int) -> Rows:
        return Rows(place.buffer, np.float64, self._symbols, moving=False, part=place.part, parts=parts)

    def _column(self, number: int, array: Series) -> Rows:
        return self._moving(number, array) if array.ndim > 1 else Rows(len(self.sizes) + number, array.dtype, None, moving=True)

    def _moving(self, number: int, array: Series, part: int = 0) -> Rows:
        return Rows(len(self.sizes) + number, array.dtype, self._symbols, moving=True, part=part)
