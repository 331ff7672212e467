"""Count how often a learned profile is alarmed by later bars of the same symbols, at the rates that it was asked for.

Run from the project's root: `python -m benchmarks.quality.calibration [--data FOLDER]`. The profile of each file is learned from
the first 60% of its bars by time and judges the rest, which holds genuine news and defects too: a rate above the one asked for is
not all false. Writes calibration.md beside this file.
"""

import argparse
import os
from pathlib import Path

import polars as pl

from benchmarks.quality import measure
from pipelines.data.quality import profile
from pipelines.data.sources import files

HERE = Path(__file__).parent
FILES = ("equities_daily_sp500", "equities_daily_long", "equities_5m", "equities_1m", "crypto_1h", "crypto_5m", "fx_1h")
RATES = (1e-2, 1e-3, 1e-4)


def judged(name: str, data: Path) -> list[str]:
    """Return one line a measure of one file."""
    where = measure.market(name)
    bars = files.read(data / f"{name}.parquet", where).sort("symbol", "opened_at")
    cut = bars["known_at"].sort()[int(len(bars) * 0.6)]
    found = profile.judge(profile.learn(bars, where, measure.LIMITS, cut), bars, where)
    shares = [(pl.col("p") < rate).mean().alias(f"below {rate}") for rate in RATES]
    table = found.group_by("measure").agg(pl.len(), *shares).sort("measure")
    told = [(what, f"{count:,}", *(f"{share:.5f}" for share in rest)) for what, count, *rest in table.iter_rows()]
    return [f"| {name} | {' | '.join(row)} |" for row in told]


def main() -> None:
    """Judge every file that is there and write the table."""
    asked = argparse.ArgumentParser()
    asked.add_argument("--data", type=Path, default=Path(os.environ.get("NIGHTSHIFT_DATA", "../shared/data")))
    data = asked.parse_args().data
    lines = [said for name in FILES if (data / f"{name}.parquet").exists() for said in judged(name, data)]
    rates = " | ".join(f"share with p < {rate:g}" for rate in RATES)
    head = [f"| file | measure | values judged | {rates} |", "|---|---|---|---|---|---|"]
    (HERE / "calibration.md").write_text("\n".join([*head, *lines, ""]), encoding="utf-8")


if __name__ == "__main__":
    main()
