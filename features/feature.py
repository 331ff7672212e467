"""Feature: one row of the catalogue, or one step on the way to it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Feature:
    """A named series per symbol: which kernel makes it, from which inputs, with which parameters."""

    name: str
    kernel: Callable[..., Any]
    inputs: "tuple[str | Feature, ...]"
    """Panel columns by name (open, high, low, close, volume, opened_at, event_at, any covariate), or other features."""
    parameters: tuple[int | float, ...] = ()
    slots: int = 0
    """Rows of the kernel's state."""
    delay: int = 0
    """Bars that the kernel itself needs before its first value."""
    whole_row: bool = False
    """The kernel compares the symbols of a row, so its columns must not be split."""
    parts: int = 1
    """Series that one call writes; where it is more than one, `out` is [parts, T, S]."""
    part: int | None = None
    """This is that series of its only input, which has several, and nothing is called for it."""
    family: str = ""
    meaning: str = ""
    source: str = ""

    @cached_property
    def warm_up(self) -> int:
        """Bars of a symbol that yield NaN before the first value."""
        return self.delay + max((i.warm_up for i in self.inputs if isinstance(i, Feature)), default=0)

    @cached_property
    def stage(self) -> tuple[int, bool]:
        """When it can be computed: after how many comparisons of symbols, and whether it is one; those of a stage are apart."""
        before = (i.stage for i in self.inputs if isinstance(i, Feature))
        return max((comparisons + compares for comparisons, compares in before), default=0), self.whole_row

    @cached_property
    def compares(self) -> bool:
        """Whether it looks at other symbols, on its way or at its end."""
        return self.stage > (0, False)

    @cached_property
    def recipe(self) -> list[Any]:
        """All that decides the values, as plain data: the kernel by name, its parameters, its inputs' recipes."""
        inputs = [i.recipe if isinstance(i, Feature) else i for i in self.inputs]
        chosen = [] if self.part is None else [self.part]
        return [self.name, f"{self.kernel.__module__}.{self.kernel.__name__}", list(self.parameters), inputs, *chosen]

    @cached_property
    def formula(self) -> str:
        """How the value is made, down to the panel's columns: `distance(close, simple(close, 20))`."""
        made = [i.formula if isinstance(i, Feature) else i for i in self.inputs]
        if self.part is not None:
            return f"{made[0]}[{self.part}]"
        return f"{self.kernel.__name__}({', '.join([*made, *(f'{p:g}' for p in self.parameters)])})"

    @cached_property
    def columns(self) -> tuple[str, ...]:
        """The panel columns that it is made from, in the order of their first use."""
        found = (i.columns if isinstance(i, Feature) else (i,) for i in self.inputs)
        return tuple(dict.fromkeys(name for names in found for name in names))


Source = str | Feature


def label(source: Source) -> str:
    """Return the name of a panel column or a feature."""
    return source if isinstance(source, str) else source.name
