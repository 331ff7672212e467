"""The Temporal Fusion Transformer, from the library's weights: what a row is made of once, then window by window.

Lim et al. 2021, International Journal of Forecasting 37(4), section 4. While a row is made, its variables lie side by side, so that
SIMD runs over them.
"""

from typing import NamedTuple, Self

import numpy as np

from domain.compiled import routine
from models.contract import Float32Array
from models.forward import Weights
from models.forward.layers import NORM_EPSILON, curved, dense, filled, gated, normed, raised, sigmoid, tanh

ROOT = "library."


class Residual(NamedTuple):
    """A gated residual network (eq. 2 to 4)."""

    first_weight: Float32Array
    first_bias: Float32Array
    """Its context, which is the same for all samples, is part of it."""
    second_weight: Float32Array
    second_bias: Float32Array
    gate_weight: Float32Array
    gate_bias: Float32Array
    norm_weight: Float32Array
    norm_bias: Float32Array


class Stretch(NamedTuple):
    """A linear interpolation along an axis: two places and the share of the second for each place that is wanted."""

    low: np.ndarray
    high: np.ndarray
    share: Float32Array


class Selection(NamedTuple):
    """What a row of features is made into (eq. 6 to 8): for each variable its own network, and how much of it is taken."""

    scale: Float32Array
    """[c, F]"""
    shift: Float32Array
    first_weight: Float32Array
    """[c, m, F]"""
    first_bias: Float32Array
    """[m, F]"""
    second_weight: Float32Array
    second_bias: Float32Array
    gate_weight: Float32Array
    """[m, 2d, F]"""
    gate_bias: Float32Array
    beside: Stretch
    """From c to d places."""
    beside_share: Float32Array
    """[d, F]"""
    beside_weight: Float32Array
    beside_bias: Float32Array
    norm_weight: Float32Array
    """[d, F]"""
    norm_bias: Float32Array
    taken: Residual
    """From all that is written, [c * F], to a share for each variable."""
    taken_beside: Stretch
    taken_share: Float32Array
    taken_weight: Float32Array
    taken_bias: Float32Array


class Memory(NamedTuple):
    """A long short-term memory: its gates are input, forget, cell, output (Hochreiter and Schmidhuber 1997; Gers et al. 2000)."""

    input_weight: Float32Array
    """[d, 4d]"""
    state_weight: Float32Array
    bias: Float32Array


class Gate(NamedTuple):
    """A gate, a skip and a norm (eq. 5)."""

    weight: Float32Array
    bias: Float32Array
    norm_weight: Float32Array
    norm_bias: Float32Array


class Fusion(NamedTuple):
    """What follows on the rows of a window (4.4 and 4.5)."""

    ahead: Float32Array
    """[K, d] what each horizon's place is made into."""
    hidden: Float32Array
    """[d] first state of the memory."""
    cell: Float32Array
    encoder: Memory
    decoder: Memory
    local: Gate
    enrich: Residual
    query: Float32Array
    """[d, H * k]"""
    query_bias: Float32Array
    key: Float32Array
    key_bias: Float32Array
    value: Float32Array
    """[d, k], shared by all heads."""
    value_bias: Float32Array
    back: Float32Array
    """[k, d]"""
    attended: Gate
    forward: Residual
    leaving: Gate
    out: Float32Array
    """[d, Q]"""
    out_bias: Float32Array


class Scratch(NamedTuple):
    """Room for one window; L = context + K positions."""

    local: Float32Array
    """[L, d]"""
    skip: Float32Array
    first: Float32Array
    """[L, d]"""
    second: Float32Array
    wide: Float32Array
    """[L, 2d]"""
    enriched: Float32Array
    gates: Float32Array
    """[1, 4d]"""
    state: Float32Array
    """[2, d] hidden and cell."""
    keys: Float32Array
    """[L, H * k]"""
    values: Float32Array
    """[L, k]"""
    asked: Float32Array
    """[K, H * k]"""
    scores: Float32Array
    """[L]"""
    heads: Float32Array
    """[K, k]"""
    seen: Float32Array
    """[K, d]"""

    @classmethod
    def of(cls, fusion: Fusion, context: int) -> Self:
        """Return room for windows of `context` rows."""
        steps, size = fusion.ahead.shape
        both, head = fusion.key.shape[1], fusion.value.shape[1]
        rows = context + steps
        shapes: list[tuple[int, ...]] = [(rows, size)] * 4
        shapes += [(rows, 2 * size), (rows, size), (1, 4 * size), (2, size), (rows, both), (rows, head)]
        shapes += [(steps, both), (rows,), (steps, head), (steps, size)]
        return cls(*(np.empty(shape, dtype=np.float32) for shape in shapes))


@routine
def residual(
    x: Float32Array, net: Residual, first: Float32Array, second: Float32Array, wide: Float32Array, out: Float32Array
) -> None:
    """Put `x` [N, I] through a gated residual network; `out` [N, O] holds what it is added to and becomes the result."""
    filled(net.first_bias, first)
    dense(x, net.first_weight, first)
    curved(first)
    filled(net.second_bias, second)
    dense(first, net.second_weight, second)
    filled(net.gate_bias, wide)
    dense(second, net.gate_weight, wide)
    gated(wide, out)
    normed(net.norm_weight, net.norm_bias, out)


@routine
def skipped(x: Float32Array, net: Gate, wide: Float32Array, out: Float32Array) -> None:
    """Put `x` [N, d] through a gate; `out` [N, d] holds what it is added to and becomes the result."""
    filled(net.bias, wide)
    dense(x, net.weight, wide)
    gated(wide, out)
    normed(net.norm_weight, net.norm_bias, out)


@routine
def _layer(x: Float32Array, weight: Float32Array, bias: Float32Array, out: Float32Array) -> None:
    """Put each variable of `x` [I, F] through its own layer `weight` [I, O, F] into `out` [O, F]."""
    for o in range(out.shape[0]):
        for f in range(out.shape[1]):
            out[o, f] = bias[o, f]
        for i in range(x.shape[0]):
            for f in range(out.shape[1]):
                out[o, f] += x[i, f] * weight[i, o, f]


@routine
def _norm(weight: Float32Array, bias: Float32Array, total: Float32Array, out: Float32Array) -> None:
    """Replace each variable's column of `out` [d, F] by its layer norm; `total` [2, F] is room."""
    size = np.float32(out.shape[0])
    total[:] = np.float32(0.0)
    for o in range(out.shape[0]):
        for f in range(out.shape[1]):
            total[0, f] += out[o, f]
    for f in range(out.shape[1]):
        total[0, f] /= size
    for o in range(out.shape[0]):
        for f in range(out.shape[1]):
            total[1, f] += (out[o, f] - total[0, f]) * (out[o, f] - total[0, f])
    for f in range(out.shape[1]):
        total[1, f] = np.float32(1.0) / np.sqrt(total[1, f] / size + NORM_EPSILON)
    for o in range(out.shape[0]):
        for f in range(out.shape[1]):
            out[o, f] = (out[o, f] - total[0, f]) * total[1, f] * weight[o, f] + bias[o, f]


@routine
def _softmax(out: Float32Array) -> None:
    """Replace `out` [N] by its softmax."""
    highest = out[0]
    for n in range(1, out.shape[0]):
        highest = max(highest, out[n])
    for n in range(out.shape[0]):
        out[n] = raised(out[n] - highest)
    total = np.float32(0.0)
    for n in range(out.shape[0]):
        total += out[n]
    for n in range(out.shape[0]):
        out[n] /= total


@routine
def _alone(
    x: Float32Array,
    net: Selection,
    written: Float32Array,
    held: Float32Array,
    wide: Float32Array,
    total: Float32Array,
    out: Float32Array,
) -> None:
    """Write each variable of `x` [F] into `written` [c, F], and put it through its own network into `out` [d, F].

    `held` [2, m, F], `wide` [2d, F] and `total` [2, F] are room.
    """
    size = out.shape[0]
    for k in range(written.shape[0]):
        for f in range(x.shape[0]):
            written[k, f] = x[f] * net.scale[k, f] + net.shift[k, f]
    _layer(written, net.first_weight, net.first_bias, held[0])
    curved(held[0])
    _layer(held[0], net.second_weight, net.second_bias, held[1])
    _layer(held[1], net.gate_weight, net.gate_bias, wide)
    for o in range(size):
        low, high, share = net.beside.low[o], net.beside.high[o], net.beside.share[o]
        for f in range(x.shape[0]):
            between = written[low, f] * (np.float32(1.0) - share) + written[high, f] * share
            out[o, f] = between * net.beside_share[o, f]
    _norm(net.beside_weight, net.beside_bias, total, out)
    for o in range(size):
        for f in range(x.shape[0]):
            out[o, f] += wide[o, f] * sigmoid(wide[size + o, f])
    _norm(net.norm_weight, net.norm_bias, total, out)


@routine
def select(x: Float32Array, net: Selection, out: Float32Array) -> None:
    """Make each row of `x` [N, F] into a row of `out` [N, d]."""
    wrote, variables, size = net.scale.shape[0], x.shape[1], out.shape[1]
    written = np.empty((wrote, variables), dtype=np.float32)
    held = np.empty((2, wrote, variables), dtype=np.float32)
    wide = np.empty((2 * size, variables), dtype=np.float32)
    total = np.empty((2, variables), dtype=np.float32)
    alone = np.empty((size, variables), dtype=np.float32)
    first = np.empty((1, net.taken.first_bias.shape[0]), dtype=np.float32)
    second = np.empty_like(first)
    gate = np.empty((1, 2 * variables), dtype=np.float32)
    taken = np.empty((1, variables), dtype=np.float32)
    flat = written.reshape((1, wrote * variables))
    for n in range(x.shape[0]):
        _alone(x[n], net, written, held, wide, total, alone)
        for f in range(variables):
            low, high, share = net.taken_beside.low[f], net.taken_beside.high[f], net.taken_beside.share[f]
            taken[0, f] = (flat[0, low] * (np.float32(1.0) - share) + flat[0, high] * share) * net.taken_share[f]
        normed(net.taken_weight, net.taken_bias, taken)
        residual(flat, net.taken, first, second, gate, taken)
        _softmax(taken[0])
        for o in range(size):
            held_sum = np.float32(0.0)
            for f in range(variables):
                held_sum += alone[o, f] * taken[0, f]
            out[n, o] = held_sum


@routine
def _remember(x: Float32Array, net: Memory, room: Scratch, out: Float32Array) -> None:
    """Run the memory over the rows of `x` [N, d] from and to `room.state`; `out` [N, d] gets the hidden states."""
    size = x.shape[1]
    gates = room.gates
    for n in range(x.shape[0]):
        filled(net.bias, gates)
        dense(x[n : n + 1], net.input_weight, gates)
        dense(room.state[:1], net.state_weight, gates)
        for o in range(size):
            kept = sigmoid(gates[0, size + o]) * room.state[1, o]
            room.state[1, o] = kept + sigmoid(gates[0, o]) * tanh(gates[0, 2 * size + o])
        for o in range(size):
            room.state[0, o] = sigmoid(gates[0, 3 * size + o]) * tanh(room.state[1, o])
            out[n, o] = room.state[0, o]


@routine
def _attend(net: Fusion, context: int, heads: int, room: Scratch) -> None:
    """Fill `room.heads` [K, k] with the mean over heads of what each horizon attends to: no horizon sees itself or a later one."""
    filled(net.key_bias, room.keys)
    dense(room.enriched, net.key, room.keys)
    filled(net.value_bias, room.values)
    dense(room.enriched, net.value, room.values)
    filled(net.query_bias, room.asked)
    dense(room.enriched[context:], net.query, room.asked)
    size = room.values.shape[1]
    narrow = np.float32(1.0) / np.sqrt(np.float32(size))
    room.heads[:] = np.float32(0.0)
    for k in range(room.asked.shape[0]):
        for h in range(heads):
            last = context + k
            for n in range(last):
                score = np.float32(0.0)
                for o in range(h * size, (h + 1) * size):
                    score += room.asked[k, o] * room.keys[n, o]
                room.scores[n] = score * narrow
            _softmax(room.scores[:last])
            for n in range(last):
                for o in range(size):
                    room.heads[k, o] += room.scores[n] * room.values[n, o]
        for o in range(size):
            room.heads[k, o] /= np.float32(heads)


@routine
def _told(rows: Float32Array, net: Fusion, heads: int, room: Scratch, out: Float32Array) -> None:
    """Fill `out` [K, Q] with what is forecast from one window of rows [context, d]."""
    context = rows.shape[0]
    room.state[0, :] = net.hidden
    room.state[1, :] = net.cell
    _remember(rows, net.encoder, room, room.first[:context])
    _remember(net.ahead, net.decoder, room, room.first[context:])
    room.local[:context] = rows
    room.local[context:] = net.ahead
    skipped(room.first, net.local, room.wide, room.local)
    room.enriched[:] = room.local
    residual(room.local, net.enrich, room.first, room.second, room.wide, room.enriched)
    _attend(net, context, heads, room)
    steps = out.shape[0]
    room.seen[:] = np.float32(0.0)
    dense(room.heads, net.back, room.seen)
    room.skip[:steps] = room.enriched[context:]
    skipped(room.seen, net.attended, room.wide[:steps], room.skip[:steps])
    room.seen[:] = room.skip[:steps]
    residual(room.skip[:steps], net.forward, room.first[:steps], room.second[:steps], room.wide[:steps], room.seen)
    skipped(room.seen, net.leaving, room.wide[:steps], room.local[context:])
    filled(net.out_bias, out)
    dense(room.local[context:], net.out, out)


@routine
def tell(rows: Float32Array, context: int, net: Fusion, heads: int, room: Scratch, out: Float32Array) -> None:
    """Fill `out` [T - context + 1, S, K, Q] from the windows of rows [S, T, d]."""
    for s in range(rows.shape[0]):
        for t in range(out.shape[0]):
            _told(rows[s, t : t + context], net, heads, room, out[t, s])


class Transformer:
    """The network, folded for serving."""

    def __init__(self, weights: Weights, context: int, steps: int, heads: int) -> None:
        self.context, self.steps, self.heads = context, steps, heads
        self._selection = _selection(weights)
        self._fusion = _fusion(weights, steps)
        self._room = Scratch.of(self._fusion, context)

    def rows(self, inputs: Float32Array) -> Float32Array:
        """Return [T, S, d] what each row and symbol of scaled features [T, S, F] is made into."""
        bars, symbols, variables = inputs.shape
        out = np.empty((bars * symbols, self._fusion.ahead.shape[1]), dtype=np.float32)
        select(np.ascontiguousarray(inputs).reshape(-1, variables), self._selection, out)
        return out.reshape(bars, symbols, -1)

    def tell(self, rows: Float32Array) -> Float32Array:
        """Return [T - context + 1, S, K, Q] the quantiles that windows ending in each row of [T, S, d] forecast."""
        bars, symbols, _ = rows.shape
        out = np.empty((bars - self.context + 1, symbols, self.steps, self._fusion.out.shape[1]), dtype=np.float32)
        tell(np.ascontiguousarray(rows.transpose(1, 0, 2)), self.context, self._fusion, self.heads, self._room, out)
        return out


def _residual(weights: Weights, name: str, context: Float32Array | None = None) -> Residual:
    def layer(part: str) -> tuple[Float32Array, Float32Array]:
        return weights[f"{name}.{part}.weight"], weights[f"{name}.{part}.bias"]

    first, bias = layer("fc1")
    if context is not None:
        bias = bias + context @ weights[f"{name}.context.weight"]
    return Residual(first, bias, *layer("fc2"), *layer("gate_norm.glu.fc"), *layer("gate_norm.add_norm.norm"))


def _gate(weights: Weights, gate: str, norm: str) -> Gate:
    return Gate(*(weights[f"{each}.{part}"] for each in (gate, norm) for part in ("weight", "bias")))


def _constant(weights: Weights, name: str) -> Float32Array:
    """Return [d] what a static encoder makes of nothing."""
    net = _residual(weights, ROOT + name)
    size = net.norm_bias.shape[0]
    first, second, out = (np.zeros((1, size), dtype=np.float32) for _ in range(3))
    residual(np.zeros((1, size), dtype=np.float32), net, first, second, np.zeros((1, 2 * size), dtype=np.float32), out)
    constant: Float32Array = out[0]
    return constant


def _stretch(size: int, wanted: int) -> Stretch:
    place = np.linspace(0.0, size - 1.0, wanted)
    low = np.minimum(np.floor(place).astype(np.int64), max(size - 2, 0))
    return Stretch(low, np.minimum(low + 1, size - 1), (place - low).astype(np.float32))


def _selection(weights: Weights) -> Selection:
    name = f"{ROOT}encoder_variable_selection"
    count = sum(key.startswith(f"{name}.prescalers.") and key.endswith(".weight") for key in weights)
    own = [f"{name}.single_variable_grns.f{place}" for place in range(count)]

    def each(part: str) -> Float32Array:
        return np.ascontiguousarray(np.stack([weights[f"{path}.{part}"] for path in own], axis=-1))

    def share(mask: Float32Array) -> Float32Array:
        return (2.0 / (1.0 + np.exp(-mask.astype(np.float64)))).astype(np.float32)

    scalers = [f"{name}.prescalers.f{place}" for place in range(count)]
    scale = np.ascontiguousarray(np.stack([weights[f"{path}.weight"].reshape(-1) for path in scalers], axis=-1))
    shift = np.ascontiguousarray(np.stack([weights[f"{path}.bias"] for path in scalers], axis=-1))
    wrote, size = scale.shape[0], each("gate_norm.add_norm.norm.bias").shape[0]
    # The library writes variable by variable, here place by place: what reads it is turned.
    turned = np.arange(count * wrote).reshape(count, wrote).T.reshape(-1)
    back = np.argsort(turned)
    taken = _residual(weights, f"{name}.flattened_grn", _constant(weights, "static_context_variable_selection"))
    narrow = _stretch(count * wrote, count)
    beside = f"{name}.flattened_grn.resample_norm"
    return Selection(
        scale=scale,
        shift=shift,
        first_weight=each("fc1.weight"),
        first_bias=each("fc1.bias"),
        second_weight=each("fc2.weight"),
        second_bias=each("fc2.bias"),
        gate_weight=each("gate_norm.glu.fc.weight"),
        gate_bias=each("gate_norm.glu.fc.bias"),
        beside=_stretch(wrote, size),
        beside_share=share(each("resample_norm.mask")),
        beside_weight=each("resample_norm.norm.weight"),
        beside_bias=each("resample_norm.norm.bias"),
        norm_weight=each("gate_norm.add_norm.norm.weight"),
        norm_bias=each("gate_norm.add_norm.norm.bias"),
        taken=taken._replace(first_weight=np.ascontiguousarray(taken.first_weight[turned])),
        taken_beside=Stretch(back[narrow.low], back[narrow.high], narrow.share),
        taken_share=share(weights[f"{beside}.mask"]),
        taken_weight=weights[f"{beside}.norm.weight"],
        taken_bias=weights[f"{beside}.norm.bias"],
    )


def _ahead(weights: Weights, steps: int) -> Float32Array:
    """Return [K, d] what the decoder makes of each horizon's place."""
    name = f"{ROOT}decoder_variable_selection"
    net, norm = f"{name}.single_variable_grns.step", f"{name}.single_variable_grns.step.resample_norm"
    place = np.linspace(0.0, 1.0, steps, dtype=np.float32)[:, None] if steps > 1 else np.ones((1, 1), dtype=np.float32)
    written = place @ weights[f"{name}.prescalers.step.weight"] + weights[f"{name}.prescalers.step.bias"]
    told = _residual(weights, net)
    size, stretch = told.norm_bias.shape[0], _stretch(written.shape[1], told.norm_bias.shape[0])
    between = written[:, stretch.low] * (1.0 - stretch.share) + written[:, stretch.high] * stretch.share
    out = np.ascontiguousarray(between * (2.0 / (1.0 + np.exp(-weights[f"{norm}.mask"]))), dtype=np.float32)
    normed(weights[f"{norm}.norm.weight"], weights[f"{norm}.norm.bias"], out)
    first, second = (np.empty((steps, told.first_bias.shape[0]), dtype=np.float32) for _ in range(2))
    residual(np.ascontiguousarray(written), told, first, second, np.empty((steps, 2 * size), dtype=np.float32), out)
    return out


def _memory(weights: Weights, name: str) -> Memory:
    held = {part: weights[f"{ROOT}{name}.{part}_l0"] for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")}
    return Memory(held["weight_ih"], held["weight_hh"], held["bias_ih"] + held["bias_hh"])


def _heads(weights: Weights, kind: str, part: str) -> Float32Array:
    """Return what all heads multiply by, side by side."""
    start, end = f"{ROOT}multihead_attn.{kind}_layers.", f".{part}"
    numbers = sorted(
        int(key.removeprefix(start).removesuffix(end)) for key in weights if key.startswith(start) and key.endswith(end)
    )
    return np.ascontiguousarray(np.concatenate([weights[f"{start}{number}{end}"] for number in numbers], axis=-1))


def _fusion(weights: Weights, steps: int) -> Fusion:
    return Fusion(
        ahead=_ahead(weights, steps),
        hidden=_constant(weights, "static_context_initial_hidden_lstm"),
        cell=_constant(weights, "static_context_initial_cell_lstm"),
        encoder=_memory(weights, "lstm_encoder"),
        decoder=_memory(weights, "lstm_decoder"),
        local=_gate(weights, f"{ROOT}post_lstm_gate_encoder.fc", f"{ROOT}post_lstm_add_norm_encoder.norm"),
        enrich=_residual(weights, f"{ROOT}static_enrichment", _constant(weights, "static_context_enrichment")),
        query=_heads(weights, "q", "weight"),
        query_bias=_heads(weights, "q", "bias"),
        key=_heads(weights, "k", "weight"),
        key_bias=_heads(weights, "k", "bias"),
        value=weights[f"{ROOT}multihead_attn.v_layer.weight"],
        value_bias=weights[f"{ROOT}multihead_attn.v_layer.bias"],
        back=weights[f"{ROOT}multihead_attn.w_h.weight"],
        attended=_gate(weights, f"{ROOT}post_attn_gate_norm.glu.fc", f"{ROOT}post_attn_gate_norm.add_norm.norm"),
        forward=_residual(weights, f"{ROOT}pos_wise_ff"),
        leaving=_gate(weights, f"{ROOT}pre_output_gate_norm.glu.fc", f"{ROOT}pre_output_gate_norm.add_norm.norm"),
        out=weights[f"{ROOT}output_layer.weight"],
        out_bias=weights[f"{ROOT}output_layer.bias"],
    )
