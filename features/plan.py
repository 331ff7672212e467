"""Plan: what features are made from, in which order, and which buffer each step may write."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from domain.error import ConfigurationError, nearest
from domain.panel import COVARIATES, Panel
from features.feature import Feature

Series = npt.NDArray[Any]
Buffers = dict[str, Series]


def ordered(features: Sequence[Feature]) -> list[Feature]:
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
    return sorted(steps.values(), key=lambda step: step.stage)


def _collect(feature: Feature, steps: dict[str, Feature]) -> None:
    if feature is steps.get(feature.name):
        return
    for source in feature.inputs:
        if isinstance(source, Feature):
            _collect(source, steps)
    if steps.setdefault(feature.name, feature).recipe != feature.recipe:
        raise ConfigurationError(f"two different features are named '{feature.name}', but names must be unique")


def inputs(steps: Sequence[Feature]) -> list[str]:
    """Return the panel columns that the steps read, sorted; raise ConfigurationError for one that no panel has."""
    known = {*(field.name for field in fields(Panel)), *COVARIATES}
    named = sorted({source for step in steps for source in step.inputs if isinstance(source, str)})
    for name in named:
        if name not in known:
            raise ConfigurationError(f"a feature reads '{name}', which no panel has: {nearest(name, known)}")
    return named


def column(panel: Panel, name: str) -> Series:
    """Return one input of the panel: times as microseconds since 1970; a writable copy where it was read-only.

    A covariate that the panel lacks is unknown. Read-only arrays are another type to the compiler, and every kernel would be
    compiled anew.
    """
    found: Series | None = panel.covariates.get(name, getattr(panel, name, None))
    if found is None:
        return np.full(panel.close.shape, np.nan)
    if found.dtype.kind == "M":
        found = found.astype("datetime64[us]", copy=False).view(np.int64)
    return found if found.flags.writeable and found.flags.c_contiguous else found.copy()


def maker(step: Feature) -> Feature:
    """Return the step whose call writes this one's values."""
    if step.part is None:
        return step
    (source,) = step.inputs
    assert isinstance(source, Feature)  # noqa: S101  # a part has the step that it belongs to as its only input
    return source


class Place(NamedTuple):
    """Where a step's values lie: in a buffer, as the series of that number."""

    buffer: int
    part: int = 0


class Size(NamedTuple):
    """What a buffer holds: so many series; of whole rows, or of columns that no other block of columns needs."""

    parts: int
    shared: bool


def placed(steps: list[Feature], *, apart: bool = False) -> tuple[dict[str, Place], list[Size]]:
    """Return the place of each step, and what each buffer holds.

    A buffer that nobody will read again is handed to the next step that needs one like it; where steps that compare symbols run
    `apart`, at the same time, only after all of them.
    """
    called = [step for step in steps if step.part is None]
    ends, shared = _ends(steps, called, apart=apart), _shared(steps)
    places: dict[str, Place] = {}
    sizes: list[Size] = []
    free: dict[Size, list[int]] = {}
    for i, step in enumerate(called):
        size = Size(step.parts, step.name in shared)
        spare = free.setdefault(size, [])
        if not spare:
            spare.append(len(sizes))
            sizes.append(size)
        places[step.name] = Place(spare.pop())
        for name in ends.get(i, ()):
            free.setdefault(sizes[places[name].buffer], []).append(places[name].buffer)
    parts = {step.name: Place(places[maker(step).name].buffer, step.part) for step in steps if step.part is not None}
    return places | parts, sizes


def _shared(steps: list[Feature]) -> set[str]:
    """Return the makers of what whole rows are made into, or of."""
    rowwise = [step for step in steps if step.whole_row]
    read = {maker(source).name for step in rowwise for source in step.inputs if isinstance(source, Feature)}
    return read | {step.name for step in rowwise}


def _ends(steps: list[Feature], called: list[Feature], *, apart: bool) -> dict[int, list[str]]:
    """Return for each call the makers whose values nobody reads after it."""
    until = list(range(len(called)))
    for i in reversed(range(len(called) - 1) if apart else ()):
        until[i] = until[i + 1] if called[i].whole_row and called[i].stage == called[i + 1].stage else i
    makers = {step.name: maker(step).name for step in steps}
    last = {step.name: until[i] for i, step in enumerate(called)}
    for i, step in enumerate(called):
        last |= {makers[source.name]: until[i] for source in step.inputs if isinstance(source, Feature)}
    ends: dict[int, list[str]] = {}
    for name, i in last.items():
        ends.setdefault(i, []).append(name)
    return ends
