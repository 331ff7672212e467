"""Rounds of killing, and the comparison of what the trader wrote with what the exchange knows."""

import random
import time
from collections import Counter
from decimal import Decimal
from pathlib import Path
from typing import Any

from domain.order import TERMINAL, OrderState
from pipelines import journal
from pipelines.journal import Journal, Stored
from tests.pipelines.execution.live import served

#: What goes wrong in each round, in turn.
WEATHER = [
    [],
    [{"action": "hang_after", "method": "POST", "seconds": 1.5, "times": 2}],
    [{"action": "status_after", "method": "POST", "times": 3}],
    [{"action": "status_before", "method": "POST", "times": 2, "status": 502, "body": "<html>", "content_type": "text/html"}],
    [{"action": "status_before", "method": "GET", "path": "/v2/account", "times": 3, "status": 500}],
    [{"action": "drop_after", "method": "POST", "times": 2}],
    [{"action": "truncate", "method": "POST", "times": 2}],
]


def rounds(folder: Path, number: int, seed: int) -> tuple[dict[str, Any], list[Stored], list[float]]:
    """Kill a trader `number` times, let it come to rest, and return (truth, records, seconds to be ready)."""
    chance = random.Random(seed)
    with served.exchange(folder, seed) as (url, market):
        market.bar()
        for each in range(number):
            market.admin.put("/faults", json=WEATHER[each % len(WEATHER)]).raise_for_status()
            market.admin.put("/stream", json={"drop": chance.randint(0, 2), "duplicate": chance.randint(0, 2)}).raise_for_status()
            with served.trader(url, folder):
                end = time.monotonic() + chance.uniform(0.2, 4.0)
                while time.monotonic() < end:
                    market.bar()
                    time.sleep(chance.uniform(0.02, 0.2))
        market.admin.put("/faults", json=[]).raise_for_status()
        market.admin.put("/stream", json={"drop": 0, "duplicate": 0}).raise_for_status()
        with served.trader(url, folder):
            for _ in range(8):
                time.sleep(1.0)
                market.bar()
            time.sleep(6.0)
        truth = market.truth()
    records = Journal.read_only(folder / "journal.db")
    with records:
        told = list(records.records())
    ready = [float(line) for line in (folder / "ready.txt").read_text().split()]
    return truth, told, ready


def payloads(records: list[Stored], kind: str) -> list[dict[str, Any]]:
    """Return the payloads of a kind."""
    return [record.payload for record in records if record.kind == kind]


def audit(folder: Path, truth: dict[str, Any], records: list[Stored]) -> None:
    """Raise AssertionError unless every order was intended once, every execution is booked once, and money and shares agree."""
    names = [order["client_order_id"] for order in truth["orders"]]
    assert max(Counter(names).values()) == 1, "an order was sent twice"
    assert set(names) <= intended(records), "an order was sent that nobody intended"
    fills, by_id = payloads(records, "fill"), {order["id"]: order["client_order_id"] for order in truth["orders"]}
    booked = [(fill["client_order_id"][0], Decimal(fill["cumulative"][0])) for fill in fills]
    happened = [(by_id[done["order_id"]], Decimal(done["cum_qty"])) for done in truth["executions"]]
    unfinished = {order["client_order_id"] for order in truth["orders"] if OrderState(order["status"]) not in TERMINAL}
    assert max(Counter(booked).values()) == 1, "a fill was booked twice"
    assert set(booked) <= set(happened), "a fill was booked that never happened"
    assert {key for key in happened if key[0] not in unfinished} <= set(booked), "a fill was never booked"
    held, cash = money(records)
    assert held == {symbol: Decimal(size) for symbol, size in truth["positions"].items()}, "positions differ"
    assert abs(cash - Decimal(truth["cash"])) < Decimal("0.005"), f"cash is {cash} here and {truth['cash']} there"
    assert not payloads(records, "halt"), "the trader halted"
    assert journal.verify(folder / "journal.db").head.sequence == len(records), "the journal's chain is broken"


def intended(records: list[Stored]) -> set[str]:
    """Return the names of all orders that the journal intends."""
    at = {record.sequence: record.payload["event_at_us"] for record in records if record.kind == "bar"}
    found = set()
    for record in records:
        if record.kind == "intent":
            stamp = Decimal(min(at[sequence] for sequence in at if sequence > record.sequence))
            moment = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(stamp) // 10**6))
            found |= {f"{served.MARKET.name}:1:{moment}:{symbol}" for symbol in record.payload["symbol"]}
    return found


def money(records: list[Stored]) -> tuple[dict[str, Decimal], Decimal]:
    """Return holdings and cash, added up from what was written."""
    held: dict[str, Decimal] = {}
    cash = served.CAPITAL
    for fill in payloads(records, "fill"):
        symbol, size = fill["symbol"][0], Decimal(repr(fill["quantity"][0]))
        held[symbol] = held.get(symbol, Decimal(0)) + size
        cash -= size * Decimal(repr(fill["price"][0])) + Decimal(repr(fill["fee"][0]))
    cash += sum((Decimal(paid["amount"]) for paid in payloads(records, "charge")), Decimal(0))
    return {symbol: size for symbol, size in held.items() if size}, cash
