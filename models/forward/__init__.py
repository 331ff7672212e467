"""Forward: networks as they are served, compiled and without their library.

A sample's result depends on that sample alone, to the last bit: sums run over inputs in their order, and what is side by side in
SIMD are the outputs. Libraries split a product by the size of its batch, so that a forecast would depend on what else was asked.
All arrays are float32, C-contiguous; weights are [inputs, outputs].
"""

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]
