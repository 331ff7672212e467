"""Remembered: orders as the journal tells of them. A restart reads them there; the state that is kept with each record holds none.

An order takes three kinds of records: the intent that it is sent with, or its adoption; its moves; its executions. Those of a bar
are many, and what ended long ago is still to be known: written anew with every record they would cost more than all else together.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from decimal import Decimal
from typing import Any

from domain.order import Order, OrderState, Terms
from pipelines.execution.core.events import EPOCH
from pipelines.execution.core.working import Working
from pipelines.journal import Stored

#: The kinds of records that tell of orders, and how each is read.
KINDS = ("intent", "order", "fill", "verdict")


def told(sent: Sequence[Working]) -> dict[str, Any]:
    """Return what the record of an intent holds of the orders sent with it, which have their decision and terms in common."""
    first = sent[0].order if sent else None
    common = {} if first is None else {
        "market": first.market, "model": first.model_version, "decided_at": first.decided_at.isoformat(),
        "terms": {name: value for name, value in asdict(first.terms).items() if value is not None},
    }  # fmt: skip
    marks = [each.order.reference_price for each in sent]
    return {
        **common,
        "client_order_id": [each.order.client_order_id for each in sent],
        "symbol": [each.order.symbol for each in sent],
        "quantity": [str(each.quantity) for each in sent],
        "mark": [mark if math.isfinite(mark) else None for mark in marks],
        "forced": [each.forced for each in sent],
    }


def move(working: Working, reason: str) -> dict[str, Any]:
    """Return the record of where an order stands now."""
    resized = {"quantity": str(working.quantity)} if working.resized else {}
    return {
        "client_order_id": working.order.client_order_id, "state": working.state.value, "filled": str(working.reported),
        "broker_id": working.broker_id, "absent": working.absent, "reason": reason, **resized,
    }  # fmt: skip


def adoption(working: Working) -> dict[str, Any]:
    """Return the record of an order that was found and not sent, with what was booked of it by whoever was here before."""
    found = {"symbol": working.order.symbol, "quantity": str(working.quantity), "by_value": working.by_value}
    booked = {str(cumulative): str(size) for cumulative, size in working.booked.items()}
    return {**move(working, "found at the broker"), "adopted": {**found, "booked": booked}}


def rebuilt(records: Iterable[Stored], now_ns: int = 0) -> dict[str, Working]:
    """Return orders by client order id, oldest first, as of a process that starts now: whatever was sent last is unknown.

    Of an order whose beginning the records do not hold nothing is made: it ended before, and was forgotten.
    """
    found: dict[str, Working] = {}
    for stored in records:
        if stored.kind in KINDS:
            READERS[stored.kind](stored, found, now_ns)
    return found


def _intended(stored: Stored, found: dict[str, Working], now_ns: int) -> None:
    told = stored.payload.get("orders", {"client_order_id": ()})
    for row, name in enumerate(told["client_order_id"]):
        quantity, mark = Decimal(told["quantity"][row]), told["mark"][row]
        order = Order(
            name, told["market"], told["symbol"][row], float(quantity), datetime.fromisoformat(told["decided_at"]), told["model"],
            math.nan if mark is None else mark, Terms.read(told["terms"]),
        )  # fmt: skip
        found[name] = Working(
            order, quantity, OrderState.UNKNOWN, forced=told["forced"][row], since_ns=now_ns, since=stored.sequence - 1
        )  # fmt: skip


def _moved(stored: Stored, found: dict[str, Working], now_ns: int) -> None:
    told, name = stored.payload, stored.payload["client_order_id"]
    if "adopted" in told:
        found[name] = _adopted(name, told["adopted"], now_ns, stored.sequence - 1)
    if name in found:
        quantity = Decimal(told["quantity"]) if "quantity" in told else None
        found[name].put(
            OrderState(told["state"]), Decimal(told["filled"]), told["broker_id"], now_ns, absent=told["absent"], quantity=quantity
        )  # fmt: skip


def _adopted(name: str, told: dict[str, Any], now_ns: int, since: int) -> Working:
    quantity = Decimal(told["quantity"])
    order = Order(name, "", told["symbol"], float(quantity), EPOCH, "", 0.0)
    booked = {Decimal(cumulative): Decimal(size) for cumulative, size in told["booked"].items()}
    return Working(
        order, quantity, OrderState.UNKNOWN, foreign=True, by_value=told["by_value"], booked=booked, since_ns=now_ns, since=since
    )  # fmt: skip


def _filled(stored: Stored, found: dict[str, Working], now_ns: int) -> None:
    told = stored.payload
    for name, cumulative, size in zip(told["client_order_id"], told["cumulative"], told["size"], strict=True):
        if name in found:
            found[name].count(Decimal(cumulative), Decimal(size))


def _withdrawn(stored: Stored, found: dict[str, Working], now_ns: int) -> None:
    name = stored.payload.get("cancel")
    if name in found:
        found[name].unwanted = True


READERS: dict[str, Callable[[Stored, dict[str, Working], int], None]] = {
    "intent": _intended, "order": _moved, "fill": _filled, "verdict": _withdrawn,
}  # fmt: skip
