"""Sequence: a causal convolutional network that learns each row's ranking and how widely it misses."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from domain.panel import FloatArray
from domain.params import Training
from models.forward import Stream
from models.forward.convolution import Convolution
from models.neural import Neural
from models.schooling import Schooling
from models.shape import MISS_SIGMA_MIN, Lesson

if TYPE_CHECKING:
    from torch import nn

    from models.networks.learner import Objective


@dataclass(frozen=True)
class Architecture:
    """What decides the network, apart from its weights."""

    layers: int
    hidden: int
    dropout: float


class Sequence(Neural):
    """A causal convolutional network behind the one contract; see `models.neural`."""

    family = "sequence"

    def __init__(self, architecture: Architecture, schooling: Schooling, horizon: int, hardware: Any = None) -> None:
        super().__init__(schooling, horizon, hardware)
        self.architecture = architecture

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return an unfitted network."""
        told = training.sequence
        model = cls(
            Architecture(told.layers, told.hidden, told.dropout), Schooling.of(told, training.seed), horizon, training.hardware
        )
        model.rounds = rounds or 0
        return model

    @property
    def context_bars(self) -> int:
        """Two rows to the power of its layers."""
        return int(2**self.architecture.layers)

    @classmethod
    def _built(cls, architecture: dict[str, Any], schooling: Schooling, horizon: int) -> Self:
        return cls(Architecture(**architecture), schooling, horizon)

    def _told(self) -> dict[str, Any]:
        return asdict(self.architecture)

    def network(self) -> tuple["nn.Module", "Objective"]:
        """Return the convolutional network, and its squared errors."""
        from models.networks import sequence

        chosen = self.architecture
        return sequence.Convolutional(len(self.names), chosen.hidden, chosen.layers, chosen.dropout), sequence.squared

    def _targets(self, lesson: Lesson) -> FloatArray:
        """Return the normal score of each rank, and the logarithm of how far the outcome lies from its row's."""
        return np.stack((lesson.target(), np.log(np.abs(lesson.apart()) + MISS_SIGMA_MIN)), axis=2)

    def _stream(self, symbols: int) -> Stream:
        return Convolution(self._weights, symbols)

    def _read(self, outputs: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
        return outputs[..., 0], outputs[..., 1]
