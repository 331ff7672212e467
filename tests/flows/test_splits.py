"""Symbols that are split and pay out while they are held: the exchange books it overnight, the trader goes on at prints."""

import itertools
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import polars as pl
import pytest

from domain.action import Kind
from flows.home import Broker
from pipelines import journal as journals
from pipelines.execution.accounts import JOURNAL
from pipelines.store import Store
from pipelines.store.tables import layout
from tests.flows.conftest import MARKET, Passed
from tests.flows.test_live import facts, money, opened, reconciled, trade_until, truth

#: Day of the exchange's own before which everything is split 4 for 1, and the one before which each share pays out a cent; a trader
#: has begun long before.
SPLIT, PAYOUT, PACE_S = 80, 84, 0.35
RATIO, CASH = 4.0, 0.01
PRICES, COUNTS = ("open", "high", "low", "close", "vwap"), ("volume", "buy_volume")


@pytest.fixture
def split(copied: Passed) -> tuple[Passed, datetime]:
    """Return a home whose symbols are split, prints and all, and a day after all that is done to them."""
    store = Store(copied.home.store)
    bars = store.bars(MARKET, "1d")
    since = bars.filter(pl.col("opened_at") >= pl.datetime(2016, 2, 1, time_zone="UTC"))
    days = since["opened_at"].unique().sort()
    later = since.filter(pl.col("opened_at") >= days[SPLIT])
    printed = later.with_columns(
        *(pl.col(name) / RATIO for name in PRICES), *(pl.col(name) * RATIO for name in COUNTS),
        known_at=pl.col("known_at") + timedelta(microseconds=1),
    )  # fmt: skip
    store.upsert("bars", printed)
    symbols = bars["symbol"].unique().sort()
    kinds = [(days[SPLIT], Kind.SPLIT.value, RATIO), (days[PAYOUT], Kind.DIVIDEND.value, CASH)]
    rows = [
        {"market": MARKET, "symbol": symbol, "event_at": at, "known_at": at, "kind": kind, "value": value, "other": None}
        for symbol in symbols for at, kind, value in kinds
    ]  # fmt: skip
    schema = {name: kind for name, kind in layout("actions").schema.items() if name in rows[0]}
    store.upsert("actions", pl.DataFrame(rows, schema=schema))
    return copied, days[PAYOUT + 4]


@pytest.mark.fault("F44", "F89", "F90", "F117")
def test_what_is_held_over_a_split_and_a_payout_is_worth_what_it_was(split):
    """Shares and cash are the exchange's to the cent, equity has no jump, nobody halts, and every share was split and paid once."""
    there, later = split

    def lived() -> bool:
        return any(datetime.fromtimestamp(bar["event_at_us"] / 1e6, UTC) > later for bar in facts(there, "bar"))

    with opened(there, PACE_S):
        trade_until(there, lived)
    with opened(there, pace_s=1000.0, since=None) as where:
        trade_until(there, lambda: reconciled(there, where))
        told = truth(where)

    charges = facts(there, "charge")
    shares, cash = money(there)
    worth = [bar["equity"] for bar in facts(there, "bar")]
    paid = [charge for charge in charges if charge["kind"] == "DIV"]

    assert shares == {symbol: Decimal(size) for symbol, size in told["positions"].items()}
    assert abs(cash - Decimal(told["cash"])) < Decimal("0.005")
    assert {charge["kind"] for charge in charges} >= {"SPLIT", "DIV"}
    assert len(paid) == len({charge["symbol"] for charge in paid})
    assert max(abs(after / before - 1) for before, after in itertools.pairwise(worth)) < 0.1
    assert not facts(there, "halt")
    assert journals.verify(there.home.account(MARKET, broker=Broker.EXCHANGE) / JOURNAL).sealed
