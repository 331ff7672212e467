# ruff: noqa: N802, N803  # the library's own names
"""Sessions: what a caller opens; events come out of a queue in the order in which the terminal made them."""

import queue
from typing import Any

from blpapi.elements import CorrelationId, Event, Message, Request, SubscriptionList
from blpapi.terminals import terminal

SERVICES = ("//blp/refdata", "//blp/mktdata", "//blp/mktbar")


class SessionOptions:
    """Where the terminal is."""

    def __init__(self) -> None:
        self.host, self.port = "localhost", 8194

    def setServerHost(self, host: str) -> None:
        """Name the machine."""
        self.host = host

    def setServerPort(self, port: int) -> None:
        """Name the port."""
        self.port = port


class Service:
    """A service that was opened."""

    def __init__(self, name: str) -> None:
        self.name = name

    def createRequest(self, operation: str) -> Request:
        """Return an empty request."""
        return Request(operation)


class Session:
    """A connection in the synchronous mode: the caller fetches events."""

    def __init__(self, options: SessionOptions) -> None:
        self._options, self._opened = options, set()
        self._events: queue.Queue[Event] = queue.Queue()
        self._live: Any = None

    def start(self) -> bool:
        """Connect; say whether that succeeded."""
        terminal.sessions += 1
        if not terminal.listens(self._options.host, self._options.port):
            return False
        for word in ("SessionConnectionUp", "SessionStarted"):
            self._events.put(Event(Event.SESSION_STATUS, [Message(word, {})]))
        return True

    def openService(self, name: str) -> bool:
        """Open a service; say whether that succeeded."""
        if name not in SERVICES or name in terminal.closed_services:
            return False
        self._opened.add(name)
        self._events.put(Event(Event.SERVICE_STATUS, [Message("ServiceOpened", {"serviceName": name})]))
        return True

    def getService(self, name: str) -> Service:
        """Return an opened service."""
        assert name in self._opened, f"{name} was not opened"
        return Service(name)

    def sendRequest(self, request: Request, correlationId: CorrelationId | None = None) -> CorrelationId:
        """Ask; the answer comes as events."""
        identity = correlationId or CorrelationId()
        for event in terminal.answer(request, identity):
            self._events.put(event)
        return identity

    def subscribe(self, wanted: SubscriptionList) -> None:
        """Subscribe; data come as events."""
        for topic, _, _, identity in wanted.entries:
            service = topic.split("/ticker/")[0] if topic.startswith("//") else "//blp/mktdata"
            assert service in self._opened, f"{service} was not opened"
            started = Message("SubscriptionStarted", {}, [identity])
            self._events.put(Event(Event.SUBSCRIPTION_STATUS, [started]))
        self._live = terminal.stream(wanted)

    def nextEvent(self, timeout: int = 0) -> Event:
        """Return the next event, or TIMEOUT after so many milliseconds."""
        if not self._events.empty():
            return self._events.get()
        event = next(self._live, None) if self._live is not None else None
        if event is not None:
            return event
        assert timeout, "without a timeout this would wait for ever"
        return Event(Event.TIMEOUT)

    def stop(self) -> None:
        """End it."""
        terminal.stopped += 1
        self._events.put(Event(Event.SESSION_STATUS, [Message("SessionTerminated", {})]))
