"""Scheduled: prepare, retrain, learn and trade as Prefect flows: the functions of the command line, with retries and artifacts.

Prefect takes a second to import, and this is the only module that does so at its top: only the deployments may import it.
"""

import asyncio
from collections.abc import Callable, Mapping
from datetime import date
from pathlib import Path
from typing import Any

from prefect import flow, runtime, task
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun
from prefect.states import Completed
from prefect.tasks import Task

from domain import params as parameters
from domain.clock import SystemClock
from domain.decision import Mode
from domain.error import DeadlinePassed, DiskFull, NoChampion, ResourceError
from domain.params import Params
from flows import admit as admitting
from flows import health as page
from flows import home as homes
from flows import learn as learning
from flows import live, timetable
from flows import prepare as preparing
from flows import retrain as retraining
from flows import tidy as tidying
from flows import trade as trading
from flows import tune as searching
from flows.home import Broker, Home, label
from flows.stages import P, R
from pipelines.data import ingest
from pipelines.store import Store

RETRIES = 3
RETRY_DELAYS_S = [10.0, 60.0, 300.0]
JITTER = 0.5


def run_name() -> str:
    """Return a name that tells what a run is about: retrain-us_equity-2016-02-08."""
    asked = runtime.flow_run.parameters
    return f"{runtime.flow_run.flow_name}-{asked['market']}-{asked.get('until') or 'now'}"


def account_name() -> str:
    """Return a name that tells which account a run trades: trade-at-crypto+us_equity@alpaca."""
    asked = runtime.flow_run.parameters
    return f"{runtime.flow_run.flow_name}-{label(asked['markets'], asked['broker'])}"


@flow(name="prepare", flow_run_name=run_name)
def prepare(market: str, until: date | None = None) -> Any:
    """Bring new bars from the market's source through quality into the store."""
    home, params = _opened(market)
    if idle := _closed(market, params, until) or _unfed(market, home, params):
        return idle
    ingested = as_task("prepare", preparing.prepare, market, retraining.known_by(until), home, params)
    create_table_artifact([{"what": name, "found": str(found)} for name, found in ingested.items()], key=_key(market, "ingested"))
    _link(market, "data-docs", home.docs / market / "index.html")
    return Completed(message=f"{ingested.get('rows', 0)} new rows")


@flow(name="retrain", flow_run_name=run_name)
def retrain(market: str, until: date | None = None) -> Any:
    """Train a challenger from nothing and let the gates decide."""
    home, params = _opened(market)
    if idle := _unfed(market, home, params):
        return idle
    concluded = retraining.retrain(market, until, home, params, as_task).to_dict()
    _show_gates(market, concluded)
    return concluded


@flow(name="tune", flow_run_name=run_name)
def tune(
    market: str, family: str = "trees", trials: int = searching.TRIALS, minutes: float = 60.0, until: date | None = None
) -> Any:
    """Search a member's settings; what it finds goes into params.yaml by hand."""
    home, params = _opened(market)
    if idle := _unfed(market, home, params):
        return idle
    found = searching.tune(market, family, until, home, searching.asked(params, trials, minutes), as_task)
    create_markdown_artifact(f"```yaml\n{found['override']}```", key=_key(market, "tuned"), description=f"Settings of {family}")
    return found


@flow(name="learn", flow_run_name=run_name)
def learn(market: str, until: date | None = None) -> Any:
    """Run the night shift: new bars, drift, a plan, perhaps a challenger, and the gates, all before the market wakes."""
    home, params = _opened(market)
    if idle := _closed(market, params, until) or _unfed(market, home, params):
        return idle
    by = timetable.deadline(params.market(market), SystemClock().now()) if until is None else None
    night = learning.night(market, until, home, params, as_task, by)
    create_markdown_artifact(night.pop("markdown"), key=_key(market, "night"), description=f"What the night did to {market}")
    _show_gates(market, night)
    _link(market, "data-docs", home.docs / market / "index.html")
    _link(market, "data-health", as_task("health", page.nightly, market, retraining.known_by(until), home, params))
    as_task("tidy", tidying.tidy, home, params)
    return night


@flow(name="trade", flow_run_name=run_name)
def trade(market: str) -> Any:
    """Trade the market's champion on the paper account until cancelled; the champion is swapped between bars.

    A market whose gates have let nothing through yet has no trader: that is a result, and a promotion wakes this flow.
    """
    home, params = _opened(market)
    if idle := _unfed(market, home, params):
        return idle
    try:
        return asyncio.run(trading.trade(market, home, params))
    except NoChampion as nobody:
        return Completed(message=str(nobody))


@flow(name="trade-at", flow_run_name=account_name)
def trade_at(broker: Broker, markets: list[str], mode: Mode = Mode.AUTONOMOUS, answer_s: float = 300.0) -> Any:
    """Trade the champions of an account at a broker until cancelled; Alpaca's keys lie in the environment of `nightshift up`.

    Raises ConfigurationError for paper, where each market has a trader of its own, and what `live.run` raises. Money is never
    traded from here: `nightshift trade` asks for the number of such an account.
    """
    homes.quiet()
    home, params = homes.from_environment(), {market: parameters.load(homes.parameters(), market) for market in markets}
    for market, each in params.items():
        if idle := _unfed(market, home, each):
            return idle
    venue = live.venue(broker, markets, home)
    try:
        return live.run(venue, live.Driving(mode, answer_s), params, home)
    except NoChampion as nobody:
        return Completed(message=str(nobody))


@flow(name="admit", flow_run_name=run_name)
def admit(market: str) -> Any:
    """See that the market's champion is who the gates made champion; one that was put there by hand passes them or goes back."""
    home, params = _opened(market)
    told = as_task("admit", admitting.admit, market, home, params)
    if "refused" not in told:
        return told
    said = f"version {told['moved_to']} was moved by hand and goes back to {told['champion']}: {told['refused']}"
    create_markdown_artifact(said, key=_key(market, "refused"), description=f"A champion of {market} that no gate let in")
    return Completed(name="Refused", message=said)


def as_task(name: str, step: Callable[P, R], /, *arguments: P.args, **named: P.kwargs) -> R:
    """Call a step as a Prefect task; what may pass by itself (a network, a busy table) is tried again, later and later."""
    called: Task[P, R] = task(
        name=name,
        retries=RETRIES,
        retry_delay_seconds=RETRY_DELAYS_S,
        retry_jitter_factor=JITTER,
        retry_condition_fn=_passing,
        cache_policy=NO_CACHE,
        persist_result=False,
    )(step)
    return called(*arguments, **named)


def _passing(_task: Task[Any, Any], _run: TaskRun, state: State[Any]) -> bool:
    """Return whether a failure may pass by itself: a full disk, time that is over, wrong parameters or bad data do not."""
    try:
        state.result()
    except (DiskFull, DeadlinePassed):
        return False
    except (ResourceError, ConnectionError, TimeoutError):
        return True
    except Exception:
        return False
    return False


def _opened(market: str) -> tuple[Home, Params]:
    homes.quiet()
    return homes.from_environment(), parameters.load(homes.parameters(), market)


def _closed(market: str, params: Params, until: date | None) -> State[Any] | None:
    """Return a finished state on a day without session, which a cron line cannot know; an explicit `until` always runs."""
    chosen = params.market(market)
    if until is None and not timetable.is_session(chosen, SystemClock().now()):
        return Completed(message=f"{chosen.calendar} has no session today")
    return None


def _unfed(market: str, home: Home, params: Params) -> State[Any] | None:
    """Return a finished state while a market that is fed from files waits for its first import: no schedule can bring that."""
    chosen = params.market(market)
    said = ingest.lacking(chosen, Store(home.store)) if chosen.source == "files" else None
    return Completed(message=said) if said else None


def _show_gates(market: str, concluded: Mapping[str, Any]) -> None:
    rows = [
        {name: gate[name] for name in ("name", "found", "comparison", "limit", "passed", "note")} for gate in concluded["gates"]
    ]
    if rows:
        verdict = "promoted" if concluded["promoted"] else "not promoted"
        about = f"Version {concluded['version']} of {market}: {verdict}"
        create_table_artifact(concluded["gates"], key=_key(market, "gates"), description=about)


def _link(market: str, what: str, page: Path) -> None:
    if page.exists():
        create_link_artifact(page.as_uri(), key=_key(market, what), link_text=f"{what} of {market}")


def _key(market: str, what: str) -> str:
    return f"{market}-{what}".replace("_", "-")
