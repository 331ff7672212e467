"""Measuring: the features of a frozen panel, in units of work that one process does in turn or many do at once.

`features.npy` is made at its full size first; a unit measures some features of some symbols and writes them in their places, so
that a unit that is lost in the middle is simply done again. Features that compare symbols need all columns, others any block.
"""

import json
import mmap
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from domain.panel import PRICES, Panel
from features import catalog, engine
from pipelines.data import materialize

VALUES, DESCRIPTION = "features.npy", "features.json"
#: Values of all features that a unit measures at a time.
MEASURED = 1 << 26
#: Units for every worker: none waits long for the last one.
UNITS_A_WORKER = 3


@dataclass(frozen=True)
class Unit:
    """Some features of some symbols of a snapshot, how they are measured and where they are written."""

    snapshot: Path
    folder: Path
    families: tuple[str, ...]
    device: str
    threads: int
    places: tuple[int, ...]
    """Rows of `features.npy`: which of the families' features."""
    first: int
    last: int
    """Columns of the panel."""


#: Does every unit: `map` in this process, a cluster elsewhere.
Over = Callable[[Callable[[Unit], None], Sequence[Unit]], Iterable[None]]


def features(
    snapshot: Path,
    families: Sequence[str],
    folder: Path,
    *,
    workers: int = 1,
    over: Over = map,
    device: str = "cpu",
    threads: int = 1,
) -> None:
    """Measure the chosen families of the snapshot's panel: `features.npy` is float32 [F, T, S], its rows named in `features.json`.

    The bytes do not depend on the number of workers or threads; on another device they are the same within rounding.
    """
    chosen = catalog.select(families)
    taken = materialize.load_snapshot(snapshot)
    folder.mkdir(parents=True, exist_ok=True)
    shape = (len(chosen), taken.bars, len(taken.symbols))
    np.lib.format.open_memmap(folder / VALUES, mode="w+", dtype="<f4", shape=shape).flush()
    described = {
        "names": [feature.name for feature in chosen],
        "schema_hash": catalog.schema_hash(chosen),
        "warm_up": max((feature.warm_up for feature in chosen), default=0),
    }
    (folder / DESCRIPTION).write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    whole = Unit(snapshot, folder, tuple(families), device, threads, tuple(range(len(chosen))), 0, shape[2])
    for _ in over(measure, divided(whole, workers)):
        pass


def divided(whole: Unit, workers: int) -> list[Unit]:
    """Return units that together are the whole one, some for every worker."""
    if workers == 1:
        return [whole]
    chosen = catalog.select(whole.families)
    comparing = tuple(place for place in whole.places if chosen[place].compares)
    own = tuple(place for place in whole.places if not chosen[place].compares)
    edges = np.unique(np.linspace(whole.first, whole.last, workers * UNITS_A_WORKER + 1).astype(int)).tolist()
    blocks = [replace(whole, places=own, first=first, last=last) for first, last in pairwise(edges)] if own else []
    return blocks + [replace(whole, places=some) for i in range(workers) if (some := comparing[i::workers])]


def measure(unit: Unit) -> None:
    """Do one unit: in blocks of rows, of which the engine makes the same as of one call, to the bit."""
    panel = _columns(materialize.load_panel(unit.snapshot), unit.first, unit.last)
    every = catalog.select(unit.families)
    chosen = [every[place] for place in unit.places]
    measuring = engine.create(chosen, len(panel.symbols), device=unit.device, threads=unit.threads)
    values = np.load(unit.folder / VALUES, mmap_mode="r+", allow_pickle=False)
    start = 0
    for block in materialize.blocks(panel, max(1, MEASURED // max(1, len(chosen)))):
        measured = measuring.advance(block).transpose(2, 0, 1)
        for place, rows in zip(unit.places, measured, strict=True):
            values[place, start : start + block.bars, unit.first : unit.last] = rows
        start += block.bars
        _forget(values)


def _columns(panel: Panel, first: int, last: int) -> Panel:
    """Return some symbols of a panel, its columns contiguous."""
    if (first, last) == (0, len(panel.symbols)):
        return panel
    cut = {name: np.ascontiguousarray(values[:, first:last]) for name, values in panel.columns().items()}
    prices: dict[str, Any] = {name: cut.pop(name) for name in PRICES}
    return replace(panel, symbols=panel.symbols[first:last], **prices, covariates=cut)


def _forget(values: npt.NDArray[np.float32]) -> None:
    """Let the system write to disk what was measured and have the memory back."""
    assert isinstance(values, np.memmap)  # noqa: S101  # opened as one
    values._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]  # numpy has no other way to it


def load_features(folder: Path) -> tuple[npt.NDArray[np.float32], tuple[str, ...], str]:
    """Return features as float32 [T, S, F] (a view of the file), their names and their schema hash."""
    described = json.loads((folder / DESCRIPTION).read_text(encoding="utf-8"))
    values = np.load(folder / VALUES, mmap_mode="r", allow_pickle=False)
    return values.transpose(1, 2, 0), tuple(described["names"]), described["schema_hash"]
