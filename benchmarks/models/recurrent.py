"""Recurrent: the architecture that the sequence network was chosen against, a GRU over the same rows with the same two answers."""

from collections import deque
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.contract import Float32Array
from models.forward import Stream
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

    def _stream(self, symbols: int) -> Stream:
        network = self.network()[0].eval()
        network.load_state_dict(school.tensors(self._weights))
        return Windows(network)


class Windows:
    """A network of torch over the bars of one universe, all of a window anew at each; see `models.forward.Stream`."""

    def __init__(self, network: Recurrent) -> None:
        self._network = network
        self._rows: deque[Float32Array] = deque(maxlen=network.context)

    def enter(self, row: Float32Array) -> None:
        """Take in scaled features [S, F] of the next bar."""
        self._rows.append(row)

    def said(self) -> Float32Array:
        """Return [S, 2] what the network says of the newest bar."""
        with torch.inference_mode():
            out: Float32Array = self._network(torch.from_numpy(np.stack(self._rows, axis=1)))[:, -1].numpy()
        return out
