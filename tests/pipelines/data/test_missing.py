"""Missing: a source is asked for what is not stored, once, in pieces, and what it answers late or otherwise is known late."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import get_args

import polars as pl
import pytest

from domain import params as parameters
from domain.clock import ReplayClock
from domain.error import ConfigurationError, DataError, NoData, ResourceError
from domain.market import Market
from domain.params import MarketParams, Params
from pipelines.data import ingest
from pipelines.data.sources import makers
from pipelines.store import TABLES, Store
from tests.pipelines.data import clean

NOW = ReplayClock(datetime(2021, 1, 1, tzinfo=UTC))
LATER = ReplayClock(datetime(2021, 1, 8, tzinfo=UTC))
WHERE = replace(clean.market(), symbols=("S0", "S1"))
WHOLE = clean.bars(WHERE, date(2020, 1, 1), date(2020, 12, 31))
Failing = Callable[[Market, datetime | None, datetime | None], Exception | None]
Stretch = tuple[tuple[str, ...], datetime | None, datetime | None]


@dataclass
class Scripted:
    """A source that has a table of bars, notes what it is asked for, and fails as it is told to."""

    whole: pl.DataFrame
    failing: Failing = lambda *_: None
    asked: list[Stretch] = field(default_factory=list)

    def bars(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return what there is between the two."""
        self.asked.append((market.symbols, since, until))
        if (problem := self.failing(market, since, until)) is not None:
            raise problem
        return between(self.whole, "opened_at", market, since, until)


@dataclass
class Companioned(Scripted):
    """The same with dividends and prints."""

    told: list[tuple[str, Stretch]] = field(default_factory=list)

    def actions(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return one dividend of S0."""
        self.told.append(("actions", (market.symbols, since, until)))
        paid = WHOLE["opened_at"][30]
        row = {"market": "tested", "symbol": "S0", "event_at": paid, "known_at": paid, "kind": "dividend", "value": 0.5}
        return between(pl.DataFrame([row], schema=TABLES["actions"].schema), "event_at", market, since, until)

    def trades(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return a print at each close of S0."""
        self.told.append(("trades", (market.symbols, since, until)))
        closes = WHOLE.filter(pl.col("symbol") == "S0").select(
            "market",
            "symbol",
            event_at=pl.col("event_at") - timedelta(seconds=1),
            known_at="event_at",
            price="close",
            size=pl.lit(1.0),
        )
        nothing = [pl.lit(None, pl.String).alias(name) for name in ("side", "exchange", "conditions")]
        prints = closes.with_columns(*nothing, trade_id=pl.int_range(pl.len()).cast(pl.String)).select(
            TABLES["trades"].schema.names()
        )
        return between(prints, "event_at", market, since, until)

    def quotes(self, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
        """Return nothing."""
        return pl.DataFrame(schema=TABLES["quotes"].schema)


def between(frame: pl.DataFrame, time: str, market: Market, since: datetime | None, until: datetime | None) -> pl.DataFrame:
    """Return what a source would answer."""
    wanted = [pl.col("symbol").is_in(list(market.symbols))]
    wanted += [] if since is None else [pl.col(time) >= since]
    wanted += [] if until is None else [pl.col(time) <= until]
    return frame.filter(*wanted)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return Store(tmp_path / "store")


@pytest.fixture(scope="module")
def params() -> Params:
    """Return the tiny profile."""
    return parameters.load(Path(__file__).parents[3] / "params.yaml", "us_equity", "tiny")


def asking(params: Params, **change: object) -> Params:
    """Return parameters that ask otherwise."""
    ask = params.sources.ask.model_copy(update=change)
    return params.model_copy(update={"sources": params.sources.model_copy(update={"ask": ask})})


def without(*rows: int) -> pl.DataFrame:
    """Return the bars but some of them."""
    return WHOLE.filter(~pl.int_range(pl.len()).is_in(rows))


def stored(store: Store, **asked: datetime) -> pl.DataFrame:
    """Return the stored bars without what quality says of them."""
    return store.bars(WHERE.name, "1d", **asked).drop("flags")  # type: ignore[arg-type]


def test_a_hole_is_asked_for_once(store: Store, params: Params) -> None:
    """Bars that came from files have a hole of a week; the source fills it, known as it says, and is asked no more."""
    ingest.ingest(without(*range(20, 25), 40), WHERE, params, store, source="file.csv", clock=NOW)
    source, again = Scripted(without(40)), Scripted(without(40))

    done = ingest.from_source(WHERE, params, store, clock=NOW, source=source)
    ingest.from_source(WHERE, params, store, clock=NOW, source=again)

    assert done.rows == 5
    assert stored(store).equals(without(40).drop("flags"))
    # The hole of S0 with what precedes it, another that the source cannot fill, and the newest bars of both.
    assert [(symbols, until is None) for symbols, _, until in source.asked] == [(("S0",), False), (("S0",), True), (("S1",), True)]
    assert [(symbols, until) for symbols, _, until in again.asked] == [(("S0", "S1"), None)]


def test_what_comes_late_or_otherwise_is_known_when_it_was_received(store: Store, params: Params) -> None:
    """A bar that was missing and one that was corrected: before that moment, and in the version before, all is as it was."""
    wrong = clean.change(without(200), 209, close=WHOLE["close"][210] * 1.001, high=WHOLE["high"][210] * 1.01)
    first = ingest.from_source(WHERE, params, store, clock=NOW, source=Scripted(wrong))

    done = ingest.from_source(WHERE, params, store, clock=LATER, source=Scripted(WHOLE))
    ingest.from_source(WHERE, params, store, clock=LATER, source=Scripted(WHOLE))

    late = [WHOLE["opened_at"][200], WHOLE["opened_at"][210]]
    assert done.rows == 2
    assert stored(store).drop("known_at").equals(WHOLE.drop("flags", "known_at"))
    assert stored(store).filter(symbol="S0").filter(pl.col("opened_at").is_in(late))["known_at"].to_list() == [LATER.at] * 2
    assert stored(store, known_at=LATER.at - timedelta(seconds=1)).equals(wrong.drop("flags"))
    assert stored(store.at({"bars": first.version})).equals(wrong.drop("flags"))
    assert store.count(WHERE.name, "1d") == WHOLE.height + 1


def test_answers_are_kept_although_others_fail_and_a_second_run_completes_them(store: Store, params: Params) -> None:
    """One sentence says which symbol and which time; what is stored in the end is what an undisturbed run stores."""
    small, years = (
        asking(params, symbols=1, bars=300, since=date(2018, 1, 1)),
        clean.bars(WHERE, date(2018, 1, 1), date(2020, 12, 31)),
    )

    def failing(market: Market, _: datetime | None, until: datetime | None) -> Exception | None:
        middle = market.symbols == ("S1",) and until is not None and until.year == 2020
        return ResourceError("tested answers 503: run it again") if middle else None

    with pytest.raises(ResourceError, match=r"in part: missing are bars of S1 from 2019-03-.* \(tested answers 503.*run it again"):
        ingest.from_source(WHERE, small, store, clock=NOW, source=Scripted(years, failing))
    partly = stored(store)
    source = Scripted(years)
    ingest.from_source(WHERE, small, store, clock=NOW, source=source)

    assert partly.filter(symbol="S0").height == years.height // 2
    assert 600 < partly.filter(symbol="S1").height < years.height // 2
    assert stored(store).equals(years.drop("flags"))
    assert all(since is not None for _, since, _ in source.asked)


def test_a_symbol_that_nobody_knows_keeps_no_other_from_coming(store: Store, params: Params) -> None:
    """The source refuses the block; asked one by one, all but the unknown one are stored, and the sentence names that."""

    def failing(market: Market, since: datetime | None, _: datetime | None) -> Exception | None:
        return NoData("tested has no bars of XX") if "XX" in market.symbols and since is None else None

    with pytest.raises(DataError, match=r"missing are bars of XX from the beginning to now \(tested has no bars of XX\)"):
        ingest.from_source(replace(WHERE, symbols=("S0", "XX", "S1")), params, store, clock=NOW, source=Scripted(WHOLE, failing))

    assert stored(store).equals(WHOLE.drop("flags"))


def test_a_refused_key_stops_the_run_at_once(store: Store, params: Params) -> None:
    """No question after it could be answered."""
    source = Scripted(WHOLE, lambda *_: ConfigurationError("the key was refused"))

    with pytest.raises(ConfigurationError, match="the key was refused"):
        ingest.from_source(WHERE, asking(params, symbols=1), store, clock=NOW, source=source)

    assert len(source.asked) == 1


def test_backfill_asks_for_what_lies_before_the_first_bar(store: Store, params: Params) -> None:
    """Although the source had said that there is nothing: who names a day asks again, and what comes is known from now on."""
    young = WHOLE.filter(pl.col("opened_at") >= datetime(2020, 9, 1, tzinfo=UTC))
    ingest.from_source(WHERE, params, store, clock=NOW, source=Scripted(young))

    ingest.from_source(WHERE, params, store, datetime(2020, 1, 1, tzinfo=UTC), clock=LATER, source=Scripted(WHOLE))

    assert stored(store).drop("known_at").equals(WHOLE.drop("flags", "known_at"))
    assert stored(store).filter(pl.col("opened_at") < young["opened_at"].min())["known_at"].unique().to_list() == [LATER.at]


def test_tables_beside_the_bars_come_by_what_a_source_can_do(store: Store, params: Params) -> None:
    """Actions once and then from where they end; trades only where they are asked for, a day at a time."""
    first, second, third = Companioned(WHOLE), Companioned(WHOLE), Companioned(WHOLE)
    ticks = asking(params, companions=("actions", "trades"), since=date(2020, 12, 28))

    ingest.from_source(WHERE, params, store, clock=NOW, source=first)
    ingest.from_source(WHERE, params, store, clock=LATER, source=second)
    ingest.from_source(WHERE, ticks, store, clock=NOW, source=third)

    assert store.read("actions")["value"].to_list() == [0.5]
    assert [(what, since is None) for what, (_, since, _) in (*first.told, *second.told)] == [("actions", True), ("actions", False)]
    days = [since.date() for what, (_, since, _) in third.told if what == "trades" and since is not None]
    assert days == [date(2020, 12, 28) + timedelta(days=i) for i in range(5)]
    assert store.read("trades").height == 4


def test_every_word_for_a_source_has_a_maker() -> None:
    """But for files, which can be asked nothing."""
    words = set(get_args(MarketParams.model_fields["source"].annotation))

    assert words - {"files"} <= set(makers.MAKERS)
