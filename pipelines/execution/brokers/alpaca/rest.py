"""REST: one request of the core, one event in answer. Blocking: it belongs into a worker thread.

The genuine client is used with its own retries off (they send an order again after 429 and 504) and with timeouts, which it lacks.
An answer proves no more than it says: a body in Alpaca's own words with a status of 4xx is a refusal, anything else leaves an order
UNKNOWN.
"""

import json
import logging
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from domain.clock import SystemClock
from pipelines.execution.brokers.alpaca import words
from pipelines.execution.brokers.alpaca.access import Access
from pipelines.execution.brokers.alpaca.allowance import Allowance
from pipelines.execution.brokers.alpaca.words import Json, Names, Unreadable
from pipelines.execution.core import events
from pipelines.execution.core.events import EPOCH, Answer, Answered, Event
from pipelines.execution.core.plan import Cancel, Find, Request, Submit, Sync

if TYPE_CHECKING:
    from alpaca.trading.client import TradingClient

log = logging.getLogger("nightshift.alpaca")

ORDERS_MAX, ACTIVITIES_MAX = 500, 100
REFUSING = frozenset({400, 401, 403, 404, 422, 429})
#: Classes of assets, the one with fewer first: it may answer for all.
ASSETS = ("crypto", "us_equity")
EXISTS = "client_order_id must be unique"
#: How far a reading of executions steps back behind what was read: late ones are stamped earlier.
OVERLAP = timedelta(seconds=30)
#: Charges are stamped with a day only, and may be entered days later.
CHARGES_BACK = timedelta(days=4)


class Failed(Exception):
    """A request that told nothing, or not what was asked. Its text holds no secret."""

    def __init__(self, reason: str, *, status: int = 0, code: int = 0) -> None:
        super().__init__(reason)
        self.reason, self.status, self.code = reason, status, code

    @property
    def refuses(self) -> bool:
        """Whether Alpaca itself says that nothing was done."""
        return self.status in REFUSING and self.code != 0


class Rest:
    """Alpaca's trading API for one account."""

    def __init__(self, access: Access, symbols: tuple[str, ...], *, timeout_s: float = 10.0) -> None:
        self._allowance = Allowance(SystemClock())
        self._client, self.names = hardened(access, timeout_s, self._allowance), Names(symbols)
        self._clients: dict[str, str] = {}

    def perform(self, request: Request) -> Event | None:
        """Carry out a request and return what is known then; None where nothing is, and it is asked again."""
        if isinstance(request, Submit):
            return self._submit(request)
        try:
            if isinstance(request, Cancel):
                return self._cancel(request)
            return self._find(request) if isinstance(request, Find) else self._sync(request)
        except (Failed, Unreadable, KeyError, TypeError) as problem:
            known = isinstance(problem, Failed | Unreadable)
            reason = str(problem) if known else f"what came cannot be read, {type(problem).__name__} {problem}"
            log.warning("Alpaca did not answer %s: %s", type(request).__name__, reason)
            return events.Unread(reason, request.asked_ns) if isinstance(request, Sync) else None

    def account(self) -> Json:
        """Return the account; raise Failed."""
        return dict(self._ask("GET", "/account"))

    def clock(self) -> str:
        """Return Alpaca's time, RFC 3339; raise Failed."""
        return str(self._ask("GET", "/clock")["timestamp"])

    def untradable(self, symbols: Iterable[str]) -> frozenset[str]:
        """Return those of the symbols that cannot be traded at all; raise Failed. A question a class of assets, however many."""
        left = set(symbols)
        for kind in ASSETS:
            if left:
                told = self._ask("GET", "/assets", {"status": "active", "asset_class": kind})
                left -= {self.names.ours(each["symbol"]) for each in told if each["tradable"]}
        return frozenset(left)

    def _submit(self, request: Submit) -> Event:
        name = request.order.client_order_id
        if reason := self._allowance.refuses():
            return Answered(name, Answer.REFUSED, reason=f"not sent: {reason}")
        try:
            said = self._report(self._ask("POST", "/orders", words.body(request)))
            return Answered(name, Answer.ACKED, said)
        except Failed as problem:
            if problem.refuses and EXISTS in problem.reason:
                return self._existing(name)
            return Answered(name, Answer.REFUSED if problem.refuses else Answer.UNKNOWN, reason=problem.reason)
        except Unreadable as problem:
            return Answered(name, Answer.UNKNOWN, reason=str(problem))

    def _existing(self, name: str) -> Event:
        """Return an order that a submission found to exist already."""
        try:
            return Answered(name, Answer.ACKED, self._named(name))
        except (Failed, Unreadable) as problem:
            return Answered(name, Answer.UNKNOWN, reason=f"it exists, and could not be read: {problem}")

    def _cancel(self, request: Cancel) -> Event | None:
        try:
            self._ask("DELETE", f"/orders/{request.broker_id}")
        except Failed as problem:
            if not problem.refuses:
                raise
            return events.CancelRefused(request.client_order_id, problem.reason)
        return None

    def _find(self, request: Find) -> Event:
        try:
            said = self._named(request.client_order_id)
        except Failed as problem:
            if problem.status != 404 or not problem.refuses:
                raise
            return events.Found(request.client_order_id, None, request.asked_ns)
        return events.Found(request.client_order_id, said, request.asked_ns)

    def _sync(self, request: Sync) -> Event:
        """Read orders, then executions, then positions and cash: what happens between is found by the next reading."""
        reports = {each.client_order_id: each for each in map(self._report, self._open_orders())}
        for name in request.client_order_ids:
            if name not in reports and (found := self._maybe(name)) is not None:
                reports[name] = found
        fills = list(self._activities("/account/activities/FILL", request.since, OVERLAP))
        executions = [words.filled(each, self._client_of(each["order_id"]), self.names) for each in fills]
        paid = [each for each in self._activities("/account/activities", request.since, CHARGES_BACK)
                if each["activity_type"] != words.FILL]  # fmt: skip
        held = words.positions(self._ask("GET", "/positions"), self.names)
        account = self._ask("GET", "/account")
        cursor = max((each["transaction_time"] for each in fills), default=request.since, key=_order)
        return events.Synced(
            tuple(reports.values()), tuple(executions), tuple(words.charge(each, self.names) for each in paid), held,
            words.number(account["cash"]), cursor, request.asked_ns, words.nanoseconds(self.clock()), words.power(account),
        )  # fmt: skip

    def _open_orders(self) -> Iterator[Json]:
        """Yield every open order, 500 at a time, the newest first.

        A page ends in the middle of orders of the same moment: the next one begins with that moment again.
        """
        until: dict[str, Any] = {}
        seen: set[str] = set()
        while True:
            page = self._ask("GET", "/orders", {"status": "open", "limit": ORDERS_MAX, "direction": "desc", **until})
            fresh = [each for each in page if each["id"] not in seen]
            seen.update(each["id"] for each in fresh)
            yield from fresh
            if len(page) < ORDERS_MAX:
                return
            if not fresh:
                raise Failed(f"more than {ORDERS_MAX} orders are open since {page[-1]['submitted_at']}: no page tells of all")
            until = {"until": _just_after(page[-1]["submitted_at"])}

    def _activities(self, path: str, since: str, back: timedelta) -> Iterator[Json]:
        """Yield activities after `since` less a margin, oldest first, page by page; a token that comes again is the end."""
        after = {"after": (datetime.fromisoformat(since) - back).isoformat()} if since else {}
        token, seen = "", {""}
        while True:
            asked = {"direction": "asc", "page_size": ACTIVITIES_MAX, **after, **({"page_token": token} if token else {})}
            page = self._ask("GET", path, asked)
            yield from page
            token = str(page[-1]["id"]) if page else ""
            if len(page) < ACTIVITIES_MAX or token in seen:
                return
            seen.add(token)

    def _named(self, name: str) -> events.Report:
        return self._report(self._ask("GET", "/orders:by_client_order_id", {"client_order_id": name}))

    def _maybe(self, name: str) -> events.Report | None:
        try:
            return self._named(name)
        except Failed as problem:
            if problem.status == 404 and problem.refuses:
                return None
            raise

    def _report(self, told: Json) -> events.Report:
        said = words.report(told, self.names)
        self._clients[said.broker_id] = said.client_order_id
        return said

    def _client_of(self, broker_id: str) -> str:
        """Return our name of an order that an activity knows by Alpaca's."""
        if broker_id not in self._clients:
            self._report(self._ask("GET", f"/orders/{broker_id}"))
        return self._clients[broker_id]

    def _ask(self, method: str, path: str, told: Any = None) -> Any:
        """Ask once; raise Failed with what Alpaca said, or with what became of the connection."""
        import requests
        from alpaca.common.exceptions import APIError

        try:
            return self._client._request(method, path, told)
        except APIError as problem:
            raise _said(problem.status_code or 0, str(problem)) from None
        except requests.exceptions.RequestException as problem:
            raise Failed(f"{method} {path} was not answered: {type(problem).__name__}") from None


def hardened(access: Access, timeout_s: float, allowance: Allowance) -> "TradingClient":
    """Return the genuine client: no retries, no waiting without end, raw answers, each heard by the allowance."""
    from alpaca.trading.client import TradingClient
    from requests.adapters import HTTPAdapter

    class Patient(HTTPAdapter):
        """Puts a time limit on every request."""

        def send(self, *request: Any, **keys: Any) -> Any:
            return super().send(*request, **{**keys, "timeout": timeout_s})

    logging.getLogger("websockets").setLevel(logging.INFO)  # its debugging prints secrets
    client = TradingClient(access.key, access.secret, paper=not access.live, raw_data=True, url_override=access.url)
    # The constructor takes 0 for its default of 3.
    client._retry = 0
    client._session.hooks["response"].append(allowance.hook)
    for scheme in ("https://", "http://"):
        client._session.mount(scheme, Patient(max_retries=0))
    return client


def _said(status: int, text: str) -> Failed:
    """Return what an error's body says: nothing certain unless it is in Alpaca's own words."""
    try:
        told = json.loads(text)
        return Failed(str(told["message"]), status=status, code=int(told["code"]))
    except (ValueError, KeyError, TypeError):
        return Failed(f"status {status} with a body that is not Alpaca's", status=status)


def _just_after(at: str) -> str:
    """Return the first microsecond that is later than a moment, RFC 3339; Alpaca's moments have nanoseconds."""
    since = words.nanoseconds(at) // 1000 + 1
    return (EPOCH + timedelta(microseconds=since)).isoformat()


def _order(at: str) -> int:
    return words.nanoseconds(at) if at else -1
