"""The catalogue's page says what the catalogue says."""

import re

import pytest

from docs import catalogue
from features import catalog


def test_the_page_is_what_the_catalogue_makes_of_it() -> None:
    """A feature that was added, changed or removed shows on the page: `python -m docs.catalogue` writes it anew."""
    assert catalogue.PAGE.read_text(encoding="utf-8") == catalogue.page(catalogue.costs())


def test_every_feature_has_a_meaning_a_source_or_none_and_a_cost() -> None:
    """A row without its cost was never measured: `python -m benchmarks.features.cost`."""
    costs = catalogue.costs()

    assert set(costs) == {feature.name for feature in catalog.CATALOG}
    assert all(feature.meaning and feature.formula and feature.columns for feature in catalog.CATALOG)


@pytest.fixture(scope="module")
def drawn() -> dict[str, str]:
    return catalogue.pictures()


def test_every_picture_is_current(drawn: dict[str, str]) -> None:
    """Pictures are compared by their points, a pixel of rounding apart."""
    kept = {path.stem: path.read_text(encoding="utf-8") for path in catalogue.PICTURES.glob("*.svg")}

    assert set(kept) == set(drawn)
    for name, picture in drawn.items():
        assert apart(picture, kept[name]) <= 1, f"the picture of {name} is stale: python -m docs.catalogue"


def apart(a: str, b: str) -> int:
    """Return the largest distance between two pictures' points, in pixels."""
    x, y = ([int(number) for number in re.findall(r"\d+", picture)] for picture in (a, b))
    return max((abs(u - v) for u, v in zip(x, y, strict=True)), default=0)


def test_a_formula_is_read_from_the_steps() -> None:
    """By hand, from the catalogue's first row and one with two inputs."""
    rows = {feature.name: feature for feature in catalog.CATALOG}

    assert rows["close_over_sma_20"].formula == "distance(close, simple(close, 20))"
    assert rows["gap_1"].formula == "difference(logarithm(open), lagged(logarithm(close), 1))"
    assert rows["gap_1"].columns == ("open", "close")
