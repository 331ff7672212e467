"""Fitting: a network through Lightning's trainer, with early stopping, and going on after a kill."""

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Callback, EarlyStopping, ModelCheckpoint
from torch import nn

from models.networks.learner import Learner, Objective, Schedule
from models.networks.strips import Batch, Strips

LAST = "last.ckpt"
KEPT: dict[str, Any] = {"save_on_train_epoch_end": True, "enable_version_counter": False}
#: An improvement of the validation loss smaller than this share of nothing learned is none.
DELTA_MIN = 1e-5


@dataclass(frozen=True)
class Course:
    """How long and on what a network is fitted, beside the schedule of its steps."""

    passes: int
    """Passes after which it ends, at the latest."""
    patience: int
    """Passes without improvement on `valid` after which it ends."""
    batch: int
    """Rows and symbols in one step, in all processes together."""
    seed: int
    devices: int = 1
    nodes: int = 1


@dataclass(frozen=True)
class Fitted:
    """What a fit found."""

    passes: int
    """Passes that the kept weights took."""
    valid: tuple[float, ...]
    """Validation loss after each pass; empty without validation."""


class _History(Callback):
    """Count the passes and remember their validation losses, through a checkpoint as well."""

    def __init__(self) -> None:
        self.passes = 0
        self.valid: list[float] = []

    def on_validation_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.valid.append(float(trainer.callback_metrics["valid"]))

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.passes += 1

    def state_dict(self) -> dict[str, Any]:
        return {"passes": self.passes, "valid": self.valid}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.passes, self.valid = int(state_dict["passes"]), list(state_dict["valid"])


class _Train:
    """A pass's batches, whenever the trainer asks.

    Their order and the network's chance follow from the number of the pass, so that a resumed run draws them again. The trainer's
    own number is still the last run's when it first asks.
    """

    def __init__(self, strips: Strips, course: Course, history: _History, learner: Learner) -> None:
        self._strips, self._course, self._history, self._learner = strips, course, history, learner

    def __iter__(self) -> Iterator[Batch]:
        trainer, rng = self._learner.trainer, np.random.default_rng([self._course.seed, self._history.passes])
        torch.manual_seed(int(rng.integers(2**62)) + trainer.global_rank)
        return self._strips.epoch(self._course.batch, rng, trainer.global_rank, trainer.world_size)


class _Valid:
    """The batches that early stopping watches, in one order always."""

    def __init__(self, strips: Strips, batch: int) -> None:
        self._strips, self._batch = strips, batch

    def __iter__(self) -> Iterator[Batch]:
        return self._strips.epoch(self._batch, np.random.default_rng(0))


def fit(
    network: nn.Module,
    objective: Objective,
    schedule: Schedule,
    course: Course,
    train: Strips,
    valid: Strips | None,
    checkpoint: Path | None = None,
) -> Fitted:
    """Fit `network` in place to the strips of `train`; with `valid` it keeps the weights that were best there.

    `checkpoint` is a folder in which every pass leaves what the next needs: a fit that was killed goes on from there, to the same
    bits as one that was not.
    """
    learner = Learner(network, objective, schedule)
    with _quiet(), _folder(checkpoint) as place:
        history = _History()
        # The trainer's own `save_last` leaves out the passes that were not the best.
        best = [ModelCheckpoint(place, filename="best", monitor="valid", **KEPT)] if valid else []
        last = ModelCheckpoint(place, filename=Path(LAST).stem, **KEPT)
        stop = [EarlyStopping("valid", min_delta=DELTA_MIN, patience=course.patience, check_finite=False)] if valid else []
        trainer = lightning.Trainer(
            accelerator="gpu" if train.device.type == "cuda" else "cpu",
            devices=course.devices,
            num_nodes=course.nodes,
            strategy="ddp_find_unused_parameters_true" if course.devices * course.nodes > 1 else "auto",
            max_epochs=course.passes,
            callbacks=[history, *stop, *best, last],
            logger=False,
            enable_progress_bar=False,
            enable_model_summary=False,
            use_distributed_sampler=False,
            num_sanity_val_steps=0,
        )
        begun = place / LAST
        trainer.fit(
            learner,
            _Train(train, course, history, learner),
            _Valid(valid, course.batch) if valid else None,
            ckpt_path=str(begun) if begun.exists() else None,
            weights_only=True,
        )
        for kept in best:
            _restore(learner, Path(kept.best_model_path))
        return Fitted(int(np.argmin(history.valid)) + 1 if history.valid else course.passes, tuple(history.valid))


def _restore(learner: Learner, best: Path) -> None:
    learner.load_state_dict(torch.load(best, weights_only=True, map_location=learner.device)["state_dict"])


@contextmanager
def _folder(checkpoint: Path | None) -> Iterator[Path]:
    if checkpoint is not None:
        checkpoint.mkdir(parents=True, exist_ok=True)
        yield checkpoint
        return
    with TemporaryDirectory() as place:
        yield Path(place)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Lightning's tips to itself, its advice on loaders, as batches come from no loader, and cuDNN's on memory."""
    names = ("lightning.pytorch", "lightning.fabric", "lightning.pytorch.utilities.rank_zero")
    loggers = [logging.getLogger(name) for name in names]
    levels = [each.level for each in loggers]
    for each in loggers:
        each.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="lightning")
        # Parameters are views of one vector, which the optimiser wants; on a GPU a recurrent layer gathers its own at each call.
        warnings.filterwarnings("ignore", message="RNN module weights are not part of single contiguous chunk")
        try:
            yield
        finally:
            for each, level in zip(loggers, levels, strict=True):
                each.setLevel(level)
