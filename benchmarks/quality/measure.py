"""Count which recorded and planted defects quality catches on real data, and what else it flags.

Run from the project's root: `python -m benchmarks.quality.measure [--data FOLDER] [--only NAME ...] [--alarms FILE]`. Writes
results.md beside this file; with `--alarms` also every outlier that is not on record, for the eye: real rows, so keep that file
out of the repository.
"""

import argparse
import os
import resource
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks.quality import planting, recorded
from domain.bar import Defect
from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from domain.params import Quality
from pipelines.data import quality
from pipelines.data.quality import inspection
from pipelines.data.sources import files

HERE = Path(__file__).parent
LIMITS = Quality(spike_sigma=12, jump_log=0.4, volume_break_ratio=8, gap_sessions=3)
CALENDARS = {"crypto": ("24/7", AssetClass.CRYPTO), "fx": ("24/5", AssetClass.FX)}
TIMEFRAMES = {"daily": "1d", "1m": "1m", "5m": "5m", "1h": "1h"}

#: What counts as a false alarm unless it is on record or was looked at: the rest is known from the calendar or harmless.
ALARMS = Defect.DECIMAL_SHIFT | Defect.PRICE_SPIKE | Defect.VOLUME_BREAK | Defect.MARKET_CLOSED

#: Symbols of each file into which defects are planted, and how many of each kind.
PLANTED_IN, SYMBOLS, COUNT, SEED = ("equities_daily_sp500", "equities_5m", "crypto_1h", "fx_1h"), 20, 200, 11


def market(name: str) -> Market:
    """Return the market of a file of the shared data, by its name."""
    calendar, asset = CALENDARS.get(name.split("_", maxsplit=1)[0], ("XNYS", AssetClass.EQUITY))
    timeframe = next(length for part, length in TIMEFRAMES.items() if part in name.split("_"))
    cost = Cost(fee_bps=0, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)
    return Market(name, asset, calendar, timeframe, "files", 1, cost, Instrument(lot=1, shortable=True))


def holds(table: pl.DataFrame, flags: Defect) -> pl.Series:
    """Return which rows carry one of the flags."""
    return table.select(pl.any_horizontal(inspection.column(flag) for flag in flags)).to_series()


def caught(table: pl.DataFrame, known: recorded.Known) -> tuple[int, int]:
    """Return how many rows of a record (or symbol and day, unless `whole`) are caught, and how many there are."""
    rows = table.with_columns(caught=holds(table, known.flags)).filter(known.rows(table))
    if not known.whole:
        rows = rows.group_by("symbol", recorded.local("date")).agg(pl.col("caught").any())
    return int(rows["caught"].sum()), len(rows)


def unrecorded(table: pl.DataFrame, name: str) -> pl.DataFrame:
    """Return the alarms that no record explains: one row a bar, for volume one a symbol and day."""
    explained = pl.Series(np.zeros(len(table), dtype=bool))
    for known in recorded.RECORDED[name]:
        explained |= table.select(known.rows(table).fill_null(False)).to_series()
    alarms = table.filter(holds(table, ALARMS) & ~explained)
    names = [inspection.column(flag) for flag in ALARMS & ~Defect.VOLUME_BREAK]
    flags = pl.concat_list(pl.when(flag).then(pl.lit(flag)) for flag in names).list.drop_nulls()
    alarms = alarms.with_columns(dataset=pl.lit(name), flagged=flags.list.join("+"))
    bars = alarms.filter(holds(alarms, ALARMS & ~Defect.VOLUME_BREAK))
    days = alarms.filter("volume_break").unique(["symbol", "session"], keep="first", maintain_order=True)
    days = days.with_columns(flagged=pl.lit("volume_break"))
    shown = ["dataset", "flagged", "symbol", "opened_at", *planting.PRICES, "volume", "near", "volume_ratio"]
    return pl.concat([bars, days]).select(shown)


def measure(name: str, folder: Path) -> tuple[list[str], pl.DataFrame]:
    """Inspect one file; return its lines of the table and the alarms that are not on record."""
    where = market(name)
    bars = files.read(folder / f"{name}.parquet", where)
    began = time.perf_counter()
    found = quality.inspect(bars, where, LIMITS)
    seconds = time.perf_counter() - began
    table = inspection.examine(bars, where, LIMITS)
    alarms = unrecorded(table, name)
    counts = ", ".join(f"{row['defect']} {row['rows']:,}" for row in found.summary.filter(pl.col("rows") > 0).iter_rows(named=True))
    kinds = ", ".join(f"{kind} {count}" for kind, count in alarms["flagged"].value_counts(sort=True).sort("flagged").iter_rows())
    lines = [f"| {name} | {len(bars):,} | {seconds:.1f} | {counts or 'none'} | {kinds or 'none'} |"]
    records = [(known.text, *caught(table, known)) for known in recorded.RECORDED[name]]
    lines += [f"{name}: {text}|{got}/{all_}" for text, got, all_ in records if all_]
    return lines, alarms


def plant(name: str, folder: Path) -> list[str]:
    """Plant each defect into some symbols of one file; return its lines: caught, and flagged elsewhere by the planting."""
    where = market(name)
    bars = files.read(folder / f"{name}.parquet", where)
    symbols = bars["symbol"].unique().sort()[:SYMBOLS]
    bars = bars.filter(pl.col("symbol").is_in(symbols.implode()) & pl.all_horizontal(pl.col(planting.PRICES).is_not_null()))
    bars = bars.sort("symbol", "opened_at")
    before = inspection.examine(bars, where, LIMITS).select(
        "symbol", "opened_at", *(inspection.column(d) for d in inspection.DEFECTS)
    )
    lines = []
    for text, (planter, flags) in planting.PLANTERS.items():
        if where.calendar == "24/7" and Defect.MARKET_CLOSED in flags:
            continue
        frame, rows = planter(bars, np.random.default_rng(SEED), COUNT)
        table = inspection.examine(frame, where, LIMITS)
        hit = holds(table, flags)
        elsewhere = table.filter(holds(table, flags) & ~pl.col("row").is_in(rows)).select("symbol", "opened_at")
        fresh = elsewhere.join(before.filter(holds(before, flags)), on=["symbol", "opened_at"], how="anti")
        lines.append(f"| {name} | {text} | {len(rows)} | {int(hit.gather(rows).sum())} | {len(fresh)} |")
    return lines


def main() -> None:
    """Measure every file that is there, print and store the tables."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--data", type=Path, default=Path(os.environ.get("NIGHTSHIFT_DATA", "../shared/data")))
    asked.add_argument("--only", nargs="*", default=list(recorded.RECORDED))
    asked.add_argument("--alarms", type=Path)
    options = asked.parse_args()
    names = [name for name in options.only if (options.data / f"{name}.parquet").exists()]
    results = [measure(name, options.data) for name in names]
    planted = [line for name in names if name in PLANTED_IN for line in plant(name, options.data)]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    report = "\n".join(
        [
            "| data | rows | seconds | flagged rows | alarms not on record |",
            "|---|---|---|---|---|",
            *(lines[0] for lines, _ in results), "",
            "| recorded defect | caught |", "|---|---|",
            *(f"| {line.replace('|', ' | ')} |" for lines, _ in results for line in lines[1:]), "",
            "| planted into | defect | planted | caught | flagged elsewhere |", "|---|---|---|---|---|",
            *planted, "", f"Peak memory {peak:.2f} GiB.", "",
        ]
    )  # fmt: skip
    print(report)
    (HERE / "results.md").write_text(report, encoding="utf-8")
    if options.alarms is not None:
        pl.concat([alarms for _, alarms in results]).write_csv(options.alarms)


if __name__ == "__main__":
    main()
