"""Plan: what features are made from, in which order, and which buffer each step may write."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import fields
from typing import Any

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
    depth: dict[str, int] = {}
    for name, step in steps.items():
        depth[name] = max((depth[i.name] + i.whole_row for i in step.inputs if isinstance(i, Feature)), default=0)
    return sorted(steps.values(), key=lambda step: (depth[step.name], step.whole_row))


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


def made(step: Feature, rows: Series) -> Series:
    """Return a step's buffer: [T, S], or [parts, T, S] where it writes several series."""
    return rows if step.parts > 1 else rows[0]


def recycled(
    steps: list[Feature], straight: Collection[str], rows: int, symbols: int, empty: Callable[..., Series] = np.empty
) -> Buffers:
    """Return an array for each step whose values do not go straight out, made by `empty`.

    One that nobody will read again is handed to the next step that writes as many series.
    """
    called = [step for step in steps if step.part is None]
    place = {step.name: i for i, step in enumerate(called)}
    makers = {step.name: maker(step).name for step in steps}
    readers = [(makers[source.name], i) for i, step in enumerate(called) for source in step.inputs if isinstance(source, Feature)]
    needed = place | dict(sorted(readers, key=lambda reader: reader[1]))
    buffers: Buffers = {}
    free: dict[int, list[Series]] = {}
    for i, step in enumerate(called):
        if step.name not in straight:
            spare = free.setdefault(step.parts, [])
            buffers[step.name] = spare.pop() if spare else made(step, empty((step.parts, rows, symbols)))
        for done in [other for other in called[: i + 1] if needed[other.name] == i and other.name in buffers]:
            free.setdefault(done.parts, []).append(buffers[done.name])
    return buffers | {step.name: buffers[makers[step.name]][step.part] for step in steps if step.part is not None}
