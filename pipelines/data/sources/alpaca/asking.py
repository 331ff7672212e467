"""Asking: one question to Alpaca, page after page, until its answer is whole or one sentence says what is missing."""

import email.utils
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import polars as pl

from domain.clock import Clock
from domain.error import ConfigurationError, DataError, ResourceError
from pipelines.data.sources.alpaca.access import Access

if TYPE_CHECKING:
    import requests
    from alpaca.common.exceptions import APIError
    from alpaca.common.rest import RESTClient

#: Seconds before the second try; each further wait is twice as long, or as long as Alpaca asks for.
BACK_OFF_S = 1.0
#: Seconds that Alpaca may ask us to wait; more is for a person to decide.
WAIT_MAX_S = 300.0
#: Symbols named in one question, so that its address stays short.
SYMBOLS_MAX = 100
#: Statuses of a server that is busy, restarting or limits us, and not of a question that is wrong.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
KEYLESS = "crypto"


@dataclass(frozen=True)
class Question:
    """What is asked, and of which of Alpaca's services."""

    service: str
    """stocks, crypto, news or actions."""
    path: str
    fields: dict[str, Any]
    key: str
    """Where in the answer the rows are."""
    symbols: tuple[str, ...]
    since: datetime
    until: datetime
    what: str
    """The question in words."""

    def __str__(self) -> str:
        """Say it for a sentence."""
        few = ", ".join(self.symbols[:5]) + (f" and {len(self.symbols) - 5} more" if len(self.symbols) > 5 else "")
        return f"{self.what} of {few} from {self.since:%Y-%m-%d %H:%M} to {self.until:%Y-%m-%d %H:%M}"


class Failed(Exception):
    """An answer that is worth asking for again."""

    def __init__(self, error: DataError | ResourceError, wait_s: float = 0.0) -> None:
        super().__init__(str(error))
        self.error, self.wait_s = error, wait_s


@dataclass
class Desk:
    """Asks questions through the genuine clients; they themselves neither retry nor wait without end."""

    access: Access
    retries: int
    timeout_s: float
    clock: Clock
    sleep: Callable[[float], None]

    def answer(self, question: Question, read: Callable[[Any], pl.DataFrame]) -> pl.DataFrame:
        """Return the rows of all pages; `read` gets the JSON of a page's rows, in the order of pages.

        A page that cannot be had, is cut short, repeats or that `read` refuses with DataError is asked for again, and after all
        tries its sentence is raised. Raises ConfigurationError for what Alpaca will never answer.
        """
        client = self._client(question)
        token, tokens, pages = None, set[str](), list[pl.DataFrame]()
        with client._session:
            while not pages or token is not None:
                page, token = self._page(client, question, token, tokens, read)
                pages.append(page)
                tokens |= {token} if token is not None else set()
        return pl.concat(pages)

    def _page(
        self, client: "RESTClient", question: Question, token: str | None, tokens: set[str], read: Callable[[Any], pl.DataFrame]
    ) -> tuple[pl.DataFrame, str | None]:
        turn = 0
        while True:
            try:
                rows, following = self._rows(client, question, token)
                if following in tokens:
                    raise DataError(f"Alpaca was asked for {question} and repeats a page: run it again in some minutes")
                return read(rows), following
            except (DataError, Failed) as problem:
                failed = problem if isinstance(problem, Failed) else Failed(problem)
            if turn == self.retries:
                raise failed.error from None
            self.sleep(max(BACK_OFF_S * 2.0**turn, failed.wait_s))
            turn += 1

    def _rows(self, client: "RESTClient", question: Question, token: str | None) -> tuple[Any, str | None]:
        answer = self._get(client, question, question.fields | ({} if token is None else {"page_token": token}))
        if not isinstance(answer, dict) or question.key not in answer or "next_page_token" not in answer:
            raise Failed(unreadable(question, f"it lacks '{question.key}' or 'next_page_token'"))
        return answer[question.key], answer["next_page_token"] or None

    def _get(self, client: "RESTClient", question: Question, fields: dict[str, Any]) -> Any:
        import requests
        from alpaca.common.exceptions import APIError

        try:
            return client.get(question.path, fields)
        except APIError as problem:
            raise self._refused(problem, question) from None
        except requests.Timeout:
            raise Failed(
                ResourceError(
                    f"Alpaca was asked for {question} and gave no answer for {self.timeout_s:g} s: run it again when it does"
                )
            ) from None
        except (requests.JSONDecodeError, requests.exceptions.ContentDecodingError, UnicodeDecodeError) as problem:
            raise Failed(unreadable(question, type(problem).__name__)) from None
        except requests.exceptions.ChunkedEncodingError:
            raise Failed(unreadable(question, "it was cut short")) from None
        except requests.RequestException as problem:
            raise Failed(
                ResourceError(f"Alpaca was asked for {question} and cannot be reached ({type(problem).__name__}): run it again")
            ) from None

    def _refused(self, problem: "APIError", question: Question) -> Exception:
        status, said = problem.status_code, _message(problem)
        if status in PASSING:
            wait_s = _wait_s(problem.response, self.clock)
            why = "limits us (too many requests)" if status == 429 else f"is in trouble ({status} {said})"
            error = ResourceError(f"Alpaca was asked for {question} and {why}: run it again in some minutes")
            return error if wait_s > WAIT_MAX_S else Failed(error, wait_s)
        if status in {401, 403}:
            return ConfigurationError(
                f"Alpaca was asked for {question} and refuses it ({status} {said}): correct the key in the environment, or "
                "choose a feed that it is subscribed to in sources.alpaca.feed"
            )
        return ConfigurationError(f"Alpaca was asked for {question} and cannot answer that ({status} {said}): correct the symbols")

    def _client(self, question: Question) -> "RESTClient":
        """Return the service's own client, with a timeout and without retries: they would multiply with ours."""
        from alpaca.data.historical import CryptoHistoricalDataClient, NewsClient, StockHistoricalDataClient
        from alpaca.data.historical.corporate_actions import CorporateActionsClient

        makers = {
            "stocks": StockHistoricalDataClient,
            "crypto": CryptoHistoricalDataClient,
            "news": NewsClient,
            "actions": CorporateActionsClient,
        }
        key, secret = self.access.key, self.access.secret
        if question.service != KEYLESS:
            key, secret = self.access.keys(str(question))
        client: RESTClient = makers[question.service](key, secret, raw_data=True, url_override=self.access.data_url)
        client._retry = 0  # its constructor takes no number of retries
        client._session.mount("https://", _patient(self.timeout_s))  # nor a timeout
        client._session.mount("http://", _patient(self.timeout_s))
        return client


def unreadable(question: Question, why: str) -> DataError:
    """Return the error of an answer that cannot be used."""
    return DataError(f"Alpaca was asked for {question} and its answer cannot be read, {why}: run it again in some minutes")


def _patient(timeout_s: float) -> "requests.adapters.HTTPAdapter":
    from requests.adapters import HTTPAdapter

    class Patient(HTTPAdapter):
        """Gives up after a silence of `timeout_s`."""

        def send(self, *arguments: Any, **named: Any) -> "requests.Response":
            """Send with the timeout."""
            return super().send(*arguments, **{**named, "timeout": timeout_s})

    return Patient()


def _message(problem: "APIError") -> str:
    """Return what Alpaca said, in a line: its own message, or the beginning of whatever a proxy answered for it."""
    try:
        said = str(problem.message)
    except (ValueError, KeyError, TypeError):
        said = str(problem)
    return " ".join(said.split())[:120]


def _wait_s(response: "requests.Response", clock: Clock) -> float:
    """Return the seconds that the answer asks us to wait: Retry-After in seconds or as a date, else X-RateLimit-Reset."""
    after, reset = response.headers.get("Retry-After", ""), response.headers.get("X-RateLimit-Reset", "")
    if after.isdecimal():
        return float(after)
    if reset.isdecimal() and not after:
        return max(0.0, float(reset) - clock.now().timestamp())
    try:
        return max(0.0, (email.utils.parsedate_to_datetime(after) - clock.now()).total_seconds())
    except (ValueError, TypeError):
        return 0.0
