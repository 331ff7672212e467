"""The walker answers as XGBoost's own predictor does, to the last bit, for every kind of tree and value."""

import json
from typing import Any

import numpy as np
import pytest
import xgboost
from hypothesis import given, settings
from hypothesis import strategies as st
from xgboost import Booster

from domain.error import ModelError
from models import walker
from models.walker import Forest

FEATURES = 5
GROWN: dict[str, Any] = {"tree_method": "hist", "nthread": 1, "max_depth": 6, "eta": 0.3, "seed": 7}


def grown(rounds: int = 20, seed: int = 0, rows: int = 400, **special: Any) -> Booster:
    """Return trees on values of which a tenth is missing."""
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((rows, FEATURES)).astype(np.float32)
    label = features[:, 0] * features[:, 1] + np.abs(features[:, 2]) + 0.3 * rng.standard_normal(rows)
    features[rng.random(features.shape) < 0.1] = np.nan
    return xgboost.train(GROWN | special, xgboost.DMatrix(features, label=label), rounds)


def saved(booster: Booster) -> bytes:
    """Return the bytes that a bundle keeps."""
    return bytes(booster.save_raw("ubj"))


def theirs(booster: Booster, rows: np.ndarray) -> np.ndarray:
    """Return what XGBoost's own predictor says."""
    return booster.inplace_predict(rows, validate_features=False)


def asked(booster: Booster, rows: int = 200, seed: int = 1) -> np.ndarray:
    """Return rows [N, F] made of what is hard: thresholds and their neighbours, both zeros and infinities, gaps, the smallest."""
    trees = json.loads(booster.save_raw("json"))["learner"]["gradient_booster"]["model"]["trees"]
    exact = np.concatenate([np.float32([0.0, 1.0]), *(np.float32(tree["split_conditions"]) for tree in trees)])
    beside = np.nextafter(exact, np.float32(np.inf), dtype=np.float32)
    odd = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, -np.nan, 1e-45, -1e-45, 3.4e38, -3.4e38], dtype=np.float32)
    rng = np.random.default_rng(seed)
    usual = rng.standard_normal(200).astype(np.float32)
    return rng.choice(np.concatenate([exact, beside, np.tile(odd, 20), usual]), (rows, FEATURES)).astype(np.float32)


@pytest.mark.parametrize(
    "special",
    [
        {},
        {"max_depth": 1},
        {"max_depth": 11, "min_child_weight": 0.0},
        {"grow_policy": "lossguide", "max_depth": 0, "max_leaves": 60, "min_child_weight": 0.0},
        {"gamma": 20.0},
        {"gamma": 1e9},
        {"base_score": 0.1},
        {"base_score": -1234.567},
        {"num_parallel_tree": 3, "subsample": 0.5, "colsample_bynode": 0.5},
        {"tree_method": "exact"},
    ],
)
def test_it_equals_xgboost_to_the_last_bit(special: dict[str, Any]):
    """Deep and shallow trees, lopsided ones, pruned ones, some or all a single leaf, and any base."""
    booster = grown(**special)
    rows = asked(booster)

    found = Forest.read(saved(booster)).predict(rows)

    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, theirs(booster, rows))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 9), st.integers(1, 30), st.floats(-5.0, 5.0, width=32))
def test_it_equals_xgboost_for_any_number_of_trees(seed: int, depth: int, rounds: int, base: float):
    """Also where the last group of trees is not full."""
    booster = grown(rounds, seed, rows=150, max_depth=depth, base_score=base, min_child_weight=0.0)
    rows = asked(booster, 50, seed)

    np.testing.assert_array_equal(Forest.read(saved(booster)).predict(rows), theirs(booster, rows))


def test_no_trees_forecast_the_base():
    """Rounds may be none."""
    booster = grown(rounds=0, base_score=0.25)

    np.testing.assert_array_equal(Forest.read(saved(booster)).predict(np.zeros((3, FEATURES), dtype=np.float32)), [0.25] * 3)


@pytest.mark.parametrize("split", [1, 7, 64, 199])
def test_no_bit_depends_on_the_other_rows(split: int):
    """Batches of any size are what all rows together are."""
    booster = grown()
    rows, forest = asked(booster), Forest.read(saved(booster))

    apart = np.concatenate([forest.predict(rows[first : first + split]) for first in range(0, len(rows), split)])

    np.testing.assert_array_equal(apart, forest.predict(rows))


def test_the_layout_of_rows_does_not_matter():
    """Columns side by side, every second row, and doubles that floats can hold."""
    booster = grown()
    rows, forest = asked(booster), Forest.read(saved(booster))
    expected = forest.predict(rows)

    np.testing.assert_array_equal(forest.predict(np.asfortranarray(rows)), expected)
    np.testing.assert_array_equal(forest.predict(rows[::2]), expected[::2])
    np.testing.assert_array_equal(forest.predict(rows.astype(np.float64)), expected)
    assert forest.predict(rows[:0]).shape == (0,)


@pytest.mark.parametrize("shape", [(3, FEATURES + 1), (3, FEATURES - 1), (FEATURES,)])
def test_rows_of_another_width_are_refused(shape: tuple[int, ...]):
    """Compiled code would read beyond them."""
    with pytest.raises(ModelError, match="trees on 5 features were asked about an array of shape"):
        Forest.read(saved(grown(rounds=1))).predict(np.zeros(shape, dtype=np.float32))


def test_models_of_another_kind_are_refused():
    """Classifiers, linear models, dropped trees, several targets and splits by category say what they are."""
    rng = np.random.default_rng(0)
    features, label = rng.standard_normal((100, 2)), rng.integers(0, 2, 100)
    coded = xgboost.DMatrix(np.abs(np.round(features)), label=label, feature_types=["c", "c"], enable_categorical=True)
    plain, twice = xgboost.DMatrix(features, label=label), xgboost.DMatrix(features, label=np.column_stack((label, label)))
    others = [
        xgboost.train({"objective": "binary:logistic"}, plain, 2),
        xgboost.train({"booster": "gblinear"}, plain, 2),
        xgboost.train({"booster": "dart", "rate_drop": 0.5}, plain, 4),
        xgboost.train({"multi_strategy": "one_output_per_tree"}, twice, 2),
        xgboost.train({"max_cat_to_onehot": 1, "min_child_weight": 0.0}, coded, 2),
    ]

    for other in others:
        with pytest.raises(ModelError, match="trees were to be compiled from"):
            Forest.read(saved(other))


@pytest.mark.parametrize("length", [0, 1, 2, 30, 500, -1])
def test_half_a_model_is_no_model(length: int):
    """Cut anywhere, it is refused."""
    with pytest.raises(ValueError, match=r"model|buffer|offset"):
        Forest.read(saved(grown(rounds=3))[:length])


@pytest.mark.parametrize("raw", [b"nonsense", b"[#L" + bytes(8), b"{" + b"L" + bytes(8) + b"{" * 9, b"[#L" + b"\xff" * 8, b"[$i#"])
def test_what_is_no_model_is_refused(raw: bytes):
    """Without reading beyond its end, or forever."""
    with pytest.raises(ValueError, match=r"model|buffer"):
        Forest.read(raw)


def test_a_model_nested_without_end_is_refused():
    """It is not followed down."""
    with pytest.raises(ValueError, match="nests too deeply"):
        Forest.read((b"[#L" + (1).to_bytes(8, "big")) * 100_000)


def test_nodes_that_point_elsewhere_are_refused():
    """Compiled code follows them unasked: outside their tree, outside a row, and in circles."""
    raw = saved(grown(rounds=1, max_depth=2))
    left, feature = (raw.index(name) + len(name) + len("[$l#L") + 8 for name in (b"left_children", b"split_indices"))

    for at, value, told in ((left, 99, "outside"), (left, -2, "outside"), (feature, FEATURES, "outside"), (left, 0, "circles")):
        with pytest.raises(ValueError, match=told):
            Forest.read(raw[:at] + value.to_bytes(4, "big", signed=True) + raw[at + 4 :])


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_damaged_model_is_refused_or_forecasts_something(data: st.DataObject):
    """Any byte changed: the process lives on."""
    raw, rows = DAMAGED, np.full((2, FEATURES), 0.5, dtype=np.float32)
    place, value = data.draw(st.integers(0, len(raw) - 1)), data.draw(st.integers(0, 255))

    try:
        forest = Forest.read(raw[:place] + bytes([value]) + raw[place + 1 :])
    except (ValueError, ModelError):
        return
    if forest.features == FEATURES:
        assert forest.predict(rows).shape == (2,)


DAMAGED = saved(grown(rounds=2, max_depth=3))


def test_too_many_nodes_for_a_word_are_refused(monkeypatch: pytest.MonkeyPatch):
    """A place and a key share half a word."""
    monkeypatch.setattr(walker, "HALF_BITS", np.uint64(8))

    with pytest.raises(ModelError, match="do not fit into words of 64 bits"):
        Forest.read(saved(grown()))
