"""Mapped: panels larger than memory, their columns unnamed files that the system reads and forgets as it needs room."""

import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

import numpy as np
import polars as pl
from pyarrow import parquet

from domain.panel import PRICES, FloatArray, Panel, TimeArray
from domain.session import naive


def stacked(blocks: Iterable[Panel], place: Path) -> Panel | None:
    """Return blocks of rows, in their order and over the same symbols, as one panel whose columns lie in `place`; None for none.

    The files have no name: they are gone with the panel.
    """
    files: dict[str, IO[bytes]] = {}
    opened: list[TimeArray] = []
    closed: list[TimeArray] = []
    last = None
    for last in blocks:
        columns, before = last.columns(), sum(len(times) for times in opened)
        for name in columns.keys() - files.keys():
            files[name] = _file(place)
            _unknown(files[name], before, last)
        for name, file in files.items():
            if name in columns:
                file.write(columns[name].data)
            else:
                _unknown(file, last.bars, last)
        opened.append(last.opened_at)
        closed.append(last.event_at)
    if last is None:
        return None
    shape = (sum(map(len, opened)), len(last.symbols))
    return _panel(last.market, last.timeframe, last.symbols, np.concatenate(opened), np.concatenate(closed), files, shape)


def _unknown(file: IO[bytes], bars: int, like: Panel) -> None:
    """Write rows of which nothing is known, one at a time."""
    row = np.full(len(like.symbols), np.nan).tobytes()
    for _ in range(bars):
        file.write(row)


def spread(path: Path, place: Path, market: str, timeframe: str, symbols: tuple[str, ...]) -> Panel:
    """Return the bars of a file as `materialize.write_panel` made it, as a panel whose columns lie in `place`."""
    times = pl.scan_parquet(path).group_by("opened_at").agg(pl.col("event_at").max()).collect(engine="streaming").sort("opened_at")
    opened = naive(times["opened_at"])
    shape, files = (len(opened), len(symbols)), {name: _file(place) for name in PRICES}
    for file in files.values():
        file.truncate(8 * shape[0] * shape[1])
    panel = _panel(market, timeframe, symbols, opened, naive(times["event_at"]), files, shape)
    for name in PRICES:
        getattr(panel, name)[:] = np.nan
    place_of = {name: column for column, name in enumerate(symbols)}
    for rows in _row_groups(path):
        row = np.searchsorted(opened, naive(rows["opened_at"]))
        column = rows["symbol"].replace_strict(place_of, return_dtype=pl.Int64).to_numpy()
        for name in PRICES:
            getattr(panel, name)[row, column] = rows[name].to_numpy()
    return panel


def _row_groups(path: Path) -> Iterator[pl.DataFrame]:
    with parquet.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            yield pl.DataFrame(file.read_row_group(group))


def _panel(
    market: str, timeframe: str, symbols: tuple[str, ...], opened: TimeArray, closed: TimeArray,
    files: dict[str, IO[bytes]], shape: tuple[int, int],
) -> Panel:  # fmt: skip
    columns = {name: _column(file, shape) for name, file in files.items()}
    prices = {name: columns.pop(name) for name in PRICES}
    return Panel(market, timeframe, symbols, opened, closed, **prices, covariates=columns)


def _column(file: IO[bytes], shape: tuple[int, int]) -> FloatArray:
    file.flush()
    column: FloatArray = np.memmap(file, dtype=np.float64, mode="r+", shape=shape)
    file.close()
    return column


def _file(place: Path) -> IO[bytes]:
    return tempfile.TemporaryFile(dir=place)
