"""Words: Alpaca's JSON as ours and ours as Alpaca's. Pure; every number is read from its text, none is ever a binary fraction."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from typing import Any

from domain.order import OrderState
from pipelines.execution.core.events import Charge, Execution, Power, Report
from pipelines.execution.core.plan import Submit

Json = Mapping[str, Any]
ZERO = Decimal(0)
#: Activities that are executions; all others move money or shares without a trade.
FILL = "FILL"
#: Those whose quantity is what a holding changed by: a split, a fee in coins, a delisting. Of others it is what they are about.
MOVING = frozenset({"SPLIT", "CFEE", "REORG"})
#: A side that is none of these is not guessed.
SIGNS = {"buy": 1, "sell": -1, "sell_short": -1}
STATES = {state.value: state for state in OrderState if state not in {OrderState.INTENT, OrderState.UNKNOWN}}


class Unreadable(Exception):
    """An answer that cannot be understood."""


class Names:
    """The account's symbols by every way in which Alpaca writes them: crypto positions come without a slash."""

    def __init__(self, symbols: Iterable[str]) -> None:
        self._known = {_plain(symbol): symbol for symbol in symbols}

    def ours(self, said: Any) -> str:
        """Return our name; a symbol that is not ours keeps the one it came with; raise Unreadable for what is no text."""
        if not isinstance(said, str):
            raise Unreadable(f"{said!r} where a symbol was expected")
        return self._known.get(_plain(said), said)


def body(request: Submit) -> dict[str, Any]:
    """Return the body that submits an order; the SDK would make binary fractions of its numbers, so they are text."""
    order, terms = request.order, request.order.terms
    told: dict[str, Any] = {
        "symbol": order.symbol,
        "side": "buy" if request.quantity > 0 else "sell",
        "qty": format(abs(request.quantity).normalize(), "f"),
        "type": terms.kind.value,
        "time_in_force": terms.time_in_force.value,
        "client_order_id": order.client_order_id,
        "extended_hours": terms.extended_hours,
        "order_class": terms.order_class.value,
    }
    for name in ("limit_price", "stop_price", "trail_price", "trail_percent"):
        if (price := getattr(terms, name)) is not None:
            told[name] = _price(price)
    if terms.take_profit is not None:
        told["take_profit"] = {"limit_price": _price(terms.take_profit)}
    if terms.stop_loss is not None:
        limit = {} if terms.stop_loss_limit is None else {"limit_price": _price(terms.stop_loss_limit)}
        told["stop_loss"] = {"stop_price": _price(terms.stop_loss), **limit}
    return told


def report(told: Json, names: Names) -> Report:
    """Return what an order's JSON says; raise Unreadable. One that was ordered by its value has no quantity but what was filled.

    A status that nobody here knows counts as one that is still being looked at: open, and in full.
    """
    try:
        by_value = told["qty"] is None
        size, sign = number(told["filled_qty" if by_value else "qty"] or "0"), SIGNS[told["side"]]
        notional = number(told.get("notional") or "0") if by_value else ZERO
        state = STATES.get(told["status"], OrderState.PENDING_REVIEW)
        name, filled = told["client_order_id"], number(told["filled_qty"] or "0")
        return Report(str(name), str(told["id"]), names.ours(told["symbol"]), size * sign, state, filled, notional * sign)
    except (KeyError, TypeError) as problem:
        raise Unreadable(f"an order without {problem}") from None


def execution(told: Json, names: Names) -> Execution | None:
    """Return the execution that a trade update tells of; None where it tells of none."""
    if told.get("event") not in {"fill", "partial_fill"}:
        return None
    order = told["order"]
    size = number(told["qty"])
    signed = size * SIGNS[order["side"]]
    return Execution(
        str(order["client_order_id"]), names.ours(order["symbol"]), signed, number(told["price"]), ZERO,
        number(order["filled_qty"]), nanoseconds(told["timestamp"]),
    )  # fmt: skip


def filled(activity: Json, client_order_id: str, names: Names) -> Execution:
    """Return the execution that an activity of the kind FILL tells of."""
    size = number(activity["qty"])
    signed = size * SIGNS[activity["side"]]
    return Execution(
        client_order_id, names.ours(activity["symbol"]), signed, number(activity["price"]), ZERO, number(activity["cum_qty"]),
        nanoseconds(activity["transaction_time"]),
    )  # fmt: skip


def charge(activity: Json, names: Names) -> Charge:
    """Return what any other activity moved: money, and what is held."""
    moved = number(activity.get("qty") or "0")
    at = activity.get("created_at") or f"{activity['date']}T00:00:00+00:00"
    return Charge(
        str(activity["id"]), number(activity.get("net_amount") or "0"), str(activity["activity_type"]), nanoseconds(at),
        names.ours(activity.get("symbol") or ""), moved if activity["activity_type"] in MOVING else ZERO,
    )  # fmt: skip


def positions(told: Iterable[Json], names: Names) -> dict[str, Decimal]:
    """Return signed quantities."""
    held = {names.ours(each["symbol"]): number(each["qty"]) for each in told}
    return {symbol: quantity for symbol, quantity in held.items() if quantity}


def power(account: Json) -> Power | None:
    """Return what may be spent; None where the account does not tell."""
    told = account.get("buying_power"), account.get("non_marginable_buying_power")
    return None if None in told else Power(number(told[0]), number(told[1]))


def number(value: Any) -> Decimal:
    """Return a number from its text; raise Unreadable for what is none, for infinities and for binary fractions."""
    if not isinstance(value, str | int):
        raise Unreadable(f"{value!r} where a number's text was expected")
    try:
        found = Decimal(value)
    except InvalidOperation:
        raise Unreadable(f"{value!r} where a number was expected") from None
    if not found.is_finite():
        raise Unreadable(f"{value!r} where a finite number was expected")
    return found


def nanoseconds(value: Any) -> int:
    """Return RFC 3339 time, of up to nine fractional digits, as nanoseconds since 1970; raise Unreadable."""
    if not isinstance(value, str):
        raise Unreadable(f"{value!r} where a time was expected")
    head, dot, tail = value.partition(".")
    digits = tail[: len(tail) - len(tail.lstrip("0123456789"))] if dot else ""
    try:
        at = datetime.fromisoformat((head + tail[len(digits) :]).replace("Z", "+00:00"))
    except ValueError:
        raise Unreadable(f"{value!r} where a time was expected") from None
    if at.tzinfo is None:
        raise Unreadable(f"{value!r} has no zone")
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 10**9 + int(digits[:9].ljust(9, "0") or 0)


def _plain(symbol: str) -> str:
    return symbol.replace("/", "").replace("-", "").upper()


def _price(value: float) -> str:
    return format(Decimal(repr(value)).normalize(), "f")
