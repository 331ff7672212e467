"""What every source must keep: one class of tests for each kind of source, inherited by all that are of the kind."""

import asyncio
import html
from collections.abc import Callable
from contextlib import aclosing
from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest

from domain import action
from domain.bar import BAR_SCHEMA
from domain.error import DataError, ResourceError
from domain.market import Market
from pipelines.data.sources.contract import ActionSource, LiveSource, NewsSource, Source, TickSource, Update
from pipelines.store import TABLES, Store

#: Updates that a live source under test must at least have.
UPDATES = 4
#: Seconds after which a silent live source fails its test instead of holding up all others.
PATIENCE_S = 20.0


class SourceContract:
    """Inherit it, override the two fixtures, and the source is held to its promise."""

    @pytest.fixture
    def source(self) -> Source:
        """Return the source under test; it must have bars of at least four moments."""
        raise NotImplementedError

    @pytest.fixture
    def market(self) -> Market:
        """Return the market to ask for."""
        raise NotImplementedError

    def test_rows_have_the_columns_and_types_of_the_bar_table(self, source: Source, market: Market) -> None:
        """In this order, and there are rows."""
        rows = source.bars(market, None, None)

        assert dict(rows.schema) == BAR_SCHEMA
        assert rows.height > 0

    def test_rows_belong_to_the_market_and_carry_no_flags(self, source: Source, market: Market) -> None:
        """Judging is the business of quality."""
        rows = source.bars(market, None, None)

        assert rows.select("market", "timeframe", "flags").unique().rows() == [(market.name, market.timeframe, 0)]

    def test_a_bar_opens_before_it_closes_and_is_known_from_then_on(self, source: Source, market: Market) -> None:
        """opened_at < event_at <= known_at, none of them null."""
        rows = source.bars(market, None, None)

        ordered = (pl.col("opened_at") < pl.col("event_at")) & (pl.col("event_at") <= pl.col("known_at"))
        assert rows.select(ordered.fill_null(value=False).all()).item()

    def test_asking_twice_gives_the_same_rows(self, source: Source, market: Market) -> None:
        """In the same order."""
        once = source.bars(market, None, None)

        assert once.equals(source.bars(market, None, None))

    def test_both_bounds_are_respected_and_included(self, source: Source, market: Market) -> None:
        """What is asked between two moments is what the whole has between them, row for row."""
        whole = source.bars(market, None, None)
        moments = whole["opened_at"].unique().sort()
        since, until = moments[1], moments[-2]

        between = source.bars(market, since, until)

        assert between.equals(whole.filter(pl.col("opened_at").is_between(since, until)))

    def test_bounds_may_lie_between_bars(self, source: Source, market: Market) -> None:
        """A moment later than a bar's open leaves that bar out."""
        moments = source.bars(market, None, None)["opened_at"].unique().sort()

        later = source.bars(market, moments[1] + timedelta(seconds=1), None)

        assert later["opened_at"].min() == moments[2]


def require_rows(table: str, rows: pl.DataFrame, market: Market) -> None:
    """Assert that `rows` can be stored: known columns of the right types, whole keys, of this market and its symbols."""
    layout = TABLES[table]
    assert set(layout.key) <= set(rows.columns) <= set(layout.schema)
    assert dict(rows.schema) == {name: layout.schema[name] for name in rows.columns}
    assert rows.height > 0
    assert sum(rows.select(layout.key).null_count().row(0)) == 0
    assert rows["market"].unique().to_list() == [market.name]
    if market.symbols:
        assert set(rows["symbol"]) <= set(market.symbols)


def require_bounds(asked: Callable[..., pl.DataFrame], market: Market) -> None:
    """Assert that what is asked between two moments is what the whole has between them, both included."""
    whole = asked(market, None, None)
    moments = whole["event_at"].unique().sort()
    since, until = moments[len(moments) // 3], moments[-1 - len(moments) // 3]

    between = asked(market, since, until)

    assert between.equals(whole.filter(pl.col("event_at").is_between(since, until)))


def require_distinct(table: str, rows: pl.DataFrame, place: Path) -> None:
    """Assert that no row is lost in storing all: no two of them claim to be the same fact."""
    store = Store(place)
    store.upsert(table, rows)

    assert store.read(table).height == rows.height


class FaultContract:
    """For a source that asks somebody else: a fault is waited out, or one sentence says what is missing."""

    @pytest.fixture
    def source(self) -> Source:
        """Return the source under test; it must retry at least once, and its waits must not be slept."""
        raise NotImplementedError

    @pytest.fixture
    def market(self) -> Market:
        """Return the market to ask for."""
        raise NotImplementedError

    @pytest.fixture
    def fail(self) -> Callable[[int | None], None]:
        """Return what lets the vendor fail its next so many answers; None lets it fail for ever, 0 lets it work again."""
        raise NotImplementedError

    def test_one_failed_answer_is_asked_for_again(self, source: Source, market: Market, fail: Callable[[int | None], None]) -> None:
        """Nothing is missing and nothing doubled."""
        whole = source.bars(market, None, None)

        fail(1)

        assert source.bars(market, None, None).equals(whole)

    def test_a_vendor_that_goes_on_failing_is_one_sentence(
        self, source: Source, market: Market, fail: Callable[[int | None], None]
    ) -> None:
        """An error of the house in one line, and never a part of the answer."""
        fail(None)

        with pytest.raises((DataError, ResourceError)) as caught:
            source.bars(market, None, None)

        assert str(caught.value)
        assert "\n" not in str(caught.value)

    def test_a_second_run_completes_what_failed(self, source: Source, market: Market, fail: Callable[[int | None], None]) -> None:
        """No bad answer is remembered."""
        whole = source.bars(market, None, None)
        fail(None)
        with pytest.raises((DataError, ResourceError)):
            source.bars(market, None, None)

        fail(0)

        assert source.bars(market, None, None).equals(whole)


class ActionContract:
    """For a source of dividends, splits and spin-offs; it must have some."""

    @pytest.fixture
    def source(self) -> ActionSource:
        """Return the source under test."""
        raise NotImplementedError

    @pytest.fixture
    def market(self) -> Market:
        """Return the market to ask for."""
        raise NotImplementedError

    def test_it_says_that_it_has_actions(self, source: ActionSource) -> None:
        """Ingest asks whatever is an ActionSource."""
        assert isinstance(source, ActionSource)

    def test_actions_are_rows_of_their_table(self, source: ActionSource, market: Market) -> None:
        """So that they can be stored as they are."""
        require_rows("actions", source.actions(market, None, None), market)

    def test_actions_have_a_known_kind_and_a_possible_value(self, source: ActionSource, market: Market) -> None:
        """What the adjustment of prices would refuse is no action; a dividend of nothing neither."""
        rows = source.actions(market, None, None)

        action.refuse(rows if "other" in rows.columns else rows.with_columns(other=pl.lit(None, pl.String())))
        assert rows.filter(pl.col("value") == 0.0).is_empty()

    def test_actions_between_two_moments(self, source: ActionSource, market: Market) -> None:
        """Both bounds are included."""
        require_bounds(source.actions, market)

    def test_no_two_actions_are_the_same(self, source: ActionSource, market: Market, tmp_path: Path) -> None:
        """An adjustment made twice is as wrong as one forgotten."""
        require_distinct("actions", source.actions(market, None, None), tmp_path)


class NewsContract:
    """For a source of headlines; it must have some."""

    @pytest.fixture
    def source(self) -> NewsSource:
        """Return the source under test."""
        raise NotImplementedError

    @pytest.fixture
    def market(self) -> Market:
        """Return the market to ask for."""
        raise NotImplementedError

    def test_it_says_that_it_has_news(self, source: NewsSource) -> None:
        """Ingest asks whatever is a NewsSource."""
        assert isinstance(source, NewsSource)

    def test_news_are_rows_of_their_table(self, source: NewsSource, market: Market) -> None:
        """So that they can be stored as they are."""
        require_rows("news", source.news(market, None, None), market)

    def test_no_headline_is_known_before_it_was_published(self, source: NewsSource, market: Market) -> None:
        """A backtest would trade on it."""
        rows = source.news(market, None, None)

        assert rows.select((pl.col("event_at") <= pl.col("known_at")).all()).item()

    def test_headlines_are_plain_text(self, source: NewsSource, market: Market) -> None:
        """A lexicon knows no entities and no tags."""
        headlines = source.news(market, None, None)["headline"].to_list()

        assert all(line.strip() == line and line == html.unescape(line) and "</" not in line for line in headlines)
        assert all(headlines)

    def test_news_between_two_moments(self, source: NewsSource, market: Market) -> None:
        """Both bounds are included."""
        require_bounds(source.news, market)

    def test_no_two_headlines_are_the_same(self, source: NewsSource, market: Market, tmp_path: Path) -> None:
        """One row a symbol."""
        require_distinct("news", source.news(market, None, None), tmp_path)


class TickContract:
    """For a source of trades and quotes; it must have some of both."""

    @pytest.fixture
    def source(self) -> TickSource:
        """Return the source under test."""
        raise NotImplementedError

    @pytest.fixture
    def market(self) -> Market:
        """Return the market to ask for."""
        raise NotImplementedError

    def test_it_says_that_it_has_ticks(self, source: TickSource) -> None:
        """Whoever builds bars of ticks asks a TickSource."""
        assert isinstance(source, TickSource)

    @pytest.mark.parametrize("table", ["trades", "quotes"])
    def test_ticks_are_rows_of_their_table(self, source: TickSource, market: Market, table: str) -> None:
        """So that they can be stored as they are."""
        require_rows(table, getattr(source, table)(market, None, None), market)

    @pytest.mark.parametrize("table", ["trades", "quotes"])
    def test_no_tick_is_known_before_it_happened(self, source: TickSource, market: Market, table: str) -> None:
        """A backtest would trade on it."""
        rows = getattr(source, table)(market, None, None)

        assert rows.select((pl.col("event_at") <= pl.col("known_at")).all()).item()

    @pytest.mark.parametrize("table", ["trades", "quotes"])
    def test_ticks_between_two_moments(self, source: TickSource, market: Market, table: str) -> None:
        """Both bounds are included."""
        require_bounds(getattr(source, table), market)

    @pytest.mark.parametrize("table", ["trades", "quotes"])
    def test_no_two_ticks_are_the_same(self, source: TickSource, market: Market, table: str, tmp_path: Path) -> None:
        """A print counted twice is volume that was not there."""
        require_distinct(table, getattr(source, table)(market, None, None), tmp_path)

    def test_prices_are_finite_and_positive(self, source: TickSource, market: Market) -> None:
        """A side that nobody quotes is null, not zero."""
        trades, quotes = source.trades(market, None, None), source.quotes(market, None, None)

        for prices in (trades["price"], quotes["bid"].drop_nulls(), quotes["ask"].drop_nulls()):
            assert prices.is_finite().all()
            assert (prices > 0.0).all()


def heard(source: LiveSource, market: Market, count: int) -> list[Update]:
    """Return the first updates of a live source, and close it."""

    async def listen() -> list[Update]:
        updates: list[Update] = []
        async with asyncio.timeout(PATIENCE_S), aclosing(source.updates(market)) as stream:  # type: ignore[type-var]
            async for update in stream:
                updates.append(update)
                if len(updates) == count:
                    break
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert not left, f"the closed iterator left {left} behind"
        return updates

    return asyncio.run(listen())


class LiveContract:
    """For a source that goes on telling; it must tell at least UPDATES things."""

    @pytest.fixture
    def source(self) -> LiveSource:
        """Return the source under test."""
        raise NotImplementedError

    @pytest.fixture
    def market(self) -> Market:
        """Return the market to listen to."""
        raise NotImplementedError

    def test_it_says_that_it_is_live(self, source: LiveSource) -> None:
        """The recorder takes any LiveSource."""
        assert isinstance(source, LiveSource)

    def test_updates_are_rows_of_their_tables(self, source: LiveSource, market: Market) -> None:
        """Each can be stored as it is."""
        for update in heard(source, market, UPDATES):
            row = pl.DataFrame([dict(update.row)], schema_overrides=dict(TABLES[update.table].schema), strict=True)
            require_rows(update.table, row, market)

    def test_updates_come_in_the_order_of_their_arrival(self, source: LiveSource, market: Market) -> None:
        """`known_at` never runs backwards, and nothing is known before it happened."""
        updates = heard(source, market, UPDATES)

        assert all(one.row["known_at"] <= two.row["known_at"] for one, two in pairwise(updates))
        assert all(update.row["event_at"] <= update.row["known_at"] for update in updates)

    def test_it_can_be_closed_and_opened_again(self, source: LiveSource, market: Market) -> None:
        """In the middle, leaving no task and no connection behind."""
        once = heard(source, market, 1)

        again = heard(source, market, UPDATES)

        assert len(once) == 1
        assert len(again) == UPDATES
