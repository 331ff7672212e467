"""Ingest: possible bars into the store, impossible ones into quarantine, only what is missing, and again without a trace."""

import math
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from domain import params as parameters
from domain.bar import BAR_SCHEMA, Defect
from domain.clock import ReplayClock
from domain.error import ConfigurationError, DataError, NoData
from domain.market import Market
from domain.params import Params
from pipelines.data import ingest
from pipelines.store import Store
from tests.pipelines.data import clean

NOW = ReplayClock(datetime(2026, 1, 1, tzinfo=UTC))
CUT = datetime(2016, 6, 1, tzinfo=UTC)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def params() -> Params:
    """Return the tiny profile."""
    return parameters.load(Path(__file__).parents[3] / "params.yaml", "sim_equity", "tiny")


@pytest.fixture
def market(params: Params) -> Market:
    """Return simulated daily equities."""
    return params.market("sim_equity")


def simulating(params: Params, **change: object) -> Params:
    """Return parameters whose simulated market is made otherwise."""
    simulated = params.sources.simulated.model_copy(update=change)
    return params.model_copy(update={"sources": params.sources.model_copy(update={"simulated": simulated})})


def test_possible_rows_are_stored_and_impossible_ones_set_apart(store: Store, params: Params) -> None:
    """A negative price and a null one leave for quarantine, with a reason and the name of the file."""
    where = clean.market()
    bars = clean.bars(where, date(2020, 1, 1), date(2020, 12, 31))
    broken = clean.change(clean.change(bars, 10, low=-1.0), 40, close=None)

    done = ingest.ingest(broken, where, params, store, source="file.csv", clock=NOW)

    apart = store.read("quarantine")
    assert (done.rows, done.kept, done.quarantined, done.symbols) == (bars.height, bars.height - 2, 2, 2)
    assert (
        store.bars(where.name, "1d")
        .select("symbol", "opened_at", "close")
        .equals(bars.filter(~pl.int_range(pl.len()).is_in([10, 40])).select("symbol", "opened_at", "close"))
    )
    assert apart["source"].to_list() == ["file.csv"] * 2
    assert all(apart["reason"].str.len_chars() > 10)
    assert done.version == store.version("bars")


def test_the_same_bars_again_change_neither_table(store: Store, params: Params) -> None:
    """What is written twice is there once; only the inspection is on record twice."""
    where = clean.market()
    broken = clean.change(clean.bars(where, date(2020, 1, 1), date(2020, 12, 31)), 10, low=-1.0)
    first = ingest.ingest(broken, where, params, store, source="file.csv", clock=NOW)

    again = ingest.ingest(broken, where, params, store, source="file.csv", clock=ReplayClock(NOW.at + timedelta(hours=1)))

    assert again == first
    assert store.read("quarantine").height == 1
    assert store.read("quality")["checked_at"].n_unique() == 2


def test_flags_are_stored_with_their_bars(store: Store, params: Params) -> None:
    """A lone print of double the price stays, flagged, and is counted."""
    where = clean.market()
    bars = clean.bars(where, date(2020, 1, 1), date(2020, 12, 31))
    price = bars["high"][100] * 1.5

    done = ingest.ingest(clean.change(bars, 100, high=price, close=price), where, params, store, source="file.csv", clock=NOW)

    flagged = store.bars(where.name, "1d").filter(pl.col("flags") != 0)
    assert done.flagged == flagged.height >= 1
    assert flagged.filter(pl.col("close") == price)["flags"].item() & int(Defect.PRICE_SPIKE)
    assert ingest.told(done)["defects"] == {name: rows for name, rows in done.defects.items() if rows > 0}


def test_nothing_but_impossible_rows_is_refused_and_kept_in_quarantine(store: Store, params: Params) -> None:
    """One sentence with the commonest defect; nothing is lost."""
    where = clean.market()
    bars = clean.bars(where, date(2020, 1, 1), date(2020, 3, 31)).with_columns(open=math.nan)

    with pytest.raises(DataError, match=r"none of \d+ rows from file.csv is possible: \d+ have missing_price"):
        ingest.ingest(bars, where, params, store, source="file.csv", clock=NOW)

    assert store.read("quarantine").height == bars.height


def test_no_rows_are_refused(store: Store, params: Params) -> None:
    """Before anything is made."""
    with pytest.raises(NoData, match="market 'tested' were to be stored, but file"):
        ingest.ingest(pl.DataFrame(schema=BAR_SCHEMA), clean.market(), params, store, source="file.csv")

    assert not store.root.exists()


def test_a_source_is_asked_only_for_what_is_missing(store: Store, params: Params, market: Market) -> None:
    """In two parts, with the same bars as in one; the third time brings nothing and makes no version."""
    whole = Store(store.root.parent / "whole")
    expected = ingest.from_source(market, params, whole, clock=NOW)

    first = ingest.from_source(market, params, store, until=CUT, clock=NOW)
    second = ingest.from_source(market, params, store, clock=NOW)
    third = ingest.from_source(market, params, store, clock=NOW)

    assert first.rows + second.rows == expected.rows
    assert (third.rows, third.version) == (0, second.version)
    assert store.bars("sim_equity", "1d").equals(whole.bars("sim_equity", "1d"))
    assert store.read("news").equals(whole.read("news"))


@dataclass
class Changed:
    """A source whose past is what it was last given."""

    whole: pl.DataFrame

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return what there is between the two."""
        return self.whole.filter(pl.col("opened_at") >= since) if since else self.whole


def test_a_source_that_rewrote_history_is_asked_for_all_of_it(store: Store, params: Params) -> None:
    """After a split every price of the symbol is another one: no bar of before stays among those of after."""
    where = clean.market()
    before = clean.bars(where, date(2018, 1, 1), date(2020, 12, 31))
    after = before.with_columns(pl.col("open", "high", "low", "close") / 2.0)
    ingest.from_source(where, params, store, clock=NOW, source=Changed(before))

    ingest.from_source(where, params, store, clock=NOW, source=Changed(after))

    assert store.bars(where.name, "1d").select("symbol", "opened_at", "close").equals(after.select("symbol", "opened_at", "close"))


def test_a_new_symbol_brings_its_whole_past(store: Store, params: Params) -> None:
    """Although the store already has bars of another."""
    where = replace(clean.market(), symbols=("S0",))
    whole = clean.bars(where, date(2018, 1, 1), date(2020, 12, 31))
    ingest.from_source(where, params, store, clock=NOW, source=Changed(whole.filter(pl.col("symbol") == "S0")))

    ingest.from_source(replace(where, symbols=("S0", "S1")), params, store, clock=NOW, source=Changed(whole))

    assert store.bars(where.name, "1d").select("symbol", "opened_at").equals(whole.select("symbol", "opened_at"))


@pytest.mark.parametrize(
    "change",
    [{"seed": 99}, {"symbols": 5}, {"symbols": 9}, {"edge": 0.5}, {"start": "2019-01-02"}, {"edge": 0.0, "news_per_bar": 1.0}],
    ids=str,
)
def test_another_simulated_world_does_not_mix_with_the_stored_one(
    store: Store, params: Params, market: Market, change: dict[str, object]
) -> None:
    """One sentence says which two worlds, and no table has changed; with its own parameters the stored one goes on."""
    first = simulating(params, edge=0.0) if "news_per_bar" in change else params
    ingest.from_source(market, first, store, until=CUT, clock=NOW)
    tables = {name: store.read(name) for name in ("bars", "news", "quality")}

    with pytest.raises(ConfigurationError, match=r"stored rows are of another world.*sources\.simulated back.*NIGHTSHIFT_HOME"):
        ingest.from_source(market, simulating(params, **change), store, clock=NOW)

    assert all(store.read(name).equals(table) for name, table in tables.items())
    assert ingest.from_source(market, first, store, clock=NOW).rows > 0


@pytest.mark.parametrize("bars", [300, 900])
def test_a_world_that_became_longer_or_shorter_is_the_same(store: Store, params: Params, market: Market, bars: int) -> None:
    """More bars only lengthen history."""
    ingest.from_source(market, params, store, clock=NOW)
    before = store.bars("sim_equity", "1d")

    ingest.from_source(market, simulating(params, bars=bars), store, clock=NOW)

    assert store.bars("sim_equity", "1d").join(before, on=["symbol", "opened_at", "close"], how="semi").height == before.height


def test_what_is_known_late_is_stored_so(store: Store, params: Params, market: Market) -> None:
    """The delay of publication comes from the parameters."""
    late = params.model_copy(update={"store": params.store.model_copy(update={"publication_delay_s": 90.0})})

    ingest.from_source(market, late, store, until=CUT, clock=NOW)

    bars = store.bars("sim_equity", "1d")
    assert (bars["known_at"] - bars["event_at"]).unique().to_list() == [timedelta(seconds=90)]


def test_a_market_of_files_has_nothing_to_ask(store: Store, params: Params) -> None:
    """The sentence names the command that helps."""
    with pytest.raises(ConfigurationError, match="fed from files: nightshift import PATH --market us_equity"):
        ingest.from_source(params.market("us_equity"), params, store)
