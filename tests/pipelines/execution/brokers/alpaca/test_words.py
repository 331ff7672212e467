"""Alpaca's JSON as ours and back: payloads in its documented shapes, checked by hand and by the genuine client's own models."""

from datetime import UTC, datetime
from decimal import Decimal

import hypothesis.strategies as st
import pytest
from alpaca.trading.enums import OrderStatus
from alpaca.trading.models import Order as VendorOrder
from alpaca.trading.models import TradeUpdate
from alpaca.trading.requests import OrderRequest
from hypothesis import given

from domain.error import ConfigurationError
from domain.order import Order, OrderClass, OrderKind, OrderState, Terms, TimeInForce
from pipelines.execution.brokers.alpaca import words
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.stream import heard
from pipelines.execution.brokers.alpaca.words import Names, Unreadable
from pipelines.execution.core.events import Heard, Joined
from pipelines.execution.core.plan import Submit

NAMES = Names(["AAPL", "BTC/USD", "BRK.B"])
AT = datetime(2026, 1, 2, 15, 30, tzinfo=UTC)
#: As the documentation of "Orders" and of trade updates shows it.
ORDER = {
    "id": "61e69015-8549-4bfd-b9c3-01e75843f47d", "client_order_id": "us:1:2026-01-02T15:30:00:AAPL",
    "created_at": "2026-01-02T15:30:00.123456789Z", "updated_at": "2026-01-02T15:30:01-05:00",
    "submitted_at": "2026-01-02T15:30:00.123456789Z", "filled_at": None, "expired_at": None, "canceled_at": None, "failed_at": None,
    "replaced_at": None, "replaced_by": None, "replaces": None, "symbol": "AAPL",
    "asset_id": "b0b6dd9d-8b9b-48a9-ba46-b9d54906e415",
    "asset_class": "us_equity", "notional": None, "qty": "100", "filled_qty": "40", "filled_avg_price": "179.08", "order_class": "",
    "order_type": "market", "type": "market", "side": "sell", "time_in_force": "day", "limit_price": None, "stop_price": None,
    "status": "partially_filled", "extended_hours": False, "legs": None, "trail_percent": None, "trail_price": None, "hwm": None,
}  # fmt: skip
UPDATE = {
    "stream": "trade_updates",
    "data": {
        "event": "partial_fill", "execution_id": "2f63ea93-423d-4169-b3f6-3fdafc10c418", "order": ORDER, "position_qty": "-40",
        "price": "179.08", "qty": "15", "timestamp": "2026-01-02T15:30:01.5-05:00",
    },
}  # fmt: skip
FILL = {
    "id": "20260102153001500::2f63ea93", "activity_type": "FILL", "type": "partial_fill",
    "transaction_time": "2026-01-02T20:30:01.5Z",
    "price": "179.08", "qty": "15", "side": "sell_short", "symbol": "AAPL", "leaves_qty": "60", "cum_qty": "40",
    "order_id": ORDER["id"], "order_status": "partially_filled",
}  # fmt: skip


def test_the_payloads_are_ones_that_the_genuine_client_reads():
    """What the tests below go by is what Alpaca's own models take."""
    assert VendorOrder(**ORDER).status == OrderStatus.PARTIALLY_FILLED
    assert TradeUpdate(**UPDATE["data"]).qty == 15.0


def test_an_order_becomes_a_report():
    """Signed by its side, as it stands."""
    said = words.report(ORDER, NAMES)
    assert (said.quantity, said.filled, said.state) == (Decimal(-100), Decimal(40), OrderState.PARTIALLY_FILLED)
    assert (said.client_order_id, said.broker_id, said.symbol) == (ORDER["client_order_id"], ORDER["id"], "AAPL")


def test_an_order_by_value_says_what_it_was_ordered_for():
    """It has no quantity but what was filled; the sign is that of its side."""
    said = words.report({**ORDER, "qty": None, "notional": "17908"}, NAMES)
    assert (said.quantity, said.filled, said.notional) == (Decimal(-40), Decimal(40), Decimal(-17908))
    assert words.report(ORDER, NAMES).notional == 0


@pytest.mark.fault("F74")
@pytest.mark.parametrize("status", [status.value for status in OrderStatus])
def test_every_status_of_the_client_is_a_state_of_ours(status):
    """Word for word."""
    assert words.report({**ORDER, "status": status}, NAMES).state.value == status


@pytest.mark.fault("F74")
def test_a_status_that_nobody_knows_counts_as_open():
    """It reserves in full until something is known."""
    assert words.report({**ORDER, "status": "brand_new_word"}, NAMES).state == OrderState.PENDING_REVIEW


def test_a_trade_update_becomes_a_report_and_an_execution():
    """The execution's own quantity and price, cumulative by its order; time to the nanosecond, in UTC."""
    said = heard(UPDATE, NAMES)
    assert isinstance(said, Heard)
    done = said.execution
    assert (done.quantity, done.price, done.cumulative) == (Decimal(-15), Decimal("179.08"), Decimal(40))
    assert done.event_at_ns == int(datetime(2026, 1, 2, 20, 30, 1, tzinfo=UTC).timestamp()) * 10**9 + 500_000_000


def test_an_activity_is_the_same_execution():
    """Both channels give the same key, quantity and price."""
    by_stream = words.execution(UPDATE["data"], NAMES)
    assert words.filled(FILL, ORDER["client_order_id"], NAMES) == by_stream


@pytest.mark.parametrize("event", ["new", "accepted", "canceled", "expired", "pending_cancel", "restated", "a_new_word"])
def test_other_events_bring_no_execution(event):
    """Whatever quantities they carry."""
    assert words.execution({**UPDATE["data"], "event": event}, NAMES) is None


@pytest.mark.parametrize(
    "spoiled",
    [
        {"stream": "trade_updates", "data": {}},
        {"stream": "trade_updates", "data": {**UPDATE["data"], "qty": "NaN"}},
        {"stream": "trade_updates", "data": {**UPDATE["data"], "price": 179.08}},
        {"stream": "trade_updates", "data": {**UPDATE["data"], "timestamp": "yesterday"}},
        {"stream": "trade_updates", "data": {**UPDATE["data"], "timestamp": None}},
        {"stream": "trade_updates", "data": {**UPDATE["data"], "order": {**ORDER, "symbol": None}}},
        {"stream": "trade_updates", "data": {**UPDATE["data"], "order": {**ORDER, "side": "sideways"}}},
        {"stream": "trade_updates", "data": {**UPDATE["data"], "order": {**ORDER, "filled_qty": "Infinity"}}},
        {},
    ],
)
def test_an_update_that_cannot_be_read_asks_for_the_account(spoiled):
    """It is not passed over: what it said is read."""
    assert isinstance(heard(spoiled, NAMES), Joined)


@pytest.mark.fault("F78", "F90")
def test_other_activities_are_charges():
    """A fee takes money, or coins; a split brings shares; a payout tells of shares and moves none; the symbol is ours."""
    fee = {"id": "a", "activity_type": "CFEE", "date": "2026-01-02", "net_amount": "-0.25", "symbol": "BTCUSD", "qty": "0"}
    split = {"id": "b", "activity_type": "SPLIT", "date": "2026-01-02", "net_amount": "0", "symbol": "AAPL", "qty": "30"}
    assert (words.charge(fee, NAMES).amount, words.charge(fee, NAMES).symbol) == (Decimal("-0.25"), "BTC/USD")
    assert words.charge(split, NAMES).quantity == 30
    coins = {**fee, "id": "c", "net_amount": "0", "qty": "-0.000195"}
    assert (words.charge(coins, NAMES).amount, words.charge(coins, NAMES).quantity) == (0, Decimal("-0.000195"))
    payout = {**split, "id": "d", "activity_type": "DIV", "net_amount": "12.5", "qty": "50"}
    assert (words.charge(payout, NAMES).amount, words.charge(payout, NAMES).quantity) == (Decimal("12.5"), 0)


@pytest.mark.fault("F43")
def test_positions_come_under_our_names():
    """Crypto without its slash, shorts negative."""
    told = [{"symbol": "BTCUSD", "qty": "0.5"}, {"symbol": "BRK.B", "qty": "-3"}, {"symbol": "XYZ", "qty": "1"}]
    assert words.positions(told, NAMES) == {"BTC/USD": Decimal("0.5"), "BRK.B": Decimal(-3), "XYZ": Decimal(1)}


@pytest.mark.fault("F79")
@pytest.mark.parametrize(
    ("terms", "more"),
    [
        (Terms(), {"type": "market", "time_in_force": "ioc"}),
        (Terms(OrderKind.LIMIT, TimeInForce.DAY, limit_price=0.1 + 0.2), {"limit_price": "0.30000000000000004"}),
        (Terms(OrderKind.STOP_LIMIT, TimeInForce.GTC, limit_price=99.5, stop_price=100.0), {"stop_price": "100"}),
        (Terms(OrderKind.TRAILING_STOP, TimeInForce.DAY, trail_percent=1.5), {"trail_percent": "1.5"}),
        (
            Terms(
                time_in_force=TimeInForce.DAY,
                order_class=OrderClass.BRACKET,
                take_profit=110.0,
                stop_loss=90.0,
                stop_loss_limit=89.0,
            ),
            {
                "take_profit": {"limit_price": "110"},
                "stop_loss": {"stop_price": "90", "limit_price": "89"},
                "order_class": "bracket",
            },
        ),
    ],
)
def test_an_order_goes_out_as_text(terms, more):
    """Numbers are text to the last digit; the client's own request takes the same words."""
    order = Order("name", "us", "AAPL", -0.3, AT, "1", 100.0, terms)
    told = words.body(Submit(order, Decimal("-0.30")))
    assert (told["qty"], told["side"], told["client_order_id"]) == ("0.3", "sell", "name")
    assert more.items() <= told.items()
    OrderRequest(**told)


@pytest.mark.fault("F23")
@given(st.integers(0, 999_999_999), st.integers(0, 9), st.sampled_from(["Z", "+00:00", "-05:00"]))
def test_times_keep_every_digit(nanosecond, digits, zone):
    """0 to 9 fractional digits, with any zone."""
    fraction = f"{nanosecond:09d}"[:digits]
    value = f"2026-01-02T15:30:01{'.' if digits else ''}{fraction}{zone}"
    whole = datetime.fromisoformat(f"2026-01-02T15:30:01{zone.replace('Z', '+00:00')}")
    assert words.nanoseconds(value) == int(whole.timestamp()) * 10**9 + int(fraction.ljust(9, "0"))


@pytest.mark.parametrize("value", ["", "2026-01-02T15:30:01", "soon"])
def test_a_time_without_a_zone_is_none(value):
    """Nothing is guessed."""
    with pytest.raises(Unreadable):
        words.nanoseconds(value)


PAPER = {"ALPACA_API_KEY": "PKABC", "ALPACA_SECRET_KEY": "secret-of-mine"}
LIVE = {"ALPACA_LIVE_API_KEY": "AKABC", "ALPACA_LIVE_SECRET_KEY": "secret-of-mine"}


@pytest.mark.fault("F82")
@pytest.mark.parametrize(
    ("environment", "sentence"),
    [
        ({}, "ALPACA_API_KEY and ALPACA_SECRET_KEY is not set"),
        ({**PAPER, "ALPACA_API_KEY": "AKLIVE"}, "other kind"),
        ({**PAPER, "ALPACA_TRADING_URL": "https://api.alpaca.markets"}, "leads to api.alpaca.markets"),
        ({**PAPER, "ALPACA_TRADING_URL": "http://10.0.0.1:80"}, "without encryption"),
    ],
)
def test_paper_access_that_does_not_fit_is_refused(environment, sentence):
    """Key, mode and address belong together; no secret is in the sentence."""
    with pytest.raises(ConfigurationError, match=sentence) as refused:
        Access.paper(environment)
    assert "secret-of-mine" not in str(refused.value)


@pytest.mark.fault("F82")
def test_live_trading_asks_for_its_own_secret_and_a_typed_number():
    """A paper key does not do, nor a number that was not typed."""
    assert Access.with_money("123456", "123456", LIVE).live
    for account, typed, environment in (("123456", "12345", LIVE), ("", "", LIVE), ("123456", "123456", PAPER)):
        with pytest.raises(ConfigurationError):
            Access.with_money(account, typed, environment)


def test_no_secret_is_shown():
    """Neither key nor secret is in what is printed of an access."""
    shown = repr(Access.paper(PAPER))
    assert "PKABC" not in shown
    assert "secret-of-mine" not in shown
