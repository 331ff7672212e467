"""Webhook: MLflow's server tells that an alias was moved, and Prefect is told in turn (`python -m flows.webhook`).

The server signs what it sends with a secret that only it and the receiver know: `v1,` and the base64 of HMAC-SHA256 over delivery,
time and body. What becomes of a champion that a person moved is decided in `admit`, a flow that our own promotions end in as well.
"""

import argparse
import base64
import hashlib
import hmac
import json
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from domain.clock import Clock, SystemClock, nanoseconds
from domain.error import ConfigurationError, NightshiftError
from flows import events
from flows import home as homes
from flows.home import Home
from pipelines.registry import CHAMPION, Registry, market_of

HOST, PLACE = "127.0.0.1", "/alias"
#: Beside the database that is of no use without it: MLflow does not even list webhooks whose secrets it cannot read.
KEY = "webhook.key"
#: Older deliveries may be a replay of one that was overheard.
AGE_S = 300
BYTES_MAX = 65_536
SECRET_BYTES = 32
#: Prefect does not answer: MLflow is to deliver again.
LATER = HTTPStatus.SERVICE_UNAVAILABLE

log = logging.getLogger("nightshift.webhook")

#: Told a market and the version that the champion's alias was moved to, or None where it was taken away; whether it was heard.
Tell = Callable[[str, int | None], bool]


def secret(home: Home) -> str:
    """Return what MLflow's server and the receiver sign and check with; the home makes it when it is first asked."""
    return hmac.new(_kept(home.mlflow / KEY), b"delivery", hashlib.sha256).hexdigest()


def encryption_key(home: Home) -> str:
    """Return the key under which MLflow's server keeps that secret in its database, as Fernet takes it."""
    return base64.urlsafe_b64encode(hmac.new(_kept(home.mlflow / KEY), b"database", hashlib.sha256).digest()).decode()


def _kept(path: Path) -> bytes:
    """Return the random bytes of a file that is its owner's alone, made where there is none; whoever makes it first wins."""
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        held, half = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
        with os.fdopen(held, "wb") as file:
            file.write(os.urandom(SECRET_BYTES))
        try:
            os.link(half, path)
        except FileExistsError:
            log.info("another process made %s first", path)
        finally:
            Path(half).unlink()
    found, mode = path.read_bytes(), path.stat().st_mode & 0o777
    if mode & 0o077 or len(found) != SECRET_BYTES:
        raise ConfigurationError(
            f"{path} must hold {SECRET_BYTES} bytes with mode 600, found {len(found)} with {mode:o}: remove it"
        )
    return found


def signed(kept: str, headers: Mapping[str, str], body: bytes, clock: Clock) -> bool:
    """Return whether MLflow's server sent this body lately."""
    delivery, sent = headers.get("X-MLflow-Delivery-Id", ""), headers.get("X-MLflow-Timestamp", "")
    told = hmac.new(kept.encode(), f"{delivery}.{sent}.".encode() + body, hashlib.sha256).digest()
    expected = "v1," + base64.b64encode(told).decode()
    fresh = sent.isdecimal() and abs(nanoseconds(clock.now()) / 1e9 - int(sent)) <= AGE_S
    return hmac.compare_digest(expected.encode(), headers.get("X-MLflow-Signature", "").encode()) and fresh


def heard(body: bytes) -> tuple[str, int | None] | None:
    """Return the market whose champion was moved, and where to; None for what is about something else, or is no delivery."""
    try:
        told = json.loads(body)
        entity, about = told["entity"], dict(told["data"])
        market = market_of(str(about["name"]))
        version = int(about["version"]) if "version" in about else None
    except (ValueError, KeyError, TypeError):
        return None
    return (market, version) if market is not None and (entity, about.get("alias")) == ("model_version_alias", CHAMPION) else None


class Receiver(ThreadingHTTPServer):
    """Listens for MLflow's deliveries, on this machine only."""

    daemon_threads = True

    def __init__(self, port: int, kept: str, tell: Tell, clock: Clock | None = None) -> None:
        super().__init__((HOST, port), _Delivery)
        self.kept, self.tell, self.clock = kept, tell, clock or SystemClock()

    def answer(self, headers: Mapping[str, str], body: bytes) -> HTTPStatus:
        """Return what is answered to a delivery, after Prefect was told."""
        if not signed(self.kept, headers, body, self.clock):
            log.warning("a delivery without a good signature was refused")
            return HTTPStatus.UNAUTHORIZED
        moved = heard(body)
        return HTTPStatus.NO_CONTENT if moved is None or self.tell(*moved) else LATER


class _Delivery(BaseHTTPRequestHandler):
    server: Receiver
    timeout = 10

    def do_GET(self) -> None:
        self._end(HTTPStatus.NO_CONTENT if self.path != "/health" else HTTPStatus.OK)

    def do_POST(self) -> None:
        length = self.headers.get("Content-Length", "")
        if self.path != PLACE or not length.isdecimal() or int(length) > BYTES_MAX:
            self._end(HTTPStatus.BAD_REQUEST)
            return
        self._end(self.server.answer(dict(self.headers.items()), self.rfile.read(int(length))))

    def _end(self, status: HTTPStatus) -> None:
        self.send_response(status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        log.debug("%s answered with %s", self.requestline, code)


def main(arguments: Sequence[str] | None = None) -> int:
    """Subscribe to MLflow's aliases and listen until the process is ended."""
    parser = argparse.ArgumentParser(prog="python -m flows.webhook", description="Tell Prefect which aliases MLflow saw moved.")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--mlflow", required=True, help="address of the MLflow server")
    asked = parser.parse_args(arguments)
    homes.quiet()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(message)s")
    home = homes.from_environment()
    try:
        with Receiver(asked.port, secret(home), lambda market, version: events.moved(market, version, home)) as receiver:
            Registry(home.mlflow, uri=asked.mlflow).subscribe(f"http://{HOST}:{receiver.server_port}{PLACE}", secret(home))
            receiver.serve_forever()
    except NightshiftError as problem:
        sys.stderr.write(f"nightshift: {problem}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
