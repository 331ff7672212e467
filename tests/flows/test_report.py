"""The report: one page that needs nothing but itself."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from flows import report

START = datetime(2024, 1, 1, tzinfo=UTC)


@pytest.fixture
def material() -> report.Material:
    at = [START + timedelta(days=day) for day in range(60)]
    equity = [1_000_000.0 * (1.0 + 0.001 * day - (0.02 if day == 30 else 0.0)) for day in range(60)]
    return report.Material(
        title="sim_equity <script>alert(1)</script>",
        lead="A planted edge, found.",
        version=3,
        promoted=True,
        cards=[("roi", "5.9%")],
        curve=pl.DataFrame({"event_at": at, "equity": equity, "benchmark": [1_000_000.0] * 60}),
        calibration=[(0.05, 0.06), (0.5, 0.5), (0.95, 0.93)],
        importance={"momentum_20": 0.7, "rsi_14": 0.3},
        gates=[{"name": "rank_ic_t", "found": 4.2, "comparison": ">=", "limit": 3.0, "passed": True, "note": "HAC t"}],
        chain=[("order", "abc"), ("model version", "3")],
        orders=pl.DataFrame({"decided_at": [START], "symbol": ["A"], "quantity": [100.0], "fill_price": [None]}),
        orders_total=1,
        fills_total=0,
        quality=pl.DataFrame({"defect": ["PRICE_SPIKE"], "rows": [2], "share": [0.001], "severity": ["warning"]}),
        looked_for=13,
        footer="net of costs",
    )


def test_the_page_refers_to_nothing_outside_itself(material: report.Material) -> None:
    """No script, no style sheet, no picture and no font is fetched; what looks like an address names a dialect of XML."""
    page = report.render(material)

    assert not re.search(r"<script|<link|<img|@import|url\(http|src=", page)
    assert set(re.findall(r"https?://[^\"'<> ]+", page)) <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}


def test_texts_from_data_are_escaped(material: report.Material) -> None:
    """A market's name cannot run code in the reader's browser."""
    page = report.render(material)

    assert "&lt;script&gt;alert(1)" in page


def test_the_page_shows_the_figures_it_was_given(material: report.Material) -> None:
    """Gate numbers with what they ask, quality counts, the chain, times to the minute, and both curves with both drawdowns."""
    page = report.render(material)

    for expected in ("rank_ic_t", "4.2", "≥ 3", "HAC t", "PRICE_SPIKE", "0.1000%", "model version", "5.9%", "2024-01-01 00:00<"):
        assert expected in page
    for expected in ("benchmark: equal weight, held", "Nightshift", "drawdown, %", "as promised", "as it came", "momentum_20"):
        assert f">{expected}</text>" in page


def test_clean_data_says_what_was_looked_for(material: report.Material) -> None:
    """An empty table would look like one that was forgotten."""
    clean = replace(material, quality=material.quality.clear())

    assert "none of the 13 defects that the bars were inspected for was found" in report.render(clean)


def test_the_same_material_draws_the_same_bytes(material: report.Material, tmp_path: Path) -> None:
    """Nothing in a picture depends on the time or on chance."""
    one, two = report.write(material, tmp_path / "one.html"), report.write(material, tmp_path / "two.html")

    assert one.read_bytes() == two.read_bytes()
