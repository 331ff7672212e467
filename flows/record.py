"""Record: a market's live source written to the store, until Ctrl-C."""

import asyncio
import signal
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime

from domain.clock import SystemClock
from domain.error import ConfigurationError
from domain.params import Params
from flows.home import Home
from pipelines.data import recording
from pipelines.data.recording import Recorded
from pipelines.data.sources import makers
from pipelines.data.sources.contract import LiveSource
from pipelines.store import Store


def record(market: str, home: Home, params: Params, heard: Callable[[Recorded], None] | None = None) -> dict[str, object]:
    """Record the market until SIGINT or SIGTERM and return what was stored, as JSON values; the last batch is stored before.

    `heard` is told of every batch. Raises ConfigurationError for a market whose source tells nothing live, and what
    `recording.record` raises.
    """
    chosen, clock = params.market(market), SystemClock()
    source = makers.make(chosen, params, clock)
    if not isinstance(source, LiveSource):
        raise ConfigurationError(
            f"market '{market}' was to be recorded, but its source, {chosen.source}, tells nothing live: alpaca does"
        )

    async def guarded() -> Recorded:
        stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        return await recording.record(source, chosen, params, Store(home.store), clock=clock, stop=stop, told=heard)

    return told(asyncio.run(guarded()))


def told(recorded: Recorded) -> dict[str, object]:
    """Return what was recorded as JSON values."""
    values = {**asdict(recorded), "updates": recorded.updates}
    return {name: value.isoformat() if isinstance(value, datetime) else value for name, value in values.items()}


def line(recorded: Recorded) -> str:
    """Return what was recorded in a line."""
    counts = ", ".join(f"{getattr(recorded, table):,} {table}" for table in ("bars", "trades", "quotes", "news"))
    return f"stored {counts}, last at {recorded.last:%H:%M:%S} UTC"
