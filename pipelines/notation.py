"""JSON as it is kept: keys sorted, no spaces, every number in digits that read back as the same bits.

orjson writes a bar of a hundred orders in a thirtieth of the standard library's time, but not all that JSON can say: no integer
beyond 64 bits, and no half of a surrogate pair, which a name from outside may hold. Those few texts the standard library writes.
"""

import json
from collections.abc import Callable
from typing import Any

import orjson


def text(value: Any) -> str:
    """Return the text of a value, in which a number that is none is null; raise TypeError, ValueError or RecursionError for others.

    Whoever reads it back for good wants `written`, which refuses such a number.
    """
    return _told(value)[0]


def written(value: Any) -> str:
    """Return the text of a value; raise ValueError for one that does not read back as it was: string keys, lists for tuples."""
    try:
        told, reader = _told(value)
    except (TypeError, RecursionError) as problem:
        raise ValueError(str(problem)) from problem
    if reader(told) != value:
        raise ValueError("it must read back as written: no number that is none, string keys, and lists for tuples")
    return told


def _told(value: Any) -> tuple[str, Callable[[str], Any]]:
    """Return the text of a value and who reads it back: orjson takes integers beyond 64 bits for floats."""
    try:
        return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode(), orjson.loads
    except orjson.JSONEncodeError:
        return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False), json.loads
