"""Replays bar by bar against nautilus_trader, on the same trades: `python -m benchmarks.execution.events PATH_TO_ITS_PYTHON`.

nautilus_trader needs other versions of our libraries, so it lives in an environment of its own, whose interpreter is the argument:

    python3.11 -m venv nautilus && nautilus/bin/pip install "nautilus_trader==1.221.0" "pandas<3"

Both trade a crossing of two means (20 and 100) on one symbol's minute bars that open where the last one closed, at no cost: it
fills a market order at the close it is decided at, ours at the next open, which is then the same price. Fills and final equity are
found equal before anything is reported. Rounds interleave; its wrangling of bars and both engines' building are not timed.
"""

import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from domain.clock import SystemClock
from domain.panel import Panel
from features import catalog
from features.engine import FeatureEngine
from pipelines.execution import fills, loop, simulate
from pipelines.execution.outcome import Outcome
from pipelines.execution.serving import Served
from pipelines.execution.trader import Trader, think
from tests.pipelines.execution import peers, recorded

BARS, DURABLE_BARS, ROUNDS = 30_000, 500, 5
#: A folder of Linux whose files never reach a disk: what the disk costs is the difference.
MEMORY = Path("/dev", "shm")
GOAL, WEIGHT, CAPITAL = 3.0, 0.5, 1_000_000.0
MARKET, PARAMS = peers.terms("crypto", lot=1.0, weight=2 * WEIGHT, fee_bps=0.0, spread_bps=0.0, slippage_bps=0.0)


@dataclass
class Turns(peers.Crossing):
    """The crossing with a view only where the fast mean changes side."""

    side: float = field(default=np.nan)

    def predict(self, features: np.ndarray, scale: np.ndarray) -> np.ndarray:
        """Return [T, 1, Q] quantiles, NaN where the side is that of the row before."""
        sides = np.sign(features[:, 0, -1])
        same = sides == np.concatenate(([self.side], sides[:-1]))
        self.side = sides[-1]
        return np.where(same[:, None, None], np.nan, super().predict(features, scale))


@dataclass(frozen=True)
class Time:
    """What one run took, in microseconds per bar."""

    wall: float
    own: float


def served() -> Served:
    """Return the strategy beside the real feature engine, before its first bar."""
    return Served(Turns(), (*catalog.select(()), peers.CROSSING), 5, "turns")


def walk(bars: int) -> Panel:
    """Return minute bars in whole cents that open where the last one closed, at a level where two means are never the same."""
    rng = np.random.default_rng(5)
    close = np.round(5000.0 * np.exp(np.cumsum(rng.normal(0.0, 0.0005, (bars, 1)), axis=0)), 2)
    opened = np.vstack((close[:1], close[:-1]))
    at = np.datetime64("2020-01-01T00:00:00", "us") + np.arange(bars) * np.timedelta64(60, "s")
    prices = (opened, np.maximum(opened, close), np.minimum(opened, close), close, np.full(close.shape, 1e6))
    return Panel("crypto", "1h", ("AAPL",), at, at + np.timedelta64(60, "s"), *prices)


def at_once(panel: Panel) -> Outcome:
    """Measure, forecast and trade the whole history in one call of each: the compiled loop takes a bar at a time."""
    return simulate.run(panel, served().forecasts(panel), MARKET, PARAMS, model_version="turns", capital=CAPITAL)


def in_memory(panel: Panel) -> float:
    """Hand the same functions one bar at a time from Python, without files, and return the final equity."""
    feed, who, venue = served().feed(1), Trader.opened(MARKET, PARAMS, 1, CAPITAL), fills.venue(MARKET, PARAMS)
    executions, known, equity = fills.blank(1), np.full(1, np.nan), CAPITAL
    for bar in panel.each():
        _, equity, _ = fills.step(venue, who.verdicts.order, bar.open[0], bar.close[0], bar.volume[0], known, who.book, executions)
        forecasts, scales = feed.advance(bar)
        known = scales[0]
        think(who, forecasts[0], bar.close[0], bar.volume[0], known, equity, 0.0)
    return equity


def in_files(panel: Panel, place: Path | None) -> Outcome:
    """Replay through journal and paper broker, with the files in a folder of their own below `place`."""
    with tempfile.TemporaryDirectory(dir=place) as home:
        return loop.replay(panel, served(), MARKET, PARAMS, Path(home), capital=CAPITAL)


def theirs(python: str, panel: Panel, place: Path) -> dict[str, Any]:
    """Run nautilus_trader once and return what it told."""
    names = ("open", "high", "low", "close", "volume")
    np.savez(place / "bars.npz", event_at=panel.event_at, **{name: getattr(panel, name)[:, 0] for name in names})
    script = Path(__file__).with_name("_nautilus.py")
    done = subprocess.run(
        [python, str(script), str(place / "bars.npz"), str(WEIGHT)], check=True, capture_output=True, text=True, cwd=place
    )
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def check(panel: Panel, told: dict[str, Any]) -> int:
    """Return the number of fills; stop when a bar, quantity, price or the final equity differs, in any of our ways."""
    found = at_once(panel)
    mine, (moments, quantities, prices) = peers.ours(found), (np.array(each) for each in zip(*told["fills"], strict=True))
    np.testing.assert_array_equal(panel.opened_at[mine.row].astype("datetime64[ns]").astype(np.int64), moments)
    np.testing.assert_array_equal(mine.quantity, quantities)
    np.testing.assert_allclose(mine.price, prices, rtol=1e-12)
    np.testing.assert_allclose([found.equity[-1], in_memory(panel)], told["equity"], rtol=1e-12)
    short = panel.rows(0, DURABLE_BARS)
    np.testing.assert_array_equal(in_files(short, None).equity, at_once(short).equity)
    return len(mine.row)


def timed(work: Callable[[], object], bars: int) -> Time:
    """Return what one call takes."""
    wall, own = time.perf_counter(), time.process_time()
    work()
    return Time((time.perf_counter() - wall) / bars * 1e6, (time.process_time() - own) / bars * 1e6)


def ways(panel: Panel) -> dict[str, tuple[Callable[[], object], int]]:
    """Return how ours goes over the bars, and over how many of them."""
    short = panel.rows(0, DURABLE_BARS)
    found: dict[str, tuple[Callable[[], object], int]] = {
        "`simulate.run`: features, forecasts, decisions, gate, fills, one compiled loop": (lambda: at_once(panel), BARS),
        "the same functions called from Python a bar at a time, no files": (lambda: in_memory(panel), BARS),
    }
    if os.access(MEMORY, os.W_OK):
        found["`loop.replay`: journal and ledger, files in memory"] = (lambda: in_files(short, MEMORY), DURABLE_BARS)
    found["`loop.replay`: journal and ledger, durable on disk"] = (lambda: in_files(short, None), DURABLE_BARS)
    return found


def parts(panel: Panel) -> dict[str, Callable[[], object]]:
    """Return what the way from Python is made of, each part alone over all bars."""
    bars, feed = list(panel.each()), served().feed(1)
    engine, who, venue = FeatureEngine(served().features, 1), Trader.opened(MARKET, PARAMS, 1, CAPITAL), fills.venue(MARKET, PARAMS)
    executions, known, blank = fills.blank(1), np.full(1, 0.001), np.full((1, len(recorded.NORMAL)), np.nan)

    def fill(bar: Panel) -> None:
        fills.step(venue, who.verdicts.order, bar.open[0], bar.close[0], bar.volume[0], known, who.book, executions)

    return {
        "cutting the panel into bars": lambda: list(panel.each()),
        "features": lambda: [engine.advance(bar) for bar in bars],
        "features and forecast": lambda: [feed.advance(bar) for bar in bars],
        "fills": lambda: [fill(bar) for bar in bars],
        "decisions and gate": lambda: [think(who, blank, bar.close[0], bar.volume[0], known, CAPITAL, 0.0) for bar in bars],
    }


def measure(python: str) -> tuple[list[str], str, int]:
    """Return the rows of the table, the peer's version and the number of fills."""
    panel, place = walk(BARS), Path(tempfile.mkdtemp())
    told = theirs(python, panel, place)
    fills_of_both = check(panel, told)
    runs, times = ways(panel), {}
    for _ in range(ROUNDS):
        told = theirs(python, panel, place)
        times.setdefault("nautilus_trader", []).append(Time(told["wall"] / BARS * 1e6, told["own"] / BARS * 1e6))
        for name, (work, bars) in runs.items():
            times.setdefault(name, []).append(timed(work, bars))
    shutil.rmtree(place)
    return [row(name, each, times["nautilus_trader"]) for name, each in times.items()], told["version"], fills_of_both


def split(panel: Panel) -> str:
    """Return one sentence: what the way from Python is made of."""
    told = []
    for name, work in parts(panel).items():
        work()
        told.append(f"{name} {statistics.median(timed(work, panel.bars).own for _ in range(ROUNDS)):.1f}")
    return f"The way from Python, processor microseconds a bar: {', '.join(told)}."


def row(name: str, taken: list[Time], peer: list[Time]) -> str:
    """Return one row of the table."""
    wall, own = (statistics.median(getattr(each, clock) for each in taken) for clock in ("wall", "own"))
    ratios = [
        sorted(getattr(other, clock) / getattr(each, clock) for each, other in zip(taken, peer, strict=True))
        for clock in ("wall", "own")
    ]
    told = [f"{statistics.median(each):.3g} ({each[0]:.3g} to {each[-1]:.3g})" for each in ratios]
    return f"| {name} | {wall:,.2f} | {own:,.2f} | {told[0]} | {told[1]} |"


def main() -> None:
    """Measure and write the table beside this file."""
    if len(sys.argv) != 2:
        print("name the interpreter of an environment with nautilus_trader: python -m benchmarks.execution.events PATH")
        return
    began = os.getloadavg()[0]
    rows, version, count = measure(sys.argv[1])
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {began:.1f} to {os.getloadavg()[0]:.1f}"
    lines = [
        "# Bar by bar against nautilus_trader, on the same trades",
        "",
        f"A crossing of means over {BARS:,} minute bars of one symbol, {count:,} fills: bar, quantity, price and final equity are",
        f"equal. {ROUNDS} interleaved rounds, the two ways with files over the first {DURABLE_BARS:,} bars. The last columns are",
        "the medians of each round's nautilus_trader time over the row's (smallest to largest): how many times its bars a second.",
        f"The goal is {GOAL:.0f}.",
        "`python -m benchmarks.execution.events PATH_TO_ITS_PYTHON`.",
        f"{SystemClock().now():%Y-%m-%d}, {machine}, Python {platform.python_version()}, nautilus_trader {version}.",
        "",
        "| way | wall, microseconds a bar | processor, microseconds a bar | times its speed, wall | times its speed, processor |",
        "|---|---:|---:|---:|---:|",
        *rows,
        "",
        split(walk(3000)),
        "What `loop.replay` takes more on a disk than in memory is waiting for it: each bar is durable before the next.",
    ]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
