"""What time does to orders: auctions close their doors, orders age and travel, shorts pay for what they borrow."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from domain.cost import Cost
from domain.market import AssetClass
from domain.venue import Refused
from tests.pipelines.execution.matching.made import MINUTE, START, ask, bar, exchange

NEW_YORK = ZoneInfo("America/New_York")


@pytest.mark.fault("F87")
@pytest.mark.parametrize(
    ("time_in_force", "day", "clock", "taken"),
    [
        ("opg", "2024-06-03", "09:27:59", True), ("opg", "2024-06-03", "09:28:00", False),
        ("opg", "2024-06-03", "18:59:59", False), ("opg", "2024-06-03", "19:00:00", True),
        ("cls", "2024-06-03", "15:49:59", True), ("cls", "2024-06-03", "15:50:00", False),
        ("cls", "2024-07-03", "12:49:59", True), ("cls", "2024-07-03", "12:50:00", False),  # closes at 13:00
        ("opg", "2024-07-04", "12:00:00", True),  # a holiday has no doors
        ("day", "2024-06-03", "15:55:00", True),
    ],
)  # fmt: skip
def test_auctions_close_their_doors(time_in_force, day, clock, taken):
    """Opening orders until 09:28, closing orders until 15:50, both again from 19:00, New York."""
    made = exchange(calendar="XNYS")
    made.now = datetime.fromisoformat(f"{day}T{clock}").replace(tzinfo=NEW_YORK).astimezone(UTC)
    made.marks["AAA"] = Decimal(50)

    if taken:
        assert made.submit(ask("buy", 1, time_in_force=time_in_force)).open
    else:
        with pytest.raises(Refused, match="auction orders are not accepted"):
            made.submit(ask("buy", 1, time_in_force=time_in_force))
        assert not made.tickets


@pytest.mark.fault("F75")
@pytest.mark.parametrize(("days", "state"), [(89, "filled"), (90, "canceled")])
def test_a_gtc_order_ages(days, state):
    """After ninety days it is cancelled, before the bar that would have filled it."""
    made = exchange()
    ticket = made.submit(ask("buy", 1, "limit", time_in_force="gtc", limit_price=50))
    made.on_bar(bar(days * 24 * 60, (49, 49, 49, 49)))

    assert ticket.expires_at == START + timedelta(days=90)
    assert made.order(ticket.id).state == state


def test_an_order_travels():
    """With ninety seconds to go, the bars of the next two minutes open before it has arrived."""
    made = exchange(latency=timedelta(seconds=90))
    ticket = made.submit(ask("buy", 1))
    for number in range(2):
        made.on_bar(bar(number, (50, 50, 50, 50)))
        assert not made.order(ticket.id).filled
    made.on_bar(bar(2, (51, 51, 51, 51)))

    assert made.order(ticket.id).average == 51
    assert made.order(ticket.id).filled_at == START + 2 * MINUTE


def test_shorts_pay_for_what_they_borrow():
    """Ten at 52 for a 252nd of 2.52% a year: five cents and two tenths, from cash."""
    made = exchange(cost=Cost(fee_bps=0, spread_bps=0, slippage_bps=0, impact=0, borrow_bps_year=252))
    made.on_bar(bar(0, (50, 50, 50, 50)))
    made.submit(ask("sell", 10))
    made.on_bar(bar(1, (50, 52, 50, 52)))
    before = made.holdings.cash
    made.close_session(AssetClass.EQUITY)

    assert made.paid[-1].kind == "INT"
    assert made.paid[-1].amount == made.holdings.cash - before == Decimal("-0.052")
    assert made.last_equity == made.worth().equity
