"""Deployments: what runs when is written down here, so that the automation cannot change silently."""

from pathlib import Path

import pytest
from prefect.deployments.runner import RunnerDeployment

from domain import params as parameters
from flows import deployments

ROOT = Path(__file__).parents[2]
NEW_YORK = "America/New_York"

#: market -> flow -> (cron, zone)
SCHEDULES: dict[str, dict[str, tuple[str, str]]] = {
    "us_equity": {
        "prepare": ("30 16 * * mon-fri", NEW_YORK),
        "learn": ("0 17 * * mon-fri", NEW_YORK),
        "retrain": ("0 6 * * sat", NEW_YORK),
        "trade": ("0 9 * * mon-fri", NEW_YORK),
    },
    "us_equity_5m": {
        "prepare": ("2 10-17 * * mon-fri", NEW_YORK),
        "learn": ("0 17 * * mon-fri", NEW_YORK),
        "retrain": ("0 6 * * sat", NEW_YORK),
        "trade": ("0 9 * * mon-fri", NEW_YORK),
    },
    "crypto": {
        "prepare": ("2 * * * *", "UTC"),
        "learn": ("10 4 * * *", "UTC"),
        "retrain": ("0 5 * * sat", "UTC"),
        "trade": ("5 0 * * *", "UTC"),
    },
    "fx": {
        "prepare": ("2 * * * mon-fri", NEW_YORK),
        "learn": ("15 17 * * mon-fri", NEW_YORK),
        "retrain": ("0 6 * * sat", NEW_YORK),
        "trade": ("5 18 * * sun-thu", NEW_YORK),
    },
}
SCHEDULES |= {"sim_equity": SCHEDULES["us_equity"], "sim_crypto": SCHEDULES["crypto"]}


@pytest.fixture(scope="module")
def made() -> list[RunnerDeployment]:
    """Return every deployment of the shipped parameters."""
    return deployments.of(parameters.load(ROOT / "params.yaml"))


def test_tuning_waits_to_be_asked(made: list[RunnerDeployment]) -> None:
    """One a market, without a schedule."""
    waiting = [each for each in made if not each.schedules]

    assert {(each.name, str(each.flow_name)) for each in waiting} == {(market, "tune") for market in SCHEDULES}


def test_every_market_has_its_four_flows_at_their_times(made: list[RunnerDeployment]) -> None:
    """Names, schedules and zones, all of them."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for each in (one for one in made if one.schedules):
        (schedule,) = (one.schedule for one in each.schedules or [])
        found.setdefault(each.name, {})[str(each.flow_name)] = (schedule.cron, schedule.timezone)  # type: ignore[union-attr]

    assert found == SCHEDULES


def test_every_deployment_names_its_market_and_runs_once_at_a_time(made: list[RunnerDeployment]) -> None:
    """A second run of the same flow and market is cancelled, not queued behind a trader that runs all day."""
    for each in made:
        assert each.parameters == {"market": each.name}
        assert {"nightshift", each.name} <= set(each.tags)
        assert each.concurrency_limit == 1
        assert each.concurrency_options is not None
        assert each.concurrency_options.collision_strategy == "CANCEL_NEW"


def test_a_promotion_wakes_the_trader_of_its_market_and_nothing_else(made: list[RunnerDeployment]) -> None:
    """The event, the resource that it must be about, and the parameters of the run."""
    woken = {each.name: each.triggers[0] for each in made if each.triggers}

    assert {each.flow_name for each in made if each.triggers} == {"trade"}
    assert set(woken) == set(SCHEDULES)
    for name, trigger in woken.items():
        assert trigger.expect == {"nightshift.model.promoted"}  # type: ignore[union-attr]
        assert trigger.match.root == {"prefect.resource.id": f"nightshift.model.{name}"}  # type: ignore[union-attr]
        assert trigger.parameters == {"market": name}
