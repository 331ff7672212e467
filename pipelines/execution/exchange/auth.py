"""Authentication: one pair of keys, compared without telling by the time it takes where they differ."""

import base64
import hmac
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_hex
from typing import Any

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

UNAUTHORIZED = {"code": 40110000, "message": "request is not authorized"}


@dataclass(frozen=True)
class Keys:
    """What opens the exchange. Its repr holds no secret."""

    key: str
    secret: str = field(repr=False)

    @classmethod
    def kept(cls, path: Path) -> "Keys":
        """Return the pair kept in a file, which is made on the first call and readable by its owner alone."""
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch(mode=0o600)
            path.write_text(f"PK{token_hex(9).upper()}\n{token_hex(20)}\n", encoding="utf-8")
        key, secret = path.read_text(encoding="utf-8").split()
        return cls(key, secret)

    def match(self, key: Any, secret: Any) -> bool:
        """Return whether both are right."""
        right = hmac.compare_digest(str(key).encode(), self.key.encode())
        return hmac.compare_digest(str(secret).encode(), self.secret.encode()) and right


class Guarded:
    """Lets requests in that carry the keys, by Alpaca's headers or as a basic authorization. ASGI middleware."""

    def __init__(self, app: ASGIApp, keys: Keys) -> None:
        self.app, self.keys = app, keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve a request that may; answer the others with 401."""
        if scope["type"] == "http" and not self.keys.match(*_given(Headers(scope=scope))):
            await JSONResponse(UNAUTHORIZED, 401)(scope, receive, send)
            return
        await self.app(scope, receive, send)


def _given(headers: Headers) -> tuple[str, str]:
    if "apca-api-key-id" in headers:
        return headers["apca-api-key-id"], headers.get("apca-api-secret-key", "")
    kind, _, told = headers.get("authorization", "").partition(" ")
    try:
        key, _, secret = base64.b64decode(told).decode().partition(":") if kind == "Basic" else ("", "", "")
    except ValueError:
        return "", ""
    return key, secret
