"""The `nightshift` command: every stop of the path as a word; a failure is one sentence and a non-zero exit."""

import functools
import gc
import getpass
from collections.abc import Callable
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec

import typer

from domain.decision import Mode
from domain.order import TimeInForce
from flows import home as homes
from flows import screen, sentence
from flows.home import Broker, Home

if TYPE_CHECKING:
    from domain.params import Params

P = ParamSpec("P")

app = typer.Typer(
    name="nightshift",
    cls=sentence.Commands,
    help="Trades in the session. Learns after hours.",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


def _day(text: str) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(f"'{text}' is not a day such as 2016-06-30") from None


DAY = typer.Option(parser=_day, metavar="YYYY-MM-DD")
PORT = typer.Option(min=1, max=65535)
MarketOption = Annotated[str, typer.Option("--market", help="A market of params.yaml.")]
MarketsOption = Annotated[list[str], typer.Option("--market", help="A market of params.yaml; say it again for one more.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables; {error} where it fails.")]
BrokerOption = Annotated[Broker, typer.Option(help="Who holds the account.")]
SymbolOption = Annotated[str, typer.Option(help="Whose proposal it is.")]
VersionOption = Annotated[str, typer.Option("--version", help="A version's number, or champion, challenger, previous.")]
Day = Annotated[date, DAY]
AnyDay = Annotated[date | None, DAY]


def command(step: Callable[P, None]) -> Callable[P, None]:
    """Make a function a command: telemetry off, and every failure that a person can act upon one sentence."""

    @functools.wraps(step)
    def guarded(*arguments: P.args, **named: P.kwargs) -> None:
        homes.quiet()
        with sentence.told(as_json=bool(named.get("json"))):
            step(*arguments, **named)

    app.command(step.__name__.removesuffix("_").replace("_", "-"))(guarded)
    return guarded


def _opened(market: str) -> tuple[Home, "Params"]:
    from domain import params as parameters

    return homes.from_environment(), parameters.load(homes.parameters(), market)


def _all_opened(markets: list[str]) -> "tuple[Home, dict[str, Params]]":
    """Return the home, and the parameters of each market by its name."""
    from domain import params as parameters

    return homes.from_environment(), {market: parameters.load(homes.parameters(), market) for market in markets}


@command
def demo(json: JsonOption = False, keep: Annotated[bool, typer.Option(help="Go on in the home as it is.")] = False) -> None:
    """Live two simulated markets through the whole loop."""
    from flows import demo as show

    show.run(homes.from_environment(), json, keep)


@command
def import_(path: Path, market: MarketOption, json: JsonOption = False) -> None:
    """Read bars, ticks, actions or listings from files."""
    from pipelines.data import imports
    from pipelines.store import Store

    home, params = _opened(market)
    with screen.steps(quiet=json) as do:
        store, docs = Store(home.store), home.docs / market
        told = do(f"reading {path.name}", imports.bring, path, params.market(market), params, store, docs)
    screen.say(told, json, f"{path.name} into {market}")


@command
def import_news(
    path: Path, market: MarketOption,
    names: Annotated[Path | None, typer.Option(help="A CSV of symbol, name, aliases to link headlines by.")] = None,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Read headlines from a file, link and score them."""
    from flows import news

    home, params = _opened(market)
    with screen.steps(quiet=json) as do:
        told = do(f"reading {path.name}", news.headlines, path, market, home, params, names)
    screen.say(told, json, f"{path.name} into {market}")


@command
def import_macro(path: Path, json: JsonOption = False) -> None:
    """Read macro series, each known when it was published."""
    from domain import params as parameters
    from flows import news

    home, params = homes.from_environment(), parameters.load(homes.parameters())
    with screen.steps(quiet=json) as do:
        told = do(f"reading {path.name}", news.series, path, home, params)
    screen.say(told, json, path.name)


@command
def train_sentiment(paths: list[Path], folder: Annotated[Path, typer.Option(help="Where the reader is saved.")], seed: int = 7,
                    json: JsonOption = False) -> None:  # fmt: skip
    """Train a reader of headlines on labelled sentences."""
    from flows import news

    with screen.steps(quiet=json) as do:
        told = do("learning", news.train_reader, paths, folder, seed)
    screen.say(told, json, "sentiment")


@command
def ingest(market: MarketOption, since: AnyDay = None, until: AnyDay = None, json: JsonOption = False) -> None:
    """Ask the market's source for what the store lacks."""
    from flows import prepare
    from flows.retrain import known_by

    home, params = _opened(market)
    with screen.steps(quiet=json) as do:
        done = do("asking the source", prepare.prepare, market, known_by(until), home, params, prepare.first_moment(since))
    screen.say(done, json, market)


@command
def tidy(json: JsonOption = False) -> None:
    """Compact the store and let go of what is past retention."""
    from domain import params as parameters
    from flows import tidy as tidying

    home, params = homes.from_environment(), parameters.load(homes.parameters())
    with screen.steps(quiet=json) as do:
        done = do("compacting", tidying.tidy, home, params)
    screen.say(done, json, "tidy")


@command
def record(market: MarketOption, json: JsonOption = False) -> None:
    """Write the market's live source to the store until Ctrl-C."""
    from flows import record as recording

    home, params = _opened(market)
    with screen.steps(quiet=json) as do:
        stored = recording.record(market, home, params, lambda done: do.progress.update(do.task, description=recording.line(done)))
    screen.say(stored, json, f"{market}, recorded until it was stopped")


@command
def materialize(market: MarketOption, until: AnyDay = None, json: JsonOption = False) -> None:
    """Freeze a market's bars and their features in files."""
    from flows import stages
    from flows.retrain import known_by

    home, params = _opened(market)
    job = stages.Job(home.root / "materialized" / market, home, params.market(market), params, known_by(until))
    with screen.steps(2, quiet=json) as do:
        taken = stages.materialized(job, do)
    screen.say({**taken, "folder": str(job.folder)}, json, market)


@command
def train(market: MarketOption, until: AnyDay = None, json: JsonOption = False) -> None:
    """Train a challenger and let the gates decide."""
    from flows import retrain, stages

    home, params = _opened(market)
    with screen.steps(len(stages.STAGES) + 1, quiet=json) as do:
        concluded = retrain.retrain(market, until, home, params, do)
    _say_gates(concluded.to_dict(), json)


@command
def audit(
    market: MarketOption,
    family: Annotated[str, typer.Option(help="The member of the ensemble that is tried.")] = "trees",
    until: AnyDay = None,
    json: JsonOption = False,
) -> None:
    """Look for leaks: shuffled labels, delayed features, a poisoned future, and columns that know too much."""
    from flows import audit as auditing

    home, params = _opened(market)
    with screen.steps(quiet=json) as do:
        told = auditing.audit(market, family, until, home, params, do)
    if json:
        screen.say(told, json, market)
    else:
        screen.table(f"{family} on {market}: {told['bars']} bars of {told['symbols']} symbols", told["findings"])
    auditing.refuse(told)


@command
def tune(
    market: MarketOption,
    family: Annotated[str, typer.Option(help="The member of the ensemble to tune.")] = "trees",
    trials: Annotated[int | None, typer.Option(min=1, help="Trials in all, those of other processes included.")] = None,
    minutes: Annotated[float | None, typer.Option(min=0.1, help="After which no further trial is begun.")] = None,
    until: AnyDay = None,
    json: JsonOption = False,
) -> None:
    """Search a member's settings, a trial at a time; run it twice at once and both share the work."""
    from flows import tune as tuning

    home, params = _opened(market)
    params = tuning.asked(params, trials or params.training.search.trials or tuning.TRIALS, minutes)
    with screen.steps(quiet=json) as do:
        told = tuning.tune(market, family, until, home, params, do)
    screen.say(told, json, f"{family} of {market}")


@command
def learn(
    market: MarketOption, until: AnyDay = None,
    minutes: Annotated[float | None, typer.Option(min=0, help="End after that long; the next night goes on from there.")] = None,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Work one night shift on what was known by a day."""
    from domain.clock import SystemClock
    from flows import learn as night

    home, params = _opened(market)
    by = SystemClock().now() + timedelta(minutes=minutes) if minutes is not None else None
    with screen.steps(quiet=json) as do:
        told = night.night(market, until, home, params, do, by)
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
def reproduce(market: MarketOption, version: VersionOption = "champion", json: JsonOption = False) -> None:
    """Make a version again from its record, and compare the digests."""
    from flows import reproduce as making

    home, _ = _opened(market)
    with screen.steps(quiet=json) as do:
        told = making.reproduce(market, _which(version), home, do)
    screen.say(told, json, f"version {told['version']} of {market}")
    making.refuse(told)


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
    market: MarketOption, since: Day, until: AnyDay = None, version: VersionOption = "champion", json: JsonOption = False
) -> None:
    """Trade a version over stored bars in one call."""
    from flows import replay as replays

    home, params = _opened(market)
    asked = replays.stretch(market, since, until, _which(version), home, params)
    screen.say(replays.told(asked, replays.simulated(asked)), json, f"{market}, version {asked.version.number}, simulated")


@command
def replay(
    market: MarketOption, since: Day, until: AnyDay = None, version: VersionOption = "champion", json: JsonOption = False
) -> None:
    """Live a version through stored bars, one at a time."""
    from flows import replay as replays

    home, params = _opened(market)
    asked = replays.stretch(market, since, until, _which(version), home, params)
    with screen.bars(f"replaying {market}", asked.bars, quiet=json) as progress:
        outcome = replays.replayed(asked, progress)
    answer = {**replays.told(asked, outcome), "journal": str(asked.folder)}
    screen.say(answer, json, f"{market}, version {asked.version.number}, replayed")


@command
def trade(
    market: MarketsOption,
    broker: Annotated[Broker, typer.Option(help="Who holds the account.")] = Broker.PAPER,
    live_account: Annotated[str | None, typer.Option(help="Number of the account at Alpaca that holds money.")] = None,
    mode: Annotated[
        Mode, typer.Option(help="Who decides, at a broker: the model, a person it asks, or a person alone.")
    ] = Mode.AUTONOMOUS,
    answer_s: Annotated[float, typer.Option(min=1.0, help="Seconds that a person has to answer a proposal.")] = 300.0,
    json: JsonOption = False,
) -> None:
    """Trade champions until stopped: on paper, at `nightshift exchange`, or at Alpaca; several markets in one account there."""
    home, params = _all_opened(market)
    told = _traded(params, broker, live_account, (mode, answer_s), home)
    rows = told.pop("markets", [])
    if not json and rows:
        screen.table("markets", rows)
    screen.say({**told, "markets": rows} if json and rows else told, json, f"{' and '.join(params)}, until it was stopped")


@command
def order(
    market: MarketOption, broker: BrokerOption, symbol: Annotated[str, typer.Option(help="What to trade.")],
    quantity: Annotated[str, typer.Option(help="Units, negative to sell.", metavar="NUMBER")],
    limit: Annotated[float | None, typer.Option(help="Buy at no more, sell at no less.")] = None,
    stop: Annotated[float | None, typer.Option(help="Wait until the price is there.")] = None,
    force: Annotated[TimeInForce, typer.Option(help="How long it works.")] = TimeInForce.DAY,
    reason: str = "by hand", json: JsonOption = False,
) -> None:  # fmt: skip
    """Order by hand, through the gate of a running trader."""
    from flows import hand

    home, _ = _opened(market)
    wish = {"symbol": symbol, "quantity": str(_number(quantity)), "terms": hand.told(hand.terms(limit, stop, force))}
    screen.say(hand.ask(market, broker, home, "order", getpass.getuser(), reason, **wish), json, f"{market} at {broker}")


@command
def orders(market: MarketOption, broker: BrokerOption, json: JsonOption = False) -> None:
    """Show the open orders and proposals of an account."""
    from flows import hand

    home, _ = _opened(market)
    standing = hand.standing(market, broker, home)
    if json:
        screen.say({"market": market, "broker": broker, **standing}, json)
        return
    screen.table(f"open orders of {market} at {broker}: {len(standing['orders'])}", standing["orders"])
    screen.table(f"proposals: {len(standing['proposals'])}", standing["proposals"])


@command
def cancel(
    market: MarketOption, broker: BrokerOption, order: Annotated[str, typer.Option(help="As `nightshift orders` names it.")],
    reason: str = "by hand", json: JsonOption = False,
) -> None:  # fmt: skip
    """Have an open order cancelled by a running trader."""
    from flows import hand

    home, _ = _opened(market)
    screen.say(hand.ask(market, broker, home, "cancel", getpass.getuser(), reason, order=order), json, f"{market} at {broker}")


@command
def correct(market: MarketOption, broker: BrokerOption, reason: str = "by hand", json: JsonOption = False) -> None:
    """Let an account follow the broker where both are known to differ."""
    from flows import hand

    home, _ = _opened(market)
    screen.say(hand.ask(market, broker, home, "correct", getpass.getuser(), reason), json, f"{market} at {broker}")


@command
def accept(
    market: MarketOption, broker: BrokerOption, symbol: SymbolOption,
    quantity: Annotated[str | None, typer.Option(help="Another number of units, of the same sign.", metavar="NUMBER")] = None,
    reason: str = "by hand", json: JsonOption = False,
) -> None:  # fmt: skip
    """Send what a running trader proposes for a symbol."""
    from flows import hand

    home, _ = _opened(market)
    name, proposed = hand.proposal(symbol, market, broker, home)
    wish = {"proposal": name, "quantity": str(proposed if quantity is None else _number(quantity))}
    screen.say(hand.ask(market, broker, home, "accept", getpass.getuser(), reason, **wish), json, f"{market} at {broker}")


@command
def reject(
    market: MarketOption, broker: BrokerOption, symbol: SymbolOption, reason: str = "by hand", json: JsonOption = False
) -> None:
    """Let go what a running trader proposes for a symbol."""
    from flows import hand

    home, _ = _opened(market)
    name, _ = hand.proposal(symbol, market, broker, home)
    screen.say(hand.ask(market, broker, home, "reject", getpass.getuser(), reason, proposal=name), json, f"{market} at {broker}")


@command
def exchange(
    market: MarketsOption, since: AnyDay = None,
    pace_s: Annotated[float, typer.Option(min=0.0, help="Seconds from bar to bar.")] = 1.0,
    host: str = "127.0.0.1", port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any that is free.")] = 8787,
    abroad: Annotated[bool, typer.Option(help="Listen where others can reach it, too.")] = False,
    rate_limit: Annotated[int, typer.Option(min=0, help="Requests a minute, as Alpaca's 200; 0 for no limit.")] = 0,
    fee_in_coin: Annotated[bool, typer.Option(help="Take the fee of a purchase of crypto of what was bought.")] = False,
    json: JsonOption = False,
) -> None:  # fmt: skip
    """Serve a paper exchange that speaks Alpaca's protocols, living through stored bars, until stopped."""
    from flows import exchange as venue

    home, params = _all_opened(market)
    wish, named = venue.Wish(since, pace_s, host, port, abroad, rate_limit, fee_in_coin), " and ".join(params)
    told = venue.serve(wish, home, params, lambda where: screen.say(where, json, f"open: {named}"))
    screen.say(told, json, f"{named}, until it was stopped")


@command
def shadow(market: MarketOption, json: JsonOption = False) -> None:
    """Show the live record, champion beside challenger."""
    from flows import shadow as live

    home, params = _opened(market)
    told = live.shadow(market, home, params)
    if not json:
        screen.beside(f"live record of {market}", told["versions"])
    screen.say(told, json)


@command
def up(prefect_port: Annotated[int, PORT] = 4200, mlflow_port: Annotated[int, PORT] = 5000,
       webhook_port: Annotated[int, PORT] = 4300, json: JsonOption = False) -> None:  # fmt: skip
    """Start Prefect, MLflow and the deployments; Ctrl-C ends."""
    from domain import params as parameters
    from flows import up as servers

    parameters.load(homes.parameters())
    ports = servers.Ports(prefect_port, mlflow_port, webhook_port)
    servers.up(homes.from_environment(), ports, lambda standing: screen.say(standing, json, "up, until Ctrl-C"))


@command
def health(
    market: MarketOption, json: JsonOption = False,
    strict: Annotated[bool, typer.Option("--strict", help="Fail when something is to be looked at.")] = False,
) -> None:  # fmt: skip
    """Report on a market's data: whole, fresh, sound, unchanged."""
    from flows import health as page
    from pipelines.data import health as data

    home, params = _opened(market)
    with screen.steps(1, quiet=json) as do:
        found, path = do("looking at the data", page.write, market, home, params)
    if json:
        screen.say({**data.answer(found), "report": str(path)}, json)
    else:
        screen.table(f"{market}: {path}", page.rows(found))
    if strict and found.problems():
        sentence.tell(f"the data of {market} was to be well, but: {'; '.join(found.problems())}", as_json=False)
        raise typer.Exit(sentence.FAILED)


@command
def profile(market: MarketOption, until: AnyDay = None, json: JsonOption = False) -> None:
    """Learn what is usual in a market from its history."""
    from flows import health as page
    from flows.retrain import known_by

    home, params = _opened(market)
    screen.say(page.learn(market, known_by(until), home, params), json, f"{market}, profile")


@command
def reconcile(path: Path, market: MarketOption, json: JsonOption = False) -> None:
    """Compare the stored bars with a file of another source."""
    from flows import health as page

    home, params = _opened(market)
    found, kept = page.reconcile(path, params.market(market), home, params)
    if json:
        screen.say({"kinds": found.summary.to_dicts(), "symbols": found.symbols.to_dicts(), "kept": str(kept)}, json)
    else:
        screen.table(f"{market} with {path.name}: {kept}", found.summary.to_dicts())


@command
def status(json: JsonOption = False) -> None:
    """Show every market, every trader, and the key that signs."""
    from domain import params as parameters
    from flows import status as standing
    from flows import vitals

    home, params = homes.from_environment(), parameters.load(homes.parameters())
    rows, signer = standing.markets(home, params), standing.signing(home)["found"]
    accounts = vitals.traders(home)
    if json:
        screen.say({"home": str(home.root), "signing_key": signer, "markets": rows, "traders": accounts}, json)
        return
    screen.table(f"{home.root}, signing key {signer}", rows)
    if accounts:
        screen.table("accounts, and who trades them now", accounts)


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
    unwell = [f"{finding['check']} ({finding['found']})" for finding in findings if not finding["well"]]
    if unwell:
        sentence.tell(f"doctor was asked whether all is well and found otherwise: {', '.join(unwell)}", as_json=False)
        raise typer.Exit(sentence.FAILED)


def _number(text: str) -> Decimal:
    try:
        return Decimal(text)
    except ArithmeticError:
        raise typer.BadParameter(f"'{text}' is no number such as 12.5 or -3") from None


def _traded(
    params: "dict[str, Params]", broker: Broker, live_account: str | None, driven: tuple[Mode, float], home: Home
) -> dict[str, Any]:  # fmt: skip
    from domain.error import ConfigurationError
    from flows import live, trade

    if live_account is not None and broker is not Broker.ALPACA:
        raise ConfigurationError(f"account {live_account} was asked for at broker '{broker}': accounts with money are at alpaca")
    if broker is Broker.PAPER:
        if driven[0] is not Mode.AUTONOMOUS:
            raise ConfigurationError(f"mode {driven[0]} was asked for on the paper account, which trades by itself: name a broker")
        if len(params) == 1:
            (market, settings), *_ = params.items()
            return trade.run(market, home, settings)
    if live_account is None:
        return live.run(live.venue(broker, list(params), home), live.Driving(*driven), params, home)
    typed = typer.prompt("This trades with money. Type the account's number to go on", err=True)
    return live.run(live.alpaca(live_account, typed), live.Driving(*driven), params, home)


def _leave(market: str, word: str, reason: str, as_json: bool) -> None:
    from flows import trade as trading

    home, params = _opened(market)
    left = trading.command(params.market(market).name, home, "halt" if word == "halt" else "resume", getpass.getuser(), reason)
    screen.say({"market": market, "command": word, "left": [str(path) for path in left]}, as_json)


def _say_gates(told: dict[str, Any], as_json: bool) -> None:
    if as_json:
        screen.say(told, as_json)
        return
    if told["gates"]:
        verdict = "promoted" if told["promoted"] else "not promoted"
        screen.table(f"version {told['version']}: {verdict}", [_gate(row) for row in told["gates"]])
    screen.say({name: value for name, value in told.items() if name not in {"gates", "markdown"}}, as_json)


def _gate(row: dict[str, Any]) -> dict[str, Any]:
    limit = f"{row['comparison']} {screen.shown(float(row['limit']))}"
    return {"gate": row["name"], "found": row["found"], "must be": limit, "passed": row["passed"], "what it asks": row["note"]}


def _which(version: str) -> str | int:
    return int(version) if version.isdecimal() else version


def main() -> None:
    """Run the command line."""
    try:
        app()
    except KeyboardInterrupt:  # before typer was ready to say so
        sentence.tell(sentence.STOPPED, as_json=False)
        raise SystemExit(sentence.INTERRUPTED) from None
    finally:
        # Leaving, Python would look through every object of every library for garbage: seconds after a long command.
        gc.freeze()


if __name__ == "__main__":
    main()
