"""The hardened client against the paper exchange: what each kind of answer proves, and what is sent how often."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from domain import clock
from domain.order import Order, OrderKind, OrderState, Terms, TimeInForce
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.allowance import Allowance
from pipelines.execution.brokers.alpaca.rest import Rest
from pipelines.execution.core.events import Answer, Answered, CancelRefused, Found, Synced, Unread
from pipelines.execution.core.plan import Cancel, Find, Submit, Sync
from tests.pipelines.execution.exchange import local

RESTING = Terms(OrderKind.LIMIT, TimeInForce.GTC, limit_price=90.0)
HTML = {"body": "<html>bad gateway</html>", "content_type": "text/html"}


@pytest.fixture(scope="module")
def venue():
    with local.exchange() as served:
        served.bar()
        yield served


@pytest.fixture
def rest(venue):
    yield Rest(Access(local.KEYS.key, local.KEYS.secret, live=False, url=venue.url), ("AAA", "BBB", "BTC/USD"), timeout_s=0.7)
    venue.faults()


def submit(name, quantity="1", symbol="AAA", terms=RESTING):
    order = Order(name, "us", symbol, float(quantity), datetime(2024, 3, 4, tzinfo=UTC), "1", 100.0, terms)
    return Submit(order, Decimal(quantity))


def count(venue, name):
    return sum(order["client_order_id"] == name for order in venue.truth()["orders"])


@pytest.mark.fault("F64", "F114")
def test_orders_leave_requests_for_cancels_and_readings():
    """Of fifty a minute ten are kept: orders beyond that are not sent, and say so; the account is read, and an order cancelled."""
    with local.exchange(requests_max=50) as narrow:
        narrow.bar()
        rest = Rest(Access(local.KEYS.key, local.KEYS.secret, live=False, url=narrow.url), ("AAA", "BBB"))
        said = [rest.perform(submit(f"n{number}")) for number in range(60)]
        sent = [each for each in said if each.answer == Answer.ACKED]

        assert len(sent) == len(narrow.truth()["orders"]) == 40
        assert {each.reason.partition(" requests")[0] for each in said[40:]} == {"not sent: 10 of 50"}
        assert {each.answer for each in said[40:]} == {Answer.REFUSED}
        assert rest.perform(Cancel("n0", sent[0].report.broker_id)) is None
        assert len(rest.perform(Sync("", (), 1)).orders) == 39


def test_an_allowance_is_believed_until_its_minute_is_over():
    """By hand; what says nothing changes nothing."""
    time = Fixed(datetime(2024, 3, 4, 12, 0, 30, tzinfo=UTC))
    allowance, reset = Allowance(time), str(int(datetime(2024, 3, 4, 12, 1, tzinfo=UTC).timestamp()))
    allowance.heard({})
    assert allowance.refuses() == ""
    allowance.heard({"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "41", "X-RateLimit-Reset": reset})
    assert allowance.refuses() == ""
    allowance.heard({"X-RateLimit-Limit": "200", "X-RateLimit-Remaining": "40", "X-RateLimit-Reset": reset})
    allowance.heard({"X-RateLimit-Limit": "?", "X-RateLimit-Remaining": "199", "X-RateLimit-Reset": reset})
    assert allowance.refuses() == "40 of 200 requests are left for 30 s, which cancels and readings may need"
    time.at += timedelta(seconds=30)
    assert allowance.refuses() == ""


class Fixed:
    """A clock that is set."""

    def __init__(self, at):
        self.at = at

    def now(self):
        return self.at


def test_an_order_is_acknowledged(rest, venue):
    """With the order as the broker has it."""
    said = rest.perform(submit("acked"))
    assert (said.answer, said.report.state, count(venue, "acked")) == (Answer.ACKED, OrderState.NEW, 1)


@pytest.mark.fault("F47", "F48", "F49", "F50", "F51", "F64")
@pytest.mark.parametrize(
    ("name", "rule", "answer", "orders"),
    [
        ("r504", {"action": "status_after", "times": 9}, Answer.UNKNOWN, 1),
        ("r500", {"action": "status_before", "status": 500}, Answer.UNKNOWN, 0),
        ("r502", {"action": "status_after", "status": 502, **HTML}, Answer.UNKNOWN, 1),
        ("html403", {"action": "status_before", "status": 403, **HTML}, Answer.UNKNOWN, 0),
        ("hang", {"action": "hang_after", "seconds": 1.2}, Answer.UNKNOWN, 1),
        ("drop", {"action": "drop_after"}, Answer.UNKNOWN, 1),
        ("lost", {"action": "drop_before"}, Answer.UNKNOWN, 0),
        ("cut", {"action": "truncate"}, Answer.UNKNOWN, 1),
        (
            "busy",
            {"action": "status_before", "status": 429, "body": '{"code": 42910000, "message": "rate limit"}'},
            Answer.REFUSED,
            0,
        ),
    ],
)
def test_an_answer_proves_no_more_than_it_says(rest, venue, name, rule, answer, orders):
    """One request goes out, whatever comes back; only Alpaca's own words refuse."""
    venue.faults({"method": "POST", **rule})
    said = rest.perform(submit(name))
    venue.faults()
    assert isinstance(said, Answered)
    assert (said.answer, count(venue, name)) == (answer, orders)


@pytest.mark.fault("F61", "F80", "F81")
@pytest.mark.parametrize(("symbol", "quantity"), [("AAA", "1000000"), ("ZZZ", "1"), ("BTC/USD", "-1")])
def test_a_refusal_is_a_refusal(rest, symbol, quantity):
    """Buying power, an unknown symbol, a short sale of crypto."""
    said = rest.perform(submit(f"refused {symbol}", quantity, symbol))
    assert said.answer == Answer.REFUSED
    assert said.reason


def test_an_order_that_exists_is_fetched(rest, venue):
    """The name is taken: by this very order."""
    rest.perform(submit("twice"))
    said = rest.perform(submit("twice"))
    assert (said.answer, said.report.client_order_id, count(venue, "twice")) == (Answer.ACKED, "twice", 1)


def test_a_look_finds_or_finds_nothing_or_tells_nothing(rest, venue):
    """Not known is an answer; a failure is none."""
    rest.perform(submit("there"))
    assert rest.perform(Find("there", 7)).report.state == OrderState.NEW
    assert rest.perform(Find("nowhere", 8)) == Found("nowhere", None, 8)
    venue.faults({"action": "status_before", "method": "GET", "status": 500})
    assert rest.perform(Find("nowhere", 9)) is None


@pytest.mark.fault("F57", "F58")
def test_a_cancel_is_a_request(rest):
    """No answer proves it; what has ended refuses."""
    broker_id = rest.perform(submit("to cancel")).report.broker_id
    assert rest.perform(Cancel("to cancel", broker_id)) is None
    assert isinstance(rest.perform(Cancel("to cancel", broker_id)), CancelRefused)


def test_a_reading_of_the_account(venue, rest):
    """Open orders, those named, executions since the cursor, fees, positions, cash."""
    rest.perform(submit("bought", "10", terms=Terms(OrderKind.MARKET, TimeInForce.DAY)))
    venue.bar((101, 101, 101, 101))
    said = rest.perform(Sync("", ("bought", "nowhere"), 5))
    assert isinstance(said, Synced)
    states = {report.client_order_id: report.state for report in said.orders}
    assert states["bought"] == OrderState.FILLED
    assert "nowhere" not in states
    assert [(done.client_order_id, done.cumulative) for done in said.executions] == [("bought", Decimal(10))]
    assert (said.positions, said.cash, said.asked_ns) == ({"AAA": Decimal(10)}, Decimal(100_000) - 1010, 5)
    again = rest.perform(Sync(said.cursor, (), 6))
    assert {done.client_order_id for done in again.executions} == {"bought"}  # read again: the margin
    venue.faults({"action": "status_before", "method": "GET", "path": "/v2/positions", "status": 500})
    assert rest.perform(Sync(said.cursor, (), 7)) == Unread("gateway timeout", 7)


@pytest.mark.fault("F45", "F68")
def test_more_open_orders_than_a_page(rest, venue):
    """601 of them, 500 a page, none missed."""
    from tests.pipelines.execution.matching.made import ask

    for number in range(601):
        venue.floor.exchange.now += local.MINUTE / 600
        venue.floor.exchange.submit(ask("buy", 1, "limit", "BBB", limit_price=1, client_order_id=f"many {number}"))
    said = rest.perform(Sync("", (), 1))
    assert {f"many {number}" for number in range(601)} <= {report.client_order_id for report in said.orders}


def test_no_secret_is_in_any_message(venue, rest, caplog):
    """Whatever fails."""
    venue.faults(
        {"action": "hang_before", "method": "GET", "seconds": 1.2, "times": 2}, {"action": "status_before", "method": "POST"}
    )
    said = rest.perform(submit("secretive"))
    assert rest.perform(Find("x", 1)) is None
    assert local.KEYS.secret not in caplog.text + said.reason


@pytest.mark.fault("F45", "F68")
def test_orders_of_one_moment_at_the_end_of_a_page(venue):
    """A page of 500 that ends among orders of the same time: the others of that time are not passed over."""
    from tests.pipelines.execution.matching.made import ask

    with local.exchange() as fresh:
        fresh.bar(symbol="BBB")
        for number in range(700):
            fresh.floor.exchange.now += local.MINUTE / 600 * (number % 250 == 0)
            fresh.floor.exchange.submit(ask("buy", 1, "limit", "BBB", limit_price=1, client_order_id=f"many {number}"))
        there = Rest(Access(local.KEYS.key, local.KEYS.secret, live=False, url=fresh.url), ("BBB",))
        said = there.perform(Sync("", (), 1))
    assert [report.client_order_id for report in said.orders] == [f"many {number}" for number in range(699, -1, -1)]


def test_a_reading_tells_the_brokers_time(venue, rest):
    """To the microsecond, as the exchange has it."""
    said = rest.perform(Sync("", (), 1))
    assert said.clock_ns == clock.nanoseconds(venue.floor.exchange.now)


@pytest.mark.fault("F91")
def test_what_cannot_be_traded_is_named(venue, rest, monkeypatch):
    """Unknown, or delisted; a question a class of assets tells it of any number of symbols."""
    assets, asked = venue.floor.exchange.assets, []
    kept, assets["BBB"] = assets["BBB"], replace(assets["BBB"], tradable=False)
    ask = rest._ask
    monkeypatch.setattr(rest, "_ask", lambda *request: (asked.append(request), ask(*request))[1])
    assert rest.untradable(["AAA", "BBB", "BTC/USD", "ZZZ"]) == {"BBB", "ZZZ"}
    assert rest.untradable(["BTC/USD"]) == frozenset()
    assets["BBB"] = kept
    assert [told["asset_class"] for _, _, told in asked] == ["crypto", "us_equity", "crypto"]
