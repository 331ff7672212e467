"""What layers are made of: arrays are [.., LANES], LANES samples side by side, and what a lane holds never meets another lane.

Rows are handed to the innermost loops one by one, so that LLVM keeps them apart and makes SIMD of a loop. A short loop over a
constant number it unrolls first, and then makes none: only the longest runs over LANES, all others over what the row says.
"""

import numpy as np

from domain.compiled import kernel, routine
from models.contract import Float32Array

#: Samples side by side, a constant for the compiler: two vectors of AVX2, of which four outputs fit its registers.
LANES = 16
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


def blocks(samples: int) -> int:
    """Return how many blocks of LANES hold that many samples; lanes left over hold nothing that is read."""
    return -(-samples // LANES)


def single(values: np.ndarray) -> Float32Array:
    """Return values in the precision and layout that layers take."""
    return np.ascontiguousarray(values, dtype=np.float32)


@routine
def laid(x: Float32Array, out: Float32Array) -> None:
    """Lay samples [N, I] into blocks [B, I, LANES]."""
    for n in range(x.shape[0]):
        for i in range(x.shape[1]):
            out[n // LANES, i, n % LANES] = x[n, i]


@routine
def lifted(x: Float32Array, out: Float32Array) -> None:
    """Read samples [N, O] from blocks [B, O, LANES]."""
    for n in range(out.shape[0]):
        for o in range(out.shape[1]):
            out[n, o] = x[n // LANES, o, n % LANES]


@kernel
def _quotient(x: np.float32) -> tuple[np.float32, np.float32]:
    """Return numerator and denominator of the hyperbolic tangent: no branch, so that rows of it are SIMD."""
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
    return held * above, below


@kernel
def tanh(x: np.float32) -> np.float32:
    """Return the hyperbolic tangent."""
    above, below = _quotient(x)
    return above / below


@kernel
def sigmoid(x: np.float32) -> np.float32:
    """Return the logistic function, (1 + tanh(x / 2)) / 2."""
    return np.float32(0.5) + np.float32(0.5) * tanh(np.float32(0.5) * x)


@kernel
def let(x: np.float32, gate: np.float32) -> np.float32:
    """Return tanh(x) as far as the logistic function of `gate` lets it, with one division."""
    above, below = _quotient(x)
    opened, whole = _quotient(np.float32(0.5) * gate)
    return (whole + opened) * above / (np.float32(2.0) * whole * below)


@kernel
def raised(x: np.float32) -> np.float32:
    """Return exp(x) for x <= 0, within 3e-7: (1 + tanh(x / 2)) / (1 - tanh(x / 2))."""
    above, below = _quotient(np.float32(0.5) * x)
    return (below + above) / (below - above)


@kernel
def put(value: np.float32, out: Float32Array) -> None:
    """Set a row [LANES] to one value."""
    for lane in range(out.shape[0]):
        out[lane] = value


@kernel
def add(x: Float32Array, weight: np.float32, out: Float32Array) -> None:
    """Add a row [LANES] times a weight to another."""
    for lane in range(out.shape[0]):
        out[lane] += x[lane] * weight


@kernel
def join(x: Float32Array, y: Float32Array, out: Float32Array) -> None:
    """Add the product of two rows [LANES] to a third."""
    for lane in range(out.shape[0]):
        out[lane] += x[lane] * y[lane]


@kernel
def _four(
    x: Float32Array,
    y: Float32Array,
    weight: Float32Array,
    o: int,
    i: int,
    first: Float32Array,
    second: Float32Array,
    third: Float32Array,
    fourth: Float32Array,
) -> None:
    """Add rows `x` and `y`, inputs i and i + 1, to four outputs from o on."""
    a, b, c, d = weight[o, i], weight[o + 1, i], weight[o + 2, i], weight[o + 3, i]
    e, f, g, h = weight[o, i + 1], weight[o + 1, i + 1], weight[o + 2, i + 1], weight[o + 3, i + 1]
    for lane in range(LANES):
        first[lane] = first[lane] + x[lane] * a + y[lane] * e
        second[lane] = second[lane] + x[lane] * b + y[lane] * f
        third[lane] = third[lane] + x[lane] * c + y[lane] * g
        fourth[lane] = fourth[lane] + x[lane] * d + y[lane] * h


@routine
def dense(x: Float32Array, weight: Float32Array, out: Float32Array) -> None:
    """Add `weight` [O, I] times `x` [I, LANES] to `out` [O, LANES], inputs in their order."""
    outputs, inputs = weight.shape
    fours, pairs = outputs - outputs % 4, inputs - inputs % 2
    for o in range(0, fours, 4):
        for i in range(0, pairs, 2):
            _four(x[i], x[i + 1], weight, o, i, out[o], out[o + 1], out[o + 2], out[o + 3])
        for each in range(o, o + 4):
            for i in range(pairs, inputs):
                add(x[i], weight[each, i], out[each])
    for o in range(fours, outputs):
        for i in range(inputs):
            add(x[i], weight[o, i], out[o])


@kernel
def _put_four(bias: Float32Array, first: Float32Array, second: Float32Array, third: Float32Array, fourth: Float32Array) -> None:
    for lane in range(first.shape[0]):
        first[lane] = bias[0]
        second[lane] = bias[1]
        third[lane] = bias[2]
        fourth[lane] = bias[3]


@routine
def filled(bias: Float32Array, out: Float32Array) -> None:
    """Set each row of `out` [O, LANES] to its value in `bias` [O]."""
    fours = out.shape[0] - out.shape[0] % 4
    for o in range(0, fours, 4):
        _put_four(bias[o:], out[o], out[o + 1], out[o + 2], out[o + 3])
    for o in range(fours, out.shape[0]):
        put(bias[o], out[o])


@routine
def copied(x: Float32Array, out: Float32Array) -> None:
    """Set `out` [O, LANES] to `x`."""
    flat, said = x.reshape(-1), out.reshape(-1)
    for n in range(said.shape[0]):
        said[n] = flat[n]


@kernel
def _sum_four(a: Float32Array, b: Float32Array, c: Float32Array, d: Float32Array, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] += (a[lane] + b[lane]) + (c[lane] + d[lane])


@kernel
def _spread(x: Float32Array, mean: Float32Array, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] += (x[lane] - mean[lane]) * (x[lane] - mean[lane])


@kernel
def _spread_four(a: Float32Array, b: Float32Array, c: Float32Array, d: Float32Array, mean: Float32Array, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        e, f, g, h = a[lane] - mean[lane], b[lane] - mean[lane], c[lane] - mean[lane], d[lane] - mean[lane]
        out[lane] += (e * e + f * f) + (g * g + h * h)


@kernel
def _divided(size: np.float32, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] /= size


@kernel
def _narrowed(size: np.float32, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] = np.float32(1.0) / np.sqrt(out[lane] / size + NORM_EPSILON)


@kernel
def _scaled(mean: Float32Array, narrow: Float32Array, weight: np.float32, bias: np.float32, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] = (out[lane] - mean[lane]) * narrow[lane] * weight + bias


@routine
def normed(net: Float32Array, room: Float32Array, out: Float32Array) -> None:
    """Replace each sample of `out` [O, LANES] by its layer norm (Ba, Kiros and Hinton 2016, eq. 4).

    `net` [2, O] is weight and bias; `room` [2, LANES] is room.
    """
    size, mean, narrow = np.float32(out.shape[0]), room[0], room[1]
    fours = out.shape[0] - out.shape[0] % 4
    put(np.float32(0.0), mean)
    put(np.float32(0.0), narrow)
    for o in range(0, fours, 4):
        _sum_four(out[o], out[o + 1], out[o + 2], out[o + 3], mean)
    for o in range(fours, out.shape[0]):
        add(out[o], np.float32(1.0), mean)
    _divided(size, mean)
    for o in range(0, fours, 4):
        _spread_four(out[o], out[o + 1], out[o + 2], out[o + 3], mean, narrow)
    for o in range(fours, out.shape[0]):
        _spread(out[o], mean, narrow)
    _narrowed(size, narrow)
    for o in range(out.shape[0]):
        _scaled(mean, narrow, net[0, o], net[1, o], out[o])


@routine
def rectified(x: Float32Array, out: Float32Array) -> None:
    """Add to `out` [O, LANES] what of `x` is above zero."""
    flat, said = x.reshape(-1), out.reshape(-1)
    for n in range(flat.shape[0]):
        said[n] += max(flat[n], np.float32(0.0))


@routine
def curved(out: Float32Array) -> None:
    """Replace every value below zero by exp(x) - 1 (Clevert, Unterthiner and Hochreiter 2016, ICLR, eq. 15).

    Which is 2 tanh(x / 2) / (1 - tanh(x / 2)), and 0 at 0. Both sides are computed: a store on condition is slow.
    """
    flat = out.reshape(-1)
    for n in range(flat.shape[0]):
        above, below = _quotient(np.float32(0.5) * min(flat[n], np.float32(0.0)))
        flat[n] = max(flat[n], np.float32(0.0)) + np.float32(2.0) * above / (below - above)


@routine
def gated(wide: Float32Array, beside: Float32Array, out: Float32Array) -> None:
    """Fill `out` [O, LANES] with `beside` plus the first half of `wide` [2O, LANES] as far as the second lets it.

    Dauphin et al. 2017, ICML, eq. 1.
    """
    flat, skip, said = wide.reshape(-1), beside.reshape(-1), out.reshape(-1)
    size = said.shape[0]
    added, gate = flat[:size], flat[size:]
    for n in range(size):
        said[n] = skip[n] + added[n] * sigmoid(gate[n])


@kernel
def _higher(x: Float32Array, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] = max(out[lane], x[lane])


@kernel
def _raised(highest: Float32Array, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] = raised(out[lane] - highest[lane])


@kernel
def _shared(total: Float32Array, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] /= total[lane]


@routine
def softmax(room: Float32Array, out: Float32Array) -> None:
    """Replace each sample of `out` [N, LANES] by its softmax; `room` [2, LANES] is room."""
    highest, total = room[0], room[1]
    put(-np.float32(np.inf), highest)
    put(np.float32(0.0), total)
    for n in range(out.shape[0]):
        _higher(out[n], highest)
    for n in range(out.shape[0]):
        _raised(highest, out[n])
        add(out[n], np.float32(1.0), total)
    for n in range(out.shape[0]):
        _shared(total, out[n])
