"""What it costs to hand arrays on: `python -m benchmarks.execution.compiled`.

The same simulations under three ways to compile what handles money: inlined and without numba's runtime, as `domain.compiled.money`
has it; without the runtime but called; and plainly. Each way has processes and a cache of its own, rounds interleave, and every way
must come to the same equity to the last bit.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from domain import compiled
from domain.clock import SystemClock

ROUNDS, CALLS = 3, 3
WAYS: dict[str, dict[str, Any]] = {
    "inlined, nothing counted": {"forceinline": True, "_nrt": False},
    "called, nothing counted": {"_nrt": False},
    "called, every array counted": {},
}


def child(way: str) -> None:
    """Print nanoseconds a symbol-bar of each case under one way, and what its equity came to."""

    def money(function: Callable[..., Any]) -> Callable[..., Any]:
        return compiled._strict(function, **WAYS[way])

    compiled.money = money
    from benchmarks.execution.batch import Case

    found: dict[str, Any] = {}
    for name, bars, symbols, every in (("1,000,000 x 1, at crossings", 1_000_000, 1, False),
                                       ("2,520 x 500, at crossings", 2520, 500, False),
                                       ("2,520 x 500, every bar", 2520, 500, True)):  # fmt: skip
        case = Case.made(name, bars, symbols, every=every)
        run = case.ours()
        ended = float(run().equity[-1]).hex()
        times = []
        for _ in range(CALLS):
            began = time.process_time_ns()
            run()
            times.append((time.process_time_ns() - began) / case.values)
        found[name] = {"ns": min(times), "equity": ended}
    sys.stdout.write(json.dumps(found) + "\n")


def asked(way: str, cache: Path) -> dict[str, Any]:
    """Measure one way in a process of its own."""
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "benchmarks.execution.compiled", way]
    return dict(json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout))


def main() -> None:
    """Measure every way in turn, and write the page."""
    rounds: dict[str, list[dict[str, Any]]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory() as place:
        for _ in range(ROUNDS):
            for number, way in enumerate(WAYS):
                rounds[way].append(asked(way, Path(place) / str(number)))
    names = list(rounds[next(iter(WAYS))][0])
    for name in names:
        if len({each[name]["equity"] for found in rounds.values() for each in found}) != 1:
            raise SystemExit(f"the ways come to different equities in {name}: the figures would mean nothing")
    ours = rounds[next(iter(WAYS))]
    rows = []
    for name in names:
        for way, found in rounds.items():
            ratios = [theirs[name]["ns"] / mine[name]["ns"] for theirs, mine in zip(found, ours, strict=True)]
            ns = statistics.median(each[name]["ns"] for each in found)
            told = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
            rows.append(f"| {name} | {way} | {ns:.1f} | {told} |")
    lines = [
        "# What it costs to hand arrays on",
        "",
        "The simulations of `batch.py` under three ways to compile money, equal to the last bit; the best of "
        f"{CALLS} calls in each of",
        f"{ROUNDS} interleaved rounds, processor time, medians. The last column is a round's time over that of the way we have.",
        "`python -m benchmarks.execution.compiled`.",
        f"{SystemClock().now():%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, "
        f"Python {platform.python_version()}.",
        "",
        "| bars x symbols | way | ns a symbol-bar | times ours |",
        "|---|---|---:|---:|",
        *rows,
    ]
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    child(sys.argv[1]) if len(sys.argv) > 1 else main()
