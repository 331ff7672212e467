"""Imports: every kind of file finds its table."""

from pathlib import Path

import pytest

from domain import params
from domain.params import Params
from pipelines.data import imports, materialize
from pipelines.store import Store
from tests.pipelines.data.sources import shelf

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def loaded() -> Params:
    """Return the parameters of the crypto market."""
    return params.load(ROOT / "params.yaml", "crypto", "tiny")


def test_ticks_are_kept_and_their_bars_go_through_quality(tmp_path: Path, loaded: Params) -> None:
    """A recorded stream becomes trades, quotes and six minutes with spread and buy volume; again it changes nothing."""
    store, where = Store(tmp_path / "store"), shelf.crypto("1m")
    path = shelf.real("raw/binance_ws/btcusdt_20240808.gz")

    told = imports.bring(path, where, loaded, store, tmp_path / "docs")
    version = store.version("trades")
    imports.bring(path, where, loaded, store, tmp_path / "docs")

    assert (told["trades"], told["quotes"], told["kept"]) == (9757, 28_040, 6)
    assert store.version("trades") == version
    assert len(store.read("trades", where={"market": "shelf"})) == 9757
    panel = materialize.read(store, where)
    assert set(panel.covariates) == {"vwap", "trades", "buy_volume", "spread"}
    assert panel.covariates["trades"].sum() == 9738


def test_actions_and_listings_are_kept_as_told(tmp_path: Path, loaded: Params) -> None:
    """And the next reading of the market is adjusted."""
    store, where = Store(tmp_path / "store"), shelf.equity("1d")
    (tmp_path / "actions.csv").write_text("symbol,ex_date,kind,value\nAAPL,2020-08-31,split,4\n")
    (tmp_path / "listings.csv").write_text("symbol,listed,delisted\nAAPL,1980-12-12,\n")

    told = [imports.bring(tmp_path / name, where, loaded, store, tmp_path / "docs") for name in ("actions.csv", "listings.csv")]

    assert told == [{"actions": 1}, {"listings": 1}]
    assert store.read("actions", where={"market": "shelf"}).select("symbol", "kind", "value").rows() == [("AAPL", "split", 4.0)]
    assert store.read("listings", where={"market": "shelf"})["kind"].to_list() == ["listed"]


def test_a_folder_of_bars_is_bars(tmp_path: Path, loaded: Params) -> None:
    """Nothing in it is looked at twice for ticks once the first file has bars."""
    store, where = Store(tmp_path / "store"), shelf.crypto("1m")

    told = imports.bring(shelf.real("raw/bitfinex_json"), where, loaded, store, tmp_path / "docs")

    assert told["kept"] == store.bars("shelf", "1m").height > 300
