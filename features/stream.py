"""Stream: how features leave the processor, rounded to their precision and past its caches.

A store first reads the line that it writes to, and what it writes drives out what is read again soon. A history's features are
not read again soon: their lines are written whole, straight to memory. One bar's features are, and stay.
"""

from typing import Any

from llvmlite import ir
from numba.core import types
from numba.extending import intrinsic

from domain.compiled import kernel
from features.plan import Series

#: Bytes that memory is written by.
LINE = 64


@kernel
def leave(values: Series, out: Series, first: int, last: int) -> None:
    """Round values [T, S] to the precision of `out`, in columns first .. last - 1."""
    past = values.shape[0] > 1
    if first == 0 and last == out.shape[1] and last == values.shape[1]:
        _leave(values.reshape(values.size), out.reshape(out.size), past)
    else:
        for t in range(values.shape[0]):
            _leave(values[t, first:last], out[t, first:last], past)


@kernel
def _leave(values: Series, out: Series, past: bool) -> None:
    """Round what lies in one piece, where asked past the caches but for the lines that it shares."""
    width = LINE // out.itemsize
    head = min(out.size, (-out.ctypes.data) % LINE // out.itemsize) if past else out.size
    lines = (out.size - head) // width
    for s in range(head):
        out[s] = values[s]
    for i in range(lines):
        _line(out, values, head + i * width)
    for s in range(head + lines * width, out.size):
        out[s] = values[s]


@intrinsic  # type: ignore[untyped-decorator]
def _line(_typing: Any, out: Any, values: Any, place: Any) -> Any:
    """Round a line's worth of values from `place` on and write it at once, where `out` begins a line of memory."""

    def write(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        target, source = (_pointer(context, builder, kind, array) for kind, array in zip((out, values), arguments, strict=False))
        wide, narrow = (ir.VectorType(context.get_data_type(kind.dtype), LINE * 8 // out.dtype.bitwidth) for kind in (values, out))
        of = builder.bitcast(builder.gep(source, [arguments[2]]), wide.as_pointer())
        at = builder.bitcast(builder.gep(target, [arguments[2]]), narrow.as_pointer())
        line = builder.load(of, align=values.dtype.bitwidth // 8)
        stored = builder.store(line if wide == narrow else builder.fptrunc(line, narrow), at, align=LINE)
        stored.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(out, values, place), write


def _pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    """Return where an array's values begin."""
    return context.make_array(kind)(context, builder, array).data
