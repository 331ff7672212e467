"""Files: reads the bars that people keep on disk, whatever wrote them.

A file is known by its content: parquet, feather, zip, tar, gzip, bzip2, xz, JSON, delimited text; its name says only the symbol,
and in a folder whether it is looked into. Columns are known by their names, headerless text by its shape, time by what the stamps
themselves and the market's calendar say (`timing`).
Nothing is repaired. What cannot be understood is refused in one sentence.
"""

from pipelines.data.sources.files.folder import Files, read

__all__ = ["Files", "read"]
