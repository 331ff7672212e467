"""Tests of the engine on a GPU, or on numba's simulation of one."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from numba import cuda

from domain.error import ResourceError
from domain.panel import FloatArray
from features import catalog, engine
from features.engine import FeatureEngine
from tests.features import simulated_gpu

SIMULATED = {"NUMBA_ENABLE_CUDASIM": "1", "NUMBA_DISABLE_JIT": "1"}


def test_every_feature_equals_the_processors_on_a_simulated_gpu(tmp_path: Path) -> None:
    """Whole, cut in two, and carried over by a saved state: the same within 1e-6 relative, and NaN at the same places."""
    file = tmp_path / "values.npz"
    command = [sys.executable, "-m", "tests.features.simulated_gpu", str(file)]
    subprocess.run(command, env=os.environ | SIMULATED, cwd=Path(__file__).parents[2], check=True)

    expected = FeatureEngine(catalog.CATALOG, simulated_gpu.SYMBOLS, precision=np.float64).advance(simulated_gpu.panel())

    require_equal(np.load(file)["values"], expected)


def require_equal(found: FloatArray, expected: FloatArray) -> None:
    """Fail with the name of the first feature that lies further away than rounding can bring it."""
    for i, feature in enumerate(catalog.CATALOG):
        np.testing.assert_allclose(found[:, :, i], expected[:, :, i], rtol=1e-6, atol=1e-9, err_msg=feature.name)


@pytest.mark.skipif(cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_one_sentence() -> None:
    """Never a silent fall back to the processor."""
    with pytest.raises(ResourceError, match=r"none is to be seen here: set features\.device to cpu"):
        engine.create(catalog.select(["average"]), 3, device="cuda")


@pytest.mark.skipif(not cuda.is_available(), reason="no GPU is to be seen here")
def test_every_feature_equals_the_processors_on_the_gpu() -> None:
    """The same, on the real thing."""
    made = engine.create(catalog.CATALOG, simulated_gpu.SYMBOLS, device="cuda", precision=np.float64)
    expected = FeatureEngine(catalog.CATALOG, simulated_gpu.SYMBOLS, precision=np.float64).advance(simulated_gpu.panel())

    require_equal(made.advance(simulated_gpu.panel()), expected)
