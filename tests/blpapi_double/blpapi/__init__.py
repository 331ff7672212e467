"""A stand-in for blpapi, Bloomberg's library: the names, shapes and order of events of its public API, without a terminal.

Written after the API's documentation and the interface of blpapi 3.26: SessionOptions, Session, Service, Request, Event, Message,
Name, CorrelationId, SubscriptionList. A request is checked against the elements that its operation has, as the library does.
`blpapi.terminal` is the stand-in's own: what it knows, and the faults that it is to have.
"""

from blpapi.elements import CorrelationId, Event, Message, Name, Request, SubscriptionList
from blpapi.errors import Exception, InvalidArgumentException, NotFoundException  # noqa: A004  # the library's own name
from blpapi.sessions import Service, Session, SessionOptions
from blpapi.terminals import Terminal, terminal

__all__ = [
    "CorrelationId",
    "Event",
    "Exception",
    "InvalidArgumentException",
    "Message",
    "Name",
    "NotFoundException",
    "Request",
    "Service",
    "Session",
    "SessionOptions",
    "SubscriptionList",
    "Terminal",
    "terminal",
]
