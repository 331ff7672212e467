"""Forward: networks as they are served, compiled and without their library.

A sample's result depends on that sample alone, to the last bit: samples lie side by side in SIMD, a lane each, and each lane's sums
run over inputs in their order. Libraries split a product by the size of its batch, so that a forecast would depend on what else was
asked. Bars come one by one, over a history as live, so that there is one way to a forecast. All arrays are float32, C-contiguous;
weights are [inputs, outputs], once folded [outputs, inputs].
"""

from typing import Protocol

import numpy as np
import numpy.typing as npt

Weights = dict[str, npt.NDArray[np.float32]]


class Stream(Protocol):
    """A network over the bars of one universe; it holds of earlier ones what later ones read."""

    def enter(self, row: npt.NDArray[np.float32]) -> None:
        """Take in scaled features [S, F] of the next bar."""
        ...

    def said(self) -> npt.NDArray[np.float32]:
        """Return [S, O] what the network says of the newest bar, which has its context."""
        ...
