"""Hand: a person's orders, cancels and answers to proposals, left for the trader of an account and answered by its journal."""

import time
from decimal import Decimal
from pathlib import Path
from typing import Any

from domain import clock
from domain.clock import SystemClock
from domain.error import ConfigurationError, NoData, OrderRefused, nearest
from domain.order import OrderKind, Terms, TimeInForce
from flows.home import Broker, Home
from flows.vitals import Sign
from pipelines.execution import commands
from pipelines.execution.accounts import JOURNAL
from pipelines.execution.commands import Word
from pipelines.execution.core import machine, remembered
from pipelines.execution.core.working import Working
from pipelines.journal import Journal

#: Seconds that a trader has to answer, and between two looks whether it did.
PATIENCE_S, LOOK_S = 10.0, 0.05


def folder(market: str, broker: Broker, home: Home) -> Path:
    """Return the folder of an account that people may order for; raise ConfigurationError for one that takes no orders by hand."""
    if broker == Broker.PAPER:
        raise ConfigurationError(
            "the paper account trades by itself and takes no orders by hand: name the broker, with --broker exchange or alpaca"
        )
    found = [each for each in home.accounts(market, broker) if (each / JOURNAL).is_file()]
    if not found:
        raise NoData(
            f"'{market}' has no account at {broker} yet: start `nightshift trade --market {market} --broker {broker}` first"
        )
    if len(found) > 1:
        raise ConfigurationError(
            f"'{market}' is traded by several accounts at {broker} ({', '.join(each.name for each in found)}): move away the "
            "folders of those that trade no more"
        )
    return found[0]


def terms(limit: float | None, stop: float | None, force: TimeInForce) -> Terms:
    """Return how an order wants to be executed, its kind by the prices that it comes with; raise ConfigurationError."""
    for name, price in (("limit", limit), ("stop", stop)):
        if price is not None and not price > 0.0:
            raise ConfigurationError(f"a {name} of {price} was asked for: prices are above 0")
    kinds = {
        (False, False): OrderKind.MARKET, (True, False): OrderKind.LIMIT,
        (False, True): OrderKind.STOP, (True, True): OrderKind.STOP_LIMIT,
    }  # fmt: skip
    return Terms(kinds[limit is not None, stop is not None], force, limit_price=limit, stop_price=stop)


def told(wanted: Terms) -> dict[str, Any]:
    """Return terms as a command carries them."""
    words = {"kind": wanted.kind, "time_in_force": wanted.time_in_force}
    return {**words, "limit_price": wanted.limit_price, "stop_price": wanted.stop_price}


def proposal(symbol: str, market: str, broker: Broker, home: Home) -> tuple[str, Decimal]:
    """Return name and signed quantity of the open proposal for a symbol; raise NoData where there is none."""
    found = {each["symbol"]: (each["proposal"], Decimal(each["quantity"])) for each in standing(market, broker, home)["proposals"]}
    if symbol not in found:
        known = f": {nearest(symbol, tuple(found))}" if found else ", nor for any other symbol"
        raise NoData(f"no proposal for '{symbol}' is open{known}")
    return found[symbol]


def ask(market: str, broker: Broker, home: Home, word: Word, actor: str, reason: str, **wish: Any) -> dict[str, Any]:
    """Leave a word for the trader and return its answer.

    Raises OrderRefused where it is refused, and NoData where no trader answers in time: the word is then taken back.
    """
    place = folder(market, broker, home)
    with Journal.read_only(place / JOURNAL) as journal:
        since = journal.head().sequence
        left = commands.leave(place, word, actor, reason, clock.nanoseconds(SystemClock().now()), **wish)
        answer = _answer(journal, since, left.name, PATIENCE_S)
        if answer is None:
            left.unlink(missing_ok=True)
            # The trader may have read it at the last moment.
            answer = _answer(journal, since, left.name, 1.0)
    if answer is None:
        raise NoData(
            f"no trader of '{market}' at {broker} answered within {PATIENCE_S:.0f} s, and '{word}' was taken back: is it running?"
        )
    return _accepted(answer)


def standing(market: str, broker: Broker, home: Home) -> dict[str, list[dict[str, Any]]]:
    """Return an account's open orders, as its journal has them, and the proposals of its trader, which end with its process."""
    place = folder(market, broker, home)
    with Journal.read_only(place / JOURNAL) as journal:
        kept = journal.latest_snapshot()
        if kept is None:
            return {"orders": [], "proposals": []}
        found = remembered.rebuilt(journal.records(since=machine.oldest(kept[1])))
    sign = Sign.read(place)
    proposals = machine.progress(kept[1])["proposals"] if sign is not None and sign.lives else {}
    return {
        "orders": [_order(working) for working in found.values() if not working.settled],
        "proposals": [{"proposal": name, **each} for name, each in proposals.items()],
    }


def _order(working: Working) -> dict[str, Any]:
    made = working.order
    return {
        "order": made.client_order_id, "symbol": made.symbol, "quantity": f"{working.quantity.normalize():f}",
        "filled": f"{working.filled.normalize():f}", "state": working.state.value, "kind": made.terms.kind.value,
        "limit": made.terms.limit_price, "stop": made.terms.stop_price, "by": made.model_version or "unknown",
    }  # fmt: skip


def _answer(journal: Journal, since: int, identity: str, patience_s: float) -> dict[str, Any] | None:
    """Return what the trader wrote of a word, nothing if it writes nothing within a time."""
    end = time.monotonic() + patience_s
    while time.monotonic() < end:
        for stored in journal.records("verdict", since):
            if stored.payload["command"] == identity:
                return stored.payload
        time.sleep(LOOK_S)
    return None


def _accepted(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer that lets something pass; raise OrderRefused for one that does not."""
    if answer["refusal"]:
        raise OrderRefused(answer["refusal"])
    if "quantity" in answer and Decimal(answer["quantity"]) == 0:
        raise OrderRefused(
            f"{answer['asked']:g} of {answer['symbol']} was asked for, and the gate lets none of it pass: rule {answer['rule']}, "
            f"found {answer['found']}, limit {answer['limit']}"
        )
    return {name: value for name, value in answer.items() if name not in {"refusal", "command"}}
