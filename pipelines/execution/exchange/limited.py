"""Limited: so many requests a minute and no more, in the words of Alpaca's limit."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

WINDOW_S = 60.0
EXCEEDED = {"code": 42910000, "message": "rate limit exceeded"}


@dataclass
class Limited:
    """Lets through what clients may ask within a minute, says what is left of it, answers the rest with 429. ASGI middleware."""

    app: ASGIApp
    most: int
    """Requests a minute; 0 for no limit."""
    clock: Callable[[], float]
    """Seconds since 1970."""
    asked: deque[float] = field(default_factory=deque)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, if it may be asked now."""
        if scope["type"] != "http" or not self.most:
            await self.app(scope, receive, send)
            return
        now = self.clock()
        while self.asked and now - self.asked[0] >= WINDOW_S:
            self.asked.popleft()
        if len(self.asked) >= self.most:
            await JSONResponse(EXCEEDED, 429, self._headers(now))(scope, receive, send)
            return
        self.asked.append(now)
        await self.app(scope, receive, _headed(send, self._headers(now)))

    def _headers(self, now: float) -> dict[str, str]:
        again = (self.asked[0] if self.asked else now) + WINDOW_S
        left = self.most - len(self.asked)
        return {"X-RateLimit-Limit": str(self.most), "X-RateLimit-Remaining": str(left), "X-RateLimit-Reset": str(int(again) + 1)}


def _headed(send: Send, headers: dict[str, str]) -> Send:
    async def say(message: Message) -> None:
        if message["type"] == "http.response.start":
            MutableHeaders(scope=message).update(headers)
        await send(message)

    return say
