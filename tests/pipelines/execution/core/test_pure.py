"""The core knows nothing but what it is told: no clock, no randomness, no thread, socket or file."""

import ast
from pathlib import Path

import pytest

from pipelines.execution import core

PLACE = Path(core.__file__).parent
#: Modules through which the world could get in, or order could depend on the machine.
WORLD = {
    "asyncio", "concurrent", "ctypes", "glob", "http", "io", "logging", "multiprocessing", "os", "pathlib", "queue", "random",
    "requests", "secrets", "shutil", "signal", "socket", "sqlite3", "subprocess", "sys", "tempfile", "threading", "time", "urllib",
    "uuid", "websockets", "domain.clock",
}  # fmt: skip
#: What reads a clock, a file or a hash that differs from process to process.
CALLS = {"now", "utcnow", "today", "open", "input", "print", "hash", "id", "exec", "eval", "__import__"}
MODULES = sorted(PLACE.glob("*.py"))


def faults(source):
    """Return the lines of a module that reach outside."""
    found = []
    for node in ast.walk(ast.parse(source)):
        names = [each.name for each in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module, *(f"{node.module}.{each.name}" for each in node.names)]
        found += [f"line {node.lineno}: imports {name}" for name in names if {name, name.split(".")[0]} & WORLD]
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            found += [f"line {node.lineno}: calls {called}"] if called in CALLS else []
        if isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Set):
            found.append("a loop over a set: its order is the machine's")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: path.stem)
def test_a_module_of_the_core_reaches_nothing_outside(path):
    """Neither by an import nor by a call."""
    assert not faults(path.read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    "source",
    [
        "import time",
        "from datetime import datetime\ndatetime.now()",
        "import os.path",
        "from domain.clock import SystemClock",
        "open('x')",
    ],
)
def test_the_check_itself_finds_what_it_is_for(source):
    """A check that finds nothing proves nothing."""
    assert faults(source)
