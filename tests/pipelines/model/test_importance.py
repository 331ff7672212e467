"""Importance: what is not needed costs nothing to lose."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from domain import params
from domain.params import Params
from features import catalog
from models.contract import Dataset
from pipelines.model import importance
from tests.models.planted import planted
from tests.models.planted import training as small

LOADED = params.load(Path(__file__).parents[3] / "params.yaml", "sim_equity", "tiny")
CHOSEN: Params = LOADED.model_copy(update={"training": small()})
MARKET = LOADED.market("sim_equity")
GROUPS = {"what moves the label": [1], "noise": [0, 2], "more noise": [3, 4, 5]}


@pytest.mark.parametrize("symbols", [8, 1])
def test_only_the_planted_feature_is_missed(symbols: int) -> None:
    """By more than five standard errors, the others by less than three; among symbols, and over time where there is only one."""
    dataset = planted(bars=1500 if symbols == 1 else 500, symbols=symbols, edge=1.0)

    table = importance.permuted(dataset, CHOSEN, MARKET, "trees", GROUPS)

    best, *others = table.iter_rows(named=True)
    assert (best["group"], best["features"]) == ("what moves the label", 1)
    assert best["drop"] > 0.2
    if symbols > 1:
        assert best["drop"] > 5.0 * best["error"]
        assert all(abs(each["drop"]) < 3.0 * each["error"] + 0.01 for each in others)


def test_two_copies_of_a_feature_are_missed_together_only() -> None:
    """Alone each is stood in for by the other, at least in part."""
    made = planted(bars=500, symbols=8, edge=1.0)
    features = made.features.copy()
    features[..., 2] = features[..., 1]
    dataset: Dataset = replace(made, features=features)

    alone = importance.permuted(dataset, CHOSEN, MARKET, "trees", {"first": [1], "second": [2]})
    together = importance.permuted(dataset, CHOSEN, MARKET, "trees", {"both": [1, 2]})

    assert alone["drop"].max() < 0.8 * together["drop"][0]


def test_columns_are_grouped_by_the_catalogues_families() -> None:
    """Every column once; one that the catalogue does not know is a family of its own."""
    known = [feature for feature in catalog.CATALOG if feature.family in {"momentum", "calendar"}][:5]

    groups = importance.families([*(feature.name for feature in known), "mine"])

    assert groups.pop("mine") == [5]
    assert sorted(column for columns in groups.values() for column in columns) == [0, 1, 2, 3, 4]
    assert all(known[column].family == family for family, columns in groups.items() for column in columns)


def test_the_same_seed_permutes_alike() -> None:
    """Twice the same table."""
    dataset = planted(bars=360, symbols=6, edge=0.5)
    first, second = (importance.permuted(dataset, CHOSEN, MARKET, "trees", GROUPS) for _ in range(2))

    assert first.equals(second)
    assert np.isfinite(first["drop"].to_numpy()).all()
