"""Exchange: the stored bars of one market or several behind Alpaca's protocols, for the genuine client, until Ctrl-C."""

import asyncio
import contextlib
import hashlib
import heapq
import itertools
import json
import operator
import signal
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from domain.error import ConfigurationError, LeaseTaken, NoData
from domain.market import AssetClass, Market
from domain.panel import Panel
from domain.params import Params
from flows.home import Home
from pipelines import lease
from pipelines.data import materialize
from pipelines.execution.exchange import tape
from pipelines.execution.exchange.auth import Keys
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.serving import Open, opened
from pipelines.execution.exchange.tape import Row
from pipelines.execution.matching.account import Asset, Terms
from pipelines.execution.matching.ledger import Ledger
from pipelines.store import Store

KEYS = "exchange.key"
#: Bars before its first that clients may ask for, to warm up on.
BARS_BEFORE = 500
BEFORE = datetime.min.replace(tzinfo=UTC)
#: In the home while an exchange is open: where it is reached.
OPEN = "exchange.json"


@dataclass(frozen=True)
class Wish:
    """How a person wants it served."""

    since: date | None
    """The first day that a new account lives through; an old one goes on after its newest bar."""
    pace_s: float
    """Seconds from one moment at which bars close to the next."""
    host: str = "127.0.0.1"
    port: int = 0
    abroad: bool = False
    requests_max: int = 0
    """What clients may ask in a minute, 0 for no limit; Alpaca's is 200."""
    fee_in_coin: bool = False
    """Whether the fee of a purchase of crypto is taken of what was bought."""


@dataclass(frozen=True)
class Listing:
    """A market that is traded here, with all its bars."""

    market: Market
    params: Params
    panel: Panel

    @property
    def assets(self) -> dict[str, Asset]:
        """Return what of it is traded."""
        return tape.assets(self.panel, self.market, self.params)

    def reached(self, at: datetime) -> int:
        """Return the row of the first bar that closes at a moment or later."""
        return int(np.searchsorted(self.panel.event_at, np.datetime64(at.replace(tzinfo=None), "us")))


def serve(wish: Wish, home: Home, params: Mapping[str, Params], began: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Serve until SIGINT or SIGTERM and return what the account came to; `params` are by market, `began` is told once it is open.

    The account begins with the capital of params.yaml and is kept in the home: the next call goes on with it. When the bars are
    over it goes on answering. Raises NoData, UnknownMarket, and ConfigurationError for a port that cannot be had, for an account
    of another beginning and for a symbol of two markets.
    """
    listings = [_listing(name, each, Store(home.store)) for name, each in sorted(params.items())]
    path = account(home, *params)
    path.parent.mkdir(parents=True, exist_ok=True)
    with lease.held(path.with_suffix(".lock"), lambda holder: _taken(path, holder)), contextlib.closing(Ledger(path)) as ledger:
        floor = _opened(listings, wish, ledger)
        rows = [_rows(each, floor) for each in listings]
        asyncio.run(_guarded(floor, _together(rows), wish, list(params), home, began))
    worth = floor.exchange.worth()
    return {
        "markets": list(params), "orders": len(floor.exchange.tickets), "executions": len(floor.exchange.executions),
        "cash": str(worth.cash), "equity": str(worth.equity), "until": floor.exchange.now.isoformat(),
    }  # fmt: skip


def account(home: Home, *markets: str) -> Path:
    """Return the file of the account of these markets at the exchange."""
    return home.root / "exchange" / f"{'+'.join(sorted(markets))}.db"


def _listing(name: str, params: Params, store: Store) -> Listing:
    market = params.market(name)
    return Listing(market, params, materialize.read(store, market))


def _rows(listing: Listing, floor: Floor) -> Iterator[Row]:
    """Return the rows that a floor has not lived through in full; it is told of some before them."""
    first = listing.reached(floor.exchange.now)
    before = tape.rows(listing.panel.rows(0, first), listing.market, max(first - BARS_BEFORE, 0))
    for bar in itertools.chain.from_iterable(row.bars for row in before):
        floor.keep(bar)
    return tape.rows(listing.panel, listing.market, first)


def _together(rows: Iterable[Iterator[Row]]) -> Iterator[Row]:
    """Yield what happens until each moment, of whichever market, in the order of time."""
    closes = operator.attrgetter("closes")
    for _, found in itertools.groupby(heapq.merge(*rows, key=closes), key=closes):
        bars, before = zip(*found, strict=True)
        yield Row(list(itertools.chain(*bars)), list(itertools.chain(*before)))


def _taken(path: Path, holder: str) -> LeaseTaken:
    return LeaseTaken(f"the account in {path} is held by another exchange, {holder}: end that one first")


def _opened(listings: Sequence[Listing], wish: Wish, ledger: Ledger) -> Floor:
    """Return the account, new or as its ledger has it."""
    begun, named = ledger.opened, "+".join(each.market.name for each in listings)
    at = begun.at if begun is not None else _first(listings, wish)
    if begun is not None and wish.since is not None and at != _first(listings, wish):
        raise ConfigurationError(
            f"the exchange was to begin on {wish.since}, and its account in {ledger.path} began at {at:%Y-%m-%d %H:%M}Z: leave out "
            "--since to go on with it, or remove that file to begin anew"
        )
    calendar = next((each.market.calendar for each in listings if each.market.asset_class == AssetClass.EQUITY), None)
    number = f"PA{hashlib.sha256(named.encode()).hexdigest()[:10].upper()}"
    capital = Decimal(repr(listings[0].params.fills.capital))
    terms = Terms(capital, flips=True, calendar=calendar, number=number, fee_in_coin=wish.fee_in_coin)
    return Floor.opened(_assets(listings), terms, at, ledger)


def _assets(listings: Sequence[Listing]) -> dict[str, Asset]:
    """Return what is traded; raise ConfigurationError for a symbol of two markets."""
    found: dict[str, Asset] = {}
    for each in listings:
        if twice := sorted(found.keys() & each.assets.keys()):
            raise ConfigurationError(f"'{twice[0]}' is of two of the markets to be served: an account has one position of it")
        found |= each.assets
    return found


async def _guarded(
    floor: Floor, rows: Iterator[Row], wish: Wish, markets: list[str], home: Home, began: Callable[[dict[str, Any]], None]
) -> None:  # fmt: skip
    """Serve until a signal, the bars of a moment each `pace_s` seconds."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    keys = Keys.kept(home.keys / KEYS)
    async with opened(
        floor, keys, host=wish.host, port=wish.port, abroad=wish.abroad, requests_max=wish.requests_max
    ) as served:  # fmt: skip
        where = _where(markets, wish, served, str(home.keys / KEYS))
        with _noted(home.root / OPEN, where):
            began(where)
            for row in rows:
                _live(floor, row)
                if await _stopped(stop, wish.pace_s):
                    return
            await stop.wait()


def _live(floor: Floor, row: Row) -> None:
    """Live through bars that close together, once, and what came before them; end the sessions of which they are the last."""
    exchange = floor.exchange
    for done in row.before:
        if exchange.lived.get(done.symbol, BEFORE) < row.closes:
            exchange.overnight(*done)
    for bar in row.bars:
        if exchange.lived.get(bar.symbol, BEFORE) < bar.event_at:
            floor.live(bar)
    for ended in sorted({exchange.assets[bar.symbol].asset_class for bar in row.bars if bar.last}):
        if exchange.closed_at.get(ended, BEFORE) < row.closes:
            exchange.close_session(ended)


def _where(markets: list[str], wish: Wish, served: Open, keys: str) -> dict[str, Any]:
    host = f"[{wish.host}]" if ":" in wish.host else wish.host
    return {
        "markets": markets, "url": f"http://{host}:{served.port}", "stream": f"ws://{host}:{served.port}/stream",
        "admin": f"http://{host}:{served.admin_port}", "keys": keys,
    }  # fmt: skip


@contextlib.contextmanager
def _noted(path: Path, where: dict[str, Any]) -> Iterator[None]:
    """Leave a note of where the exchange is reached, for as long as it is."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(where) + "\n", encoding="utf-8")
    partial.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _first(listings: Sequence[Listing], wish: Wish) -> datetime:
    """Return when the first bar of the day on which a new account is to begin opens."""
    named = " and ".join(f"'{each.market.name}'" for each in listings)
    if wish.since is None:
        raise ConfigurationError(
            f"the exchange of {named} has no account yet: say with --since DAY which day it is to live through first"
        )
    begins = [_begins(each, wish.since) for each in listings]
    if not all(begins):
        short = listings[begins.index(None)]
        newest = np.datetime_as_string(short.panel.event_at[-1], unit="s")
        raise NoData(
            f"the exchange was to begin on {wish.since}, but the newest bar of '{short.market.name}' closed at {newest}Z: "
            "begin before"
        )
    return min(each for each in begins if each is not None)


def _begins(listing: Listing, since: date) -> datetime | None:
    """Return when a market's first bar since a day opens, nothing where there is none."""
    first = int(np.searchsorted(listing.panel.opened_at, np.datetime64(since, "us")))
    return tape.moment(listing.panel.opened_at[first]) if first < listing.panel.bars else None


async def _stopped(stop: asyncio.Event, wait_s: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), wait_s)
    except TimeoutError:
        return False
    return True
