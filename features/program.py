"""A fixed sequence of kernel calls as native work, run over a panel tile by tile: a whole history or one live bar.

Python takes about a microsecond to make a call that computes for one; with hundreds of calls a bar that is what a bar costs, and
tiles must be large to hide it, too large for the processor's caches. Here every call is a row of numbers: the address of what
numba compiled for the kernel, the addresses, shapes and strides of its arrays, its parameters. One compiled loop makes them all.
"""

import ctypes
import queue
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

Series = npt.NDArray[Any]
Numbers = npt.NDArray[np.int64]

_STATUS, _LONG = ir.IntType(32), ir.IntType(64)
_YIELD = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0
#: Columns of the table of calls: the thunk that makes it (0: all threads wait for each other), the kernel, its arguments' address.
_THUNK, _KERNEL, _ARGUMENTS = range(3)
#: Columns of the table of arguments that change: which one, the array that it points into (or none), how far in, and what it grows
#: by with the rows of a tile, the rows of the panel, and the tile's first row.
_WHICH, _ARRAY, _FIXED, _BY_ROWS, _BY_BARS, _BY_FIRST = range(6)


class Rows(NamedTuple):
    """An argument with a row for each row of the tile: [T, S], [T] where it has no columns, [parts, T, S] of several parts."""

    array: int
    """Number of the array that holds it."""
    kind: npt.DTypeLike
    columns: int | None
    moving: bool
    """The array spans the panel, [series, bars, S]; otherwise it is a flat buffer for the series of one tile, [series, T, S]."""
    part: int = 0
    """Number of its (first) series in the array."""
    parts: int = 1
    first: int = 0
    """Its first column in the array, whose rows are `columns` long; kernels count columns from there."""

    @property
    def wide(self) -> int:
        """Values in a row."""
        return 1 if self.columns is None else self.columns

    def of(self, array: Series, first: int, last: int) -> Series:
        """Return the argument for the panel's rows first .. last - 1."""
        if self.columns is None:
            return array[first:last]
        if self.moving:
            series = (array if array.ndim > 2 else array[np.newaxis])[self.part : self.part + self.parts, first:last]
        else:
            size = (last - first) * self.columns
            series = array[self.part * size : (self.part + self.parts) * size].reshape(self.parts, last - first, self.columns)
        series = series[..., self.first :]
        return series if self.parts > 1 else series[0]

    @property
    def dimensions(self) -> int:
        """How many axes the argument has."""
        return 1 + (self.columns is not None) + (self.parts > 1)


Call = tuple[Callable[..., Any], tuple[Any, ...]]
Stage = Sequence[Sequence[Call]]


class Interpreted:
    """Runs the calls from Python: for kernels that nobody compiled."""

    def __init__(self, stages: Sequence[Stage], tile: int, buffers: Sequence[Series]) -> None:
        self._calls = [call for stage in stages for block in stage for call in block]
        self._tile, self._buffers = tile, list(buffers)

    def __call__(self, moving: Sequence[Series], bars: int, first: int, last: int) -> None:
        """Make all calls for the rows first .. last - 1."""
        arrays = [*self._buffers, *moving]
        for begin in range(first, max(last, first + 1), self._tile):
            end = min(begin + self._tile, last)
            for kernel, arguments in self._calls:
                kernel(*(a.of(arrays[a.array], begin, end) if isinstance(a, Rows) else a for a in arguments))


class Program:
    """Kernel calls in stages. The blocks of a stage run at the same time, each on its thread, the stages one after the other.

    The GIL is released while it runs.
    """

    def __init__(self, stages: Sequence[Stage], tile: int, buffers: Sequence[Series], moving: int) -> None:
        """Write the program for tiles of at most so many rows; arrays are numbered, the buffers first, then the moving ones."""
        self._tile, self._buffers = tile, list(buffers)
        self._arrays = np.array([*(b.ctypes.data for b in buffers), *[0] * moving, 0], dtype=np.int64)
        #: How many threads have come to a barrier, ever.
        self._arrived = np.zeros(1, dtype=np.int64)
        threads = max(map(len, stages), default=1)
        self._scripts = [_Script([stage[i] if i < len(stage) else () for stage in stages]) for i in range(threads)]
        self._told: tuple[int, ...] = ()
        self._done: queue.SimpleQueue[int] = queue.SimpleQueue()
        self._wake = [_worker(self, i) for i in range(1, threads)]

    def __call__(self, moving: Sequence[Series], bars: int, first: int, last: int) -> None:
        """Make all calls for the rows first .. last - 1 of arrays of `bars` rows, C-contiguous; for no rows, make each once.

        Raises RuntimeError if a kernel failed: none of ours can.
        """
        self._arrays[len(self._buffers) : -1] = [array.__array_interface__["data"][0] for array in moving]
        self._told = bars, first, last, int(self._arrived[0])
        for wake in self._wake:
            wake.put(True)
        self.run(0)
        if any(self._done.get() for _ in self._scripts):
            raise RuntimeError("a kernel of the program failed")

    def run(self, thread: int) -> None:
        """Make one thread's calls of this run, and tell how the kernels did."""
        script, threads = self._scripts[thread], len(self._scripts)
        tables = script.calls, script.arguments, script.changes, script.unmoved, self._arrays, self._arrived
        self._done.put(_run(*tables, threads, _YIELD, self._tile, *self._told))


class _Script:
    """The calls of one thread as tables of numbers."""

    def __init__(self, stages: Sequence[Sequence[Call]]) -> None:
        self._words: list[int] = []
        self._changes: list[tuple[int, ...]] = []
        #: What numba's convention lets a kernel return a value and an exception in; ours do neither.
        self._scratch = np.zeros(2, dtype=np.int64)
        entries = [[_entry(kernel, tuple(map(_typed, arguments))) for kernel, arguments in calls] for calls in stages]
        thunks = _thunks([kind for stage in entries for kind, _ in stage])
        places: list[tuple[int, int, int]] = []
        for calls, found in zip(stages, entries, strict=True):
            for (_, arguments), (kind, address) in zip(calls, found, strict=True):
                places.append((thunks[kind], address, len(self._words)))
                self._write(arguments)
            # Blocks of columns share nothing: a single stage needs no waiting.
            if len(stages) > 1:
                places.append((0, 0, 0))
        self.arguments = np.array(self._words, dtype=np.int64)
        self.calls = np.array(places, dtype=np.int64).reshape(-1, 3)
        self.calls[:, _ARGUMENTS] = self.arguments.ctypes.data + self.calls[:, _ARGUMENTS] * self.arguments.itemsize
        changes = np.array(self._changes, dtype=np.int64).reshape(-1, 6)
        moves = changes[:, _BY_FIRST] != 0
        self.changes, self.unmoved = np.concatenate([changes[~moves], changes[moves]]), int((~moves).sum())
        """Arguments that change with the tile; the first `unmoved` ones only with its number of rows."""

    def _write(self, arguments: tuple[Any, ...]) -> None:
        """Write a call's arguments in numba's own convention: where to return, where to raise, then each taken apart."""
        self._words += (self._scratch.ctypes.data + i * self._scratch.itemsize for i in range(2))
        for argument in arguments:
            if isinstance(argument, Rows):
                self._write_rows(argument)
            elif isinstance(argument, np.ndarray):
                sizes = argument.size, argument.itemsize, argument.ctypes.data
                self._words += (0, 0, *sizes, *argument.shape, *argument.strides)
            else:
                self._words.append(_bits(argument))

    def _write_rows(self, rows: Rows) -> None:
        """Write an array's owners (none), sizes, address, shape and strides, and how they change."""
        item, several, columns = np.dtype(rows.kind).itemsize, rows.parts > 1, [] if rows.columns is None else [rows.columns]
        row = item * rows.wide
        self._words += (0, 0)
        self._change(by_rows=rows.parts * rows.wide)
        self._words.append(item)
        grows = {"by_bars": rows.part * row, "by_first": row} if rows.moving else {"by_rows": rows.part * row}
        self._change(array=rows.array, fixed=rows.first * item, **grows)
        self._words += [rows.parts] if several else []
        self._change(by_rows=1)
        self._words += columns
        if several:
            self._change(by_rows=row)
        self._words += [*([row] if columns else []), item]

    def _change(self, *, array: int = -1, fixed: int = 0, by_rows: int = 0, by_bars: int = 0, by_first: int = 0) -> None:
        """Write an argument that is found at run time: the address of the array, if any, and what it grows by."""
        self._changes.append((len(self._words), array, fixed, by_rows, by_bars, by_first))
        self._words.append(0)


@intrinsic  # type: ignore[untyped-decorator]
def _call(_typing: Any, thunk: Any, function: Any, arguments: Any) -> Any:
    """Let a thunk call a kernel with the arguments at an address."""

    def write(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.call(builder.inttoptr(values[0], _THUNK_TYPE.as_pointer()), values[1:])

    return types.int32(types.int64, types.int64, types.int64), write


@intrinsic  # type: ignore[untyped-decorator]
def _arrive(_typing: Any, counter: Any) -> Any:
    """Add one to the number at an address, seen by all threads."""

    def write(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        return builder.atomic_rmw("add", builder.inttoptr(values[0], _LONG.as_pointer()), ir.Constant(_LONG, 1), "seq_cst")

    return types.int64(types.int64), write


@intrinsic  # type: ignore[untyped-decorator]
def _look(_typing: Any, counter: Any, pause: Any) -> Any:
    """Let another thread have the processor (`sched_yield`), then return the number at an address as all threads see it."""

    def write(_context: Any, builder: Any, _signature: Any, values: Any) -> Any:
        builder.call(builder.inttoptr(values[1], ir.FunctionType(_STATUS, ()).as_pointer()), ())
        return builder.load_atomic(builder.inttoptr(values[0], _LONG.as_pointer()), "acquire", 8)

    return types.int64(types.int64, types.int64), write


@intrinsic  # type: ignore[untyped-decorator]
def _fence(_typing: Any) -> Any:
    """Let all that was written before be seen by whoever reads after: lines that went past the caches too."""

    def write(context: Any, builder: Any, _signature: Any, _values: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), write


_THUNK_TYPE = ir.FunctionType(_STATUS, (_LONG, _LONG))


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _run(
    calls: Numbers,
    arguments: Numbers,
    changes: Numbers,
    unmoved: int,
    arrays: Numbers,
    arrived: Numbers,
    threads: int,
    pause: int,
    tile: int,
    bars: int,
    first: int,
    last: int,
    due: int,
) -> int:
    """Make all calls on each tile of the rows first .. last - 1, once if there is none; return the kernels' status."""
    status, counter = 0, arrived.ctypes.data
    _change(arguments, changes[:unmoved], arrays, min(tile, last - first), bars, first)
    for at in range(first, max(last, first + 1), tile):
        rows = min(tile, last - at)
        _change(arguments, changes[unmoved if rows == tile else 0 :], arrays, rows, bars, at)
        for i in range(len(calls)):
            if calls[i, _THUNK] != 0:
                status |= _call(calls[i, _THUNK], calls[i, _KERNEL], calls[i, _ARGUMENTS])
            elif threads > 1:
                due += threads
                _arrive(counter)
                while _look(counter, pause) < due:
                    pass
    _fence()
    return status


@numba.njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _change(arguments: Numbers, changes: Numbers, arrays: Numbers, rows: int, bars: int, first: int) -> None:
    """Write the arguments that change with the tile."""
    for i in range(len(changes)):
        grown = changes[i, _FIXED] + changes[i, _BY_ROWS] * rows + changes[i, _BY_BARS] * bars + changes[i, _BY_FIRST] * first
        arguments[changes[i, _WHICH]] = arrays[changes[i, _ARRAY]] + grown


def _bits(value: float) -> int:
    """Return an argument as the 64 bits that a thunk reads."""
    return int(np.float64(value).view(np.int64)) if isinstance(value, float) else int(value)


def _typed(argument: Any) -> Any:
    """Return the argument's type to numba."""
    return _array(np.dtype(argument.kind), argument.dimensions) if isinstance(argument, Rows) else numba.typeof(argument)


@cache
def _array(kind: Any, dimensions: int) -> Any:
    """Return the type of an array to numba."""
    return numba.typeof(np.empty((1,) * dimensions, dtype=kind))


@cache
def _entry(kernel: Any, signature: tuple[Any, ...]) -> tuple[str, int]:
    """Return the type of a kernel's machine code for arguments of these types, as LLVM writes it, and where the code begins."""
    if signature not in kernel.overloads:
        kernel.compile(signature)
    compiled = kernel.overloads[signature]
    kind = compiled.target_context.call_conv.get_function_type(compiled.fndesc.restype, compiled.fndesc.argtypes)
    _KINDS[str(kind)] = kind
    return str(kind), int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


#: By the type of machine code, as LLVM writes it: the type, and the address of the thunk that calls it; who holds their code.
_KINDS: dict[str, ir.FunctionType] = {}
_THUNKS: dict[str, int] = {}
_ENGINES: list[Any] = []


def _thunks(kinds: Sequence[str]) -> dict[str, int]:
    """Return the addresses of the functions that call kernels of these types, writing those that are new."""
    fresh = sorted({kind for kind in kinds if kind not in _THUNKS})
    if fresh:
        module = ir.Module("thunks")
        for i, kind in enumerate(fresh):
            _write_thunk(ir.Function(module, _THUNK_TYPE, f"thunk_{i}"), _KINDS[kind])
        machine = llvm.Target.from_default_triple().create_target_machine()
        engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
        engine.finalize_object()
        _ENGINES.append(engine)
        _THUNKS.update((kind, engine.get_function_address(f"thunk_{i}")) for i, kind in enumerate(fresh))
    return _THUNKS


def _write_thunk(function: ir.Function, kind: ir.FunctionType) -> None:
    """Write a function that reads arguments of the right types from memory and calls the kernel with them."""
    builder = ir.IRBuilder(function.append_basic_block())
    address, place = function.args
    words = builder.inttoptr(place, _LONG.as_pointer())
    values = [_read(builder, words, i, of) for i, of in enumerate(kind.args)]
    builder.ret(builder.call(builder.inttoptr(address, kind.as_pointer()), values))


def _read(builder: ir.IRBuilder, words: Any, i: int, kind: Any) -> Any:
    word = builder.load(builder.gep(words, [ir.Constant(_LONG, i)]))
    if isinstance(kind, ir.PointerType):
        return builder.inttoptr(word, kind)
    if isinstance(kind, ir.DoubleType):
        return builder.bitcast(word, kind)
    return builder.trunc(word, kind) if kind.width < _LONG.width else word


def _worker(program: Program, thread: int) -> "queue.SimpleQueue[bool]":
    """Start a thread that makes its calls whenever it is woken with True, and ends when the program is gone."""
    wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
    threading.Thread(target=_serve, args=(wake, weakref.ref(program), thread), daemon=True).start()
    weakref.finalize(program, wake.put, False)
    return wake


def _serve(wake: "queue.SimpleQueue[bool]", program: "weakref.ref[Program]", thread: int) -> None:
    while wake.get():
        running = program()
        if running is not None:
            running.run(thread)
        del running
