"""Tft: a Temporal Fusion Transformer that forecasts quantiles of what tells symbols apart, over several horizons at once.

Its last horizon is the market's: the median there is the ranking score, the distance between its outer quantiles the width. The
nearer horizons are learned beside it, and can be asked for. What a feature's name says is static tells it one symbol from another;
all else it reads over time.
"""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from domain.error import ModelError
from domain.forecast import LEVELS, MEDIAN
from domain.panel import FloatArray
from domain.params import Hardware, Training
from models.contract import Dataset, Float32Array, IntArray
from models.forward import Stream, Weights
from models.forward.statics import Situated, Statics
from models.forward.transformer import Transformer
from models.inputs import Places
from models.neural import Neural
from models.schooling import Schooling
from models.shape import Lesson, Shape, ratio

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from models.networks.learner import Objective
    from models.networks.tft import Architecture as Library

#: The narrowest that a forecast may be, in volatilities of the horizon.
WIDTH_MIN = 0.1


@dataclass(frozen=True)
class Architecture:
    """What decides the network, apart from its weights and the features that it reads."""

    context: int
    hidden: int
    continuous: int
    heads: int
    dropout: float


@dataclass(frozen=True)
class Insight:
    """What the network says of itself; empty before it has learned."""

    taken: tuple[float, ...] = ()
    """Share of each feature in what its encoder took, of static ones in what tells symbols apart."""
    attention: tuple[float, ...] = ()
    """Share of each row of the context in what its last horizon attended to, the oldest first."""


class Tft(Neural):
    """The transformer behind the one contract; see the module."""

    family = "tft"

    def __init__(self, architecture: Architecture, schooling: Schooling, horizon: int, hardware: Hardware | None = None) -> None:
        super().__init__(schooling, horizon, hardware)
        self.architecture = architecture
        self.horizons: tuple[int, ...] = (horizon,)
        self.insight = Insight()
        self._folded: tuple[Weights, Transformer, Statics | None] | None = None

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return an unfitted network."""
        told = training.tft
        chosen = Architecture(told.context, told.hidden, told.continuous, told.heads, told.dropout)
        model = cls(chosen, Schooling.of(told, training.seed), horizon, training.hardware)
        model.rounds = rounds or 0
        return model

    @property
    def context_bars(self) -> int:
        """Rows that the encoder reads."""
        return self.architecture.context

    def fit(self, dataset: Dataset, train: IntArray, valid: IntArray, checkpoint: "Path | None" = None) -> None:
        """Learn all horizons of the dataset; see the contract. Raises ModelError for fewer than two features that vary."""
        varying = [dataset.names[place] for place in Places.of(dataset.names).varying]
        if len(varying) < 2:
            raise ModelError(f"a transformer chooses among features that vary, two or more, but got {', '.join(varying) or 'none'}")
        self.horizons = (*sorted(dataset.nearer), dataset.horizon)
        super().fit(dataset, train, valid, checkpoint)

    def fan(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, K, Q] quantiles of how far each symbol's log return over each of `horizons` will lie from its row's.

        As the network says them, without the market's own move and without calibration; NaN in rows without their context.
        """
        fan, before = np.full((*scale.shape, len(self.horizons), len(LEVELS)), np.nan), self.context_bars - 1
        if len(scale) > before:
            fan[before:] = self._outputs(features).astype(np.float64).reshape(-1, *fan.shape[1:])
        sigma = np.where(scale > 0.0, scale, np.nan)[..., None, None] * np.sqrt(np.array(self.horizons, dtype=np.float64))[:, None]
        return np.asarray(np.sort(fan, axis=-1) * sigma)

    def importance(self) -> dict[str, float]:
        """Return how much of each feature the encoder took, on average over windows that it last learned from."""
        return dict(zip(self.names, self.insight.taken, strict=True)) if self.insight.taken else {}

    @classmethod
    def _built(cls, architecture: dict[str, Any], schooling: Schooling, horizon: int) -> Self:
        told = dict(architecture)
        horizons, insight = told.pop("horizons"), told.pop("insight")
        model = cls(Architecture(**told), schooling, horizon)
        model.horizons = tuple(horizons)
        model.insight = Insight(tuple(insight["taken"]), tuple(insight["attention"]))
        return model

    def _told(self) -> dict[str, Any]:
        return {**asdict(self.architecture), "horizons": self.horizons, "insight": asdict(self.insight)}

    def network(self) -> tuple["nn.Module", "Objective"]:
        """Return the transformer, and its pinball loss."""
        from models.networks import tft

        return tft.Fused(self._library()), tft.Pinball(LEVELS)

    def _library(self) -> "Library":
        from models.networks import tft

        chosen = self.architecture
        sizes = (chosen.hidden, chosen.continuous, chosen.heads, chosen.dropout)
        return tft.Architecture(self.names, chosen.context, len(self.horizons), len(LEVELS), *sizes)

    def _learn(self, dataset: Dataset, train: IntArray, *rest: Any) -> None:
        """Learn, and note what the library says of the windows of the newest rows."""
        from models.networks import tft

        super()._learn(dataset, train, *rest)
        last = int(train.max()) + 1
        inputs = self._fitted().apply(np.asarray(dataset.features[max(last - self.context_bars, 0) : last]))
        if len(inputs) == self.context_bars:
            self.insight = Insight(*tft.insight(self._library(), self._weights, inputs.transpose(1, 0, 2)))

    def _codes(self) -> tuple[int, ...]:
        return Places.of(self.names).codes

    def _targets(self, lesson: Lesson) -> FloatArray:
        """Return how far each outcome lies from its row's, in volatilities of its horizon, the nearest horizon first."""
        return np.stack([each.apart() for each in (*lesson.nearer(), lesson)], axis=2)

    def _stream(self, symbols: int) -> Stream:
        network, statics = self._served()
        return network.stream(symbols) if statics is None else Situated(network.stream(symbols), statics)

    def _served(self) -> tuple[Transformer, Statics | None]:
        """Return the weights folded for serving, what is static apart, anew when they have changed."""
        if self._folded is None or self._folded[0] is not self._weights:
            chosen, places = self.architecture, Places.of(self.names)
            network = Transformer(self._weights, chosen.context, len(self.horizons), chosen.heads)
            self._folded = self._weights, network, Statics(self._weights, places) if places.static else None
        return self._folded[1:]

    def _read(self, outputs: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return the last horizon's median in volatilities of the row's median symbol, and the logarithm of its outer range."""
        last = np.sort(outputs[..., -len(LEVELS) :], axis=-1)
        width = np.log(np.maximum(last[..., -1] - last[..., 0], WIDTH_MIN))
        return last[..., MEDIAN] / ratio(scale), width

    def _valued(self, lesson: Lesson) -> Shape:
        """Return a shape that takes scores for returns, which they are."""
        return replace(Shape.fit(lesson), worth=1.0)
