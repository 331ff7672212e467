"""Deployments: every flow of every market with its schedule and triggers, served by one process (`python -m flows.deployments`)."""

import threading
from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from domain import params as parameters
from domain.clock import SystemClock
from domain.market import Market
from domain.params import AccountParams, Params
from flows import events, timetable
from flows import home as homes
from flows.home import label

if TYPE_CHECKING:
    from prefect.automations import AutomationCore
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, FlowRun
    from prefect.deployments.runner import RunnerDeployment
    from prefect.events import DeploymentEventTrigger

#: Runs at a time beside the traders, which run all day.
RUNS_MAX = 2
ZOMBIES = "nightshift: crash runs whose heart stopped"
SILENCE_S = 120
REVIVED = "nightshift: begin traders again that died"
#: Seconds after which a trader that died is begun again: a fault that stays must not spin.
REVIVE_S = 15
WAIT_S = 0.5


def of(params: Params) -> list["RunnerDeployment"]:
    """Return six deployments a market, named after it: prepare, learn, retrain and trade; tune and admit wait to be asked.

    Beside them stands one for each account at a broker, under the name of its folder.
    """
    markets = [deployment for name in sorted(params.markets) for deployment in _of_market(params.market(name))]
    return markets + [_of_account(account, params) for account in params.accounts]


def _of_market(market: Market) -> list["RunnerDeployment"]:
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows import scheduled

    table = timetable.of(market)
    rows: list[tuple[Any, str | None]] = [
        (scheduled.prepare, table.prepare),
        (scheduled.learn, table.learn),
        (scheduled.retrain, table.retrain),
        (scheduled.trade, table.trade),
        (scheduled.tune, None),
        (scheduled.admit, None),
    ]
    asked = {"market": market.name}
    triggers = {
        "trade": [_on([market.name], "trade", market.name, asked, events.PROMOTED)],
        "admit": [_on([market.name], "admit", market.name, asked, events.PROMOTED, events.MOVED)],
    }
    return [
        flow.to_deployment(
            market.name,
            schedules=[Cron(cron, timezone=table.zone)] if cron is not None else [],
            parameters=asked,
            tags=["nightshift", market.name, market.asset_class.value],
            # An alias that is moved again, while the first move is looked at, must be looked at as well.
            concurrency_limit=_alone(waits=flow is scheduled.admit),
            entrypoint_type=EntrypointType.MODULE_PATH,
            triggers=triggers.get(flow.name, []),
        )
        for flow, cron in rows
    ]


def _of_account(account: AccountParams, params: Params) -> "RunnerDeployment":
    """Return the trader of an account at a broker: it gets up with each of its markets."""
    from prefect.schedules import Cron
    from prefect.types.entrypoint import EntrypointType

    from flows import scheduled

    name, tables = label(account.markets, account.broker), [timetable.of(params.market(market)) for market in account.markets]
    asked = account.model_dump(mode="json")
    trader: Any = scheduled.trade_at
    made: RunnerDeployment = trader.to_deployment(
        name,
        schedules=[Cron(cron, timezone=zone) for cron, zone in sorted({(table.trade, table.zone) for table in tables})],
        parameters=asked,
        tags=["nightshift", account.broker, *account.markets],
        concurrency_limit=_alone(),
        entrypoint_type=EntrypointType.MODULE_PATH,
        triggers=[_on(account.markets, "trade-at", name, asked, events.PROMOTED)],
    )
    return made


def _alone(*, waits: bool = False) -> "ConcurrencyLimitConfig":
    """Let one run at a time, and another one wait for its turn or be cancelled."""
    from prefect.client.schemas.objects import ConcurrencyLimitConfig, ConcurrencyLimitStrategy

    strategy = ConcurrencyLimitStrategy.ENQUEUE if waits else ConcurrencyLimitStrategy.CANCEL_NEW
    return ConcurrencyLimitConfig(limit=1, collision_strategy=strategy)


def _on(
    markets: Sequence[str], flow: str, deployment: str, asked: dict[str, Any], *expected: str
) -> "DeploymentEventTrigger":  # fmt: skip
    """Run a flow when a champion of its market appears; a trader that already runs swaps by itself and the new run is cancelled."""
    from prefect.events import DeploymentEventTrigger

    return DeploymentEventTrigger(
        name=f"{flow} {deployment} on promotion",
        expect=set(expected),
        match={"prefect.resource.id": [events.resource(market) for market in markets]},
        parameters=asked,
    )


def install_rules() -> None:
    """Let Prefect mark runs as crashed that died without a word, so that they give their one place back, and revive traders."""
    from prefect.client.orchestration import get_client

    with get_client(sync_client=True) as client:
        for rule in (_zombie_rule(), _revival_rule()):
            for known in client.read_automations_by_name(rule.name):
                client.delete_automation(known.id)
            client.create_automation(rule)


def _revival_rule() -> "AutomationCore":
    """Return the rule that begins a trader again whose run crashed; one that failed with a sentence would fail again."""
    from prefect.automations import AutomationCore
    from prefect.events.actions import RunDeployment
    from prefect.events.schemas.automations import EventTrigger, Posture

    return AutomationCore(
        name=REVIVED,
        trigger=EventTrigger(
            expect={"prefect.flow-run.Crashed"},
            match={"prefect.resource.id": "prefect.flow-run.*"},
            match_related={"prefect.resource.role": "flow", "prefect.resource.name": ["trade", "trade-at"]},
            posture=Posture.Reactive,
            threshold=1,
            within=timedelta(0),
        ),
        actions=[RunDeployment(source="inferred", schedule_after=timedelta(seconds=REVIVE_S))],
    )


def _zombie_rule() -> "AutomationCore":
    from prefect.automations import AutomationCore
    from prefect.client.schemas.objects import StateType
    from prefect.events.actions import ChangeFlowRunState
    from prefect.events.schemas.automations import EventTrigger, Posture

    beat = "prefect.flow-run.heartbeat"
    ends = {f"prefect.flow-run.{name}" for name in ("Completed", "Failed", "Cancelled", "Crashed")}
    return AutomationCore(
        name=ZOMBIES,
        trigger=EventTrigger(
            after={beat},
            expect={beat, *ends},
            match={"prefect.resource.id": ["prefect.flow-run.*"]},
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=SILENCE_S),
        ),
        actions=[ChangeFlowRunState(state=StateType.CRASHED, message="no heartbeat: the process is gone")],
    )


def cancel_runs(api: str, patience_s: float) -> int:
    """Cancel every run under way, wait until the runners obeyed or `patience_s` is over, and return how many there were."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    clock = SystemClock()
    deadline = clock.monotonic_ns() + int(patience_s * 1e9)
    with temporary_settings({PREFECT_API_URL: api}):
        cancelled = _cancel_running()
        while _under_way() and clock.monotonic_ns() < deadline:
            threading.Event().wait(WAIT_S)
    return cancelled


def _cancel_running() -> int:
    from prefect.client.orchestration import get_client
    from prefect.states import Cancelling

    runs = _under_way()
    with get_client(sync_client=True) as client:
        for run in runs:
            client.set_flow_run_state(run.id, Cancelling())
    return len(runs)


def _under_way() -> list["FlowRun"]:
    from prefect.client.orchestration import get_client
    from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
    from prefect.client.schemas.objects import StateType

    busy = FlowRunFilterStateType(any_=[StateType.PENDING, StateType.RUNNING, StateType.CANCELLING])
    with get_client(sync_client=True) as client:
        return client.read_flow_runs(flow_run_filter=FlowRunFilter(state=FlowRunFilterState(type=busy)))


def main() -> None:
    """Serve all deployments until a signal ends it; schedules stay as they are, so that a restart goes on."""
    from prefect import serve

    homes.quiet()
    install_rules()
    params = parameters.load(homes.parameters())
    traders = len(params.markets) + len(params.accounts)
    serve(*of(params), pause_on_shutdown=False, limit=traders + RUNS_MAX, print_starting_message=False)


if __name__ == "__main__":
    main()
