"""The Data Docs of Great Expectations, made readable without a network."""

from pathlib import Path


def offline(folder: Path) -> Path:
    """Return index.html."""
    return folder / "index.html"
