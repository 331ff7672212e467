"""Kill live traders over and over: the genuine client at a paper exchange that misbehaves, then both are compared to the cent.

Run with `python -m benchmarks.execution.rounds [--rounds 5000] [--each 200] [--processes 2] [--fresh]`. In each round a trader is
begun anew, lives through bars under one kind of fault and is killed with SIGKILL at a random moment; after `each` rounds it is
left to come to rest, and its account is compared. Every account is a row of rounds.csv, written as soon as it was found right:
a second run goes on where the first was stopped.
"""

import argparse
import csv
import tempfile
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.execution import tables
from domain.clock import SystemClock
from tests.pipelines.execution.live.rounds import audit, payloads, rounds

HERE = Path(__file__).parent
KEPT, PAGE = HERE / "rounds.csv", HERE / "rounds.md"
#: The seed of the first account; each has its own.
FIRST = 11
COUNTED = ("rounds", "orders", "executions", "unknown", "absent")


def account(number: int, seed: int) -> dict[str, Any]:
    """Kill the trader of one account so many times; return what was counted, or raise AssertionError when anything differs."""
    with tempfile.TemporaryDirectory() as place:
        truth, records, ready = rounds(Path(place), number, seed)
        audit(Path(place), truth, records)
    told = payloads(records, "order")
    ended = Counter(order["status"] for order in truth["orders"])
    return {
        "seed": seed,
        "day": f"{SystemClock().now():%Y-%m-%d}",
        "rounds": number,
        "orders": len(truth["orders"]),
        "executions": len(truth["executions"]),
        "unknown": sum(order["state"] == "unknown" for order in told),
        "absent": sum("does not know" in order["reason"] for order in told),
        "ended": " ".join(f"{name}:{count}" for name, count in sorted(ended.items())),
        "ready_s": " ".join(f"{seconds:.3f}" for seconds in ready),
    }


def known() -> list[dict[str, str]]:
    """Return the rows that are written already."""
    if not KEPT.exists():
        return []
    with KEPT.open(encoding="utf-8", newline="") as rows:
        return list(csv.DictReader(rows))


def write(row: dict[str, Any]) -> None:
    """Write one account's row behind the others."""
    first = not KEPT.exists()
    with KEPT.open("a", encoding="utf-8", newline="") as rows:
        writer = csv.DictWriter(rows, list(row), lineterminator="\n")
        if first:
            writer.writeheader()
        writer.writerow(row)


def page(rows: list[dict[str, str]]) -> list[str]:
    """Return the page about all accounts."""
    sums = [sum(int(row[name]) for row in rows) for name in COUNTED]
    ended = sum((Counter({name: int(count) for name, count in _pairs(row["ended"])}) for row in rows), Counter[str]())
    ready = np.array([float(seconds) for row in rows for seconds in row["ready_s"].split()])
    days = sorted({row["day"] for row in rows})
    span = " to ".join([days[0], *days[1:][-1:]])
    return [
        "# Live traders, killed and started again",
        "",
        f"`python -m benchmarks.execution.rounds --rounds {sums[0]} --each {rows[-1]['rounds']}`, {span}: the genuine alpaca-py",
        "at a paper exchange in a process of its own, SIGKILL at a random moment of each round, faults in turn: hangs after an",
        "order was taken, 504 after it, 502 with HTML before it, dropped and truncated answers, reads that fail, stream messages",
        "lost and doubled. All waits are a tenth of those in earnest.",
        "",
        *tables.head("accounts", "rounds", "orders", "executions", "answers unknown", "of these absent"),
        tables.line(str(len(rows)), *(f"{count:,}" for count in sums)),
        "",
        "Compared at the end of each account (its row of rounds.csv is written only when all of it holds): every order at the",
        "exchange was intended once and sent once, every execution is booked once, positions are equal, cash to the cent, and the",
        "journal's chain verifies.",
        f"Orders by how they ended: {', '.join(f'{name} {count:,}' for name, count in sorted(ended.items()))}.",
        f"Ready again after a start, in seconds: median {np.median(ready):.2f}, 99% {np.quantile(ready, 0.99):.2f}, most",
        f"{ready.max():.2f}, of the {len(ready):,} rounds that lived long enough; a trader is a copy that has imported everything.",
    ]


def _pairs(told: str) -> list[list[str]]:
    return [each.split(":") for each in told.split()]


def main() -> None:
    """Kill in as many accounts as are not yet known, and write the page."""
    parser = argparse.ArgumentParser(description="Kill live traders over and over.")
    parser.add_argument("--rounds", type=int, default=5000)
    parser.add_argument("--each", type=int, default=200, help="rounds of one account")
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="kill in every account again")
    asked = parser.parse_args()
    if asked.fresh:
        KEPT.unlink(missing_ok=True)
    done = {int(row["seed"]) for row in known()}
    seeds = [seed for seed in range(FIRST, FIRST + -(-asked.rounds // asked.each)) if seed not in done]
    with ProcessPoolExecutor(asked.processes, get_context("spawn")) as pool:
        for ended in as_completed([pool.submit(account, asked.each, seed) for seed in seeds]):
            write(ended.result())
    PAGE.write_text("\n".join(page(known())) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
