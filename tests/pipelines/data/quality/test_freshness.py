"""Freshness: what should be there by now, by the calendar and by habit."""

from datetime import UTC, date, datetime, timedelta

import polars as pl

from pipelines.data.quality import freshness
from tests.pipelines.data import clean

DAILY = clean.market()
BARS = clean.bars(DAILY, date(2024, 1, 2), date(2024, 6, 28), symbols=4).select("symbol", "opened_at")
#: Monday, after the close of the session that follows the last bars, those of Friday.
MONDAY = datetime(2024, 7, 1, 21, tzinfo=UTC)
SUNDAY = datetime(2024, 6, 30, 21, tzinfo=UTC)


def status(frame: pl.DataFrame, now: datetime, where: object = DAILY) -> dict[str, str]:
    """Return the status of each symbol."""
    found = freshness.bars(frame, where, now)  # type: ignore[arg-type]
    return dict(found.select("symbol", "status").iter_rows())


def test_nothing_is_late_while_the_market_is_closed() -> None:
    """On Sunday Friday's bar is the newest that there can be."""
    assert set(status(BARS, SUNDAY).values()) == {"fresh"}


def test_a_bar_is_expected_once_it_has_closed_and_was_published() -> None:
    """At noon of Monday its bar is not closed; in the evening it is, unless it takes hours to publish."""
    assert set(status(BARS, MONDAY - timedelta(hours=4)).values()) == {"fresh"}
    assert set(status(BARS, MONDAY).values()) == {"stalled"}
    assert set(freshness.bars(BARS, DAILY, MONDAY, timedelta(hours=6))["status"]) == {"fresh"}


def test_the_half_day_before_independence_day_closes_early() -> None:
    """On 2024-07-03 New York closed at 13:00, 17:00 UTC."""
    stored = clean.bars(DAILY, date(2024, 1, 2), date(2024, 7, 2), symbols=1).select("symbol", "opened_at")

    assert status(stored, datetime(2024, 7, 3, 16, 59, tzinfo=UTC)) == {"S0": "fresh"}
    assert status(stored, datetime(2024, 7, 3, 17, 1, tzinfo=UTC)) == {"S0": "stalled"}


def test_one_late_symbol_is_late_and_not_the_source() -> None:
    """Three have Monday's bar, one has not; one that has been silent for months has ended."""
    full = clean.bars(DAILY, date(2024, 1, 2), date(2024, 7, 1), symbols=4).select("symbol", "opened_at")
    late = full.filter((pl.col("symbol") != "S1") | (pl.col("opened_at") < datetime(2024, 7, 1, tzinfo=UTC)))
    ended = late.filter((pl.col("symbol") != "S2") | (pl.col("opened_at") < datetime(2024, 4, 1, tzinfo=UTC)))

    assert status(ended, MONDAY) == {"S0": "fresh", "S1": "late", "S2": "ended", "S3": "fresh"}
    row = freshness.bars(ended, DAILY, MONDAY).filter(pl.col("symbol") == "S1").row(0, named=True)
    assert (row["missing"], row["expected"]) == (1, datetime(2024, 7, 1, 13, 30, tzinfo=UTC))


def test_a_thin_symbol_is_not_late_after_one_bar() -> None:
    """A feed that leaves out every second bar says nothing by one that is missing; by thirty it does."""
    five = clean.market(timeframe="5m")
    bars = clean.bars(five, date(2024, 6, 3), date(2024, 6, 28), symbols=2).select("symbol", "opened_at")
    thin = bars.with_row_index("row").filter((pl.col("symbol") == "S0") | (pl.col("row") % 2 == 0)).drop("row")
    last = bars["opened_at"].max()
    fresh = thin.filter((pl.col("symbol") == "S0") | (pl.col("opened_at") < last - timedelta(minutes=10)))  # type: ignore[operator]
    quiet = thin.filter((pl.col("symbol") == "S0") | (pl.col("opened_at") < last - timedelta(minutes=150)))  # type: ignore[operator]
    now = last + timedelta(minutes=5)  # type: ignore[operator]

    assert status(fresh, now, five) == {"S0": "fresh", "S1": "fresh"}
    assert status(quiet, now, five) == {"S0": "fresh", "S1": "late"}


def test_headlines_are_late_by_their_own_rhythm() -> None:
    """Daily news are late after five days, weekly ones are not; of three headlines nobody knows a rhythm."""
    start = datetime(2024, 1, 1, tzinfo=UTC)
    often = [("daily", start + timedelta(days=day)) for day in range(100)]
    seldom = [("weekly", start + timedelta(days=7 * week)) for week in range(15, -16, -1)]
    seldom = [("weekly", at + timedelta(days=99 - 105)) for _, at in seldom]
    events = pl.DataFrame(
        [*often, *seldom, *(("rare", start + timedelta(days=day)) for day in range(3))], schema=["symbol", "event_at"], orient="row"
    )

    found = freshness.rhythm(events, start + timedelta(days=104))

    assert dict(found.select("symbol", "status").iter_rows()) == {"daily": "late", "weekly": "fresh", "rare": "unknown"}
