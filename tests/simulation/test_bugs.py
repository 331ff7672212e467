"""Planted bugs must be found: the simulation is only as good as what it notices."""

import pytest

from tests.simulation import bugs
from tests.simulation.oracle import Broken, lived

#: Worlds that a planted bug may take to be found.
PATIENCE = 1000


@pytest.mark.parametrize("name", sorted(bugs.BUGS))
def test_a_planted_bug_is_found(name, monkeypatch):
    """The oracle notices each of them."""
    bugs.BUGS[name](monkeypatch)
    for seed in range(PATIENCE):
        try:
            lived(seed)
        except Broken:
            return
    pytest.fail(f"the bug '{name}' was not found in {PATIENCE} worlds")
