"""A stand-in for Yahoo's servers: speaks the v8 chart protocol on this machine, cookie and crumb included."""

import json
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pandas as pd
import requests
from requests.adapters import HTTPAdapter

ROOT = Path(__file__).parents[4]
DATA = (ROOT / os.environ.get("NIGHTSHIFT_DATA", "../shared/data")) / "raw" / "yahoo_chart_json"

#: Status, body, and headers beside its length.
Answer = tuple[int, bytes] | tuple[int, bytes, dict[str, str]]
Query = dict[str, str]
EVENTS = {"Dividends": "dividends", "Stock Splits": "splits", "Capital Gains": "capitalGains"}
NO_DATA = {"code": "Unprocessable Entity", "description": "The requested range must be within the last days"}


def recorded(name: str) -> bytes:
    """Return the body of a recorded answer."""
    return json.dumps(json.loads((DATA / f"chart-{name}.json").read_text(encoding="utf-8"))["response"]["bodyJson"]).encode()


@dataclass
class Exchange:
    """Answers by symbol, the last of them for ever; an answer may be a function of the question."""

    answers: dict[str, list[Answer | Callable[[Query], Answer]]] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Symbols of the questions for bars."""
    queries: list[Query] = field(default_factory=list)
    """Their parameters."""
    port: int = 0

    def answer(self, url: str) -> Answer:
        """Return what Yahoo would say."""
        parts = urlsplit(url)
        if "/chart/" not in parts.path:
            return (200, b"crumb") if parts.path.endswith("getcrumb") else (404, b"{}")
        symbol = unquote(parts.path.rsplit("/", 1)[-1])
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.asked.append(symbol)
        self.queries.append(query)
        given = self.answers[symbol]
        chosen = given.pop(0) if len(given) > 1 else given[0]
        return chosen(query) if callable(chosen) else chosen

    def client(self) -> requests.Session:
        """Return a session whose every request ends at this machine."""
        client = requests.Session()
        client.trust_env = False
        client.mount("https://", Redirected(self.port))
        client.mount("http://", Redirected(self.port))
        return client


class Redirected(HTTPAdapter):
    """Sends every request to a port of this machine, whatever host it names."""

    def __init__(self, port: int) -> None:
        super().__init__()
        self.port = port

    def send(self, request: requests.PreparedRequest, *arguments: Any, **named: Any) -> requests.Response:
        """Send the request to the stand-in."""
        asked = urlsplit(str(request.url))
        request.url = f"http://127.0.0.1:{self.port}{asked.path}?{asked.query}"
        return super().send(request, *arguments, **named)


@contextmanager
def serving() -> Iterator[Exchange]:
    """Run a stand-in while the block lasts."""
    exchange = Exchange()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, body, *headers = exchange.answer(self.path)
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            for name, value in (headers[0] if headers else {}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    exchange.port = server.server_port
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield exchange
    finally:
        server.shutdown()
        server.server_close()


def speak(
    table: pd.DataFrame, facts: Mapping[str, object], interval: str = "1d", hours: tuple[str, str] = ("00:00", "23:59:59")
) -> Callable[[Query], Answer]:
    """Answer questions with the rows of a table in yfinance's columns, indexed by aware stamps; `facts` go into meta.

    Questions of the zone, of a stretch and of everything are answered, with bars outside the regular `hours` only where they are
    asked for; of another interval there is nothing, as with Yahoo for old days.
    """
    regular = table.between_time(*hours, inclusive="left")

    def answer(query: Query) -> Answer:
        if "range" in query:
            return _said(table.iloc[-1:], facts, interval, hours)
        if query["interval"] != interval:
            return 422, json.dumps({"chart": {"result": None, "error": NO_DATA}}).encode()
        rows = table if query["includePrePost"] == "True" else regular
        at = _seconds(rows)
        return _said(rows[(at >= int(query["period1"])) & (at < int(query["period2"]))], facts, interval, hours)

    return answer


def _said(rows: pd.DataFrame, facts: Mapping[str, object], interval: str, hours: tuple[str, str]) -> Answer:
    at = _seconds(rows).tolist()
    last = rows.iloc[-1] if len(rows) else None
    price = {} if last is None else {"regularMarketPrice": float(last["Close"]), "regularMarketTime": at[-1]}
    periods = [[_period(day, hours)] for day in sorted({stamp.normalize() for stamp in rows.index})]
    meta = {"priceHint": 2, "dataGranularity": interval, "tradingPeriods": periods, "validRanges": ["1d", "max"], **price, **facts}
    result: dict[str, Any] = {"meta": meta, "indicators": {"quote": [{}]}}
    if at:
        columns = {name.lower(): _numbers(rows[name]) for name in ("Open", "High", "Low", "Close", "Volume")}
        adjusted = [{"adjclose": _numbers(rows["Adj Close" if "Adj Close" in rows else "Close"])}]
        result |= {"timestamp": at, "indicators": {"quote": [columns], "adjclose": adjusted}, "events": _events(rows, at)}
    return 200, json.dumps({"chart": {"result": [result], "error": None}}).encode()


def _events(rows: pd.DataFrame, at: list[int]) -> dict[str, dict[str, dict[str, float]]]:
    told: dict[str, dict[str, dict[str, float]]] = {}
    for column in set(EVENTS) & set(rows):
        found = {str(when): _event(column, when, value) for when, value in zip(at, rows[column].tolist(), strict=True) if value}
        if found:
            told[EVENTS[column]] = found
    return told


def _event(column: str, when: int, value: float) -> dict[str, float]:
    if column == "Stock Splits":
        return {"date": when, "numerator": value, "denominator": 1.0}
    return {"date": when, "amount": value}


def _seconds(rows: pd.DataFrame) -> Any:
    return rows.index.tz_convert("UTC").tz_localize(None).to_numpy("datetime64[s]").astype("int64")


def _period(day: pd.Timestamp, hours: tuple[str, str]) -> dict[str, object]:
    start, end = (int((day + pd.Timedelta(f"{clock}:00"[:8])).timestamp()) for clock in hours)
    return {"timezone": "", "gmtoffset": 0, "start": start, "end": end}


def _numbers(column: pd.Series) -> list[float | None]:
    return [None if pd.isna(value) else value for value in column.tolist()]
