"""What layers are made of."""

import numpy as np

from domain.compiled import kernel, routine
from models.contract import Float32Array

#: Beyond this the hyperbolic tangent is 1 in single precision.
TANH_MAX = np.float32(7.99881172180175781)
#: Odd numerator and even denominator, lowest power first: the coefficients that Eigen publishes, within 3e-7 in single precision.
NUMERATOR = np.array(
    [
        4.89352455891786e-03,
        6.37261928875436e-04,
        1.48572235717979e-05,
        5.12229709037114e-08,
        -8.60467152213735e-11,
        2.00018790482477e-13,
        -2.76076847742355e-16,
    ],
    dtype=np.float32,
)
DENOMINATOR = np.array([4.89352518554385e-03, 2.26843463243900e-03, 1.18534705686654e-04, 1.19825839466702e-06], dtype=np.float32)
NORM_EPSILON = np.float32(1e-5)


@kernel
def tanh(x: np.float32) -> np.float32:
    """Return the hyperbolic tangent by a quotient of polynomials: no branch, so that rows of it are SIMD."""
    held = min(max(x, -TANH_MAX), TANH_MAX)
    square = held * held
    above = NUMERATOR[6]
    above = above * square + NUMERATOR[5]
    above = above * square + NUMERATOR[4]
    above = above * square + NUMERATOR[3]
    above = above * square + NUMERATOR[2]
    above = above * square + NUMERATOR[1]
    above = above * square + NUMERATOR[0]
    below = DENOMINATOR[3]
    below = below * square + DENOMINATOR[2]
    below = below * square + DENOMINATOR[1]
    below = below * square + DENOMINATOR[0]
    quotient: np.float32 = held * above / below
    return quotient


@kernel
def sigmoid(x: np.float32) -> np.float32:
    """Return the logistic function."""
    return np.float32(0.5) + np.float32(0.5) * tanh(np.float32(0.5) * x)


@kernel
def raised(x: np.float32) -> np.float32:
    """Return exp(x) for x <= 0, within 3e-7: (1 + tanh(x / 2)) / (1 - tanh(x / 2))."""
    half = tanh(np.float32(0.5) * x)
    return (np.float32(1.0) + half) / (np.float32(1.0) - half)


@routine
def dense(x: Float32Array, weight: Float32Array, out: Float32Array) -> None:
    """Add `x` [N, I] times `weight` [I, O] to `out` [N, O], inputs in their order, four of them a pass over the outputs."""
    inputs = weight.shape[0]
    whole = inputs - inputs % 4
    for n in range(x.shape[0]):
        for i in range(0, whole, 4):
            a, b, c, d = x[n, i], x[n, i + 1], x[n, i + 2], x[n, i + 3]
            for o in range(weight.shape[1]):
                held = out[n, o] + a * weight[i, o]
                held += b * weight[i + 1, o]
                held += c * weight[i + 2, o]
                out[n, o] = held + d * weight[i + 3, o]
        for i in range(whole, inputs):
            a = x[n, i]
            for o in range(weight.shape[1]):
                out[n, o] += a * weight[i, o]


@routine
def filled(bias: Float32Array, out: Float32Array) -> None:
    """Set every row of `out` [N, O] to `bias` [O]."""
    for n in range(out.shape[0]):
        for o in range(out.shape[1]):
            out[n, o] = bias[o]


@routine
def normed(weight: Float32Array, bias: Float32Array, out: Float32Array) -> None:
    """Replace each row of `out` [N, O] by its layer norm (Ba, Kiros and Hinton 2016, eq. 4)."""
    size = np.float32(out.shape[1])
    for n in range(out.shape[0]):
        total = np.float32(0.0)
        for o in range(out.shape[1]):
            total += out[n, o]
        mean = total / size
        total = np.float32(0.0)
        for o in range(out.shape[1]):
            total += (out[n, o] - mean) * (out[n, o] - mean)
        narrow = np.float32(1.0) / np.sqrt(total / size + NORM_EPSILON)
        for o in range(out.shape[1]):
            out[n, o] = (out[n, o] - mean) * narrow * weight[o] + bias[o]


@routine
def rectified(out: Float32Array) -> None:
    """Replace every value below zero by zero."""
    for n in range(out.shape[0]):
        for o in range(out.shape[1]):
            out[n, o] = max(out[n, o], np.float32(0.0))


@routine
def curved(out: Float32Array) -> None:
    """Replace every value below zero by exp(x) - 1 (Clevert, Unterthiner and Hochreiter 2016, ICLR, eq. 15)."""
    for n in range(out.shape[0]):
        for o in range(out.shape[1]):
            value = out[n, o]
            out[n, o] = value if value > np.float32(0.0) else raised(min(value, np.float32(0.0))) - np.float32(1.0)


@routine
def gated(wide: Float32Array, out: Float32Array) -> None:
    """Add to `out` [N, O] the first half of `wide` [N, 2O] as far as the second lets it (Dauphin et al. 2017, ICML, eq. 1)."""
    size = out.shape[1]
    for n in range(out.shape[0]):
        for o in range(size):
            out[n, o] += wide[n, o] * sigmoid(wide[n, size + o])
