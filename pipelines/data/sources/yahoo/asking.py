"""Asking: one question to Yahoo through yfinance, repeated until it is answered, and the errors in our words."""

from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from domain.error import DataError, NightshiftError, NoData, ResourceError
from pipelines.data.sources.yahoo.line import Line

if TYPE_CHECKING:
    import pandas

BACK_OFF_S = 2.0
#: A longer wait than this is for a person to decide.
WAIT_S_MAX = 300.0
TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Question:
    """Bars of one symbol over one stretch of time."""

    symbol: str
    interval: str
    """In Yahoo's words."""
    since: datetime | None
    """None: from the beginning."""
    until: datetime
    """Excluded."""
    repair: bool


@dataclass(frozen=True)
class Told:
    """What Yahoo answered, in yfinance's columns, indexed by aware stamps."""

    rows: "pandas.DataFrame"
    """As answered, unadjusted for dividends."""
    repaired: "pandas.DataFrame"
    """The same after the library's repair; equal to `rows` where none was asked for."""
    kind: str
    """Yahoo's instrumentType: EQUITY, ETF, MUTUALFUND, INDEX, CURRENCY, CRYPTOCURRENCY, FUTURE."""
    zone: str
    """Of the exchange, in which Yahoo counts days."""


@dataclass
class Asking:
    """Asks Yahoo politely: one request at a time, and never more often than the line allows."""

    retries: int
    line: Line
    session: Any = None
    """A requests.Session or curl_cffi session; None makes one that looks like a browser, as yfinance's own does."""

    def ask(self, question: Question) -> Told | None:
        """Return the answer, or None where Yahoo says that it has nothing.

        After a failure it asks again after 2, 4, 8... seconds, or when Retry-After says so. Raises ResourceError when Yahoo cannot
        be reached, fails or limits us, DataError when its answer cannot be read.
        """
        for turn in range(self.retries):
            try:
                return self._once(question)
            except NightshiftError:
                self.line.sleep(_wait_s(question, self.line, turn))
        return self._once(question)

    def _once(self, question: Question) -> Told | None:
        from curl_cffi import requests

        if self.session is None:
            self.session = requests.Session(impersonate="chrome")
        self.line.forget()
        with self.line.connected(self.session):
            return _ask(question, self.line, self.session)


def _wait_s(question: Question, line: Line, turn: int) -> float:
    if line.retry_after_s > WAIT_S_MAX:
        raise ResourceError(
            f"Yahoo was asked for '{question.symbol}' and tells us to wait {line.retry_after_s:,.0f} seconds: run it again then"
        )
    return max(BACK_OFF_S * 2.0**turn, line.retry_after_s)


def _ask(question: Question, line: Line, session: Any) -> Told | None:
    try:
        return _tell(question, session)
    except NoData:
        return None
    except DataError:
        if line.limited:
            raise _limited(question) from None
        if line.status >= 500:
            raise ResourceError(f"Yahoo was asked for '{question.symbol}' and fails (HTTP {line.status}): run it again") from None
        raise


def _tell(question: Question, session: Any) -> Told:
    """Ask, and translate what yfinance raises."""
    from yfinance import exceptions

    try:
        return _answer(question, session)
    except exceptions.YFRateLimitError:
        raise _limited(question) from None
    except exceptions.YFTickerMissingError as problem:
        raise NoData(f"Yahoo has no bars of '{question.symbol}': {problem}") from None
    except (ValueError, LookupError, TypeError, AttributeError, exceptions.YFException) as problem:
        # yfinance takes answers apart without looking. The JSON errors of requests are OSErrors too: values come first.
        raise DataError(f"Yahoo was asked for '{question.symbol}' and its answer cannot be read: {_short(problem)}") from None
    except OSError as problem:
        raise ResourceError(f"Yahoo was asked for '{question.symbol}' and cannot be reached: {_short(problem)}") from None


def _answer(question: Question, session: Any) -> Told:
    import yfinance
    from yfinance import data

    # Its cache keeps bad answers too, and would hand them to every retry.
    data.YfData.cache_get.cache_clear()
    ticker = yfinance.Ticker(question.symbol, session=session)
    rows = _history(ticker, question, repair=False)
    # Taken before a repair asks about other things, which replaces them.
    symbol, kind, zone = (str(ticker.history_metadata[name]) for name in ("symbol", "instrumentType", "exchangeTimezoneName"))
    if symbol != question.symbol:
        raise ValueError(f"it is about '{symbol}'")
    repaired = _history(ticker, question, repair=True) if question.repair and len(rows) else rows
    return Told(rows, repaired, kind, zone)


def _history(ticker: Any, question: Question, *, repair: bool) -> "pandas.DataFrame":
    import yfinance

    # A repair asks for finer bars beside; where Yahoo has none of that age the row stays as it is, which is no error.
    yfinance.config.debug.hide_exceptions = repair
    period = {"period": "max"} if question.since is None else {"start": question.since}
    rows = ticker.history(
        **period,
        end=question.until,
        interval=question.interval,
        auto_adjust=False,
        actions=True,
        prepost=False,
        repair=repair,
        timeout=TIMEOUT_S,
    )
    return rows.assign(**{"Capital Gains": 0.0}) if "Capital Gains" not in rows else rows


def _limited(question: Question) -> ResourceError:
    return ResourceError(f"Yahoo was asked for '{question.symbol}' and limits us (too many requests): run it again in some minutes")


def _short(problem: Exception) -> str:
    return f"{type(problem).__name__}: {' '.join(str(problem).split())[:200]}"
