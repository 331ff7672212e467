"""Faults: a script of what goes wrong on the wire, for tests and for people who want to practise.

A rule waits for the `nth` request that matches it, and spoils that one and as many after it as `times` says.
"""

import asyncio
import re
from dataclasses import dataclass, field
from typing import Literal

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Action = Literal["drop_before", "drop_after", "hang_before", "hang_after", "status_before", "status_after", "truncate", "delay"]


@dataclass
class Rule:
    """One thing that goes wrong."""

    action: Action
    method: str = "*"
    path: str = ".*"
    """A regular expression that the path begins with."""
    nth: int = 1
    times: int = 1
    status: int = 504
    body: str = '{"code": 50410000, "message": "gateway timeout"}'
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    seconds: float = 1.0
    seen: int = 0

    def strikes(self, method: str, path: str) -> bool:
        """Return whether it spoils this request, which it counts."""
        if self.method not in {"*", method} or not re.match(self.path, path):
            return False
        self.seen += 1
        return self.nth <= self.seen < self.nth + self.times

    @property
    def response(self) -> Response:
        """The answer that takes the place of the right one."""
        return Response(self.body, self.status, {**self.headers, "content-type": self.content_type})


class Faults:
    """Spoils requests by the script. ASGI middleware; the script may be changed while it runs."""

    def __init__(self, app: ASGIApp, rules: list[Rule]) -> None:
        self.app, self.rules = app, rules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, spoiled by the first rule that strikes."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        struck = [rule for rule in self.rules if rule.strikes(scope["method"], scope["path"])]
        if not struck:
            await self.app(scope, receive, send)
        else:
            await self._spoil(struck[0], scope, receive, send)

    async def _spoil(self, rule: Rule, scope: Scope, receive: Receive, send: Send) -> None:
        where = rule.action.partition("_")[2]
        if rule.action in {"delay", "hang_before"}:
            await asyncio.sleep(rule.seconds)
        if rule.action in {"hang_before", "drop_before"}:
            await _cut(send)
            return
        sent: list[Message] = []
        if where != "before":
            await self.app(scope, receive, _kept(sent))
        if rule.action in {"hang_after", "drop_after"}:
            await asyncio.sleep(rule.seconds if rule.action == "hang_after" else 0.0)
            await _cut(send)
        elif rule.action.startswith("status"):
            await rule.response(scope, receive, send)
        elif rule.action == "truncate":
            body = b"".join(message.get("body", b"") for message in sent)
            await Response(body[: len(body) // 2], 200, media_type="application/json")(scope, receive, send)
        elif rule.action == "delay":
            for message in sent:
                await send(message)


async def _cut(send: Send) -> None:
    """Begin an answer and never end it: the server closes the connection, where no answer at all would be a 500."""
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"1")]})


def _kept(sent: list[Message]) -> Send:
    async def keep(message: Message) -> None:
        sent.append(message)

    return keep


async def script(request: Request, rules: list[Rule]) -> Response:
    """Take a script: a list of rules takes the place of what is left of the one before."""
    body = await request.json()
    rules[:] = [Rule(**each) for each in body]
    return JSONResponse({"rules": len(rules)})
