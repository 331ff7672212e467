"""Contents: knows a file by its first bytes, unpacks archives, and hands every part to its reader."""

import bz2
import gzip
import io
import logging
import lzma
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PurePath
from typing import Any

import polars as pl

from domain.error import UnreadableFile
from domain.market import Market
from pipelines.data.sources.files import arrays, delimited, lean, table
from pipelines.data.sources.files.columns import NotBars
from pipelines.data.sources.files.table import Table

LOG = logging.getLogger(__name__)

Reader = Callable[[PurePath, bytes, Market], list[Table]]

#: What folders and archives are searched for; a file that is named itself may be called anything.
ENDINGS = (
    ".parquet", ".pq", ".feather", ".arrow", ".ipc", ".csv", ".tsv", ".txt", ".prn", ".json", ".jsonl", ".ndjson",
    ".gz", ".bz2", ".xz", ".zip", ".tar", ".tgz", ".tbz2", ".txz", ".xls", ".xlsx", ".dat",
)  # fmt: skip

DAMAGED = (
    OSError, EOFError, ValueError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, NotImplementedError,
    RuntimeError, IndexError,
)  # fmt: skip

#: Where a tar file, which has no first bytes of its own, says what it is.
TAR_MARK = slice(257, 262)

#: What an OpenDocument or Excel workbook has among its parts.
WORKBOOK = {"[Content_Types].xml", "content.xml"}


def read(path: PurePath, data: bytes, market: Market) -> list[Table]:
    """Read the tables of one file: one, or one a member of an archive that holds bars.

    Raises NotBars when it is sound but about something else, UnreadableFile when it is damaged.
    """
    if not data:
        raise UnreadableFile(f"{path} was to be read as bars, but it is empty")
    for first, reader in READERS.items():
        if data.startswith(first):
            return reader(path, data, market)
    if data[TAR_MARK] == b"ustar":
        return _tar(path, data, market)
    if lean.recognise(path, data):
        return [lean.read(path, data, market)]
    if data.lstrip()[:1] in {b"[", b"{"}:
        return [_json(path, data)]
    return [delimited.read(path, data)]


def wanted(path: PurePath) -> bool:
    """Say whether a file in a folder or an archive may hold bars: its ending is known, and neither it nor a folder is hidden."""
    return path.name.lower().endswith(ENDINGS) and not any(part.startswith((".", "__MACOSX")) for part in path.parts)


def _json(path: PurePath, data: bytes) -> Table:
    try:
        return arrays.read(path, arrays.parse(data))
    except (ValueError, RecursionError) as problem:
        raise UnreadableFile(f"{path} begins like JSON but is not: {problem}") from None


def _parquet(path: PurePath, data: bytes, _: Market) -> list[Table]:
    import pyarrow.parquet

    return [_columnar(path, data, pyarrow.parquet.read_table, "parquet")]


def _feather(path: PurePath, data: bytes, _: Market) -> list[Table]:
    import pyarrow.feather

    return [_columnar(path, data, pyarrow.feather.read_table, "feather")]


def _columnar(path: PurePath, data: bytes, reader: Callable[[io.BytesIO], Any], name: str) -> Table:
    """Read with pyarrow, which refuses damaged files; polars panics in some."""
    try:
        content = reader(io.BytesIO(data))
        content.validate(full=True)
        frame = pl.DataFrame([pl.Series(name, column) for name, column in zip(content.column_names, content.columns, strict=True)])
    except (ValueError, OSError, MemoryError, NotImplementedError, pl.exceptions.PolarsError) as problem:
        raise UnreadableFile(f"{path} is a damaged {name} file of {len(data)} bytes: {_sentence(problem)}") from None
    return table.assemble(path, frame, ("row " + pl.int_range(1, frame.height + 1, eager=True).cast(pl.String)))


def _compressed(decompress: Callable[[bytes], bytes], name: str) -> Reader:
    def reader(path: PurePath, data: bytes, market: Market) -> list[Table]:
        try:
            inner = decompress(data)
        except DAMAGED as problem:
            raise UnreadableFile(f"{path} is a damaged {name} file of {len(data)} bytes: {_sentence(problem)}") from None
        return read(path, inner, market)

    return reader


def _tar(path: PurePath, data: bytes, market: Market) -> list[Table]:
    try:
        with tarfile.open(fileobj=io.BytesIO(data), mode="r:") as archive:
            files = [member for member in archive.getmembers() if member.isfile()]
            members = [(member.name, archive.extractfile(member).read()) for member in files]  # type: ignore[union-attr]
    except DAMAGED as problem:
        raise UnreadableFile(f"{path} is a damaged tar file of {len(data)} bytes: {_sentence(problem)}") from None
    return _sound(path, members, market)


def _zip(path: PurePath, data: bytes, market: Market) -> list[Table]:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            if WORKBOOK & set(archive.namelist()):
                return _workbook(path, data, market)
            members = [(info.filename, archive.read(info)) for info in archive.infolist() if not info.is_dir()]
    except DAMAGED as problem:
        raise UnreadableFile(f"{path} is a damaged zip file of {len(data)} bytes: {_sentence(problem)}") from None
    return _sound(path, members, market)


def _workbook(path: PurePath, _: bytes, __: Market) -> list[Table]:
    raise UnreadableFile(f"{path} was to be read as bars, but it is a workbook: save each of its sheets as CSV")


def _sound(path: PurePath, members: list[tuple[str, bytes]], market: Market) -> list[Table]:
    """Read the members that hold bars; raise the first refusal when none does."""
    tables: list[Table] = []
    refused: dict[str, NotBars] = {}
    for name, data in [(name, data) for name, data in members if wanted(PurePath(name))] or members:
        try:
            tables += read(path / name, data, market)
        except NotBars as problem:
            refused[name] = problem
    if not tables:
        raise next(iter(refused.values()), UnreadableFile(f"{path} was to be read as bars, but it is an archive without files"))
    if refused:
        LOG.warning("left out of %s, for they hold no bars: %s", path, ", ".join(refused))
    return tables


def _sentence(problem: Exception) -> str:
    return " ".join(str(problem).split())[:160] or type(problem).__name__


READERS: dict[bytes, Reader] = {
    b"PAR1": _parquet,
    b"ARROW1": _feather,
    b"FEA1": _feather,
    b"PK\x03\x04": _zip,
    b"PK\x05\x06": _zip,
    b"\xd0\xcf\x11\xe0": _workbook,
    b"\x1f\x8b": _compressed(gzip.decompress, "gzip"),
    b"BZh": _compressed(bz2.decompress, "bzip2"),
    b"\xfd7zXZ": _compressed(lzma.decompress, "xz"),
}
