"""Folder: reads one file, or all that a folder holds."""

import logging
from datetime import datetime
from pathlib import Path

import polars as pl

from domain.error import UnreadableFile
from domain.market import Market
from pipelines.data.sources.files import contents, fitting
from pipelines.data.sources.files.columns import NotBars

LOG = logging.getLogger(__name__)

#: What a folder is searched for; a file that is named itself may be called anything.
ENDINGS = (".parquet", ".pq", ".feather", ".arrow", ".ipc", ".csv", ".tsv", ".txt", ".prn", ".json", ".gz", ".tgz", ".tar", ".zip")


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
    finer bar length are summed up to the market's, coarser ones refused. In a folder hidden files and files that are sound but
    about something else are left out (and logged), and so are LEAN quotes beside the trades of the same day; a damaged file
    refuses the folder, so that no bar is lost unseen. Raises UnreadableFile, one sentence.
    """
    if not path.exists():
        raise UnreadableFile(f"bars were asked from {path}, but there is no such file or folder")
    if path.is_dir():
        return _folder(path, market, publication_delay_s)
    return pl.concat(_file(path, market, publication_delay_s))


def _folder(path: Path, market: Market, publication_delay_s: float) -> pl.DataFrame:
    found = sorted(file for file in path.rglob("*") if file.is_file() and _wanted(file.relative_to(path)))
    found = [file for file in found if not _has_trades(file, found)]
    if not found:
        raise UnreadableFile(
            f"bars were asked from the folder {path}, but it holds no file that could have any ({' '.join(ENDINGS)})"
        )
    frames: list[pl.DataFrame] = []
    left_out: list[str] = []
    for file in found:
        try:
            frames += _file(file, market, publication_delay_s)
        except NotBars as problem:
            LOG.warning("left out: %s", problem)
            left_out.append(str(problem))
    if not frames:
        raise UnreadableFile(f"none of the {len(found)} files in the folder {path} holds bars: {left_out[0]}")
    return pl.concat(frames)


def _file(path: Path, market: Market, publication_delay_s: float) -> list[pl.DataFrame]:
    try:
        data = path.read_bytes()
    except OSError as problem:
        raise UnreadableFile(f"{path} was to be read as bars, but the system says: {problem.strerror}") from None
    return [fitting.bars(table, market, publication_delay_s) for table in contents.read(path, data, market)]


def _wanted(path: Path) -> bool:
    return path.name.lower().endswith(ENDINGS) and not any(part.startswith(".") for part in path.parts)


def _has_trades(file: Path, found: list[Path]) -> bool:
    return file.name.endswith("_quote.zip") and file.with_name(file.name.replace("_quote.zip", "_trade.zip")) in found
