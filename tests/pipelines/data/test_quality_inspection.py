"""The inspection as others see it: what is kept, what is quarantined and why, the checkpoint and its pages."""

from datetime import date
from pathlib import Path

import polars as pl
import pytest

from domain.bar import BAR_SCHEMA, IMPOSSIBLE, Defect
from domain.error import DataError
from pipelines.data import quality
from tests.pipelines.data import clean

DAILY = clean.market()
BARS = clean.bars(DAILY, date(2023, 1, 3), date(2023, 12, 29), symbols=2)

#: Each impossible defect planted once, in a row of its own, and what its reason must say.
WRONG = {
    20: ({"open": None}, Defect.MISSING_PRICE, "found open null"),
    40: ({"low": 0.0}, Defect.NONPOSITIVE_PRICE, "low 0.0"),
    60: ({"high": 1.0}, Defect.RANGE_BROKEN, "expected low <= open, close <= high"),
    80: ({"volume": -5.0}, Defect.NEGATIVE_VOLUME, "found -5.0"),
}


def spoiled() -> pl.DataFrame:
    """Return bars with every impossible defect once and a spike, which is only suspicious."""
    frame = BARS
    for row, (values, _, _) in WRONG.items():
        frame = clean.change(frame, row, **values)
    shifted = (pl.int_range(pl.len()) == 100, pl.int_range(pl.len()) == 300)
    for price in ("open", "high", "low", "close"):
        factor = pl.when(shifted[0]).then(0.1).when(shifted[1]).then(1.5).otherwise(1.0)
        frame = frame.with_columns(pl.col(price) * factor)
    sunday = frame[120:121].with_columns(pl.col("opened_at", "event_at", "known_at") - pl.duration(days=_to_sunday(frame, 120)))
    return pl.concat([frame[:121], frame[119:120], sunday, frame[121:]])


def _to_sunday(frame: pl.DataFrame, row: int) -> int:
    day: date = frame["opened_at"][row].date()
    return day.isoweekday()


@pytest.fixture(scope="module")
def inspection(tmp_path_factory: pytest.TempPathFactory) -> quality.Inspection:
    """Inspect the spoiled bars once, with pages."""
    return quality.inspect(spoiled(), DAILY, clean.LIMITS, docs=tmp_path_factory.mktemp("docs"))


def test_impossible_rows_go_to_quarantine_with_their_reason(inspection: quality.Inspection) -> None:
    """The reason names the defect, what was found and what was expected."""
    reasons = inspection.quarantined.select("flags", "reason").rows()

    for _, defect, said in WRONG.values():
        matching = [reason for flags, reason in reasons if flags & defect]
        assert len(matching) == 1
        assert str(defect.name).lower() in matching[0]
        assert said in matching[0]
        assert "expected" in matching[0]
    assert all(flags & IMPOSSIBLE and reason for flags, reason in reasons)


@pytest.mark.parametrize("defect", [Defect.DUPLICATE_KEY, Defect.MARKET_CLOSED, Defect.DECIMAL_SHIFT, Defect.TIME_BACKWARDS])
def test_what_neighbours_and_calendar_say_is_quarantined_too(inspection: quality.Inspection, defect: Defect) -> None:
    """A duplicate, a Sunday, a tenth of the price and a row out of order are impossible."""
    rows = inspection.quarantined.filter((pl.col("flags") & int(defect)) != 0)

    assert len(rows) >= 1
    assert rows["reason"].str.contains(str(defect.name).lower()).all()


def test_nothing_is_lost_and_nothing_is_repaired(inspection: quality.Inspection) -> None:
    """Kept and quarantined rows together are the rows that came in, to the last bit, in their order."""
    columns = [name for name in BAR_SCHEMA if name != "flags"]
    back = pl.concat([inspection.kept, inspection.quarantined.drop("reason")])

    assert back.select(columns).sort(columns).equals(spoiled().select(columns).sort(columns))
    assert inspection.kept.schema == pl.Schema(BAR_SCHEMA)
    assert inspection.quarantined.schema == pl.Schema({**BAR_SCHEMA, "reason": pl.String()})
    kept = (
        spoiled().with_row_index("row").join(inspection.kept.select("symbol", "opened_at"), on=["symbol", "opened_at"], how="semi")
    )
    assert inspection.kept["close"].to_list() == kept.unique(["symbol", "opened_at"], keep="first").sort("row")["close"].to_list()


def test_suspicious_rows_stay_with_their_flags(inspection: quality.Inspection) -> None:
    """A spike is kept and flagged; most rows carry nothing."""
    flags = inspection.kept["flags"]

    assert flags.to_list().count(int(Defect.PRICE_SPIKE)) == 1
    assert (flags == 0).sum() > 0.99 * len(flags)


def test_the_summary_counts_every_defect(inspection: quality.Inspection) -> None:
    """One row a defect, with its rows, share and severity."""
    summary = {row["defect"]: row for row in inspection.summary.iter_rows(named=True)}

    assert set(summary) == {str(defect.name).lower() for defect in Defect if defect is not Defect.NONE}
    assert summary["missing_price"] == {"defect": "missing_price", "rows": 1, "share": 1 / len(spoiled()), "severity": "critical"}
    assert summary["price_spike"]["severity"] == "warning"
    assert not inspection.success


def test_the_checkpoint_passes_clean_and_only_suspicious_bars() -> None:
    """Warnings do not fail a batch."""
    jumped = BARS.with_columns(
        pl.when(pl.int_range(pl.len()).is_between(100, 249)).then(pl.col(price) * 0.4).otherwise(price).alias(price)
        for price in ("open", "high", "low", "close")
    )

    found = quality.inspect(jumped, DAILY, clean.LIMITS)

    assert found.success
    assert found.docs is None
    assert found.quarantined.is_empty()
    assert (found.kept["flags"] != 0).sum() >= 1


@pytest.mark.parametrize("row", WRONG)
def test_the_library_sees_by_itself_what_it_can_say(row: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The native expectations fail on the raw prices even if every defect column said nothing."""
    from pipelines.data.quality import promises, suite

    monkeypatch.setattr(promises, "PROMISES", {})
    values, _, _ = WRONG[row]
    table = clean.change(BARS, row, **values)

    assert suite.checkpoint(promises.batch(BARS), "bars", "sound", promises.expectations(), None)
    assert not suite.checkpoint(promises.batch(table), "bars", "wrong", promises.expectations(), None)


def test_an_empty_batch_passes(tmp_path: Path) -> None:
    """Nothing came in: nothing is kept, nothing is wrong, the pages say so."""
    found = quality.inspect(BARS[:0], DAILY, clean.LIMITS, docs=tmp_path)

    assert found.success
    assert found.kept.is_empty()
    assert found.summary["rows"].sum() == 0
    assert found.summary["share"].to_list() == [0.0] * len(found.summary)


def test_missing_columns_are_named_in_one_sentence() -> None:
    """A frame of another kind is refused."""
    with pytest.raises(DataError, match="known_at, low missing"):
        quality.inspect(BARS.drop("low", "known_at"), DAILY, clean.LIMITS)


def test_the_front_page_tells_reasons_counts_and_coverage_in_words(tmp_path: Path) -> None:
    """What is checked and what became of it, why rows stayed with a flag, and which symbol begins late or has no volume."""
    late = BARS.filter((pl.col("symbol") == "S0") | (pl.col("opened_at").dt.date() >= date(2023, 3, 1)))
    frame = late.with_columns(volume=pl.when(pl.col("symbol") == "S1").then(0.0).otherwise("volume"))
    lone = (pl.col("symbol") == "S0") & (pl.col("opened_at").dt.date() == date(2023, 7, 5))
    frame = frame.with_columns(high=pl.when(lone).then(pl.col("high") * 1.5).otherwise("high"))

    found = quality.inspect(clean.change(frame, 9, low=-1.0), DAILY, clean.LIMITS, docs=tmp_path)

    assert found.docs is not None
    front = found.docs.read_text(encoding="utf-8")
    assert f"Of {len(frame):,} rows 1 are impossible and went to quarantine, 1 more are suspicious" in front
    assert 'Every price is above zero</td><td class="critical">quarantined</td>' in front
    assert "2023-07-05 13:30</td><td>price_spike: found open" in front
    assert "begins 39 sessions after the batch; 100% of its bars have no volume" in front


def test_pages_need_no_network(inspection: quality.Inspection) -> None:
    """No page refers to another machine; the front page leads to the validation and shows reasons."""
    assert inspection.docs is not None
    pages = list(inspection.docs.parent.rglob("*.html"))

    assert len(pages) == 3
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert "http" not in text
        assert "<script" not in text
    front = inspection.docs.read_text(encoding="utf-8")
    assert "missing_price: found open null" in front
    for page in pages:
        assert page == inspection.docs or page.relative_to(inspection.docs.parent).as_posix() in front


def test_pages_of_a_second_batch_stand_beside_the_first(tmp_path: Path) -> None:
    """A folder keeps its history; text from the data is no markup."""
    named = BARS.with_columns(symbol=pl.lit("<b>A&B")).unique("opened_at", keep="first", maintain_order=True)
    quality.inspect(named, DAILY, clean.LIMITS, docs=tmp_path)

    second = quality.inspect(clean.change(named, 3, close=-1.0), DAILY, clean.LIMITS, docs=tmp_path)

    assert second.docs is not None
    front = second.docs.read_text(encoding="utf-8")
    assert front.count("validations/") == 2
    assert "&lt;b&gt;A&amp;B" in front
    assert "<b>A" not in front
