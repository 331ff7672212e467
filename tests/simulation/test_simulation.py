"""The core in a simulated world: seeds by the hundred, and the same trace in every process.

`NIGHTSHIFT_SEEDS` asks for more of them than the 300 of every run: `NIGHTSHIFT_SEEDS=10000 pytest tests/simulation`.
"""

import os
import subprocess
import sys

import pytest

from tests.simulation.oracle import lived
from tests.simulation.world import FAULTS

SEEDS, CHUNK = int(os.environ.get("NIGHTSHIFT_SEEDS", "300")), 20
TWICE, STRUCK = 12, 60
#: What is so for the whole of a world's life.
STANDING = {"assisted", "two_markets", "closes"}


@pytest.mark.fault(
    "F01", "F02", "F09", "F10", "F21", "F25", "F26", "F28", "F30", "F31", "F32", "F37", "F38", "F47",
    "F48", "F52", "F53", "F54", "F55", "F56", "F58", "F67", "F69", "F70", "F71", "F91", "F99", "F102",
    "F109", "F110", "F112", "F114", "F115",
)  # fmt: skip
@pytest.mark.parametrize("first", range(0, SEEDS, CHUNK))
def test_no_invariant_breaks_and_every_world_comes_to_rest(first):
    """Whatever goes wrong, nothing is lost, doubled or believed without proof, and trading goes on once it has ended."""
    for seed in range(first, min(first + CHUNK, SEEDS)):
        lived(seed)


def test_every_fault_strikes_somewhere():
    """No fault is a name only: each is switched on in some of the worlds and off in others, and strikes where it is."""
    worlds = [lived(seed) for seed in range(STRUCK)]
    struck = set().union(*(world.struck for world in worlds))
    for name in FAULTS:
        assert 0 < sum(name in world.faults for world in worlds) < len(worlds)
        assert name in struck | STANDING


def traces(**environment):
    """Return the digests of some worlds, lived through in a process of its own."""
    code = f"from tests.simulation.oracle import lived; print([lived(seed).digest for seed in range({TWICE})])"
    told = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=True
    )
    return told.stdout


@pytest.mark.fault("F22")
def test_the_same_seed_gives_the_same_trace_in_two_processes():
    """Neither the order of hashes nor the time zone nor the language of the machine leaves a mark."""
    first = traces(PYTHONHASHSEED="1", TZ="UTC", LC_ALL="C")
    assert first == traces(PYTHONHASHSEED="2", TZ="Asia/Kathmandu", LC_ALL="C.UTF-8")
    assert len(set(first.split(", "))) == TWICE
