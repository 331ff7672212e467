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

from benchmarks.quality import judged, planting, recorded, twins
from domain import params
from domain.bar import IMPOSSIBLE, Defect
from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import AssetClass, Market
from pipelines.data import quality
from pipelines.data.quality import inspection
from pipelines.data.sources import files

HERE = Path(__file__).parent
LIMITS = params.load(HERE.parents[1] / "params.yaml").quality
CALENDARS = {"crypto": ("24/7", AssetClass.CRYPTO), "fx": ("24/5", AssetClass.FX)}
TIMEFRAMES = {"daily": "1d", "1m": "1m", "5m": "5m", "1h": "1h", "4h": "4h"}

#: What counts as an alarm unless it is on record: extended hours and gaps are facts of the calendar and not counted again.
ALARMS = Defect.DECIMAL_SHIFT | Defect.PRICE_SPIKE | Defect.PRICE_JUMP | Defect.VOLUME_BREAK | Defect.MARKET_CLOSED
#: Alarms that are false unless a bar has a price that none around it came near (judged.lone).
LONE = Defect.DECIMAL_SHIFT | Defect.PRICE_SPIKE

#: Symbols of each file into which defects are planted, and how many of each kind.
PLANTED_IN = ("equities_daily_sp500", "equities_daily_broad_pit", "equities_1m", "equities_5m", "crypto_1h", "fx_1h")
SYMBOLS, COUNT, SEED = 20, 200, 11


def market(name: str) -> Market:
    """Return the market of a file of the shared data, by its name."""
    calendar, asset = CALENDARS.get(name.split("_", maxsplit=1)[0], ("XNYS", AssetClass.EQUITY))
    timeframe = next(length for part, length in TIMEFRAMES.items() if part in name.split("_"))
    cost = Cost(fee_bps=0, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)
    return Market(name, asset, calendar, timeframe, "files", 1, cost, Instrument(lot=1, shortable=True))


def day(where: Market) -> pl.Expr:
    """Return the date of the session that a bar belongs to: New York's, UTC's for crypto, from 17:00 New York for currencies."""
    local = pl.col("opened_at").dt.convert_time_zone("UTC" if where.calendar == "24/7" else recorded.NEW_YORK)
    return local.dt.offset_by("7h").dt.date() if where.calendar == "24/5" else local.dt.date()


def records(name: str, folder: Path) -> tuple[recorded.Known, ...]:
    """Return what is on record of a file; the actions of the point-in-time panel lie in a file of their own."""
    known = recorded.RECORDED[name]
    return (*known, recorded.actions(folder)) if name == "equities_daily_broad_pit" else known


def holds(table: pl.DataFrame, flags: Defect) -> pl.Series:
    """Return which rows carry one of the flags."""
    return table.select(pl.any_horizontal(inspection.column(flag) for flag in flags)).to_series()


def caught(table: pl.DataFrame, known: recorded.Known) -> tuple[int, int]:
    """Return how many rows of a record (or symbol and day, unless `whole`) are caught, and how many there are."""
    table = table.sort("symbol", "opened_at")
    rows = table.with_columns(caught=holds(table, known.flags)).filter(known.rows(table))
    if not known.whole:
        rows = rows.group_by("symbol", recorded.local("date")).agg(pl.col("caught").any())
    return int(rows["caught"].sum()), len(rows)


def explained(table: pl.DataFrame, known: tuple[recorded.Known, ...]) -> pl.Series:
    """Return which rows, sorted by symbol and time, some record explains."""
    records = [record.rows(table).fill_null(False) for record in known]
    return table.select(rows=pl.any_horizontal(pl.lit(False), *records))["rows"]


def unrecorded(table: pl.DataFrame, name: str, known: tuple[recorded.Known, ...]) -> pl.DataFrame:
    """Return the alarms that no record explains and whether they are `false`: one row a bar, for volume one a symbol and day."""
    table = table.sort("symbol", "opened_at")
    alone = pl.col("place").is_in(judged.lone(table).implode())
    alarms = table.with_row_index("place").with_columns(alone=alone, dataset=pl.lit(name))
    alarms = alarms.filter(holds(table, ALARMS) & ~explained(table, known))
    shown = ["dataset", "flagged", "false", "symbol", "opened_at", *planting.PRICES, "volume", "near", "volume_ratio"]
    return pl.concat([_bars(alarms).select(shown), _days(alarms, judged.rescaled(table)).select(shown)])


def _bars(alarms: pl.DataFrame) -> pl.DataFrame:
    names = [inspection.column(flag) for flag in ALARMS & ~Defect.VOLUME_BREAK]
    flags = pl.concat_list(pl.when(flag).then(pl.lit(flag)) for flag in names).list.drop_nulls()
    bars = alarms.with_columns(flagged=flags.list.join("+")).filter(pl.col("flagged") != "")
    return bars.with_columns(false=~(holds(bars, LONE) & bars["alone"]))


def _days(alarms: pl.DataFrame, rescaled: pl.DataFrame) -> pl.DataFrame:
    days = alarms.filter("volume_break").unique(["symbol", "session"], keep="first", maintain_order=True)
    real = rescaled.with_columns(false=pl.lit(False))
    days = days.join(real, on=["symbol", "session"], how="left", maintain_order="left")
    return days.with_columns(pl.col("false").fill_null(True), flagged=pl.lit("volume_break"))


def measure(name: str, folder: Path) -> tuple[list[str], pl.DataFrame]:
    """Inspect one file; return its lines of the table and the alarms that are not on record."""
    where, known = market(name), records(name, folder)
    bars = files.read(folder / f"{name}.parquet", where)
    began = time.perf_counter()
    found = quality.inspect(bars, where, LIMITS)
    seconds = time.perf_counter() - began
    table = inspection.examine(bars, where, LIMITS).sort("symbol", "opened_at")
    alarms = unrecorded(table, name, known)
    beyond = int((holds(table, IMPOSSIBLE) & ~explained(table, known)).sum())
    false = int(alarms["false"].sum())
    line = (
        f"| {name} | {len(bars):,} | {seconds:.1f} | {_told(found.summary.select('defect', 'rows'))} | {len(found.quarantined)} "
        f"| {beyond} | {_told(alarms['flagged'].value_counts().sort('flagged'))} | {false} | {false / len(bars):.4%} |"
    )
    counts = [(record.text, *caught(table, record)) for record in known]
    return [line, *(f"{name}: {text}|{got}/{listed}" for text, got, listed in counts if listed)], alarms


def _told(counts: pl.DataFrame) -> str:
    return ", ".join(f"{kind} {count:,}" for kind, count in counts.iter_rows() if count) or "none"


def plant(name: str, folder: Path) -> list[str]:
    """Plant each defect into some symbols of one file; return its lines: caught, and flagged elsewhere by the planting."""
    where = market(name)
    bars = files.read(folder / f"{name}.parquet", where)
    symbols = bars["symbol"].unique().sort()[:SYMBOLS]
    bars = bars.filter(pl.col("symbol").is_in(symbols.implode()) & pl.all_horizontal(pl.col(planting.PRICES).is_not_null()))
    bars = bars.sort("symbol", "opened_at").with_columns(day=day(where))
    before = inspection.examine(bars, where, LIMITS).select(
        "symbol", "opened_at", *(inspection.column(d) for d in inspection.DEFECTS)
    )
    lines = []
    for text, (planter, _) in planting.PLANTERS.items():
        if not planting.applies(text, where):
            continue
        flags = planting.flags(text, where)
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
    paired = [
        f"| {pair.name} | {pair.bars} | {pair.wrong} | {pair.caught} | {pair.accused} | {pair.flags} |"
        for pair in twins.pairs(options.data / "raw" / "yfinance_bad_data", LIMITS)
    ]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    report = "\n".join(
        [
            "| data | rows | seconds | defects | quarantined | not on record | alarms not on record | false | of all rows |",
            "|---|---|---|---|---|---|---|---|---|",
            *(lines[0] for lines, _ in results), "",
            "| recorded defect | caught |", "|---|---|",
            *(f"| {line.replace('|', ' | ')} |" for lines, _ in results for line in lines[1:]), "",
            "| planted into | defect | planted | caught | flagged elsewhere |", "|---|---|---|---|---|",
            *planted, "",
            "| Yahoo's recorded defect | bars | wrong | caught | accused elsewhere | all flags |", "|---|---|---|---|---|---|",
            *paired, "", f"Peak memory {peak:.2f} GiB.", "",
        ]
    )  # fmt: skip
    print(report)
    (HERE / "results.md").write_text(report, encoding="utf-8")
    if options.alarms is not None:
        pl.concat([alarms for _, alarms in results]).write_csv(options.alarms)


if __name__ == "__main__":
    main()
