"""What every source must keep, as one class of tests that each source inherits."""

from datetime import timedelta

import polars as pl
import pytest

from domain.bar import BAR_SCHEMA
from domain.market import Market
from pipelines.data.sources.contract import Source


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
