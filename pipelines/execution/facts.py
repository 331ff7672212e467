"""Facts: what the loop writes into the journal, a column a field, and how an outcome is read back from it."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from domain import decision
from domain.market import Market
from domain.order import Order
from domain.panel import FloatArray, Panel
from pipelines.execution import accounts, orders
from pipelines.execution.outcome import Curve, Filled, Ordered, Outcome
from pipelines.execution.risk import Verdict
from pipelines.execution.trader import Trader, Worth
from pipelines.journal import Journal

#: The columns of `Ordered` that are codes, and what they stand for.
NAMES = {
    name: [code.name.lower() for code in codes]
    for name, codes in {"outcome": decision.Outcome, "rule": decision.Rule, "reason": decision.Reason}.items()
}


def bar(panel: Panel, worth: Worth, cash: float) -> dict[str, Any]:
    """Return the record of one bar's close."""
    times = {"opened_at_us": orders.microseconds(panel.opened_at[0]), "event_at_us": orders.microseconds(panel.event_at[0])}
    return {**times, "equity": worth.equity, "gross": worth.gross, "charge": worth.charge, "cash": cash}


def filled(panel: Panel, worth: Worth, symbols: Sequence[str]) -> dict[str, list[Any]]:
    """Return the record of one bar's fills."""
    booked = worth.booked
    return {
        "client_order_id": [each.fill.client_order_id for each in booked],
        "symbol": [symbols[each.symbol] for each in booked],
        "quantity": [each.fill.quantity for each in booked],
        "price": [each.fill.price for each in booked],
        "fee": [each.fill.fee for each in booked],
        "realised": [float(each.realised) for each in booked],
        "opened": [float(panel.open[0, each.symbol]) for each in booked],
    }


def intents(who: Trader, symbols: Sequence[str], model_version: str) -> dict[str, Any]:
    """Return the record of one bar's orders, each with its decision's reason and the gate's answer; denied ones have quantity 0.

    It is empty where nothing was asked.
    """
    said = who.verdicts
    rows = np.flatnonzero(said.outcome != decision.Outcome.NONE)
    if not len(rows):
        return {}
    columns = {"asked": said.asked, "quantity": said.order, "mark": who.book.mark, "found": said.found, "limit": said.limit}
    codes = {"outcome": said.outcome, "rule": said.rule, "reason": who.targets.reason}
    return {
        "model": model_version,
        "symbol": [symbols[s] for s in rows.tolist()],
        **{name: _column_told(values[rows]) for name, values in columns.items()},
        **{name: [NAMES[name][code] for code in values[rows].tolist()] for name, values in codes.items()},
    }


def asked(order: Order, quantity: float, verdict: Verdict, reason: decision.Reason) -> dict[str, Any]:
    """Return the record of one order that a person asked for or agreed to, in the columns of `intents`."""
    numbers = {"asked": quantity, "quantity": verdict.quantity, "mark": order.reference_price, "found": verdict.found}
    codes = {"outcome": verdict.outcome, "rule": verdict.rule, "reason": reason}
    return {
        "model": order.model_version,
        "client_order_id": [order.client_order_id],
        "symbol": [order.symbol],
        **{name: [_told(value)] for name, value in {**numbers, "limit": verdict.limit}.items()},
        **{name: [NAMES[name][code]] for name, code in codes.items()},
    }


def _column_told(values: FloatArray) -> list[float | None]:
    """Return numbers as JSON has them."""
    told = values.tolist()
    return told if np.isfinite(values).all() else [_told(value) for value in told]


def _told(value: float) -> float | None:
    """Return a number as JSON has it: what a rule found may be no number, such as the limit of an order that has none."""
    return value if math.isfinite(value) else None


def orders_of(payload: dict[str, Any], market: Market, decided_at: np.datetime64) -> list[Order]:
    """Return the orders that a record of intents stands for."""
    quantity, mark = np.array(payload["quantity"]), np.array(payload["mark"])
    return orders.intents(market.name, payload["model"], decided_at, payload["symbol"], quantity, mark)


def read(journal: Journal, market: Market, symbols: Sequence[str], capital: float, halted: bool) -> Outcome:
    """Return what the journal says came of trading a market; every number is the one that was written, to the last bit.

    A fill or an order is of the bar whose record is the next one after its own. Equity and cash are the account's, which may trade
    other markets, too.
    """
    written = list(accounts.of(market.name, journal.records("bar")))
    bars, places = [stored.payload for stored in written], np.array([stored.sequence for stored in written], dtype=np.int64)
    place, models = {symbol: s for s, symbol in enumerate(symbols)}, []
    for stored in accounts.of(market.name, journal.records("model")):
        models.append((int(stored.payload["bars"]), str(stored.payload["version"])))
    return Outcome(
        market=market,
        models=tuple(models),
        symbols=tuple(symbols),
        opened_at=np.array([payload["opened_at_us"] for payload in bars], dtype="datetime64[us]"),
        event_at=np.array([payload["event_at_us"] for payload in bars], dtype="datetime64[us]"),
        capital=capital,
        curve=Curve._make(np.array([payload[name] for payload in bars], dtype=np.float64) for name in Curve._fields),
        ordered=Ordered._make(_columns(journal, "intent", Ordered._fields, places, place)),
        filled=Filled._make(_columns(journal, "fill", Filled._fields, places, place)),
        halted=halted,
    )


def _columns(
    journal: Journal, kind: str, names: tuple[str, ...], bars: npt.NDArray[np.int64], place: dict[str, int]
) -> list[np.ndarray[Any, Any]]:
    gathered: dict[str, list[Any]] = {name: [] for name in names}
    for stored in journal.records(kind):
        row, payload = int(np.searchsorted(bars, stored.sequence)), stored.payload
        # What came after the newest bar belongs to the next one, and a record is of one market.
        if row < len(bars) and place.keys() >= set(payload["symbol"]):
            known = {"row": [row] * len(payload["symbol"]), **_unheard(payload), **payload}
            for name in names:
                gathered[name] += known[name]
    return [_column(name, values, place) for name, values in gathered.items()]


def _unheard(payload: dict[str, Any]) -> dict[str, list[float]]:
    """Return the column that a live journal does not hold: the opens of the bars in which orders were filled, yet to close then."""
    return {"opened": [math.nan] * len(payload["symbol"])}


def _column(name: str, values: list[Any], place: dict[str, int]) -> np.ndarray[Any, Any]:
    if name in NAMES:
        codes = {word: code for code, word in enumerate(NAMES[name])}
        return np.array([codes[word] for word in values], dtype=np.int64)
    if name == "symbol":
        return np.array([place[symbol] for symbol in values], dtype=np.int64)
    return np.array(values, dtype=np.int64 if name == "row" else np.float64)
