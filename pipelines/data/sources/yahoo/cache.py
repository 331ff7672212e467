"""Cache: closed history on disk, so that what Yahoo answered for a past day is not asked for again."""

import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import quote

import polars as pl

from domain.error import DiskFull

#: Raised when rows are made otherwise than before: files of another number are asked for anew.
FORM = "1"


@dataclass(frozen=True)
class Held:
    """What is known of one symbol's bars of one length."""

    rows: pl.DataFrame
    since: datetime | None
    """From when on the rows are whole; None: from the symbol's beginning."""
    through: datetime
    """Every bar that closed by then is among them, and none that closed later."""

    def reaches(self, since: datetime | None) -> bool:
        """Say whether history from `since` on begins in it."""
        return self.since is None or (since is not None and since >= self.since)


class Cache:
    """One parquet file a symbol and interval, whose metadata say which range it holds."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def read(self, symbol: str, interval: str, schema: pl.Schema) -> Held | None:
        """Return what is held, or None where there is nothing or the file is damaged: it is asked for anew."""
        path = self._path(symbol, interval)
        try:
            facts, rows = pl.read_parquet_metadata(path), pl.read_parquet(path)
        except (OSError, pl.exceptions.PolarsError):
            return None
        if rows.schema != schema or facts.get("form") != FORM:
            return None
        since = facts["since"]
        return Held(rows, datetime.fromisoformat(since) if since else None, datetime.fromisoformat(facts["through"]))

    def write(self, symbol: str, interval: str, held: Held) -> None:
        """Hold this from now on; a reader meets the file before or the file after. Raises DiskFull."""
        path = self._path(symbol, interval)
        facts = {"form": FORM, "since": held.since.isoformat() if held.since else "", "through": held.through.isoformat()}
        partial = path.with_suffix(f".{os.getpid()}.partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            held.rows.write_parquet(partial, metadata=facts)
            partial.replace(path)
        except OSError as problem:
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            raise DiskFull(f"answers of Yahoo were to be kept in {self.folder}, but the system says: {problem}") from None

    def clear(self) -> int:
        """Forget everything and return how many files that were."""
        found = list(self.folder.glob("*.parquet"))
        for path in found:
            path.unlink(missing_ok=True)
        return len(found)

    def _path(self, symbol: str, interval: str) -> Path:
        return self.folder / f"{quote(symbol, safe='')}.{interval}.parquet"
