"""The causal convolutional network, row by row and layer by layer."""

import numpy as np

from domain.compiled import routine
from models.contract import BoolArray, Float32Array
from models.forward import Weights
from models.forward.layers import dense, filled, normed, rectified


@routine
def paired(held: Float32Array, needed: BoolArray, apart: int, weight: Float32Array, bias: Float32Array, out: Float32Array) -> None:
    """Fill the `needed` rows of `out` [T, S, h] with `held` plus a causal convolution of each row and the one `apart` before.

    `weight` [2h, h]: the older row's half first.
    """
    size = bias.shape[0]
    for t in range(apart, held.shape[0]):
        if needed[t]:
            filled(bias, out[t])
            dense(held[t - apart], weight[:size], out[t])
            dense(held[t], weight[size:], out[t])
            rectified(out[t])
            for s in range(held.shape[1]):
                for o in range(size):
                    out[t, s, o] += held[t, s, o]


def reads(rows: int, layers: int) -> list[BoolArray]:
    """Return for each layer, the entry first, which of `rows` rows the forecasts of all rows with a full context read of it."""
    wanted = np.zeros(rows, dtype=np.bool_)
    wanted[2**layers - 1 :] = True
    found = [wanted]
    for depth in reversed(range(layers)):
        older = np.zeros_like(wanted)
        older[: rows - 2**depth] = wanted[2**depth :]
        wanted = wanted | older
        found.append(wanted)
    return found[::-1]


def entered(inputs: Float32Array, weights: Weights) -> Float32Array:
    """Return [T, S, h] what `networks.sequence.Convolutional` makes of each row of scaled features [T, S, F] alone."""
    bars, symbols, features = inputs.shape
    out = np.empty((bars * symbols, len(weights["enter.bias"])), dtype=np.float32)
    _entered(np.ascontiguousarray(inputs).reshape(-1, features), weights["enter.weight"], weights["enter.bias"], out)
    return out.reshape(bars, symbols, -1)


def convolutional(held: Float32Array, weights: Weights) -> Float32Array:
    """Return [T, S, 2] what it says of entered rows [T, S, h]; NaN in rows without full context.

    Only rows that some forecast reads are computed, layer by layer: for one bar that is a tree of them, not the whole context.
    """
    layers = sum(name.startswith("pairs.") and name.endswith(".weight") for name in weights)
    bars, symbols, _ = held.shape
    needed = reads(bars, layers)
    for depth in range(layers):
        deeper = np.empty_like(held)
        paired(held, needed[depth + 1], 2**depth, weights[f"pairs.{depth}.weight"], weights[f"pairs.{depth}.bias"], deeper)
        held = deeper
    out = np.full((bars, symbols, 2), np.nan, dtype=np.float32)
    _left(held, needed[-1], weights["norm.weight"], weights["norm.bias"], weights["leave.weight"], weights["leave.bias"], out)
    return out


@routine
def _entered(inputs: Float32Array, weight: Float32Array, bias: Float32Array, out: Float32Array) -> None:
    filled(bias, out)
    dense(inputs, weight, out)
    rectified(out)


@routine
def _left(
    held: Float32Array,
    needed: BoolArray,
    scale: Float32Array,
    shift: Float32Array,
    weight: Float32Array,
    bias: Float32Array,
    out: Float32Array,
) -> None:
    for t in range(held.shape[0]):
        if needed[t]:
            normed(scale, shift, held[t])
            filled(bias, out[t])
            dense(held[t], weight, out[t])
