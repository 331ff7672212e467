"""The `nightshift` command: every stop of the path as a word; a failure is one sentence and a non-zero exit."""

import errno
import functools
import getpass
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, ParamSpec

import typer

from domain import params as parameters
from domain.error import DiskFull, NightshiftError
from domain.params import Params
from flows import home as homes
from flows import screen
from flows.home import Home

P = ParamSpec("P")
FAILED, INTERRUPTED = 1, 130

app = typer.Typer(
    name="nightshift",
    help="Trades in the session. Learns after hours.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

DATE = typer.Option(formats=["%Y-%m-%d"], metavar="YYYY-MM-DD")
MarketOption = Annotated[str, typer.Option("--market", help="A market of params.yaml.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")]
VersionOption = Annotated[str, typer.Option("--version", help="A version's number, or champion, challenger, previous.")]
Since = Annotated[datetime, DATE]
Until = Annotated[datetime | None, DATE]


def command(step: Callable[P, None]) -> Callable[P, None]:
    """Make a function a command: telemetry off, and every failure that a person can act upon one sentence."""

    @functools.wraps(step)
    def guarded(*arguments: P.args, **named: P.kwargs) -> None:
        homes.quiet()
        try:
            step(*arguments, **named)
        except NightshiftError as problem:
            _fail(str(problem))
        except OSError as problem:
            if problem.errno not in {errno.ENOSPC, errno.EDQUOT}:
                raise
            _fail(
                str(
                    DiskFull(
                        f"the disk is full ({problem.filename}): free some space and run this again; nothing written before is lost"
                    )
                )
            )
        except KeyboardInterrupt:
            _fail("stopped by Ctrl-C; what was finished is kept: run the same command again", INTERRUPTED)

    app.command(step.__name__.removesuffix("_").replace("_", "-"))(guarded)
    return guarded


def _fail(sentence: str, code: int = FAILED) -> None:
    sys.stderr.write(f"nightshift: {sentence}\n")
    raise typer.Exit(code)


def _opened(market: str) -> tuple[Home, Params]:
    return homes.from_environment(), parameters.load(homes.parameters(), market)


@command
def demo(json: JsonOption = False, keep: Annotated[bool, typer.Option(help="Go on in the home as it is.")] = False) -> None:
    """Live two simulated markets through the whole loop."""
    from flows import demo as show

    show.run(homes.from_environment(), json, keep)


@command
def import_(path: Path, market: MarketOption, json: JsonOption = False) -> None:
    """Read bars from files, check them, keep what is possible."""
    from pipelines.data import ingest
    from pipelines.data.sources import files
    from pipelines.store import Store

    home, params = _opened(market)
    chosen = params.market(market)
    with screen.steps(2, quiet=json) as do:
        frame = do(f"reading {path.name}", files.read, path, chosen, params.store.publication_delay_s)
        done = do(
            "quality and store", ingest.ingest, frame, chosen, params, Store(home.store), source=path.name, docs=home.docs / market
        )
    screen.say(ingest.told(done), json, f"{path.name} into {market}")


@command
def ingest(market: MarketOption, until: Until = None, json: JsonOption = False) -> None:
    """Ask the market's source for what the store lacks."""
    from flows import prepare
    from flows.retrain import known_by

    home, params = _opened(market)
    with screen.steps(quiet=json) as do:
        done = do("asking the source", prepare.prepare, market, known_by(_day(until)), home, params)
    screen.say(done, json, market)


@command
def materialize(market: MarketOption, until: Until = None, json: JsonOption = False) -> None:
    """Freeze a market's bars and their features in files."""
    from flows import stages
    from flows.retrain import known_by

    home, params = _opened(market)
    job = stages.Job(home.root / "materialized" / market, home, params.market(market), params, known_by(_day(until)))
    with screen.steps(2, quiet=json) as do:
        taken = stages.materialized(job, do)
    screen.say({**taken, "folder": str(job.folder)}, json, market)


@command
def train(market: MarketOption, until: Until = None, json: JsonOption = False) -> None:
    """Train a challenger and let the gates decide."""
    from flows import retrain, stages

    home, params = _opened(market)
    with screen.steps(len(stages.STAGES) + 1, quiet=json) as do:
        concluded = retrain.retrain(market, _day(until), home, params, do)
    _say_gates(concluded.to_dict(), json)


@command
def learn(market: MarketOption, until: Until = None, json: JsonOption = False) -> None:
    """Work one night shift on what was known by a day."""
    from flows import learn as night

    home, params = _opened(market)
    with screen.steps(quiet=json) as do:
        told = night.night(market, _day(until), home, params, do)
    _say_gates(told, json)


@command
def evaluate(market: MarketOption, version: VersionOption = "champion", json: JsonOption = False) -> None:
    """Show what the registry knows of a version."""
    from pipelines.registry import Registry

    home, _ = _opened(market)
    registry = Registry(home.mlflow)
    chosen = registry.version(market, _which(version))
    screen.say({"version": chosen.number, **registry.metrics(chosen)}, json, f"{market}, version {chosen.number}")


@command
def promote(market: MarketOption, version: VersionOption, json: JsonOption = False) -> None:
    """Make a version that passed its gates champion."""
    from flows import retrain

    home, params = _opened(market)
    promoted = retrain.promote(market, _which(version), home, params)
    screen.say({"market": market, "champion": promoted.number}, json)


@command
def rollback(market: MarketOption, json: JsonOption = False) -> None:
    """Give the market back to its previous champion."""
    from flows import events
    from pipelines.registry import Registry

    home, _ = _opened(market)
    restored = Registry(home.mlflow).rollback(market, f"asked for by {getpass.getuser()}")
    events.promoted(market, restored.number, home)
    screen.say({"market": market, "champion": restored.number}, json)


@command
def simulate(
    market: MarketOption, since: Since, until: Until = None, version: VersionOption = "champion", json: JsonOption = False
) -> None:
    """Trade a version over stored bars in one call."""
    from flows import replay as replays

    home, params = _opened(market)
    asked = replays.stretch(market, since.date(), _day(until), _which(version), home, params)
    screen.say(replays.told(asked, replays.simulated(asked)), json, f"{market}, version {asked.version.number}, simulated")


@command
def replay(
    market: MarketOption, since: Since, until: Until = None, version: VersionOption = "champion", json: JsonOption = False
) -> None:
    """Live a version through stored bars, one at a time."""
    from flows import replay as replays

    home, params = _opened(market)
    asked = replays.stretch(market, since.date(), _day(until), _which(version), home, params)
    with screen.bars(f"replaying {market}", asked.bars, quiet=json) as progress:
        outcome = replays.replayed(asked, progress)
    answer = {**replays.told(asked, outcome), "journal": str(asked.folder)}
    screen.say(answer, json, f"{market}, version {asked.version.number}, replayed")


@command
def trade(market: MarketOption) -> None:
    """Trade the champion on paper until stopped."""
    from flows import trade as trading

    home, params = _opened(market)
    trading.run(market, home, params)


@command
def up(prefect_port: int = 4200, mlflow_port: int = 5000) -> None:
    """Start Prefect, MLflow and the deployments; Ctrl-C ends."""
    from flows import up as servers

    parameters.load(homes.parameters())
    servers.up(homes.from_environment(), servers.Ports(prefect_port, mlflow_port), typer.echo)


@command
def status(json: JsonOption = False) -> None:
    """Show every market: its bars and its champion."""
    from flows import status as standing

    home, params = homes.from_environment(), parameters.load(homes.parameters())
    rows = standing.markets(home, params)
    if json:
        screen.say({"home": str(home.root), "markets": rows}, json)
    else:
        screen.table(str(home.root), rows)


@command
def halt(market: MarketOption, reason: str = "asked for", json: JsonOption = False) -> None:
    """Close all positions and open nothing until `resume`."""
    _leave(market, "halt", reason, json)


@command
def resume(market: MarketOption, reason: str = "asked for", json: JsonOption = False) -> None:
    """Open the kill latch again."""
    _leave(market, "resume", reason, json)


@command
def verify(path: Annotated[Path | None, typer.Argument(help="A journal, or a folder of them; by default all of the home.")] = None,
           json: JsonOption = False) -> None:  # fmt: skip
    """Prove the chain of hashes of the journals."""
    from flows import status as standing

    proofs = standing.proofs(path if path is not None else homes.from_environment().root)
    if json:
        screen.say({"journals": proofs}, json)
    else:
        screen.table("every chain holds", proofs)


@command
def doctor(json: JsonOption = False) -> None:
    """Check parameters, home, disk and libraries."""
    from flows import status as standing

    findings = standing.findings(homes.from_environment())
    if json:
        screen.say({"findings": findings}, json)
    else:
        screen.table("doctor", findings)
    if not all(finding["well"] for finding in findings):
        raise typer.Exit(FAILED)


def _leave(market: str, word: str, reason: str, as_json: bool) -> None:
    from flows import trade as trading

    home, params = _opened(market)
    left = trading.command(params.market(market).name, home, "halt" if word == "halt" else "resume", getpass.getuser(), reason)
    screen.say({"market": market, "command": word, "left": str(left)}, as_json)


def _say_gates(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        screen.say(told, as_json)
        return
    if told["gates"]:
        verdict = "promoted" if told["promoted"] else "not promoted"
        screen.table(f"version {told['version']}: {verdict}", told["gates"])
    screen.say({name: value for name, value in told.items() if name not in {"gates", "markdown"}}, as_json)


def _day(at: datetime | None) -> Any:
    return None if at is None else at.date()


def _which(version: str) -> str | int:
    return int(version) if version.isdecimal() else version


def main() -> None:
    """Run the command line."""
    app()


if __name__ == "__main__":
    main()
