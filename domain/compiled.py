"""How numbers are compiled: one policy for kernels, one for money.

`fastmath=True` deletes `isnan` and reorders sums, so it is never used. Kernels may contract a multiply and an add
(`FASTMATH`); money may not, because whether LLVM contracts depends on what a function was inlined into, and a live
step must equal a simulated one to the last bit.
"""

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numba

FASTMATH = frozenset({"contract", "nsz", "arcp", "afn"})

Function = TypeVar("Function", bound=Callable[..., Any])


def kernel(function: Function) -> Function:
    """Compile a feature kernel: NaN-safe fast arithmetic, cached on disk, no bounds checks, GIL released."""
    return cast("Function", numba.njit(fastmath=set(FASTMATH), cache=True, nogil=True, error_model="numpy")(function))


def money(function: Function) -> Function:
    """Compile a step that handles money: strict IEEE arithmetic, equal wherever it is inlined."""
    return cast("Function", numba.njit(fastmath=False, cache=True, nogil=True, error_model="numpy")(function))
