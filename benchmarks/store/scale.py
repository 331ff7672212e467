"""Scale: fifty million synthetic bars through the store, a snapshot and features, the peak memory of each step measured.

`python -m benchmarks.store.scale` writes `scale.md` beside this file; `--symbols` and `--bars` make it smaller. Some 15 GB of disk
are used in a temporary folder of `--folder` and given back.
"""

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from domain import bar, session
from domain.clock import SystemClock
from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from pipelines.data import materialize, measuring
from pipelines.store import Store

START = datetime(2024, 1, 1, tzinfo=UTC)
BLOCK = 2_000
FAMILIES = ("momentum", "volatility")
GIB = 1 << 30
COST = Cost(fee_bps=1, spread_bps=1, slippage_bps=1, impact=0, borrow_bps_year=0)
MARKET = Market("scale", AssetClass.CRYPTO, session.CONTINUOUS, "1m", "files", 5, COST, Instrument())


def block(first: int, bars: int, symbols: int) -> pl.DataFrame:
    """Return that many minutes of every symbol, a random walk in hundredths; one bar in fifty is missing."""
    random = np.random.default_rng(first)
    price = np.round(100.0 * np.exp(np.cumsum(random.normal(0, 1e-3, (bars, symbols)), axis=0)), 2)
    present = random.random((bars, symbols)) > 0.02
    row, column = np.nonzero(present)
    close = price[row, column]
    wick = np.round(random.exponential(0.05, (2, len(close))), 2)
    opened = (np.datetime64(START.replace(tzinfo=None), "us") + (first + row).astype("timedelta64[m]")).astype("datetime64[us]")
    frame = pl.DataFrame({
        "symbol": pl.Series([f"S{i:03d}" for i in range(symbols)]).gather(column), "opened_at": opened,
        "open": close, "high": close + wick[0], "low": close - wick[1], "close": close,
        "volume": np.round(random.lognormal(5, 1, len(close))), "vwap": close, "trades": random.integers(1, 500, len(close)),
    }).with_columns(pl.col("opened_at").dt.replace_time_zone("UTC"))  # fmt: skip
    closed = pl.col("opened_at") + timedelta(minutes=1)
    return bar.conform(
        frame.with_columns(market=pl.lit(MARKET.name), timeframe=pl.lit("1m"), event_at=closed, known_at=closed, flags=pl.lit(0))
    )


def import_(folder: Path, symbols: int, bars: int) -> int:
    """Write all bars to the store in blocks of time."""
    store = Store(folder / "store")
    for first in range(0, bars, BLOCK):
        store.upsert("bars", block(first, min(BLOCK, bars - first), symbols))
    return store.count(MARKET.name, MARKET.timeframe)


def snapshot(folder: Path, _symbols: int, _bars: int) -> int:
    """Freeze all bars in a file."""
    materialize.snapshot(Store(folder / "store"), MARKET, folder / "snapshot")
    return (folder / "snapshot" / "panel.parquet").stat().st_size


def features(folder: Path, _symbols: int, _bars: int) -> int:
    """Measure them."""
    measuring.features(folder / "snapshot", FAMILIES, folder / "features")
    return len(json.loads((folder / "features" / "features.json").read_text(encoding="utf-8"))["names"])


STEPS: dict[str, Callable[[Path, int, int], int]] = {"import": import_, "snapshot": snapshot, "features": features}


def step(name: str, folder: Path, symbols: int, bars: int) -> None:
    """Run one step and print its seconds, its peak resident memory, and what it counted."""
    clock = SystemClock()
    began = clock.monotonic_ns()
    counted = STEPS[name](folder, symbols, bars)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"seconds": (clock.monotonic_ns() - began) / 1e9, "peak_bytes": peak, "counted": counted}))


def measured(name: str, folder: Path, symbols: int, bars: int) -> dict[str, float]:
    """Return what `step` prints, run in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.store.scale", "--step", name, "--folder", str(folder)]
    command += ["--symbols", str(symbols), "--bars", str(bars)]
    quiet = {**os.environ, "POLARS_ENGINE_AFFINITY": "in-memory"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=quiet)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def report(found: dict[str, dict[str, float]], symbols: int, bars: int) -> str:
    """Return the results as markdown."""
    rows = found["import"]["counted"]
    lines = [
        f"# {rows:,.0f} bars: {symbols} symbols x {bars:,} minutes, one in fifty missing",
        "",
        f"Two cores that other work shared. Families {', '.join(FAMILIES)}: {found['features']['counted']:.0f} features, float32.",
        "Each step is a process; peak is its `ru_maxrss`, pages of mapped files included.",
        "",
        "| step | seconds | ns a bar | peak GiB |",
        "|---|---|---|---|",
    ]
    for name, result in found.items():
        nanoseconds, peak = 1e9 * result["seconds"] / rows, result["peak_bytes"] / GIB
        lines.append(f"| {name} | {result['seconds']:.0f} | {nanoseconds:,.0f} | {peak:.2f} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all steps, or one of them as their process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--step", choices=list(STEPS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--symbols", type=int, default=500)
    parser.add_argument("--bars", type=int, default=102_041)
    asked = parser.parse_args()
    if asked.step:
        step(asked.step, asked.folder, asked.symbols, asked.bars)
        return
    folder = Path(tempfile.mkdtemp(dir=asked.folder))
    try:
        found = {name: measured(name, folder, asked.symbols, asked.bars) for name in STEPS}
    finally:
        shutil.rmtree(folder)
    text = report(found, asked.symbols, asked.bars)
    print(text)
    Path(__file__).with_suffix(".md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
