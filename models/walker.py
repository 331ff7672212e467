"""A compiled walk through XGBoost's trees: the same bits as its own predictor, without its microseconds, and without importing it.

XGBoost rebuilds its view of the model at every call, which takes a hundred times as long as one row does. Here a node is one word:
the threshold, where the left child lies (the right one follows it), and which of the row's keys is compared. A leaf is its own
child, so that a walk takes no branch: it goes as many steps as the deepest tree has levels, eight trees at a time, since a single
tree would wait for memory at each of them. Leaves are added up in the order of their trees in float32, as XGBoost does.

Keys are the row's values as integers of the same order. Each row has its keys twice: a missing value is the largest of all in one
half, where it goes right, and the smallest in the other, where it goes left; a node reads the half that its default asks for.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from domain.compiled import kernel
from domain.error import ModelError
from models.contract import BoolArray, Float32Array, IntArray

Word = npt.NDArray[np.uint64]
Key = npt.NDArray[np.int32]

#: Trees walked at a time.
LANES = 8
#: All of a float32 but its sign, and infinity: whatever is larger is not a number.
MAGNITUDE, INFINITY = np.int32(0x7FFFFFFF), np.int32(0x7F800000)
#: Keys of a missing value.
LARGEST, SMALLEST = np.int32(0x7FFFFFFF), np.int32(-0x7FFFFFFF)
#: The half of a word that holds the child and the key; the threshold is in the other.
HALF_BITS = np.uint64(32)
#: Booster, objective, targets and splits by category of models that can be walked through.
COMPILED = ("gbtree", "reg:squarederror", "1", False)
#: A model's file nests less deeply than this.
NESTED_MAX = 16
#: UBJSON's marks of numbers, as NumPy names them.
NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}


@dataclass(frozen=True)
class Forest:
    """XGBoost's regression trees, ready to be walked through; safe in any number of threads."""

    nodes: Word
    """[M] threshold key << 32 | place of the left child << shift | which key is compared."""
    leaves: Float32Array
    """[M] what a walk that ends here adds."""
    roots: Word
    """[G, LANES] where each tree begins, in their order; what fills up the last group adds nothing."""
    depths: IntArray
    """[G] levels of the deepest tree of a group."""
    base: np.float32
    features: int
    shift: np.uint64
    raw: bytes
    """The model as XGBoost saves it, for whoever grows more trees."""

    @classmethod
    def read(cls, raw: bytes) -> Self:
        """Return the forest in a model as XGBoost saves it in UBJSON (`save_raw("ubj")`).

        Raises ModelError for models other than regression trees on numbers, ValueError for what is no model.
        """
        try:
            learner = _Reader(raw).value()["learner"]
            _refuse_others(learner)
            parameters, trees = learner["learner_model_param"], learner["gradient_booster"]["model"]["trees"]
            features, base = int(parameters["num_feature"]), np.float32(parameters["base_score"].strip("[]"))
            nodes = _Nodes.of(trees, features)
        except (KeyError, TypeError, AttributeError) as problem:
            raise ValueError(f"the model is not written as XGBoost writes one: {problem}") from None
        return cls._packed(nodes, base, features, raw)

    def predict(self, rows: Float32Array) -> Float32Array:
        """Return [N] the forecasts for rows [N, F], on one thread; no bit depends on the other rows.

        Raises ModelError for another number of features.
        """
        if rows.ndim != 2 or rows.shape[1] != self.features:
            raise ModelError(f"trees on {self.features} features were asked about an array of shape {rows.shape}")
        out = np.empty(len(rows), dtype=np.float32)
        rows = np.ascontiguousarray(rows, dtype=np.float32)
        _walk(rows, self.nodes, self.leaves, self.roots, self.depths, self.base, self.shift, out)
        return out

    @classmethod
    def _packed(cls, nodes: "_Nodes", base: np.float32, features: int, raw: bytes) -> Self:
        order, child, depth = nodes.laid()
        shift = (2 * features - 1).bit_length()
        if len(order) >> (int(HALF_BITS) - shift):
            raise ModelError(f"trees of {len(order)} nodes on {features} features do not fit into words of 64 bits")
        leaf = nodes.leaf[order]
        half = np.where(leaf | nodes.missing_left[order], features, 0)
        threshold = np.where(leaf, LARGEST, _keys(nodes.value[order])).astype(np.int64).astype(np.uint64)
        words = threshold << HALF_BITS | (child << shift | half + np.where(leaf, 0, nodes.feature[order])).astype(np.uint64)
        groups = -(-len(nodes.first) // LANES)
        # One more leaf fills up the last group of trees: negative zero, which changes no sum.
        rest = np.array([int(LARGEST) << int(HALF_BITS) | len(order) << shift | features], dtype=np.uint64)
        roots, depths = np.full(groups * LANES, len(order), dtype=np.uint64), np.zeros(groups * LANES, dtype=np.int64)
        roots[: len(depth)], depths[: len(depth)] = np.arange(len(depth)), depth
        leaves = np.append(np.where(leaf, nodes.value[order], np.float32(0.0)), np.float32(-0.0))
        deepest = depths.reshape(groups, LANES).max(axis=1)
        return cls(np.append(words, rest), leaves, roots.reshape(groups, LANES), deepest, base, features, np.uint64(shift), raw)


@dataclass(frozen=True)
class _Nodes:
    """The nodes of all trees, one tree after the other, as XGBoost numbers them."""

    first: IntArray
    """[T] each tree's root."""
    left: IntArray
    right: IntArray
    leaf: BoolArray
    feature: IntArray
    missing_left: BoolArray
    value: Float32Array
    """The threshold, or what a leaf adds."""

    @classmethod
    def of(cls, trees: list[dict[str, Any]], features: int) -> Self:
        """Return the nodes; raise ValueError where one points outside its tree or its row."""
        size = np.array([len(tree["left_children"]) for tree in trees], dtype=np.int64)
        first = np.cumsum(size) - size
        left, right, feature = (_column(trees, name, np.int64) for name in ("left_children", "right_children", "split_indices"))
        missing_left, value = _column(trees, "default_left", np.bool_), _column(trees, "split_conditions", np.float32)
        if {len(column) for column in (left, right, feature, missing_left, value)} != {int(size.sum())} or (size < 1).any():
            raise ValueError("the model's trees have columns of different lengths")
        bound, leaf = np.repeat(size, size), left == -1
        inside = (left < bound) & (right < bound) & (left >= 0) & (right >= 0) & (feature >= 0) & (feature < features)
        if not (inside | leaf).all():
            raise ValueError("the model's trees point outside themselves or their row")
        start = np.repeat(first, size)
        return cls(first, left + start, right + start, leaf, feature, missing_left, value)

    def laid(self) -> tuple[IntArray, IntArray, IntArray]:
        """Return [M] the nodes by level and tree, [M] where each one's left child lies in that order, and [T] levels of each tree.

        A leaf's child is itself. Raises ValueError where trees run in circles.
        """
        order, child, depth = [self.first[:0]], [self.first[:0]], np.zeros(len(self.first), dtype=np.int64)
        level, tree, placed, levels = self.first, np.arange(len(self.first)), 0, 0
        while len(level):
            inner = ~self.leaf[level]
            order.append(level)
            depth[tree] = levels
            after = placed + len(level)
            child.append(np.where(inner, after + 2 * (np.cumsum(inner) - 1), np.arange(placed, after)))
            if after > len(self.leaf):
                raise ValueError("the model's trees run in circles")
            split, tree = level[inner], np.repeat(tree[inner], 2)
            level, placed, levels = np.column_stack((self.left[split], self.right[split])).ravel(), after, levels + 1
        return np.concatenate(order), np.concatenate(child), depth


class _Reader:
    """UBJSON, as much of it as XGBoost writes: objects, counted arrays, typed arrays, strings and numbers."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def value(self, nested: int = 0) -> Any:
        """Return the next value; raise ValueError where there is none."""
        if nested > NESTED_MAX:
            raise ValueError("the model nests too deeply")
        mark = self._mark()
        if mark == b"{":
            return self._object(nested)
        if mark == b"[":
            return self._array(nested)
        if mark == b"S":
            return self._text()
        return self._numbers(mark, 1)[0].item()

    def _object(self, nested: int) -> dict[str, Any]:
        found = {}
        while self._raw[self._at : self._at + 1] != b"}":
            name = self._text()
            found[name] = self.value(nested + 1)
        self._at += 1
        return found

    def _array(self, nested: int) -> Any:
        mark = self._mark()
        kind = self._mark() if mark == b"$" else b""
        if (self._mark() if kind else mark) != b"#":
            raise ValueError("the model has an array without a length")
        length = self._length()
        return self._numbers(kind, length) if kind else [self.value(nested + 1) for _ in range(length)]

    def _text(self) -> str:
        return bytes(self._numbers(b"U", self._length())).decode()

    def _length(self) -> int:
        length = int(self._numbers(self._mark(), 1)[0])
        if length < 0:
            raise ValueError("the model has a length below zero")
        return length

    def _mark(self) -> bytes:
        self._at += 1
        return self._raw[self._at - 1 : self._at]

    def _numbers(self, kind: bytes, length: int) -> npt.NDArray[Any]:
        if kind not in NUMBERS:
            raise ValueError(f"the model has a value of unknown kind {kind!r}")
        found = np.frombuffer(self._raw, NUMBERS[kind], length, self._at) if length else np.empty(0, NUMBERS[kind])
        self._at += found.nbytes
        return found


def _refuse_others(learner: dict[str, Any]) -> None:
    booster = learner["gradient_booster"]
    trees = booster["model"]["trees"] if booster["name"] == "gbtree" else []
    by_category = any(tree["split_type"].any() for tree in trees)
    found = (booster["name"], learner["objective"]["name"], learner["learner_model_param"]["num_target"], by_category)
    if found != COMPILED:
        told = "(booster, objective, targets, splits by category)"
        raise ModelError(f"trees were to be compiled from a model of {told} {found}, but only {COMPILED} can be")


def _column(trees: list[dict[str, Any]], name: str, kind: type[np.generic]) -> npt.NDArray[Any]:
    return np.concatenate([np.empty(0, dtype=kind), *(tree[name].astype(kind) for tree in trees)])


def _keys(values: Float32Array) -> Key:
    """Return values as integers of the same order; both zeros are 0."""
    bits = values.view(np.int32)
    return np.where(bits >= 0, bits, -(bits & MAGNITUDE))


@kernel
def _walk(
    rows: Float32Array, nodes: Word, leaves: Float32Array, roots: Word, depths: IntArray, base: np.float32, shift: np.uint64,
    out: Float32Array,
) -> None:  # fmt: skip
    """Write [N] the sum of base and leaves for rows [N, F]; the rest is as in Forest."""
    bits = rows.view(np.int32)
    keys = np.empty(2 * rows.shape[1], dtype=np.int32)
    for n in range(len(rows)):
        _key(bits[n], keys)
        total = base
        for g in range(len(depths)):
            p0, p1, p2, p3 = roots[g, 0], roots[g, 1], roots[g, 2], roots[g, 3]
            p4, p5, p6, p7 = roots[g, 4], roots[g, 5], roots[g, 6], roots[g, 7]
            for _ in range(depths[g]):
                p0, p1 = _child(nodes[p0], keys, shift), _child(nodes[p1], keys, shift)
                p2, p3 = _child(nodes[p2], keys, shift), _child(nodes[p3], keys, shift)
                p4, p5 = _child(nodes[p4], keys, shift), _child(nodes[p5], keys, shift)
                p6, p7 = _child(nodes[p6], keys, shift), _child(nodes[p7], keys, shift)
            total = total + leaves[p0] + leaves[p1] + leaves[p2] + leaves[p3] + leaves[p4] + leaves[p5] + leaves[p6] + leaves[p7]
        out[n] = total


@kernel
def _key(bits: Key, keys: Key) -> None:
    """Write [2 F] the keys of one row's values [F], twice; see the module."""
    features = len(bits)
    for f in range(features):
        magnitude = bits[f] & MAGNITUDE
        key = bits[f] if bits[f] >= 0 else np.int32(-magnitude)
        missing = magnitude > INFINITY
        keys[f] = LARGEST if missing else key
        keys[features + f] = SMALLEST if missing else key


@kernel
def _child(node: np.uint64, keys: Key, shift: np.uint64) -> np.uint64:
    """Return the place of the child that the keys lead to."""
    low = node & np.uint64(0xFFFFFFFF)
    right = keys[low & ((np.uint64(1) << shift) - np.uint64(1))] >= np.int32(node >> HALF_BITS)
    return (low >> shift) + np.uint64(right)
