"""`kill -9` at 50 random moments of an ingest: `python -m benchmarks.store.kill`.

Half of the moments are points between our code and the store, before or after a call, half are times on the clock, which fall
inside the calls as well. What is left must be a part of what an undisturbed ingest stores, and after one more run all of it.
"""

import random
import tempfile
from pathlib import Path
from typing import NamedTuple

import polars as pl

from domain.clock import SystemClock
from tests.pipelines.data import killed

KILLS, SEED = 50, 7


class Found(NamedTuple):
    """One kill."""

    died: bool
    part: bool
    """What was left was a part of the undisturbed ingest's bars."""
    completed: bool
    settled: bool
    """A further run asked for no more than after an undisturbed ingest."""
    stored: int
    """Bars that the killed run had stored."""


def main() -> None:
    """Kill, go on, compare, and write the results beside this file."""
    chance, clock = random.Random(SEED), SystemClock()
    with tempfile.TemporaryDirectory() as place:
        killed.run(Path(place) / "warm")
        began = clock.monotonic_ns()
        points = killed.run(Path(place) / "whole")
        seconds = (clock.monotonic_ns() - began) / 1e9
        expected, settled = killed.left(Path(place) / "whole"), killed.questions(Path(place) / "whole")
        found: list[Found] = []
        for i in range(KILLS):
            found.append(_once(Path(place) / str(i), i, points, seconds, chance, expected, settled))
            text = report(found, points, expected["bars"].height)
            Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def report(found: list["Found"], points: int, bars: int) -> str:
    """Return the results as markdown."""
    died, parts, same, settled, stored = (sum(each) for each in zip(*found, strict=True))
    lines = [
        "# An ingest killed with SIGKILL and run again",
        "",
        f"{bars:,} bars of three symbols in two answers, {points} points before and after calls of the store. Every other ingest",
        "was killed at a point, the others at a time.",
        "",
        f"| | of {len(found)} |",
        "|---|---|",
        f"| died of the kill (the others had ended before their time came) | {died} |",
        f"| left only whole bars of the undisturbed ingest, each once | {parts} |",
        f"| left, after one more run, exactly the undisturbed ingest's bars, quarantine and actions | {same} |",
        f"| and asked, in a further run, for exactly what is asked after an undisturbed ingest | {settled} |",
        f"| bars that the killed runs had stored, in the mean | {stored / len(found):,.0f} |",
    ]
    return "\n".join(lines) + "\n"


def _once(
    folder: Path, i: int, points: int, seconds: float, chance: random.Random, expected: dict[str, pl.DataFrame],
    settled: list[killed.Question],
) -> "Found":  # fmt: skip
    """Kill one ingest, run it again and return what it had left and what it left in the end."""
    if i % 2:
        died = killed.killed(folder, after_points=chance.randrange(1, points))
    else:
        died = killed.killed(folder, after_s=chance.uniform(0.0, 0.5 * seconds))
    partly = killed.left(folder)
    killed.run(folder)
    whole = killed.left(folder)
    asked = killed.questions(folder)
    return Found(died, killed.part(partly, expected), killed.same(whole, expected), asked == settled, partly["bars"].height)


if __name__ == "__main__":
    main()
