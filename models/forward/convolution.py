"""The causal convolutional network, bar by bar.

A layer reads two rows of the one below, the newest and one before it: what was made of earlier bars is held, so that a bar costs
one row a layer instead of its whole context.
"""

from typing import NamedTuple, Self

import numpy as np

from domain.compiled import routine
from models.contract import Float32Array
from models.forward import Weights
from models.forward.layers import LANES, blocks, copied, dense, filled, laid, lifted, normed, rectified, single


class Layers(NamedTuple):
    """The network's weights, folded."""

    enter: Float32Array
    """[h, F]"""
    enter_bias: Float32Array
    older: Float32Array
    """[layers, h, h] what is made of the older row of each pair."""
    newer: Float32Array
    bias: Float32Array
    """[layers, h]"""
    norm: Float32Array
    """[2, h] weight and bias."""
    leave: Float32Array
    """[2, h]"""
    leave_bias: Float32Array

    @classmethod
    def of(cls, weights: Weights) -> Self:
        """Fold the weights of `networks.sequence.Convolutional`."""
        count = sum(name.startswith("pairs.") and name.endswith(".weight") for name in weights)
        pairs = np.stack([weights[f"pairs.{depth}.weight"].T for depth in range(count)])
        size = pairs.shape[1]
        return cls(
            enter=single(weights["enter.weight"].T),
            enter_bias=weights["enter.bias"],
            older=single(pairs[..., :size]),
            newer=single(pairs[..., size:]),
            bias=np.stack([weights[f"pairs.{depth}.bias"] for depth in range(count)]),
            norm=np.stack((weights["norm.weight"], weights["norm.bias"])),
            leave=single(weights["leave.weight"].T),
            leave_bias=weights["leave.bias"],
        )


@routine
def enter(
    x: Float32Array, net: Layers, bar: int, held: Float32Array, room: Float32Array, norms: Float32Array, out: Float32Array
) -> None:
    """Put the features of a bar, `x` [B, F, LANES], through all layers into answers `out` [B, 2, LANES].

    Layer k holds its 2^k newest inputs in `held` [B, 2^layers - 1, h, LANES], bar by bar in turn: where a bar is written lay the
    one that it is paired with. `room` [2, h, LANES] and `norms` [2, LANES] are room.
    """
    now, after = room[0], room[1]
    for b in range(x.shape[0]):
        filled(net.enter_bias, after)
        dense(x[b], net.enter, after)
        now[:] = np.float32(0.0)
        rectified(after, now)
        for k in range(net.bias.shape[0]):
            then = held[b, 2**k - 1 + bar % 2**k]
            filled(net.bias[k], after)
            dense(then, net.older[k], after)
            dense(now, net.newer[k], after)
            copied(now, then)
            rectified(after, now)
        normed(net.norm, norms, now)
        filled(net.leave_bias, out[b])
        dense(now, net.leave, out[b])


class Convolution:
    """The network over the bars of one universe; see `models.forward.Stream`."""

    def __init__(self, weights: Weights, symbols: int) -> None:
        self._net, self._symbols, self._bar = Layers.of(weights), symbols, 0
        count, (layers, size) = blocks(symbols), self._net.bias.shape
        self._inputs = np.zeros((count, self._net.enter.shape[1], LANES), dtype=np.float32)
        self._held = np.zeros((count, 2**layers - 1, size, LANES), dtype=np.float32)
        self._room = np.zeros((2, size, LANES), dtype=np.float32)
        self._norms = np.zeros((2, LANES), dtype=np.float32)
        self._out = np.zeros((count, self._net.leave.shape[0], LANES), dtype=np.float32)

    def enter(self, row: Float32Array) -> None:
        """Take in scaled features [S, F] of the next bar."""
        laid(row, self._inputs)
        enter(self._inputs, self._net, self._bar, self._held, self._room, self._norms, self._out)
        self._bar += 1

    def said(self) -> Float32Array:
        """Return [S, 2] what the network says of the newest bar."""
        out = np.empty((self._symbols, self._out.shape[1]), dtype=np.float32)
        lifted(self._out, out)
        return out
