"""Kill a live trader over and over: the genuine client at a paper exchange that misbehaves, then both are compared to the cent.

Run with `python -m benchmarks.execution.rounds [--rounds 200] [--seed 11]`. Each round starts the trader anew, lets bars pass under
one kind of fault, and kills it with SIGKILL at a random moment; after the last it is left to come to rest.
"""

import argparse
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np

from domain.clock import SystemClock
from tests.pipelines.execution.live.rounds import audit, payloads, rounds

HERE = Path(__file__).parent


def main() -> None:
    """Measure and write the page."""
    parser = argparse.ArgumentParser(description="Kill a live trader over and over.")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=11)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        truth, records, ready = rounds(Path(place), asked.rounds, asked.seed)
        audit(Path(place), truth, records)
    states = Counter(order["status"] for order in truth["orders"])
    unknown = sum(told["state"] == "unknown" for told in payloads(records, "order"))
    absent = sum("does not know" in told["reason"] for told in payloads(records, "order"))
    today, ended = f"{SystemClock().now():%Y-%m-%d}", ", ".join(f"{name} {count}" for name, count in sorted(states.items()))
    lines = [
        "# A live trader, killed and started again",
        "",
        f"`python -m benchmarks.execution.rounds --rounds {asked.rounds} --seed {asked.seed}`, {today}: the genuine alpaca-py",
        "at a paper exchange in a process of its own, SIGKILL at a random moment of each round, faults in turn: hangs after an",
        "order was taken, 504 after it, 502 with HTML before it, dropped and truncated answers, reads that fail, stream messages",
        "lost and doubled. All waits are a tenth of those in earnest.",
        "",
        "| rounds | orders | executions | answers unknown | of these absent |",
        "|---:|---:|---:|---:|---:|",
        f"| {asked.rounds} | {len(truth['orders'])} | {len(truth['executions'])} | {unknown} | {absent} |",
        "",
        "Compared in the end (this page is written only when all of it holds): every order at the exchange was intended once and",
        "sent once, every execution is booked once, positions are equal, cash to the cent, and the journal's chain verifies.",
        f"Orders by how they ended: {ended}.",
        f"Ready again after a start, in seconds: median {np.median(ready):.2f}, 99% {np.quantile(ready, 0.99):.2f}, most",
        f"{max(ready):.2f}, of the {len(ready)} rounds that lived long enough; a process is a copy that has imported everything.",
    ]
    (HERE / "rounds.md").write_text("\n".join(lines) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
