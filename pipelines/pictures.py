"""Pictures of an evaluation's tables, for pages that cannot draw on their own."""

from pathlib import Path
from typing import Any

import polars as pl

BARS_MAX = 30


def draw(tables: Path, folder: Path) -> list[Path]:
    """Draw every CSV of `tables` as a PNG of the same name in `folder` and return the pictures.

    The first column runs along x and each other column of numbers is a line; a first column of words gives bars, the first
    BARS_MAX of them. The same table gives the same bytes.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    pictures = []
    for table in sorted(tables.glob("*.csv")):
        figure = Figure(figsize=(8, 4.5), layout="constrained")
        FigureCanvasAgg(figure)
        _plot(pl.read_csv(table, try_parse_dates=True, infer_schema_length=None), figure.subplots(), table.stem)
        pictures.append(folder / f"{table.stem}.png")
        figure.savefig(pictures[-1], dpi=100, metadata={"Software": None})
    return pictures


def _plot(frame: pl.DataFrame, axes: Any, title: str) -> None:
    along, *others = frame.columns
    numbers = [name for name in others if frame[name].dtype.is_numeric()]
    if frame[along].dtype == pl.String:
        _bars(frame.head(BARS_MAX).reverse(), along, numbers, axes)
    else:
        for name in numbers:
            axes.plot(frame[along].to_numpy(), frame[name].to_numpy(), label=name, linewidth=1)
        axes.set_xlabel(along)
    if len(numbers) > 1:
        axes.legend(loc="best")
    axes.set_title(title)
    axes.grid(visible=True, alpha=0.3)


def _bars(frame: pl.DataFrame, along: str, numbers: list[str], axes: Any) -> None:
    for name in numbers:
        axes.barh(frame[along].to_list(), frame[name].to_numpy(), label=name, alpha=0.7)
    axes.set_xlabel(", ".join(numbers))
