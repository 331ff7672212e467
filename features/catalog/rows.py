"""How a row of the catalogue is written."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from features.feature import Feature


def row(
    family: str, name: str, meaning: str, source: str, kernel: Callable[..., Any], *inputs: str | Feature, **more: Any
) -> Feature:
    """Return a feature whose last step is `kernel`."""
    return Feature(name, kernel, inputs, family=family, meaning=meaning, source=source, **more)


def named(family: str, name: str, meaning: str, source: str, feature: Feature) -> Feature:
    """Return a plain indicator under its catalogue name."""
    return replace(feature, name=name, family=family, meaning=meaning, source=source)
