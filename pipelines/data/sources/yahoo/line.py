"""Line: the one connection to Yahoo. It spaces requests, and remembers what the last answer said."""

import email.utils
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC
from functools import partial
from typing import Any

from domain.clock import Clock

LIMITED = 429
#: What Yahoo's edge writes when it limits; sometimes under a status that says nothing of it.
LIMITED_PAGE = "too many requests"


@dataclass
class Line:
    """Stands between yfinance and its session: while it is connected every request of the session goes through it."""

    spacing_s: float
    """Seconds from the end of one request to the next."""
    clock: Clock
    sleep: Callable[[float], None]
    status: int = 0
    """Of the last answer; 0 before there is one."""
    retry_after_s: float = 0.0
    """What the last answer asked to wait; 0 where it asked nothing."""
    limited: bool = False
    _answers: dict[str, Any] = field(default_factory=dict, repr=False)
    _last_ns: int | None = None

    @contextmanager
    def connected(self, session: Any) -> Iterator[None]:
        """Carry the requests of a requests.Session or curl_cffi session while the block lasts."""
        # yfinance takes sessions of two libraries and looks at nothing but their class: one method is what they share.
        request = session.request
        session.request = partial(self._carry, request)
        try:
            yield
        finally:
            session.request = request

    def forget(self) -> None:
        """Begin another question: an answer is only repeated within one."""
        self._answers.clear()
        self.status, self.retry_after_s, self.limited = 0, 0.0, False

    def _carry(self, request: Callable[..., Any], method: str, url: str, **named: Any) -> Any:
        """Return the answer to a request; the same request of the same question is asked once if it went well."""
        question = repr((method, url, sorted((named.get("params") or {}).items())))
        if question in self._answers:
            return self._answers[question]
        self._wait()
        try:
            answer = request(method, url, **named)
        finally:
            self._last_ns = self.clock.monotonic_ns()
        self._remember(answer)
        if answer.status_code < 400:
            self._answers[question] = answer
        return answer

    def _wait(self) -> None:
        if self._last_ns is None:
            return
        left = self.spacing_s - (self.clock.monotonic_ns() - self._last_ns) / 1e9
        if left > 0.0:
            self.sleep(left)

    def _remember(self, answer: Any) -> None:
        self.status = answer.status_code
        self.retry_after_s = self._seconds(answer.headers.get("retry-after"))
        self.limited = self.status == LIMITED or LIMITED_PAGE in answer.text[:200].lower()

    def _seconds(self, said: str | None) -> float:
        """Read Retry-After, seconds or a date (RFC 9110, 10.2.3); what is neither asks nothing."""
        if said is None:
            return 0.0
        if said.strip().isdigit():
            return float(said)
        try:
            until = email.utils.parsedate_to_datetime(said)
        except ValueError:
            return 0.0
        until = until if until.tzinfo else until.replace(tzinfo=UTC)
        return max((until - self.clock.now()).total_seconds(), 0.0)
