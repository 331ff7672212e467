"""School: from a dataset's arrays to a network's weights, on the hardware that was asked for."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from domain.error import ModelError
from domain.panel import FloatArray
from domain.params import Hardware
from models.contract import Float32Array, IntArray
from models.forward import Weights
from models.inputs import Scaler
from models.networks import device as devices
from models.networks import fitting
from models.networks.fitting import Course
from models.networks.learner import Objective, Schedule
from models.networks.strips import Strips
from models.schooling import Schooling

#: Returns a network with its first weights, and what it is asked for.
Build = Callable[[], tuple[nn.Module, Objective]]
#: Largest norm of a gradient.
CLIP_NORM = 1.0
PROCESSOR = Hardware(device="cpu", devices=1, nodes=1, bf16=False, graph=False, compile=False, workers=1)


@dataclass(frozen=True)
class Lessons:
    """What there is to learn from."""

    features: Float32Array
    """[T, S, F]"""
    targets: FloatArray
    """[T, S, K], NaN where there is none."""
    train: IntArray
    valid: IntArray
    """Rows to stop by; empty to learn for as long as is asked."""
    scaler: Scaler
    context: int


@dataclass(frozen=True)
class Plan:
    """How it is learned this time."""

    schooling: Schooling
    rate: float
    passes: int
    hardware: Hardware | None = None


@dataclass(frozen=True)
class Taught:
    """What a network has learned."""

    weights: Weights
    passes: int
    """Passes that the kept weights took."""
    curve: tuple[float, ...]
    """Validation loss after each pass."""


def teach(build: Build, lessons: Lessons, plan: Plan, weights: Weights, checkpoint: Path | None = None) -> Taught:
    """Fit the network that `build` draws, from `weights` where there are any; raise ModelError when they end as no numbers.

    The first weights and every order of samples follow from the seed.
    """
    hardware, school = plan.hardware or PROCESSOR, plan.schooling
    device = devices.chosen(hardware.device)
    with devices.reproducible(school.seed, device):
        network, objective = build()
        if weights:
            network.load_state_dict(tensors(weights))
        train, valid = (_strips(lessons, rows, school.span, device) for rows in (lessons.train, lessons.valid))
        if train is None:
            raise ModelError(
                f"a network was to learn from {len(lessons.train)} bars, but none has {lessons.context} bars before it"
            )
        schedule = Schedule(
            school.epochs * train.steps(school.batch),
            plan.rate,
            school.decay,
            CLIP_NORM,
            bf16=hardware.bf16,
            graph=hardware.graph,
            compiled=hardware.compile,
        )
        course = Course(plan.passes, school.patience, school.batch, school.seed, hardware.devices, hardware.nodes)
        fitted = fitting.fit(network, objective, schedule, course, train, valid, checkpoint)
    learned = arrays(network)
    if not all(np.isfinite(each).all() for each in learned.values()):
        raise ModelError("a network was fitted, but its weights are not finite numbers: learn with a smaller rate")
    return Taught(learned, fitted.passes, fitted.valid)


def arrays(network: nn.Module) -> Weights:
    """Return a network's weights as plain arrays, matrices as [inputs, outputs]."""
    return {name: _turned(value.detach().cpu().float()).numpy() for name, value in network.state_dict().items()}


def tensors(weights: Weights) -> dict[str, Tensor]:
    """Return plain arrays as torch holds them."""
    return {name: _turned(torch.from_numpy(value)) for name, value in weights.items()}


def _turned(value: Tensor) -> Tensor:
    return value.T.contiguous() if value.ndim == 2 else value.contiguous()


def _strips(lessons: Lessons, rows: IntArray, span: int, device: torch.device) -> Strips | None:
    """Return the strips of `rows`, or None when not one of them has its context and a target."""
    usable = rows[rows >= lessons.context - 1]
    if not len(usable) or not np.isfinite(lessons.targets[usable]).any():
        return None
    return Strips(lessons.features, lessons.targets, usable, lessons.scaler, context=lessons.context, span=span, device=device)
