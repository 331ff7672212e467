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


def test_tuning_and_admitting_wait_to_be_asked(made: list[RunnerDeployment]) -> None:
    """One of each a market, without a schedule."""
    waiting = [each for each in made if not each.schedules]

    assert {(each.name, str(each.flow_name)) for each in waiting} == {
        (market, flow) for market in SCHEDULES for flow in ("tune", "admit")
    }


def test_every_market_has_its_four_flows_at_their_times(made: list[RunnerDeployment]) -> None:
    """Names, schedules and zones, all of them."""
    found: dict[str, dict[str, tuple[str, str]]] = {}
    for each in (one for one in made if one.schedules):
        (schedule,) = (one.schedule for one in each.schedules or [])
        found.setdefault(each.name, {})[str(each.flow_name)] = (schedule.cron, schedule.timezone)  # type: ignore[union-attr]

    assert found == SCHEDULES


def test_every_deployment_names_its_market_and_runs_once_at_a_time(made: list[RunnerDeployment]) -> None:
    """A second run is cancelled, not queued behind a trader that runs all day; an alias that moves again is looked at again."""
    for each in made:
        assert each.parameters == {"market": each.name}
        assert {"nightshift", each.name} <= set(each.tags)
        assert each.concurrency_limit == 1
        assert each.concurrency_options is not None
        expected = "ENQUEUE" if each.flow_name == "admit" else "CANCEL_NEW"
        assert each.concurrency_options.collision_strategy == expected


@pytest.mark.parametrize(
    ("flow", "heard"),
    [("trade", {"nightshift.model.promoted"}), ("admit", {"nightshift.model.promoted", "nightshift.model.moved"})],
)
def test_a_promotion_wakes_the_trader_of_its_market_and_whoever_admits(
    made: list[RunnerDeployment], flow: str, heard: set[str]
) -> None:
    """The events, the resource that they must be about, and the parameters of the run."""
    woken = {each.name: each.triggers[0] for each in made if each.flow_name == flow}

    assert {each.flow_name for each in made if each.triggers} == {"trade", "admit"}
    assert set(woken) == set(SCHEDULES)
    for name, trigger in woken.items():
        assert trigger.expect == heard  # type: ignore[union-attr]
        assert trigger.match.root == {"prefect.resource.id": [f"nightshift.model.{name}"]}  # type: ignore[union-attr]
        assert trigger.parameters == {"market": name}


def test_an_account_at_a_broker_has_a_trader_that_gets_up_with_each_of_its_markets() -> None:
    """One deployment under the account's name, told everything that params.yaml says of it, woken by any of its promotions."""
    account = {"broker": "alpaca", "markets": ["us_equity", "crypto"], "mode": "assisted", "answer_s": 60.0}
    shipped = parameters.load(ROOT / "params.yaml").model_dump(mode="json")
    (made,) = (
        each for each in deployments.of(parameters.check({**shipped, "accounts": [account]})) if each.flow_name == "trade-at"
    )

    assert made.name == "crypto+us_equity@alpaca"
    assert made.parameters == account
    assert [(each.schedule.cron, each.schedule.timezone) for each in made.schedules or []] == [  # type: ignore[union-attr]
        SCHEDULES["us_equity"]["trade"], SCHEDULES["crypto"]["trade"]
    ]  # fmt: skip
    assert made.concurrency_options is not None
    assert (made.concurrency_limit, made.concurrency_options.collision_strategy) == (1, "CANCEL_NEW")
    (trigger,) = made.triggers
    assert trigger.match.root == {"prefect.resource.id": ["nightshift.model.us_equity", "nightshift.model.crypto"]}  # type: ignore[union-attr]
    assert trigger.parameters == account
