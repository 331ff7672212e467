"""Ingest killed with SIGKILL: what was stored stays, what was not comes with the next run, and nothing comes twice."""

import random
from pathlib import Path

import pytest

from tests.pipelines.data import killed


@pytest.mark.slow
def test_an_ingest_killed_anywhere_is_completed_by_the_next(tmp_path: Path) -> None:
    """At two random points and once by the clock; `benchmarks/store/kill.py` does it fifty times."""
    points = killed.run(tmp_path / "whole")
    expected = killed.left(tmp_path / "whole")
    settled, chance = killed.questions(tmp_path / "whole"), random.Random(5)

    for i in range(3):
        folder = tmp_path / str(i)
        after = {"after_points": chance.randrange(1, points)} if i else {"after_s": chance.uniform(0.0, 0.5)}
        died = killed.killed(folder, **after)  # type: ignore[arg-type]
        partly = killed.left(folder)
        killed.run(folder)

        assert died or not i
        assert killed.part(partly, expected)
        assert killed.same(killed.left(folder), expected)
        assert killed.questions(folder) == settled
    assert expected["bars"].height > 750
    assert expected["quarantine"].height == 1
