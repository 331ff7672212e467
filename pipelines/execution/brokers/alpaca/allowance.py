"""Allowance: what is left of the requests that Alpaca answers in a minute, by its own count, and what of it is kept from orders.

Whoever spends a minute's requests on the orders of one bar can neither cancel nor read the account until it is over.
"""

from collections.abc import Mapping
from typing import Any

from domain.clock import Clock

#: The part of a minute's requests that is left to cancels and readings.
KEPT = 0.2
LIMIT, REMAINING, RESET = (f"X-RateLimit-{name}" for name in ("Limit", "Remaining", "Reset"))


class Allowance:
    """Heard with each answer; nothing is known, and all may be asked, before the first that tells."""

    def __init__(self, time: Clock) -> None:
        self._time = time
        self.limit, self.left, self.reset_s = 0, 0, 0.0

    def heard(self, headers: Mapping[str, str]) -> None:
        """Take in what an answer says; one that says nothing, or what is no number, changes nothing."""
        try:
            told = int(headers[LIMIT]), int(headers[REMAINING]), float(headers[RESET])
        except (KeyError, ValueError):
            return
        self.limit, self.left, self.reset_s = told

    def refuses(self) -> str:
        """Return why no order should be sent now, nothing where one may be."""
        wait_s = self.reset_s - self._time.now().timestamp()
        if wait_s <= 0.0 or self.left > self.limit * KEPT:
            return ""
        return f"{self.left} of {self.limit} requests are left for {wait_s:.0f} s, which cancels and readings may need"

    def hook(self, response: Any, *_: Any, **__: Any) -> None:
        """Hear an answer of the genuine client's session."""
        self.heard(response.headers)
