"""Recurrent: the architecture that the sequence network was chosen against, a GRU over the same rows with the same two answers."""

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.contract import Float32Array
from models.networks import school, sequence
from models.networks.strips import windows
from models.sequence import Sequence


class Recurrent(nn.Module):
    """A gated recurrent unit (Cho et al. 2014) over windows of the strips, from a state of zeros."""

    def __init__(self, features: int, hidden: int, context: int, dropout: float) -> None:
        super().__init__()
        self.context = context
        self.enter = nn.Linear(features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.unit = nn.GRU(hidden, hidden, batch_first=True)
        self.norm = nn.LayerNorm(hidden)
        self.leave = nn.Linear(hidden, 2)
        nn.init.zeros_(self.leave.weight)
        nn.init.zeros_(self.leave.bias)

    def forward(self, strips: Tensor) -> Tensor:
        """Return [B, span, 2] scores and log widths of strips [B, context + span - 1, F]."""
        cut = windows(self.dropout(torch.relu(self.enter(strips))), self.context)
        count, span = cut.shape[:2]
        _, last = self.unit(cut.reshape(count * span, self.context, -1))
        left: Tensor = self.leave(self.norm(self.dropout(last[0])))
        return left.reshape(count, span, 2)


class Gru(Sequence):
    """The recurrent network behind the contract, served by torch."""

    family = "gru"

    def network(self) -> Any:
        """Return the recurrent network, and its squared errors."""
        chosen = self.architecture
        return Recurrent(len(self.names), chosen.hidden, self.context_bars, chosen.dropout), sequence.squared

    def _digest(self, inputs: Float32Array) -> Float32Array:
        return inputs

    def _outputs(self, digests: Float32Array) -> Float32Array:
        bars, symbols, _ = digests.shape
        out = np.full((bars, symbols, 2), np.nan, dtype=np.float32)
        if bars >= self.context_bars:
            network = self.network()[0].eval()
            network.load_state_dict(school.tensors(self._weights))
            with torch.inference_mode():
                said = network(torch.from_numpy(np.ascontiguousarray(digests.transpose(1, 0, 2))))
            out[self.context_bars - 1 :] = said.numpy().transpose(1, 0, 2)
        return out
