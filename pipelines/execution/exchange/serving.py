"""Serving: both applications on their ports, in the task that runs them, until they are told to stop."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import uvicorn
from starlette.types import ASGIApp

from domain.error import ConfigurationError
from pipelines.execution.exchange.app import administration, application
from pipelines.execution.exchange.auth import Keys
from pipelines.execution.exchange.faults import Rule
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.stream import Mischief

LOOPBACK = frozenset({"127.0.0.1", "::1", "localhost"})


@dataclass
class Open:
    """An exchange that is being served."""

    floor: Floor
    keys: Keys
    port: int
    admin_port: int
    rules: list[Rule] = field(default_factory=list)
    mischief: Mischief = field(default_factory=Mischief)


@contextlib.asynccontextmanager
async def opened(
    floor: Floor, keys: Keys, *, host: str = "127.0.0.1", port: int = 0, admin_port: int = 0, abroad: bool = False,
    requests_max: int = 0,
) -> AsyncIterator[Open]:  # fmt: skip
    """Serve a floor while the block runs; port 0 takes any that is free, `requests_max` is what clients may ask in a minute.

    Raises ConfigurationError for a port in use, and for an address that others can reach unless `abroad` says that this is meant.
    """
    if host not in LOOPBACK and not abroad:
        raise ConfigurationError(
            f"the exchange was to listen on {host}, where others can reach it: say --abroad if that is meant, or use 127.0.0.1"
        )
    doors = [_door(host, each) for each in (port, admin_port)]
    served = Open(floor, keys, *(door.getsockname()[1] for door in doors))
    apps = [
        application(floor, keys, served.rules, served.mischief, requests_max=requests_max),
        administration(floor, keys, served.rules, served.mischief),
    ]
    servers = [uvicorn.Server(_settings(app)) for app in apps]
    tasks = [asyncio.create_task(server.serve([door])) for server, door in zip(servers, doors, strict=True)]
    try:
        while not all(server.started for server in servers):
            await asyncio.sleep(0.01)
        yield served
    finally:
        for server in servers:
            server.should_exit = True
        await asyncio.gather(*tasks, return_exceptions=True)


def _settings(app: ASGIApp) -> uvicorn.Config:
    return uvicorn.Config(app, log_level="warning", lifespan="off", ws="websockets-sansio", timeout_graceful_shutdown=1)


def _door(host: str, port: int) -> socket.socket:
    door = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except OSError as problem:
        door.close()
        raise ConfigurationError(
            f"the exchange was to listen on {host}:{port}, which cannot be had ({problem}): name another port"
        ) from None
    return door
