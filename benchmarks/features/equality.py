"""Every feature on every shared market, to the bit: `python -m benchmarks.features.equality [--data FOLDER] [--only NAME ...]`.

The bars of each file go through quality and become a panel with its gaps, listings and delistings. Then one call over all of it
must equal random chunks, bar by bar from the beginning and from a state restored in the middle, and any truncation. What no file
holds (trades, news, macro series, sectors) is drawn at random, missing here and there. Writes equality.md beside this file.
"""

import argparse
import os
import time
from itertools import pairwise
from pathlib import Path

import numpy as np
import numpy.typing as npt

from benchmarks.features.markets import known
from benchmarks.quality.measure import LIMITS, market
from domain import panel as panels
from domain.panel import Panel
from features import catalog
from features.engine import FeatureEngine
from pipelines.data import quality
from pipelines.data.sources import files

SYMBOLS, BARS, LIVE, CUTS, SEED = 48, 1500, 400, 12, 5
FILES = (
    "crypto_1h", "crypto_1h_long", "crypto_1m", "crypto_5m",
    "equities_1m", "equities_1m_2019", "equities_1m_extended", "equities_5m", "equities_5m_extended",
    "equities_daily_broad_pit", "equities_daily_long", "equities_daily_sp500", "equities_daily_yahoo_adj",
    "fx_1h", "fx_1m", "fx_4h", "index_daily",
)  # fmt: skip
Values = npt.NDArray[np.float64]


def panel(path: Path) -> Panel:
    """Return the end of a file as a panel: the symbols with the fewest bars and those with the most."""
    where = market(path.stem)
    bars = quality.inspect(files.read(path, where, 0.0), where, LIMITS).kept
    counted = bars["symbol"].value_counts().sort("count", "symbol")["symbol"].to_list()
    chosen = sorted({*counted[: SYMBOLS // 2], *counted[-SYMBOLS // 2 :]})
    made = panels.from_bars(bars, where.name, where.timeframe, tuple(chosen))
    return known(made.rows(max(0, made.bars - BARS), made.bars))


def pieces(whole: Panel, cuts: list[int]) -> Values:
    """Return all features, computed in the pieces that the cuts make."""
    engine = FeatureEngine(catalog.CATALOG, len(whole.symbols), precision=np.float64)
    return np.concatenate([engine.advance(whole.rows(a, b)) for a, b in pairwise([0, *sorted(cuts), whole.bars])])


def resumed(whole: Panel, first: int) -> Values:
    """Return the features from row `first` on, bar by bar, by an engine that was handed the state of another."""
    before, after = (FeatureEngine(catalog.CATALOG, len(whole.symbols), precision=np.float64) for _ in range(2))
    before.advance(whole.rows(0, first))
    after.restore(before.state())
    return np.concatenate([after.advance(bar) for bar in whole.rows(first, whole.bars).each()])


def unequal(a: Values, b: Values) -> set[str]:
    """Return the features whose bits differ anywhere; any NaN equals any other."""
    x, y = np.ascontiguousarray(a), np.ascontiguousarray(b)
    differs = (x.view(np.int64) != y.view(np.int64)) & ~(np.isnan(x) & np.isnan(y))
    return {catalog.CATALOG[f].name for f in np.flatnonzero(differs.any(axis=(0, 1)))}


def compared(whole: Panel) -> dict[str, set[str]]:
    """Return for each way of computing the features that it does not give to the bit."""
    draw = np.random.default_rng(SEED)
    values, live = pieces(whole, []), min(LIVE, whole.bars // 3)
    cuts = draw.integers(0, whole.bars, CUTS).tolist()
    ends = [*draw.integers(1, whole.bars, 3).tolist(), whole.bars - 1]
    return {
        "chunks": unequal(pieces(whole, cuts), values),
        "bar by bar": unequal(pieces(whole.rows(0, live), list(range(1, live))), values[:live]),
        "restored": unequal(resumed(whole, whole.bars - live), values[whole.bars - live :]),
        "truncated": set().union(*(unequal(pieces(whole.rows(0, end), []), values[:end]) for end in ends)),
    }


def main() -> None:
    """Compare all files, print and write the table; exit 1 when anything differs."""
    parser = argparse.ArgumentParser(description="Compare the features of every shared market to the bit.")
    default = os.environ.get("NIGHTSHIFT_DATA", Path(__file__).parents[2].parent / "shared" / "data")
    parser.add_argument("--data", type=Path, default=Path(default))
    parser.add_argument("--only", nargs="*", default=FILES)
    asked = parser.parse_args()
    lines = [
        "# Every feature on every shared market, to the bit", "",
        f"{len(catalog.CATALOG)} features, float64. Each cell names the features that differ.", "",
        "| file | symbols | bars | missing | chunks | bar by bar | restored | truncated |", "|---|---|---|---|---|---|---|---|",
    ]  # fmt: skip
    failed = False
    for name in asked.only:
        begun, whole = time.perf_counter(), panel(asked.data / f"{name}.parquet")
        found = compared(whole)
        failed |= any(found.values())
        cells = [", ".join(sorted(names)) or "none" for names in found.values()]
        missing = f"{1.0 - whole.present.mean():.0%}"
        lines.append("| " + " | ".join([name, str(len(whole.symbols)), str(whole.bars), missing, *cells]) + " |")
        print(lines[-1], f"{time.perf_counter() - begun:.0f} s", flush=True)
    Path(__file__).with_suffix(".md").write_text("\n".join(lines) + "\n", encoding="utf-8")
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
