# ruff: noqa: N802  # the library's own names
"""Terminals: what the stand-in knows, how it answers, and the faults that a test wants of it."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

from blpapi.elements import CorrelationId, Event, Message, Request, SubscriptionList

#: Rows that one message of an answer holds: more come as partial responses.
PART = 40
UNKNOWN = {
    "source": "1234::bbdbd",
    "code": 15,
    "category": "BAD_SEC",
    "message": "Unknown/Invalid security [nid:1234]",
    "subcategory": "INVALID_SECURITY",
}
PRICE_FIELDS = ("PX_OPEN", "PX_HIGH", "PX_LOW", "PX_LAST")


def _error(category: str, message: str, subcategory: str | None = None) -> dict[str, Any]:
    return {"responseError": {"source": "bbdbd", "code": -1, "category": category, "message": message, "subcategory": subcategory}}


@dataclass
class Terminal:
    """Everything by security; times of bars and ticks are naive UTC."""

    days: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """As printed: date, PX_OPEN... ; with adjustmentSplit the prices before a split would be divided."""
    splits: dict[str, dict[date, float]] = field(default_factory=dict)
    minutes: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """Bars of one minute: time, open, high, low, close, volume, numEvents, value."""
    ticks: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    """time, type, value, size and perhaps conditionCodes and exchangeCode."""
    facts: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Fields of reference data; arrays are lists of dictionaries."""
    events: list[tuple[str, str, dict[str, Any]]] = field(default_factory=list)
    """What subscriptions tell in each session: topic, message type, content."""
    address: tuple[str, int] = ("localhost", 8194)
    up: bool = True
    closed_services: set[str] = field(default_factory=set)
    failures: int = 0
    """Requests that fail before one is answered; -1: all."""
    fault: str = "silence"
    """How they fail: silence, terminated (in the middle), failure, limit, internal."""
    sessions: int = 0
    stopped: int = 0
    asked: list[Request] = field(default_factory=list)

    def reset(self) -> None:
        """Forget everything."""
        self.__dict__.update(Terminal().__dict__)

    def listens(self, host: str, port: int) -> bool:
        """Say whether a terminal is there."""
        return self.up and (host, port) == self.address

    def answer(self, request: Request, identity: CorrelationId) -> list[Event]:
        """Return the events that answer a request."""
        self.asked.append(request)
        parts = list(getattr(self, f"_{request.operation}")(request.content))
        word = request.operation.replace("Request", "Response")
        messages = [Message(word, part, [identity]) for part in parts]
        events = [Event(Event.PARTIAL_RESPONSE, [message]) for message in messages[:-1]] + [Event(Event.RESPONSE, messages[-1:])]
        if self.failures == 0:
            return events
        self.failures -= 1
        return self._failing(events, word, identity)

    def stream(self, wanted: SubscriptionList) -> Iterator[Event]:
        """Yield what subscriptions tell."""
        topics = {topic: identity for topic, _, _, identity in wanted.entries}
        for topic, word, content in self.events:
            if word == "SessionTerminated":
                yield Event(Event.SESSION_STATUS, [Message(word, {})])
            elif topic in topics:
                kind = Event.SUBSCRIPTION_STATUS if word.startswith("Subscription") else Event.SUBSCRIPTION_DATA
                yield Event(kind, [Message(word, content, [topics[topic]])])

    def _failing(self, events: list[Event], word: str, identity: CorrelationId) -> list[Event]:
        if self.fault == "silence":
            return events[:-1]
        if self.fault == "terminated":
            return [*events[:-1], Event(Event.SESSION_STATUS, [Message("SessionTerminated", {})])]
        if self.fault == "failure":
            reason = {"reason": {"category": "IO_ERROR", "description": "connection reset", "errorCode": 1}}
            return [Event(Event.REQUEST_STATUS, [Message("RequestFailure", reason, [identity])])]
        error = (
            _error("LIMIT", "Daily capacity reached.", "DAILY_LIMIT_REACHED")
            if self.fault == "limit"
            else _error("INTERNAL_ERROR", "oops")
        )
        return [Event(Event.RESPONSE, [Message(word, error, [identity])])]

    def _HistoricalDataRequest(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        for number, name in enumerate(asked["securities"]):
            about = {"security": name, "eidData": [], "sequenceNumber": number, "fieldExceptions": []}
            if name not in self.days:
                yield {"securityData": {**about, "securityError": UNKNOWN, "fieldData": []}}
                continue
            rows = [
                self._day(name, row, asked)
                for row in self.days[name]
                if asked["startDate"] <= f"{row['date']:%Y%m%d}" <= asked["endDate"]
            ]
            for part in _cut(rows):
                yield {"securityData": {**about, "fieldData": part}}

    def _day(self, name: str, row: dict[str, Any], asked: dict[str, Any]) -> dict[str, Any]:
        told = {key: value for key, value in row.items() if key == "date" or key in asked["fields"]}
        # Without the overrides Bloomberg follows the terminal's own settings, which adjust.
        if asked.get("adjustmentSplit", True) or asked.get("adjustmentFollowDPDF", True):
            for ex_date, ratio in self.splits.get(name, {}).items():
                told |= {key: told[key] / ratio for key in PRICE_FIELDS if key in told and row["date"] < ex_date}
        return told

    def _IntradayBarRequest(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if asked["security"] not in self.minutes:
            yield _error("BAD_SEC", "Unknown/Invalid security [nid:1234]", "INVALID_SECURITY")
            return
        first, last = (_naive(asked[name]) for name in ("startDateTime", "endDateTime"))
        rows = [bar for bar in self.minutes[asked["security"]] if first <= bar["time"] < last]
        for part in _cut(_summed(rows, asked["interval"])):
            yield {"barData": {"eidData": [], "delayedSecurity": False, "barTickData": part}}

    def _IntradayTickRequest(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        if asked["security"] not in self.ticks:
            yield _error("BAD_SEC", "Unknown/Invalid security [nid:1234]", "INVALID_SECURITY")
            return
        first, last = (_naive(asked[name]) for name in ("startDateTime", "endDateTime"))
        rows = [
            tick for tick in self.ticks[asked["security"]] if tick["type"] in asked["eventTypes"] and first <= tick["time"] <= last
        ]
        for part in _cut(rows):
            yield {"tickData": {"eidData": [], "tickData": part}}

    def _ReferenceDataRequest(self, asked: dict[str, Any]) -> Iterator[dict[str, Any]]:
        told = []
        for number, name in enumerate(asked["securities"]):
            about = {"security": name, "eidData": [], "sequenceNumber": number, "fieldExceptions": []}
            if name not in self.facts:
                told.append({**about, "securityError": UNKNOWN, "fieldData": {}})
                continue
            known = {field: self.facts[name][field] for field in asked["fields"] if field in self.facts[name]}
            told.append({**about, "fieldData": known})
        yield {"securityData": told}


def _cut(rows: list[Any]) -> list[list[Any]]:
    return [rows[begin : begin + PART] for begin in range(0, len(rows), PART)] or [[]]


def _summed(rows: list[dict[str, Any]], minutes: int) -> list[dict[str, Any]]:
    """Sum minutes up to bars that begin at multiples of their length since midnight."""
    bars: dict[datetime, dict[str, Any]] = {}
    for row in rows:
        minute = row["time"].hour * 60 + row["time"].minute
        begin = row["time"].replace(hour=minute // minutes * minutes // 60, minute=minute // minutes * minutes % 60)
        bar = bars.setdefault(begin, {**row, "time": begin, "volume": 0, "numEvents": 0, "value": 0.0})
        bar["high"], bar["low"], bar["close"] = max(bar["high"], row["high"]), min(bar["low"], row["low"]), row["close"]
        for name in ("volume", "numEvents", "value"):
            bar[name] += row[name]
    return list(bars.values())


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


terminal = Terminal()
