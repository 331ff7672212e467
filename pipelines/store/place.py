"""Place: where the tables lie, a folder or object storage, and whether it has room."""

import errno
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deltalake import DeltaTable

#: What the transaction log needs beside the data.
LOG_BYTES = 65_536
#: Object storage must refuse to overwrite a commit that another writer made first, or one of the two is lost.
REMOTE_OPTIONS = {"aws_conditional_put": "etag"}


@dataclass(frozen=True)
class Place:
    """A folder, or a URL such as s3://bucket/prefix, whose credentials and endpoint are AWS_* in the environment."""

    root: Path | str

    @property
    def folder(self) -> Path | None:
        """The folder, or None for object storage."""
        return self.root if isinstance(self.root, Path) else None

    @property
    def options(self) -> dict[str, str] | None:
        """What Delta Lake and polars are told of the place."""
        return None if self.folder is not None else dict(REMOTE_OPTIONS)

    def of(self, table: str) -> str:
        """Return where a table lies."""
        return str(self.folder / table) if self.folder is not None else f"{str(self.root).rstrip('/')}/{table}"

    def open(self, table: str, version: int | None = None) -> "DeltaTable":
        """Open a table as it was at a version, by default the newest; raise TableNotFoundError for none."""
        from deltalake import DeltaTable

        return DeltaTable(self.of(table), version=version, storage_options=self.options)

    def fits(self, data_bytes: float) -> bool:
        """Say whether that many bytes and their log fit; object storage always has room."""
        return self.folder is None or data_bytes + LOG_BYTES <= shutil.disk_usage(self.folder).free

    def require(self, data_bytes: int) -> None:
        """Raise OSError (ENOSPC) unless that many bytes and their log fit."""
        if not self.fits(data_bytes):
            assert self.folder is not None  # noqa: S101  # only a folder can be full
            free = shutil.disk_usage(self.folder).free
            raise OSError(errno.ENOSPC, f"{data_bytes + LOG_BYTES:,} bytes are needed and {free:,} are free in {self.folder}")


def named(root: Path | str) -> Place:
    """Return the place that a path, the text of one, or a URL names."""
    return Place(root if isinstance(root, str) and "://" in root else Path(root))
