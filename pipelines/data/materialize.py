"""Materialize: freeze what the store knew as a panel in a file, and measure its features.

`snapshot/` holds `panel.parquet` and `snapshot.json`, `features/` holds `features.npy` and `features.json`. The same bars give the
same bytes, so that whoever compares digests compares content.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from domain import panel as panels
from domain.bar import Defect
from domain.error import DataError, NoData
from domain.market import Market
from domain.panel import PRICES, Panel
from features import catalog
from features.engine import FeatureEngine
from pipelines.store import Store

PANEL_COLUMNS = ["symbol", "opened_at", "event_at", *PRICES]
ROW_GROUP = 1 << 18


@dataclass(frozen=True)
class Snapshot:
    """What one panel was read from."""

    market: str
    timeframe: str
    table_version: int
    until: str | None
    """Nothing known later than this moment is in it; None means everything stored."""
    digest: str
    """SHA-256 over symbols, times and prices."""
    symbols: list[str]
    bars: int
    """Rows T of the panel."""
    first: str
    last: str


def read(
    store: Store,
    market: Market,
    *,
    symbols: Sequence[str] = (),
    since: datetime | None = None,
    until: datetime | None = None,
    version: int | None = None,
) -> Panel:
    """Return the regular session's bars as they were known at `until`, opened at or after `since`; raise NoData for none.

    `symbols` are the panel's columns, by default the market's universe, and where that is open every symbol that is stored.
    """
    chosen = tuple(symbols) or market.symbols or None
    bars = store.bars(market.name, market.timeframe, symbols=chosen, since=since, known_at=until, version=version)
    regular = bars.filter((pl.col("flags") & int(Defect.EXTENDED_HOURS)) == 0)
    if regular.is_empty():
        raise NoData(f"market '{market.name}' has {bars.height} bars in extended hours and none in a regular session: import some")
    return panels.from_bars(regular, market.name, market.timeframe, chosen)


def snapshot(store: Store, market: Market, folder: Path, until: datetime | None = None) -> Snapshot:
    """Write the panel that was known at `until` with its digest; the table's version is named, so it can be read again."""
    version = store.version("bars")
    panel = read(store, market, until=until, version=version)
    folder.mkdir(parents=True, exist_ok=True)
    write_panel(panel, folder / "panel.parquet")
    taken = Snapshot(
        market=market.name,
        timeframe=market.timeframe,
        table_version=version,
        until=until.isoformat() if until is not None else None,
        digest=digest(panel),
        symbols=list(panel.symbols),
        bars=panel.bars,
        first=str(panel.opened_at[0]),
        last=str(panel.opened_at[-1]),
    )
    _write_json(folder / "snapshot.json", asdict(taken))
    return taken


def write_panel(panel: Panel, path: Path) -> None:
    """Write the bars of a panel, one row a bar, sorted by symbol and time; the same panel gives the same bytes."""
    row, column = np.nonzero(panel.present)
    frame = pl.DataFrame(
        {
            "symbol": np.array(panel.symbols)[column],
            "opened_at": panel.opened_at[row],
            "event_at": panel.event_at[row],
            **{name: getattr(panel, name)[row, column] for name in PRICES},
        }
    )
    frame = frame.with_columns(pl.col("opened_at", "event_at").dt.replace_time_zone("UTC")).sort("symbol", "opened_at")
    frame.write_parquet(path, compression="zstd", compression_level=3, statistics=False, row_group_size=ROW_GROUP)


def load_panel(folder: Path) -> Panel:
    """Return the panel that `snapshot` wrote; raise DataError if it is not the one that snapshot.json describes."""
    taken = load_snapshot(folder)
    bars = pl.read_parquet(folder / "panel.parquet")
    panel = panels.from_bars(bars, taken.market, taken.timeframe, tuple(taken.symbols))
    found = digest(panel)
    if found != taken.digest:
        raise DataError(
            f"{folder / 'panel.parquet'} has digest {found[:12]}, its snapshot.json says {taken.digest[:12]}: take it anew"
        )
    return panel


def load_snapshot(folder: Path) -> Snapshot:
    """Return what snapshot.json says."""
    return Snapshot(**json.loads((folder / "snapshot.json").read_text(encoding="utf-8")))


def digest(panel: Panel) -> str:
    """Return a SHA-256 over a panel's symbols, times and prices; every NaN counts as the same NaN."""
    seen = hashlib.sha256("\n".join((panel.market, panel.timeframe, *panel.symbols)).encode())
    for times in (panel.opened_at, panel.event_at):
        seen.update(times.astype("<i8").tobytes())
    for name in PRICES:
        values = getattr(panel, name)
        seen.update(np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes())
    return seen.hexdigest()


def features(panel: Panel, families: Sequence[str], folder: Path) -> None:
    """Measure the chosen families over the whole panel; `features.npy` is float32 [F, T, S], its rows named in `features.json`."""
    chosen = catalog.select(families)
    engine = FeatureEngine(chosen, len(panel.symbols))
    values = engine.advance(panel)
    folder.mkdir(parents=True, exist_ok=True)
    np.save(folder / "features.npy", np.ascontiguousarray(values.transpose(2, 0, 1)), allow_pickle=False)
    described = {"names": list(engine.names), "schema_hash": catalog.schema_hash(chosen), "warm_up": engine.warm_up}
    _write_json(folder / "features.json", described)


def load_features(folder: Path) -> tuple[npt.NDArray[np.float32], tuple[str, ...], str]:
    """Return features as float32 [T, S, F] (a view of the file), their names and their schema hash."""
    described = json.loads((folder / "features.json").read_text(encoding="utf-8"))
    values = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
    return values.transpose(1, 2, 0), tuple(described["names"]), described["schema_hash"]


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
