"""The simulation against vectorbt, on the same trades: `python -m benchmarks.execution.batch`.

Both are handed bars and what the rule wants at each close: ours as forecasts that the decision layer turns into exactly that,
vectorbt as shares of equity for `from_orders`. Before anything is timed, every fill and the equity at every close are found equal.
Timed is processor time of this process, in interleaved rounds; ratios are medians of each round's own.

Ours does more: it decides, judges every order by the gate, and logs orders, verdicts, fills and the curve. vectorbt returns the
records of its fills; the rows with value ask it for the equity at every close as well, which ours has by then, and those of its
loop alone leave out the wrapping in pandas.
Its Rust engine is timed where `vectorbt-rust` can be imported.
"""

import importlib.util
import os
import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from vectorbt.portfolio import dispatch, nb
from vectorbt.portfolio.enums import CallSeqType, Direction, SizeType

from domain.clock import SystemClock
from domain.market import Market
from domain.panel import FloatArray, Panel
from domain.params import Params
from pipelines.execution import simulate
from pipelines.execution.outcome import Outcome
from tests.pipelines.execution import peers, recorded
from tests.pipelines.execution.peers import vbt

ROUNDS = 7
GOAL = 5.0
ENGINES = ("rust", "numba") if importlib.util.find_spec("vectorbt_rust") else ("numba",)


@dataclass(frozen=True)
class Case:
    """Bars, and the convictions that the rule has at their closes; NaN leaves things as they are."""

    name: str
    panel: Panel
    views: FloatArray
    market: Market
    params: Params
    weight: float

    @classmethod
    def made(cls, name: str, bars: int, symbols: int, *, every: bool) -> "Case":
        """Make a crossing of two means on a random walk that is traded at `every` bar, or only where it changes side."""
        panel, weight = walk(bars, symbols), 0.5 / symbols
        views = crossing(panel.close)
        if not every:
            views[1:][np.sign(views[1:]) == np.sign(views[:-1])] = np.nan
        return cls(name, panel, views, *peers.terms("us_equity", lot=1e-11, weight=weight), weight)

    @property
    def values(self) -> int:
        """Return the number of bars of all symbols."""
        return self.panel.close.size

    def ours(self) -> Callable[[], Outcome]:
        """Return our run, its inputs ready."""
        scale = np.full(self.panel.close.shape, 0.001)
        median = peers.EDGE * self.views[..., None] + recorded.NORMAL
        forecasts = np.ascontiguousarray(median * 0.001)
        return lambda: simulate.run(self.panel, forecasts, self.market, self.params, model_version="1", scale=scale)

    def theirs(self, engine: str) -> Callable[[], Any]:
        """Return vectorbt's run with one of its engines, its inputs ready."""
        orders, rates = self._orders(), self.market.cost.rates()
        close = pd.DataFrame(self.panel.close)
        keys = {"fees": rates.fee, "slippage": rates.touch, "init_cash": self.params.fills.capital, "engine": engine, **orders}
        return lambda: vbt.Portfolio.from_orders(close, size_type="targetpercent", cash_sharing=True, group_by=True, **keys)

    def theirs_bare(self, engine: str) -> Callable[[], Any]:
        """Return the compiled loop within that run, called without its wrapping."""
        close, orders, rates = self.panel.close, self._orders(), self.market.cost.rates()
        group, cash = np.array([close.shape[1]]), np.array([self.params.fills.capital])
        turn = nb.build_call_seq(close.shape, group, call_seq_type=CallSeqType.Default)
        numbers = {
            "size_type": SizeType.TargetPercent, "direction": Direction.Both, "fees": rates.fee, "fixed_fees": 0.0,
            "slippage": rates.touch, "min_size": 0.0, "max_size": np.inf, "size_granularity": np.nan, "reject_prob": 0.0,
            "lock_cash": False, "allow_partial": True, "raise_reject": False, "log": False,
        }  # fmt: skip
        keys = {**orders, **{name: np.asarray(value) for name, value in numbers.items()}, "close": close}
        return lambda: dispatch.simulate_from_orders(
            close.shape, group, cash, turn, auto_call_seq=False, max_logs=0, engine=engine, **keys
        )

    def _orders(self) -> dict[str, FloatArray]:
        active = np.isfinite(self.views).sum(axis=1, keepdims=True)
        mean = np.where(active > 1, np.nansum(self.views, axis=1, keepdims=True) / np.maximum(active, 1), 0.0)
        wanted = self.weight * (self.views - mean)
        return {"size": later(wanted), "price": self.panel.open, "val_price": later(self.panel.close)}


def later(values: FloatArray) -> FloatArray:
    """Return what was known one row before."""
    return np.vstack((np.full((1, values.shape[1]), np.nan), values[:-1]))


def walk(bars: int, symbols: int, sigma: float = 0.0005) -> Panel:
    """Return bars of a random walk without gaps, a minute each."""
    rng = np.random.default_rng(3)
    close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, sigma, (bars, symbols)), axis=0))
    opened = close * np.exp(rng.normal(0.0, sigma / 4, close.shape))
    high, low, volume = np.maximum(opened, close), np.minimum(opened, close), np.full(close.shape, 1e6)
    at = np.datetime64("2020-01-01T00:00:00", "us") + np.arange(bars) * np.timedelta64(60, "s")
    names = tuple(f"S{s:03d}" for s in range(symbols))
    return Panel("us_equity", "1d", names, at, at + np.timedelta64(59, "s"), opened, high, low, close, volume)


def crossing(close: FloatArray) -> FloatArray:
    """Return [T, S] half the sign of the fast mean less the slow one, NaN before both are known."""
    total = np.vstack((np.zeros((1, close.shape[1])), np.cumsum(close, axis=0)))
    fast, slow = ((total[window:] - total[:-window]) / window for window in (peers.FAST, peers.SLOW))
    views = np.full(close.shape, np.nan)
    views[peers.SLOW - 1 :] = peers.HALF * np.sign(fast[peers.SLOW - peers.FAST :] - slow)
    return views


def check(case: Case, ours: Outcome, theirs: Any) -> int:
    """Return the number of fills; stop when any of them, or the equity at any close, differs.

    vectorbt takes a change in the tenth digit of a position for none: such fills are left out on both sides.
    """
    found, expected = (sizeable(fills) for fills in (peers.ours(ours), peers.vectorbt_fills(theirs)))
    if len(found.row) != len(expected.row):
        raise SystemExit(f"{case.name}: {len(found.row)} fills of ours against {len(expected.row)}: the figures would mean nothing")
    for name in peers.Fills._fields:
        np.testing.assert_allclose(getattr(found, name), getattr(expected, name), rtol=1e-9, atol=1e-8, err_msg=name)
    np.testing.assert_allclose(ours.equity, np.asarray(theirs.value()).ravel(), rtol=1e-9)
    return len(found.row)


def sizeable(fills: peers.Fills) -> peers.Fills:
    """Return the fills of a millionth of a unit and more; the smallest positions here are of some units."""
    return peers.Fills(*(column[np.abs(fills.quantity) > 1e-6] for column in fills))


def nanoseconds(work: Callable[[], object], values: int) -> float:
    """Return this process's own nanoseconds per symbol-bar of one call: what others do on the machine is not counted."""
    start = time.process_time_ns()
    work()
    return (time.process_time_ns() - start) / values


def measure(case: Case) -> list[str]:
    """Return the rows of one case."""
    ours = case.ours()
    runs: dict[str, Callable[[], Any]] = {"ours": ours}
    for engine in ENGINES:
        run = case.theirs(engine)
        fills = check(case, ours(), run())
        runs[f"vectorbt, {engine}"] = run
        runs[f"vectorbt, {engine}, loop alone"] = case.theirs_bare(engine)
        runs[f"vectorbt, {engine}, with value"] = lambda run=run: run().value()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(nanoseconds(run, case.values))
    rows = []
    for name, taken in times.items():
        ratios = sorted(each / own for each, own in zip(taken, times["ours"], strict=True))
        middle = statistics.median(taken)
        rows.append(
            f"| {case.name} | {fills:,} | {name} | {middle:.1f} | {1e3 / middle:.1f} | {statistics.median(ratios):.2f} "
            f"({ratios[0]:.2f} to {ratios[-1]:.2f}) |"
        )
    return rows


def cases() -> list[Case]:
    """Return what the goal names, traded seldom and at every bar."""
    return [
        Case.made("1,000,000 x 1, at crossings", 1_000_000, 1, every=False),
        Case.made("1,000,000 x 1, every bar", 1_000_000, 1, every=True),
        Case.made("2,520 x 500, at crossings", 2520, 500, every=False),
        Case.made("2,520 x 500, every bar", 2520, 500, every=True),
    ]


def main() -> None:
    """Measure and write the table beside this file."""
    began = os.getloadavg()[0]
    rows = [row for case in cases() for row in measure(case)]
    machine = f"{platform.machine()}, {os.cpu_count()} CPUs, load {began:.1f} to {os.getloadavg()[0]:.1f}"
    lines = [
        "# The simulation against vectorbt, on the same trades",
        "",
        f"Fills and equity at every close equal to 1e-9, then processor time in {ROUNDS} interleaved rounds. The last column is",
        f"the median of each round's time over ours (smallest to largest), the goal is {GOAL:.0f}. `loop alone` is the compiled",
        "loop without pandas around it, `with value` asks for the equity at every close too.",
        "`python -m benchmarks.execution.batch`, with vectorbt-rust on the path for its Rust engine.",
        f"{SystemClock().now():%Y-%m-%d}, {machine}, Python {platform.python_version()}, vectorbt {vbt.__version__}, "
        f"engines {' and '.join(ENGINES)}.",
        "",
        "| bars x symbols | fills | engine | ns per symbol-bar | million symbol-bars a second | times ours |",
        "|---|---:|---|---:|---:|---:|",
        *rows,
    ]
    text = "\n".join(lines) + "\n"
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
