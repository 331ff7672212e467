"""Alerts: real journals, the real Apprise, a real server that takes its messages."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from domain.clock import SystemClock
from domain.error import ConfigurationError
from domain.params import Alerts
from flows import alerts, up, vitals
from flows.home import Home
from flows.vitals import Sign
from pipelines.journal import Journal, Record

SETTINGS = Alerts(topics=["halt", "rejection", "alert", "risk", "signal", "fill", "model"], every_s=30.0, lines_max=3)
SECOND = 10**9


class Mailbox:
    """A server that takes messages, or refuses them."""

    def __init__(self) -> None:
        self.messages, self.status = [], 200
        box = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if box.status == 200:
                    box.messages.append((told["title"], told["message"].splitlines()))
                self.send_response(box.status)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Be quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def address(self) -> str:
        return f"json://127.0.0.1:{self.server.server_port}/"


@pytest.fixture
def box() -> Iterator[Mailbox]:
    found = Mailbox()
    yield found
    found.server.shutdown()
    found.server.server_close()


class Time:
    """A clock that is set by hand."""

    second = 1

    def now(self):
        raise AssertionError("alerts go by monotonic time")

    def monotonic_ns(self) -> int:
        return self.second * SECOND


class House:
    """A home with one account and who watches it."""

    def __init__(self, root: Path, box: Mailbox) -> None:
        self.home, self.time, self.send = Home(root), Time(), alerts.apprise(box.address)
        self.journal = Journal(self.home.journals / "crypto@exchange" / "journal.db")

    def write(self, kind: str, actor: str = "core", /, **payload: object) -> None:
        self.journal.append(Record(0, 0, kind, actor, payload))

    def watch(self) -> alerts.Watch:
        return alerts.Watch(self.home, SETTINGS, self.send, self.time)


@pytest.fixture
def house(tmp_path: Path, box: Mailbox) -> Iterator[House]:
    found = House(tmp_path, box)
    yield found
    found.journal.close()


def test_a_halt_is_told_at_once_and_the_rest_in_its_time(house: House, box: Mailbox):
    """One message an interval, but what is urgent does not wait for it."""
    watch = house.watch()
    house.write("alert", reason="a bar of the future was heard")
    watch.look()
    house.write("fill", symbol=["BTC"], quantity=[-2.0], price=[100.5])
    watch.look()
    assert box.messages == [("nightshift crypto@exchange", ["alert: a bar of the future was heard"])]
    house.write("halt", "ann", command="x", reason="odd prices")
    watch.look()
    assert box.messages[1:] == [("nightshift crypto@exchange", ["halt: halt by ann: odd prices", "fill: -2 of BTC at 100.5"])]
    house.write("model", version="7", bars=12)
    watch.look()
    assert len(box.messages) == 2
    house.time.second += 31
    watch.look()
    assert box.messages[2][1] == ["model: version 7 trades from bar 12 on"]


@pytest.mark.fault("F122")
def test_a_flood_is_one_message(house: House, box: Mailbox):
    """With the number of lines left out; what is urgent is never among them."""
    watch = house.watch()
    for number in range(9):
        house.write("alert", reason=f"number {number}")
    house.write("order", client_order_id="o", state="rejected", filled="0", reason="insufficient buying power")
    watch.look()
    ((_, lines),) = box.messages
    assert lines == [
        "rejection: order o was rejected: insufficient buying power",
        "alert: number 0",
        "alert: number 1",
        "and 7 more",
    ]


def test_a_rule_on_the_whole_account_is_told_when_it_begins(house: House, box: Mailbox):
    """Not at every bar that it lasts, and again when it comes back."""
    watch = house.watch()
    for rules in (["stale_feed", "none"], ["stale_feed"], ["none"], ["stale_feed"]):
        house.write("intent", rule=rules)
        house.time.second += 31
        watch.look()
    assert [lines for _, lines in box.messages] == [["risk: the account may only reduce: stale_feed"]] * 2


@pytest.mark.fault("F104")
def test_other_settings_and_corrections_are_told(house: House, box: Mailbox):
    """With what they were and are; a charge that is no correction is the broker's daily work."""
    watch = house.watch()
    house.write("settings", market="crypto", changed={"risk.gross_max": [1.5, 1.0], "orders.age_s_max": [None, 30]}, settings={})
    house.write("charge", "ann", identity="c:ETH", amount="0", kind="correction", symbol="ETH", quantity="-4")
    house.write("charge", "ann", identity="c:", amount="400.5", kind="correction", symbol="", quantity="0")
    house.write("charge", "broker", identity="f", amount="-1", kind="CFEE", symbol="ETH", quantity="0")
    watch.look()
    ((_, lines),) = box.messages
    assert lines == [
        "model: crypto is traded by other settings: orders.age_s_max None -> 30, risk.gross_max 1.5 -> 1.0",
        "alert: ann let the account follow the broker: -4 of ETH",
        "alert: ann let the account follow the broker: 400.5 of cash",
    ]


@pytest.mark.fault("F07", "F121")
def test_a_trader_that_falls_silent_is_told_once(house: House, box: Mailbox):
    """Each time that it does; one that ended as it was told to leaves no sign behind."""
    watch, folder = house.watch(), house.journal.path.parent
    for age_s in (1, 40, 50, 1, 70):
        at = SystemClock().now() - timedelta(seconds=age_s)
        Sign(at.isoformat(), ready=True, last=None, models={}).write(folder)
        watch.look()
        house.time.second += 31
    (folder / vitals.FILE).unlink()
    watch.look()
    assert [(title, len(lines)) for title, lines in box.messages] == [("nightshift crypto@exchange", 1)] * 2
    assert [lines[0] for _, lines in box.messages] == [
        f"halt: its trader was last seen {age_s} s ago: it died, hangs, or is suspended" for age_s in (40, 70)
    ]


@pytest.mark.fault("F122")
def test_what_was_not_delivered_is_told_later_and_outlives_the_process(house: House, box: Mailbox):
    """A server that is down is asked again after a while, by this process or the next; nothing is told twice."""
    watch = house.watch()
    box.status = 500
    house.write("halt", "ann", command="x", reason="odd prices")
    watch.look()
    watch.look()
    box.status = 200
    again = house.watch()
    again.look()
    house.watch().look()
    assert [lines for _, lines in box.messages] == [["halt: halt by ann: odd prices"]]


def test_the_past_is_not_told_and_a_new_account_is_from_its_beginning(house: House, box: Mailbox):
    """Who sets alerts up does not want to hear of last year."""
    house.write("alert", reason="long ago")
    watch = house.watch()
    watch.look()
    assert not box.messages
    with Journal(house.home.journals / "sim" / "journal.db") as other:
        other.append(Record(0, 0, "alert", "core", {"reason": "first of all"}))
        watch.look()
    assert box.messages == [("nightshift sim", ["alert: first of all"])]


def test_a_journal_that_is_broken_is_told_once(house: House, box: Mailbox):
    """Whoever reads the alerts is the first who should know."""
    watch = house.watch()
    house.write("alert", reason="as it was")
    house.journal._connection.execute("UPDATE records SET payload = '{}' WHERE kind = 'alert'")
    watch.look()
    watch.look()
    ((_, (line,)),) = box.messages
    assert "its fields do not have the hash that was written with them" in line


@pytest.mark.parametrize(("addresses", "sentence"), [("", "names no address"), ("nosuch://x", "address 1 of NIGHTSHIFT_ALERTS")])
def test_addresses_that_lead_nowhere_are_one_sentence(addresses: str, sentence: str):
    """Which never holds the address: it may hold a password."""
    with pytest.raises(ConfigurationError, match=sentence) as told:
        alerts.apprise(addresses)
    assert "nosuch" not in str(told.value)


def test_up_starts_it_where_somebody_is_to_hear(monkeypatch, tmp_path: Path):
    """Without an address there is nothing to do for it."""
    monkeypatch.delenv(alerts.WHERE, raising=False)
    assert "alerts" not in [service.name for service in up.services(Home(tmp_path), up.Ports())]
    monkeypatch.setenv(alerts.WHERE, "json://127.0.0.1")
    assert "alerts" in [service.name for service in up.services(Home(tmp_path), up.Ports())]


def test_as_a_program_it_tells_until_it_is_stopped(house: House, box: Mailbox):
    """SIGTERM ends it with nothing to complain of."""
    environment = {**os.environ, "NIGHTSHIFT_HOME": str(house.home.root), alerts.WHERE: box.address}
    process = subprocess.Popen([sys.executable, "-m", "flows.alerts"], env=environment, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + 60
        while not (house.home.root / alerts.CURSORS).exists() and time.monotonic() < end:
            time.sleep(0.1)
        house.write("resume", "ann", command="x", reason="fine again")
        while not box.messages and time.monotonic() < end:
            time.sleep(0.1)
        process.send_signal(signal.SIGTERM)
        complaint = process.communicate(timeout=30)[1]
    finally:
        process.kill()
    assert box.messages == [("nightshift crypto@exchange", ["halt: resume by ann: fine again"])]
    assert (process.returncode, "Traceback" in complaint) == (0, False)
