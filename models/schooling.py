"""Schooling: how a network learns, as a section of the parameters says."""

from dataclasses import dataclass
from typing import Self

from domain import params


@dataclass(frozen=True)
class Schooling:
    """How a network learns, whatever it is."""

    epochs: int
    patience: int
    batch: int
    span: int
    rate: float
    decay: float
    seed: int

    @classmethod
    def of(cls, section: params.Network, seed: int) -> Self:
        """Return what a section of the parameters says."""
        return cls(section.epochs, section.patience, section.batch, section.span, section.rate, section.decay, seed)
