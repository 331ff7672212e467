"""Terminal: one session with Bloomberg's service, in which questions are asked one after another."""

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from domain.error import ConfigurationError, DataError, NightshiftError, ResourceError

#: Where the terminal listens, as host:port.
ADDRESS = "NIGHTSHIFT_BLOOMBERG"
HERE = "localhost:8194"
BACK_OFF_S = 1.0
#: A session that is lost says so in one of these words.
LOST = ("SessionTerminated", "SessionConnectionDown", "SessionStartupFailure")

Answer = Mapping[str, Any]


class Permanent(DataError):
    """Bloomberg would say the same again."""


@dataclass(frozen=True)
class Question:
    """One request, in the words of Bloomberg's schema."""

    operation: str
    """HistoricalDataRequest, IntradayBarRequest..."""
    content: Mapping[str, Any]
    about: str
    """What is asked of, for sentences."""


@dataclass
class Terminal:
    """Asks the terminal, opening a session when there is none."""

    retries: int
    timeout_s: float
    """Seconds without an answer after which a question has failed."""
    sleep: Callable[[float], None]
    _session: Any = None

    def ask(self, question: Question) -> list[Answer]:
        """Return the parts of an answer in order, as dictionaries; all of them, or an error.

        A failed question is asked again in a new session, after 1, 2, 4... seconds. Raises ConfigurationError where blpapi is not
        installed, ResourceError when the terminal is not there, falls silent or limits us, DataError for a refused request.
        """
        for turn in range(self.retries):
            try:
                return self._once(question)
            except (ConfigurationError, Permanent):
                raise
            except NightshiftError:
                self.close()
                self.sleep(BACK_OFF_S * 2.0**turn)
        return self._once(question)

    def close(self) -> None:
        """End the session, if there is one."""
        if self._session is not None:
            self._session.stop()
            self._session = None

    def _once(self, question: Question) -> list[Answer]:
        api = library()
        if self._session is None:
            self._session = opened(api, "//blp/refdata")
        request = self._session.getService("//blp/refdata").createRequest(question.operation)
        request.fromPy(dict(question.content))
        self._session.sendRequest(request, correlationId=api.CorrelationId(question.about))
        return list(self._parts(api, question))

    def _parts(self, api: Any, question: Question) -> Iterator[Answer]:
        """Yield the messages that answer the question, the partial ones first."""
        while True:
            event = self._session.nextEvent(round(self.timeout_s * 1000))
            kind = event.eventType()
            if kind == api.Event.TIMEOUT:
                raise ResourceError(
                    f"Bloomberg was asked for {question.about} and said nothing for {self.timeout_s:g} seconds: run it again"
                )
            for message in event:
                _refuse(str(message.messageType()), message.toPy(), question)
                if kind in {api.Event.PARTIAL_RESPONSE, api.Event.RESPONSE} and _ours(message, question):
                    yield message.toPy()
            if kind == api.Event.RESPONSE and any(_ours(message, question) for message in event):
                return


def library() -> Any:
    """Return the terminal's own library; raise ConfigurationError that says how to get it."""
    try:
        import blpapi
    except ImportError:
        raise ConfigurationError(
            "Bloomberg was to be asked, but its library blpapi is not installed: with a terminal's licence, "
            "install it as Bloomberg's API Library page (WAPI <GO> on the terminal) says"
        ) from None
    return blpapi


def opened(api: Any, service: str) -> Any:
    """Return a started session with a service open; raise ResourceError when the terminal or the service is not there."""
    address = os.environ.get(ADDRESS) or HERE
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigurationError(f"{ADDRESS} is '{address}', which names no port: right would be {HERE}")
    options = api.SessionOptions()
    options.setServerHost(host)
    options.setServerPort(int(port))
    session = api.Session(options)
    if not session.start():
        raise ResourceError(f"Bloomberg was to be asked at {address}, but no terminal answers there: start it and log in")
    if not session.openService(service):
        session.stop()
        raise ResourceError(f"Bloomberg's terminal at {address} does not open {service}: log in, or ask for the permission")
    return session


@contextmanager
def asking(terminal: Terminal) -> Iterator[Terminal]:
    """Close the session when the block ends, however it ends."""
    try:
        yield terminal
    finally:
        terminal.close()


def _ours(message: Any, question: Question) -> bool:
    return any(identity.value() == question.about for identity in message.correlationIds())


def _refuse(word: str, content: Answer, question: Question) -> None:
    """Raise what a message says instead of an answer."""
    if word in LOST:
        raise ResourceError(f"Bloomberg was asked for {question.about} and the session was lost ({word}): run it again")
    if word == "RequestFailure":
        reason = content.get("reason", {})
        raise ResourceError(f"Bloomberg was asked for {question.about} and failed ({said(reason, 'description')}): run it again")
    problem = content.get("responseError")
    if not problem:
        return
    if problem.get("category") == "LIMIT":
        raise Permanent(
            f"Bloomberg was asked for {question.about} and limits us ({said(problem)}): go on tomorrow, or ask for less"
        )
    kind = Permanent if problem.get("category") in {"BAD_ARGS", "BAD_SEC", "BAD_FLD", "NOT_AUTHORIZED"} else DataError
    raise kind(f"Bloomberg was asked for {question.about} and refuses it ({said(problem)}): correct the market's symbols")


def said(problem: Answer, text: str = "message") -> str:
    """Return what an error of Bloomberg's says, in one line."""
    words = f"{problem.get('category', '')} {problem.get('subcategory') or ''}: {problem.get(text, '')}"
    return " ".join(words.split())
