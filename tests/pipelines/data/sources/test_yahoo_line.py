"""How politely Yahoo is asked: requests are spaced, and it is waited for as long as it says."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import yfinance

from domain.clock import ReplayClock
from domain.error import ResourceError
from pipelines.data.sources.yahoo.asking import Asking, Question
from pipelines.data.sources.yahoo.line import Line
from tests.pipelines.data.sources.chart_server import DATA, Exchange, recorded, serving

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded answers of Yahoo are not in {DATA}")

WEEKS = Question("AAPL", "1d", datetime(2020, 8, 30, tzinfo=UTC), datetime(2020, 11, 9, tzinfo=UTC), repair=False)
NOW = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Slept:
    """A sleep that moves a clock instead."""

    clock: ReplayClock
    waits: list[float]

    def __call__(self, seconds: float) -> None:
        """Move the clock."""
        self.waits.append(seconds)
        self.clock.advance(self.clock.now() + timedelta(seconds=seconds))


@pytest.fixture
def exchange(tmp_path: Path) -> Iterator[Exchange]:
    """Yield a running stand-in."""
    yfinance.set_tz_cache_location(str(tmp_path))
    with serving() as stand_in:
        stand_in.answers["AAPL"] = [(200, recorded("AAPL-2020-08-31-to-2020-11-07"))]
        yield stand_in


@pytest.fixture
def slept() -> Slept:
    """Return a clock that stands still but for sleeping."""
    return Slept(ReplayClock(NOW), [])


def asking(exchange: Exchange, slept: Slept, spacing_s: float = 0.0) -> Asking:
    """Return what asks the stand-in, with one retry."""
    return Asking(1, Line(spacing_s, slept.clock, slept), exchange.client())


def test_requests_keep_their_distance(exchange: Exchange, slept: Slept) -> None:
    """Whatever they ask: cookies, zones and bars, of one question and the next."""
    polite = asking(exchange, slept, spacing_s=0.5)

    polite.ask(WEEKS)
    first = len(slept.waits)
    polite.ask(WEEKS)

    assert first >= 1
    assert len(slept.waits) > first
    assert set(slept.waits) == {0.5}


@pytest.mark.parametrize(
    ("said", "wait"),
    [("37", 37.0), ("1", 2.0), ("Thu, 01 Jan 2026 00:00:20 GMT", 20.0), ("soon", 2.0)],
)
def test_yahoo_is_waited_for_as_long_as_it_says(exchange: Exchange, slept: Slept, said: str, wait: float) -> None:
    """In seconds or until a moment, but never less than our own back-off."""
    good = exchange.answers["AAPL"][0]
    exchange.answers["AAPL"] = [(429, b"Edge: Too Many Requests", {"retry-after": said})] * 2 + [good]

    told = asking(exchange, slept).ask(WEEKS)

    assert told is not None
    assert slept.waits == [wait]


def test_an_hour_is_not_waited(exchange: Exchange, slept: Slept) -> None:
    """A person decides."""
    exchange.answers["AAPL"] = [(429, b"Too Many Requests", {"retry-after": "3600"})]

    with pytest.raises(ResourceError, match=r"'AAPL' and tells us to wait 3,600 seconds: run it again then"):
        asking(exchange, slept).ask(WEEKS)

    assert slept.waits == []


def test_a_session_is_given_back_as_it_was(exchange: Exchange, slept: Slept) -> None:
    """Whoever lent it asks other things with it."""
    polite = asking(exchange, slept)
    before = polite.session.request

    polite.ask(WEEKS)

    assert polite.session.request == before
