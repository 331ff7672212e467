"""Neural: what all networks behind the one contract have in common.

A network is fitted by `models.networks`, which knows torch, and served by `models.forward`, which does not. Of each row and symbol
it says two things, a ranking score and a log width; `models.shape` makes quantiles of them.
"""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from domain import params
from domain.compiled import routine
from domain.error import ModelError
from domain.forecast import LEVELS
from domain.panel import FloatArray
from domain.params import Training
from models.contract import Dataset, Float32Array, IntArray
from models.forward import Stream, Weights
from models.inputs import Scaler
from models.schooling import Schooling
from models.shape import Lesson, Shape

if TYPE_CHECKING:
    from torch import nn

    from models.networks.learner import Objective

#: Fine-tuning goes on with this share of the step size that learning peaked at.
FINE_RATE = 0.1


class _Live:
    """A stream of a network with these weights, and the rows that entered it, as they were handed over."""

    def __init__(self, weights: Weights, stream: Stream, context: int, row: Float32Array) -> None:
        self.weights, self.stream = weights, stream
        self._entered = 0
        self._raw = np.empty((context, *row.shape), dtype=np.float32)

    def enter(self, raw: Float32Array, scaled: Float32Array) -> None:
        """Take in a row of features [S, F]."""
        self.stream.enter(scaled)
        self._raw[self._entered % len(self._raw)] = raw
        self._entered += 1

    def precedes(self, raw: Float32Array) -> bool:
        """Return whether `raw` [T, S, F] is one context of which all but the newest row entered last, to the last bit."""
        context = len(self._raw)
        if raw.shape != self._raw.shape or self._entered < context - 1:
            return False
        oldest = (self._entered - context + 1) % context
        return bool(_alike(self._raw.reshape(context, -1).view(np.int32), oldest, raw.reshape(context, -1).view(np.int32)))


@routine
def _alike(held: npt.NDArray[np.int32], oldest: int, rows: npt.NDArray[np.int32]) -> bool:
    """Return whether all `rows` [T, N] but the newest are those `held` [T, N] in turn from `oldest` on; missing values included."""
    last, t = rows.shape[0] - 1, 0
    while t < last and not _differ(held[(oldest + t) % held.shape[0]], rows[t]):
        t += 1
    return bool(t == last)


@routine
def _differ(one: npt.NDArray[np.int32], other: npt.NDArray[np.int32]) -> np.int32:
    found = np.int32(0)
    for n in range(one.shape[0]):
        found |= one[n] ^ other[n]
    return found


class Neural:
    """A network behind the contract; what differs from one to another is told by the methods that raise here."""

    family: ClassVar[str] = ""

    def __init__(self, schooling: Schooling, horizon: int, hardware: params.Hardware | None = None) -> None:
        self.schooling, self.horizon = schooling, horizon
        self.hardware = hardware  # where it learns: not saved
        self.rounds = 0
        self.names: tuple[str, ...] = ()
        self.curve: tuple[float, ...] = ()
        self._scaler: Scaler | None = None
        self._weights: Weights = {}
        self._live: _Live | None = None
        self._shape = Shape(0.0, 0.0, 0.0)

    @property
    def context_bars(self) -> int:
        """Rows that one forecast reads."""
        raise NotImplementedError

    def fit(self, dataset: Dataset, train: IntArray, valid: IntArray, checkpoint: Path | None = None) -> None:
        """Learn from `train`, keep the weights that were best on `valid`; see the contract."""
        self.names = dataset.names
        rows = np.concatenate([train, valid])
        lesson = Lesson.of(dataset, rows)
        self._scaler = Scaler.fit(dataset.features[train], self._codes())
        self._learn(dataset, train, valid, self.schooling.rate, self.rounds or self.schooling.epochs, checkpoint)
        shape = self._valued(lesson)
        self._shape = shape.closed(lesson, *self._said(dataset, rows))

    def fine_tune(self, dataset: Dataset, rows: IntArray, rounds: int) -> None:
        """Go on for `rounds` passes over `rows`, in small steps; what a score is worth and where quantiles lie stays."""
        before = self.rounds
        self._learn(dataset, rows, rows[:0], FINE_RATE * self.schooling.rate, rounds, None)
        self.rounds = before + rounds

    def recalibrate(self, forecasts: FloatArray, outcome: FloatArray) -> None:
        """Refit the quantiles of the miss; the network and what its score is worth stay."""
        self._shape = self._shape.recalibrated(forecasts, outcome, self.horizon)

    def predict(self, features: Float32Array, scale: FloatArray) -> FloatArray:
        """Return [T, S, Q] quantiles; see the contract."""
        score, width = self._answers(features, scale)
        told, quantiles = slice(self.context_bars - 1, None), np.full((*scale.shape, len(LEVELS)), np.nan)
        said = score[told], width[told], features[told], scale[told]
        quantiles[told] = self._shape.forecast(*said, self.names, self.horizon)
        return quantiles

    def importance(self) -> dict[str, float]:
        """Return nothing: a network that does not tell what it looks at."""
        return {}

    def save(self, folder: Path) -> None:
        """Write model.json and weights.safetensors."""
        folder.mkdir(parents=True, exist_ok=True)
        kept = {"family": self.family, "horizon": self.horizon, "rounds": self.rounds, "names": self.names, "curve": self.curve}
        kept |= {"schooling": asdict(self.schooling), "shape": asdict(self._shape), "architecture": self._told()}
        (folder / "model.json").write_text(json.dumps(kept, sort_keys=True) + "\n", encoding="utf-8")
        scaler = self._fitted()
        save_file({**self._weights, "scaler.centre": scaler.centre, "scaler.width": scaler.width}, folder / "weights.safetensors")

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what `save` wrote."""
        kept = json.loads((folder / "model.json").read_text(encoding="utf-8"))
        model = cls._built(kept["architecture"], Schooling(**kept["schooling"]), int(kept["horizon"]))
        model.rounds, model.names, model.curve = int(kept["rounds"]), tuple(kept["names"]), tuple(kept["curve"])
        model._shape = Shape.told(kept["shape"])
        weights = load_file(folder / "weights.safetensors")
        model._scaler = Scaler(weights.pop("scaler.centre"), weights.pop("scaler.width"))
        model._weights = weights
        return model

    @classmethod
    def create(cls, training: Training, horizon: int, rounds: int | None = None) -> Self:
        """Return an unfitted network."""
        raise NotImplementedError

    @classmethod
    def _built(cls, architecture: dict[str, Any], schooling: Schooling, horizon: int) -> Self:
        raise NotImplementedError

    @classmethod
    def described(cls, told: dict[str, Any], schooling: Schooling) -> Self:
        """Return the unfitted model that `_described` told of, in another process."""
        model = cls._built(told["architecture"], schooling, int(told["horizon"]))
        model.names = tuple(told["names"])
        return model

    def _described(self) -> dict[str, Any]:
        kind = type(self)
        told = {"class": f"{kind.__module__}:{kind.__qualname__}", "architecture": self._told()}
        return told | {"horizon": self.horizon, "names": self.names}

    def _told(self) -> dict[str, Any]:
        """Return the architecture, as `_built` takes it."""
        raise NotImplementedError

    def network(self) -> tuple["nn.Module", "Objective"]:
        """Return torch's network for the named features, unfitted, and what it is asked for."""
        raise NotImplementedError

    def _codes(self) -> tuple[int, ...]:
        """Return the places of features that the network takes for classes; all others are numbers to it."""
        return ()

    def _targets(self, lesson: Lesson) -> FloatArray:
        """Return [T, S, K] what the network learns of a lesson, NaN where it is not known; a row's targets come from that row."""
        raise NotImplementedError

    def _stream(self, symbols: int) -> Stream:
        """Return the network, as it was learned, over the bars of so many symbols."""
        raise NotImplementedError

    def _read(self, outputs: FloatArray, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return score and log width [T, S] of outputs [T, S, O]."""
        raise NotImplementedError

    def _valued(self, lesson: Lesson) -> Shape:
        """Return what scores are worth on a lesson, quantiles still open."""
        return Shape.fit(lesson)

    def _learn(self, dataset: Dataset, train: IntArray, valid: IntArray, rate: float, passes: int, checkpoint: Path | None) -> None:
        from models.networks import ranks, school

        seen = np.arange(int(max(train.max(), valid.max(initial=0))) + 1)
        targets = self._targets(Lesson.of(dataset, seen))
        lessons = school.Lessons(dataset.features[: len(seen)], targets, train, valid, self._fitted(), self.context_bars)
        told = school.Plan(self.schooling, rate, passes, self.hardware)
        alone = self.hardware is None or self.hardware.devices * self.hardware.nodes == 1
        if alone:
            taught = school.teach(self.network, lessons, told, self._weights, checkpoint)
        else:
            taught = ranks.fit(self._described(), lessons, told, self._weights, checkpoint)
        self._weights, self.rounds, self.curve = taught.weights, taught.passes, taught.curve

    def _said(self, dataset: Dataset, rows: IntArray) -> tuple[FloatArray, FloatArray]:
        """Return score and log width of `rows`, each read with the rows before it."""
        first = max(int(rows.min()) - self.context_bars + 1, 0)
        last = int(rows.max()) + 1
        answers = self._answers(dataset.features[first:last], dataset.scale[first:last])
        return answers[0][rows - first], answers[1][rows - first]

    def _answers(self, features: Float32Array, scale: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return score and log width [T, S], NaN in rows without their context."""
        before = self.context_bars - 1
        score, width = np.full(scale.shape, np.nan), np.full(scale.shape, np.nan)
        if len(scale) > before:
            score[before:], width[before:] = self._read(self._outputs(features).astype(np.float64), scale[before:])
        return score, width

    def _outputs(self, features: Float32Array) -> Float32Array:
        """Return [T - context + 1, S, O] what the network says of each row that has its context, one at least.

        A live bar comes with its context, of which all but the newest row was there a bar ago: it costs one row.
        """
        raw = np.ascontiguousarray(features, dtype=np.float32)
        live, first = self._following(raw)
        said = []
        for t in range(first, len(raw)):
            live.enter(raw[t], self._fitted().apply(raw[t]))
            if t >= self.context_bars - 1:
                said.append(live.stream.said())
        return np.stack(said)

    def _following(self, raw: Float32Array) -> tuple[_Live, int]:
        """Return the stream that rows [T, S, F] go into, and the first of them that it has not taken in."""
        held = self._live
        if held is not None and held.weights is self._weights and held.precedes(raw):
            return held, len(raw) - 1
        self._live = _Live(self._weights, self._stream(raw.shape[1]), self.context_bars, raw[0])
        return self._live, 0

    def _fitted(self) -> Scaler:
        if self._scaler is None:
            raise ModelError(f"a model of family '{self.family}' was asked before it was fitted: call fit or load first")
        return self._scaler
