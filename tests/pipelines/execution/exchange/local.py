"""A paper exchange on a free port, in a thread of its own, with a hand on its market."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from typing import Any

import httpx

from domain.market import AssetClass
from pipelines.execution.exchange.auth import Keys
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.serving import Open, opened
from pipelines.execution.fills import Venue
from pipelines.execution.matching.account import Asset, Terms
from tests.pipelines.execution.matching.made import FREE, MINUTE, START

KEYS = Keys("PKLOCAL", "local-secret")
HEADERS = {"APCA-API-KEY-ID": KEYS.key, "APCA-API-SECRET-KEY": KEYS.secret}


class Local:
    """What a test holds of it."""

    def __init__(self, served: Open) -> None:
        self.url, self.stream = f"http://127.0.0.1:{served.port}", f"ws://127.0.0.1:{served.port}/stream"
        self.port, self.admin_port = served.port, served.admin_port
        self.floor, self.mischief = served.floor, served.mischief
        self._admin = httpx.Client(base_url=f"http://127.0.0.1:{served.admin_port}", headers=HEADERS)
        self.number = 0

    def bar(self, prices=(100, 100, 100, 100), volume=1e6, symbol="AAA", **keys: Any) -> None:
        """Let a minute pass."""
        at = START + self.number * MINUTE
        self.number += 1
        names = dict(zip(("open", "high", "low", "close"), map(float, prices), strict=True))
        told = {
            "symbol": symbol,
            "opened_at": at.isoformat(),
            "event_at": (at + MINUTE).isoformat(),
            "volume": volume,
            **names,
            **keys,
        }
        self._admin.post("/bars", json=[told]).raise_for_status()

    def faults(self, *rules: dict[str, Any]) -> None:
        """Script what goes wrong from now on."""
        self._admin.put("/faults", json=list(rules)).raise_for_status()

    def wire(self, **mischief: Any) -> None:
        """Say what goes wrong on the stream."""
        self._admin.put("/stream", json=mischief).raise_for_status()

    def truth(self) -> dict[str, Any]:
        """Return the exchange's own account of everything."""
        return self._admin.get("/truth").json()

    def close(self) -> None:
        """Let go."""
        self._admin.close()


@contextmanager
def exchange(symbols=("AAA", "BBB"), crypto=("BTC/USD",), cost=FREE, requests_max=0, **terms: Any) -> Iterator[Local]:
    """Serve an exchange while the block runs."""
    venue, whole = Venue(cost.rates(), 0.0001, 2.0, 0.0), Venue(cost.rates(), 0.01, 2.0, 0.0)
    assets = {symbol: Asset(symbol, AssetClass.EQUITY, whole, True) for symbol in symbols}
    assets |= {symbol: Asset(symbol, AssetClass.CRYPTO, venue, False) for symbol in crypto}
    floor = Floor.opened(assets, Terms(**{"capital": Decimal(100_000), **terms}), START)
    ready, stop, found = threading.Event(), threading.Event(), []

    async def run() -> None:
        async with opened(floor, KEYS, requests_max=requests_max) as served:
            found.append(served)
            ready.set()
            while not stop.is_set():
                await asyncio.sleep(0.02)

    thread = threading.Thread(target=asyncio.run, args=(run(),), daemon=True)
    thread.start()
    assert ready.wait(20)
    local = Local(found[0])
    try:
        yield local
    finally:
        local.close()
        stop.set()
        thread.join(20)
