"""Tests of macro series: no row sees a value before it was published, revisions come when they came."""

from datetime import UTC, date, datetime
from pathlib import Path
from zoneinfo import ZoneInfo

import numpy as np
import polars as pl
import pytest

from domain.error import DataError, UnreadableFile
from domain.panel import Panel
from features.catalog.macro import COVARIATES
from pipelines.data import macro, publication
from pipelines.store import Store
from tests.features.panels import DATA

NEW_YORK = ZoneInfo("America/New_York")


def panel(*closes: str) -> Panel:
    """Return a panel of two symbols that closes at these UTC moments."""
    at = np.array(closes, dtype="datetime64[us]")
    ones = np.ones((len(at), 2))
    return Panel("t", "1d", ("A", "B"), at - np.timedelta64(6, "h"), at, *[ones] * 5)


@pytest.mark.parametrize(
    ("series", "observed", "published"),
    [
        # BLS published the core CPI of these months at 08:30 on these days.
        ("CPILFESL", date(2013, 9, 1), "2013-10-30T08:30"),
        ("CPILFESL", date(2014, 12, 1), "2015-01-16T08:30"),
        ("CPILFESL", date(2015, 1, 1), "2015-02-26T08:30"),
        # The Treasury publishes the day's yields in the evening; H.15 came on the next business day.
        ("UST_10year", date(2015, 1, 16), "2015-01-20T16:15"),
        ("VIX", date(2015, 1, 5), "2015-01-05T16:15"),
        ("DCOILWTICO", date(2015, 1, 6), "2015-01-14T13:00"),
        ("MOODYS_BAA", date(2015, 1, 1), "2015-02-02T16:15"),
    ],
)
def test_a_value_counts_from_its_publication_or_later(series: str, observed: date, published: str) -> None:
    """Against moments that the publishers' calendars name; never more than five weeks late."""
    known = publication.known_at(series, observed)

    assert known >= datetime.fromisoformat(published).replace(tzinfo=NEW_YORK)
    assert (known - datetime.fromisoformat(published).replace(tzinfo=NEW_YORK)).days <= 35


def test_a_series_whose_publication_nobody_knows_is_refused(tmp_path: Path) -> None:
    """A guess could show it too early; with its own known_at it is welcome."""
    path = tmp_path / "s.csv"
    path.write_text("series,date,value\nMYSTERY,2015-01-01,1.0\n", encoding="utf-8")
    with pytest.raises(DataError, match=r"series 'MYSTERY' .* give the file a column known_at"):
        macro.read(path)

    path.write_text("series,date,value,realtime_start\nMYSTERY,2015-01-01,1.0,2015-02-03\n", encoding="utf-8")
    table, _ = macro.read(path)

    assert table["known_at"][0].replace(microsecond=0) == datetime(2015, 2, 4, 4, 59, 59, tzinfo=UTC)


def test_other_tables_are_one_sentence(tmp_path: Path) -> None:
    """Which columns it has and which it needs."""
    (tmp_path / "s.csv").write_text("a,b\n1,2\n", encoding="utf-8")
    with pytest.raises(UnreadableFile, match="has the columns a, b: a series, a day and a value are needed"):
        macro.read(tmp_path / "s.csv")


def test_a_revision_is_seen_when_it_came_and_not_before(tmp_path: Path) -> None:
    """January's value, its revision in March, February's value; a late revision of January does not hide February."""
    store = Store(tmp_path)
    made = [
        ("2015-01-01", "2015-02-10", 2.0),
        ("2015-01-01", "2015-03-05", 2.5),
        ("2015-02-01", "2015-03-10", 3.0),
        ("2015-01-01", "2015-03-20", 9.0),
    ]
    table = pl.DataFrame(made, schema=["event_at", "known_at", "value"], orient="row").with_columns(
        pl.col("event_at", "known_at").str.to_datetime(time_unit="us", time_zone="UTC"), source=pl.lit("t"), series=pl.lit("AAA")
    )
    store.upsert("macro", table)

    found = macro.join(
        store, panel("2015-02-09T21:00", "2015-02-10T00:00", "2015-03-06T21:00", "2015-03-10T21:00", "2015-03-21T21:00")
    )

    np.testing.assert_array_equal(found["macro_corporate_aaa"][:, 1], [np.nan, 2.0, 2.5, 3.0, 3.0])


def test_no_row_sees_a_value_before_its_publication(tmp_path: Path) -> None:
    """Every covariate of the recorded files at many closes, computed again from a store that never heard of anything later."""
    stored = []
    for name in ("macro_series", "index_daily"):
        if not (DATA / f"{name}.parquet").exists():
            pytest.skip(f"recorded series are not at hand: {DATA / name} does not exist (set NIGHTSHIFT_DATA)")
        rows, _ = macro.read(DATA / f"{name}.parquet")
        used = {series for names in macro.NAMES.values() for series in names}
        stored.append(rows.filter(pl.col("series").is_in(used) & (pl.col("event_at") >= datetime(2012, 1, 1, tzinfo=UTC))))
    table = pl.concat(stored)
    closes = [f"{day}T21:00" for day in np.busday_offset("2014-01-02", np.arange(0, 800, 40), roll="forward")]
    whole = Store(tmp_path / "whole")
    whole.upsert("macro", table)
    found = macro.join(whole, panel(*closes))

    assert set(found) == set(COVARIATES)
    for row in range(0, len(closes), 6):
        past = Store(tmp_path / f"past{row}")
        past.upsert("macro", table.filter(pl.col("known_at") <= datetime.fromisoformat(closes[row]).replace(tzinfo=UTC)))
        seen = macro.join(past, panel(closes[row]))
        assert {name: values[0, 0] for name, values in seen.items()} == {name: values[row, 0] for name, values in found.items()}
    # By hand: the yield of the day before, the inflation of two months ago at the most.
    vix = table.filter(
        (pl.col("series") == "VIX") & (pl.col("event_at") < datetime.fromisoformat(closes[0][:10]).replace(tzinfo=UTC))
    )
    assert found["macro_vix"][0, 0] == vix.sort("event_at")["value"][-1]


def test_the_statistics_are_what_they_are_called() -> None:
    """Ranks, volatilities and surprises by numpy, from the newest periods known."""
    values = np.exp(np.random.default_rng(0).normal(0.0, 0.01, 40).cumsum()) * 100
    days = np.datetime64("2015-01-01") + np.arange(40)
    stamps = pl.Series(days.astype("datetime64[us]")).dt.replace_time_zone("UTC")
    rows = pl.DataFrame({"source": "t", "event_at": stamps, "known_at": stamps.dt.offset_by("1d"), "value": values})
    at = (days + 1).astype("datetime64[us]").astype(np.int64)

    volatility = macro.as_known(rows, at, *macro.STATISTICS["macro_index_volatility"])
    surprise = macro.as_known(rows, at, *macro.STATISTICS["macro_inflation_surprise"])
    rank = macro.as_known(rows, at, 10, macro.STATISTICS["macro_vix_rank"][1])

    changes = np.diff(np.log(values))
    assert np.isnan(volatility[:21]).all()
    assert volatility[-1] == pytest.approx(100 * np.sqrt(252) * changes[-21:].std(ddof=1))
    assert surprise[-1] == pytest.approx((changes[-1] - changes[-13:-1].mean()) / changes[-13:-1].std(ddof=1))
    assert rank[-1] == pytest.approx((values[-10:-1] < values[-1]).mean() - 0.5)
