"""Folder: reads one file, or all that a folder holds."""

import logging
import os
from datetime import datetime
from pathlib import Path

import polars as pl

from domain.error import UnreadableFile
from domain.market import Market
from pipelines.data.sources.files import contents, fitting
from pipelines.data.sources.files.columns import Companion
from pipelines.data.sources.files.fitting import Part

LOG = logging.getLogger(__name__)


class Files:
    """The source of markets whose bars lie on disk."""

    def __init__(self, path: Path, publication_delay_s: float = 0.0) -> None:
        """Read from a file or folder; `publication_delay_s` is how long after its close a bar could be known."""
        self.path = path
        self.publication_delay_s = publication_delay_s

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return the bars that opened from `since` to `until`, both included, as `read` does; there may be none.

        Raises UnreadableFile.
        """
        found = read(self.path, market, self.publication_delay_s)
        bounds = [pl.col("opened_at") >= since] if since is not None else []
        bounds += [pl.col("opened_at") <= until] if until is not None else []
        return found.filter(*bounds) if bounds else found


def read(path: Path, market: Market, publication_delay_s: float = 0.0) -> pl.DataFrame:
    """Read the bars of one file or, file after file in the order of their paths, of a folder and all folders in it.

    BAR_SCHEMA, rows in the source's own order, `flags` 0, nothing repaired; `known_at` is the close plus the delay. Files of a
    finer bar length are summed up to the market's, across the files that share a bar; coarser ones are refused. In a folder
    hidden files are left out, and (logged) licences and funding rates, and so are LEAN's quotes and freqtrade's marks beside
    trades; any other file that holds no bars refuses the folder, so that no bar is lost unseen. Raises UnreadableFile, one
    sentence.
    """
    if not path.exists():
        raise UnreadableFile(f"bars were asked from {path}, but there is no such file or folder")
    # The folders above may name the symbol, also of a file that was named from within them.
    path = Path(os.path.abspath(path))  # noqa: PTH100  # resolving would follow links to files of other names
    parts = _folder(path, market) if path.is_dir() else _file(path, market)
    return fitting.bars(parts, market, publication_delay_s)


def _folder(path: Path, market: Market) -> list[Part]:
    found = sorted(file for file in path.rglob("*") if file.is_file() and contents.wanted(file.relative_to(path)))
    found = [file for file in found if not _shadows(file, found)]
    if not found:
        raise UnreadableFile(
            f"bars were asked from the folder {path}, but it holds no file that could have any ({' '.join(contents.ENDINGS)})"
        )
    parts: list[Part] = []
    left_out: list[Companion] = []
    for file in found:
        try:
            parts += _file(file, market)
        except Companion as problem:
            left_out.append(problem)
    if not parts:
        raise UnreadableFile(f"none of the {len(found)} files in the folder {path} holds bars: {left_out[0]}")
    for companion in left_out:
        LOG.warning("left out: %s", companion)
    return parts


def _file(path: Path, market: Market) -> list[Part]:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise UnreadableFile(f"{path} was to be read as bars, but the system says: {problem.strerror}") from None
    return [fitting.understand(table, market) for table in contents.read(path, data, market)]


def _shadows(file: Path, found: list[Path]) -> bool:
    """Say whether a file prices the same bars as one beside it does by trades: LEAN's quotes, or freqtrade's marks of a future."""
    if file.name.endswith("_quote.zip"):
        return file.with_name(file.name.replace("_quote.zip", "_trade.zip")) in found
    pair = f"{file.name.split('-')[0]}-"
    beside = (other.name for other in found if other.parent == file.parent and other.name.startswith(pair))
    return "-mark." in file.name and any("-futures." in name for name in beside)
