"""Static covariates of the Temporal Fusion Transformer: from what hardly changes of a symbol to the contexts of its forecasts.

Lim et al. 2021, International Journal of Forecasting 37(4), sections 4.2 and 4.3. What a code's own network makes of it depends on
its class alone, so that it is looked up.
"""

from typing import NamedTuple, Self

import numpy as np

from domain.compiled import kernel, routine
from models.contract import Float32Array
from models.forward import Weights
from models.forward.layers import LANES, blocks, dense, filled, join, laid, lifted, normed, single, softmax
from models.forward.transformer import ENCODERS, ROOT, Contexts, Gate, Residual, Stream, folded, norm_weights, resampling, residual
from models.inputs import CLASSES, Places

CHOICE = f"{ROOT}static_variable_selection"
EMBEDDED, PRESCALED = f"{ROOT}input_embeddings.embeddings.c{{}}.weight", f"{CHOICE}.prescalers.s{{}}"


class Own(NamedTuple):
    """What each variable is made into, codes first."""

    table: Float32Array
    """[C, classes, c] what each class of a code is written as."""
    line: Float32Array
    """[R, 2, c] slope and start of what each number is written as."""
    beside: Float32Array
    """[V, d, c] the skip from what is written, before its norm; a code is made into nothing else."""
    norm: Float32Array
    """[V, 2, d]"""
    network: Residual
    """Of each number, [R, ..]."""


class Taken(NamedTuple):
    """From all that is written, codes first, to a share of each variable."""

    beside: Float32Array
    """[V, V * c]"""
    norm: Float32Array
    """[2, V]"""
    network: Residual


class Room(NamedTuple):
    """Room for one block."""

    written: Float32Array
    """[V * c, LANES]"""
    alone: Float32Array
    """[V, d, LANES]"""
    taken: Float32Array
    """[V, LANES]"""
    static: Float32Array
    """[d, LANES]"""
    beside: Float32Array
    """[max(d, V), LANES]"""
    first: Float32Array
    """[d, LANES]"""
    wide: Float32Array
    """[2 max(d, V), LANES]"""
    norms: Float32Array
    """[2, LANES]"""

    @classmethod
    def of(cls, variables: int, written: int, size: int) -> Self:
        """Return room for so many variables that are written in `written` places and made into `size`."""
        most = max(size, variables)
        shapes = [(variables * written,), (variables, size), (variables,), (size,), (most,), (size,), (2 * most,), (2,)]
        return cls(*(np.zeros((*shape, LANES), dtype=np.float32) for shape in shapes))


@kernel
def _nth(nets: Residual, n: int) -> Residual:
    """Return one of several networks."""
    return Residual(nets.weight[n], nets.bias[n], Gate(nets.gate.weight[n], nets.gate.bias[n], nets.gate.norm[n]))


@routine
def _passed(x: Float32Array, beside: Float32Array, net: Residual, room: Room, out: Float32Array) -> None:
    """Fill `out` [O, LANES] with what a gated residual network without context makes of `x` [I, LANES] and its skip `beside`."""
    first = room.first[: net.bias.shape[0]]
    filled(net.bias, first)
    residual(x, beside, net, first, room.wide[: 2 * out.shape[0]], room.norms, out)


@routine
def _resampled(x: Float32Array, weight: Float32Array, norm: Float32Array, room: Room, out: Float32Array) -> None:
    """Fill `out` [O, LANES] with the normed skip from `x` [I, LANES]."""
    out[:] = np.float32(0.0)
    dense(x, weight, out)
    normed(norm, room.norms, out)


@routine
def _looked_up(x: Float32Array, table: Float32Array, out: Float32Array) -> None:
    """Fill `out` [O, LANES] with the rows of `table` [classes, O] that `x` [LANES] names."""
    for lane in range(out.shape[1]):
        row = table[int(x[lane])]
        for o in range(out.shape[0]):
            out[o, lane] = row[o]


@routine
def _written(x: Float32Array, line: Float32Array, out: Float32Array) -> None:
    """Fill `out` [c, LANES] with linear functions of `x` [LANES]."""
    for k in range(out.shape[0]):
        for lane in range(out.shape[1]):
            out[k, lane] = x[lane] * line[0, k] + line[1, k]


@routine
def _alone(x: Float32Array, net: Own, room: Room) -> None:
    """Put each variable of `x` [V, LANES] through its own network into `room.alone`, and write it into `room.written`."""
    codes, size = net.table.shape[0], net.beside.shape[2]
    for v in range(x.shape[0]):
        written = room.written[v * size : (v + 1) * size]
        if v < codes:
            _looked_up(x[v], net.table[v], written)
            _resampled(written, net.beside[v], net.norm[v], room, room.alone[v])
        else:
            beside = room.beside[: room.alone.shape[1]]
            _written(x[v], net.line[v - codes], written)
            _resampled(written, net.beside[v], net.norm[v], room, beside)
            _passed(written, beside, _nth(net.network, v - codes), room, room.alone[v])


@routine
def _chosen(net: Taken, room: Room) -> None:
    """Fill `room.static` with all variables, as much of each as is taken."""
    beside = room.beside[: room.taken.shape[0]]
    _resampled(room.written, net.beside, net.norm, room, beside)
    _passed(room.written, beside, net.network, room, room.taken)
    softmax(room.norms, room.taken)
    room.static[:] = np.float32(0.0)
    for v in range(room.alone.shape[0]):
        for o in range(room.alone.shape[1]):
            join(room.alone[v, o], room.taken[v], room.static[o])


@routine
def _encoded(x: Float32Array, own: Own, taken: Taken, encoders: Residual, room: Room, out: Float32Array) -> None:
    """Fill `out` [4, B, d, LANES] with what each static encoder makes of variables `x` [B, V, LANES]."""
    for b in range(x.shape[0]):
        _alone(x[b], own, room)
        _chosen(taken, room)
        for e in range(out.shape[0]):
            _passed(room.static, room.static, _nth(encoders, e), room, out[e, b])


class Statics:
    """The static part of a network, folded for serving."""

    def __init__(self, weights: Weights, places: Places) -> None:
        self.places = places
        self._own, self._encoders = _own(weights, places), _stacked(weights, [ROOT + name for name in ENCODERS])
        count, size, written = self._own.beside.shape
        self._taken = _taken(weights, count, written)
        self._room = Room.of(count, written, size)

    def contexts(self, static: Float32Array) -> Contexts:
        """Return the contexts of symbols with static variables [S, V], classes of codes first, then scaled measures."""
        symbols, variables = static.shape
        x = np.zeros((blocks(symbols), variables, LANES), dtype=np.float32)
        laid(np.ascontiguousarray(static), x)
        held = np.empty((len(ENCODERS), len(x), self._room.static.shape[0], LANES), dtype=np.float32)
        _encoded(x, self._own, self._taken, self._encoders, self._room, held)
        out = np.empty((len(ENCODERS), symbols, held.shape[2]), dtype=np.float32)
        for each, made in zip(held, out, strict=True):
            lifted(each, made)
        return Contexts(*out)


class Situated:
    """A transformer over the bars of one universe whose symbols have something static; see `models.forward.Stream`.

    What is static of a bar decides what is taken of that bar's rows, and what memory and enrichment begin with while it is the
    newest.
    """

    def __init__(self, stream: Stream, statics: Statics) -> None:
        self._stream, self._statics = stream, statics
        self._varying, self._static = list(statics.places.varying), list(statics.places.static)

    def enter(self, row: Float32Array) -> None:
        """Take in scaled features [S, F] of the next bar."""
        self._stream.situate(self._statics.contexts(row[:, self._static]))
        self._stream.enter(np.ascontiguousarray(row[:, self._varying]))

    def said(self) -> Float32Array:
        """Return [S, K * Q] the quantiles that the windows ending in the newest bar forecast."""
        return self._stream.said()


def _own(weights: Weights, places: Places) -> Own:
    """Return what each variable is made into; where there are no numbers, none of some networks of the right kind."""
    codes, numbers = _names("c", len(places.codes)), _names("s", len(places.measures))
    skips = [*codes, *(f"{name}.resample_norm" for name in numbers)]
    tables = [weights[EMBEDDED.format(n)].T for n in range(len(codes))]
    lines = [[weights[f"{PRESCALED.format(n)}.{part}"].reshape(-1) for part in ("weight", "bias")] for n in range(len(numbers))]
    size = tables[0].shape[1] if tables else len(lines[0][0])
    return Own(
        table=single(np.reshape(tables, (-1, CLASSES, size))),
        line=single(np.reshape(lines, (-1, 2, size))),
        beside=single(np.stack([resampling(weights, name, size) for name in skips])),
        norm=np.stack([norm_weights(weights, f"{name}.norm") for name in skips]),
        network=_stacked(weights, numbers) if numbers else _none(_stacked(weights, [ROOT + ENCODERS[0]])),
    )


def _names(letter: str, count: int) -> list[str]:
    return [f"{CHOICE}.single_variable_grns.{letter}{number}" for number in range(count)]


def _taken(weights: Weights, variables: int, written: int) -> Taken:
    """Return what chooses. The library has none for one variable; whatever a share is made of, the only one is 1."""
    name = f"{CHOICE}.flattened_grn"
    if variables == 1:
        one, pair = np.zeros((1, written), dtype=np.float32), np.zeros((2, 1), dtype=np.float32)
        return Taken(one, pair, Residual(one, one[0, :1], Gate(pair, pair[:, 0].copy(), pair)))
    beside = single(resampling(weights, f"{name}.resample_norm", variables * written))
    return Taken(beside, norm_weights(weights, f"{name}.resample_norm.norm"), folded(weights, name))


def _stacked(weights: Weights, names: list[str]) -> Residual:
    """Return networks of one shape, as one."""
    nets = [folded(weights, name) for name in names]
    gate = Gate(*(np.stack([net.gate[part] for net in nets]) for part in range(len(Gate._fields))))
    return Residual(np.stack([net.weight for net in nets]), np.stack([net.bias for net in nets]), gate)


def _none(nets: Residual) -> Residual:
    """Return none of some networks."""
    return Residual(nets.weight[:0], nets.bias[:0], Gate(*(part[:0] for part in nets.gate)))
