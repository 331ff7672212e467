"""Forests whose workers are killed after some of their trees; a module of its own, so that workers can import it."""

import os
import signal
from functools import partial
from typing import Any
from unittest import mock

import xgboost
from xgboost import collective

from domain.panel import FloatArray
from models import forest
from models.forest import Plan

TREES = 3


class Dying(xgboost.callback.TrainingCallback):
    """Kills the processes of some ranks."""

    def __init__(self, *ranks: int) -> None:
        self.ranks = ranks

    def after_iteration(self, model: Any, epoch: int, evals_log: Any) -> bool:
        """Die after TREES trees."""
        if epoch == TREES and collective.get_rank() in self.ranks:
            os.kill(os.getpid(), signal.SIGKILL)
        return False


def second(matrix: xgboost.QuantileDMatrix, plan: Plan, label: FloatArray) -> bytes:
    """Grow as it is done; the second rank dies of it."""
    with mock.patch("xgboost.train", partial(xgboost.train, callbacks=[Dying(1)])):
        return forest.grow(matrix, plan, label)


def every(matrix: xgboost.QuantileDMatrix, plan: Plan, label: FloatArray) -> bytes:
    """Grow as it is done; both ranks die of it."""
    with mock.patch("xgboost.train", partial(xgboost.train, callbacks=[Dying(0, 1)])):
        return forest.grow(matrix, plan, label)
