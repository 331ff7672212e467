"""`kill -9` at 50 random moments of an ingest: `python -m benchmarks.store.kill`.

Half of the moments are points between our code and the store, before or after a call, half are times on the clock, which fall
inside the calls as well. What is left must be a part of what an undisturbed ingest stores, and after one more run all of it.
"""

import random
import tempfile
from pathlib import Path

import polars as pl

from domain.clock import SystemClock
from tests.pipelines.data import killed

KILLS, SEED = 50, 7


def main() -> None:
    """Kill, go on, compare, and write the results beside this file."""
    chance, clock = random.Random(SEED), SystemClock()
    with tempfile.TemporaryDirectory() as place:
        killed.run(Path(place) / "warm")
        began = clock.monotonic_ns()
        points = killed.run(Path(place) / "whole")
        seconds = (clock.monotonic_ns() - began) / 1e9
        expected = killed.left(Path(place) / "whole")
        found: list[tuple[bool, bool, bool, int]] = []
        for i in range(KILLS):
            found.append(_once(Path(place) / str(i), i, points, seconds, chance, expected))
            text = report(found, points, expected["bars"].height)
            Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


def report(found: list[tuple[bool, bool, bool, int]], points: int, bars: int) -> str:
    """Return the results as markdown."""
    died, parts, same, stored = (sum(each) for each in zip(*found, strict=True))
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
        f"| left, after one more run, exactly the undisturbed ingest's rows (bars, quarantine, actions, answered) | {same} |",
        f"| bars that the killed runs had stored, in the mean | {stored / len(found):,.0f} |",
    ]
    return "\n".join(lines) + "\n"


def _once(
    folder: Path, i: int, points: int, seconds: float, chance: random.Random, expected: dict[str, pl.DataFrame]
) -> tuple[bool, bool, bool, int]:
    """Kill one ingest and return whether it died, left a part, was completed, and how many bars it had stored."""
    if i % 2:
        died = killed.killed(folder, after_points=chance.randrange(1, points))
    else:
        died = killed.killed(folder, after_s=chance.uniform(0.0, 0.5 * seconds))
    partly = killed.left(folder)
    killed.run(folder)
    return died, killed.part(partly, expected), killed.same(killed.left(folder), expected), partly["bars"].height


if __name__ == "__main__":
    main()
