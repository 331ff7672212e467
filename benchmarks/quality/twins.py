"""Yahoo's recorded defects with their repaired twins: where the prices differ is where quality must speak."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from domain.bar import Defect
from domain.cost import Cost
from domain.instrument import Instrument
from domain.market import TIMEFRAMES, AssetClass, Market
from domain.params import Quality
from pipelines.data.quality import inspection
from pipelines.data.sources import files

PRICES = ("open", "high", "low", "close")
#: Yahoo's suffixes of exchanges, and their calendars.
CALENDARS = {"T": "XTKS", "L": "XLON", "DE": "XETR", "PA": "XPAR", "MI": "XMIL", "V": "XTSE"}
#: Prices that differ by more than this are wrong ones; less is rounding.
DIFFERENT = 0.01
OUTLIERS = Defect.DECIMAL_SHIFT | Defect.PRICE_SPIKE | Defect.PRICE_JUMP
#: What is impossible or alone: what a sound bar may not be called. A jump may be on the edge of a wrong stretch.
ACCUSING = Defect.DECIMAL_SHIFT | Defect.PRICE_SPIKE


def market(path: Path) -> Market | None:
    """Return the market of a recorded file by its name, None for weekly bars, which no market has."""
    parts = path.stem.split("-")
    length = next(part for part in parts if part in {*TIMEFRAMES, "1wk"})
    calendar = CALENDARS.get(parts[1], "XNYS")
    cost = Cost(fee_bps=0, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=0)
    instrument = Instrument(lot=1, shortable=True)
    return Market("yahoo", AssetClass.EQUITY, calendar, length, "files", 1, cost, instrument) if length in TIMEFRAMES else None


@dataclass(frozen=True)
class Pair:
    """What quality says of a recorded file."""

    name: str
    bars: int
    wrong: int
    """Bars whose prices differ from the repaired ones."""
    caught: int
    accused: int
    """Sound bars called impossible or alone by their prices."""
    flags: str
    """Every defect found and its rows."""


def pairs(folder: Path, limits: Quality) -> list[Pair]:
    """Compare every recorded file of a market that bars can have; none when the folder is not there."""
    paths = [path for path in sorted(folder.glob("*.csv")) if not path.stem.endswith("-fixed")]
    return [_pair(path, where, limits) for path in paths if (where := market(path)) is not None]


def _pair(path: Path, where: Market, limits: Quality) -> Pair:
    table = inspection.examine(files.read(path, where), where, limits).sort("opened_at")
    wrong = _wrong(path, where, table)
    flagged, accused = (
        table.select(pl.any_horizontal(inspection.column(flag) for flag in flags)).to_series() for flags in (OUTLIERS, ACCUSING)
    )
    found = {inspection.column(defect): int(table[inspection.column(defect)].sum()) for defect in inspection.DEFECTS}
    told = ", ".join(f"{name} {count}" for name, count in found.items() if count)
    beside = int((accused & ~wrong).sum())
    return Pair(path.stem, len(table), int(wrong.sum()), _runs_caught(wrong, flagged), beside, told or "nothing")


def _wrong(path: Path, where: Market, table: pl.DataFrame) -> pl.Series:
    twin = path.with_name(f"{path.stem}-fixed.csv")
    if not twin.exists():
        return pl.repeat(False, len(table), eager=True)
    right = files.read(twin, where).select("opened_at", *PRICES)
    both = table.select("opened_at", *PRICES).join(right, on="opened_at", how="left", maintain_order="left")
    apart = [(pl.col(name) / pl.col(f"{name}_right")).log().abs() > DIFFERENT for name in PRICES]
    return both.select(pl.any_horizontal(apart).fill_null(False)).to_series()


def _runs_caught(wrong: pl.Series, flagged: pl.Series) -> int:
    """Return the wrong bars caught: by a flag of their own, or of the first bar after a stretch of them, where prices change."""
    table = pl.DataFrame({"wrong": wrong, "flagged": flagged}).with_columns(run=pl.col("wrong").rle_id())
    edge = table.group_by("run", maintain_order=True).agg(pl.col("wrong").first(), first=pl.col("flagged").first())
    edge = edge.with_columns(left=pl.col("first").shift(-1).fill_null(False))
    table = table.join(edge.select("run", "left"), on="run", maintain_order="left")
    return int((table["wrong"] & (table["flagged"] | table["left"])).sum())
