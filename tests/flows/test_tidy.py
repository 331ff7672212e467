"""Tidying up: what a standing model was made from stays readable, whatever its age."""

from pathlib import Path

import pytest

from domain import params as parameters
from flows import tidy
from flows.home import Home
from pipelines.registry import CHAMPION, Lineage, Registry, Version

ROOT = Path(__file__).parents[2]


def version(number: int, tables: str, *aliases: str) -> Version:
    """Return a version as the registry would."""
    lineage = Lineage(tables, "5eed", "2015-01-02", "2024-02-29", "c0ffee", "ab12", 7, "f00d")
    return Version("sim_equity", number, "trees", "run", aliases, {}, lineage)


def test_every_table_of_a_model_with_an_alias_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bars, actions and headlines by version; those of a model without an alias are let go."""
    home = Home(tmp_path)
    home.mlflow.mkdir(parents=True)
    found = {"sim_equity": [version(1, "bars 3"), version(2, "actions 1, bars 7, news 4", CHAMPION)]}
    monkeypatch.setattr(Registry, "versions", lambda _, market: found.get(market, []))

    kept = tidy.named(home, parameters.load(ROOT / "params.yaml", "sim_equity", "tiny"))

    assert kept == {"actions": {1}, "bars": {7}, "news": {4}}
