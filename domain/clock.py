"""The only place that reads the time."""

import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What the rest of the house may ask of time."""

    def now(self) -> datetime:
        """Return the present moment, aware, in UTC."""
        ...

    def monotonic_ns(self) -> int:
        """Return nanoseconds that never run backwards; only differences mean something."""
        ...


class SystemClock:
    """The machine's own clock."""

    def now(self) -> datetime:
        """Return the machine's time in UTC."""
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        """Return the machine's monotonic nanoseconds."""
        return time.monotonic_ns()


@dataclass
class ReplayClock:
    """A clock that stands where the replayed bar puts it."""

    at: datetime

    def now(self) -> datetime:
        """Return the replayed moment."""
        return self.at

    def monotonic_ns(self) -> int:
        """Return the replayed moment as nanoseconds since 1970: replays are then equal byte for byte."""
        return nanoseconds(self.at)

    def advance(self, at: datetime) -> None:
        """Move forward to `at`; raise ValueError if that would be backwards."""
        if at < self.at:
            raise ValueError(f"a replay clock at {self.at} was asked to run backwards to {at}")
        self.at = at


def nanoseconds(at: datetime) -> int:
    """Return an aware datetime as integer nanoseconds since 1970, exactly."""
    delta = at - datetime(1970, 1, 1, tzinfo=UTC)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000
