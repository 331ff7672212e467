"""What Alpaca's servers do wrong: every answer ends whole, or one sentence says what is missing and a second run completes it."""

import random
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from domain import params as parameters
from domain.clock import ReplayClock
from domain.error import ConfigurationError, DataError, NightshiftError, ResourceError
from pipelines.data import ingest
from pipelines.data.sources.alpaca import Access, Alpaca
from pipelines.store import Store
from tests.alpaca import history
from tests.alpaca.history import Fault, Reply, Vendor
from tests.pipelines.data.sources import alpaca_shelf as shelf
from tests.pipelines.data.sources.alpaca_shelf import COINS, DAILY, LATER

ROOT = Path(__file__).parents[4]


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    """Yield a running vendor that answers in pages of three rows."""
    with shelf.answering(shelf.stocked()) as started:
        yield started


def well(_: Vendor, good: Reply) -> Reply:
    """Leave an answer as it is."""
    return good


def for_bars(fault: Fault) -> Fault:
    """Let a fault spoil bars, and everything else be down."""
    return lambda vendor, good: fault(vendor, good) if good.body.startswith(b'{"bars"') else history.down()(vendor, good)


def strange(answer: dict[str, Any]) -> None:
    """Call the rows by another symbol's name."""
    answer["bars"] = {"TSLA": next(iter(answer["bars"].values()))}


def first_row(answer: dict[str, Any]) -> dict[str, Any]:
    """Return the first row of a page."""
    row: dict[str, Any] = next(iter(answer["bars"].values()))[0]
    return row


def changed(**fields: object) -> Fault:
    """Change some fields of the first row."""
    return history.spoilt(lambda answer: first_row(answer).update(fields))


def backwards(answer: dict[str, Any]) -> None:
    """Turn the rows of each symbol round."""
    answer["bars"] = {symbol: rows[::-1] for symbol, rows in answer["bars"].items()}


FAULTS: dict[str, tuple[Fault, str]] = {
    "too many requests": (history.limited(), r"limits us \(too many requests\)"),
    "down": (history.down(), r"is in trouble \(503 <html><body>Service"),
    "gateway": (history.down(504), "is in trouble"),
    "half a page": (history.half, "cut short"),
    "half of the JSON": (history.cut, "cannot be read, JSONDecodeError"),
    "not JSON": (lambda _, good: replace(good, body=b"<html>"), "cannot be read, JSONDecodeError"),
    "empty": (lambda _, good: replace(good, body=b""), "lacks 'bars' or 'next_page_token'"),
    "a list": (lambda _, __: history.whole([]), "lacks 'bars' or 'next_page_token'"),
    "no token": (history.without_token, "lacks 'bars' or 'next_page_token'"),
    "another symbol": (history.spoilt(strange), "a row of TSLA at .* which was not asked for"),
    "no price": (changed(c=None), r"no number \(o 160.0, h 165.5, l 158.25, c None"),
    "NaN": (changed(h=float("nan")), "no number .*h nan"),
    "infinite": (changed(v=float("inf")), "no number"),
    "a word for a price": (changed(o="160"), "its rows are no 1d bars"),
    "no time": (changed(t=None), "outside what was asked"),
    "nonsense for a time": (changed(t="yesterday"), "its rows are no 1d bars"),
    "years before": (changed(t="2011-03-09T05:00:00Z"), "outside what was asked"),
    "years after": (changed(t="2031-03-09T05:00:00Z"), "outside what was asked"),
    "backwards": (history.spoilt(backwards), "a second time or out of order"),
    "rows that are no rows": (history.spoilt(lambda answer: answer.update(bars={"AAPL": [1, 2]})), "its rows are no 1d bars"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_passes_leaves_no_trace(vendor: Vendor, name: str) -> None:
    """In the first page twice; the answer is what it is without the fault, and each wait was longer than the one before."""
    slept: list[float] = []
    whole = shelf.alpaca(vendor).bars(DAILY, None, None)
    vendor.faults = [FAULTS[name][0]] * 2

    rows = shelf.alpaca(vendor, slept).bars(DAILY, None, None)

    assert rows.equals(whole)
    assert slept == [1.0, 2.0]


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_that_stays_is_one_sentence_and_a_second_run_completes(vendor: Vendor, name: str) -> None:
    """It names the question; three questions were asked and not one more, by us or by the client; and nothing is remembered."""
    fault, sentence = FAULTS[name]
    source = shelf.alpaca(vendor)
    whole = source.bars(DAILY, None, None)
    vendor.asked.clear()
    vendor.always = fault

    with pytest.raises((DataError, ResourceError), match=sentence) as caught:
        source.bars(DAILY, None, None)

    assert str(caught.value).startswith("Alpaca was asked for 1d bars of AAPL, MSFT from 2015-01-01 00:00 to 2026-01-01 00:00")
    assert "\n" not in str(caught.value)
    assert len(vendor.asked) == 3
    vendor.always = None
    assert source.bars(DAILY, None, None).equals(whole)


PAGES: dict[str, tuple[Fault, str]] = {
    "the page before with its token": (history.repeated, "repeats a page"),
    "the rows before with a new token": (history.rows_again, "a second time or out of order"),
    "half a page": (history.half, "cut short"),
}


@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("market", [DAILY, COINS], ids=["days", "coins"])
def test_a_page_in_the_middle_that_fails_is_asked_for_again(vendor: Vendor, name: str, market: Any) -> None:
    """With the token of the page before it."""
    whole = shelf.alpaca(vendor).bars(market, None, None)
    vendor.faults = [well, PAGES[name][0]]
    vendor.asked.clear()

    rows = shelf.alpaca(vendor).bars(market, None, None)

    assert rows.equals(whole)
    tokens = [asked.get("page_token") for _, asked in vendor.asked]
    assert tokens[1] == tokens[2]


@pytest.mark.fault("F45")
@pytest.mark.parametrize("name", PAGES)
def test_a_page_that_goes_on_repeating_ends_in_a_sentence(vendor: Vendor, name: str) -> None:
    """And not in asking for ever, as the genuine client would."""
    fault, sentence = PAGES[name]
    vendor.faults = [well]
    vendor.always = fault

    with pytest.raises(DataError, match=sentence):
        shelf.alpaca(vendor).bars(DAILY, None, None)

    assert len(vendor.asked) == 4


@pytest.mark.parametrize(
    ("ask", "fault"),
    [
        ("trades", history.rows_again), ("quotes", history.rows_again), ("news", history.rows_again),
        ("actions", history.rows_again),
        ("trades", history.half), ("quotes", history.repeated), ("news", history.repeated), ("actions", history.cut),
        ("news", history.spoilt(lambda answer: answer["news"][0].update(symbols=["TSLA"]))),
        ("news", history.spoilt(lambda answer: answer["news"][0].pop("headline"))),
        ("news", history.spoilt(lambda answer: answer["news"].append(answer["news"][0]))),
        ("actions", history.spoilt(lambda answer: next(iter(answer["corporate_actions"].values()))[0].pop("id"))),
    ],
)  # fmt: skip
def test_everything_else_that_is_asked_withstands_faults_too(vendor: Vendor, ask: str, fault: Fault) -> None:
    """Once and it is asked for again; for ever and it is an error."""
    market = COINS if ask in {"trades", "quotes"} else DAILY
    whole = getattr(shelf.alpaca(vendor), ask)(market, None, None)
    vendor.faults = [well, fault]

    assert getattr(shelf.alpaca(vendor), ask)(market, None, None).equals(whole)

    vendor.faults, vendor.always = [well], fault
    with pytest.raises((DataError, ResourceError)):
        getattr(shelf.alpaca(vendor), ask)(market, None, None)


def test_an_action_of_somebody_else_is_refused(vendor: Vendor) -> None:
    """Taken for ours it would adjust the wrong prices."""

    def others(answer: dict[str, Any]) -> None:
        for rows in answer["corporate_actions"].values():
            for row in rows:
                row.update({name: "TSLA" for name in row if name.endswith("symbol")})

    vendor.always = history.spoilt(others)

    with pytest.raises(DataError, match="answers with an action of TSLA"):
        shelf.alpaca(vendor).actions(DAILY, None, None)


def test_the_wait_that_alpaca_asks_for_is_kept(vendor: Vendor) -> None:
    """Retry-After in seconds, as a date, or the moment at which the limit is reset."""
    slept: list[float] = []
    clock = ReplayClock(datetime(2025, 12, 31, 23, 59, 30, tzinfo=UTC))
    reset = int(clock.now().timestamp()) + 20
    vendor.faults = [history.limited(17), lambda _, __: history.error(429, "slow", X_RateLimit_Reset=str(reset))]
    shelf.alpaca(vendor, slept, clock).bars(DAILY, None, None)
    vendor.faults = [lambda _, __: history.error(503, "slow", Retry_After="Thu, 01 Jan 2026 00:00:00 GMT")]

    shelf.alpaca(vendor, slept, clock).bars(DAILY, None, None)

    assert slept == [17.0, 20.0, 30.0]


def test_a_wait_of_hours_is_for_a_person_to_decide(vendor: Vendor) -> None:
    """It is not slept."""
    slept: list[float] = []
    vendor.always = history.limited(3600)

    with pytest.raises(ResourceError, match="limits us"):
        shelf.alpaca(vendor, slept).bars(DAILY, None, None)

    assert not slept


def test_no_answer_for_too_long_is_given_up(vendor: Vendor) -> None:
    """A short patience here; once, and then for ever."""
    whole = shelf.alpaca(vendor).bars(DAILY, None, None)
    vendor.faults = [history.hang(0.6)]
    source = shelf.alpaca(vendor, timeout_s=0.2, retries=1)

    assert source.bars(DAILY, None, None).equals(whole)

    vendor.always = history.hang(0.6)
    with pytest.raises(ResourceError, match=r"gave no answer for 0\.2 s: run it again"):
        source.bars(DAILY, None, None)


def test_a_server_that_is_not_there_is_one_sentence() -> None:
    """Nobody listens on port 9 of this machine."""
    source = Alpaca(shelf.parameters(), Access("k", "s", "http://127.0.0.1:9"), clock=ReplayClock(LATER), sleep=lambda _: None)

    with pytest.raises(ResourceError, match=r"cannot be reached \(ConnectionError\)"):
        source.bars(DAILY, None, None)


@pytest.mark.parametrize(
    ("status", "said"),
    [(403, "subscription does not permit querying recent SIP data"), (422, "invalid symbol: AAPL`"), (400, "invalid timeframe")],
)
def test_what_alpaca_will_never_answer_is_not_asked_again(vendor: Vendor, status: int, said: str) -> None:
    """Its own words are in the sentence."""
    vendor.always = lambda _, __: history.error(status, said)

    with pytest.raises(ConfigurationError, match=f"{status} {said}"):
        shelf.alpaca(vendor).bars(DAILY, None, None)

    assert len(vendor.asked) == 1


def test_an_empty_day_is_no_fault(vendor: Vendor) -> None:
    """A page without rows that leads on, and an answer with null for no rows, as Alpaca has had both."""
    whole = shelf.alpaca(vendor).bars(DAILY, None, None)
    with_nothing_first = history.whole({"bars": {}, "next_page_token": "MA=="})
    vendor.faults = [lambda _, __: with_nothing_first]

    assert shelf.alpaca(vendor).bars(DAILY, None, None).equals(whole)

    vendor.always = lambda _, __: history.whole({"trades": None, "next_page_token": None})
    assert shelf.alpaca(vendor).trades(COINS, None, None).is_empty()


@pytest.mark.parametrize("kind", list(range(12)))
def test_random_storms_end_whole_or_in_a_sentence(vendor: Vendor, kind: int) -> None:
    """Faults of all kinds at random places, and a second run without them."""
    dice = random.Random(kind)
    whole = shelf.alpaca(vendor).bars(DAILY, None, None)
    names = list(FAULTS)
    vendor.faults = [FAULTS[dice.choice(names)][0] if dice.random() < 0.5 else well for _ in range(12)]

    try:
        assert shelf.alpaca(vendor).bars(DAILY, None, None).equals(whole)
    except NightshiftError as problem:
        assert str(problem).startswith("Alpaca was asked for 1d bars of AAPL, MSFT")  # noqa: PT017

    vendor.faults.clear()
    assert shelf.alpaca(vendor).bars(DAILY, None, None).equals(whole)


def test_an_ingest_through_many_faults_is_complete_in_the_end(vendor: Vendor, tmp_path: Path) -> None:
    """Six faults in turn, never passing: a run says in one sentence what is missing and stores no bar; the last completes."""
    store, params, clock = Store(tmp_path), parameters.load(ROOT / "params.yaml"), ReplayClock(LATER)
    source = shelf.alpaca(vendor, retries=0)

    for name in ("too many requests", "down", "half a page", "another symbol", "NaN", "backwards"):
        vendor.always = for_bars(FAULTS[name][0])
        with pytest.raises((DataError, ResourceError)) as caught:
            ingest.from_source(DAILY, params, store, clock=clock, source=source)
        assert "AAPL" in str(caught.value)
        assert "\n" not in str(caught.value)
        assert not store.holds("us", "1d")
    vendor.always = None
    ingest.from_source(DAILY, params, store, clock=clock, source=source)

    assert store.bars("us", "1d").drop("flags").equals(source.bars(DAILY, None, None).drop("flags"))
    assert store.read("news").height == 5
    assert store.read("actions").height == 7
