"""Exchange: a market's stored bars behind Alpaca's protocols, for the genuine client, until Ctrl-C."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterator
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
from pipelines.execution.matching.exchange import Terms
from pipelines.execution.matching.ledger import Ledger
from pipelines.execution.matching.prices import Bar
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

    market: str
    since: date | None
    """The first day that a new account lives through; an old one goes on after its newest bar."""
    pace_s: float
    """Seconds from one bar to the next."""
    host: str = "127.0.0.1"
    port: int = 0
    abroad: bool = False


def serve(wish: Wish, home: Home, params: Params, began: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Serve until SIGINT or SIGTERM and return what the account came to; `began` is told where, once it is open.

    The account begins with the capital of params.yaml and is kept in the home: the next call goes on with it. When the bars are
    over it goes on answering. Raises NoData, UnknownMarket, and ConfigurationError for a port that cannot be had and for an account
    of another beginning.
    """
    market = params.market(wish.market)
    panel = materialize.read(Store(home.store), market)
    path = account(home, market.name)
    path.parent.mkdir(parents=True, exist_ok=True)
    with lease.held(path.with_suffix(".lock"), lambda holder: _taken(path, holder)), contextlib.closing(Ledger(path)) as ledger:
        floor, first = _opened(panel, market, params, wish, ledger)
        for bar in (bar for bars in tape.rows(panel.rows(0, first), market, max(first - BARS_BEFORE, 0)) for bar in bars):
            floor.keep(bar)
        asyncio.run(_guarded(floor, tape.rows(panel, market, first), wish, home, began))
    worth = floor.exchange.worth()
    return {
        "market": wish.market, "orders": len(floor.exchange.tickets), "executions": len(floor.exchange.executions),
        "cash": str(worth.cash), "equity": str(worth.equity), "until": floor.exchange.now.isoformat(),
    }  # fmt: skip


def account(home: Home, market: str) -> Path:
    """Return the file of a market's account at the exchange."""
    return home.root / "exchange" / f"{market}.db"


def _taken(path: Path, holder: str) -> LeaseTaken:
    return LeaseTaken(f"the account in {path} is held by another exchange, {holder}: end that one first")


def _opened(panel: Panel, market: Market, params: Params, wish: Wish, ledger: Ledger) -> tuple[Floor, int]:
    """Return the account, new or as its ledger has it, and the row of the first bar that it has not lived through in full."""
    capital, begun = Decimal(repr(params.fills.capital)), ledger.opened
    calendar = market.calendar if market.asset_class == AssetClass.EQUITY else None
    at = begun.at if begun is not None else tape.moment(panel.opened_at[_first(panel, wish)])
    if begun is not None and wish.since is not None and at != tape.moment(panel.opened_at[_first(panel, wish)]):
        raise ConfigurationError(
            f"the exchange was to begin on {wish.since}, and its account in {ledger.path} began at {at:%Y-%m-%d %H:%M}Z: leave out "
            "--since to go on with it, or remove that file to begin anew"
        )
    floor = Floor.opened(tape.assets(panel, market, params), Terms(capital, flips=True, calendar=calendar), at, ledger)
    reached = np.datetime64(floor.exchange.now.replace(tzinfo=None), "us")
    return floor, int(np.searchsorted(panel.event_at, reached))


async def _guarded(
    floor: Floor, rows: Iterator[list[Bar]], wish: Wish, home: Home, began: Callable[[dict[str, Any]], None]
) -> None:
    """Serve until a signal, a row of bars each `pace_s` seconds."""
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    keys = Keys.kept(home.keys / KEYS)
    async with opened(floor, keys, host=wish.host, port=wish.port, abroad=wish.abroad) as served:
        where = _where(wish, served, str(home.keys / KEYS))
        with _noted(home.root / OPEN, where):
            began(where)
            for bars in rows:
                _live(floor, bars)
                if await _stopped(stop, wish.pace_s):
                    return
            await stop.wait()


def _live(floor: Floor, bars: list[Bar]) -> None:
    """Live through a row of bars once, and end the session with its last."""
    exchange = floor.exchange
    for bar in bars:
        if exchange.lived.get(bar.symbol, BEFORE) < bar.event_at:
            floor.live(bar)
    if any(bar.last for bar in bars) and exchange.closed_at < bars[0].event_at:
        exchange.close_session()


def _where(wish: Wish, served: Open, keys: str) -> dict[str, Any]:
    host = f"[{wish.host}]" if ":" in wish.host else wish.host
    return {
        "market": wish.market, "url": f"http://{host}:{served.port}", "stream": f"ws://{host}:{served.port}/stream",
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


def _first(panel: Panel, wish: Wish) -> int:
    if wish.since is None:
        raise ConfigurationError(
            f"the exchange of '{wish.market}' has no account yet: say with --since DAY which day it is to live through first"
        )
    first = int(np.searchsorted(panel.opened_at, np.datetime64(wish.since, "us")))
    if first == panel.bars:
        newest = np.datetime_as_string(panel.event_at[-1], unit="s")
        raise NoData(
            f"the exchange was to begin on {wish.since}, but the newest bar of '{wish.market}' closed at {newest}Z: begin before"
        )
    return first


async def _stopped(stop: asyncio.Event, wait_s: float) -> bool:
    try:
        await asyncio.wait_for(stop.wait(), wait_s)
    except TimeoutError:
        return False
    return True
