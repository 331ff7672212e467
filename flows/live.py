"""Live: the champions of one market or several at a broker behind a wire: Alpaca, or `nightshift exchange`, which speaks its words.

The account is the broker's. It is begun with the cash that it holds, and is from then on what its journal says.
"""

import asyncio
import gc
import json
import logging
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple, Self

import httpx
import numpy as np

from domain import clock
from domain.clock import Clock, SystemClock
from domain.decision import Mode
from domain.error import ConfigurationError, ResourceError
from domain.factors import Factors
from domain.panel import Panel
from domain.params import Params
from flows import exchange, lineage, trade, vitals
from flows.home import PROJECT, Broker, Home
from flows.trade import Desk
from flows.vitals import Sign
from pipelines.execution import accounts, orders, thinking
from pipelines.execution.accounts import JOURNAL
from pipelines.execution.brokers.alpaca import stream
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.rest import Failed, Rest
from pipelines.execution.brokers.alpaca.words import Unreadable
from pipelines.execution.core.events import Event, Listed, Moment, Synced, Unread
from pipelines.execution.core.machine import Core
from pipelines.execution.core.plan import Request, Sync
from pipelines.execution.core.proposals import Proposals
from pipelines.execution.core.seat import Seat, Traded
from pipelines.execution.exchange.auth import Keys
from pipelines.execution.live import Live, ordered
from pipelines.execution.mind import Mind
from pipelines.execution.watch import Watch
from pipelines.journal import Journal, Record

#: Seconds between two looks at the exchange's clock.
GLANCE_S = 0.02
#: Seconds between two questions for what cannot be traded.
LISTING_S = 3600.0

log = logging.getLogger("nightshift.live")


@dataclass(frozen=True)
class Venue:
    """A broker as it is reached."""

    name: Broker
    access: Access
    time: "Clock | Practised"
    account: str | None = None
    """The account that must answer; None takes whichever the keys open."""
    flips: bool = False
    """Whether one order may close a position and open the opposite one: Alpaca refuses it."""


class Driving(NamedTuple):
    """Who decides, and how long a person may take to answer a proposal."""

    mode: Mode = Mode.AUTONOMOUS
    answer_s: float = 300.0


@dataclass
class Practised:
    """The time of an exchange that lives through bars of the past: it stands where the exchange stands."""

    url: str
    keys: Keys
    at: datetime = datetime(1970, 1, 1, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the newest moment that was heard of."""
        return self.at

    def monotonic_ns(self) -> int:
        """Return the machine's monotonic nanoseconds: waiting takes as long as ever."""
        return SystemClock().monotonic_ns()

    def advance(self, at: datetime) -> None:
        """Hear of a moment; an older one is old news."""
        self.at = max(self.at, at)

    def client(self) -> httpx.AsyncClient:
        """Return what the exchange is asked with."""
        headers = {"APCA-API-KEY-ID": self.keys.key, "APCA-API-SECRET-KEY": self.keys.secret}
        return httpx.AsyncClient(base_url=self.url, headers=headers, timeout=5.0)

    async def reach(self, at: datetime, client: httpx.AsyncClient) -> None:
        """Wait until the exchange has lived up to a moment; raise ResourceError where it answers no more."""
        while self.at < at:
            await self.glance(client)
            if self.at < at:
                await asyncio.sleep(GLANCE_S)

    async def glance(self, client: httpx.AsyncClient) -> None:
        """Hear where the exchange stands; raise ResourceError where it does not answer."""
        try:
            answer = (await client.get("/now")).raise_for_status()
        except httpx.HTTPError as problem:
            raise ResourceError(f"the exchange at {self.url} answers no more: {problem}") from None
        self.advance(datetime.fromisoformat(answer.json()["now"].replace("Z", "+00:00")))


class Timed:
    """A broker whose readings set a practised clock, so that it is never behind what it tells of."""

    def __init__(self, rest: Rest, time: "Clock | Practised") -> None:
        self._rest, self._time = rest, time

    def perform(self, request: Request) -> Event | None:
        """Carry out a request."""
        said = self._rest.perform(request)
        if isinstance(said, Synced) and isinstance(self._time, Practised) and said.clock_ns is not None:
            self._time.advance(Moment(said.clock_ns, 0).time)
        return said


def venue(broker: Broker, markets: Sequence[str], home: Home) -> Venue:
    """Return a broker behind a wire, where nothing costs money; raise ConfigurationError for paper, and for one out of reach."""
    if broker is Broker.PAPER:
        raise ConfigurationError(
            f"{' and '.join(markets)} were to be traded on paper, where each market has an account of its own: start one each, or "
            "open `nightshift exchange` for all of them and trade them at --broker exchange"
        )
    return practice(markets, home) if broker is Broker.EXCHANGE else alpaca()


def practice(markets: Sequence[str], home: Home) -> Venue:
    """Return the exchange that is open in this home; raise ConfigurationError where none is, or one that lacks a market."""
    path, named = home.root / exchange.OPEN, " and ".join(f"'{market}'" for market in markets)
    asked = f"{named} {'was' if len(markets) == 1 else 'were'} to be traded at the exchange of this home"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        wanted = " ".join(f"--market {market}" for market in markets)
        raise ConfigurationError(f"{asked}, and none is open: start `nightshift exchange {wanted}` first") from None
    if not set(markets) <= set(told["markets"]):
        raise ConfigurationError(f"{asked}, and it is open for {', '.join(told['markets'])}: open it for all that is to be traded")
    keys = Keys.kept(Path(told["keys"]))
    access = Access(keys.key, keys.secret, live=False, url=told["url"])
    return Venue(Broker.EXCHANGE, access, Practised(told["admin"], keys), flips=True)


def alpaca(account: str | None = None, typed: str = "") -> Venue:
    """Return Alpaca's paper account that the environment opens, or the live one whose number was typed."""
    access = Access.paper() if account is None else Access.with_money(account, typed)
    return Venue(Broker.ALPACA, access, SystemClock(), account)


class Trading(NamedTuple):
    """A market that is traded: where its bars and models come from, and what thinks about them."""

    desk: Desk
    mind: Mind

    @classmethod
    def opened(cls, market: str, params: Params, home: Home, folder: Path) -> Self:
        """Return it with its champion; raise NoChampion or NoData where there is none."""
        desk = Desk.opened(params.market(market), params, home, folder)
        watch = Watch(desk, params.serving)
        return cls(desk, Mind(desk.served, params, len(desk.symbols), successor=desk.successor, watch=watch))

    @property
    def traded(self) -> Traded:
        """Return what the core is told of it."""
        return Traded(self.desk.market, self.mind.terms, self.desk.symbols, self.desk.served.version)

    async def begun(self, live: Live, venue: Venue, stop: asyncio.Event) -> AsyncIterator[Event]:
        """Warm up on all bars that the account has lived through, and return what the bars after them lead to."""
        desk, mind, seat = self.desk, self.mind, live.core.seats[self.desk.market.name]
        seen, history = desk.store.version("bars"), desk.bars()
        start = _behind(history, seat, venue)
        await asyncio.to_thread(mind.warm, history.rows(0, start), seat.bars)
        if start:
            await asyncio.to_thread(mind.follow, seat.bars, None, history.event_at[start - 1])
        log.info("version %s trades %s at %s: %d bars seen", seat.version, desk.market.name, venue.name, start)
        bars = trade.feed(desk, seen, history, start, 0.0, stop)
        bars = _reached(bars, venue.time) if isinstance(venue.time, Practised) else bars
        laid = Factors.blank(len(desk.symbols)).after(history.rows(0, start))
        return thinking.closed(mind, desk.market, bars, seat.bars, venue.time, laid)


async def trade_at(
    venue: Venue, driving: Driving, params: Mapping[str, Params], home: Home, stop: asyncio.Event
) -> dict[str, Any]:  # fmt: skip
    """Trade until `stop` and return what the account came to; `params` are by market.

    Raises what `trade.trade` raises, ConfigurationError for an account that is not the one of the journal and for a symbol of two
    markets, and TradingError for a new account that holds more than cash.
    """
    if isinstance(venue.time, Practised):
        async with venue.time.client() as client:
            await venue.time.glance(client)
    folder = home.account(*params, broker=venue.name)
    trading = [Trading.opened(market, each, home, folder) for market, each in sorted(params.items())]
    symbols = tuple(symbol for each in trading for symbol in each.desk.symbols)
    rest = Rest(venue.access, symbols)
    told = {"broker": venue.name, "account": _number(venue, rest)}
    _alone(told, folder, home)
    with Journal(folder / JOURNAL, deferred=True) as journal:
        for each in trading:
            each.mind.restore(journal, each.desk.market.name)
        live = Opening(venue, driving, trading, journal, rest, told).live()
        feeds = [await each.begun(live, venue, stop) for each in trading]
        _agree(live, trading, journal)
        # What a start leaves behind would stay as long as the trader lives, which looks through none of it again.
        gc.collect()
        async with vitals.kept(folder, lambda at: _sign(at, live.core)):
            await live.run(
                *feeds, ordered(folder, live.core), _listed(rest, symbols),
                stop=stop, beside=stream.follow(venue.access, rest.names, live.hear),
            )  # fmt: skip
        return _told(live.core, venue)


def _sign(at: str, core: Core) -> Sign:
    """Return the sign of life of an account's trader."""
    last_us = max((seat.last_us for seat in core.seats.values() if seat.bars), default=None)
    last = None if last_us is None else Moment(last_us * 1000, 0).time.isoformat()
    return Sign(at, core.ready, last, {name: seat.version for name, seat in core.seats.items()})


def _told(core: Core, venue: Venue) -> dict[str, Any]:
    """Return what an account came to, and how far each of its markets has lived."""
    worth = {"cash": str(core.desk.cash), "positions": len(core.desk.holdings), "orders": len(core.desk.orders)}
    markets = [{"market": name, "version": seat.version, "bars": seat.bars} for name, seat in core.seats.items()]
    return {"broker": venue.name, "ready": core.ready, **worth, "markets": markets}


@dataclass(frozen=True)
class Opening:
    """An account about to be traded: the broker's, and its journal, which may be empty yet."""

    venue: Venue
    driving: Driving
    trading: Sequence[Trading]
    journal: Journal
    rest: Rest
    told: dict[str, str]
    """Whose account it is: the broker, and the number that it has there."""

    def live(self) -> Live:
        """Return the account as its journal has it, or begin one with the broker's cash.

        Raises ConfigurationError for an account that is not the one asked for, and TradingError for a new one that holds more than
        cash.
        """
        opened = accounts.opened_on(self.journal)
        return self._begun() if opened is None else self._again(opened)

    def _begun(self) -> Live:
        reading = self._read()
        live = self._made(reading.cash)
        plan = live.core.open(reading, live.now)
        settings = {each.desk.market.name: accounts.settings(each.desk.params) for each in self.trading}
        terms = {**self._terms(str(reading.cash)), **self.told, "settings": settings}
        record = Record(live.now.ns, live.now.monotonic_ns, "session", "live", terms)
        live.core.noted(self.journal.append(record, *plan.records, snapshot=live.core.packed()))
        return live

    def _again(self, opened: dict[str, Any]) -> Live:
        accounts.agree(self.journal.path.parent, opened, {**self._terms(opened["capital"]), **self.told})
        live = self._made(Decimal(opened["capital"]))
        live.recover()
        self._note_settings(live)
        return live

    def _note_settings(self, live: Live) -> None:
        """Write down which settings are others now than when the account was traded last."""
        at, records = live.now, []
        for desk in (each.desk for each in self.trading):
            settings = accounts.settings(desk.params)
            if changed := accounts.changed(self.journal, desk.market.name, settings):
                told = {"market": desk.market.name, "changed": changed, "settings": settings}
                records.append(Record(at.ns, at.monotonic_ns, "settings", "live", told))
        if records:
            live.core.noted(self.journal.append(*records, snapshot=live.core.packed()))

    def _made(self, capital: Decimal) -> Live:
        proposals = Proposals(self.driving.mode, round(self.driving.answer_s * 1e9))
        core = Core([each.traded for each in self.trading], capital, flips=self.venue.flips, proposals=proposals)
        return Live(core, self.journal, self._broker, self.venue.time, lineage.commit(PROJECT))

    def _terms(self, capital: str) -> dict[str, Any]:
        return accounts.terms([(each.desk.market, each.desk.symbols) for each in self.trading], capital)

    @property
    def _broker(self) -> Timed:
        return Timed(self.rest, self.venue.time)

    def _read(self) -> Synced:
        """Read what a new account begins with."""
        try:
            said = self._broker.perform(Sync(self.rest.clock(), (), 0))
        except Failed as problem:
            raise ResourceError(f"the account could not be read: {problem}") from None
        if not isinstance(said, Synced):
            raise ResourceError(f"the account could not be read: {said.reason if isinstance(said, Unread) else said}")
        return said


def _number(venue: Venue, rest: Rest) -> str:
    """Return the number of the account that answers; raise ConfigurationError where it is not the one that was asked for."""
    try:
        number = str(rest.account()["account_number"])
    except (Failed, KeyError) as problem:
        raise ResourceError(f"{venue.name} was asked for its account and did not tell of it: {problem}") from None
    if venue.account is not None and number != venue.account:
        raise ConfigurationError(f"account {venue.account} was asked for, and the keys open {number}: use the keys of that account")
    return number


def _alone(told: dict[str, str], folder: Path, home: Home) -> None:
    """Raise ConfigurationError where the broker's account is another journal's already: two would undo each other's orders."""
    for path in sorted(home.journals.glob(f"*@{told['broker']}/{JOURNAL}")):
        if path.parent != folder:
            with Journal.read_only(path) as other:
                opened = accounts.opened_on(other) or {}
            if told.items() <= opened.items():
                raise ConfigurationError(
                    f"account {told['account']} at {told['broker']} is traded by {path.parent} already, for "
                    f"{', '.join(opened['markets'])}: trade the same markets to go on with it, or move that folder away"
                )


def _behind(history: Panel, seat: Seat, venue: Venue) -> int:
    """Return how many bars are behind the account: those it lived through, or for a new one those before now."""
    newest = np.datetime64(seat.last_us, "us") if seat.bars else np.datetime64(clock.nanoseconds(venue.time.now()) // 1000, "us")
    return int(np.searchsorted(history.event_at, newest, side="right"))


def _agree(live: Live, trading: Sequence[Trading], journal: Journal) -> None:
    """Write down which models trade from here on, where that is news."""
    at = live.now
    records = [
        Record(at.ns, at.monotonic_ns, kind, "mind", {"market": name, **told})
        for name, mind in ((each.desk.market.name, each.mind) for each in trading)
        for kind, told in mind.agreed(live.core.seats[name].bars)
    ]
    if records:
        live.core.noted(journal.append(*records, snapshot=live.core.packed()))


async def _reached(bars: AsyncIterator[Panel], time: Practised) -> AsyncIterator[Panel]:
    """Yield bars once the exchange has lived through them."""
    async with time.client() as client:
        async for bar in bars:
            await time.reach(orders.moment(bar.event_at[0]), client)
            yield bar


async def _listed(rest: Rest, symbols: tuple[str, ...]) -> AsyncIterator[Event]:
    """Yield what cannot be traded, every now and then."""
    while True:
        try:
            yield Listed(await asyncio.to_thread(rest.untradable, symbols))
        except (Failed, Unreadable, KeyError, TypeError) as problem:
            log.warning("nobody can tell what cannot be traded now: %s", problem)
        await asyncio.sleep(LISTING_S)


def run(venue: Venue, driving: Driving, params: Mapping[str, Params], home: Home) -> dict[str, Any]:
    """Trade until SIGINT or SIGTERM; `params` are by market."""
    return asyncio.run(trade.guarded(lambda stop: trade_at(venue, driving, params, home, stop)))
