"""Sequence networks: from strips of features to a ranking score and a log width for each row."""

import torch
from torch import Tensor, nn

SCORE, WIDTH = 0, 1


class Convolutional(nn.Module):
    """A stack of causal convolutions over two rows each, the distance between them doubling from layer to layer.

    van den Oord et al. 2016, WaveNet, arXiv 1609.03499, 2.1, with residual connections and without gates. What a forecast reads is
    exactly 2^layers rows.
    """

    def __init__(self, features: int, hidden: int, layers: int, dropout: float) -> None:
        super().__init__()
        self.context = 2**layers
        self.enter = nn.Linear(features, hidden)
        self.pairs = nn.ModuleList(nn.Linear(2 * hidden, hidden) for _ in range(layers))
        self.dropout = nn.Dropout(dropout)
        self.norm = nn.LayerNorm(hidden)
        self.leave = _silent(nn.Linear(hidden, 2))

    def forward(self, strips: Tensor) -> Tensor:
        """Return [B, span, 2] scores and log widths of strips [B, context + span - 1, F]."""
        held = torch.relu(self.enter(strips))
        for depth, pair in enumerate(self.pairs):
            apart = 2**depth
            older, newer = held[:, :-apart], held[:, apart:]
            held = newer + torch.relu(pair(self.dropout(torch.cat((older, newer), dim=2))))
        left: Tensor = self.leave(self.norm(held))
        return left


def _silent(layer: nn.Linear) -> nn.Linear:
    """Return the layer with zeros for weights: a network begins by forecasting nothing."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


def squared(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return [B, span, 2] squared errors of score and log width."""
    return (outputs - targets) ** 2
