"""Run the catalogue on numba's simulated GPU, in a process of its own: the simulator is chosen when numba is imported.

`python -m tests.features.simulated_gpu FILE` writes what `values` gives.
"""

import sys
import warnings

import numpy as np

from domain.panel import FloatArray, Panel
from features import catalog
from tests.features import panels

SYMBOLS, BARS, CUT = 3, 75, 50
#: Bytes that one of the engines may take of the device: those of some twenty rows.
MEMORY = 1_500_000


def panel() -> Panel:
    """Return a small panel with gaps, whose covariates are known here and there."""
    return panels.covered(panels.random(BARS, SYMBOLS, 17, 0.1))


def values() -> dict[str, FloatArray]:
    """Return the features of two calls, and of a call that went on from the state between them."""
    from features.cuda import CudaEngine

    first, second = (CudaEngine(catalog.CATALOG, SYMBOLS, precision=np.float64, memory=memory) for memory in (MEMORY, None))
    whole = panel()
    before = first.advance(whole.rows(0, CUT))
    second.restore(first.state())
    assert 10 < first._reserved(CUT, np.dtype(np.float64)).rows < CUT / 2
    after = second.advance(whole.rows(CUT, BARS))
    return {"values": np.concatenate([before, after])}


if __name__ == "__main__":
    # Without compilation the arithmetic of missing bars is numpy's, which speaks up.
    warnings.simplefilter("ignore", RuntimeWarning)
    np.savez(sys.argv[1], **values())
