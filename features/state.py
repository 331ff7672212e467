"""State: what the next bar needs of the bars before, for each step, each block of columns on its own."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from domain.error import DataError
from domain.panel import FloatArray
from features.feature import Feature

#: The first of a block's columns and the one after its last.
Block = tuple[int, int]


class State:
    """The states of all steps, zero at first; outside, an array [slots, S] a step by its name."""

    def __init__(self, steps: Sequence[Feature], blocks: Sequence[Block]) -> None:
        self._blocks = blocks
        whole = (blocks[0][0], blocks[-1][1])
        columnwise, rowwise = ([step for step in steps if step.slots and step.whole_row is row] for row in (False, True))
        self._held = {
            **{(name, block): rows for block in blocks for name, rows in _zeros(columnwise, block).items()},
            **{(name, whole): rows for name, rows in _zeros(rowwise, whole).items()},
        }
        self._cuts: dict[str, list[Block]] = {}
        for name, block in self._held:
            self._cuts.setdefault(name, []).append(block)

    def of(self, step: Feature, block: Block) -> FloatArray:
        """Return a step's state in a block of columns, [slots, columns], to be written to."""
        return self._held[step.name, block] if step.slots else np.zeros((0, block[1] - block[0]))

    def copy(self) -> dict[str, FloatArray]:
        """Return a copy of all states."""
        return {name: np.concatenate([self._held[name, cut] for cut in cuts], axis=1) for name, cuts in self._cuts.items()}

    def restore(self, state: Mapping[str, FloatArray]) -> None:
        """Take over copied states; raise DataError, changing nothing, when they belong to other features or symbols."""
        mine = {name: (len(self._held[name, cuts[0]]), cuts[-1][1] - cuts[0][0]) for name, cuts in self._cuts.items()}
        theirs = {name: rows.shape for name, rows in state.items()}
        if theirs != mine:
            name = min(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))
            raise DataError(
                f"a feature state was offered whose '{name}' has shape {theirs.get(name)}, but {mine.get(name)} was needed"
            )
        for (name, (first, last)), rows in self._held.items():
            rows[:] = state[name][:, first:last]


def _zeros(steps: Sequence[Feature], block: Block) -> dict[str, FloatArray]:
    """Return the steps' states, zero, one after the other in one piece of memory: few pages, and the next one is fetched early."""
    edges = np.cumsum([0, *(step.slots for step in steps)]).tolist()
    held = np.zeros((edges[-1], block[1] - block[0]))
    return {step.name: held[first:last] for step, (first, last) in zip(steps, pairwise(edges), strict=True)}
