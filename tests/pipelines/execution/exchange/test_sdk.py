"""The genuine alpaca-py, unchanged but for its address, against the exchange."""

import inspect
import json
import queue
import threading
import time
from datetime import UTC, date, datetime
from decimal import Decimal

import pytest
import requests
from alpaca.common.exceptions import APIError
from alpaca.trading import requests as ask
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import (
    AssetClass,
    OrderClass,
    OrderSide,
    OrderStatus,
    PositionIntent,
    QueryOrderStatus,
    TimeInForce,
)
from alpaca.trading.stream import TradingStream

from tests.pipelines.execution.exchange import local
from tests.pipelines.execution.exchange.local import KEYS
from tests.pipelines.execution.matching.made import MINUTE, START

BUY, SELL, DAY, GTC = OrderSide.BUY, OrderSide.SELL, TimeInForce.DAY, TimeInForce.GTC
#: Methods that are not trading, or that Alpaca keeps for what is not traded here.
NOT_SERVED = {
    **dict.fromkeys(("get", "post", "put", "patch", "delete", "response_wrapper"), "how the client asks at all"),
    **dict.fromkeys(
        ("get_watchlists", "get_watchlist_by_id", "create_watchlist", "update_watchlist_by_id", "add_asset_to_watchlist_by_id",
         "remove_asset_from_watchlist_by_id", "delete_watchlist_by_id"), "a list for a screen, nothing that a trader needs"),
    **dict.fromkeys(("exercise_options_position", "get_option_contract", "get_option_contracts"), "options are not traded"),
    **dict.fromkeys(("get_corporate_announcements", "get_corporate_announcement_by_id"), "Alpaca has replaced them by market data"),
}  # fmt: skip
USED = set()


@pytest.fixture(scope="module")
def venue():
    with local.exchange() as served:
        for symbol in ("AAA", "BBB", "BTC/USD"):
            served.bar(symbol=symbol)
        yield served


class Watched(TradingClient):
    """Notes which of its methods were used."""

    def __getattribute__(self, name):
        USED.add(name)
        return super().__getattribute__(name)


@pytest.fixture
def client(venue):
    made = Watched(KEYS.key, KEYS.secret, url_override=venue.url)
    made._retry = 0
    yield made
    made.cancel_orders()


def market(quantity, side=BUY, symbol="AAA", **keys):
    return ask.MarketOrderRequest(**{"symbol": symbol, "qty": quantity, "side": side, "time_in_force": DAY, **keys})


def limit(quantity, price, side=BUY, symbol="AAA", **keys):
    return ask.LimitOrderRequest(
        **{"symbol": symbol, "qty": quantity, "side": side, "time_in_force": GTC, "limit_price": price, **keys}
    )


def test_an_order_is_sent_filled_and_held(venue, client):
    """Submit, read by both names, fill, position, account, closing."""
    before = Decimal(client.get_account().cash)
    order = client.submit_order(market(10, client_order_id="ours-1"))
    assert (order.status, order.client_order_id, order.qty) == (OrderStatus.NEW, "ours-1", "10")
    venue.bar((101, 101, 101, 101))
    assert client.get_order_by_id(order.id).status == OrderStatus.FILLED
    filled = client.get_order_by_client_id("ours-1")
    assert (filled.filled_qty, float(filled.filled_avg_price)) == ("10", 101.0)
    held = client.get_open_position("AAA")
    assert (held.qty, held.qty_available, float(held.avg_entry_price)) == ("10", "10", 101.0)
    assert [each.symbol for each in client.get_all_positions()] == ["AAA"]
    assert Decimal(client.get_account().cash) == before - 1010
    closing = client.close_position("AAA", ask.ClosePositionRequest(percentage="50"))
    venue.bar((102, 102, 102, 102))
    assert client.get_order_by_id(closing.id).filled_qty == "5"
    client.close_all_positions(cancel_orders=True)
    venue.bar((102, 102, 102, 102))
    assert client.get_all_positions() == []
    with pytest.raises(APIError) as gone:
        client.get_open_position("AAA")
    assert (gone.value.status_code, gone.value.code) == (404, 40410000)


def test_every_kind_of_order_is_taken(venue, client):
    """Limit, stop, stop-limit, trailing, bracket, OCO and OTO as the client words them."""
    taken = [
        client.submit_order(limit(1, 90)),
        client.submit_order(ask.StopOrderRequest(symbol="AAA", qty=1, side=BUY, time_in_force=DAY, stop_price=120)),
        client.submit_order(
            ask.StopLimitOrderRequest(symbol="AAA", qty=1, side=BUY, time_in_force=GTC, stop_price=120, limit_price=121)
        ),
        client.submit_order(ask.TrailingStopOrderRequest(symbol="AAA", qty=1, side=BUY, time_in_force=DAY, trail_percent=5)),
    ]
    assert {order.status for order in taken} == {OrderStatus.NEW}
    legs = {"take_profit": ask.TakeProfitRequest(limit_price=130), "stop_loss": ask.StopLossRequest(stop_price=80)}
    bracket = client.submit_order(market(2, symbol="BBB", order_class=OrderClass.BRACKET, **legs))
    assert [leg.status for leg in bracket.legs] == [OrderStatus.HELD] * 2
    nested = client.get_orders(ask.GetOrdersRequest(nested=True, symbols=["BBB"]))
    assert [len(order.legs or []) for order in nested] == [2]
    oto = client.submit_order(market(2, symbol="BBB", order_class=OrderClass.OTO, stop_loss=legs["stop_loss"]))
    assert len(oto.legs) == 1
    client.cancel_orders()
    client.submit_order(market(4, symbol="BBB"))
    venue.bar(symbol="BBB")
    oco = client.submit_order(limit(4, 130, side=SELL, symbol="BBB", order_class=OrderClass.OCO, **legs))
    assert len(oco.legs) == 1
    client.cancel_orders()
    client.close_all_positions(cancel_orders=True)
    venue.bar(symbol="BBB")


def test_notional_and_crypto(venue, client):
    """A notional becomes a quantity; crypto is listed with its slash and held without."""
    order = client.submit_order(ask.MarketOrderRequest(symbol="BTC/USD", notional=1000, side=BUY, time_in_force=TimeInForce.IOC))
    venue.bar((100, 100, 100, 100), symbol="BTC/USD")
    assert float(client.get_order_by_id(order.id).filled_qty) == 10.0
    assert client.get_open_position("BTCUSD").asset_class == AssetClass.CRYPTO
    assert client.get_asset("BTC/USD").symbol == "BTC/USD"
    assert {each.symbol for each in client.get_all_assets(ask.GetAssetsRequest(asset_class=AssetClass.CRYPTO))} == {"BTC/USD"}
    with pytest.raises(APIError, match="time_in_force"):
        client.submit_order(market(1, symbol="BTC/USD"))
    client.close_all_positions(cancel_orders=True)
    venue.bar((100, 100, 100, 100), symbol="BTC/USD")


def test_replace_and_cancel(client):
    """A replacement is another order; what has ended is not cancelled."""
    old = client.submit_order(limit(5, 90))
    new = client.replace_order_by_id(old.id, ask.ReplaceOrderRequest(qty=7, limit_price=91))
    assert (new.replaces, new.qty, float(new.limit_price)) == (old.id, "7", 91.0)
    assert client.get_order_by_id(old.id).status == OrderStatus.REPLACED
    client.cancel_order_by_id(new.id)
    assert client.get_order_by_id(new.id).status == OrderStatus.CANCELED
    with pytest.raises(APIError) as ended:
        client.cancel_order_by_id(new.id)
    assert (ended.value.status_code, ended.value.code) == (422, 42210000)


@pytest.mark.parametrize(
    ("order", "status", "code"),
    [
        (market(1_000_000), 403, 40310000),
        (market(1, symbol="ZZZ"), 404, 40410000),
        (limit(1, 90.001), 422, 42210000),
        (limit(0.5, 90), 422, 42210000),
        (limit(1, 90, extended_hours=True, time_in_force=TimeInForce.IOC), 422, 42210000),
        (market(1, side=SELL, symbol="BTC/USD", time_in_force=GTC), 403, 40310000),
    ],
)
def test_refusals_carry_alpacas_codes(client, order, status, code):
    """A body that the client can read, with the status that Alpaca sends."""
    with pytest.raises(APIError) as refused:
        client.submit_order(order)
    assert (refused.value.status_code, refused.value.code) == (status, code)


@pytest.mark.fault("F24")
def test_a_name_is_unique_for_ever(client):
    """Even after the order has ended."""
    order = client.submit_order(limit(1, 90, client_order_id="once"))
    client.cancel_order_by_id(order.id)
    with pytest.raises(APIError, match="unique") as twice:
        client.submit_order(limit(1, 90, client_order_id="once"))
    assert twice.value.status_code == 422


def test_lists_stop_at_their_limits():
    """50 orders unless asked for more, never more than 500; the rest by time."""
    with local.exchange() as venue:
        venue.bar()
        client = Watched(KEYS.key, KEYS.secret, url_override=venue.url)
        for _ in range(520):
            venue.floor.exchange.submit(_small())
        assert len(client.get_orders()) == 50
        assert len(client.get_orders(ask.GetOrdersRequest(limit=500))) == 500
        with pytest.raises(APIError):
            client.get("/orders", {"limit": 501})
        assert len(client.get_orders(ask.GetOrdersRequest(limit=500, status=QueryOrderStatus.CLOSED))) == 0


def _small():
    from tests.pipelines.execution.matching.made import ask as asked

    return asked("buy", 1, "limit", limit_price=90)


def test_activities_are_paged(venue, client):
    """Every execution once, in pages, oldest first."""
    before = client.get("/account/activities/FILL", {"direction": "asc"})
    for _ in range(5):
        client.submit_order(market(1))
        venue.bar()
    found, token = [], before[-1]["id"] if before else None
    while page := client.get("/account/activities/FILL", {"direction": "asc", "page_size": 2, "page_token": token}):
        found, token = found + page, page[-1]["id"]
    assert [each["cum_qty"] for each in found] == ["1"] * 5
    assert len({each["order_id"] for each in found}) == 5
    client.close_all_positions(cancel_orders=True)
    venue.bar()


def test_a_page_that_never_was_is_refused(client):
    """It is not taken for the first one."""
    with pytest.raises(APIError, match="invalid page_token") as refused:
        client.get("/account/activities", {"page_token": "20240304143000000::nobody"})
    assert refused.value.status_code == 422


def test_orders_before_and_after_another(client):
    """By its identifier, newest first, of one class of assets."""
    first, second, third = (client.submit_order(limit(1, 50 + each)) for each in range(3))
    between = client.get("/orders", {"after_order_id": str(first.id), "before_order_id": str(third.id)})
    assert [each["id"] for each in between] == [str(second.id)]
    assert {each["id"] for each in client.get("/orders", {"asset_class": "us_equity"})} >= {str(third.id)}
    assert client.get("/orders", {"asset_class": "crypto"}) == []
    with pytest.raises(APIError, match="order not found"):
        client.get("/orders", {"after_order_id": "nobody"})


def test_an_order_may_say_what_it_means_for_a_position(venue, client):
    """To open or to close: refused where the account says otherwise, in Alpaca's words."""
    with pytest.raises(APIError, match="position intent mismatch, inferred: sell_to_open, specified: sell_to_close"):
        client.submit_order(meant(SELL, PositionIntent.SELL_TO_CLOSE))
    opened = client.submit_order(meant(BUY, PositionIntent.BUY_TO_OPEN))
    venue.bar()
    closed = client.submit_order(meant(SELL, PositionIntent.SELL_TO_CLOSE))
    venue.bar()
    assert (opened.position_intent, closed.position_intent) == (PositionIntent.BUY_TO_OPEN, PositionIntent.SELL_TO_CLOSE)
    assert client.get_order_by_id(closed.id).position_intent == PositionIntent.SELL_TO_CLOSE


def meant(side, intent):
    """Return a market order of one share that says what it is for."""
    return ask.MarketOrderRequest(symbol="AAA", qty=1, side=side, time_in_force=DAY, position_intent=intent)


def test_a_leg_that_is_no_object_is_refused(client):
    """One sentence, no 500."""
    body = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "market", "time_in_force": "day", "order_class": "bracket"}
    with pytest.raises(APIError, match="invalid leg: 52") as refused:
        client.post("/orders", {**body, "take_profit": "52", "stop_loss": "48"})
    assert refused.value.status_code == 422


def test_what_the_account_was_worth(client):
    """Five shares bought at 100 over minutes that end at 102, 101 and 104: by hand, from the genuine client's own model."""
    with local.exchange() as venue:
        own = Watched(KEYS.key, KEYS.secret, url_override=venue.url)
        venue.bar()
        own.submit_order(market(5))
        for close in (102, 101, 104):
            venue.bar((100, close, 100, close))
        told = own.get_portfolio_history(ask.GetPortfolioHistoryRequest(period="1D", timeframe="1Min"))
        assert (told.equity, told.base_value) == ([100_000.0, 100_010.0, 100_005.0, 100_020.0], 100_000.0)
        assert told.profit_loss == [0.0, 10.0, 5.0, 20.0]
        assert told.profit_loss_pct == pytest.approx([0.0, 1e-4, 5e-5, 2e-4])
        assert told.timestamp == [int((START + number * MINUTE).timestamp()) for number in range(4)]
        days = own.get_portfolio_history()
        assert (days.timeframe, days.equity) == ("1D", [100_020.0])
        late = own.get_portfolio_history(ask.GetPortfolioHistoryRequest(start=START + 3 * MINUTE, timeframe="1Min"))
        assert (late.base_value, late.profit_loss) == (100_005.0, [15.0])
        for wrong in ({"period": "1X"}, {"timeframe": "7Min"}):
            with pytest.raises(APIError, match="invalid"):
                own.get_portfolio_history(ask.GetPortfolioHistoryRequest(**wrong))


def test_the_clock_goes_by_the_calendar():
    """Open within a session, closed after it, and when it opens next: over a weekend here (1 March 2024 was a Friday)."""
    with local.exchange(calendar="XNYS") as venue:
        own = TradingClient(KEYS.key, KEYS.secret, url_override=venue.url)
        venue.floor.exchange.now = datetime(2024, 3, 1, 20, 59, tzinfo=UTC)
        inside = own.get_clock()
        venue.floor.exchange.now = datetime(2024, 3, 1, 21, 0, tzinfo=UTC)
        after = own.get_clock()
    assert (inside.is_open, after.is_open) == (True, False)
    assert inside.next_close == datetime(2024, 3, 1, 21, 0, tzinfo=UTC)
    assert after.next_open == inside.next_open == datetime(2024, 3, 4, 14, 30, tzinfo=UTC)


@pytest.mark.fault("F64")
def test_too_many_requests_are_answered_so():
    """429 in Alpaca's words; what is left, and when it is more again, stands in the headers of every answer."""
    headers = {"APCA-API-KEY-ID": KEYS.key, "APCA-API-SECRET-KEY": KEYS.secret}
    with local.exchange(requests_max=3) as venue:
        told = [requests.get(f"{venue.url}/v2/account", headers=headers, timeout=5) for _ in range(4)]
        own = TradingClient(KEYS.key, KEYS.secret, url_override=venue.url)
        own._retry = 0
        with pytest.raises(APIError, match="rate limit exceeded") as refused:
            own.get_account()
    assert [each.status_code for each in told] == [200, 200, 200, 429]
    assert [each.headers["X-RateLimit-Remaining"] for each in told] == ["2", "1", "0", "0"]
    assert int(told[3].headers["X-RateLimit-Reset"]) == int(told[0].headers["X-RateLimit-Reset"])
    assert (refused.value.status_code, refused.value.code) == (429, 42910000)


def test_clock_and_account(client):
    """What a trader reads before it trades."""
    assert client.get_clock().is_open
    account = client.get_account()
    assert account.status == "ACTIVE"
    assert account.pattern_day_trader is None


def test_the_calendar_is_new_yorks(client):
    """With its half days, in its own clock: Thanksgiving of 2024, and the day of settlement after it."""
    days = client.get_calendar(ask.GetCalendarRequest(start=date(2024, 11, 27), end=date(2024, 11, 30)))
    assert [(day.date.day, f"{day.open:%H:%M}", f"{day.close:%H:%M}") for day in days] == [
        (27, "09:30", "16:00"),
        (29, "09:30", "13:00"),
    ]
    (raw, _) = client.get("/calendar", {"start": "2024-11-27", "end": "2024-11-30"})
    assert (raw["settlement_date"], raw["session_open"], raw["session_close"]) == ("2024-11-29", "0400", "2000")


@pytest.mark.fault("F66")
def test_an_owner_may_suspend_trade_and_short_sales(client):
    """Orders are refused then, with Alpaca's words; what may close a position still does."""
    asked = client.get_account_configurations()
    assert (asked.suspend_trade, asked.no_shorting) == (False, False)
    asked.suspend_trade = True
    client.set_account_configurations(asked)
    assert client.get_account().trade_suspended_by_user
    with pytest.raises(APIError, match="rejected by user request") as refused:
        client.submit_order(market(1))
    assert refused.value.status_code == 403
    asked.suspend_trade, asked.no_shorting = False, True
    client.set_account_configurations(asked)
    with pytest.raises(APIError, match="not allowed to short"):
        client.submit_order(market(1, SELL, "BBB"))
    asked.no_shorting = False
    client.set_account_configurations(asked)
    client.submit_order(market(1))
    with pytest.raises(APIError, match="invalid account configuration"):
        client.patch("/account/configurations", {"colour": "red"})


@pytest.mark.fault("F65")
def test_a_wrong_key_opens_nothing(venue):
    """401 with Alpaca's code."""
    with pytest.raises(APIError) as refused:
        TradingClient("PKLOCAL", "wrong", url_override=venue.url).get_account()
    assert (refused.value.status_code, refused.value.code) == (401, 40110000)


@pytest.fixture
def heard(venue):
    """Listen with the genuine stream and return what it says, raw."""
    stream, said = TradingStream(KEYS.key, KEYS.secret, url_override=venue.stream), queue.Queue()

    async def handler(update):
        said.put(update)

    stream.subscribe_trade_updates(handler)
    thread = threading.Thread(target=stream.run, daemon=True)
    thread.start()
    wait_for(lambda: venue.floor.listeners)
    yield said
    stream.stop()
    thread.join(10)


def wait_for(true, seconds=10.0):
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, "it did not come"
        time.sleep(0.02)


def test_the_stream_tells_of_every_update(venue, client, heard):
    """New, then filled, with the execution and the position after it."""
    order = client.submit_order(market(3))
    venue.bar((103, 103, 103, 103))
    first, second = heard.get(timeout=10), heard.get(timeout=10)
    assert [first.event, second.event] == ["new", "fill"]
    assert (second.order.id, second.qty, second.price, second.position_qty) == (order.id, 3.0, 103.0, 3.0)
    client.close_all_positions(cancel_orders=True)
    venue.bar((103, 103, 103, 103))


@pytest.mark.fault("F54")
def test_a_cut_stream_comes_back_and_what_was_said_meanwhile_is_lost(venue, client, heard):
    """Alpaca keeps nothing: the client must read again."""
    venue.wire(disconnect=True)
    client.submit_order(limit(1, 90, client_order_id="unheard"))
    wait_for(lambda: venue.floor.listeners, 20)
    client.submit_order(limit(1, 90, client_order_id="heard"))
    assert heard.get(timeout=10).order.client_order_id == "heard"


def test_updates_can_be_lost_and_said_twice(venue, client, heard):
    """By the script."""
    venue.wire(drop=1)
    client.submit_order(limit(1, 90, client_order_id="dropped"))
    venue.wire(duplicate=1)
    client.submit_order(limit(1, 90, client_order_id="doubled"))
    assert [heard.get(timeout=10).order.client_order_id for _ in range(2)] == ["doubled", "doubled"]


def test_a_504_after_the_order_was_taken(venue, client):
    """With the client's own retries an order without a name of ours is sent again and again; with our name it exists once."""
    venue.faults({"action": "status_after", "method": "POST", "times": 9})
    careless = TradingClient(KEYS.key, KEYS.secret, url_override=venue.url)
    careless._retry_wait = 0
    before = len(venue.truth()["orders"])
    with pytest.raises(APIError):
        careless.submit_order(limit(1, 90))
    assert len(venue.truth()["orders"]) - before == 4
    with pytest.raises(APIError) as lost:
        client.submit_order(limit(1, 90, client_order_id="named"))
    assert lost.value.status_code == 504
    assert sum(order["client_order_id"] == "named" for order in venue.truth()["orders"]) == 1
    venue.faults()


def test_a_hang_after_the_order_was_taken(venue, client):
    """A client with a timeout learns nothing, and there is one order."""
    venue.faults({"action": "hang_after", "method": "POST", "seconds": 1.5})
    told = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "limit", "time_in_force": "gtc", "limit_price": "90"}
    with pytest.raises(requests.exceptions.RequestException):
        requests.post(f"{venue.url}/v2/orders", json={**told, "client_order_id": "hung"}, headers=local.HEADERS, timeout=0.5)
    assert client.get_order_by_client_id("hung").status == OrderStatus.NEW
    venue.faults()


@pytest.mark.parametrize(("action", "orders"), [("drop_before", 0), ("drop_after", 1), ("hang_after", 1)])
def test_a_dropped_connection_is_one(venue, action, orders):
    """No answer comes, not even an error's, to a client that waits for it; the order is there or is not."""
    venue.faults({"action": action, "method": "POST", "seconds": 0.2})
    told = {"symbol": "AAA", "qty": "1", "side": "buy", "type": "limit", "time_in_force": "gtc", "limit_price": "90"}
    with pytest.raises((requests.exceptions.ConnectionError, requests.exceptions.ChunkedEncodingError)):
        requests.post(f"{venue.url}/v2/orders", json={**told, "client_order_id": action}, headers=local.HEADERS, timeout=5)
    venue.faults()
    assert sum(order["client_order_id"] == action for order in venue.truth()["orders"]) == orders


@pytest.mark.parametrize(
    ("rule", "seen"),
    [
        ({"action": "status_before", "status": 502, "body": "<html>bad gateway</html>", "content_type": "text/html"}, 502),
        ({"action": "status_before", "status": 429, "body": '{"code": 42910000, "message": "rate limit exceeded"}'}, 429),
    ],
)
def test_answers_can_be_anything(venue, rule, seen):
    """HTML from a proxy, a limit that is reached."""
    venue.faults({"method": "GET", "path": "/v2/clock", **rule})
    told = requests.get(f"{venue.url}/v2/clock", headers=local.HEADERS, timeout=5)
    assert told.status_code == seen
    assert requests.get(f"{venue.url}/v2/clock", headers=local.HEADERS, timeout=5).status_code == 200


def test_an_answer_can_be_cut_short(venue):
    """Half a body is no JSON."""
    venue.faults({"action": "truncate", "method": "GET", "path": "/v2/account"})
    told = requests.get(f"{venue.url}/v2/account", headers=local.HEADERS, timeout=5)
    with pytest.raises(json.JSONDecodeError):
        json.loads(told.text)


def test_every_method_that_a_trader_uses_was_used():
    """What is neither tried above nor left out for a reason is missing; runs last."""
    methods = {name for name, _ in inspect.getmembers(TradingClient, inspect.isfunction) if not name.startswith("_")}
    assert methods - USED - NOT_SERVED.keys() == set()
    assert not NOT_SERVED.keys() - methods
