"""Calls: which kernel is called for which step of a set of features, where its arguments lie, and on which thread."""

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise

import numpy as np

from features import plan, stream
from features.feature import Feature
from features.plan import Series
from features.program import Call, Rows, Stage
from features.state import Block, State

#: Columns of a block are a multiple of what the processor computes in one turn of a loop: single columns take as long as eight.
LANES = 32


def blocks(symbols: int, threads: int) -> list[Block]:
    """Return the blocks of columns that are computed apart, one a thread."""
    edges = [min(symbols, -(-symbols * k // threads // LANES) * LANES) for k in range(threads)]
    return list(pairwise([*edges, symbols]))


class Calls:
    """All calls of a set of features, in stages, and the buffers between them.

    What lies between the steps of a block is that block's own: its rows are dense, and no other thread writes to their lines.
    What whole rows are made of, or into, all blocks share.
    """

    def __init__(
        self, features: Sequence[Feature], state: State, cuts: Sequence[Block], arrays: Mapping[str, Series], out: Series
    ) -> None:
        """Place every step; panels have columns like `arrays`, by name in order, and results like `out` [F, T, S]."""
        self._state, self._cuts, self._whole = state, cuts, (0, out.shape[2])
        self._steps = plan.ordered(features)
        self._places, self._sizes = plan.placed(self._steps, apart=len(cuts) > 1)
        self._parts = {step.name: step.parts for step in self._steps}
        self._arrays, self._out = dict(arrays), out
        self._numbers = {name: i for i, name in enumerate(arrays)}
        self._leaving: dict[str, list[tuple[int, Feature]]] = {}
        for i, feature in enumerate(features):
            self._leaving.setdefault(plan.maker(feature).name, []).append((i, feature))

    def buffers(self, rows: int) -> list[Series]:
        """Return the buffers for tiles of so many rows: those that all blocks share, and each block's own."""
        widths = [self._whole[1] if size.shared else last - first for first, last in self._cuts for size in self._sizes]
        return [np.empty(size.parts * rows * width) for size, width in zip(self._sizes * len(self._cuts), widths, strict=True)]

    def stages(self) -> list[Stage]:
        """Return the calls of each stage, thread by thread: of columns, a block each; of whole rows, some of the steps each."""
        threads = len(self._cuts)
        called = [step for step in self._steps if step.part is None]
        stages: list[Stage] = []
        for (_, whole_row), group in groupby(called, key=lambda step: step.stage):
            steps = list(group)
            if whole_row:
                stages.append([self._block(steps[i::threads], self._whole) for i in range(threads)])
            else:
                stages.append([self._block(steps, cut) for cut in self._cuts])
        return stages

    def _block(self, steps: Sequence[Feature], block: Block) -> list[Call]:
        return [call for step in steps for call in self._calls(step, block)]

    def _calls(self, step: Feature, block: Block) -> Iterator[Call]:
        """Yield a step's call, and those that let the features among its values leave while they are at hand."""
        inputs = (self._made(s.name, block) if isinstance(s, Feature) else self._column(s, block) for s in step.inputs)
        width = block[1] - block[0]
        yield step.kernel, (*inputs, *step.parameters, self._state.of(step, block), self._made(step.name, block), 0, width)
        for place, feature in self._leaving.get(step.name, ()):
            leaving = self._moving(len(self._numbers), self._out, block, place)
            yield stream.leave, (self._made(feature.name, block), leaving, 0, width)

    def _made(self, name: str, block: Block) -> Rows:
        """Return where a step's values in a block of columns lie."""
        place, (first, last) = self._places[name], block
        shared = self._sizes[place.buffer].shared
        owner = 0 if shared else self._cuts.index(block)
        number = owner * len(self._sizes) + place.buffer
        columns, first = (self._whole[1], first) if shared else (last - first, 0)
        return Rows(number, np.float64, columns, moving=False, part=place.part, parts=self._parts[name], first=first)

    def _column(self, name: str, block: Block) -> Rows:
        array, number = self._arrays[name], self._numbers[name]
        if array.ndim == 1:
            return Rows(self._first_moving + number, array.dtype, None, moving=True)
        return self._moving(number, array, block)

    def _moving(self, number: int, array: Series, block: Block, part: int = 0) -> Rows:
        return Rows(self._first_moving + number, array.dtype, self._whole[1], moving=True, part=part, first=block[0])

    @property
    def _first_moving(self) -> int:
        return len(self._sizes) * len(self._cuts)
