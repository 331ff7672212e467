"""The application: REST and stream on one port for clients, and a second one for whoever plays the weather."""

from datetime import datetime
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.types import ASGIApp

from domain.clock import SystemClock
from pipelines.execution.exchange import faults, wire
from pipelines.execution.exchange.auth import Guarded, Keys
from pipelines.execution.exchange.faults import Faults, Rule
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.limited import Limited
from pipelines.execution.exchange.market import Market
from pipelines.execution.exchange.rest import Rest
from pipelines.execution.exchange.stream import Mischief, OrderStream
from pipelines.execution.exchange.ticker import Ticker
from pipelines.execution.matching.prices import Bar

#: Where Alpaca's clients look for market data; the feed makes no difference here.
MARKET_STREAMS = ("/v2/{feed}", "/v1beta3/crypto/{feed}")


def application(
    floor: Floor, keys: Keys, rules: list[Rule], mischief: Mischief, *, pattern_day_trader: bool = False, requests_max: int = 0
) -> ASGIApp:
    """Return what clients talk to; `requests_max` is what they may ask in a minute, 0 for no limit."""
    rest = Rest(floor, pattern_day_trader=pattern_day_trader)
    orders, ticker = OrderStream(floor, keys, mischief), Ticker(floor, keys)
    streams = [WebSocketRoute("/stream", orders.serve), *(WebSocketRoute(path, ticker.serve) for path in MARKET_STREAMS)]
    served = Starlette(routes=[*rest.routes(), *Market(floor).routes(), *streams])
    return Guarded(Limited(Faults(served, rules), requests_max, lambda: SystemClock().now().timestamp()), keys)


def administration(floor: Floor, keys: Keys, rules: list[Rule], mischief: Mischief) -> ASGIApp:
    """Return what tests and people who practise talk to: faults in, bars in, the truth out."""

    async def script(request: Request) -> Response:
        return await faults.script(request, rules)

    async def stream(request: Request) -> Response:
        told = await request.json()
        if told.pop("disconnect", False):
            await mischief.disconnect()
        for name, value in told.items():
            setattr(mischief, name, value)
        return JSONResponse({"connections": len(mischief.sockets)})

    async def bars(request: Request) -> Response:
        for each in await request.json():
            floor.live(_bar(each))
        return JSONResponse({"now": wire.moment(floor.exchange.now)})

    async def now(request: Request) -> Response:
        return JSONResponse({"now": wire.moment(floor.exchange.now)})

    async def truth(request: Request) -> Response:
        exchange = floor.exchange
        return JSONResponse({
            "cash": str(exchange.holdings.cash),
            "positions": {symbol: str(held.quantity) for symbol, held in exchange.holdings.positions.items()},
            "orders": [wire.order(ticket, exchange) for ticket in exchange.tickets.values()],
            "executions": [wire.fill(done, exchange.tickets[done.order_id]) for done in exchange.executions],
        })  # fmt: skip

    routes = [
        Route("/faults", script, methods=["PUT"]),
        Route("/stream", stream, methods=["PUT"]),
        Route("/bars", bars, methods=["POST"]),
        Route("/now", now, methods=["GET"]),
        Route("/truth", truth, methods=["GET"]),
    ]
    return Guarded(Starlette(routes=routes), keys)


def _bar(told: dict[str, Any]) -> Bar:
    opened_at, event_at = (datetime.fromisoformat(told.pop(name)) for name in ("opened_at", "event_at"))
    return Bar(opened_at=opened_at, event_at=event_at, **told)
