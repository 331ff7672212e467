"""Events: what we tell Prefect, when it listens."""

import asyncio
import json
import logging
import os

from flows.home import Home

PROMOTED = "nightshift.model.promoted"
WAIT_S = 5.0

log = logging.getLogger("nightshift.events")


def resource(market: str) -> str:
    """Return the resource id under which a market's promotions are told."""
    return f"nightshift.model.{market}"


def address(home: Home) -> str | None:
    """Return where Prefect's API listens: PREFECT_API_URL, else what a running `nightshift up` noted, else None."""
    if os.environ.get("PREFECT_API_URL"):
        return os.environ["PREFECT_API_URL"]
    try:
        noted = json.loads(home.addresses.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    return str(noted["prefect"])


def promoted(market: str, version: int, home: Home) -> bool:
    """Tell Prefect that a version became champion and return whether it heard.

    A promotion never waits for Prefect: the trader follows the registry's alias by itself, the event only wakes it sooner.
    """
    api = address(home)
    if api is None:
        return False
    try:
        asyncio.run(asyncio.wait_for(_emit(api, market, version), WAIT_S))
    except Exception as problem:
        log.warning("promotion of %s version %d was not told to Prefect at %s: %s", market, version, api, problem)
        return False
    return True


async def _emit(api: str, market: str, version: int) -> None:
    from prefect.events import Event, Resource
    from prefect.events.clients import PrefectEventsClient

    about = Resource({"prefect.resource.id": resource(market), "prefect.resource.name": market})
    event = Event(event=PROMOTED, resource=about, payload={"market": market, "version": version})
    async with PrefectEventsClient(api_url=api, reconnection_attempts=0) as client:
        await client.emit(event)
