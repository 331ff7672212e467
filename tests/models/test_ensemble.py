"""An ensemble keeps the contract, and its weights go to whoever shows something."""

import numpy as np
import pytest

from domain.forecast import LEVELS
from models import ensemble
from tests.models.contract import ModelContract


class TestEnsemble(ModelContract):
    """Trees and a sequence network behind the contract."""

    family = "ensemble"
