"""Recorded defects of Yahoo, repaired, beside their recorded twins: `python -m benchmarks.sources.yahoo_repair`.

Each recording is served by a stand-in for Yahoo's servers and asked for through yfinance's public path, `history(repair=True)`.
What the library makes of it and what the source stores are compared with the twin, number by number.
"""

import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import yfinance

from domain.clock import ReplayClock, SystemClock
from domain.panel import FloatArray
from pipelines.data.sources.yahoo import rows
from pipelines.data.sources.yahoo.asking import Asking
from pipelines.data.sources.yahoo.line import Line
from tests.pipelines.data.sources.chart_server import Exchange, serving
from tests.pipelines.data.sources.defects import DEFECTS, FOLDER, WEEKS, Defect

RESULTS = Path(__file__).with_suffix(".md")
#: The twins were written with some digits less.
EQUAL = 5e-5
COLUMNS = {**rows.BARS, **rows.ACTIONS, "adjusted close": "Adj Close"}


def main() -> None:
    """Measure every recording and write the table."""
    if not FOLDER.is_dir():
        sys.exit(f"recorded defects of Yahoo are not in {FOLDER}: name the data with NIGHTSHIFT_DATA")
    with tempfile.TemporaryDirectory() as zones, serving() as exchange:
        yfinance.set_tz_cache_location(zones)
        lines = [_line(defect, exchange) for defect in (*DEFECTS, WEEKS)]
    RESULTS.write_text(_page(lines), encoding="utf-8")
    sys.stdout.write(RESULTS.read_text(encoding="utf-8"))


def _line(defect: Defect, exchange: Exchange) -> str:
    """Return one row of the table."""
    defect.serve(exchange)
    clock = ReplayClock(defect.recorded().index[-1].tz_convert("UTC").to_pydatetime())
    told = Asking(0, Line(0.0, clock, lambda _: None), exchange.client()).ask(defect.question(repair=True))
    if told is None:
        sys.exit(f"the stand-in had nothing of {defect.name}")
    twin = defect.twin().reindex(told.rows.index)
    ours = rows.build(told, defect.market, defect.symbol)
    read = (told.rows.__getitem__, told.repaired.__getitem__, _stored(ours))
    columns = [defect.name, len(twin), *(_differing(each, twin) for each in read), len(ours) - ours["reason"].null_count()]
    return f"| {' | '.join(str(column) for column in columns)} |"


def _stored(ours: pl.DataFrame) -> Callable[[str], pl.Series]:
    names = {theirs: name for name, theirs in COLUMNS.items()}
    return lambda theirs: ours[names[theirs]]


def _differing(read: Callable[[str], Sequence[float]], twin: pd.DataFrame) -> str:
    """Return which columns differ from the twin, in how many rows and by how much at most."""
    found: Mapping[str, FloatArray] = {
        name: _off(np.asarray(read(theirs), dtype=float), twin[theirs].to_numpy(float))
        for name, theirs in COLUMNS.items()
        if theirs in twin and _has(read, theirs)
    }
    said = [f"{name} {int((off > EQUAL).sum())} ({off.max():.2g})" for name, off in found.items() if (off > EQUAL).any()]
    return ", ".join(said) or f"equal ({max(off.max() for off in found.values()):.1e})"


def _has(read: Callable[[str], object], column: str) -> bool:
    try:
        read(column)
    except (KeyError, pl.exceptions.ColumnNotFoundError):
        return False
    return True


def _off(found: FloatArray, right: FloatArray) -> FloatArray:
    """Return the relative differences; of a number that should be zero, the number."""
    return np.abs(found - right) / np.where(right == 0.0, 1.0, np.abs(right))


def _page(lines: Sequence[str]) -> str:
    today = SystemClock().now().date()
    return f"""# Yahoo's known bad data, repaired

`python -m benchmarks.sources.yahoo_repair`, {today}, yfinance {yfinance.__version__}, {os.uname().machine}.

Columns that differ from the recorded twin by more than {EQUAL:g} (the twins were written with fewer digits), each with the
number of rows and the largest relative difference; "equal" with the largest difference of any number. "as answered" is the
defect, "library" is `history(repair=True)` through its public path, "stored" is what the source makes of that, before splits are
undone; it has no adjusted close, since adjustment happens on read. "set apart" counts the rows whose original goes to quarantine
with a reason.

| recording | rows | as answered | library | stored | set apart |
|---|---|---|---|---|---|
{chr(10).join(lines)}

- ALPHA.PA: the library takes the missed split of one for 10,000 for a mixed-up unit first, and leaves a high at a hundredth and the
  volume as it was. The source's own rule (`repair._missed_splits`) sets the row right.
- DODFX: the twin keeps the gain in the dividend of that day, 0.837 beside 0.417; the library takes it out, 0.420, so that both
  together are what was paid. Stored is the library's. Its adjusted close is the twin's.
- AV.L is weekly. The house has no weekly bars and the source never asks for them; served as if its weeks were days, most of its
  dividends look phantom and the split stays wrong. It is here because it was recorded, not because it is repaired.
- EA: only its regular hours are answered, since only they are asked for.
"""


if __name__ == "__main__":
    main()
