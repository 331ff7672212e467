"""Which source a market's word stands for."""

from dataclasses import replace
from pathlib import Path

import pytest

from domain import params
from domain.clock import SystemClock
from domain.error import ConfigurationError
from pipelines.data.sources import makers
from pipelines.data.sources.bloomberg import Bloomberg
from pipelines.data.sources.simulated import Simulated
from pipelines.data.sources.yahoo import Yahoo
from tests.pipelines.data.sources.shelf import ROOT, equity

PARAMS = params.load(ROOT / "params.yaml")


@pytest.mark.parametrize(("word", "kind"), [("simulated", Simulated), ("yahoo", Yahoo), ("bloomberg", Bloomberg)])
def test_a_word_stands_for_its_source(word: str, kind: type) -> None:
    """Made from its own section of the parameters, without asking anybody anything."""
    source = makers.make(replace(equity("1d"), source=word), PARAMS, SystemClock())

    assert isinstance(source, kind)


def test_what_vendors_told_is_kept_in_a_folder_of_their_own(tmp_path: Path) -> None:
    """And nowhere where none is named."""
    market = replace(equity("1d"), source="yahoo")

    kept, unkept = (makers.make(market, PARAMS, SystemClock(), place) for place in (tmp_path, None))

    assert isinstance(kept, Yahoo)
    assert isinstance(unkept, Yahoo)
    assert kept.cache == tmp_path / "yahoo"
    assert unkept.cache is None


def test_files_can_be_asked_nothing() -> None:
    """The sentence says how bars come in."""
    with pytest.raises(ConfigurationError, match="it is fed from files: nightshift import PATH --market shelf"):
        makers.make(equity("1d"), PARAMS, SystemClock())
