"""A fixed sequence of kernel calls as one native function: what a live bar runs.

Python takes about half a microsecond to make a call that computes for one; with some hundred calls a bar that is what a bar costs.
Here the arguments are written into the machine code: the arrays' addresses, shapes and strides, the parameters. The kernels are the
ones that numba compiled for the history; nothing of them is compiled again.
"""

import ctypes
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import llvmlite.binding as llvm
import numba
import numpy as np
from llvmlite import ir

Call = tuple[Callable[..., Any], tuple[Any, ...]]

_BYTE_POINTER = ir.IntType(8).as_pointer()
_STATUS, _LONG = ir.IntType(32), ir.IntType(64)


class Program:
    """Kernel calls in order, each always with the same arguments. The GIL is released while it runs."""

    def __init__(self, calls: Sequence[Call]) -> None:
        self._calls = list(calls)
        self._engine = _linked(_module([(_compiled(*call), call[1]) for call in self._calls]))
        self._run = ctypes.CFUNCTYPE(ctypes.c_int32)(self._engine.get_function_address("run"))

    def __call__(self) -> None:
        """Make all calls; raise RuntimeError if a kernel failed, which none of ours can."""
        status = self._run()
        if status:
            raise RuntimeError(f"a kernel ended with status {status}")


def _compiled(kernel: Any, arguments: tuple[Any, ...]) -> Any:
    """Return what numba compiled for arguments of these types."""
    types = tuple(numba.typeof(argument) for argument in arguments)
    if types not in kernel.overloads:
        kernel.compile(types)
    return kernel.overloads[types]


def _module(calls: list[tuple[Any, tuple[Any, ...]]]) -> ir.Module:
    module = ir.Module("program")
    function = ir.Function(module, ir.FunctionType(_STATUS, ()), "run")
    builder = ir.IRBuilder(function.append_basic_block())
    returned, raised = builder.alloca(_BYTE_POINTER), builder.alloca(_BYTE_POINTER)
    status: Any = ir.Constant(_STATUS, 0)
    for compiled, arguments in calls:
        status = builder.or_(status, _call(builder, compiled, arguments, returned, raised))
    builder.ret(status)
    return module


def _call(builder: ir.IRBuilder, compiled: Any, arguments: tuple[Any, ...], returned: Any, raised: Any) -> Any:
    """Add one call in numba's own convention: where to return, where to raise, then the arguments taken apart."""
    convention, described = compiled.target_context.call_conv, compiled.fndesc
    kind = convention.get_function_type(described.restype, described.argtypes)
    address = compiled.library.get_pointer_to_function(described.llvm_func_name)
    target = builder.inttoptr(ir.Constant(_LONG, address), kind.as_pointer())
    places = [builder.bitcast(place, kind.args[i]) for i, place in enumerate((returned, raised))]
    values = [value for argument in arguments for value in _flat(argument)]
    return builder.call(target, places + [_constant(of, value) for of, value in zip(kind.args[2:], values, strict=True)])


def _flat(argument: Any) -> Iterator[int | float]:
    """Yield an argument as numba passes it: of an array its owners (none), sizes, address, shape and strides."""
    if isinstance(argument, np.ndarray):
        yield from (0, 0, argument.size, argument.itemsize, argument.ctypes.data, *argument.shape, *argument.strides)
    else:
        yield argument


def _constant(kind: Any, value: Any) -> Any:
    if isinstance(kind, ir.PointerType):
        return ir.Constant(_LONG, value).inttoptr(kind)
    return ir.Constant(kind, float(value) if isinstance(kind, ir.DoubleType) else int(value))


def _linked(module: ir.Module) -> Any:
    machine = llvm.Target.from_default_triple().create_target_machine(opt=0)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(str(module)), machine)
    engine.finalize_object()
    return engine
