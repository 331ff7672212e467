"""The compiled simulation against its naive twin, 500 symbols x 2,520 bars on one core: `python -m benchmarks.execution.simulate`.

Timed is `simulate.run`: decisions, risk, fills, borrow and the log of every order and fill, with the one-bar volatility given. The
twin is the oracle of the tests, plain Python floats, timed on a smaller panel and found equal to the bit on it. Rounds interleave.
"""

import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from domain import session
from domain.clock import SystemClock
from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params
from pipelines.execution import simulate
from pipelines.execution.outcome import Outcome
from tests.pipelines.execution import naive, recorded

SYMBOLS, BARS, ROUNDS = 500, 2520, 9
TWIN_SYMBOLS, TWIN_BARS = 50, 252


@dataclass(frozen=True)
class Case:
    """One panel with its forecasts, and how it is traded."""

    name: str
    market: Market
    params: Params
    panel: Panel
    forecasts: FloatArray
    scale: FloatArray

    @classmethod
    def made(cls, name: str, bars: int, symbols: int, **sections: object) -> "Case":
        """Make a case with persistent views, 2% of bars missing."""
        market, params = recorded.terms("us_equity", **sections)
        panel = recorded.panel(bars, symbols, seed=1, gaps=0.02)
        scale = recorded.scale(panel)
        return cls(name, market, params, panel, recorded.forecasts(panel, scale, strength=0.1), scale)

    def run(self) -> Outcome:
        """Simulate."""
        return simulate.run(self.panel, self.forecasts, self.market, self.params, model_version="1", scale=self.scale)

    def twin(self) -> naive.Result:
        """Simulate in plain Python."""
        twin = naive.Twin(self.market, self.params, len(self.panel.symbols), self.params.fills.capital)
        days = session.days(self.market, self.panel.opened_at)
        columns = (self.panel.open, self.panel.close, self.panel.volume, self.forecasts, self.scale, days)
        return twin.run(*(values.tolist() for values in columns))


def cases(bars: int, symbols: int) -> list[Case]:
    """Return the shipped settings, a book that trades weekly at most, and one where every symbol trades every bar."""
    return [
        Case.made("as shipped", bars, symbols),
        Case.made("a wide band: few trades", bars, symbols, decisions={"band": 8.0}),
        Case.made("no band: every symbol, every bar", bars, symbols, decisions={"band": 0.0}),
    ]


def nanoseconds(work: Callable[[], object], values: int) -> float:
    """Return this process's own nanoseconds per symbol-bar of one call: what others do on the machine is not counted."""
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / values


def measure() -> list[str]:
    """Return the rows of the table."""
    rows, large, small = [], cases(BARS, SYMBOLS), cases(TWIN_BARS, TWIN_SYMBOLS)
    for case in large:
        case.run()
    times: dict[str, list[float]] = {case.name: [] for case in large}
    for _ in range(ROUNDS):
        for case in large:
            times[case.name].append(nanoseconds(case.run, SYMBOLS * BARS))
    for case, little in zip(large, small, strict=True):
        if little.run().equity.tolist() != little.twin().equity:
            raise SystemExit("the twin disagrees with the simulation: the figures would mean nothing")
        twin = statistics.median(nanoseconds(little.twin, TWIN_SYMBOLS * TWIN_BARS) for _ in range(3))
        ours, best = statistics.median(times[case.name]), min(times[case.name])
        traded = len(case.run().filled.row) / (SYMBOLS * BARS)
        rows.append(f"| {case.name} | {traded:.1%} | {ours:.1f} | {best:.1f} | {twin:,.0f} | {twin / ours:,.0f} |")
    return rows


def main() -> None:
    """Measure and write the table beside this file."""
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}, Python {platform.python_version()}"
    lines = [
        "# The simulation against its naive twin",
        "",
        f"{SYMBOLS} symbols x {BARS} bars, one core, processor time, {ROUNDS} interleaved rounds; the twin on {TWIN_SYMBOLS} x "
        f"{TWIN_BARS}, equal to the bit there. `python -m benchmarks.execution.simulate`.",
        f"{SystemClock().now():%Y-%m-%d}, {machine}.",
        "",
        "| book | symbol-bars with a fill | median ns per symbol-bar | best | naive twin | times as fast |",
        "|---|---|---|---|---|---|",
        *measure(),
    ]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
