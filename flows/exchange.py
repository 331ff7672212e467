"""Exchange: a market's stored bars behind Alpaca's protocols, for the genuine client, until Ctrl-C."""

import asyncio
import contextlib
import json
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np

from domain.error import NoData
from domain.panel import Panel
from domain.params import Params
from flows.home import Home
from pipelines.data import materialize
from pipelines.execution.exchange import tape
from pipelines.execution.exchange.auth import Keys
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.serving import Open, opened
from pipelines.execution.matching.exchange import Terms
from pipelines.store import Store

KEYS = "exchange.key"
#: In the home while an exchange is open: where it is reached.
OPEN = "exchange.json"


@dataclass(frozen=True)
class Wish:
    """How a person wants it served."""

    market: str
    since: date
    """The first day that the exchange lives through."""
    pace_s: float
    """Seconds from one bar to the next."""
    host: str = "127.0.0.1"
    port: int = 0
    abroad: bool = False


def serve(wish: Wish, home: Home, params: Params, began: Callable[[dict[str, Any]], None]) -> dict[str, Any]:
    """Serve until SIGINT or SIGTERM and return what the account came to; `began` is told where, once it is open.

    The account begins with the capital of params.yaml and ends with the command. When the bars are over it goes on answering.
    Raises NoData, UnknownMarket, and ConfigurationError for a port that cannot be had.
    """
    market = params.market(wish.market)
    panel = materialize.read(Store(home.store), market)
    first = _first(panel, wish)
    floor = Floor.opened(
        tape.assets(panel, market, params),
        Terms(Decimal(repr(params.fills.capital)), flips=True),
        tape.moment(panel.opened_at[first]),
    )

    async def guarded() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        keys = Keys.kept(home.keys / KEYS)
        async with opened(floor, keys, host=wish.host, port=wish.port, abroad=wish.abroad) as served:
            where = _where(wish, served, str(home.keys / KEYS))
            with _noted(home.root / OPEN, where):
                began(where)
                for bars in tape.rows(panel, market, first):
                    for bar in bars:
                        floor.exchange.on_bar(bar)
                    if await _stopped(stop, wish.pace_s):
                        return
                await stop.wait()

    asyncio.run(guarded())
    worth = floor.exchange.worth()
    return {
        "market": wish.market, "orders": len(floor.exchange.tickets), "executions": len(floor.exchange.executions),
        "cash": str(worth.cash), "equity": str(worth.equity), "until": floor.exchange.now.isoformat(),
    }  # fmt: skip


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
