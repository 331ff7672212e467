"""Tests of the join: no row sees what was not known by its close, and every headline counts once, when it is known."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from domain import params as parameters
from domain import session
from domain.panel import FloatArray, Panel
from features.catalog import news as catalogue
from features.engine import FeatureEngine
from pipelines.data import news
from pipelines.data.news import repetition
from pipelines.data.news.join import impulses, scored
from pipelines.store import Store
from tests.features.panels import DATA

ROOT = Path(__file__).parents[4]
PARAMS = parameters.load(ROOT / "params.yaml", "us_equity")
MARKET = PARAMS.market("us_equity")


def panel(symbols: tuple[str, ...], first: datetime, last: datetime) -> Panel:
    """Return a daily panel of the exchange's sessions."""
    opened = session.grid(MARKET, first, last)
    ones = np.ones((len(opened), len(symbols)))
    return Panel(MARKET.name, "1d", symbols, opened, session.closes(MARKET, opened), *[ones] * 5)


def measured(panel: Panel, covariates: dict[str, FloatArray]) -> FloatArray:
    """Return the family's features."""
    engine = FeatureEngine(catalogue.FEATURES, len(panel.symbols), precision=np.float64)
    return engine.advance(replace(panel, covariates=covariates))


def recorded(name: str, rows: int) -> pl.DataFrame:
    """Return recorded headlines as rows of the table; skip where they are not at hand."""
    path = DATA / f"{name}.parquet"
    if not path.exists():
        pytest.skip(f"real headlines are not at hand: {path} does not exist (set NIGHTSHIFT_DATA)")
    table = news.reading.read(path, MARKET)[0].drop("dated")
    return table.sort("known_at").tail(rows).with_columns(sentiment=pl.lit(None, pl.Float64))


@pytest.mark.parametrize(("name", "symbols"), [("news_headlines", ("A", "ABX", "ACAD")), ("news_market", ("A",))])
def test_a_row_is_the_same_when_the_future_was_never_written(name: str, symbols: tuple[str, ...]) -> None:
    """Real headlines, mere dates among them: what is known after a row's close is taken away, and nothing moves."""
    table = recorded(name, 1500)
    days = panel(symbols, table["event_at"].min(), table["event_at"].max())
    read = scored(repetition.mark(table, PARAMS.sources.news), PARAMS.sources.news)
    whole = measured(days, impulses(read, days, None))

    for row in np.random.default_rng(3).choice(np.arange(5, days.bars), 8, replace=False):
        until = days.event_at[row].item().replace(tzinfo=UTC)
        past = repetition.mark(table.filter(pl.col("known_at") <= until), PARAMS.sources.news)
        cut = days.rows(0, row + 1)
        seen = measured(cut, impulses(scored(past, PARAMS.sources.news), cut, None))

        np.testing.assert_array_equal(seen[row], whole[row])


def test_a_row_sums_every_headline_by_its_age() -> None:
    """The faded sum of real headlines against a loop over all of them: known by the close, aged since publication."""
    table = recorded("news_headlines", 6000)
    days = panel(("A", "AAP"), datetime(2013, 2, 8, tzinfo=UTC), datetime(2014, 2, 8, tzinfo=UTC))
    read = scored(repetition.mark(table, PARAMS.sources.news), PARAMS.sources.news)
    names = [feature.name for feature in catalogue.FEATURES]
    values = measured(days, impulses(read, days, None))[..., names.index("news_sentiment_1d_faded")]

    for t in range(0, days.bars, 17):
        close = days.event_at[t].item().replace(tzinfo=UTC)
        for s, symbol in enumerate(days.symbols):
            own = read.filter((pl.col("symbol") == symbol) & (pl.col("known_at") <= close) & ~pl.col("repeated"))
            age_days = [(close - published).total_seconds() / 86_400 for published in own["event_at"]]
            expected = sum(score * 0.5**age for score, age in zip(own["sentiment"], age_days, strict=True))
            assert values[t, s] == pytest.approx(expected, rel=1e-9, abs=1e-12)


def rows(*news: tuple[str, str, str, str]) -> pl.DataFrame:
    """Return headlines from symbol, publication, knowledge and text."""
    columns = ["symbol", "event_at", "known_at", "headline"]
    table = pl.DataFrame(list(news), schema=columns, orient="row")
    times = pl.col("event_at", "known_at").str.to_datetime(time_unit="us", time_zone="UTC")
    return table.with_columns(times, market=pl.lit(MARKET.name), source=pl.lit("t"), sentiment=pl.lit(1.0))


def test_a_live_row_brings_only_what_came_after_the_row_before(tmp_path: Path) -> None:
    """Row by row with `after` the covariates are those of the whole panel: a carried state counts no headline twice."""
    store = Store(tmp_path)
    days = panel(("A", "B"), datetime(2015, 1, 2, tzinfo=UTC), datetime(2015, 1, 20, tzinfo=UTC))
    draw = np.random.default_rng(5)
    made = [
        (str("AB"[i % 2]), f"2015-01-{2 + int(draw.integers(17)):02d}T{int(draw.integers(24)):02d}:30:00", i) for i in range(40)
    ]
    store.upsert("news", rows(*((symbol, at, at, f"headline number {i} of {symbol}") for symbol, at, i in made)))
    settings = PARAMS.sources.news
    whole = news.join(store, days, settings)

    for t in range(1, days.bars):
        one = news.join(store, days.rows(t, t + 1), settings, after=days.event_at[t - 1])
        for name, values in one.items():
            np.testing.assert_array_equal(values[0], whole[name][t], err_msg=name)


def test_a_market_without_headlines_has_no_covariates(tmp_path: Path) -> None:
    """Neither a table nor a row of the market: nothing is made up."""
    days = panel(("A",), datetime(2015, 1, 2, tzinfo=UTC), datetime(2015, 1, 20, tzinfo=UTC))

    assert news.join(Store(tmp_path), days, PARAMS.sources.news) == {}


def test_a_repetition_counts_as_volume_and_not_as_news() -> None:
    """The first publication is the event; spelling does not matter, and what is older than the window is news again."""
    table = rows(
        ("A", "2015-01-05T12:00:00", "2015-01-05T12:00:00", "Acme Corp. beats estimates in the third quarter"),
        ("A", "2015-01-05T13:00:00", "2015-01-05T13:00:00", "ACME CORP beats estimates in the third quarter!"),
        ("B", "2015-01-05T13:00:00", "2015-01-05T13:00:00", "Acme Corp beats estimates in the third quarter"),
        ("A", "2015-01-15T13:00:00", "2015-01-15T13:00:00", "Acme Corp beats estimates in the third quarter"),
        ("A", "2015-01-16T13:00:00", "2015-01-16T13:00:00", "Regulator opens a probe of widgets"),
    )
    marked = repetition.mark(table, PARAMS.sources.news).sort("event_at", "symbol", "headline")

    own = marked.filter(pl.col("symbol") == "A")
    assert own["repeated"].to_list() == [False, True, False, False]
    assert own["novelty"].to_list() == [1.0, 0.0, 0.0, pytest.approx(1.0, abs=0.1)]
    assert marked.filter(pl.col("symbol") == "B")["repeated"].to_list() == [False]
    assert marked["first"].sum() == 3


def test_what_comes_later_changes_no_mark() -> None:
    """Novelty and repetition of real headlines, computed again without the newest third."""
    table = recorded("news_headlines", 900).unique(["symbol", "known_at", "headline"], maintain_order=True)
    early = table.head(600)
    keys = ["symbol", "known_at", "event_at", "headline"]

    both = repetition.mark(table, PARAMS.sources.news).join(repetition.mark(early, PARAMS.sources.news), on=keys, suffix="_before")

    assert len(both) >= 600
    assert (both["novelty"] == both["novelty_before"]).all()
    assert (both["repeated"] == both["repeated_before"]).all()
