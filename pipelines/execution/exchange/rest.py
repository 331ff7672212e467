"""REST: Alpaca's trading API over a floor. Every handler reads, asks the exchange, and answers; none of them waits."""

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from domain import venue as venues
from domain.market import AssetClass
from domain.order import TimeInForce
from domain.venue import Ask, Refused, Side
from pipelines.execution.exchange import history, wire
from pipelines.execution.exchange.floor import Floor
from pipelines.execution.exchange.wire import Json
from pipelines.execution.matching.tickets import ZERO, Ticket

ORDERS, ORDERS_MAX, ACTIVITIES_MAX = 50, 500, 100
#: Alpaca's word -> whether an order belongs to it.
STATUS: dict[str, Callable[[Ticket], bool]] = {
    "open": lambda ticket: ticket.open,
    "closed": lambda ticket: not ticket.open,
    "all": lambda ticket: True,
}

#: The calendar of markets that keep none of their own.
NEW_YORK = "NYSE"
#: What an owner has asked for before they ask for anything.
CONFIGURED: dict[str, Any] = {
    "dtbp_check": "entry", "fractional_trading": True, "max_margin_multiplier": "4", "no_shorting": False, "pdt_check": "entry",
    "ptp_no_exception_entry": False, "suspend_trade": False, "trade_confirm_email": "all",
    "max_options_trading_level": 0,
}  # fmt: skip


class Rest:
    """The trading API of one floor."""

    def __init__(self, floor: Floor, *, pattern_day_trader: bool = False) -> None:
        self.floor, self.exchange, self._pattern = floor, floor.exchange, pattern_day_trader
        self._configured: dict[str, Any] = dict(CONFIGURED)

    def routes(self) -> list[Route]:
        """Return every path that is served."""
        table: list[tuple[str, str, Callable[[Request], Awaitable[Any]]]] = [
            ("POST", "/v2/orders", self.submit),
            ("GET", "/v2/orders", self.orders),
            ("DELETE", "/v2/orders", self.cancel_all),
            ("GET", "/v2/orders:by_client_order_id", self.named),
            ("GET", "/v2/orders/{id}", self.order),
            ("PATCH", "/v2/orders/{id}", self.replace),
            ("DELETE", "/v2/orders/{id}", self.cancel),
            ("GET", "/v2/positions", self.positions),
            ("DELETE", "/v2/positions", self.close_all),
            ("GET", "/v2/positions/{symbol:path}", self.position),
            ("DELETE", "/v2/positions/{symbol:path}", self.close),
            ("GET", "/v2/account", self.account),
            ("GET", "/v2/account/portfolio/history", self.history),
            ("GET", "/v2/account/activities", self.activities),
            ("GET", "/v2/account/activities/{kind}", self.activities),
            ("GET", "/v2/assets", self.assets),
            ("GET", "/v2/assets/{symbol:path}", self.asset),
            ("GET", "/v2/clock", self.clock),
            ("GET", "/v2/calendar", self.calendar),
            ("GET", "/v2/account/configurations", self.configurations),
            ("PATCH", "/v2/account/configurations", self.configure),
        ]
        return [Route(path, _answered(handler), methods=[method]) for method, path, handler in table]

    async def submit(self, request: Request) -> Json:
        """Take an order, unless its owner has asked for none of its kind to be taken."""
        asked = wire.asked(await _body(request), self.exchange)
        self._allow(asked)
        ticket = self.exchange.submit(asked)
        return wire.order(ticket, self.exchange, nested=True)

    async def orders(self, request: Request) -> list[Json]:
        """Return orders, the newest first unless told otherwise, 50 unless told otherwise and never more than 500."""
        asked = request.query_params
        found = [each for each in self.exchange.tickets.values() if STATUS[_choice(asked.get("status"), STATUS, "open")](each)]
        symbols = {wire.known_symbol(each, self.exchange) for each in asked.get("symbols", "").split(",") if each}
        after, until = _moment(asked.get("after")), _moment(asked.get("until"))
        above, below = (self._sequence(asked.get(name)) for name in ("after_order_id", "before_order_id"))
        nested = asked.get("nested", "").lower() == "true"
        kept = [
            each for each in found
            if (not symbols or each.ask.symbol in symbols)
            and (after is None or each.created_at > after) and (until is None or each.created_at < until)
            and (above is None or each.sequence > above) and (below is None or each.sequence < below)
            and asked.get("asset_class") in {None, wire.CLASSES[self.exchange.assets[each.ask.symbol].asset_class]}
            and ("side" not in asked or each.ask.side == asked["side"]) and not (nested and each.parent is not None)
        ]  # fmt: skip
        kept.sort(key=lambda ticket: ticket.sequence, reverse=asked.get("direction", "desc") != "asc")
        limit = _limit(asked.get("limit"), ORDERS, ORDERS_MAX)
        return [wire.order(each, self.exchange, nested=nested) for each in kept[:limit]]

    async def order(self, request: Request) -> Json:
        """Return one order."""
        nested = request.query_params.get("nested", "").lower() == "true"
        return wire.order(self.exchange.order(request.path_params["id"]), self.exchange, nested=nested)

    async def named(self, request: Request) -> Json:
        """Return one order by its client's name."""
        return wire.order(self.exchange.named(request.query_params.get("client_order_id", "")), self.exchange, nested=True)

    async def replace(self, request: Request) -> Json:
        """Put another order in the place of one."""
        ticket = self.exchange.replace(request.path_params["id"], **wire.changes(await _body(request)))
        return wire.order(ticket, self.exchange)

    async def cancel(self, request: Request) -> None:
        """Cancel one order."""
        self.exchange.cancel(request.path_params["id"])

    async def cancel_all(self, request: Request) -> Response:
        """Cancel every open order; an answer for each."""
        ids = [ticket.id for ticket in self.exchange.open_orders()]
        for each in ids:
            if self.exchange.order(each).open:
                self.exchange.cancel(each)
        return JSONResponse([{"id": each, "status": 200, "body": None} for each in ids], 207)

    async def positions(self, request: Request) -> list[Json]:
        """Return what is held."""
        held = self.exchange.holdings.positions
        return [wire.position(symbol, each, self.exchange) for symbol, each in sorted(held.items())]

    async def position(self, request: Request) -> Json:
        """Return one position."""
        symbol = wire.known_symbol(request.path_params["symbol"], self.exchange)
        return wire.position(symbol, self.exchange.holdings.positions[self._held(symbol)], self.exchange)

    async def close(self, request: Request) -> Json:
        """Close a position, or a part of it."""
        symbol = self._held(wire.known_symbol(request.path_params["symbol"], self.exchange))
        quantity = wire.number(request.query_params.get("qty"), "qty")
        share = wire.number(request.query_params.get("percentage"), "percentage")
        return wire.order(self._close(symbol, quantity, share), self.exchange)

    async def close_all(self, request: Request) -> Response:
        """Close every position, after cancelling what holds it where that is asked for."""
        if request.query_params.get("cancel_orders", "").lower() == "true":
            await self.cancel_all(request)
        told = []
        for symbol in sorted(self.exchange.holdings.positions):
            ticket = self._close(symbol, None, None)
            told.append({"symbol": symbol, "status": 200, "body": wire.order(ticket, self.exchange)})
        return JSONResponse(told, 207)

    async def account(self, request: Request) -> Json:
        """Return the account."""
        return wire.account(self.exchange, pattern_day_trader=self._pattern, suspended=self._configured["suspend_trade"])

    async def history(self, request: Request) -> Json:
        """Return what the account was worth over a period, the last month unless told otherwise."""
        asked, exchange = request.query_params, self.exchange
        curve = [*exchange.curve, (exchange.now, exchange.worth().equity)]
        until = _moment(asked.get("end")) or _evening(asked.get("date_end")) or exchange.now
        since = _moment(asked.get("start"))
        return history.told(curve, exchange.terms.capital, asked.get("period"), asked.get("timeframe"), since, until)

    async def activities(self, request: Request) -> list[Json]:
        """Return activities, the newest first unless told otherwise, 100 a page; `page_token` is the last one seen."""
        asked = request.query_params
        kinds = {each for each in (request.path_params.get("kind") or asked.get("activity_types", "")).split(",") if each}
        after, until = _moment(asked.get("after")), _moment(asked.get("until"))
        found = [
            each for each in self.floor.activities
            if (not kinds or each["activity_type"] in kinds)
            and (after is None or _at(each) > after) and (until is None or _at(each) < until)
        ]  # fmt: skip
        if asked.get("direction", "desc") != "asc":
            found.reverse()
        places, token = {each["id"]: place for place, each in enumerate(found)}, asked.get("page_token", "")
        if token and token not in places:
            raise Refused(venues.MALFORMED, f"invalid page_token: {token}")
        start = places.get(token, -1) + 1
        return found[start : start + _limit(asked.get("page_size"), ACTIVITIES_MAX, ACTIVITIES_MAX)]

    async def assets(self, request: Request) -> list[Json]:
        """Return what may be traded."""
        told = [wire.asset(each) for each in self.exchange.assets.values()]
        kind, status = (request.query_params.get(name) for name in ("asset_class", "status"))
        return [each for each in told if kind in {None, each["class"]} and status in {None, each["status"]}]

    async def asset(self, request: Request) -> Json:
        """Return one asset."""
        return wire.asset(self.exchange.assets[wire.known_symbol(request.path_params["symbol"], self.exchange)])

    async def clock(self, request: Request) -> Json:
        """Return the market's time, and whether it is open by the calendar; one without sessions always is."""
        return wire.clock(self.exchange.now, self.exchange.terms.calendar)

    async def calendar(self, request: Request) -> list[Json]:
        """Return sessions, this year's unless told otherwise; of markets without any those of New York, as Alpaca does."""
        today, asked = self.exchange.now.date(), request.query_params
        first = _day(asked.get("start"), date(today.year, 1, 1))
        last = _day(asked.get("end"), date(today.year, 12, 31))
        return wire.sessions(self.exchange.terms.calendar or NEW_YORK, first, last)

    async def configurations(self, request: Request) -> Json:
        """Return what the owner has asked for."""
        return dict(self._configured)

    async def configure(self, request: Request) -> Json:
        """Change what the owner asks for; only suspending trade and short sales make a difference here."""
        told = await _body(request, int)
        if not isinstance(told, dict) or not told.keys() <= self._configured.keys():
            raise Refused(venues.MALFORMED, "invalid account configuration")
        self._configured.update(told)
        return dict(self._configured)

    def _allow(self, asked: Ask) -> None:
        held = self.exchange.holdings.of(asked.symbol).quantity
        if self._configured["suspend_trade"]:
            raise Refused(venues.FORBIDDEN, "new orders are rejected by user request")
        if self._configured["no_shorting"] and asked.side == Side.SELL and (asked.quantity or ZERO) > max(held, ZERO):
            raise Refused(venues.FORBIDDEN, "account is not allowed to short")

    def _sequence(self, order_id: str | None) -> int | None:
        return None if order_id is None else self.exchange.order(order_id).sequence

    def _held(self, symbol: str) -> str:
        if symbol not in self.exchange.holdings.positions:
            raise Refused(venues.NOT_FOUND, "position does not exist")
        return symbol

    def _close(self, symbol: str, quantity: Decimal | None, share: Decimal | None) -> Ticket:
        held, lot = self.exchange.holdings.of(symbol).quantity, self.exchange.assets[symbol].lot
        size = abs(held) if quantity is None else quantity
        if share is not None:
            size = (abs(held) * share / 100 // lot) * lot
        crypto = self.exchange.assets[symbol].asset_class == AssetClass.CRYPTO
        time_in_force = TimeInForce.GTC if crypto else TimeInForce.DAY
        return self.exchange.submit(Ask(symbol, Side.SELL if held > ZERO else Side.BUY, size, time_in_force=time_in_force))


def refusal(problem: Refused) -> Response:
    """Return a refusal as Alpaca words it: its code's first three digits are the status."""
    body = {"code": problem.code, "message": problem.message, **problem.extras}
    return JSONResponse(body, problem.code // 100_000)


def _answered(handler: Callable[[Request], Awaitable[Any]]) -> Callable[[Request], Awaitable[Response]]:
    """Return a handler whose refusals are answers, too."""

    async def answer(request: Request) -> Response:
        try:
            told = await handler(request)
        except Refused as problem:
            return refusal(problem)
        if isinstance(told, Response):
            return told
        return Response(status_code=204) if told is None else JSONResponse(told)

    return answer


async def _body(request: Request, number: Callable[[str], Any] = Decimal) -> Any:
    try:
        # Text stays text and a number keeps every digit that was sent.
        return json.loads(await request.body(), parse_float=number, parse_int=number)
    except ValueError:
        raise Refused(venues.MALFORMED, "request body format is invalid") from None


def _choice(value: str | None, known: dict[str, Any], usual: str) -> str:
    if value is None:
        return usual
    if value not in known:
        raise Refused(venues.MALFORMED, f"invalid status: {value}")
    return value


def _limit(value: str | None, usual: int, most: int) -> int:
    if value is None:
        return usual
    if not value.isdigit() or not 0 < int(value) <= most:
        raise Refused(venues.MALFORMED, f"invalid limit {value}: 1 to {most}")
    return int(value)


def _day(value: str | None, usual: date) -> date:
    try:
        return usual if value is None else date.fromisoformat(value[:10])
    except ValueError:
        raise Refused(venues.MALFORMED, f"invalid day {value}") from None


def _evening(value: str | None) -> datetime | None:
    """Return the end of a day."""
    return None if value is None else datetime.combine(_day(value, date.max), time.max, UTC)


def _moment(value: str | None) -> datetime | None:
    if value is None:
        return None
    try:
        at = datetime.fromisoformat(value.replace(" ", "+"))
    except ValueError:
        raise Refused(venues.MALFORMED, f"invalid time {value}: RFC 3339 is asked for") from None
    if at.tzinfo is None:
        raise Refused(venues.MALFORMED, f"invalid time {value}: it has no zone")
    return at


def _at(told: Json) -> datetime:
    return datetime.fromisoformat(told.get("transaction_time") or told["created_at"])
