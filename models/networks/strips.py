"""Strips: batches gathered by index from a panel that stays where it is computed with.

A strip is `span` neighbouring rows of one symbol that are forecast side by side, with the context that the first of them reads.
Windows of neighbours share all but one row, so whatever a network does row by row is done once a strip instead of once a window:
with 32 rows of context and 16 in a strip 47 rows instead of 512. No sample is ever assembled in Python.

A panel larger than its budget is cut along time into blocks; a block is resident while the strips that end in it are drawn.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from domain.panel import FloatArray
from models.contract import BoolArray, Float32Array, IntArray
from models.inputs import Scaler

#: Bytes that a panel may take where it is computed with, before it is cut into blocks.
BUDGET_BYTES = 4 * 1024**3


@dataclass(frozen=True)
class Batch:
    """What a network is handed."""

    inputs: Tensor
    """[B, context + span - 1, F] float32"""
    targets: Tensor
    """[B, span, K] float32, NaN where there is none."""


@dataclass(frozen=True)
class _Block:
    """A resident piece of the panel, symbol by symbol, with context before its rows and padding after them."""

    inputs: Tensor
    """[S * L, F]"""
    targets: Tensor
    """[S * L, K]"""
    known: BoolArray
    """[S, L] where any target is known."""
    length: int
    """L = context - 1 + rows + span."""


class Strips:
    """The strips of some rows of a panel; see the module."""

    def __init__(
        self,
        features: Float32Array,
        targets: FloatArray,
        rows: IntArray,
        scaler: Scaler,
        *,
        context: int,
        span: int,
        device: torch.device,
        budget_bytes: int = BUDGET_BYTES,
    ) -> None:
        """Take features [T, S, F] and targets [T, S, K] of which `rows` are learned from; context may come from any row before."""
        self._features, self._targets, self._scaler = features, targets, scaler
        self._rows = np.zeros(len(features), dtype=np.bool_)
        self._rows[rows] = True
        self.context, self.span, self.device = context, span, device
        first, last = int(rows.min()), int(rows.max()) + 1
        row_bytes = 4 * features.shape[1] * (features.shape[2] + targets.shape[2])
        count = max(math.ceil((last - first) * row_bytes / budget_bytes), 1)
        self._cuts = np.linspace(first, last, count + 1).astype(np.int64)
        self._held = lru_cache(maxsize=1)(self._load)

    @property
    def blocks(self) -> int:
        """How many pieces the panel is cut into; one stays resident for good."""
        return len(self._cuts) - 1

    @property
    def samples(self) -> int:
        """Rows and symbols with a target."""
        known = np.isfinite(self._targets).any(axis=2) & self._rows[:, None]
        return int(known.sum())

    def epoch(self, batch: int, rng: np.random.Generator, rank: int = 0, ranks: int = 1) -> Iterator[Batch]:
        """Yield every sample about once, in batches of `batch` rows-and-symbols in all ranks together, in an order of `rng`.

        Every rank draws the same order and takes its own share of each batch. Batches are whole, unless there is not one whole one
        in a block. Strips are cut anew each time, so that a row is not always beside the same others.
        """
        for block in rng.permutation(self.blocks):
            held = self._held(int(block))
            starts = self._starts(held, int(rng.integers(self.span)))
            starts = starts[rng.permutation(len(starts))]
            width = min(max(batch // self.span, ranks), len(starts)) // ranks * ranks
            for first in range(0, len(starts) - width + 1, max(width, 1)):
                yield self._gathered(held, starts[first + rank : first + width : ranks])

    def steps(self, batch: int) -> int:
        """Return how many batches an epoch has, give or take what a new cut changes."""
        return sum(max(len(self._starts(self._held(block), 0)) // max(batch // self.span, 1), 1) for block in range(self.blocks))

    def _starts(self, block: _Block, offset: int) -> IntArray:
        """Return [N] the places in the block's flat rows where strips with a target begin, context included."""
        symbols = len(block.known)
        places = np.arange(offset, block.length - self.context - self.span + 2, self.span)
        ahead = np.lib.stride_tricks.sliding_window_view(block.known, self.span, axis=1)
        some = ahead[:, places + self.context - 1].any(axis=2)
        flat = np.arange(symbols)[:, None] * block.length + places[None, :]
        return np.asarray(flat[some], dtype=np.int64)

    def _gathered(self, block: _Block, starts: IntArray) -> Batch:
        begin = torch.from_numpy(starts).to(self.device)
        inputs = torch.arange(self.context + self.span - 1, device=self.device)
        targets = torch.arange(self.context - 1, self.context + self.span - 1, device=self.device)
        return Batch(block.inputs[begin[:, None] + inputs], block.targets[begin[:, None] + targets])

    def _load(self, number: int) -> _Block:
        first, last = int(self._cuts[number]), int(self._cuts[number + 1])
        before, after = self.context - 1 + self.span - 1, self.span
        begin = max(first - before, 0)
        inputs = self._scaler.apply(np.asarray(self._features[begin:last]))
        targets = np.where(self._rows[first:last, None, None], self._targets[first:last], np.nan)
        padding = ((before - (first - begin), after), (0, 0), (0, 0))
        inputs = np.ascontiguousarray(np.pad(inputs, padding).transpose(1, 0, 2))
        targets = np.pad(targets, ((before, after), (0, 0), (0, 0)), constant_values=np.nan).transpose(1, 0, 2)
        # Rows that lack history are padded with centres, as missing features are: they are no samples.
        targets[:, : before + max(self.context - 1 - first, 0)] = np.nan
        symbols, length, _ = inputs.shape
        return _Block(
            torch.from_numpy(inputs).reshape(symbols * length, -1).to(self.device),
            torch.from_numpy(targets.astype(np.float32)).reshape(symbols * length, -1).to(self.device),
            np.asarray(np.isfinite(targets).any(axis=2)),
            length,
        )


def windows(strips: Tensor, context: int) -> Tensor:
    """Return [B, span, context, F] the windows of strips [B, context + span - 1, F]: a view."""
    return strips.unfold(1, context, 1).transpose(2, 3)
