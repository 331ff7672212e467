"""A fixed sequence of kernel calls as native code: what a live bar runs.

Python takes about a microsecond to make a call that computes for one; with hundreds of calls a bar that is what a bar costs. Here
the arguments are written into the machine code: the arrays' addresses, shapes and strides, the parameters. The kernels are those
that numba compiled for the history; nothing of them is compiled again. Arrays that lie elsewhere each time are found by a cell.
"""

import ctypes
import queue
import threading
import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
import numpy.typing as npt
from llvmlite import ir

Series = npt.NDArray[Any]
Call = tuple[Callable[..., Any], tuple[Any, ...]]
Stage = Sequence[Sequence[Call]]

_STATUS, _LONG = ir.IntType(32), ir.IntType(64)
_POINTER = ir.IntType(8).as_pointer()
_YIELD = ctypes.cast(ctypes.CDLL(None).sched_yield, ctypes.c_void_p).value or 0


class Program:
    """Kernel calls in stages. The blocks of a stage run at the same time, each on its thread, the stages one after the other.

    The GIL is released while it runs.
    """

    def __init__(self, stages: Sequence[Stage], moving: Sequence[Series] = ()) -> None:
        """Write the program; it is handed the `moving` arrays anew with each call, all others stay where they are."""
        self._stages, self._threads = stages, max((len(stage) for stage in stages), default=1)
        self._cells = np.array([array.ctypes.data for array in moving], dtype=np.int64)
        #: How many threads have come to a barrier, ever; what that number was when this run began.
        self._arrived, self._begun = np.zeros(1, dtype=np.int64), np.zeros(1, dtype=np.int64)
        self._engine = _linked(self._module(moving))
        functions = [self._engine.get_function_address(f"run_{i}") for i in range(self._threads)]
        self._run, *others = (ctypes.CFUNCTYPE(ctypes.c_int32)(address) for address in functions)
        self._wake = [_worker(self, self._engine, function) for function in others]

    def __call__(self, *moving: Series) -> None:
        """Make all calls with the moving arrays where they are now; raise RuntimeError if a kernel failed: none of ours can."""
        self._cells[:] = [array.ctypes.data for array in moving]
        self._begun[:] = self._arrived
        for wake in self._wake:
            wake.put(True)
        if self._run():
            raise RuntimeError("a kernel of the program failed")

    def _module(self, moving: Sequence[Series]) -> ir.Module:
        module = ir.Module("program")
        blocks = list(zip_longest(*self._stages, fillvalue=())) or [()]
        for thread, stages in enumerate(blocks):
            builder = ir.IRBuilder(ir.Function(module, ir.FunctionType(_STATUS, ()), f"run_{thread}").append_basic_block())
            _Body(builder, moving, self._cells).write(stages, self._barrier if self._threads > 1 else _nothing)
        return module

    def _barrier(self, builder: ir.IRBuilder, number: int) -> None:
        """Wait until every thread has come to the barrier of this number in this run."""
        arrived, begun = (_address(builder, cell.ctypes.data, _LONG) for cell in (self._arrived, self._begun))
        builder.atomic_rmw("add", arrived, ir.Constant(_LONG, 1), "seq_cst")
        due = builder.add(builder.load(begun), ir.Constant(_LONG, self._threads * (number + 1)))
        waiting, done = builder.append_basic_block(), builder.append_basic_block()
        builder.branch(waiting)
        builder.position_at_end(waiting)
        here = builder.load_atomic(arrived, "acquire", 8)
        # Whoever is waited for may need this processor.
        builder.call(_address(builder, _YIELD, ir.FunctionType(_STATUS, ())), ())
        builder.cbranch(builder.icmp_signed("<", here, due), waiting, done)
        builder.position_at_end(done)


class _Body:
    """Writes the calls of one thread."""

    def __init__(self, builder: ir.IRBuilder, moving: Sequence[Series], cells: Series) -> None:
        self._builder = builder
        self._returned, self._raised = builder.alloca(_POINTER), builder.alloca(_POINTER)
        places = (cells.ctypes.data + i * cells.itemsize for i in range(len(moving)))
        self._bases = [(array, builder.load(_address(builder, place, _LONG))) for array, place in zip(moving, places, strict=True)]

    def write(self, stages: Sequence[Sequence[Call]], barrier: Callable[[ir.IRBuilder, int], None]) -> None:
        status: Any = ir.Constant(_STATUS, 0)
        for number, calls in enumerate(stages):
            for call in calls:
                status = self._builder.or_(status, self._call(*call))
            barrier(self._builder, number)
        self._builder.ret(status)

    def _call(self, kernel: Any, arguments: tuple[Any, ...]) -> Any:
        """Add one call in numba's own convention: where to return, where to raise, then the arguments taken apart."""
        compiled = _compiled(kernel, arguments)
        convention, described = compiled.target_context.call_conv, compiled.fndesc
        kind = convention.get_function_type(described.restype, described.argtypes)
        target = _address(self._builder, compiled.library.get_pointer_to_function(described.llvm_func_name), kind)
        places = [self._builder.bitcast(place, kind.args[i]) for i, place in enumerate((self._returned, self._raised))]
        values = [value for argument in arguments for value in self._flat(argument)]
        return self._builder.call(target, places + [self._value(of, v) for of, v in zip(kind.args[2:], values, strict=True)])

    def _flat(self, argument: Any) -> Iterator[Any]:
        """Yield an argument as numba passes it: of an array its owners (none), sizes, address, shape and strides."""
        if isinstance(argument, np.ndarray):
            yield from (0, 0, argument.size, argument.itemsize, self._place(argument), *argument.shape, *argument.strides)
        else:
            yield argument

    def _place(self, array: Series) -> Any:
        """Return an array's address: a number, or where its moving array is now and how far in it lies."""
        for moving, base in self._bases:
            offset = array.ctypes.data - moving.ctypes.data
            if 0 <= offset < moving.nbytes:
                return self._builder.add(base, ir.Constant(_LONG, offset))
        return array.ctypes.data

    def _value(self, kind: Any, value: Any) -> Any:
        if isinstance(kind, ir.PointerType):
            return self._builder.inttoptr(value if isinstance(value, ir.Value) else ir.Constant(_LONG, value), kind)
        return ir.Constant(kind, float(value) if isinstance(kind, ir.DoubleType) else int(value))


def _compiled(kernel: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what numba compiled for arguments of these types."""
    types = tuple(numba.typeof(argument) for argument in arguments)
    if types not in kernel.overloads:
        kernel.compile(types)
    return kernel.overloads[types]


def _address(builder: ir.IRBuilder, place: int, kind: Any) -> Any:
    return builder.inttoptr(ir.Constant(_LONG, place), kind.as_pointer())


def _nothing(_builder: ir.IRBuilder, _number: int) -> None:
    """Wait for nobody."""


def _linked(module: ir.Module) -> Any:
    machine = llvm.Target.from_default_triple().create_target_machine(opt=0)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
    engine.finalize_object()
    return engine


def _worker(program: Program, engine: Any, function: Callable[[], int]) -> "queue.SimpleQueue[bool]":
    """Start a thread that runs `function` whenever it is woken with True, and ends when the program is gone."""
    wake: queue.SimpleQueue[bool] = queue.SimpleQueue()
    threading.Thread(target=_serve, args=(wake, function, engine), daemon=True).start()
    weakref.finalize(program, wake.put, False)
    return wake


def _serve(wake: "queue.SimpleQueue[bool]", function: Callable[[], int], _engine: Any) -> None:
    """Run the function as often as asked; its machine code is held on to until the thread has left it."""
    while wake.get():
        function()
