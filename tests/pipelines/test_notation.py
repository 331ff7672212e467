"""JSON as it is kept: whatever can be said reads back to the last bit, by the standard library."""

import json
import math
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines import notation

NUMBERS = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(st.characters(codec=None, categories=["L", "N", "Cs", "Cc"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(VALUES)
def test_the_standard_library_reads_back_what_was_written(value):
    """Integers beyond 64 bits and halves of surrogate pairs included."""
    assert json.loads(notation.written(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_reads_back_as_the_same_bits(number):
    """A negative zero stays one."""
    assert struct.pack("<d", json.loads(notation.written(number))) == struct.pack("<d", number)


def test_keys_are_sorted_and_nothing_is_between():
    """The text of a value is one, whatever order its keys came in."""
    assert notation.written({"b": [1, 2.5], "a": {"d": None, "c": "é"}}) == '{"a":{"c":"é","d":null},"b":[1,2.5]}'
    assert notation.written({"b": 2**64, "a": "é"}) == '{"a":"\\u00e9","b":18446744073709551616}'


@pytest.mark.parametrize(
    "value", [math.nan, math.inf, [-math.inf], (1, 2), {1: 2}, b"bytes", object(), {"at": np.datetime64(0, "s")}, {2: 2**64}]
)
def test_what_would_read_back_as_something_else_is_refused(value):
    """Nothing is written for a number that is none, nor for a tuple, which comes back as a list."""
    with pytest.raises(ValueError, match=r"read back|serializable"):
        notation.written({"value": value})


def test_a_number_of_numpy_is_a_number():
    """What computes hands on its own kind of float now and then."""
    assert notation.written({"value": np.float64(0.1)}) == '{"value":0.1}'


def test_what_refers_to_itself_is_refused():
    """There is no end to it."""
    endless = []
    endless.append(endless)
    with pytest.raises(ValueError, match="Circular"):
        notation.written(endless)


def test_a_text_that_is_only_shown_has_null_for_a_number_that_is_none():
    """A mark that is not known yet must not end a trader, as `written` would."""
    assert notation.text({"mark": math.nan}) == '{"mark":null}'
