"""How numbers are compiled: one policy for kernels, one for money; each with a second form for what is called and not inlined.

`fastmath=True` deletes `isnan` and reorders sums, so it is never used. Kernels may contract a multiply and an add
(`FASTMATH`); money may not, because whether LLVM contracts depends on what a function was inlined into, and a live
step must equal a simulated one to the last bit.

Machine code is kept on disk. Numba throws it away when the function's own file changes; here it does so too when any
of our files that this one imports has changed, because their functions and constants are inlined: code from before an
update would go on trading by the old rules.
"""

import ast
import functools
import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import numba
from numba.core.compiler import Compiler

#: What LLVM may do to a kernel's arithmetic. Not `arcp`: n * (1 / n) is not 1, nor 20 * (1 / 40) what 21 * (1 / 42) is, so that a
#: rank or a correlation that is flat or tied would seem not to be.
FASTMATH = frozenset({"contract", "nsz"})
ROOT = Path(__file__).parents[1]

Function = TypeVar("Function", bound=Callable[..., Any])


class Unaliased(Compiler):  # type: ignore[misc]
    """Numba's compiler, told that no array that a function writes overlaps another of its arguments.

    Without that promise LLVM compares the addresses of all arrays before each loop, and gives up on SIMD past a few of them.
    """

    def define_pipelines(self) -> Any:
        """Return numba's own passes; the flag is read when they begin."""
        self.state.flags.noalias = True
        return super().define_pipelines()


def kernel(function: Function) -> Function:
    """Compile a feature kernel: NaN-safe fast arithmetic, cached on disk, no bounds checks, GIL released.

    What a kernel writes must not overlap anything else that it is handed. Kernels that a kernel calls become part of it: to hand
    over a dozen arrays takes as long as a row of some twenty symbols.
    """
    return _fast(function, forceinline=True)


def routine(function: Function) -> Function:
    """Compile like a kernel what is too large to become part of each of its callers: it is called."""
    return _fast(function, forceinline=False)


def _fast(function: Function, *, forceinline: bool) -> Function:
    options: dict[str, Any] = {"fastmath": set(FASTMATH), "nogil": True, "error_model": "numpy"}
    compiled = numba.njit(cache=True, forceinline=forceinline, pipeline_class=Unaliased, **options)
    return _stamped(compiled(function), function)


def money(function: Function) -> Function:
    """Compile a step that handles money: strict IEEE arithmetic, equal wherever it is inlined. It may not make arrays.

    Without numba's runtime no array that is handed on is counted. A trader is some sixty arrays, and to count each of them at each
    call takes twenty times as long as what is done with them. A function that makes an array does not compile.
    """
    return _strict(function, forceinline=True, _nrt=False)


def money_routine(function: Function) -> Function:
    """Compile like money what makes arrays: it is called, and counts what it is handed."""
    return _strict(function)


def _strict(function: Function, **options: Any) -> Function:
    return _stamped(numba.njit(fastmath=False, cache=True, nogil=True, error_model="numpy", **options)(function), function)


def sources(path: Path) -> tuple[Path, ...]:
    """Return `path` and every file of ours that it imports, directly or not, sorted."""
    found, left = {path}, [path]
    while left:
        fresh = _imports(left.pop()) - found
        found |= fresh
        left += fresh
    return tuple(sorted(found))


def _stamped(compiled: Any, function: Function) -> Function:
    """Bind the machine code on disk to the contents of all files that may have been inlined into it."""
    if numba.config.DISABLE_JIT:
        return function
    files = sources(Path(function.__code__.co_filename))
    digest = hashlib.sha256("".join(_digest(path) for path in files).encode()).hexdigest()
    index = compiled._cache._cache_file
    index._source_stamp = (index._source_stamp, digest)
    stamped: Function = compiled
    return stamped


@functools.cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@functools.cache
def _imports(path: Path) -> set[Path]:
    """Return our files that one file imports."""
    tree = ast.parse(path.read_bytes())
    return {found for node in ast.walk(tree) for name in _names(node) if (found := _file(name)) is not None}


def _names(node: ast.AST) -> Iterator[str]:
    """Yield what may be a module in an import statement: `from a.b import c` is a.b, and perhaps a.b.c."""
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names)
    elif isinstance(node, ast.ImportFrom) and node.module is not None:
        yield node.module
        yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _file(name: str) -> Path | None:
    path = ROOT.joinpath(*name.split(".")).with_suffix(".py")
    return path if path.is_file() else None
