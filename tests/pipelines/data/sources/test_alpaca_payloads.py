"""The vendor's recorded payloads: every one of bars, trades, quotes, news, actions and live messages is read as it stands."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgpack
import polars as pl
import pytest

from domain.clock import ReplayClock
from pipelines.data.sources.alpaca import checking, rows
from pipelines.data.sources.alpaca.asking import Question
from pipelines.data.sources.alpaca.telling import Teller
from pipelines.data.sources.contract import Update
from pipelines.store import TABLES
from tests.pipelines.data.sources.alpaca_shelf import COINS, DAILY

ROOT = Path(__file__).parents[4]
DATA = (ROOT / os.environ.get("NIGHTSHIFT_DATA", "../shared/data")) / "raw" / "alpaca"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"recorded payloads of Alpaca are not in {DATA}")
KINDS = {"bars": checking.BARS, "trades": checking.TRADES, "quotes": checking.QUOTES}
ALWAYS = datetime(1990, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC)


def recorded() -> Iterator[tuple[str, Any]]:
    """Yield where each answer was found, and the answer."""
    for name in ("rest_and_ws_payloads_from_alpaca_py_tests", "openapi_examples"):
        for line in (DATA / f"{name}.jsonl").read_text(encoding="utf-8").splitlines():
            told = json.loads(line)
            yield told.get("url_template", told.get("path", "")), told.get("response")


def messages() -> Iterator[dict[str, Any]]:
    """Yield every live message of the documentation, and of the client's own tests."""
    for path in sorted(DATA.glob("*.jsonl")):
        for line in path.read_text(encoding="utf-8").splitlines():
            found = json.loads(line).get("message")
            yield from (each for each in (found if isinstance(found, list) else [found]) if isinstance(each, dict) and "T" in each)


def question(what: str, symbols: tuple[str, ...]) -> Question:
    """Return a question that such an answer could answer."""
    return Question("stocks", "/", {}, what, symbols, *ALWAYS, what)


@pytest.mark.parametrize("name", KINDS)
def test_every_recorded_answer_with_rows_is_read(name: str) -> None:
    """As many rows as it has, each with its own numbers; only options and forex, which have none of the kind, are left aside."""
    read = 0
    for place, answer in recorded():
        rows_of = answer.get(name) if isinstance(answer, dict) else None
        if not isinstance(rows_of, dict) or "latest" in place or "options" in place:
            continue
        series = checking.Series(question(name, tuple(rows_of)), KINDS[name])

        # Asked backwards, as one example is, an answer runs backwards.
        page = series({symbol: sorted(of, key=lambda row: str(row["t"])) for symbol, of in rows_of.items()})

        assert page.height == sum(len(of) for of in rows_of.values())
        read += page.height
    assert read >= {"bars": 9, "trades": 8, "quotes": 8}[name]


def test_a_recorded_bar_becomes_a_row(tmp_path: Path) -> None:
    """By hand: Apple's day of 9 March 2022, half past nine to four in New York."""
    day = {
        "t": "2022-03-09T05:00:00Z",
        "o": 161.51,
        "h": 163.41,
        "l": 159.41,
        "c": 162.95,
        "v": 88496480,
        "n": 700291,
        "vw": 161.942117,
    }
    assert any(isinstance(answer, dict) and answer.get("bars", {}).get("AAPL") == [day] for _, answer in recorded())

    row = rows.bars(checking.Series(question("bars", ("AAPL",)), checking.BARS)({"AAPL": [day]}), DAILY, rows.DAY).row(
        0, named=True
    )

    assert (row["opened_at"], row["event_at"]) == (datetime(2022, 3, 9, 14, 30, tzinfo=UTC), datetime(2022, 3, 9, 21, tzinfo=UTC))
    assert (row["open"], row["close"], row["volume"], row["vwap"], row["trades"]) == (
        161.51,
        162.95,
        88496480.0,
        161.942117,
        700291,
    )


def test_recorded_news_and_actions_are_read() -> None:
    """Every article and every action of the kinds that are asked for."""
    articles = actions = 0
    for _, answer in recorded():
        if isinstance(answer, dict) and "news" in answer:
            symbols = tuple({symbol for row in answer["news"] for symbol in row["symbols"]})
            articles += rows.Articles(question("news", symbols), DAILY)(answer["news"]).height
        if isinstance(answer, dict) and "corporate_actions" in answer:
            known = {kind: of for kind, of in answer["corporate_actions"].items() if kind.removesuffix("s") in rows.EVENTS}
            names = ("symbol", "source_symbol", "old_symbol")
            symbols = tuple({row[name] for of in known.values() for row in of for name in names if name in row})
            told = rows.Events(question("actions", symbols), DAILY)(known)
            assert told.height == sum(len(of) for of in known.values())
            actions += told.height
    assert articles >= 3
    assert actions >= 6


def stamped(message: dict[str, Any]) -> dict[str, Any]:
    """Return a message as it comes over the wire: moments are Timestamps."""
    moments = {
        name: msgpack.Timestamp(int(whole.timestamp()), nanosecond)
        for name in ("t", "created_at", "updated_at")
        if name in message
        for whole, nanosecond in [exact(message[name])]
    }
    return {**message, **moments}


def exact(text: str) -> tuple[datetime, int]:
    """Return the whole second of an RFC 3339 moment, and its nanoseconds; the recording left some Timestamps out."""
    text = "2022-03-09T05:00:00Z" if "Timestamp" in text else text
    head, _, fraction = text.removesuffix("Z").partition(".")
    return datetime.fromisoformat(f"{head}+00:00"), int(fraction.ljust(9, "0")[:9] or 0)


def test_every_live_message_of_the_documentation_becomes_a_row_of_its_table(caplog: pytest.LogCaptureFixture) -> None:
    """Bars, trades, quotes and news; what is not asked for (statuses, running days) makes none, and nothing is left out unread."""
    symbols = tuple({message["S"] for message in messages() if "S" in message} | {"CRSR"})
    told: list[Update] = []
    for market in (DAILY, COINS):
        teller = Teller(
            replace(market, timeframe="1m", symbols=symbols), ReplayClock(datetime(2026, 1, 1, tzinfo=UTC)), ALWAYS[0] - ALWAYS[0]
        )
        told += [update for message in messages() if message["T"] in "btqn" for update in teller.tell(stamped(message))]

    assert not caplog.text
    assert {update.table for update in told} == {"bars", "trades", "quotes", "news"}
    for update in told:
        frame = pl.DataFrame([dict(update.row)], schema_overrides=dict(TABLES[update.table].schema), strict=True)
        assert set(frame.columns) <= set(TABLES[update.table].schema)
