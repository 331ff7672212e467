"""Two writers and one reader for two minutes: `python -m benchmarks.store.writers`.

Each writer upserts batches of rows of its own, rows that the other writes as well, and its counter, which must agree with the rows
of every version that the reader meets.
"""

import argparse
import tempfile
from pathlib import Path

from tests.pipelines.store import writing


def main() -> None:
    """Write, read, and tell what was seen beside this file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=120.0)
    seconds = parser.parse_args().seconds
    with tempfile.TemporaryDirectory() as place:
        seen = writing.contest(Path(place) / "store", seconds)
    expected = sum(seen.written) * writing.ROWS + max(seen.written) * writing.SHARED + writing.WRITERS
    text = "\n".join(
        [
            f"# Two writers and a reader of one partition for {seconds:.0f} seconds",
            "",
            "| | |",
            "|---|---|",
            f"| batches written, by writer | {', '.join(map(str, seen.written))} |",
            f"| reads, and versions that they met | {seen.reads}, {seen.versions} |",
            f"| reads that were no consistent version | {len(seen.wrong)} |",
            f"| rows in the end, and rows that the writers' counters make | {seen.rows:,}, {expected:,} |",
        ]
    )
    print(text, *seen.wrong, sep="\n")
    Path(__file__).with_suffix(".md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
