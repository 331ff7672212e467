"""The health of a market: the page, the table, the strict exit, the profile and the reconciliation, on a real store."""

import json
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

from domain import params as parameters
from domain.clock import Clock
from domain.error import NoData
from domain.params import Params
from flows import health
from flows.cli import app
from flows.home import Home
from pipelines.data import ingest
from pipelines.store import Store
from tests.pipelines.data import clean

ROOT = Path(__file__).parents[2]
MARKET = "us_equity"
#: Saturday after the last session of the bars.
NOW = datetime(2024, 6, 29, 12, tzinfo=UTC)


@dataclass(frozen=True)
class Standing(Clock):
    """A clock that stands still."""

    at: datetime

    def now(self) -> datetime:
        return self.at

    def monotonic_ns(self) -> int:
        return 0


@pytest.fixture(scope="module")
def params() -> Params:
    return parameters.load(ROOT / "params.yaml", MARKET, "tiny")


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory, params: Params) -> Home:
    """Return a home with three symbols: one has a hole of forty sessions, one an impossible bar."""
    place, market = Home(tmp_path_factory.mktemp("health")), params.market(MARKET)
    bars = clean.bars(market, date(2022, 1, 3), date(2024, 6, 28), symbols=3)
    days = bars["opened_at"].unique().sort()
    holed = bars.filter((pl.col("symbol") != "S1") | ~pl.col("opened_at").is_between(days[200], days[239]))
    wrong = clean.change(holed, 100, close=-1.0)
    ingest.ingest(wrong, market, params, Store(place.store), source="made", clock=Standing(NOW))
    return place


def test_the_page_shows_what_is_wrong_and_needs_no_network(home: Home, params: Params) -> None:
    """A hole and a row in quarantine; the calendar says that nothing is late on Saturday."""
    found, path = health.write(MARKET, home, params, Standing(NOW))
    text = path.read_text(encoding="utf-8")

    assert found.problems() == ["1 of 3 symbols have holes in their history"]
    assert found.quarantine.select("table", "defect", "rows").rows() == [
        ("bars 1d", "nonpositive_price", 1), ("bars 1d", "range_broken", 1),
    ]  # fmt: skip
    assert set(found.fresh["status"]) == {"fresh"}
    assert text.count("<svg") >= 4
    assert "nonpositive_price: found open" in text
    assert "src=" not in text
    assert "http" not in text.replace("http://www.w3.org", "").replace("http://purl.org", "")


def test_coverage_counts_what_the_calendar_expects(home: Home, params: Params) -> None:
    """Forty sessions of S1 are missing, and the impossible bar of S0; every other symbol has all of its own."""
    found, _ = health.write(MARKET, home, params, Standing(NOW))
    missing = found.coverage.group_by("symbol").agg((pl.col("expected") - pl.col("present")).sum().alias("missing")).sort("symbol")

    assert missing.rows() == [("S0", 1), ("S1", 40), ("S2", 0)]


def test_a_source_that_has_stopped_is_named(home: Home, params: Params) -> None:
    """A week later nothing has come."""
    found, _ = health.write(MARKET, home, params, Standing(NOW + timedelta(days=7)))

    assert "the source has stopped, the newest bar is of 2024-06-28" in found.problems()[0]


def test_a_profile_is_learned_kept_and_used(home: Home, params: Params) -> None:
    """It leaves out the newest sessions, which it judges; the page names it."""
    told = health.learn(MARKET, None, home, params)
    found, path = health.write(MARKET, home, params, Standing(NOW))

    assert found.learned is not None
    assert found.learned.digest == told["digest"]
    assert told["known_at"] < "2024-06-05"
    assert str(told["digest"])[:12] in path.read_text(encoding="utf-8")
    assert len(found.unlikely) <= 2


def test_another_source_is_reconciled_and_shown(home: Home, params: Params, tmp_path: Path) -> None:
    """A file whose prices are halved before a day: the page says split_factor."""
    market = params.market(MARKET)
    bars = Store(home.store).bars(MARKET, "1d", symbols=["S2"])
    split = bars["opened_at"][300]
    early = pl.col("opened_at") < split
    other = bars.select(
        "symbol", pl.col("opened_at").alias("ts"), "volume",
        *(pl.when(early).then(pl.col(name) / 2).otherwise(name).alias(name) for name in ("open", "high", "low", "close")),
    )  # fmt: skip
    other.write_parquet(tmp_path / "other.parquet")

    found, kept = health.reconcile(tmp_path / "other.parquet", market, home, params, Standing(NOW))
    shown, path = health.write(MARKET, home, params, Standing(NOW))

    assert dict(found.summary.select("kind", "bars").iter_rows()) == {"split_factor": 300}
    assert found.steps.select("opened_at", "kind").rows() == [(split, "split_factor")]
    assert kept.exists()
    assert shown.reconciled is not None
    assert "split_factor" in path.read_text(encoding="utf-8")


def test_the_command_prints_one_object_and_fails_only_when_asked(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without --strict a problem is told and the exit is zero; with it the exit is one and the sentence is on standard error."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(home.root))
    monkeypatch.setenv("NIGHTSHIFT_PARAMETERS", str(ROOT / "params.yaml"))
    run = CliRunner()

    told = run.invoke(app, ["health", "--market", MARKET, "--json"])
    strict = run.invoke(app, ["health", "--market", MARKET, "--strict"])

    answer = json.loads(told.stdout)
    assert (told.exit_code, strict.exit_code) == (0, 1)
    assert answer["symbols"] == 3
    assert answer["holes"] == 1
    assert Path(answer["report"]).exists()
    assert "have holes in their history" in strict.stderr
    assert "coverage" in strict.stdout


def test_a_market_without_bars_says_how_to_get_some(params: Params, tmp_path: Path) -> None:
    """One sentence with the command."""
    with pytest.raises(NoData, match="nightshift import PATH --market us_equity"):
        health.write(MARKET, Home(tmp_path), params, Standing(NOW))
