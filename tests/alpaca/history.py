"""The HTTP half: bars, trades, quotes, news and corporate actions in pages, and faults in the order in which they are set.

Shapes are those of the recorded payloads: `{"bars": {symbol: [row, ...]}, "next_page_token": token}`, rows sorted by symbol and
time, an empty map where there is nothing, tokens that mean nothing to anybody else.
"""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

KEY, SECRET = "PKLOCAL", "local-secret"
Row = dict[str, Any]
Bars = dict[str, list[Row]]


@dataclass(frozen=True)
class Reply:
    """What goes over the wire."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    """Content length that is claimed; None for the true one."""
    hang_s: float = 0.0


Fault = Callable[["Vendor", Reply], Reply]


@dataclass
class Vendor:
    """What the local Alpaca has, and how it is going to fail."""

    bars: dict[str, Bars] = field(default_factory=dict)
    """By timeframe as Alpaca writes it (5Min, 1Day), then by symbol."""
    trades: Bars = field(default_factory=dict)
    quotes: Bars = field(default_factory=dict)
    articles: list[Row] = field(default_factory=list)
    actions: dict[str, list[Row]] = field(default_factory=dict)
    """By Alpaca's word for many (cash_dividends)."""
    page_rows: int = 10_000
    faults: list[Fault] = field(default_factory=list)
    """Each spoils one answer, in turn."""
    always: Fault | None = None
    """Spoils every answer after those."""
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    url: str = ""
    sent: list[bytes] = field(default_factory=list)
    """Bodies as they went over the wire."""

    def reply(self, path: str, asked: dict[str, str], headers: Any) -> Reply:
        """Return the answer to one question, spoilt if that is planned."""
        self.asked.append((path, asked))
        keyed = headers.get("APCA-API-KEY-ID") == KEY and headers.get("APCA-API-SECRET-KEY") == SECRET
        good = self._good(path, asked) if keyed or "/crypto/" in path else error(403, "forbidden.")
        fault = self.faults.pop(0) if self.faults else self.always
        told = good if fault is None else fault(self, good)
        self.sent.append(told.body)
        return told

    def _good(self, path: str, asked: dict[str, str]) -> Reply:
        key = path.rsplit("/", 1)[-1].replace("-", "_")
        if key == "corporate_actions":
            return self._answer(key, self._actions(asked), asked)
        if key == "news":
            return self._answer(key, self._articles(asked), asked)
        rows = self.bars.get(asked.get("timeframe", ""), {}) if key == "bars" else getattr(self, key)
        since, until = _moment(asked["start"]), _moment(asked["end"])
        flat = [
            (symbol, row)
            for symbol in sorted(asked["symbols"].split(","))
            for row in rows.get(symbol, [])
            if since <= _moment(row["t"]) <= until
        ]
        return self._answer(key, flat, asked)

    def _articles(self, asked: dict[str, str]) -> list[tuple[str, Row]]:
        wanted, since, until = set(asked["symbols"].split(",")), _moment(asked["start"]), _moment(asked["end"])
        found = [row for row in self.articles if wanted & set(row["symbols"]) and since <= _moment(row["updated_at"]) <= until]
        return [("", row) for row in sorted(found, key=lambda row: (row["updated_at"], row["id"]))]

    def _actions(self, asked: dict[str, str]) -> list[tuple[str, Row]]:
        wanted, kinds = set(asked["symbols"].split(",")), asked["types"].split(",")
        since, until = date.fromisoformat(asked["start"]), date.fromisoformat(asked["end"])
        return [
            (kind, row)
            for kind, rows in self.actions.items()
            for row in rows
            if kind.removesuffix("s") in kinds
            and wanted & {row.get("symbol"), row.get("source_symbol"), row.get("new_symbol"), row.get("old_symbol")}
            and since <= date.fromisoformat(row["process_date"]) <= until
        ]

    def _answer(self, key: str, flat: list[tuple[str, Row]], asked: dict[str, str]) -> Reply:
        start = int(base64.b64decode(asked["page_token"])) if "page_token" in asked else 0
        size = min(self.page_rows, int(asked.get("limit", 1000)))
        page, token = flat[start : start + size], None
        if start + size < len(flat):
            token = base64.b64encode(str(start + size).encode()).decode()
        grouped: dict[str, list[Row]] = {}
        for name, row in page:
            grouped.setdefault(name, []).append(row)
        return whole({key: grouped.get("", []) if key == "news" else grouped, "next_page_token": token})


def whole(answer: Any) -> Reply:
    """Return a good reply."""
    return Reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})


def error(status: int, message: str, **headers: str) -> Reply:
    """Return a refusal as Alpaca words it."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Reply(status, json.dumps({"code": status * 100_000, "message": message}).encode(), named)


def limited(after_s: int | None = None) -> Fault:
    """Answer 429, with Retry-After where it is given."""
    headers = {} if after_s is None else {"Retry_After": str(after_s)}
    return lambda _, __: error(429, "too many requests.", **headers)


def down(status: int = 503) -> Fault:
    """Answer as a proxy does whose server is gone."""
    return lambda _, __: Reply(status, b"<html><body>Service Unavailable</body></html>", {"Content-Type": "text/html"})


def half(_: Vendor, good: Reply) -> Reply:
    """Send the first half of the bytes, close, and claim all of them."""
    return replace(good, body=good.body[: len(good.body) // 2], length=len(good.body))


def cut(_: Vendor, good: Reply) -> Reply:
    """Send half of the JSON as if it were all."""
    return replace(good, body=good.body[: len(good.body) // 2])


def repeated(vendor: Vendor, good: Reply) -> Reply:
    """Send the page before again, with its token."""
    return replace(good, body=vendor.sent[-1])


def rows_again(vendor: Vendor, good: Reply) -> Reply:
    """Send the rows of the page before with the token of this one."""
    return whole({**json.loads(vendor.sent[-1]), "next_page_token": json.loads(good.body)["next_page_token"]})


def without_token(_: Vendor, good: Reply) -> Reply:
    """Leave the token out."""
    return whole({name: value for name, value in json.loads(good.body).items() if name != "next_page_token"})


def hang(seconds: float) -> Fault:
    """Say nothing for a while."""
    return lambda _, good: replace(good, hang_s=seconds)


def spoilt(change: Callable[[dict[str, Any]], None]) -> Fault:
    """Change the answer in place."""

    def fault(_: Vendor, good: Reply) -> Reply:
        answer = json.loads(good.body)
        change(answer)
        return whole(answer)

    return fault


@contextmanager
def running(vendor: Vendor) -> Iterator[Vendor]:
    """Let the vendor answer at an address of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            asked = {name: values[-1] for name, values in parse_qs(parts.query).items()}
            self.send(vendor.reply(parts.path, asked, self.headers))

        def send(self, reply: Reply) -> None:
            time.sleep(reply.hang_s)
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(reply.body) if reply.length is None else reply.length))
            self.end_headers()
            self.wfile.write(reply.body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    vendor.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield vendor
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def stamp(at: datetime) -> str:
    """Return a moment as Alpaca writes it."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def bar(at: datetime, open_: float, high: float, low: float, close: float, volume: float, **more: Any) -> Row:
    """Return a bar as Alpaca writes it."""
    return {"t": stamp(at), "o": open_, "h": high, "l": low, "c": close, "v": volume, **more}


def _moment(text: str) -> datetime:
    """Read RFC 3339 with up to nine digits of a second, cut to microseconds."""
    head, _, fraction = text.replace("Z", "+00:00").partition(".")
    if not fraction:
        return datetime.fromisoformat(head)
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    micro = timedelta(microseconds=int(fraction[:digits].ljust(6, "0")[:6]))
    return datetime.fromisoformat(head + fraction[digits:]) + micro
