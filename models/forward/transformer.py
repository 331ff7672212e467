"""The Temporal Fusion Transformer, from the library's weights: what a row is made of once, then window by window.

Lim et al. 2021, International Journal of Forecasting 37(4), section 4. Symbols lie side by side, LANES to a block, and a window is
gone through row by row, so that what is between two layers stays in the nearest cache. What is linear is folded together.
"""

from typing import NamedTuple, Self

import numpy as np

from domain.compiled import kernel, routine
from domain.panel import FloatArray
from models.contract import Float32Array, IntArray
from models.forward import Weights
from models.forward.layers import (
    LANES,
    NORM_EPSILON,
    add,
    blocks,
    copied,
    curved,
    dense,
    filled,
    gated,
    join,
    laid,
    let,
    lifted,
    normed,
    sigmoid,
    single,
    softmax,
)

ROOT = "library."
TAKEN, ENRICHED = "encoder_variable_selection.flattened_grn", "static_enrichment"
ENCODERS = tuple(
    f"static_context_{name}" for name in ("variable_selection", "enrichment", "initial_hidden_lstm", "initial_cell_lstm")
)


class Contexts(NamedTuple):
    """What the static encoders make of each symbol (4.3); each is [S, d]."""

    selection: Float32Array
    enrichment: Float32Array
    hidden: Float32Array
    """First state of the memory."""
    cell: Float32Array


class Gate(NamedTuple):
    """A gate, a skip and a norm (eq. 5), and what comes before the gate as far as it is linear."""

    weight: Float32Array
    """[2O, I]"""
    bias: Float32Array
    norm: Float32Array
    """[2, O] weight and bias."""


class Residual(NamedTuple):
    """A gated residual network (eq. 2 to 4)."""

    weight: Float32Array
    """[m, I]"""
    bias: Float32Array
    gate: Gate
    """Its second layer is part of it."""


class Own(NamedTuple):
    """Each variable's own network. A variable is written as a linear function of it, and what reads that is folded into others."""

    first: Float32Array
    """[F, 2, m] slope and start."""
    gate: Float32Array
    """[F, 2d, m]"""
    gate_bias: Float32Array
    beside: Float32Array
    """[F, 3, d] slope and start of the skip before its norm divides, and what is added after."""
    spread: Float32Array
    """[F, 3] the skip's variance: a, b and c of a (x + b)^2 + c."""
    norm: Float32Array
    """[F, 2, d]"""


class Selection(NamedTuple):
    """What a row of features is made into (eq. 6 to 8)."""

    own: Own
    taken: Residual
    """From all variables to a share for each."""
    near: IntArray
    """[F, 2] the two variables between which the skip of each share lies."""
    near_share: Float32Array
    """[F, 3] their weights, and what is added."""
    near_norm: Float32Array
    """[2, F]"""


class Memory(NamedTuple):
    """A long short-term memory: its gates are input, forget, cell, output (Hochreiter and Schmidhuber 1997; Gers et al. 2000)."""

    input_weight: Float32Array
    """[4d, d]"""
    state_weight: Float32Array
    bias: Float32Array


class Attention(NamedTuple):
    """What a horizon looks for in a row, head by head."""

    weight: Float32Array
    """[H, d, d] queries times keys."""
    bias: Float32Array
    """[H, d]"""
    gate: Gate
    """Values and what brings them back are part of it."""


class Leaving(NamedTuple):
    """From what a horizon saw to its quantiles."""

    forward: Residual
    gate: Gate
    weight: Float32Array
    """[Q, d]"""
    bias: Float32Array


class Fusion(NamedTuple):
    """What follows on the rows of a window (4.4 and 4.5)."""

    ahead: Float32Array
    """[K, d] what each horizon's place is made into."""
    encoder: Memory
    decoder: Memory
    local: Gate
    enrich: Residual
    attention: Attention
    leaving: Leaving


class Start(NamedTuple):
    """What static encoders contribute, in blocks [B, .., LANES]; biases are part of it."""

    selection: Float32Array
    """[m]"""
    enrichment: Float32Array
    hidden: Float32Array
    cell: Float32Array


class Scratch(NamedTuple):
    """Room for one block."""

    first: Float32Array
    """[m, LANES]"""
    wide: Float32Array
    """[2d, LANES]"""
    gates: Float32Array
    """[4d, LANES]"""
    hidden: Float32Array
    cell: Float32Array
    row: Float32Array
    local: Float32Array
    """[1 + K, d, LANES] of the newest row of the past, and of each horizon."""
    enriched: Float32Array
    """[context + K, d, LANES]"""
    scores: Float32Array
    """[2, context + K, LANES]"""
    seen: Float32Array
    norms: Float32Array
    """[2, LANES]"""

    @classmethod
    def of(cls, fusion: Fusion, context: int) -> Self:
        """Return room for windows of `context` rows."""
        steps, size = fusion.ahead.shape
        rows, first = context + steps, max(len(fusion.enrich.bias), len(fusion.leaving.forward.bias))
        shapes: list[tuple[int, ...]] = [(first,), (2 * size,), (4 * size,), (size,), (size,), (size,), (1 + steps, size)]
        shapes += [(rows, size), (2, rows), (size,), (2,)]
        return cls(*(np.zeros((*shape, LANES), dtype=np.float32) for shape in shapes))


@routine
def skipped(x: Float32Array, beside: Float32Array, net: Gate, wide: Float32Array, norms: Float32Array, out: Float32Array) -> None:
    """Fill `out` [O, LANES] with what a gate makes of `x` [I, LANES] and of what it is added to, `beside` [O, LANES].

    `wide` [2O, LANES] and `norms` [2, LANES] are room.
    """
    filled(net.bias, wide)
    dense(x, net.weight, wide)
    gated(wide, beside, out)
    normed(net.norm, norms, out)


@routine
def residual(
    x: Float32Array,
    beside: Float32Array,
    net: Residual,
    first: Float32Array,
    wide: Float32Array,
    norms: Float32Array,
    out: Float32Array,
) -> None:
    """Fill `out` [O, LANES] with what a gated residual network makes of `x` [I, LANES], and of what it is added to, `beside`.

    `first` [m, LANES] holds what the first layer adds to, its bias and context, and is used up; `wide` and `norms` are room.
    """
    dense(x, net.weight, first)
    curved(first)
    skipped(first, beside, net.gate, wide, norms, out)


@kernel
def _line(x: Float32Array, slope: np.float32, start: np.float32, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] = x[lane] * slope + start


@kernel
def _between(x: Float32Array, y: Float32Array, share: Float32Array, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        out[lane] = x[lane] * share[0] + y[lane] * share[1] + share[2]


@kernel
def _narrow(x: Float32Array, spread: Float32Array, out: Float32Array) -> None:
    for lane in range(out.shape[0]):
        apart = x[lane] + spread[1]
        out[lane] = np.float32(1.0) / np.sqrt(spread[0] * apart * apart + spread[2] + NORM_EPSILON)


@kernel
def _beside(
    x: Float32Array, narrow: Float32Array, slope: np.float32, start: np.float32, shift: np.float32, out: Float32Array
) -> None:
    for lane in range(out.shape[0]):
        out[lane] = (x[lane] * slope + start) * narrow[lane] + shift


@routine
def _alone(
    x: Float32Array,
    f: int,
    net: Own,
    first: Float32Array,
    wide: Float32Array,
    beside: Float32Array,
    norms: Float32Array,
    out: Float32Array,
) -> None:
    """Put variable `f`, `x` [LANES], through its own network into `out` [d, LANES]; what lies between is room."""
    for k in range(first.shape[0]):
        _line(x, net.first[f, 0, k], net.first[f, 1, k], first[k])
    curved(first)
    filled(net.gate_bias[f], wide)
    dense(first, net.gate[f], wide)
    _narrow(x, net.spread[f], norms[0])
    for o in range(out.shape[0]):
        _beside(x, norms[0], net.beside[f, 0, o], net.beside[f, 1, o], net.beside[f, 2, o], beside[o])
    gated(wide, beside, out)
    normed(net.norm[f], norms, out)


@routine
def _take(
    x: Float32Array,
    net: Selection,
    first: Float32Array,
    wide: Float32Array,
    beside: Float32Array,
    norms: Float32Array,
    out: Float32Array,
) -> None:
    """Fill `out` [F, LANES] with the share of each variable of `x`; `first` holds bias and context, the others are room."""
    for f in range(x.shape[0]):
        _between(x[net.near[f, 0]], x[net.near[f, 1]], net.near_share[f], beside[f])
    normed(net.near_norm, norms, beside)
    residual(x, beside, net.taken, first, wide, norms, out)
    softmax(norms, out)


@routine
def select(x: Float32Array, start: Float32Array, net: Selection, bar: int, out: Float32Array) -> None:
    """Make the features of a bar, `x` [B, F, LANES], into its rows of `out` [B, context, d, LANES], where bars lie in turn.

    `start` [B, m, LANES] is bias and context of the shares.
    """
    (variables, _, wrote), size, place = net.own.first.shape, out.shape[2], bar % out.shape[1]
    first, norms = np.empty((max(wrote, start.shape[1]), LANES), dtype=np.float32), np.empty((2, LANES), dtype=np.float32)
    wide = np.empty((2 * max(size, variables), LANES), dtype=np.float32)
    beside, alone = np.empty((max(size, variables), LANES), dtype=np.float32), np.empty((size, LANES), dtype=np.float32)
    taken = np.empty((variables, LANES), dtype=np.float32)
    for b in range(x.shape[0]):
        copied(start[b], first[: start.shape[1]])
        _take(x[b], net, first[: start.shape[1]], wide[: 2 * variables], beside[:variables], norms, taken)
        row = out[b, place]
        row[:] = np.float32(0.0)
        for f in range(variables):
            _alone(x[b, f], f, net.own, first[:wrote], wide[: 2 * size], beside[:size], norms, alone)
            for o in range(size):
                join(alone[o], taken[f], row[o])


@routine
def _stepped(gates: Float32Array, hidden: Float32Array, cell: Float32Array) -> None:
    """Bring the state of a memory forward; all three are flat."""
    size = cell.shape[0]
    entry, kept, new, told = gates[:size], gates[size : 2 * size], gates[2 * size : 3 * size], gates[3 * size :]
    for n in range(size):
        cell[n] = sigmoid(kept[n]) * cell[n] + let(new[n], entry[n])
    for n in range(size):
        hidden[n] = let(cell[n], told[n])


@routine
def _remember(x: Float32Array, net: Memory, gates: Float32Array, hidden: Float32Array, cell: Float32Array) -> None:
    """Bring the memory forward by a row `x` [d, LANES]."""
    filled(net.bias, gates)
    dense(x, net.input_weight, gates)
    dense(hidden, net.state_weight, gates)
    _stepped(gates.reshape(-1), hidden.reshape(-1), cell.reshape(-1))


@routine
def _enrich(x: Float32Array, start: Float32Array, net: Fusion, room: Scratch, local: Float32Array, out: Float32Array) -> None:
    """Put a row `x` [d, LANES], of which the memory knows, through its gate into `local` [d, LANES], and enriched into `out`.

    `start` [m, LANES] is bias and context of the enrichment.
    """
    skipped(room.hidden, x, net.local, room.wide, room.norms, local)
    first = room.first[: start.shape[0]]
    copied(start, first)
    residual(local, local, net.enrich, first, room.wide, room.norms, out)


@routine
def _attend(ask: Float32Array, rows: Float32Array, net: Attention, room: Scratch) -> None:
    """Fill `room.seen` with what `ask` [d, LANES] sees of enriched `rows` [N, d, LANES], a mean over heads."""
    heads, asked = net.bias.shape[0], room.seen
    scores, shares = room.scores[0, : rows.shape[0]], room.scores[1, : rows.shape[0]]
    shares[:] = np.float32(0.0)
    for h in range(heads):
        filled(net.bias[h], asked)
        dense(ask, net.weight[h], asked)
        scores[:] = np.float32(0.0)
        for n in range(rows.shape[0]):
            for o in range(ask.shape[0]):
                join(asked[o], rows[n, o], scores[n])
        softmax(room.norms, scores)
        for n in range(rows.shape[0]):
            add(scores[n], np.float32(1.0) / np.float32(heads), shares[n])
    room.seen[:] = np.float32(0.0)
    for n in range(rows.shape[0]):
        for o in range(ask.shape[0]):
            join(rows[n, o], shares[n], room.seen[o])


@routine
def _answer(asked: Float32Array, local: Float32Array, net: Fusion, room: Scratch, out: Float32Array) -> None:
    """Fill `out` [Q, LANES] with quantiles of what a horizon asked, `asked` [d, LANES], and saw, from its `local` [d, LANES]."""
    leaving = net.leaving
    first = room.first[: leaving.forward.bias.shape[0]]
    skipped(room.seen, asked, net.attention.gate, room.wide, room.norms, room.row)
    filled(leaving.forward.bias, first)
    residual(room.row, room.row, leaving.forward, first, room.wide, room.norms, room.seen)
    skipped(room.seen, local, leaving.gate, room.wide, room.norms, room.row)
    filled(leaving.bias, out)
    dense(room.row, leaving.weight, out)


@routine
def tell(rows: Float32Array, bar: int, start: Start, net: Fusion, room: Scratch, out: Float32Array) -> None:
    """Fill `out` [B, K, Q, LANES] from windows `rows` [B, context, d, LANES], where bars lie in turn and `bar` would come next.

    No horizon sees itself or a later one.
    """
    context, local, enriched = rows.shape[1], room.local, room.enriched
    for b in range(rows.shape[0]):
        copied(start.hidden[b], room.hidden)
        copied(start.cell[b], room.cell)
        for n in range(context):
            row = rows[b, (bar + n) % context]
            _remember(row, net.encoder, room.gates, room.hidden, room.cell)
            _enrich(row, start.enrichment[b], net, room, local[0], enriched[n])
        for k in range(out.shape[1]):
            filled(net.ahead[k], room.row)
            _remember(room.row, net.decoder, room.gates, room.hidden, room.cell)
            _enrich(room.row, start.enrichment[b], net, room, local[1 + k], enriched[context + k])
        for k in range(out.shape[1]):
            last = context + k
            _attend(enriched[last], enriched[:last], net.attention, room)
            _answer(enriched[last], local[1 + k], net, room, out[b, k])


class Transformer:
    """The network, folded for serving."""

    def __init__(self, weights: Weights, context: int, steps: int, heads: int) -> None:
        self.context, self.steps = context, steps
        self.selection, self.fusion = _selection(weights), _fusion(weights, steps, heads)
        self._weights = weights

    def stream(self, symbols: int) -> "Stream":
        """Return the network over the bars of a universe whose symbols have no static variables, unless it is told of them."""
        return Stream(self, symbols)

    def alike(self, symbols: int) -> Contexts:
        """Return what the static encoders make of symbols without static variables: the same of each."""
        nothing = np.zeros((symbols, self.fusion.ahead.shape[1]), dtype=np.float32)
        return Contexts(*(encoded(self._weights, name, nothing) for name in ENCODERS))

    def start(self, contexts: Contexts) -> Start:
        """Return what static encoders contribute, as blocks."""
        return Start(
            selection=self._begun(TAKEN, self.selection.taken, contexts.selection),
            enrichment=self._begun(ENRICHED, self.fusion.enrich, contexts.enrichment),
            hidden=_blocks(contexts.hidden),
            cell=_blocks(contexts.cell),
        )

    def _begun(self, name: str, net: Residual, context: Float32Array) -> Float32Array:
        """Return [B, m, LANES] what the first layer of a network adds to: its bias and what it makes of a context [S, d]."""
        held, weight = _blocks(context), single(self._weights[f"{ROOT}{name}.context.weight"].T)
        out = np.empty((len(held), len(net.bias), LANES), dtype=np.float32)
        for x, begun in zip(held, out, strict=True):
            filled(net.bias, begun)
            dense(x, weight, begun)
        return out


class Stream:
    """The network over the bars of one universe; see `models.forward.Stream`."""

    def __init__(self, network: Transformer, symbols: int) -> None:
        self._network, self._symbols, self._bar = network, symbols, 0
        self._room = Scratch.of(network.fusion, network.context)
        count, variables, (quantiles, size) = blocks(symbols), len(network.selection.near), network.fusion.leaving.weight.shape
        self._inputs = np.zeros((count, variables, LANES), dtype=np.float32)
        self._rows = np.zeros((count, network.context, size, LANES), dtype=np.float32)
        self._out = np.zeros((count, network.steps, quantiles, LANES), dtype=np.float32)
        self.situate(network.alike(symbols))

    def situate(self, contexts: Contexts) -> None:
        """Set what static encoders make of each symbol: for rows that enter from now on, and for all that is said of windows."""
        self._start = self._network.start(contexts)

    def enter(self, row: Float32Array) -> None:
        """Take in scaled features [S, F] of the next bar."""
        laid(row, self._inputs)
        select(self._inputs, self._start.selection, self._network.selection, self._bar, self._rows)
        self._bar += 1

    def said(self) -> Float32Array:
        """Return [S, K * Q] the quantiles that the windows ending in the newest bar forecast."""
        tell(self._rows, self._bar, self._start, self._network.fusion, self._room, self._out)
        flat = self._out.reshape(len(self._out), -1, LANES)
        out = np.empty((self._symbols, flat.shape[1]), dtype=np.float32)
        lifted(flat, out)
        return out


def encoded(weights: Weights, name: str, static: Float32Array) -> Float32Array:
    """Return [N, d] what a static encoder makes of embedded static variables [N, d]."""
    return _through(folded(weights, ROOT + name), static, static)


def _blocks(samples: np.ndarray) -> Float32Array:
    """Return samples [N, I] as blocks [B, I, LANES]."""
    out = np.zeros((blocks(len(samples)), samples.shape[1], LANES), dtype=np.float32)
    laid(single(samples), out)
    return out


def _through(net: Residual, values: np.ndarray, beside: np.ndarray) -> Float32Array:
    """Return [N, O] what a gated residual network makes of [N, I] and of what it is added to, [N, O]."""
    held, skip = _blocks(values), _blocks(beside)
    room = (np.empty((size, LANES), dtype=np.float32) for size in (len(net.bias), len(net.gate.bias), 2))
    (first, wide, norms), told, out = room, np.empty_like(skip), np.empty(beside.shape, dtype=np.float32)
    for x, added, said in zip(held, skip, told, strict=True):
        filled(net.bias, first)
        residual(x, added, net, first, wide, norms, said)
    lifted(told, out)
    return out


def norm_weights(weights: Weights, name: str) -> Float32Array:
    """Return [2, d] weight and bias of a layer norm."""
    return np.stack((weights[f"{name}.weight"], weights[f"{name}.bias"]))


def _gate(weights: Weights, gate: str, norm: str, before: tuple[FloatArray, FloatArray] | None = None) -> Gate:
    """Return a gate, with a layer `before` it folded in where there is one."""
    weight, bias = (weights[f"{gate}.{part}"].astype(np.float64) for part in ("weight", "bias"))
    if before is not None:
        weight, bias = before[0] @ weight, before[1] @ weight + bias
    return Gate(single(weight.T), single(bias), norm_weights(weights, norm))


def _gated(weights: Weights, name: str) -> Gate:
    """Return second layer, gate and norm of a gated residual network."""
    second = weights[f"{name}.fc2.weight"].astype(np.float64), weights[f"{name}.fc2.bias"].astype(np.float64)
    return _gate(weights, f"{name}.gate_norm.glu.fc", f"{name}.gate_norm.add_norm.norm", second)


def folded(weights: Weights, name: str) -> Residual:
    """Return a gated residual network, its second layer folded into its gate."""
    return Residual(single(weights[f"{name}.fc1.weight"].T), weights[f"{name}.fc1.bias"], _gated(weights, name))


def _stretch(size: int, wanted: int) -> tuple[IntArray, FloatArray]:
    """Return [wanted, 2] places of an axis of that size and their shares: a linear interpolation that keeps the ends."""
    place = np.linspace(0.0, size - 1.0, wanted)
    low = np.minimum(np.floor(place).astype(np.int64), max(size - 2, 0))
    share = place - low
    return np.stack((low, np.minimum(low + 1, size - 1)), axis=1), np.stack((1.0 - share, share), axis=1)


def _stretched(weights: Weights, name: str, values: FloatArray, wanted: int) -> FloatArray:
    """Return [.., wanted] what the library adds a network of another size to, before its norm, from [.., size]."""
    places, shares = _stretch(values.shape[-1], wanted)
    return np.asarray((values[..., places] * shares).sum(axis=-1) * _let(weights, f"{name}.resample_norm"))


def resampling(weights: Weights, name: str, size: int) -> FloatArray:
    """Return [wanted, size] what the library resamples an axis with: a linear interpolation, of which each place is weighed."""
    weighed = _let(weights, name)
    places, shares = _stretch(size, len(weighed))
    matrix = np.zeros((len(weighed), size))
    np.add.at(matrix, (np.arange(len(weighed))[:, None], places), shares)
    return weighed[:, None] * matrix


def _let(weights: Weights, name: str) -> FloatArray:
    return np.asarray(2.0 / (1.0 + np.exp(-weights[f"{name}.mask"].astype(np.float64))))


def _selection(weights: Weights) -> Selection:
    name = f"{ROOT}encoder_variable_selection"
    count = sum(key.startswith(f"{name}.prescalers.") and key.endswith(".weight") for key in weights)
    own = [f"{name}.single_variable_grns.f{place}" for place in range(count)]

    def written(part: str) -> FloatArray:
        return np.stack([weights[f"{name}.prescalers.f{place}.{part}"].reshape(-1).astype(np.float64) for place in range(count)])

    scale, shift = written("weight"), written("bias")
    shared = f"{ROOT}{TAKEN}"
    near, share = _stretch(scale.size, count)
    share = share * _let(weights, f"{shared}.resample_norm")[:, None]
    pulled, added = scale.reshape(-1)[near] * share, (shift.reshape(-1)[near] * share).sum(axis=1)
    taken = weights[f"{shared}.fc1.weight"].astype(np.float64).reshape(*scale.shape, -1)
    return Selection(
        own=_own(weights, own, scale, shift),
        taken=Residual(
            weight=single(np.einsum("fc,fcm->mf", scale, taken)),
            bias=single(np.einsum("fc,fcm->m", shift, taken) + weights[f"{shared}.fc1.bias"]),
            gate=_gated(weights, shared),
        ),
        near=near // scale.shape[1],
        near_share=single(np.column_stack((pulled, added))),
        near_norm=norm_weights(weights, f"{shared}.resample_norm.norm"),
    )


def _own(weights: Weights, names: list[str], scale: FloatArray, shift: FloatArray) -> Own:
    """Return the networks of variables that are written as `scale * x + shift` [F, c]."""
    gates = [_gated(weights, name) for name in names]
    size = gates[0].norm.shape[1]
    slope, rise = (
        np.stack([_stretched(weights, name, values, size) for name, values in zip(names, each, strict=True)])
        for each in (scale, shift)
    )
    slope, rise = slope - slope.mean(axis=1, keepdims=True), rise - rise.mean(axis=1, keepdims=True)
    weight, bias = (np.stack([weights[f"{name}.fc1.{part}"].astype(np.float64) for name in names]) for part in ("weight", "bias"))
    norm = np.stack([norm_weights(weights, f"{name}.resample_norm.norm") for name in names])
    first = np.einsum("fc,fcm->fm", scale, weight), np.einsum("fc,fcm->fm", shift, weight) + bias
    return Own(
        first=single(np.stack(first, axis=1)),
        gate=np.stack([gate.weight for gate in gates]),
        gate_bias=np.stack([gate.bias for gate in gates]),
        beside=single(np.stack((slope * norm[:, 0], rise * norm[:, 0], norm[:, 1]), axis=1)),
        spread=single(_square(slope, rise)),
        norm=np.stack([gate.norm for gate in gates]),
    )


def _square(slope: FloatArray, rise: FloatArray) -> FloatArray:
    """Return [F, 3] a, b, c, such that a (x + b)^2 + c is the mean square of `slope * x + rise` [F, d] at any x.

    In this form nothing cancels: the sum of x^2, x and 1 loses its digits where it is small.
    """
    steep, both, flat = (slope**2).mean(axis=1), (slope * rise).mean(axis=1), (rise**2).mean(axis=1)
    place = np.divide(both, steep, out=np.zeros_like(both), where=steep > 0.0)
    return np.stack((steep, place, np.maximum(flat - both * place, 0.0)), axis=1)


def _ahead(weights: Weights, steps: int) -> Float32Array:
    """Return [K, d] what the decoder makes of each horizon's place."""
    name = f"{ROOT}decoder_variable_selection"
    net = f"{name}.single_variable_grns.step"
    place = np.linspace(0.0, 1.0, steps)[:, None] if steps > 1 else np.ones((1, 1))
    written = place @ weights[f"{name}.prescalers.step.weight"] + weights[f"{name}.prescalers.step.bias"]
    norm = norm_weights(weights, f"{net}.resample_norm.norm")
    wide = _stretched(weights, net, written, norm.shape[1])
    apart = wide - wide.mean(axis=1, keepdims=True)
    narrow = np.sqrt((apart**2).mean(axis=1, keepdims=True) + NORM_EPSILON)
    return _through(folded(weights, net), written, apart / narrow * norm[0] + norm[1])


def _memory(weights: Weights, name: str) -> Memory:
    held = {part: weights[f"{ROOT}{name}.{part}_l0"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    return Memory(single(held["weight_ih"].T), single(held["weight_hh"].T), held["bias_ih"] + held["bias_hh"])


def _ask(weights: Weights, heads: int) -> tuple[Float32Array, Float32Array]:
    """Return ([H, d, d], [H, d]): a head's score of a row is the row times this of the horizon that asks.

    What the key's bias adds to a score is the same for all rows, and changes no share.
    """
    layers = [f"{ROOT}multihead_attn.{{}}_layers.{head}" for head in range(heads)]
    keys = [weights[f"{path.format('k')}.weight"].astype(np.float64) for path in layers]
    keys = [key / np.sqrt(key.shape[1]) for key in keys]
    asks = [(weights[f"{path.format('q')}.weight"], weights[f"{path.format('q')}.bias"]) for path in layers]
    weight = np.stack([key @ ask.T for key, (ask, _) in zip(keys, asks, strict=True)])
    return single(weight), single(np.stack([key @ bias for key, (_, bias) in zip(keys, asks, strict=True)]))


def _fusion(weights: Weights, steps: int, heads: int) -> Fusion:
    attention = f"{ROOT}multihead_attn"
    value, bias = (weights[f"{attention}.v_layer.{part}"].astype(np.float64) for part in ("weight", "bias"))
    back = weights[f"{attention}.w_h.weight"].astype(np.float64)
    seen = _gate(
        weights, f"{ROOT}post_attn_gate_norm.glu.fc", f"{ROOT}post_attn_gate_norm.add_norm.norm", (value @ back, bias @ back)
    )
    return Fusion(
        ahead=_ahead(weights, steps),
        encoder=_memory(weights, "lstm_encoder"),
        decoder=_memory(weights, "lstm_decoder"),
        local=_gate(weights, f"{ROOT}post_lstm_gate_encoder.fc", f"{ROOT}post_lstm_add_norm_encoder.norm"),
        enrich=folded(weights, f"{ROOT}{ENRICHED}"),
        attention=Attention(*_ask(weights, heads), seen),
        leaving=Leaving(
            forward=folded(weights, f"{ROOT}pos_wise_ff"),
            gate=_gate(weights, f"{ROOT}pre_output_gate_norm.glu.fc", f"{ROOT}pre_output_gate_norm.add_norm.norm"),
            weight=single(weights[f"{ROOT}output_layer.weight"].T),
            bias=weights[f"{ROOT}output_layer.bias"],
        ),
    )
