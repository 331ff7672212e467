"""`kill -9` at 50 random moments of replays over real bars: `python -m benchmarks.execution.kill`.

Each replay runs in a process of its own and is killed after a random share of the time that a whole one takes; then it is gone on
with and compared with one that was never killed: equity, every order and fill, the digest, and the chain of the journal.
"""

import os
import platform
import signal
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from domain.clock import SystemClock
from domain.panel import Panel
from pipelines import journal
from pipelines.execution import accounts, loop, serving
from pipelines.execution.outcome import Outcome
from pipelines.execution.serving import Served
from pipelines.journal import Journal
from tests.pipelines.execution import recorded

KILLS, BARS, SEED = 50, 150, 7
MARKETS = ("us_equity", "crypto", "fx", "us_equity_5m")


@dataclass(frozen=True)
class Replay:
    """One market's replay, to be lived through in any folder."""

    panel: Panel
    served: Served

    def run(self, home: Path) -> Outcome:
        """Live through it, or through what is left of it."""
        market, params = recorded.terms(self.panel.market)
        return loop.replay(self.panel, self.served, market, params, home, since=self.panel.event_at[-BARS])

    def killed(self, home: Path, after_s: float) -> int:
        """Run it in another process, kill that after a while, and return the bars that were written by then."""
        child = os.fork()
        if child == 0:
            try:
                self.run(home)
            finally:
                os._exit(0)
        time.sleep(after_s)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if not (home / accounts.JOURNAL).exists():
            return 0
        with Journal.read_only(home / accounts.JOURNAL) as facts:
            return sum(1 for _ in facts.records("bar"))


def same(first: Outcome, second: Outcome) -> bool:
    """Say whether two outcomes agree in every bit."""
    equal = first.equity.tobytes() == second.equity.tobytes() and first.orders.equals(second.orders)
    return equal and first.fills.equals(second.fills) and first.orders_digest == second.orders_digest


def rows(folder: Path) -> Iterator[str]:
    """Kill and go on, and yield the rows of the table."""
    rng, share = np.random.default_rng(SEED), -(-KILLS // len(MARKETS))
    for market in MARKETS:
        panel = recorded.real(market)
        replay = Replay(panel, serving.load(recorded.bundled(panel, folder / market / "bundle"), version="1"))
        replay.run(folder / market / "warm")
        start = time.perf_counter()
        whole = replay.run(folder / market / "whole")
        took_s = time.perf_counter() - start
        written, equal = [], 0
        for n in range(share):
            home = folder / market / str(n)
            written.append(replay.killed(home, float(rng.uniform(0, took_s))))
            equal += same(replay.run(home), whole) and journal.verify(home / accounts.JOURNAL).sealed
        middle = sum(0 < bars < BARS for bars in written)
        yield (
            f"| {market} | {len(panel.symbols)} | {whole.metrics['trades']} | {share} | {middle} | "
            f"{', '.join(map(str, sorted(written)))} | **{equal}** | `{whole.orders_digest[:12]}` |"
        )


def main() -> None:
    """Measure and write the table beside this file."""
    with tempfile.TemporaryDirectory() as folder:
        table = list(rows(Path(folder)))
    text = "\n".join([
        "# Killed and gone on with",
        "",
        f"Replays of {BARS} real bars each, SIGKILL at a random moment (seed {SEED}), then resumed. "
        "`python -m benchmarks.execution.kill`.",
        f"{SystemClock().now():%Y-%m-%d}, {platform.machine()}, {os.cpu_count()} CPUs, Python {platform.python_version()}.",
        "",
        "| market | symbols | fills | kills | within the replay | bars written when killed | equal to one never killed | digest |",
        "|---|---|---|---|---|---|---|---|",
        *table,
        "",
    ])  # fmt: skip
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
