"""Shadow: a real challenger beside a real champion, what is said of both, and a champion that gives way."""

import json
import shutil
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from typer.testing import CliRunner

from domain.error import NoData
from flows import cli, shadow, trade
from flows.home import Home
from pipelines.execution import record
from pipelines.execution.accounts import JOURNAL
from pipelines.journal import Journal
from pipelines.registry import CHAMPION, PREVIOUS, Registry
from tests.flows.conftest import MARKET, Passed
from tests.flows.test_keys import champion, enthroned, rival
from tests.flows.test_trade import SINCE, facts, trade_until

#: Early enough that what is wrong with a record shows before the bars end.
LONG = date(2016, 6, 1)


def challenge(there: Passed, **changed: float) -> int:
    """Let another version wait at the gates, unsigned, and return its number."""
    champion(there)
    version, _ = rival(there, **changed)
    Registry(there.home.mlflow).challenge(MARKET, version.number)
    return version.number


def hasty(there: Passed) -> Passed:
    """Return the same home, whose traders judge a record after five bars."""
    serving = there.params.serving.model_copy(update={"judged_bars_min": 5})
    return Passed(there.home, there.params.model_copy(update={"serving": serving}), there.night)


def digest(home: Home) -> list[str]:
    """Return the orders of the account, each as its record says."""
    return [json.dumps(payload, sort_keys=True) for payload in facts(home, "intent")]


def test_a_challenger_is_scored_beside_the_champion_that_trades_as_if_alone(copied: Passed, tmp_path: Path) -> None:
    """An unsigned version is served beside: the same orders as without, two scores a bar, and a table of both."""
    alone = Passed(Home(tmp_path / "alone"), copied.params, copied.night)
    shutil.copytree(copied.home.root, alone.home.root)
    trade_until(alone, lambda: len(facts(alone.home, "bar")) >= 20, since=SINCE)
    number = challenge(copied, quantiles=[-3.0, -1.2, 0.0, 1.2, 3.0])
    trade_until(copied, lambda: len(facts(copied.home, "bar")) >= 20, since=SINCE)

    told = shadow.shadow(MARKET, copied.home, copied.params)

    bars = min(len(facts(home, "bar")) for home in (alone.home, copied.home))
    ours, theirs = digest(copied.home), digest(alone.home)
    assert bars >= 20
    assert ours[: len(theirs)] == theirs[: len(ours)]
    rows = {row["role"]: row for row in told["versions"]}
    assert (rows["champion"]["version"], rows["challenger"]["version"]) == ("1", str(number))
    scored = facts(copied.home, "score")
    for row in rows.values():
        mine = [each for each in scored if each["version"] == row["version"]]
        assert row["bars"] == len(mine) >= 10
        assert row["pinball"] == pytest.approx(np.mean([each["loss"] for each in mine]))
        assert row["skill"] == pytest.approx(1 - np.mean([e["loss"] for e in mine]) / np.mean([e["reference"] for e in mine]))
        assert row["covered"] == pytest.approx(np.mean([each["covered"] for each in mine]))
        assert row["broken"] is None
    # Wider ranges hold more.
    assert rows["challenger"]["covered"] > rows["champion"]["covered"] - 1e-9
    assert told["common_bars"] == rows["challenger"]["bars"]
    assert 0.0 <= told["challenger_p"] <= 1.0
    assert facts(copied.home, "alert") == []


def test_the_paired_test_is_a_t_test_where_outcomes_do_not_overlap(tmp_path: Path) -> None:
    """With a horizon of 0 bars there is nothing to correct for: SciPy's one-sided paired t test, on the bars in common."""
    rng = np.random.default_rng(3)
    first, second = rng.gamma(2.0, 0.01, 40), rng.gamma(1.6, 0.01, 40)
    scores = [
        [{"bar": bar, "loss": float(loss), "horizon": 0} for bar, loss in enumerate(losses)] for losses in (first, second[:30])
    ]

    found = shadow._paired(*scores)

    assert found["common_bars"] == 30
    expected = stats.ttest_rel(first[:30], second[:30], alternative="greater").pvalue
    assert found["challenger_p"] == pytest.approx(expected, rel=1e-9)


def test_the_command_prints_one_object_or_a_table(copied: Passed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both name the version; a market that has never traded is one sentence."""
    monkeypatch.setenv("NIGHTSHIFT_HOME", str(copied.home.root))
    with pytest.raises(NoData):
        shadow.shadow(MARKET, copied.home, copied.params)
    trade_until(copied, lambda: len(facts(copied.home, "bar")) >= 3, since=SINCE)

    spoken, printed = (CliRunner().invoke(cli.app, ["shadow", "--market", MARKET, *more]) for more in (["--json"], []))

    assert spoken.exit_code == printed.exit_code == 0
    (row,) = json.loads(spoken.stdout)["versions"]
    assert (row["role"], row["version"]) == ("champion", "1")
    assert "against_coverage" in printed.stdout


def test_a_champion_whose_record_breaks_its_bounds_gives_way_to_the_one_before(copied: Passed) -> None:
    """Ranges that hold nothing: an alert, a rollback with its reason, and the version before trades on."""
    champion(copied)
    enthroned(copied, quantiles=[-0.02, -0.01, 0.0, 0.01, 0.02])
    there = hasty(copied)

    trade_until(there, lambda: [each["version"] for each in facts(there.home, "model")] == ["2", "1"], since=LONG)

    registry = Registry(there.home.mlflow)
    standing = {alias: registry.version(MARKET, alias).number for alias in (CHAMPION, PREVIOUS)}
    assert standing == {CHAMPION: 1, PREVIOUS: 2}
    last = registry.promotions(MARKET)[-1]
    assert (last.kind, last.version, last.report) == ("rollback", 1, "its live record broke the bound on its coverage")
    assert facts(there.home, "alert")[0]["reason"] == "champion 2 broke the bound on its coverage in its live record"


def test_the_only_champion_stays_and_opens_nothing_new(copied: Passed) -> None:
    """There is nobody to give way to, which is said."""
    champion(copied)
    enthroned(copied, quantiles=[-0.02, -0.01, 0.0, 0.01, 0.02])
    Registry(copied.home.mlflow)._client().delete_registered_model_alias(f"nightshift-{MARKET}", PREVIOUS)
    there = hasty(copied)

    def told() -> bool:
        return any("no version before it keeps its bounds" in each["reason"] for each in facts(there.home, "alert"))

    trade_until(there, told, since=LONG)

    assert Registry(there.home.mlflow).version(MARKET, CHAMPION).number == 2
    with Journal.read_only(there.home.account(MARKET) / JOURNAL) as journal:
        live, _ = record.read(journal, MARKET, there.params.serving)
    assert live.broken == {"2": "coverage"}


def test_the_keeper_never_gives_back_to_a_version_that_broke_its_bounds(copied: Passed) -> None:
    """Nor when another champion has come meanwhile: that one is left where it is."""
    champion(copied)
    enthroned(copied)
    market = copied.params.market(MARKET)
    desk = trade.Desk.opened(market, copied.params, copied.home, copied.home.account(MARKET))
    registry = Registry(copied.home.mlflow)

    assert not desk.demote("2", "why", {"1", "2"})
    assert desk.demote("1", "why", {"1"})
    assert registry.version(MARKET, CHAMPION).number == 2
    assert desk.demote("2", "why", {"2"})
    assert registry.version(MARKET, CHAMPION).number == 1
    assert desk.challenger() is None
    registry.challenge(MARKET, 2)
    found = desk.challenger()
    assert found is not None
    assert found.version == "2"
    assert desk.challenger() is found
