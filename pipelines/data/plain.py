"""Plain: one table in one file, parquet or CSV whatever it is called."""

import io
from pathlib import Path

import polars as pl

from domain.error import UnreadableFile


def table(path: Path, what: str) -> pl.DataFrame:
    """Return a file's table, its column names in lower case, text where it is CSV; `what` is said where it cannot be read.

    Raises UnreadableFile.
    """
    try:
        data = path.read_bytes()
        found = pl.read_parquet(io.BytesIO(data)) if data.startswith(b"PAR1") else pl.read_csv(io.BytesIO(data), infer_schema=False)
    except OSError as problem:
        raise UnreadableFile(f"{what} were to be read from {path}, but the system says: {problem.strerror}") from None
    except pl.exceptions.PolarsError as problem:
        said = " ".join(str(problem).split())[:200]
        raise UnreadableFile(f"{what} were to be read from {path}, but it is neither parquet nor CSV: {said}") from None
    return found.rename({name: name.strip().lower() for name in found.columns})
