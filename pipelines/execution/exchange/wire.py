"""Wire: what goes over it, in the shapes that Alpaca documents and its client requires.

Numbers are text, what is not set is null, times are RFC 3339. Source: Alpaca's Trading API, OpenAPI 2.0.1.
"""

import uuid
from collections.abc import Mapping
from datetime import date, datetime, timedelta
from decimal import Decimal, InvalidOperation
from enum import StrEnum
from itertools import pairwise
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from domain import session
from domain import venue as venues
from domain.market import AssetClass
from domain.order import OrderClass, OrderKind, OrderState, TimeInForce
from domain.venue import Ask, Leg, Refused, Side
from pipelines.execution.matching.account import NAMESPACE, Asset
from pipelines.execution.matching.exchange import Exchange
from pipelines.execution.matching.holdings import Holding
from pipelines.execution.matching.tickets import ZERO, Activity, Execution, Ticket, Update

Json = dict[str, Any]
Word = TypeVar("Word", bound=StrEnum)
CLASSES = {AssetClass.EQUITY: "us_equity", AssetClass.CRYPTO: "crypto", AssetClass.FX: "us_equity"}
VENUES = {AssetClass.EQUITY: "NASDAQ", AssetClass.CRYPTO: "CRYPTO", AssetClass.FX: "NASDAQ"}
#: Days within which the session after another one comes.
SETTLED = timedelta(days=14)
ACCOUNT_ID = str(uuid.uuid5(NAMESPACE, "account"))


def moment(at: datetime | None) -> str | None:
    """Return a time as RFC 3339."""
    return None if at is None else at.isoformat().replace("+00:00", "Z")


def text(number: Decimal | None) -> str | None:
    """Return a number as plain text, without an exponent and without zeros that say nothing."""
    return None if number is None else format(number.normalize(), "f")


def order(ticket: Ticket, exchange: Exchange, *, nested: bool = False) -> Json:
    """Return an order as Alpaca tells it; `nested` puts its legs inside."""
    ask, asset = ticket.ask, exchange.assets[ticket.ask.symbol]
    ended = {state: moment(ticket.ended_at) if ticket.state == state else None for state in OrderState}
    legs = [order(exchange.tickets[each], exchange) for each in ticket.legs] if nested and ticket.legs else None
    return {
        "id": ticket.id,
        "client_order_id": ticket.client_order_id,
        "created_at": moment(ticket.created_at),
        "updated_at": moment(ticket.updated_at),
        "submitted_at": moment(ticket.created_at),
        "filled_at": moment(ticket.filled_at),
        "expired_at": ended[OrderState.EXPIRED],
        "expires_at": moment(ticket.expires_at),
        "canceled_at": ended[OrderState.CANCELED],
        "failed_at": ended[OrderState.REJECTED],
        "replaced_at": ended[OrderState.REPLACED],
        "replaced_by": ticket.replaced_by,
        "replaces": ticket.replaces,
        "asset_id": asset.id,
        "symbol": ask.symbol,
        "asset_class": CLASSES[asset.asset_class],
        "notional": text(ask.notional),
        "qty": text(ticket.quantity) if ask.notional is None else None,
        "filled_qty": text(ticket.filled),
        "filled_avg_price": text(ticket.average),
        "order_class": "" if ask.order_class == OrderClass.SIMPLE else ask.order_class.value,
        "order_type": ask.kind.value,
        "type": ask.kind.value,
        "side": ask.side.value,
        "position_intent": intent(ask.side, closes=ticket.closes),
        "time_in_force": ask.time_in_force.value,
        "limit_price": text(ask.limit_price),
        "stop_price": text(ticket.stop_price),
        "status": ticket.state.value,
        "extended_hours": ask.extended_hours,
        "legs": legs,
        "trail_percent": text(ask.trail_percent),
        "trail_price": text(ask.trail_price),
        "hwm": text(ticket.high_water),
        "subtag": None,
        "source": None,
    }


def intent(side: Side, *, closes: bool) -> str:
    """Return what an order does to the position that is held, in Alpaca's word."""
    return f"{side}_to_{'close' if closes else 'open'}"


def update(told: Update, exchange: Exchange) -> Json:
    """Return what the order stream says of an update."""
    data: Json = {"event": told.event.value, "timestamp": moment(told.at), "order": order(told.ticket, exchange)}
    if told.execution is not None:
        done = told.execution
        data |= {
            "execution_id": done.id,
            "price": text(done.price),
            "qty": text(done.quantity),
            "position_qty": text(told.position),
        }
    return {"stream": "trade_updates", "data": data}


def account(exchange: Exchange, *, pattern_day_trader: bool, suspended: bool) -> Json:
    """Return the account; the fields of the pattern-day-trader rule come where they are asked for, Alpaca has taken them away."""
    worth = exchange.worth()
    told: Json = {
        "id": ACCOUNT_ID,
        "account_number": exchange.terms.number,
        "status": "ACTIVE",
        "crypto_status": "ACTIVE",
        "currency": "USD",
        "cash": text(worth.cash),
        "equity": text(worth.equity),
        "last_equity": text(worth.last_equity),
        "portfolio_value": text(worth.equity),
        "buying_power": text(worth.buying_power),
        "regt_buying_power": text(worth.buying_power),
        "non_marginable_buying_power": text(worth.non_marginable),
        "options_buying_power": "0",
        "long_market_value": text(worth.long_value),
        "short_market_value": text(worth.short_value),
        "initial_margin": text((worth.long_value - worth.short_value) / exchange.terms.multiplier),
        "maintenance_margin": text((worth.long_value - worth.short_value) * Decimal("0.3")),
        "last_maintenance_margin": "0",
        "sma": "0",
        "multiplier": text(exchange.terms.multiplier),
        "accrued_fees": "0",
        "pending_transfer_in": "0",
        "pending_transfer_out": "0",
        "created_at": "2024-01-01T00:00:00Z",
        "balance_asof": exchange.now.date().isoformat(),
        "trading_blocked": False,
        "transfers_blocked": False,
        "account_blocked": False,
        "trade_suspended_by_user": suspended,
        "shorting_enabled": True,
    }
    if pattern_day_trader:
        told |= {"pattern_day_trader": False, "daytrade_count": 0, "daytrading_buying_power": "0"}
    return told


def position(symbol: str, held: Holding, exchange: Exchange) -> Json:
    """Return a position; crypto is written without its slash, as Alpaca does."""
    asset, mark = exchange.assets[symbol], exchange.marks.get(symbol, held.average)
    value, cost = held.quantity * mark, held.quantity * held.average
    gain = value - cost
    share = gain / abs(cost) if cost else ZERO
    crypto = asset.asset_class == AssetClass.CRYPTO
    return {
        "asset_id": asset.id,
        "symbol": symbol.replace("/", "") if crypto else symbol,
        "exchange": VENUES[asset.asset_class],
        "asset_class": CLASSES[asset.asset_class],
        "asset_marginable": not crypto,
        "qty": text(held.quantity),
        "qty_available": text(exchange.available(symbol)),
        "side": "long" if held.quantity > 0 else "short",
        "avg_entry_price": text(held.average),
        "market_value": text(value),
        "cost_basis": text(cost),
        "unrealized_pl": text(gain),
        "unrealized_plpc": text(share),
        "unrealized_intraday_pl": text(gain),
        "unrealized_intraday_plpc": text(share),
        "current_price": text(mark),
        "lastday_price": text(mark),
        "change_today": "0",
    }


def asset(known: Asset) -> Json:
    """Return an asset."""
    crypto = known.asset_class == AssetClass.CRYPTO
    return {
        "id": known.id,
        "class": CLASSES[known.asset_class],
        "exchange": VENUES[known.asset_class],
        "symbol": known.symbol,
        "name": known.symbol,
        "status": "active" if known.tradable else "inactive",
        "tradable": known.tradable,
        "marginable": not crypto,
        "shortable": known.shortable,
        "easy_to_borrow": known.shortable,
        "fractionable": known.lot < 1,
        "min_order_size": text(known.lot),
        "min_trade_increment": text(known.lot),
        "price_increment": "0.01",
    }


def sessions(calendar: str, first: date, last: date) -> list[Json]:
    """Return the sessions of some days by the exchange's own clock; what is traded in one is settled on the day of the next."""
    zone = ZoneInfo(session.zone(calendar))
    table = session.sessions(calendar, first, last + SETTLED)
    rows = table.select("session", "opened_at", "closed_at", "pre_opened_at", "post_closed_at").rows()
    told = []
    for (day, *moments), (after, *_) in pairwise(rows):
        opened, closed, early, late = (at.astimezone(zone) for at in moments)
        told.append({
            "date": day.isoformat(), "open": f"{opened:%H:%M}", "close": f"{closed:%H:%M}", "session_open": f"{early:%H%M}",
            "session_close": f"{late:%H%M}", "settlement_date": after.isoformat(),
        })  # fmt: skip
    return [each for each in told if each["date"] <= last.isoformat()]


def clock(now: datetime, calendar: str | None) -> Json:
    """Return Alpaca's clock; without a calendar the market is always open."""
    if calendar is None:
        tomorrow = moment(now + timedelta(days=1))
        return {"timestamp": moment(now), "is_open": True, "next_open": tomorrow, "next_close": tomorrow}
    table = session.sessions(calendar, now.date() - timedelta(days=1), now.date() + SETTLED)
    hours = list(zip(table["opened_at"], table["closed_at"], strict=True))
    return {
        "timestamp": moment(now), "is_open": any(opened <= now < closed for opened, closed in hours),
        "next_open": moment(min(opened for opened, _ in hours if opened > now)),
        "next_close": moment(min(closed for _, closed in hours if closed > now)),
    }  # fmt: skip


def fill(done: Execution, ticket: Ticket) -> Json:
    """Return the activity of one execution."""
    return {
        "id": _activity_id(done.at, done.id),
        "activity_type": "FILL",
        "type": "fill" if done.leaves == 0 else "partial_fill",
        "transaction_time": moment(done.at),
        "price": text(done.price),
        "qty": text(done.quantity),
        "side": done.side.value,
        "symbol": done.symbol,
        "leaves_qty": text(done.leaves),
        "cum_qty": text(done.cumulative),
        "order_id": done.order_id,
        "order_status": ticket.state.value,
    }


def activity(paid: Activity) -> Json:
    """Return any other activity."""
    return {
        "id": _activity_id(paid.at, str(uuid.uuid5(NAMESPACE, f"activity {paid.sequence}"))),
        "activity_type": paid.kind,
        "date": paid.at.date().isoformat(),
        "created_at": moment(paid.at),
        "net_amount": text(paid.amount),
        "symbol": paid.symbol,
        "qty": text(paid.quantity),
        "status": "executed",
        "description": paid.description,
    }


def _activity_id(at: datetime, name: str) -> str:
    return f"{at:%Y%m%d%H%M%S}{at.microsecond // 1000:03d}::{name}"


def asked(body: Any, exchange: Exchange) -> Ask:
    """Return the order that the body of a request asks for; raise Refused for one that is none, or means another position."""
    if not isinstance(body, Mapping):
        raise Refused(venues.MALFORMED, "request body format is invalid")
    symbol = known_symbol(str(body.get("symbol", "")), exchange)
    crypto = exchange.asset(symbol).asset_class == AssetClass.CRYPTO
    if crypto and body.get("position_intent"):
        raise Refused(venues.INVALID, "position_intent is not supported for crypto orders")
    side = _word(Side, body.get("side"), "side")
    held = exchange.holdings.of(symbol).quantity
    meant, inferred = body.get("position_intent"), intent(side, closes=held < 0 if side == Side.BUY else held > 0)
    if meant not in {None, inferred}:
        raise Refused(venues.INVALID, f"position intent mismatch, inferred: {inferred}, specified: {meant}")
    return Ask(
        symbol=symbol,
        side=side,
        quantity=number(body.get("qty"), "qty"),
        notional=number(body.get("notional"), "notional"),
        kind=_word(OrderKind, body.get("type") or body.get("order_type"), "type"),
        time_in_force=_word(TimeInForce, body.get("time_in_force"), "time_in_force"),
        limit_price=number(body.get("limit_price"), "limit_price"),
        stop_price=number(body.get("stop_price"), "stop_price"),
        trail_price=number(body.get("trail_price"), "trail_price"),
        trail_percent=number(body.get("trail_percent"), "trail_percent"),
        extended_hours=bool(body.get("extended_hours")),
        client_order_id=_name(body.get("client_order_id")),
        order_class=_word(OrderClass, body.get("order_class") or "simple", "order_class"),
        take_profit=_leg(body.get("take_profit")),
        stop_loss=_leg(body.get("stop_loss")),
    )


def changes(body: Any) -> Json:
    """Return what a replacement changes; raise Refused for what is none."""
    if not isinstance(body, Mapping):
        raise Refused(venues.MALFORMED, "request body format is invalid")
    found: Json = {"client_order_id": _name(body.get("client_order_id")), "quantity": number(body.get("qty"), "qty")}
    for name in ("limit_price", "stop_price"):
        if body.get(name) is not None:
            found[name] = number(body[name], name)
    if body.get("trail") is not None:
        found["trail_price"] = number(body["trail"], "trail")
    if body.get("time_in_force") is not None:
        found["time_in_force"] = _word(TimeInForce, body["time_in_force"], "time_in_force")
    return found


def known_symbol(said: str, exchange: Exchange) -> str:
    """Return our name of a symbol, which Alpaca may write with a slash or without; of an asset also by its identifier."""
    for symbol, known in exchange.assets.items():
        if said in {symbol, known.id, symbol.replace("/", "")}:
            return symbol
    raise Refused(venues.NOT_FOUND, f"asset not found for {said}")


def number(value: Any, name: str) -> Decimal | None:
    """Return a number that came as text or as a JSON number; raise Refused for anything else."""
    if value is None:
        return None
    try:
        return Decimal(str(value))
    except InvalidOperation:
        raise Refused(venues.MALFORMED, f"{name} is not a number: {value}") from None


def _word(words: type[Word], value: Any, name: str) -> Word:
    try:
        return words(value)
    except ValueError:
        raise Refused(venues.MALFORMED, f"invalid {name}: {value}") from None


def _name(value: Any) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str) or not 0 < len(value) <= 128:
        raise Refused(venues.MALFORMED, "client_order_id must be no more than 128 characters")
    return value


def _leg(value: Any) -> Leg | None:
    if value is None:
        return None
    if not isinstance(value, Mapping):
        raise Refused(venues.MALFORMED, f"invalid leg: {value}")
    return Leg(number(value.get("limit_price"), "limit_price"), number(value.get("stop_price"), "stop_price"))
