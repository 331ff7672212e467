"""Trade: the paper trader of one market as a plain asyncio program (`python -m flows.trade --market M`), until it is told to stop.

It loads the champion, warms up on what the store holds, and lives through every bar that the store learns of. Between two bars it
looks whether another champion stands. Neither Prefect nor MLflow need be up: without them it goes on with the bundle it has.
"""

import argparse
import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any, Self

import numpy as np

from domain import clock
from domain import panel as panels
from domain import params as parameters
from domain.clock import SystemClock
from domain.error import ModelError, NightshiftError, NoData, ResourceError
from domain.factors import Factors
from domain.market import Market
from domain.panel import Panel
from domain.params import Params
from features.feature import Feature
from flows import evidence, keys, vitals
from flows import home as homes
from flows.home import Home
from flows.vitals import Sign
from models import signature
from pipelines.data import covariates, materialize
from pipelines.data.covariates import Wanted
from pipelines.data.reading import Following
from pipelines.execution import accounts, commands, serving
from pipelines.execution.accounts import JOURNAL
from pipelines.execution.commands import Word
from pipelines.execution.loop import Loop
from pipelines.execution.serving import Served
from pipelines.execution.watch import Watch
from pipelines.journal import Journal
from pipelines.registry import CHALLENGER, CHAMPION, PREVIOUS, Registry, Version
from pipelines.store import Store

#: Seconds between two looks at the store.
POLL_S = 2.0
#: Beside the fetched bundles: which of them was the champion when the registry was last asked.
STANDING = "champion.json"

log = logging.getLogger("nightshift.trade")


@dataclass
class Desk:
    """What one trader works with: where bars and models come from, and the model that is served now."""

    market: Market
    params: Params
    home: Home
    store: Store
    registry: Registry
    symbols: tuple[str, ...]
    served: Served
    following: Following
    laid: Factors
    """What lies on the newest bars that were handed on."""
    challenging: tuple[int, Served | ModelError] | None = None
    """The challenger asked about last: ready to be served, or why it must not be."""

    @classmethod
    def opened(cls, market: Market, params: Params, home: Home, folder: Path) -> Self:
        """Return the desk of a market, for the account in `folder`, with its champion; raise NoChampion or NoData for none.

        Where the champion is refused the one served last stays; the first bar asks for the champion again, and its alert says why.
        """
        store, registry = Store(home.store), Registry(home.mlflow)
        try:
            served = champion(market, params, home, registry)
        except ModelError as refused:
            served = _stayed(market, params, home, registry, refused)
        symbols = _symbols(market, folder, store)
        laid = Factors.blank(len(symbols))
        return cls(market, params, home, store, registry, symbols, served, Following(store, market, symbols), laid)

    def successor(self, bar: Panel) -> tuple[Served, Panel] | None:
        """Return another champion, if one stands now, and the bars before this one; trouble in asking for it changes nothing.

        Raises ModelError for one that may not be served.
        """
        try:
            standing = self.registry.version(self.market.name, CHAMPION)
            if str(standing.number) == self.served.version:
                return None
            self.served = champion(self.market, self.params, self.home, self.registry)
        except ResourceError as problem:
            log.warning("version %s goes on trading %s: %s", self.served.version, self.market.name, problem)
            return None
        log.info("version %s takes over %s", self.served.version, self.market.name)
        history, blank = self.bars(), Factors.blank(len(self.symbols))
        row = int(np.searchsorted(history.event_at, bar.event_at[0]))
        there = blank.after(history.rows(0, row + 1))
        return self.served, there.after(bar).beneath(history.rows(0, row), there)

    def challenger(self) -> Served | None:
        """Return the version that waits at the gates, verified but for a signature, since it never trades; None without one."""
        try:
            version = self.registry.version(self.market.name, CHALLENGER)
        except ModelError:
            return None
        if self.challenging is None or self.challenging[0] != version.number:
            self.challenging = version.number, self._verified(version)
        found = self.challenging[1]
        if isinstance(found, ModelError):
            raise found
        return found

    def demote(self, version: str, reason: str, broken: Collection[str]) -> bool:
        """Give the market back to the version before, unless that is among the broken; return whether another one stands now."""
        market = self.market.name
        try:
            if str(self.registry.version(market, CHAMPION).number) != version:
                return True
            if str(self.registry.version(market, PREVIOUS).number) in broken:
                return False
            restored = self.registry.rollback(market, reason, of=int(version))
        except ModelError as problem:
            log.warning("version %s of %s cannot be demoted: %s", version, market, problem)
            return False
        log.warning("version %s of %s is demoted, version %d stands: %s", version, market, restored.number, reason)
        return True

    def bars(self) -> Panel:
        """Return all bars of the account's symbols; raise NoData when there are none."""
        return self.history(self.served)

    def history(self, served: Served) -> Panel:
        """Return all bars of the account's symbols with what a version reads; raise NoData when there are none."""
        return self._joined(materialize.read(self.store, self.market, symbols=self.symbols), served.features)

    def bring(self, served: Served, bar: Panel, after: np.datetime64) -> Panel:
        """Return one more bar with what a version reads; `after` is the close of the bar before it."""
        lacks = not Wanted.by(self.params, served.features).names <= set(bar.covariates)
        return self._joined(bar, served.features, after) if lacks else bar

    def news(self, after: np.datetime64 | None) -> Panel:
        """Return the bars that the store has learnt of and that closed after a moment, possibly none."""
        panel = panels.from_bars(self.following.news(), self.market.name, self.market.timeframe, self.symbols)
        first = 0 if after is None else int(np.searchsorted(panel.event_at, after, side="right"))
        there = self.laid.after(panel.rows(0, first))
        news = self.laid.beneath(panel.rows(first, panel.bars), there)
        self.laid = self.laid.after(news)
        return self._joined(news, self.served.features, after)

    def _verified(self, version: Version) -> Served | ModelError:
        try:
            return serve(evidence.fetched(self.registry, version, self.home), str(version.number), self.market, self.params)
        except ModelError as refused:
            return refused

    def _joined(self, panel: Panel, features: Sequence[Feature], after: np.datetime64 | None = None) -> Panel:
        return covariates.joined(self.store, self.market, panel, Wanted.by(self.params, features), after)


@dataclass(frozen=True)
class Standing:
    """The champion that was served last."""

    version: str
    run_id: str
    promotion: int
    """Number of the promotion that made it champion; 0 where none was noted yet."""

    @classmethod
    def read(cls, path: Path) -> Self | None:
        """Return what `write` noted, None before the first; raise ModelError where it cannot be read."""
        if not path.exists():
            return None
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            return cls(str(told["version"]), str(told["run_id"]), int(told.get("promotion", 0)))
        except (ValueError, KeyError, TypeError):
            raise ModelError(
                f"the champion served last was asked from {path}, but none can be read there: remove it to serve any promotion"
            ) from None

    def write(self, path: Path) -> None:
        """Note it; whoever is killed meanwhile leaves the note before."""
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")
        partial.replace(path)


def champion(market: Market, params: Params, home: Home, registry: Registry) -> Served:
    """Return the champion ready to be served; when the registry cannot be reached, the one that stood when it last could.

    Raises NoChampion where there is none, CorruptBundle for one that no trusted key vouches for, ModelError for one that the gates
    did not promote or that is older than what was served here before.
    """
    path = home.models / market.name / STANDING
    last = Standing.read(path)
    try:
        version = registry.version(market.name, CHAMPION)
        standing = Standing(str(version.number), version.run_id, _promotion(version, last))
        evidence.fetched_signed(registry, version, home)
    except ResourceError:
        if last is None:
            raise
        return _vouched(last, market, params, home)
    served = _vouched(standing, market, params, home)
    if standing != last:
        standing.write(path)
    return served


def _stayed(market: Market, params: Params, home: Home, registry: Registry, refused: ModelError) -> Served:
    """Return the model served last where another one was refused as champion; raise the refusal where there is no other."""
    last = Standing.read(home.models / market.name / STANDING)
    if last is None:
        raise refused
    served = _vouched(last, market, params, home)
    if last.version == str(registry.version(market.name, CHAMPION).number):
        raise refused
    log.warning("version %s goes on trading %s: %s", last.version, market.name, refused)
    return served


def _promotion(version: Version, last: Standing | None) -> int:
    """Return the number of the promotion that made a version champion; refuse one moved by hand, or older than one served here."""
    made = version.promotion
    asked = f"version {version.number} of market '{version.market}' is the champion"
    if made is None or made.version != version.number:
        raise ModelError(f"{asked}, but no gate promoted it: move aliases with `nightshift promote`, which asks the gates")
    if last is not None and made.number < last.promotion:
        raise ModelError(
            f"{asked} by promotion {made.number}, but promotion {last.promotion} has been served here: promote it anew"
        )
    return made.number


def _vouched(standing: Standing, market: Market, params: Params, home: Home) -> Served:
    """Return a fetched champion ready to be served, once a trusted key vouches for it."""
    folder = home.models / market.name / standing.run_id
    signature.verified(folder, keys.trusted(home))
    return serve(folder, standing.version, market, params)


def serve(folder: Path, number: str, market: Market, params: Params) -> Served:
    """Return a fetched bundle verified and ready to be served, as params.yaml wants it."""
    limits = params.serving
    return serving.load(
        folder, version=number, tolerance=limits.golden_tolerance, market=market, age_bars_max=limits.age_bars_max,
        fed_by=params.fed_by(market.name),
    )  # fmt: skip


def command(market: str, home: Home, word: Word, actor: str, reason: str) -> list[Path]:
    """Leave `halt` or `resume` for every trader of a market: the paper account's, and those of brokers that it was traded at."""
    folders = dict.fromkeys([home.account(market), *home.accounts(market)])
    at_ns = clock.nanoseconds(SystemClock().now())
    return [commands.leave(folder, word, actor, reason, at_ns) for folder in folders]


async def trade(
    market: str, home: Home, params: Params, *, since: date | None = None, pace_s: float = 0.0, stop: asyncio.Event | None = None
) -> dict[str, Any]:
    """Trade until `stop` is set and return what the account came to.

    A new account starts with the first bar after all that is stored, or with the bars from `since` on, one each `pace_s` seconds;
    an old one goes on after the last bar that it lived through. Raises NoChampion, NoData, LeaseTaken and the like.
    """
    stop = stop or asyncio.Event()
    chosen, folder = params.market(market), home.account(market)
    desk = Desk.opened(chosen, params, home, folder)
    watch = Watch(desk, params.serving)
    with Loop(chosen, params, desk.served, desk.symbols, folder, SystemClock(), successor=desk.successor, watch=watch) as live:
        seen, history = desk.store.version("bars"), desk.bars()
        start = _start(history, live.cursor, since)
        live.recover(history.rows(0, start))
        log.info("version %s trades %s: %d symbols, %d bars seen", desk.served.version, market, len(desk.symbols), start)
        async with vitals.kept(folder, lambda at: Sign(at, True, _iso(live.cursor), {market: live.version})):
            async for bar in feed(desk, seen, history, start, pace_s, stop):
                live.on_bar(bar)
        return {"market": market, "version": desk.served.version, "last": _iso(live.cursor)}


def _iso(at: np.datetime64 | None) -> str | None:
    return None if at is None else str(at)


async def feed(desk: Desk, seen: int, history: Panel, start: int, pace_s: float, stop: asyncio.Event) -> AsyncIterator[Panel]:
    """Yield the bars that wait, then each that the store learns of, one row at a time, until `stop`."""
    waiting, newest = history.rows(start, history.bars), history.event_at[start - 1] if start else None
    desk.laid = desk.laid.after(history)
    while not stop.is_set():
        for bar in waiting.each():
            yield bar
            newest = bar.event_at[0]
            if await _stopped(stop, pace_s):
                return
        while not await _stopped(stop, POLL_S) and desk.store.version("bars") == seen:
            pass
        seen, waiting = desk.store.version("bars"), desk.news(newest)


async def _stopped(stop: asyncio.Event, wait_s: float) -> bool:
    """Wait and return whether it is time to stop; a wait of 0 only lets others have their turn."""
    try:
        await asyncio.wait_for(stop.wait(), max(wait_s, 1e-4))
    except TimeoutError:
        return False
    return True


def _start(history: Panel, cursor: np.datetime64 | None, since: date | None) -> int:
    """Return the row of the first bar to live through."""
    if cursor is not None:
        return int(np.searchsorted(history.event_at, cursor, side="right"))
    return history.bars if since is None else int(np.searchsorted(history.event_at, np.datetime64(since, "us")))


def _symbols(market: Market, folder: Path, store: Store) -> tuple[str, ...]:
    """Return what the account trades: what it was opened with, or every symbol stored now."""
    try:
        with Journal.read_only(folder / JOURNAL) as journal:
            opened = accounts.opened_on(journal)
    except NoData:
        opened = None
    return materialize.read(store, market).symbols if opened is None else accounts.symbols(opened, market.name, folder)


def run(market: str, home: Home, params: Params, *, since: date | None = None, pace_s: float = 0.0) -> dict[str, Any]:
    """Trade until SIGINT or SIGTERM: the bar under way is finished, then the account is let go."""
    return asyncio.run(guarded(lambda stop: trade(market, home, params, since=since, pace_s=pace_s, stop=stop)))


async def guarded(trading: Callable[[asyncio.Event], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """Trade until SIGINT or SIGTERM sets the event that `trading` is handed."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    return await trading(stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the trader from the command line of a supervisor."""
    parser = argparse.ArgumentParser(prog="python -m flows.trade", description="Trade a market's champion on its paper account.")
    parser.add_argument("--market", required=True)
    parser.add_argument(
        "--since", type=date.fromisoformat, help="first day that a new account lives through; by default it waits for news"
    )
    parser.add_argument("--pace-s", type=float, default=0.0, help="seconds between bars that are stored already")
    asked = parser.parse_args(arguments)
    homes.quiet()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    try:
        params = parameters.load(homes.parameters(), asked.market)
        told = run(asked.market, homes.from_environment(), params, since=asked.since, pace_s=asked.pace_s)
    except NightshiftError as problem:
        sys.stderr.write(f"nightshift: {problem}\n")
        return 1
    sys.stdout.write(json.dumps(told) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
