"""Materialize: freeze what the store knew as a panel in a file, and measure its features.

`snapshot/` holds `panel.parquet`, `covariates/` and `snapshot.json`, `features/` holds `features.npy` and `features.json`. The same
bars give the same bytes, so that whoever compares digests compares content. A panel of more than HELD values a column is never held
in memory: bars are read in stretches of time, features are measured in blocks of rows with the engine's carried state, and both are
written as they come.
"""

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import polars as pl
from polars.io.plugins import register_io_source

from domain import panel as panels
from domain.error import DataError, DiskFull, NoData
from domain.market import Market
from domain.panel import PRICES, Panel
from pipelines.data import covariates, mapped, reading
from pipelines.data.covariates import Wanted
from pipelines.store import Store, Versions

PANEL_COLUMNS = ["symbol", "opened_at", "event_at", *PRICES]
ROW_GROUP = 1 << 18
#: Tables that a panel is made of.
PANEL_TABLES = ("actions", "bars", "listings", "macro", "news")
#: The folder of what a panel holds beside prices.
COVARIATES = "covariates"
#: Values of one column that are held at a time; a larger panel lies in files.
HELD = 1 << 21


@dataclass(frozen=True)
class Snapshot:
    """What one panel was read from."""

    market: str
    timeframe: str
    tables: Versions
    """The version of each of PANEL_TABLES that was there, by name: `Store.at` reads them again."""
    until: str | None
    """Nothing known later than this moment is in it; None means everything stored."""
    digest: str
    """SHA-256 over symbols, times, prices and covariates."""
    symbols: list[str]
    bars: int
    """Rows T of the panel."""
    first: str
    last: str
    covariates: tuple[str, ...] = ()
    """What the panel holds beside prices, a file each in `covariates/`."""


def read(
    store: Store,
    market: Market,
    *,
    symbols: Sequence[str] = (),
    until: datetime | None = None,
    wanted: Wanted | None = None,
    place: Path | None = None,
    held: int = HELD,
) -> Panel:
    """Return the market's bars as they were known at `until`; raise NoData for none.

    What is `wanted` beside the bars is joined to them.

    What a reader sees of what is stored says `reading`. `symbols` are the panel's columns, by default the market's, and where those
    are open every symbol that was ever a member. With `place`, a folder, the panel's columns are files there: it is read in
    stretches of about `held` bars and never held.
    """
    chosen = tuple(symbols) or market.symbols or None
    if place is not None:
        panel = _large(store, market, chosen, until, place, held)
    else:
        bars = reading.bars(store, market, symbols=symbols, known_at=until)
        if bars.is_empty():
            raise _nothing(market)
        panel = panels.from_bars(bars, market.name, market.timeframe, chosen)
    return panel if wanted is None else covariates.joined(store, market, panel, wanted)


def _large(store: Store, market: Market, chosen: tuple[str, ...] | None, until: datetime | None, place: Path, held: int) -> Panel:
    """Return the same panel as `read`, stacked from stretches of time."""
    names = chosen or reading.names(store, market, known_at=until)
    batches = reading.batches(store, market, symbols=chosen or (), known_at=until, rows=held)
    blocks = (panels.from_bars(bars, market.name, market.timeframe, names) for bars in batches if not bars.is_empty())
    panel = mapped.stacked(blocks, place)
    if panel is None:
        raise _nothing(market)
    seen = _seen(panel, held)
    if chosen is None and not seen.all():
        traded = tuple(name for name, has in zip(names, seen, strict=True) if has)
        return _large(store, market, traded, until, place, held)
    return panel


def _nothing(market: Market) -> NoData:
    return NoData(f"market '{market.name}' has bars, but no whole one of a member in its {market.hours} hours: import some")


def _seen(panel: Panel, held: int) -> npt.NDArray[np.bool_]:
    """Return which symbols have a bar at all."""
    seen = np.zeros(len(panel.symbols), dtype=bool)
    for block in blocks(panel, held):
        seen |= block.present.any(axis=0)
    return seen


def blocks(panel: Panel, held: int) -> Iterator[Panel]:
    """Yield a panel in blocks of rows of no more than `held` values a column."""
    rows = max(1, held // max(1, len(panel.symbols)))
    for first in range(0, panel.bars, rows):
        yield panel.rows(first, min(first + rows, panel.bars))


def snapshot(
    store: Store,
    market: Market,
    folder: Path,
    until: datetime | None = None,
    *,
    wanted: Wanted | None = None,
    held: int = HELD,
) -> Snapshot:
    """Write the panel that was known at `until` with its digest; the tables' versions are named, so it can be read again.

    More stored bars than `held` are never in memory at once; the bytes are the same.
    """
    found = versions(store)
    then = store.at(found)
    large = then.count(market.name, market.stored or market.timeframe) > held
    folder.mkdir(parents=True, exist_ok=True)
    panel = read(then, market, until=until, wanted=wanted, place=folder if large else None, held=held)
    write_panel(panel, folder / "panel.parquet", held=held)
    _write_covariates(panel, folder / COVARIATES)
    taken = Snapshot(
        market=market.name,
        timeframe=market.timeframe,
        tables=found,
        until=until.isoformat() if until is not None else None,
        digest=digest(panel, held=held),
        symbols=list(panel.symbols),
        bars=panel.bars,
        first=str(panel.opened_at[0]),
        last=str(panel.opened_at[-1]),
        covariates=tuple(sorted(panel.covariates)),
    )
    _write_json(folder / "snapshot.json", asdict(taken))
    return taken


def versions(store: Store) -> dict[str, int]:
    """Return the newest versions of the tables that a panel is made of; raise NoData where no bar was ever stored."""
    return {
        "bars": store.version("bars"),
        **{table: version for table, version in store.versions().items() if table in PANEL_TABLES},
    }


def write_panel(panel: Panel, path: Path, *, held: int = HELD) -> None:
    """Write the bars of a panel, one row a bar, sorted by symbol and time; the same panel gives the same bytes."""
    width = max(1, held // max(1, panel.bars))
    order = sorted(range(len(panel.symbols)), key=lambda column: panel.symbols[column])
    blocks = [order[at : at + width] for at in range(0, len(order), width)]

    def rows(*_: object) -> Iterator[pl.DataFrame]:
        return (_rows(panel, block) for block in blocks)

    frame = register_io_source(rows, schema=_rows(panel, []).schema, is_pure=True)
    try:
        frame.sink_parquet(
            path,
            compression="zstd",
            compression_level=3,
            statistics=False,
            row_group_size=ROW_GROUP,
            maintain_order=True,
            engine="streaming",
        )
    except pl.exceptions.ComputeError as problem:
        if "No space left" not in str(problem):
            raise
        raise DiskFull(f"the panel could not be written to {path} because the disk is full: free space and run it again") from None


def _write_covariates(panel: Panel, folder: Path) -> None:
    """Write each covariate as float64 [T, S]: a headline, for one, may come in a row in which its symbol has no bar."""
    shutil.rmtree(folder, ignore_errors=True)
    for name, values in panel.covariates.items():
        folder.mkdir(exist_ok=True)
        np.save(folder / f"{name}.npy", values, allow_pickle=False)


def _rows(panel: Panel, columns: list[int]) -> pl.DataFrame:
    """Return the bars of some columns of a panel, symbol by symbol."""
    close = np.ascontiguousarray(panel.close[:, columns].T)
    column, row = np.nonzero(~np.isnan(close))
    frame = pl.DataFrame(
        {
            "symbol": pl.Series([panel.symbols[c] for c in columns], dtype=pl.String).gather(column),
            "opened_at": panel.opened_at[row],
            "event_at": panel.event_at[row],
            **{name: getattr(panel, name)[:, columns].T[column, row] for name in PRICES},
        }
    )
    return frame.with_columns(pl.col("opened_at", "event_at").dt.replace_time_zone("UTC")).select(PANEL_COLUMNS)


def load_panel(folder: Path, *, held: int = HELD) -> Panel:
    """Return the panel that `snapshot` wrote; raise DataError if it is not the one that snapshot.json describes.

    The columns of a panel of more than `held` values are files in the folder, which have no name and are gone with it.
    """
    taken = load_snapshot(folder)
    path, names = folder / "panel.parquet", tuple(taken.symbols)
    if taken.bars * len(names) > held:
        panel = mapped.spread(path, folder, taken.market, taken.timeframe, names)
    else:
        panel = panels.from_bars(pl.read_parquet(path), taken.market, taken.timeframe, names)
    # Copied on write: to the compiler a read-only array is another type.
    mode: Literal["c"] | None = "c" if taken.bars * len(names) > held else None
    read = {name: np.load(folder / COVARIATES / f"{name}.npy", mmap_mode=mode, allow_pickle=False) for name in taken.covariates}
    panel = replace(panel, covariates=read)
    found = digest(panel, held=held)
    if found != taken.digest:
        raise DataError(
            f"{folder / 'panel.parquet'} has digest {found[:12]}, its snapshot.json says {taken.digest[:12]}: take it anew"
        )
    return panel


def load_snapshot(folder: Path) -> Snapshot:
    """Return what snapshot.json says."""
    told = json.loads((folder / "snapshot.json").read_text(encoding="utf-8"))
    return Snapshot(**{**told, "covariates": tuple(told.get("covariates", ()))})


def digest(panel: Panel, *, held: int = HELD) -> str:
    """Return a SHA-256 over a panel's symbols, times, prices and covariates; every NaN counts as the same NaN."""
    seen = hashlib.sha256("\n".join((panel.market, panel.timeframe, *panel.symbols)).encode())
    for times in (panel.opened_at, panel.event_at):
        seen.update(times.astype("<i8").tobytes())
    for name in (*PRICES, *sorted(panel.covariates)):
        if name not in PRICES:
            seen.update(name.encode())
        for block in blocks(panel, held):
            values = block.columns()[name]
            seen.update(np.where(np.isnan(values), np.nan, values).astype("<f8").tobytes())
    return seen.hexdigest()


def _write_json(path: Path, content: dict[str, Any]) -> None:
    path.write_text(json.dumps(content, indent=2, sort_keys=True) + "\n", encoding="utf-8")
