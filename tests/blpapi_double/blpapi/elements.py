# ruff: noqa: N802, N803  # the library's own names
"""Elements: names, identities, requests, and events with their messages."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from blpapi.errors import InvalidArgumentException, NotFoundException

#: What each operation of //blp/refdata can be asked; True where an element is an array.
OPERATIONS: dict[str, dict[str, bool]] = {
    "HistoricalDataRequest": {
        "securities": True, "fields": True, "overrides": True, "startDate": False, "endDate": False, "periodicitySelection": False,
        "periodicityAdjustment": False, "nonTradingDayFillOption": False, "nonTradingDayFillMethod": False, "maxDataPoints": False,
        "adjustmentNormal": False, "adjustmentAbnormal": False, "adjustmentSplit": False, "adjustmentFollowDPDF": False,
        "currency": False, "returnEids": False, "returnRelativeDate": False, "overrideOption": False, "pricingOption": False,
        "calendarCodeOverride": False,
    },
    "IntradayBarRequest": {
        "security": False, "eventType": False, "interval": False, "startDateTime": False, "endDateTime": False,
        "gapFillInitialBar": False, "returnEids": False, "returnRelativeDate": False, "adjustmentNormal": False,
        "adjustmentAbnormal": False, "adjustmentSplit": False, "adjustmentFollowDPDF": False,
    },
    "IntradayTickRequest": {
        "security": False, "eventTypes": True, "startDateTime": False, "endDateTime": False, "includeConditionCodes": False,
        "includeExchangeCodes": False, "includeNonPlottableEvents": False, "includeBrokerCodes": False, "includeRpsCodes": False,
        "includeBicMicCodes": False, "includeTradeTime": False, "includeTradeId": False, "returnEids": False,
        "maxDataPoints": False,
    },
    "ReferenceDataRequest": {
        "securities": True, "fields": True, "overrides": True, "returnEids": False, "returnFormattedValue": False,
        "useUTCTime": False, "forcedDelay": False,
    },
}  # fmt: skip


class Name:
    """A word of the schema; equal to another of the same letters."""

    def __init__(self, word: str) -> None:
        self._word = word

    def __str__(self) -> str:
        return self._word

    def __eq__(self, other: object) -> bool:
        return str(other) == self._word

    def __hash__(self) -> int:
        return hash(self._word)


class CorrelationId:
    """What a caller calls a request or a subscription."""

    def __init__(self, value: object = None) -> None:
        self._value = value

    def value(self) -> object:
        """Return what the caller gave."""
        return self._value

    def __eq__(self, other: object) -> bool:
        return isinstance(other, CorrelationId) and other.value() == self._value

    def __hash__(self) -> int:
        return hash(self._value)


class Request:
    """A request of one operation, to be filled in."""

    def __init__(self, operation: str) -> None:
        if operation not in OPERATIONS:
            raise NotFoundException(f"no operation {operation}")
        self.operation, self.content = operation, {}

    def fromPy(self, content: Mapping[str, Any]) -> None:
        """Fill in all of it; a wrong element or an array that is none is refused, as by the library."""
        for name, value in content.items():
            if str(name) not in OPERATIONS[self.operation]:
                raise NotFoundException(f"{self.operation} has no element {name}")
            array = isinstance(value, Sequence) and not isinstance(value, str)
            if array != OPERATIONS[self.operation][str(name)]:
                raise InvalidArgumentException(f"{name} is {'an array' if array else 'no array'}")
            self.content[str(name)] = copy.deepcopy(value)

    def set(self, name: str, value: object) -> None:
        """Fill in one element."""
        self.fromPy({name: value})


class Message:
    """One message: its type, whom it is for, and what it holds."""

    def __init__(self, word: str, content: Mapping[str, Any], identities: Sequence[CorrelationId] = ()) -> None:
        self._word, self._content, self._identities = Name(word), content, list(identities)

    def messageType(self) -> Name:
        """Return the type."""
        return self._word

    def correlationIds(self) -> list[CorrelationId]:
        """Return whom it is for."""
        return self._identities

    def hasElement(self, name: object) -> bool:
        """Say whether there is such an element."""
        return str(name) in self._content

    def toPy(self) -> dict[str, Any]:
        """Return a deep copy in native types."""
        return copy.deepcopy(dict(self._content))


class Event:
    """Messages of one kind."""

    ADMIN, SESSION_STATUS, SUBSCRIPTION_STATUS, REQUEST_STATUS, RESPONSE, PARTIAL_RESPONSE = range(1, 7)
    SUBSCRIPTION_DATA, SERVICE_STATUS, TIMEOUT = 8, 9, 10

    def __init__(self, kind: int, messages: Sequence[Message] = ()) -> None:
        self._kind, self._messages = kind, list(messages)

    def eventType(self) -> int:
        """Return the kind."""
        return self._kind

    def __iter__(self) -> Iterator[Message]:
        return iter(self._messages)


class SubscriptionList:
    """Topics with their fields, options and identities."""

    def __init__(self) -> None:
        self.entries: list[tuple[str, list[str], dict[str, str], CorrelationId]] = []

    def add(self, topic: str, fields: Any = None, options: Any = None, correlationId: CorrelationId | None = None) -> int:
        """Add a topic."""
        names = fields.split(",") if isinstance(fields, str) else list(fields or [])
        chosen = (
            dict(option.split("=") for option in options.split("&") if option) if isinstance(options, str) else dict(options or {})
        )
        self.entries.append((topic, names, chosen, correlationId or CorrelationId()))
        return 0

    def size(self) -> int:
        """Return how many there are."""
        return len(self.entries)
