"""Versions: which version of which tables something was read from, as a mapping and as one line, `actions 3, bars 12`."""

from collections.abc import Mapping

Versions = Mapping[str, int]


def line(versions: Versions) -> str:
    """Return versions as one line, tables in alphabetical order."""
    return ", ".join(f"{table} {version}" for table, version in sorted(versions.items()))


def parsed(text: str) -> dict[str, int]:
    """Return the versions that `line` wrote."""
    pairs = (part.split(" ") for part in text.split(", ") if part)
    return {table: int(version) for table, version in pairs}
