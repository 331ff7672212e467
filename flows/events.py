"""Events: what we tell Prefect, when it listens."""

import asyncio
import json
import logging
import os
from typing import Any

from flows.home import Home

PROMOTED, MOVED, REFUSED = "nightshift.model.promoted", "nightshift.model.moved", "nightshift.model.refused"
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
    return _told(PROMOTED, f"promotion of {market} version {version}", market, {"version": version}, home)


def moved(market: str, version: int | None, home: Home) -> bool:
    """Tell Prefect that somebody moved the champion's alias to a version, or took it away, and return whether it heard."""
    return _told(MOVED, f"alias of {market} on version {version}", market, {"version": version}, home)


def refused(market: str, version: int | None, standing: int | None, reason: str, home: Home) -> bool:
    """Tell Prefect that a version that was moved by hand did not become champion, who is, and why; return whether it heard."""
    payload = {"version": version, "standing": standing, "reason": reason}
    return _told(REFUSED, f"refusal of {market} version {version}", market, payload, home)


def _told(name: str, what: str, market: str, payload: dict[str, Any], home: Home) -> bool:
    api = address(home)
    if api is None:
        return False
    try:
        asyncio.run(asyncio.wait_for(_emit(api, name, market, payload), WAIT_S))
    except Exception as problem:
        log.warning("%s was not told to Prefect at %s: %s", what, api, problem)
        return False
    return True


async def _emit(api: str, name: str, market: str, payload: dict[str, Any]) -> None:
    from prefect.events import Event, Resource
    from prefect.events.clients import PrefectEventsClient

    about = Resource({"prefect.resource.id": resource(market), "prefect.resource.name": market})
    event = Event(event=name, resource=about, payload={"market": market, **payload})
    async with PrefectEventsClient(api_url=api, reconnection_attempts=0) as client:
        await client.emit(event)
